"""Probes: fitted right, part of the network like any head, read from layers of any kind, and trained on lists."""

import copy
import io
import json
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from sklearn.model_selection import StratifiedKFold
from torch import Tensor, nn

from featuresharing import (
    Head,
    InputError,
    Probe,
    attach_heads,
    attach_probes,
    fit_probe,
    lesion,
    marginalize,
    marginalize_to_file,
    maximize_units,
    predict,
    read_probes,
    write_probes,
)
from featuresharing.analysis.probe_fitting import STRENGTHS, fit_features
from featuresharing.cli import main
from featuresharing.data.class_splits import split_for_probe
from featuresharing.data.images import read_inputs
from featuresharing.data.lists import ListFiles, read_classes, read_image_list, write_classes, write_image_list
from featuresharing.data.preprocessing import Preprocessing
from featuresharing.networks.checkpoints import Checkpoint, save_checkpoint
from featuresharing.networks.definitions import NetworkDefinition
from featuresharing.networks.layer_features import last_linear_layer, layer_features
from featuresharing.networks.network_digest import digest_of_network
from featuresharing.networks.opening import open_network
from featuresharing.networks.predictions import read_predictions
from featuresharing.networks.probe_sketches import sketch_probes
from featuresharing.networks.probes import ProbeQuality
from featuresharing.networks.task_scores import detach_tasks
from featuresharing.runs.baseline import predict_to_file
from featuresharing.runs.probe_training import is_at_chance
from tests.support.small_networks import SMALL_SHAPE, small_alexnet

RNG = np.random.default_rng(3)
IMAGES = RNG.normal(size=(48, 3, 8, 8)).astype(np.float32)
TARGETS = np.arange(48) % 3
IMAGES += np.float32(0.4) * TARGETS[:, None, None, None]


