"""Feature visualization: against naive loops, and as a command that is killed and goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import norm
from torch import Tensor, nn

from featuresharing import FeatureSettings, InputError, maximize_units, picture_units
from featuresharing.cli import main
from featuresharing.figures.feature_sheet import feature_picture, plot_features
from featuresharing.figures.saving import save_figure
from featuresharing.figures.style import Page
from featuresharing.files.locks import holding
from featuresharing.networks.alexnet.architecture import plain_alexnet
from featuresharing.networks.alexnet.names import LAYERS
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.networks.checkpoints import Checkpoint, save_checkpoint
from featuresharing.randomness import keyed_generator
from featuresharing.runs.picturing import Sheet, picture_layer
from featuresharing.runs.subjects import NamedNetwork, choose_layer
from tests.support.files import contents
from tests.support.text_boxes import check_texts

torch.set_num_threads(1)  # more only wait for each other on networks this small

SHAPE = AlexNetShape(24, 1, (6, 5, 6, 6, 20), (3, 3, 3, 3, 3), (9, 8), (4, 3))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return plain_alexnet(SHAPE).double()


def climb_naively(
    network: nn.Module,
    path: str,
    unit: int,
    settings: FeatureSettings,
    seed: int,
    shape: tuple[int, int, int] = (3, 24, 24),
) -> NDArray[Any]:
    """One unit, the whole network, a blur written out over pixels, in float64."""
    network.eval()
    modules = dict(network.named_modules())
    x = keyed_generator(seed, "feature", path, unit).standard_normal(shape, dtype=np.float32).astype(float)
    # the original's lines: interval = (2 * nsig + 1) / kernlen, with nsig = 3 and kernlen = 7
    interval = (2 * 3 + 1.0) / 7
    masses = np.diff(norm.cdf(np.linspace(-3 - interval / 2, 3 + interval / 2, 8)))
    kernel = np.sqrt(np.outer(masses, masses))
    kernel /= kernel.sum()
    for iteration in range(settings.iterations):
        image = torch.tensor(x[None], requires_grad=True)
        outputs: list[Tensor] = []
        hook = modules[path].register_forward_hook(lambda m, i, o, outputs=outputs: outputs.append(o * 1))
        network(image)
        hook.remove()
        value = outputs[0][0, unit]
        value = value[value.shape[0] // 2, value.shape[1] // 2] if value.ndim else value
        value.backward()
        assert image.grad is not None
        x = (x + settings.step * image.grad[0].numpy()) * (1 - settings.decay)
        if iteration % settings.blur_every == 0:
            padded = np.pad(x, ((0, 0), (3, 3), (3, 3)))
            channels, height, width = map(range, shape)
            x = np.array(
                [[[(padded[c, i : i + 7, j : j + 7] * kernel).sum() for j in width] for i in height] for c in channels]
            )
    return x


@pytest.mark.parametrize("alias", ["conv1", "conv3", "fc6", "fc7"])
def test_images_are_those_of_a_naive_ascent(network: nn.Module, alias: str) -> None:
    settings = FeatureSettings(9, step=2.0, decay=0.1, blur_every=3)
    found = dict(maximize_units(network, LAYERS[alias], (3, 24, 24), settings=settings, units=[4, 1], seed=3))
    assert list(found) == [1, 4]
    for unit, image in found.items():
        assert image.dtype == np.float32
        assert image.shape == (3, 24, 24)
        wanted = climb_naively(network, LAYERS[alias], unit, settings, seed=3)
        np.testing.assert_allclose(image, wanted, atol=2e-7 * np.abs(wanted).max())


@pytest.mark.parametrize("alias", ["conv1", "conv2", "conv5", "fc6"])
def test_images_in_single_precision_are_those_of_double_by_rounding(network: nn.Module, alias: str) -> None:
    """Within 1e-5 of the largest pixel, as long as rounding switches no rectifier."""
    settings = FeatureSettings(9, step=2.0, decay=0.1, blur_every=3)
    wanted = {unit: climb_naively(network, LAYERS[alias], unit, settings, seed=3) for unit in (1, 4)}
    found = maximize_units(network.float(), LAYERS[alias], (3, 24, 24), settings=settings, units=[1, 4], seed=3)
    for unit, image in found:
        np.testing.assert_allclose(image, wanted[unit], rtol=0, atol=1e-5 * np.abs(wanted[unit]).max())


def test_images_of_networks_with_their_own_gradients_are_those_of_a_naive_ascent() -> None:
    class Halved(nn.Sequential):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward((images + images.detach()) / 2)

    torch.manual_seed(0)
    network = Halved(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 2, 3)).double()
    settings = FeatureSettings(5, step=2.0)
    for unit, image in maximize_units(network, "2", (3, 9, 9), settings=settings):
        wanted = climb_naively(network, "2", unit, settings, 0, (3, 9, 9))
        np.testing.assert_allclose(image, wanted, atol=2e-7 * np.abs(wanted).max())


def test_more_units_go_together_the_less_they_see() -> None:
    """In groups of 128 and 22; a group has the same images whichever of its units are asked for."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 150, 3), nn.ReLU(), nn.Conv2d(150, 2, 3))
    settings = FeatureSettings(3)
    images = dict(maximize_units(network, "0", (3, 24, 24), settings=settings))
    assert list(images) == list(range(150))
    for unit in (5, 127, 128, 149):
        ((_, alone),) = maximize_units(network, "0", (3, 24, 24), settings=settings, units=[unit])
        assert alone.tobytes() == images[unit].tobytes()


