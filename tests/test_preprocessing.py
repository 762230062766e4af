"""Preprocessing: against what Pillow and torch do when they are called by hand, and as configs and libraries say it."""

import json
import sys
from argparse import ArgumentTypeError
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from featuresharing import InputError, describe_network
from featuresharing.cli.options import image_size
from featuresharing.data.images import read_inputs
from featuresharing.data.known_preprocessing import known_preprocessing
from featuresharing.data.lists import ListFiles
from featuresharing.data.preprocessing import (
    NoPreprocessing,
    OwnPreprocessing,
    Preprocessing,
    imagenet_preprocessing,
    preprocessing_from_dict,
    stimulus_preprocessing,
    usual_preprocessing,
)
from featuresharing.files.atomic import file_digest
from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.networks.formats import Contents
from featuresharing.networks.opening import open_network
from featuresharing.own_code import OwnCodeError
from featuresharing.runs.subjects import subject_of_files
from featuresharing.settings import PreprocessingSettings
from featuresharing.settings.checking import check_block
from featuresharing.workflow.limits import job_mb

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Return a picture of 61 x 47 pixels, smooth enough that filters differ and sharp enough that they matter."""
    coarse = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((61, 47), Image.Resampling.BICUBIC).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def read(path: Path, **settings: Any) -> NDArray[Any]:
    return read_inputs([path], Preprocessing.from_settings(PreprocessingSettings(**settings)))[0]


def normalised(image: Image.Image, mean: Any = MEAN, std: Any = STD, white: int = 1) -> NDArray[np.float32]:
    """Return an image as torchvision's ToTensor and Normalize do."""
    tensor = torch.from_numpy(np.atleast_3d(np.array(image))).permute(2, 0, 1).float() / (255 / white)
    return ((tensor - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]).numpy()


def cut(image: Image.Image, height: int, width: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("turned", [False, True])
def test_the_shorter_side_is_brought_to_size_and_the_centre_cut_out(picture: Path, kind: str, turned: bool) -> None:
    opened: Image.Image = Image.open(picture)
    if turned:
        opened = opened.transpose(Image.Transpose.ROTATE_90)
        opened.save(picture)
    sides = (int(20 * 61 / 47), 20)
    resized = opened.resize(sides[::-1] if turned else sides, FILTERS[kind])
    found = read(picture, size=16, resize_to=20, interpolation=kind)
    assert found.dtype == np.float32
    assert np.array_equal(found, normalised(cut(resized, 16, 16)))
    wide = read(picture, size=[12, 18], resize_to=20, interpolation=kind)
    assert np.array_equal(wide, normalised(cut(resized, 12, 18)))


def test_both_sides_are_stretched(picture: Path) -> None:
    opened = Image.open(picture)
    wanted = normalised(opened.resize((30, 20), FILTERS["bilinear"]))
    assert np.array_equal(read(picture, size=[20, 30], resize="stretch"), wanted)
    larger = cut(opened.resize((34, 22), FILTERS["bicubic"]), 20, 20)
    found = read(picture, size=20, resize="stretch", resize_to=[22, 34], interpolation="bicubic")
    assert np.array_equal(found, normalised(larger))


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_without_antialias_nothing_is_smoothed(picture: Path, kind: str) -> None:
    pixels = torch.from_numpy(np.array(Image.open(picture))).permute(2, 0, 1).double()[None]
    resized = interpolate(pixels, (20, 30), mode=kind, align_corners=False)[0].float() / 255
    wanted = ((resized - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]).numpy()
    found = read(picture, size=[20, 30], resize="stretch", antialias=False, interpolation=kind)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    smoothed = read(picture, size=[20, 30], resize="stretch", interpolation=kind)
    assert np.abs(found - smoothed).max() > 0.1


def test_channels_can_be_blue_first_or_grey_and_white_255(picture: Path) -> None:
    opened = Image.open(picture)
    caffe = {"size": [47, 61], "resize": "none", "colour": "bgr", "white": 255, "mean": [104, 117, 123], "std": "none"}
    pixels = np.array(opened)
    wanted = np.stack([pixels[..., 2] - 104.0, pixels[..., 1] - 117.0, pixels[..., 0] - 123.0])
    assert np.array_equal(read(picture, **caffe), wanted)
    named = {"size": [47, 61], "resize": "none", "colour": "bgr"}
    np.testing.assert_array_equal(read(picture, **named), normalised(opened)[::-1])
    np.testing.assert_allclose(read(picture, **named, white=255), normalised(opened)[::-1], rtol=0, atol=1e-5)
    grey = {"size": 16, "colour": "grey", "mean": [0.5], "std": [0.25]}
    small = opened.convert("L").resize((int(16 * 61 / 47), 16), FILTERS["bilinear"])
    found = read(picture, **grey)
    assert found.shape == (1, 16, 16)
    assert np.array_equal(found, normalised(cut(small, 16, 16), (0.5,), (0.25,)))


def test_descriptions_become_plain_values_and_back() -> None:
    paper = imagenet_preprocessing(8)
    assert paper.as_dict() == {"size": 8, "mean": list(paper.mean), "std": list(paper.std), "resize": True}
    stimuli = {"size": 8, "mean": [127.5] * 3, "std": [64.0] * 3, "resize": False}
    assert stimulus_preprocessing(8).as_dict() == stimuli
    assert Preprocessing.from_dict(stimuli) == stimulus_preprocessing(8)
    settings = PreprocessingSettings(size=(3, 4), colour="bgr", resize_to=5, interpolation="bicubic", mean=(0.5,))
    own = OwnPreprocessing("a.py:b", "f" * 64, (1, 2, 3), whole=True)
    for each in (paper, Preprocessing.from_settings(settings), own, NoPreprocessing((7,))):
        assert preprocessing_from_dict(each.as_dict()) == each
    assert Preprocessing.from_settings(settings).shape == (3, 3, 4)
    assert [usual_preprocessing(shape).shape for shape in ((3, 4, 5), (1, 6, 6), (9,))] == [(3, 4, 5), (1, 6, 6), (9,)]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"size": 0}, "'preprocessing.size': found 0; accepted is pixels of both sides, or height and width in a list"),
        ({"size": [1, 2, 3]}, "'preprocessing.size': found [1, 2, 3]; accepted is pixels of both sides"),
        ({"mean": "imagnet"}, "'preprocessing.mean': found 'imagnet'; accepted is imagenet, inception, clip or none"),
        ({"std": [0, 1, 1]}, "'preprocessing.std.0': found 0; accepted is a number above 0."),
        ({"mean": [1, 2]}, "'preprocessing.mean': found 2 numbers; accepted is one, or one for each of 3."),
        (
            {"colour": "grey"},
            "'preprocessing.mean': found imagenet; accepted with colour: grey is a list",
        ),
        (
            {"resize": "none", "resize_to": 256},
            "'preprocessing.resize_to': found 256; accepted is null",
        ),
        ({"resize_to": 200}, "'preprocessing.resize_to': found 200; accepted is at least 224, as `size`."),
        ({"resize_to": [256, 256]}, "'preprocessing.resize_to': found [256, 256]; accepted is the shorter side alone"),
        ({"interpolation": "lanczos", "antialias": False}, "'preprocessing.antialias': found false; accepted is true"),
        ({"sise": 3}, "'preprocessing.sise' is not known; the nearest is 'preprocessing.size'."),
    ],
)
def test_what_contradicts_itself_is_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        check_block(PreprocessingSettings, "preprocessing", given)
    assert f"config key {sentence}" in str(error.value)