def network() -> nn.Sequential:
    """Return convolutions whose activations write into what the layer gives, and a linear head."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = nn.Sequential(
            *(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.Conv2d(8, 6, 3), nn.ReLU(inplace=True)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
        )
    return made.eval()


class WithProbe(nn.Module):
    """The network of :func:`network` with a linear layer on the mean over positions of its second convolution."""

    def __init__(self, probe: Probe) -> None:
        super().__init__()
        self.inside = network()
        self.weight, self.bias = (torch.tensor(values).float() for values in (probe.weight, probe.bias))

    def forward(self, images: Tensor) -> Tensor:
        maps = self.inside[2](F.relu(self.inside[0](images)))
        return F.linear(maps.mean((2, 3)), self.weight, self.bias)


PROBE = Probe("2", RNG.normal(size=(3, 6)), RNG.normal(size=3))


@pytest.mark.parametrize("engine", ["one-channel", "plain"])
def test_a_probe_is_what_a_network_with_that_layer_gives(engine: str) -> None:
    probed, written = attach_probes(network(), {"kind": PROBE}), WithProbe(PROBE)
    tasks, (found,) = predict(probed, IMAGES)
    assert tasks == ("kind",)
    np.testing.assert_allclose(found, predict(written, IMAGES)[1][0], atol=1e-6)
    for layer in ("0", "2"):
        (without,) = lesion(probed, layer, IMAGES, engine=engine)
        np.testing.assert_allclose(without, next(iter(lesion(written, f"inside.{layer}", IMAGES))), atol=1e-6)
    (behind,) = marginalize(probed, "6", IMAGES, samples=3, tolerance=0, engine=engine)
    np.testing.assert_allclose(behind, np.broadcast_to(found, behind.shape), atol=1e-6)


def test_a_probe_moves_with_every_layer_in_front_of_it_as_a_naive_loop_says() -> None:
    probed, naive = attach_probes(network(), {"kind": PROBE}), WithProbe(PROBE)
    (found,) = lesion(probed, "0", IMAGES)
    for unit in range(8):
        with torch.no_grad():
            changed = copy.deepcopy(naive)
            changed.inside[0].weight[unit], changed.inside[0].bias[unit] = 0, 0
            wanted = changed(torch.from_numpy(IMAGES)).softmax(1).numpy()
        np.testing.assert_allclose(found[unit], wanted, atol=1e-6)
    assert np.abs(found - predict(probed, IMAGES)[1][0]).max() > 1e-3


def test_heads_and_probes_stand_in_any_order_and_come_off_again() -> None:
    plain = network()
    before = predict(plain, IMAGES)[1][0]
    state, digest = list(plain.state_dict()), digest_of_network(plain)
    attach_heads(plain, {"own": Head(0), "two": Head(0, columns=(1, 3))})
    attach_probes(plain, {"kind": PROBE}, ("kind", "own", "two"))
    tasks, found = predict(plain, IMAGES)
    assert tasks == ("kind", "own", "two")
    np.testing.assert_array_equal(found[1], before)
    assert list(plain.state_dict()) == state
    first = digest_of_network(plain)
    other = Probe("2", 2 * PROBE.weight, PROBE.bias)
    assert len({digest, first, digest_of_network(attach_probes(plain, {"kind": other}))}) == 3
    file = io.BytesIO()
    torch.save(plain, file)
    file.seek(0)
    wanted = predict(plain, IMAGES)[1]
    for copied in (copy.deepcopy(plain), torch.load(file, weights_only=False), nn.DataParallel(plain)):
        for values, own in zip(predict(copied, IMAGES)[1], wanted, strict=True):
            np.testing.assert_array_equal(values, own)
    detach_tasks(plain)
    np.testing.assert_array_equal(predict(plain, IMAGES)[1][0], before)
    assert digest_of_network(plain) == digest
    for given, sentence in (
        ({"own": PROBE}, "found task 'own', which a head has"),
        (
            {"a": Probe("9", np.eye(2, 6), np.zeros(2))},
            "layer '9' of a probe does not exist; accepted are modules: 0,",
        ),
        ({}, "probes: found {}"),
    ):
        with pytest.raises(InputError, match=sentence):
            attach_probes(attach_heads(network(), {"own": Head(0)}), given)
    with pytest.raises(InputError, match="tasks: found a, b; accepted is an order of kind"):
        attach_probes(network(), {"kind": PROBE}, ("a", "b"))


def test_other_analyses_take_probes_too(tmp_path: Path) -> None:
    probed = attach_probes(attach_heads(network(), {"own": Head(0)}), {"kind": PROBE})
    targets = {"own": np.arange(48) % 4, "kind": TARGETS}
    layer = marginalize_to_file(probed, "0", IMAGES, targets, tmp_path / "0.h5", samples=3, say=lambda _: None)
    assert list(layer.conditionals) == ["own", "kind"]
    assert len(list(maximize_units(probed, "0", (3, 8, 8), units=[0]))) == 1


class Odd(nn.Module):
    """Layers of every kind of shape: tokens, a pair, one that is used twice, and one that is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.pair, self.twice, self.never = nn.Linear(3, 5), Pairs(), nn.Tanh(), nn.Linear(5, 2)
        self.last = nn.Linear(5, 2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        tokens = self.twice(self.tokens(images))
        first, _ = self.pair(tokens)
        return {"maps": tokens[..., None], "scores": self.twice(self.last(first.mean(1)))}


class Pairs(nn.Module):
    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return values.relu(), values


def test_features_are_means_over_positions_and_tokens_or_all_numbers() -> None:
    odd, images = Odd(), RNG.normal(size=(4, 7, 3)).astype(np.float32)
    with torch.no_grad():
        tokens = odd.tokens(torch.from_numpy(images))
        maps = network()[0](torch.from_numpy(IMAGES))
        last = odd.twice(odd.last(tokens.tanh().relu().mean(1)))
    np.testing.assert_allclose(layer_features(odd, "tokens", images), tokens.mean(1).numpy(), atol=1e-6)
    np.testing.assert_allclose(layer_features(odd, "tokens", images, pooling="flatten"), tokens.flatten(1), atol=1e-6)
    np.testing.assert_allclose(layer_features(odd, "pair", images), tokens.tanh().relu().mean(1).numpy(), atol=1e-6)
    np.testing.assert_allclose(layer_features(odd, "twice", images), last.numpy(), atol=1e-6)
    np.testing.assert_allclose(layer_features(network(), "0", IMAGES, batch_size=7), maps.mean((2, 3)), atol=1e-6)
    assert layer_features(network(), "0", IMAGES).dtype == np.float64
    assert last_linear_layer(odd, images) == "last"
    for layer, sentence in (("never", "layer 'never' of a probe is not used in a pass"), ("x", "layer 'x' of a probe")):
        with pytest.raises(InputError, match=sentence):
            layer_features(odd, layer, images)
    with pytest.raises(InputError, match="found no linear layer in a pass"):
        last_linear_layer(network()[:4], IMAGES)
    with pytest.raises(InputError, match="found no linear layer in a pass; accepted is the module path of a layer"):
        sketch_probes(network()[:4], {"a": None}, Preprocessing(8, (0.5,) * 3, (0.25,) * 3, resize=False, white=1))
    with pytest.raises(InputError, match="pooling of a probe: found 'max'; accepted are mean and flatten"):
        layer_features(odd, "tokens", images, pooling="max")


class Masked(nn.Module):
    """The mean of tokens that a mask lets through, by a linear layer ``first``; ``second`` is used last."""

    def __init__(self) -> None:
        super().__init__()
        self.second, self.first = nn.Linear(5, 2), nn.Linear(3, 5)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return self.second((self.first(tokens) * mask[..., None]).sum(1))


def test_features_follow_other_inputs() -> None:
    masked, tokens = Masked(), RNG.normal(size=(12, 7, 3)).astype(np.float32)
    mask = (RNG.random((12, 7)) < 0.5).astype(np.float32)
    with torch.no_grad():
        wanted = (masked.first(torch.from_numpy(tokens)) * torch.from_numpy(mask)[..., None]).sum(1).numpy()
    found = layer_features(masked, "second", tokens, side="input", inputs={"mask": mask}, batch_size=5)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    probe = fit_probe(masked, None, tokens, np.arange(12) % 2, inputs={"mask": mask})
    by_hand = fit_features(wanted.astype(np.float64), np.arange(12) % 2, 2)
    assert probe.layer == "second"
    np.testing.assert_allclose(probe.weight, by_hand.weight, atol=1e-5)


def objective(probe: Probe, features: NDArray[np.float64], targets: NDArray[np.int64], strength: float) -> float:
    """Return the mean cross entropy plus the penalty, in plain numpy, of weights for standardised features."""
    scores = features @ probe.weight.T + probe.bias
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    weight = probe.weight * features.std(axis=0)
    if len(weight) == 2:  # of two classes, what counts is the difference
        weight = weight[1:] - weight[:1]
    return float(-logs[np.arange(len(targets)), targets].mean() + strength / 2 * (weight**2).sum())


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("strength", [1e-3, 0.1])
def test_a_fit_is_the_minimum_that_gradient_descent_finds(classes: int, strength: float) -> None:
    features, targets = 3 + RNG.normal(size=(60, 5)) * [1, 2, 5, 0.1, 1], RNG.integers(classes, size=60)
    features[:, 4] = 7  # constant: of no use
    found = fit_features(features, targets, classes, strengths=[strength])
    scaled = (features - features.mean(0)) / np.where(features.std(0) > 1e-9, features.std(0), 1)
    rows = 1 if classes == 2 else classes
    weight, bias = torch.zeros(rows, 5, dtype=torch.float64), torch.zeros(rows, dtype=torch.float64)
    parameters = [weight.requires_grad_(), bias.requires_grad_()]
    optimiser = torch.optim.LBFGS(parameters, max_iter=500, tolerance_grad=1e-12, tolerance_change=0)
    given, truth = torch.from_numpy(scaled), torch.from_numpy(targets)

    def scores() -> Tensor:
        made = given @ weight.T + bias
        return torch.cat([torch.zeros_like(made), made], dim=1) if rows == 1 else made

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(scores(), truth) + strength / 2 * (weight**2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    wanted = scores().detach().softmax(1).numpy()
    logits = features @ found.weight.T + found.bias
    np.testing.assert_allclose(torch.from_numpy(logits).softmax(1).numpy(), wanted, atol=1e-6)
    assert objective(found, features, targets, strength) == pytest.approx(float(closure().detach()), abs=1e-9)
    assert (found.weight[:, 4] == 0).all()


def test_the_strength_is_the_best_in_cross_validation_and_the_seed_keys_all() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(2, size=80)
    features = rng.normal(size=(80, 60))
    features[:, 0] += targets
    probe = fit_features(features, targets, 2, seed=1)
    again = fit_features(features[:, ::-1], targets, 2, seed=1)
    np.testing.assert_allclose(probe.weight[:, ::-1], again.weight, atol=1e-6)
    assert probe.quality
    folds = StratifiedKFold(5, shuffle=True, random_state=1).split(features, targets)
    losses, rights = dict.fromkeys(STRENGTHS, 0.0), dict.fromkeys(STRENGTHS, 0)
    for training, rest in folds:
        for strength in STRENGTHS:
            part = fit_features(features[training], targets[training], 2, strengths=[strength], folds=2)
            scores = torch.from_numpy(features[rest] @ part.weight.T + part.bias)
            losses[strength] += float(F.cross_entropy(scores, torch.from_numpy(targets[rest]), reduction="sum"))
            rights[strength] += int((scores.argmax(1).numpy() == targets[rest]).sum())
    assert probe.quality.strength == min(losses, key=losses.__getitem__)
    assert probe.quality.cross_validated == rights[probe.quality.strength] / 80
    other = {fit_features(features, targets, 2, seed=seed).quality for seed in range(3)}
    assert len(other) > 1


def test_a_probe_finds_what_the_network_was_not_trained_on() -> None:
    probe = fit_probe(network(), None, IMAGES, TARGETS)
    assert (probe.layer, probe.side, probe.weight.shape) == ("6", "input", (3, 6))
    assert probe.quality
    assert probe.quality.cross_validated > 0.6
    masked = np.where(np.arange(48) < 30, TARGETS, -1)
    part = fit_probe(network(), "0", IMAGES, masked)
    alone = fit_probe(network(), "0", IMAGES[:30], TARGETS[:30])
    np.testing.assert_allclose(part.weight, alone.weight, atol=1e-6)
    for targets, sentence in (
        (TARGETS * 0, "found one class|found 0 images of class 1"),
        (np.where(np.arange(48) == 0, 3, TARGETS), "found 1 images of class 3 to train with"),
        (TARGETS[:5], r"targets: found \[5, 1\]"),
    ):
        with pytest.raises(InputError, match=sentence):
            fit_probe(network(), "0", IMAGES, targets)


def test_a_share_of_each_class_trains() -> None:
    targets = np.array([0] * 10 + [1] * 3 + [2] * 2 + [-1] * 4)
    chosen = split_for_probe(targets, share=0.5, seed=0, task="word")
    assert (chosen[chosen >= 0] == targets[chosen >= 0]).all()
    assert np.bincount(chosen[chosen >= 0]).tolist() == [5, 2, 2]
    assert (chosen == split_for_probe(targets, share=0.5, seed=0, task="word")).all()
    assert (chosen != split_for_probe(targets, share=0.5, seed=1, task="word")).any()
    for share in (0, 1, True, "a"):
        with pytest.raises(InputError, match="share: found"):
            split_for_probe(targets, share=share, seed=0, task="word")  # type: ignore[arg-type]


def test_files_hold_probes_and_nothing_else_is_read(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    fitted = fit_features(RNG.normal(size=(20, 4)), np.arange(20) % 2, 2)
    write_probes(path, {"kind": PROBE, "other": fitted})
    first = path.read_bytes()
    found = read_probes(path)
    assert list(found) == ["kind", "other"]
    np.testing.assert_array_equal(found["kind"].weight, PROBE.weight)
    np.testing.assert_array_equal(found["other"].bias, fitted.bias)
    assert found["other"].described() | {"quality": None} == fitted.described() | {"quality": None}
    assert str(found["other"].quality) == str(fitted.quality)  # NaN is not equal to itself
    write_probes(path, {"kind": PROBE, "other": fitted})
    assert path.read_bytes() == first
    with pytest.raises(InputError, match="do not exist"):
        read_probes(tmp_path / "none.npz")
    for number, content in enumerate((b"", b"PK\x03\x04", first[:200], first[:-30], first + b"x" * 70000)):
        odd = tmp_path / f"{number}.npz"
        odd.write_bytes(content)
        with pytest.raises(InputError, match="cannot be read as probes"):
            read_probes(odd)
    rng = np.random.default_rng(0)
    for _ in range(300):  # none of them ends in another error
        changed = bytearray(first)
        for place in rng.integers(len(first), size=3):
            changed[place] ^= int(rng.integers(1, 256))
        (tmp_path / "mutated.npz").write_bytes(changed)
        with suppress(InputError):
            read_probes(tmp_path / "mutated.npz")
    payload = tmp_path / "payload.npz"
    np.savez(payload, probes=np.array([{"task": 1}], dtype=object))
    with pytest.raises(InputError, match="cannot be read as probes"):
        read_probes(payload)
    packed = tmp_path / "packed.npz"
    np.savez_compressed(packed, probes=np.frombuffer(json.dumps([]).encode(), np.uint8))
    with pytest.raises(InputError, match="its members are compressed"):
        read_probes(packed)
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    with pytest.raises(InputError, match="cannot be read as probes"):
        read_probes(tmp_path / "empty.npz")
    for weight, bias in ((np.eye(2), np.zeros(3)), (np.eye(1), np.zeros(1)), (np.full((2, 2), np.nan), np.zeros(2))):
        with pytest.raises(InputError, match="probe: found"):
            Probe("0", weight, bias)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Return a folder with a checkpoint, and 24 images whose brightness says their class in one of two tasks."""
    paths = []
    for number in range(24):
        paths.append(tmp_path / f"{number}.png")
        pixels = np.random.default_rng(number).integers(0, 100, size=(16, 16, 3)) + 70 * (number % 3)
        Image.fromarray(pixels.astype(np.uint8)).save(paths[-1])
    targets = np.stack([np.arange(24) % 4, np.arange(24) % 3], axis=1)
    targets[20:, 1] = -1
    write_image_list(tmp_path / "all.txt", paths, targets)
    write_classes(tmp_path / "classes.csv", {"name": list("abcd"), "light": list("xyz")})
    with torch.random.fork_rng():
        torch.manual_seed(4)  # of few units, some networks keep too little of brightness for a probe to read
        network = small_alexnet().eval()
    save_checkpoint(tmp_path / "net.pt", Checkpoint(network, SMALL_SHAPE, ("basic", "word"), 5))
    return tmp_path


def test_commands_train_probes_and_list_what_is_left(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--list", f"{listed}/all.txt", "--classes", f"{listed}/classes.csv", "--seed", "4"]
    network_given = ["--checkpoint", f"{listed}/net.pt", "--device", "cpu"]
    train = ["train-probes", *given, *network_given, "--probes", "light=0.0", "name", "--output"]
    assert main([*train, f"{listed}/p.npz"]) == 0
    light, name, *_ = capsys.readouterr().out.splitlines()
    assert light.startswith("light: a probe of the output of layer '0.0', strength ")
    assert "images right in cross-validation, and " in light
    assert name.startswith("name: a probe of the input of layer ")
    probes = read_probes(listed / "p.npz")
    assert list(probes) == ["light", "name"]
    quality = probes["light"].quality
    assert quality
    assert (quality.trained, quality.tested) == (11, 9)
    assert main(["split-list", *given, "--shares", "light=0.5", "--output", f"{listed}/rest.txt"]) == 0
    classes = list(read_classes(listed / "classes.csv").values())
    whole, rest = (read_image_list(listed / name, classes).targets for name in ("all.txt", "rest.txt"))
    trained = split_for_probe(whole[:, 1], share=0.5, seed=4, task="light")
    np.testing.assert_array_equal(rest[:, 1], np.where(trained < 0, whole[:, 1], -1))
    np.testing.assert_array_equal(rest[:, 0], whole[:, 0])
    # the same probe by hand, and how it does on what is left
    opened = open_network(listed / "net.pt")
    images = read_inputs(read_image_list(listed / "all.txt", classes).paths, opened.preprocessing)
    by_hand = fit_probe(opened.network, "0.0", images, trained, classes=3, seed=4)
    np.testing.assert_allclose(probes["light"].weight, by_hand.weight, atol=1e-6)
    _, (scores,) = predict(attach_probes(opened.network, {"light": by_hand}), images)
    right = scores.argmax(1) == rest[:, 1]
    assert quality.held_out == right[rest[:, 1] >= 0].mean()
    usual = np.bincount(trained[trained >= 0]).argmax()
    assert quality.chance == (rest[:, 1][rest[:, 1] >= 0] == usual).mean()
    # a list of its own trains as a whole
    own = ["--held-out", f"{listed}/rest.txt", "--folds", "3"]
    assert main([*train, f"{listed}/own.npz", *own]) == 0
    second = read_probes(listed / "own.npz")["light"].quality
    assert second
    assert (second.trained, second.tested) == (20, 9)


MODULE = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
"""


def test_a_definition_has_probes_beside_heads(listed: Path) -> None:
    (listed / "net.py").write_text(MODULE)
    shown = Preprocessing(16, (127.5,) * 3, (64.0,) * 3, resize=False)
    given: Any = {"build": f"{listed}/net.py:build", "preprocessing": shown.as_dict(), "heads": {"name": {"output": 0}}}
    NetworkDefinition(**given, tasks=("light", "name")).write(listed / "plain.json")
    lists = ["--list", f"{listed}/all.txt", "--classes", f"{listed}/classes.csv"]
    train = ["train-probes", *lists, "--checkpoint", f"{listed}/plain.json", "--device", "cpu"]
    assert main([*train, "--probes", "light", "--output", f"{listed}/probes.npz"]) == 0
    NetworkDefinition(**given, tasks=("light", "name"), probes=listed / "probes.npz").write(listed / "probed.json")
    opened = open_network(listed / "probed.json")
    assert opened.tasks == ("light", "name")
    assert opened.classes == (3, 4)
    write_classes(listed / "ordered.csv", {"light": list("xyz"), "name": list("abcd")})
    images = read_image_list(listed / "all.txt", [list("abcd"), list("xyz")])
    write_image_list(listed / "ordered.txt", images.paths, images.targets[:, ::-1])
    command = ["predict", "--checkpoint", f"{listed}/probed.json", "--list", f"{listed}/ordered.txt", "--device", "cpu"]
    assert main([*command, "--classes", f"{listed}/ordered.csv", "--output", f"{listed}/p.h5"]) == 0
    found = read_predictions(listed / "p.h5")
    inputs = read_inputs(images.paths, opened.preprocessing)
    features = layer_features(opened.network, "4", inputs, side="input")
    probe = read_probes(listed / "probes.npz")["light"]
    scores = torch.from_numpy(features @ probe.weight.T + probe.bias)
    np.testing.assert_allclose(found.probabilities["light"], scores.softmax(1).numpy(), atol=1e-6)
    right = found.right()["light"][(images.targets[:, 1] >= 0)]
    assert right.mean() > 0.6


@pytest.mark.parametrize(("scale", "noted"), [(1, True), (8, False)])
def test_scores_that_are_sigmoids_already_are_noted(scale: int, noted: bool, listed: Path) -> None:
    (listed / "net.py").write_text(
        f"{MODULE.replace('nn.Linear(6, 4)', 'nn.Linear(6, 1), Scaled()')}\n"
        f"class Scaled(nn.Module):\n    def forward(self, x):\n        return {scale} * x.sigmoid()\n"
    )
    shown = Preprocessing(16, (127.5,) * 3, (64.0,) * 3, resize=False)
    head = {"output": 0, "returns": "sigmoid-score"}
    given: Any = {"build": f"{listed}/net.py:build", "preprocessing": shown.as_dict(), "heads": {"lit": head}}
    NetworkDefinition(**given, tasks=("lit",)).write(listed / "net.json")
    paths = [listed / f"{number}.png" for number in range(24)]
    write_image_list(listed / "lit.txt", paths, np.arange(24)[:, None] % 2)
    write_classes(listed / "lit.csv", {"lit": ["no", "yes"]})
    said: list[str] = []
    files = ListFiles(listed / "lit.txt", listed / "lit.csv")
    predict_to_file(listed / "net.json", files, listed / "p.h5", say=said.append)
    sentence = "task 'lit': every score is between 0 and 1, as if it went through a sigmoid already; say "
    assert said == [f"{sentence}returns: sigmoid if it did."] * noted


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--probes", "shade"], "found no task 'shade'; accepted are name, light."),
        (["--probes", "light=9.9"], "layer '9.9' of a probe does not exist"),
        (["--probes", "light", "light=0.0"], "--probes: found a task twice"),
        (["--probes", "=x"], "found '=x'; accepted is TASK, or TASK=LAYER"),
        (["--probes", "light", "--shares", "light=1"], "found 'light=1'; accepted is TASK=SHARE"),
    ],
)
def test_what_cannot_be_probed_is_refused(
    options: list[str], sentence: str, listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--list", f"{listed}/all.txt", "--classes", f"{listed}/classes.csv", "--checkpoint", f"{listed}/net.pt"]
    assert main(["train-probes", *given, *options, "--device", "cpu", "--output", f"{listed}/p.npz"]) == 2
    assert sentence in capsys.readouterr().err
    assert not (listed / "p.npz").exists()


@pytest.mark.parametrize(
    ("held_out", "tested", "chance", "is_chance"),
    [
        (0.55, 40, 0.5, True),
        (0.7, 40, 0.5, False),
        (0.5, 40, 0.5, True),
        (1.0, 4, 0.5, True),  # by guessing one time in sixteen
        (1.0, 5, 0.5, False),
        (float("nan"), 0, float("nan"), False),
    ],
)
def test_a_probe_at_chance_is_told(held_out: float, tested: int, chance: float, is_chance: bool) -> None:
    quality = ProbeQuality(1.0, 0.9, 40, tested, held_out, chance)
    assert is_at_chance(Probe("0", np.eye(2, 6), np.zeros(2), quality=quality)) == is_chance