class Clock:
    """Goes on by two seconds whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 2
        return self.now


def test_it_is_foretold_how_long_all_units_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four steps of 128 units take two seconds: so ten steps of 150 take 150 / 128 of five."""
    monkeypatch.setattr("featuresharing.analysis.maximization.perf_counter", Clock())
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 150, 3), nn.ReLU(), nn.Conv2d(150, 2, 3))
    said: list[float] = []
    given: dict[str, Any] = {"settings": FeatureSettings(10), "foretell": said.append}
    images = maximize_units(network, "0", (3, 9, 9), **given)
    first = next(images)
    assert said == [pytest.approx(5 * 150 / 128)]
    others = dict(images)
    assert len(said) == 1
    same = dict(maximize_units(network, "0", (3, 9, 9), settings=FeatureSettings(10)))
    assert all(np.array_equal(same[unit], image) for unit, image in (first, *others.items()))
    assert list(maximize_units(network, "0", (3, 9, 9), units=[], **given)) == []
    assert len(said) == 1


def test_the_image_drives_its_unit_more_than_noise_and_than_the_images_of_others(network: nn.Module) -> None:
    network.float()
    images = dict(maximize_units(network, "conv4", (3, 24, 24), aliases=LAYERS))
    outputs: list[Tensor] = []
    network.get_submodule(LAYERS["conv4"]).register_forward_hook(lambda m, i, o: outputs.append(o * 1))
    scaled = {unit: image / np.linalg.norm(image) * np.sqrt(image.size) for unit, image in images.items()}
    noise = np.random.default_rng(0).standard_normal((50, 3, 24, 24)).astype(np.float32)
    network(torch.from_numpy(np.stack([*scaled.values(), *noise])).float())
    given = outputs[0].detach().numpy()
    centre = given[:, :, given.shape[2] // 2, given.shape[3] // 2]
    assert (centre[6:].max(axis=0) < centre[:6].diagonal()).all()
    assert (centre[:6].argmax(axis=0) == np.arange(6)).all()


def test_an_image_does_not_depend_on_which_units_are_asked_for(network: nn.Module) -> None:
    network.float()
    settings = FeatureSettings(20)
    together = dict(maximize_units(network, LAYERS["conv5"], (3, 24, 24), settings=settings))
    assert list(together) == list(range(20))
    for units in ([7], [19, 3]):
        for unit, image in maximize_units(network, LAYERS["conv5"], (3, 24, 24), settings=settings, units=units):
            assert image.tobytes() == together[unit].tobytes()
    other = dict(maximize_units(network, LAYERS["conv5"], (3, 24, 24), settings=settings, units=[7], seed=1))
    assert other[7].tobytes() != together[7].tobytes()


def test_the_network_stays_as_it_is() -> None:
    class Counting(nn.Module):
        """Inplace activation behind the layer, dropout and a batch norm before it, and a head that cannot run."""

        def __init__(self) -> None:
            super().__init__()
            self.norm, self.drop, self.conv = nn.BatchNorm2d(3), nn.Dropout(), nn.Conv2d(3, 4, 3)
            self.act = nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            self.act(self.conv(self.drop(self.norm(x))))
            raise AssertionError("what lies behind the layer is not needed")

    network = Counting().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    list(maximize_units(network, "conv", (3, 9, 9), settings=FeatureSettings(3)))
    assert network.training
    assert network.drop.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert not network.conv._forward_hooks


def test_tokens_and_volumes_are_taken_at_their_centre() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(12, 5, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            patches = x.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).reshape(len(x), 4, 12)
            return self.embed(patches).mean(dim=1)

    network = Tokens()
    settings = FeatureSettings(60, step=1.0, decay=0.5, blur_every=100)
    (_, image), *_ = maximize_units(network, "embed", (3, 4, 4), settings=settings, units=[2])
    # of 4 patches the third is the centre; its pixels tend to step * weight * (1 - decay) / decay
    weight = network.embed.weight[2].detach().numpy().reshape(3, 2, 2)
    np.testing.assert_allclose(image[:, 2:, :2], weight, atol=1e-6)
    np.testing.assert_allclose(image[:, :2], 0, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"iterations": 0}, "iterations: found 0; accepted is an integer from 1 to 1000000."),
        ({"blur_every": 0}, "blur_every: found 0; accepted is an integer from 1 to 1000000."),
        ({"step": 0.0}, "step: found 0.0; accepted is a number above 0 and at most 1000000."),
        ({"step": float("nan")}, "step: found nan; accepted is a number above 0 and at most 1000000."),
        ({"decay": 1.0}, "decay: found 1.0; accepted is a number from 0 to below 1."),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        FeatureSettings(**settings)
    assert str(error.value) == sentence