def test_a_users_function_prepares_images(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(picture.parent)
    Path("mynet.py").write_text(
        "import numpy as np\nimport torch\nfrom helper import STEP\n"
        "def prepare(image):\n    return torch.from_numpy(np.array(image.convert('L'))[None, ::STEP, ::STEP] / 2)\n"
        "def count(image):\n    return np.arange(image.width) % 7\n"
        "def by_chance(image, sizes=[2, 3]):\n    return np.zeros(sizes.pop())\n"
        "def words(image):\n    return 'abc'\n"
        "def fail(image):\n    return image.nowhere\n"
    )
    Path("helper.py").write_text("STEP = 3\n")
    look = known_preprocessing("mynet.py:prepare", network=lambda: None, first=picture)
    assert isinstance(look, OwnPreprocessing)
    assert (look.shape, look.whole) == ((1, 16, 21), False)
    found = read_inputs([picture], look)
    assert found.dtype == np.float32
    assert np.array_equal(found[0, 0], np.array(Image.open(picture).convert("L"))[::3, ::3] / 2)
    tokens = known_preprocessing("mynet.py:count", network=lambda: None, first=picture)
    assert (tokens.shape, tokens.whole) == ((61,), True)
    assert read_inputs([picture], tokens).dtype == np.int64
    with pytest.raises(InputError, match=r"by_chance' gives float32 \[2\] for image .*; accepted is float32 \[3\]"):
        read_inputs([picture], known_preprocessing("mynet.py:by_chance", network=lambda: None, first=picture))
    with pytest.raises(InputError, match=r"'mynet.py:words' gives a str for image .*; accepted is an array or tensor"):
        known_preprocessing("mynet.py:words", network=lambda: None, first=picture)
    with pytest.raises(OwnCodeError, match=r"'mynet.py:fail' fails for image .*\n(.*\n)*.*has no attribute 'nowhere'"):
        known_preprocessing("mynet.py:fail", network=lambda: None, first=picture)
    Path("helper.py").write_text("STEP = 4\n")
    changed = known_preprocessing("mynet.py:prepare", network=lambda: None, first=picture)
    assert isinstance(changed, OwnPreprocessing)
    assert changed.sha256 != look.sha256
    with pytest.raises(InputError, match=r"'mynet.py:prepare' has changed since .*; accepted is the code as it was"):
        read_inputs([picture], look)


def test_an_image_that_is_a_line_is_refused_before_it_takes_gigabytes(tmp_path: Path) -> None:
    Image.new("RGB", (400_000, 1)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"has 400000 x 1 pixels, which would become 89600000 x 224; accepted are at"):
        read(tmp_path / "a.png", size=224)


def test_other_texts_are_refused(picture: Path) -> None:
    with pytest.raises(InputError, match=r"found 'imagenet'; accepted is a block of keys, torchvision:WEIGHTS"):
        known_preprocessing("imagenet", network=lambda: None, first=picture)
    with pytest.raises(InputError, match=r"image .*a.png is a file of an image; accepted without preprocessing are"):
        known_preprocessing("none", network=lambda: None, first=picture)


def test_a_library_that_is_missing_is_named(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torchvision", "timm"):
        monkeypatch.setitem(sys.modules, name, None)
        said = f"{name}:R.V" if name == "torchvision" else name
        with pytest.raises(InputError, match=f"needs the package {name}, which is not installed; accepted is pip inst"):
            known_preprocessing(said, network=lambda: None, first=picture)


def test_torchvision_and_timm_are_read_into_plain_values(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As both libraries say it: the attributes that torchvision 0.28 and timm 1.0 have, which CI does not install."""
    kind = type("ImageClassification", (), {})()
    for name, value in {"crop_size": [224], "resize_size": [232], "mean": list(MEAN), "std": list(STD)}.items():
        setattr(kind, name, value)
    kind.interpolation = SimpleNamespace(value="bilinear")
    found = {"R.V": SimpleNamespace(transforms=lambda: kind), "R.S": SimpleNamespace(transforms=object)}
    models, data = ModuleType("torchvision.models"), ModuleType("timm.data")
    models.get_weight = found.__getitem__  # type: ignore[attr-defined]
    read_config = {"input_size": (3, 224, 224), "interpolation": "bicubic", "mean": MEAN, "std": STD}
    data.resolve_data_config = lambda _, model: read_config | model.pretrained_cfg  # type: ignore[attr-defined]
    for module in (models, data):
        monkeypatch.setitem(sys.modules, module.__name__.partition(".")[0], ModuleType("package"))
        monkeypatch.setitem(sys.modules, module.__name__, module)

    def known(said: str, **config: Any) -> Any:
        network = SimpleNamespace(pretrained_cfg=config)
        return known_preprocessing(said, network=lambda: network, first=picture)

    wanted = PreprocessingSettings(size=224, resize_to=232)
    assert known("torchvision:R.V") == Preprocessing.from_settings(wanted)
    wanted = PreprocessingSettings(size=224, resize_to=235, interpolation="bicubic")
    assert known("timm", crop_pct=0.95, crop_mode="center") == Preprocessing.from_settings(wanted)
    wanted = PreprocessingSettings(size=224, resize="stretch", resize_to=(248, 248), interpolation="bicubic")
    assert known("timm", crop_pct=0.9, crop_mode="squash") == Preprocessing.from_settings(wanted)
    with pytest.raises(InputError, match=r"torchvision has no weights 'R.X'; accepted are weights that classify"):
        known("torchvision:R.X")
    with pytest.raises(InputError, match=r"'R.S' are weights for object; accepted are weights that classify images"):
        known("torchvision:R.S")
    with pytest.raises(InputError, match=r"found images of 3 x 224 x 224, crop mode border; accepted are square RGB"):
        known("timm", crop_pct=0.9, crop_mode="border")
    with pytest.raises(InputError, match=r"timm, found a SimpleNamespace without a configuration; accepted is a model"):
        known("timm")


def test_networks_take_images_of_any_shape(tmp_path: Path) -> None:
    grey = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(200, 3))
    found = describe_network(grey, (1, 7, 12))
    assert found.input_shape == (1, 7, 12)
    assert found.forward == 4 * 9 * 5 * 10 + 200 * 3
    assert [layer.units for layer in found.layers] == [4, 3]
    assert NetworkDescription.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    with pytest.raises(InputError, match="mat1 and mat2 shapes cannot be multiplied"):
        describe_network(grey, (1, 8, 12))
    tokens = torch.nn.Sequential(torch.nn.Embedding(11, 6), torch.nn.Flatten(), torch.nn.Linear(30, 2))
    described = describe_network(tokens, (5,), whole=True)
    assert (described.input_shape, described.forward) == ((5,), 60)
    # 4 bytes a number, three times over
    images = 10**6
    added = job_mb(found, images) - job_mb(replace(found, input_shape=(1, 1, 1)), images)
    assert abs(added - 3 * 4 * images * (1 * 7 * 12 - 1) / 2**20) <= 500


def test_files_say_the_shape_of_images_or_are_told_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    grey = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(200, 3)).eval()
    contents = Contents(grey, image_shape=(1, 7, 12))
    here = ModuleType("here")
    here.NAME, here.sniff, here.read = "files here", lambda path: True, lambda path: contents  # type: ignore[attr-defined]
    monkeypatch.setattr("featuresharing.networks.formats.formats", lambda: iter([here]))
    (tmp_path / "a").write_bytes(b"a")
    found = open_network(tmp_path / "a")
    assert (found.preprocessing.shape, found.classes) == ((1, 7, 12), (3,))
    contents = Contents(grey)
    assert open_network(tmp_path / "a", image_size=(1, 7, 12)).preprocessing == found.preprocessing
    with pytest.raises(InputError, match=r"does not take grey images of 7 x 7 pixels \(.*\); accepted is one that"):
        open_network(tmp_path / "a", image_size=(1, 7, 7))
    Image.fromarray(np.arange(84, dtype=np.uint8).reshape(7, 12)).save(tmp_path / "a.png")
    wanted = (np.arange(84, dtype=np.float32).reshape(1, 7, 12) - 255 * 0.449) / (255 * 0.226)
    np.testing.assert_allclose(read_inputs([tmp_path / "a.png"], found.preprocessing)[0], wanted, rtol=0, atol=1e-6)


def test_images_of_another_size_are_others_where_the_file_does_not_say_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    any_size = [torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)]
    contents = Contents(torch.nn.Sequential(*any_size).eval())
    here = ModuleType("here")
    here.NAME, here.sniff, here.read = "files here", lambda path: True, lambda path: contents  # type: ignore[attr-defined]
    monkeypatch.setattr("featuresharing.networks.formats.formats", lambda: iter([here]))
    (tmp_path / "a").write_bytes(b"a")
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png 0\n")
    (tmp_path / "classes.csv").write_text("task,index,name\nx,0,a\nx,1,b\n")
    listed = ListFiles(tmp_path / "list.txt", tmp_path / "classes.csv")
    sizes: list[Any] = [None, 224, 32, (3, 32, 16), (3, 16, 32)]
    found = [subject_of_files(tmp_path / "a", listed, image_size=size).images_sha256 for size in sizes]
    assert found[0] == found[1] == file_digest(tmp_path / "a.png")  # as results of before have it
    assert len(set(found)) == 4
    contents = Contents(contents.network, image_shape=(3, 32, 16))
    assert subject_of_files(tmp_path / "a", listed, image_size=7).images_sha256 == found[0]


def test_the_command_line_takes_height_and_width() -> None:
    assert image_size("24") == 24
    assert image_size("24x16") == (3, 24, 16)
    for wrong in ("24x", "x3", "0x4", "a", "1x2x3"):
        with pytest.raises(ArgumentTypeError, match="accepted is an integer from 1 to 8192"):
            image_size(wrong)


def test_all_weights_of_torchvision_that_classify_images_are_preprocessed_as_it_does(picture: Path) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    seen = {}
    for name in models.list_models():
        for weights in models.get_model_weights(name):
            transforms = weights.transforms()
            if type(transforms).__name__ == "ImageClassification":
                seen[str(vars(transforms))] = (str(weights), transforms)
    assert len(seen) > 20
    for name, transforms in seen.values():
        look = known_preprocessing(f"torchvision:{name}", network=lambda: None, first=picture)
        with Image.open(picture) as image:
            assert np.array_equal(read_inputs([picture], look)[0], transforms(image.convert("RGB")).numpy()), name


def test_configurations_of_timm_are_preprocessed_as_it_does(picture: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    seen, refused = {}, 0
    for name in timm.list_models():
        if config := timm.get_pretrained_cfg(name):
            network = SimpleNamespace(pretrained_cfg=config.to_dict())
            seen[str(timm.data.resolve_data_config({}, model=network))] = network
    for network in seen.values():
        try:
            look = known_preprocessing("timm", network=lambda found=network: found, first=picture)  # type: ignore[misc]
        except InputError:
            refused += 1
            continue
        transforms = timm.data.create_transform(**timm.data.resolve_data_config({}, model=network), is_training=False)
        with Image.open(picture) as image:
            assert np.array_equal(read_inputs([picture], look)[0], transforms(image.convert("RGB")).numpy())
    assert len(seen) > 100
    assert refused < 5