def test_what_cannot_be_climbed_is_refused(network: nn.Module) -> None:
    def refused(*arguments: Any, **options: Any) -> str:
        with pytest.raises(InputError) as error:
            list(maximize_units(*arguments, **options))
        return str(error.value)

    assert "unit 6 of layer '0.0.0' does not exist" in refused(network, "0.0.0", (3, 24, 24), units=[6])
    assert "layer 'conv9' does not exist" in refused(network, "conv9", (3, 24, 24))
    assert "images of [4, 24, 24] do not pass to layer '0.0.0'" in refused(network, "0.0.0", (4, 24, 24))
    assert "image_shape: found [24, 24]; accepted are the three numbers" in refused(network, "0.0.0", (24, 24))
    aside = nn.Sequential(nn.Conv2d(3, 2, 1))
    aside.add_module("spare", nn.Linear(2, 2))
    aside.forward = aside[0].forward  # type: ignore[method-assign]
    assert "layer 'spare' has no part in a forward pass" in refused(aside, "spare", (3, 4, 4))
    large = nn.Sequential(nn.Conv2d(3, 2, 1))
    large.load_state_dict({name: 1e33 * value for name, value in large.state_dict().items()})
    settings = FeatureSettings(9, step=1e6, decay=0.0)
    assert "found images that are not finite" in refused(large, "0", (3, 4, 4), settings=settings)


def test_pictures_are_stretched_from_lowest_to_highest() -> None:
    image = np.zeros((3, 2, 2), np.float32)
    image[0, 0, 1], image[2, 1, 0] = -1, 3
    picture = feature_picture(image)
    assert picture.dtype == np.uint8
    assert picture.shape == (2, 2, 3)
    assert picture[0, 1].tolist() == [0, 64, 64]
    assert picture[1, 0].tolist() == [64, 64, 255]
    assert (feature_picture(np.full((3, 2, 2), 5, np.float32)) == 127).all()


def test_a_sheet_shows_every_picture_in_order(tmp_path: Path) -> None:
    colours = [(10 * n, 255 - 10 * n, 128) for n in range(20)]
    pictures = {n: np.full((60, 60, 3), colour, np.uint8) for n, colour in enumerate(colours)}
    save_figure(plot_features(pictures, title="conv1", columns=6), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as file:
        sheet = np.asarray(file.convert("RGB")).astype(int)
    corner = np.argwhere((sheet == colours[0]).all(axis=2))[0]
    for n, colour in enumerate(colours):
        # 60 pixels and a line, .96 inches, are 183 dots: the fewest that are a multiple of 61 and 150 an inch
        down, across = corner[0] + n // 6 * 183 + 90, corner[1] + n % 6 * 183 + 90
        assert tuple(sheet[down, across]) == colour
        assert (sheet == colour).all(axis=2).sum() == 180**2
    long = f"{'a-very-long-experiment' * 5}: {'features.0' * 5} after 1,000,000 training steps"
    check_texts(plot_features(pictures, title=long, note=long, page=Page(width=89)))
    with pytest.raises(InputError, match="no pictures"):
        plot_features({}, title="conv1")


def test_small_pictures_are_enlarged(tmp_path: Path) -> None:
    picture = np.zeros((24, 24, 3), np.uint8)
    picture[3, 5] = (255, 0, 0)
    save_figure(plot_features({0: picture}, title="conv1"), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as file:
        assert (np.asarray(file.convert("RGB")) == (255, 0, 0)).all(axis=2).sum() == 36


def test_large_sheets_are_reduced(tmp_path: Path) -> None:
    pictures = {n: np.full((224, 224, 3), n % 256, np.uint8) for n in range(256)}
    save_figure(plot_features(pictures, title="fc7"), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as file:
        assert 16 * 112 < file.width < 2000
        assert 16 * 112 < file.height < 2000


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "0120.pt"
    save_checkpoint(path, Checkpoint(plain_alexnet(SHAPE), SHAPE, ("basic", "word"), 120))
    return path


def arguments(checkpoint: Path, folder: Path, **options: Any) -> list[str]:
    given = {"checkpoint": checkpoint, "layer": "conv5", "aliases": f"conv5={LAYERS['conv5']}", "device": "cpu"}
    given |= {"output-folder": folder / "conv5", "output": folder / "conv5.png"} | options
    return ["visualize-units", *(word for name, value in given.items() for word in (f"--{name}", str(value)))]


@pytest.mark.end_to_end
def test_a_killed_command_goes_on_and_gives_the_same_files(checkpoint: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    shape = replace(SHAPE, channels=(6, 5, 6, 6, 150))  # in two groups
    save_checkpoint(checkpoint, Checkpoint(plain_alexnet(shape), shape, ("basic", "word"), 120))
    assert main(arguments(checkpoint, whole, iterations=60)) == 0
    assert sorted(path.name for path in (whole / "conv5").iterdir()) == [f"{unit:04d}.png" for unit in range(150)]
    command = [sys.executable, "-m", "featuresharing", *arguments(checkpoint, cut, iterations=60)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(cut.glob(".conv5.*.part/00*.png")):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "of 150 units are done and kept" in errors
    assert not (cut / "conv5").exists()
    assert not (cut / "conv5.png").exists()
    again = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert "of 150 units are there already." in again.stdout
    assert contents(cut) == contents(whole)


def test_it_says_before_it_starts_how_long_a_layer_takes(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featuresharing.analysis.maximization.perf_counter", Clock())
    assert main(arguments(checkpoint, tmp_path, iterations=160, units="0-9")) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "features of conv5: 10 units, 160 iterations: about 1 min 20 s."
    assert said[1].startswith("10 units are in ")


def test_other_settings_start_anew_and_a_choice_of_units_keeps_to_it(checkpoint: Path, tmp_path: Path) -> None:
    assert main(arguments(checkpoint, tmp_path, iterations=3)) == 0
    first = contents(tmp_path / "conv5")
    assert main(arguments(checkpoint, tmp_path, iterations=3, seed=1, units="4-5")) == 0
    second = contents(tmp_path / "conv5")
    assert sorted(second) == ["0004.png", "0005.png"]
    assert second["0004.png"] != first["0004.png"]
    assert main(arguments(checkpoint, tmp_path, iterations=3)) == 0  # nothing of other settings is taken
    assert contents(tmp_path / "conv5") == first
    assert len(list(tmp_path.glob(".conv5.*.done"))) == 1


def test_a_folder_with_other_files_is_left_alone(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conv5").mkdir()
    (tmp_path / "conv5/thesis.tex").write_text("years of work")
    assert main(arguments(checkpoint, tmp_path, iterations=3)) == 2
    assert "conv5 holds thesis.tex already; accepted is a new folder, or an empty one." in capsys.readouterr().err
    assert (tmp_path / "conv5/thesis.tex").exists()


def test_the_command_refuses_what_is_not_there(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(checkpoint, tmp_path, layer="conv7")) == 2
    assert "layer 'conv7' does not exist" in capsys.readouterr().err
    assert main(arguments(checkpoint, tmp_path, units="25")) == 2
    assert "unit 25 of layer 'conv5' does not exist; accepted are 0 to 19." in capsys.readouterr().err
    assert main(arguments(checkpoint, tmp_path, step=0)) == 2
    assert "--step: found '0'; accepted is a number above 0 and at most 1000000." in capsys.readouterr().err
    (tmp_path / "folder.png").mkdir()
    assert main(arguments(checkpoint, tmp_path, iterations=1, output=tmp_path / "folder.png")) == 2
    assert "folder.png cannot be written: it is a folder; accepted is the name of a file." in capsys.readouterr().err


def test_the_sheet_does_not_lie_among_the_pictures(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "conv5"
    for output in (folder / "0000.png", folder / "below/sheet.png", tmp_path / "conv5.png"):
        given = {"output": output} | ({"output-folder": output} if output.parent == tmp_path else {})
        assert main(arguments(checkpoint, tmp_path, iterations=1, **given)) == 2
        assert "accepted is a name beside that of the pictures." in capsys.readouterr().err
    assert not folder.exists()


def test_what_is_there_is_said_and_a_removed_output_put_back(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any, units: list[int], **__: Any) -> list[Any]:
        assert units == []
        return []

    assert main(arguments(checkpoint, tmp_path, iterations=3)) == 0
    first, sheet = contents(tmp_path / "conv5"), (tmp_path / "conv5.png").read_bytes()
    monkeypatch.setattr("featuresharing.runs.picturing.maximize_units", forbidden)
    capsys.readouterr()
    assert main(arguments(checkpoint, tmp_path, iterations=3)) == 0
    assert "conv5.png are there already." in capsys.readouterr().out
    shutil.rmtree(tmp_path / "conv5")
    (tmp_path / "conv5.png").unlink()
    assert main(arguments(checkpoint, tmp_path, iterations=3)) == 0
    assert "20 of 20 units are there already." in capsys.readouterr().out
    assert contents(tmp_path / "conv5") == first
    assert (tmp_path / "conv5.png").read_bytes() == sheet


def test_damaged_pictures_are_said_and_made_again(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(checkpoint, tmp_path, iterations=3)) == 0
    first = contents(tmp_path / "conv5")
    picture = tmp_path / "conv5/0007.png"
    picture.write_bytes(picture.read_bytes()[:-30] + bytes(30))
    capsys.readouterr()
    assert main(arguments(checkpoint, tmp_path, iterations=3)) == 0
    said = capsys.readouterr().out
    assert "1 of 20 units are damaged in" in said
    assert "19 of 20 units are there already." in said
    assert contents(tmp_path / "conv5") == first


def test_one_process_at_a_time(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with holding(tmp_path / "conv5"):
        assert main(arguments(checkpoint, tmp_path, iterations=3)) == 2
        assert "conv5 is being computed by process" in capsys.readouterr().err
        assert main(arguments(checkpoint, tmp_path, iterations=3, wait=0.001)) == 2
        assert ": waiting." in capsys.readouterr().out
    assert main(arguments(checkpoint, tmp_path, iterations=3, wait=0.001)) == 0


def test_images_may_be_grey_and_of_any_shape(tmp_path: Path) -> None:
    torch.manual_seed(0)
    seen = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(250, 2))
    settings = FeatureSettings(6)
    grey = dict(maximize_units(seen, "2", (1, 7, 12), settings=settings, units=[3]))[3]
    wanted = climb_naively(seen.double(), "2", 3, settings, 0, (1, 7, 12))
    np.testing.assert_allclose(grey, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    seen.float()
    picture_units(seen, "2", (1, 7, 12), tmp_path / "units", tmp_path / "sheet.png", settings=settings)
    with Image.open(tmp_path / "units/0003.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (7, 12, 3)
    low, high = grey.min(), grey.max()
    assert np.array_equal(pixels, np.rint((grey[0] - low) * (255 / (high - low)))[..., None].repeat(3, axis=2))


def test_pictures_of_networks_that_take_blue_first_are_red_first(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 2, 3))
    named, settings = NamedNetwork(network, "0" * 64), FeatureSettings(5)
    chosen = choose_layer(network, "0")
    pictures = []
    for colour in ("rgb", "bgr"):
        sheet = Sheet(tmp_path / f"{colour}.png", "")
        picture_layer(
            named, chosen, (3, 8, 8), tmp_path / colour, sheet, settings=settings, colour=colour, seed=0, device="cpu"
        )
        with Image.open(tmp_path / colour / "0001.png") as picture:
            pictures.append(np.asarray(picture))
    assert np.array_equal(pictures[0], pictures[1][..., ::-1])
    assert not np.array_equal(pictures[0], pictures[1])
