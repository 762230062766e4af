"""Networks that others made, from their files through the workflow to the figure, against naive loops.

tests/test_real_caffe.py and tests/test_real_onnx.py show that scores are those of OpenCV and onnxruntime.
"""

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from featuresharing import load_network
from tests.support import face_networks, keras_network
from tests.support.commands import FONT
from tests.support.files import rows
from tests.support.naive import predict_naively
from tests.support.real_networks import real_file
from tests.support.real_runs import (
    Scored,
    draw_kinds,
    largest_differences,
    likeliest,
    read_pixels,
    run_experiments,
    write_stimuli,
)

Array = NDArray[Any]

pytestmark = pytest.mark.end_to_end

CONTRIBUTIONS, ACCURACY, SHARING = (
    f"results/{name}" for name in ("tables/contributions.csv", "tables/accuracy.csv", "figures/sharing.png")
)

FACES: dict[str, tuple[str, int, dict[str, Any], dict[str, Any]]] = {
    "pnet": ("Proposals", 24, {"head": "face", "reduce": "mean"}, {}),
    "rnet": ("Refinement", 24, {"head": "face"}, {}),
    "onet": ("Output", 48, {"head": 2}, {"kind": {"head": "probe"}}),
}
"""By network the class, the size of images, the head of faces, and another task."""


IMAGENET = (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))
"""Mean and deviation of red, green and blue, of 1 for white."""

RATINGS = ["decent", "indecent"]


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    return draw_kinds(tmp_path_factory.mktemp("real") / "images")


def face_scores(outputs: Any) -> Tensor:
    """Logarithms of the probabilities of faces, of maps their mean over positions."""
    found = (outputs["face"] if isinstance(outputs, dict) else outputs[2]).double().log()
    return found if found.ndim == 2 else found.mean(dim=(2, 3))


def check(results: Path, differences: dict[str, dict[str, float]], predicted: str) -> None:
    """Compare differences with what is allowed; the task whose labels are the network's own is right on all images."""
    for experiment, found in differences.items():
        for what, difference in found.items():
            assert difference < 1e-5, (experiment, what)
    accuracy = [row for row in rows(results / "tables/accuracy.csv") if row["task"] == predicted]
    assert len(accuracy) == len(differences)
    assert {float(row["accuracy"]) for row in accuracy} == {1.0}
    sharing = rows(results / "tables/sharing.csv")
    several = {name for name, found in differences.items() if sum(what.startswith("predictions") for what in found) > 1}
    assert {row["experiment"] for row in sharing} == several
    assert all(0 < float(row["sharing"]) <= 1 for row in sharing)
    assert (results / "figures/sharing.png").stat().st_size > 5000


def test_state_dicts_of_networks_that_find_faces(tmp_path: Path, drawings: dict[Path, str]) -> None:
    layers = {"first": "conv1", "third": "conv3"}
    shutil.copy(str(face_networks.__file__), tmp_path / "mynet.py")
    experiments, networks, readers = [], {}, {}
    for name, (kind, size, head, others) in FACES.items():
        weights = real_file(f"facenet/{name}.pt")
        network = getattr(face_networks, kind)()
        network.load_state_dict(torch.load(weights, weights_only=True))
        networks[name] = Scored(network, {"face": face_scores})
        readers[name] = lambda path, size=size: read_pixels(path, (size, size), [127.5], 128)
        pixels = np.stack([readers[name](path) for path in drawings])
        labels = {"face": likeliest(network, face_scores, pixels, ["other", "face"])}
        write_stimuli(tmp_path / f"{name}.csv", list(drawings), labels | {"kind": list(drawings.values())})
        experiments.append(
            {
                "name": name,
                "network": {"build": f"mynet.py:{kind}", "checkpoints": {"final": str(weights)}},
                "tasks": {"face": {**head, "returns": "probabilities", "names": ["other", "face"]}, **others},
                "images": f"{name}.csv",
                "preprocessing": {"size": size, "resize": "stretch", "white": 255, "mean": [127.5], "std": [128]},
            }
        )
    results = run_experiments(tmp_path, experiments, layers, ACCURACY, SHARING)
    found = {name: largest_differences(results, name, networks[name], readers[name], layers) for name in FACES}
    check(results, found, "face")


def test_a_network_of_caffe_that_rates_pictures(tmp_path: Path, drawings: dict[Path, str]) -> None:
    layers = {"narrow": "conv_stage3_block2_branch2a", "wide": "conv_stage3_block2_branch2b"}
    weights = real_file("nsfw/resnet_50_1by2_nsfw.caffemodel")
    real_file("nsfw/deploy.prototxt")
    network = Scored(load_network(weights), {"rating": lambda scores: scores})

    def read(path: Path) -> Array:
        return read_pixels(path, (256, 256), [104, 117, 123], 1, crop=16, bgr=True)

    rated = likeliest(network.network, torch.Tensor.double, np.stack([read(path) for path in drawings]), RATINGS)
    write_stimuli(tmp_path / "stimuli.csv", list(drawings), {"rating": rated, "kind": list(drawings.values())})
    look = {"size": 224, "resize": "stretch", "resize_to": [256, 256], "colour": "bgr", "white": 255, "std": "none"}
    experiment = {
        "name": "nsfw",
        "network": {"checkpoints": {"final": str(weights)}},
        "tasks": {"rating": {"names": RATINGS}, "kind": {"head": "probe"}},
        "images": "stimuli.csv",
        "preprocessing": look | {"mean": [104, 117, 123]},
    }
    results = run_experiments(tmp_path, [experiment], layers, ACCURACY, SHARING)
    check(results, {"nsfw": largest_differences(results, "nsfw", network, read, layers)}, "rating")


def test_a_network_in_onnx_that_tells_how_lines_of_text_are_turned(tmp_path: Path) -> None:
    onnxruntime: Any = pytest.importorskip("onnxruntime")
    layers = {"first": "Conv_0", "depthwise": "Conv_2"}
    path = real_file("rapidocr/ch_ppocr_mobile_v2.0_cls_infer.onnx")
    written = write_lines(tmp_path / "lines")
    network = Scored(load_network(path), {"turned": lambda scores: scores})

    def read(image: Path) -> Array:
        return read_pixels(image, (192, 48), [127.5], 127.5)

    # the labels are those that the drawing has, and the file's own runner has to see them
    session = onnxruntime.InferenceSession(path.read_bytes())
    (said,) = session.run(None, {session.get_inputs()[0].name: np.stack([read(image) for image in written])})
    assert said.argmax(axis=1).tolist() == [["upright", "turned"].index(turned) for turned, _ in written.values()]
    turned, inks = zip(*written.values(), strict=True)
    write_stimuli(tmp_path / "stimuli.csv", list(written), {"turned": turned, "ink": inks})
    experiment = {
        "name": "lines",
        "network": {"checkpoints": {"final": str(path)}},
        "tasks": {"turned": {"names": ["upright", "turned"]}, "ink": {"head": "probe", "layer": "Conv_10"}},
        "images": "stimuli.csv",
        "preprocessing": {"size": [48, 192], "resize": "stretch", "mean": "inception", "std": "inception"},
    }
    results = run_experiments(tmp_path, [experiment], layers, ACCURACY, SHARING)
    check(results, {"lines": largest_differences(results, "lines", network, read, layers)}, "turned")


def write_lines(folder: Path) -> dict[Path, tuple[str, str]]:
    """Draw lines of text, half of them turned by 180 degrees, dark on light or light on dark; return both by path."""
    folder.mkdir()
    found = {}
    font = ImageFont.truetype(str(FONT), 30)
    for number in range(24):
        is_turned, is_dark = number % 2, number // 2 % 2
        paper, ink = ("white", "black") if is_dark else ("black", "yellow")
        image = Image.new("RGB", (192, 48), paper)
        ImageDraw.Draw(image).text((96, 24), f"Letter {number}, please", fill=ink, font=font, anchor="mm")
        path = folder / f"{number}.png"
        (image.rotate(180) if is_turned else image).save(path)
        found[path] = ("turned" if is_turned else "upright", "dark" if is_dark else "light")
    return found


def test_a_network_of_keras_exported_to_onnx(tmp_path: Path, drawings: dict[Path, str]) -> None:
    pytest.importorskip("keras")
    onnxruntime: Any = pytest.importorskip("onnxruntime")
    layers = {"convolution": "Conv", "hidden": "MatMul"}
    path = tmp_path / "network.onnx"
    subprocess.run([sys.executable, str(keras_network.__file__), str(path)], check=True, capture_output=True)
    classes = {"kind": ["a", "b"], "tone": ["c", "d", "e"]}
    network = Scored(load_network(path), {task: partial(by_place, place) for place, task in enumerate(classes)})

    def read(image: Path) -> Array:
        return read_pixels(image, (48, 48), [127.5], 127.5)

    # the labels are what the file's own runner says, which the run therefore has to get right
    pixels = np.stack([read(image) for image in drawings])
    session = onnxruntime.InferenceSession(path.read_bytes())
    said = session.run(None, {session.get_inputs()[0].name: pixels.transpose(0, 2, 3, 1)})
    for found, wanted in zip(predict_naively(network, torch.from_numpy(pixels)), said, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    labels = {
        task: [names[place] for place in found.argmax(axis=1)]
        for (task, names), found in zip(classes.items(), said, strict=True)
    }
    write_stimuli(tmp_path / "stimuli.csv", list(drawings), labels)
    experiment = {
        "name": "keras",
        "network": {"checkpoints": {"final": str(path)}},
        "tasks": {task: {"head": place, "names": names} for place, (task, names) in enumerate(classes.items())},
        "images": "stimuli.csv",
        "preprocessing": {"size": 48, "resize": "stretch", "mean": "inception", "std": "inception"},
    }
    results = run_experiments(tmp_path, [experiment], layers, ACCURACY, SHARING)
    check(results, {"keras": largest_differences(results, "keras", network, read, layers)}, "kind")


def by_place(place: int, outputs: Any) -> Tensor:
    """The scores of an output by its place."""
    return list(outputs.values() if isinstance(outputs, dict) else outputs)[place]


def test_networks_of_torchvision_and_timm_by_name(tmp_path: Path, drawings: dict[Path, str]) -> None:
    torchvision: Any = pytest.importorskip("torchvision")
    timm: Any = pytest.importorskip("timm")
    layers = {"first": "layer4.0.conv1", "second": "layer4.0.conv2"}
    torch.manual_seed(0)
    resnet = torchvision.models.resnet18(num_classes=5)
    torch.manual_seed(0)
    tiny = timm.create_model("resnet10t", num_classes=5, zero_init_last=False)
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=tiny))

    def read(path: Path) -> Array:
        return read_pixels(path, (64, 64), 255 * IMAGENET[0], 255 * IMAGENET[1])

    def transformed(path: Path) -> Array:
        with Image.open(path) as image:
            return np.asarray(transform(image.convert("RGB")), np.float32)

    named: dict[str, tuple[str, dict[str, Any], Any, Any, Any]] = {
        "resnet18": ("torchvision", {}, resnet, read, {"size": 64, "resize": "stretch"}),
        "resnet10t": ("timm", {"zero_init_last": False}, tiny, transformed, "timm"),  # or its last layer does nothing
    }
    experiments, found = [], {}
    for name, (library, arguments, network, reader, look) in named.items():
        pixels = np.stack([reader(path) for path in drawings])
        said = likeliest(network.eval(), torch.Tensor.double, pixels, list("01234"))
        write_stimuli(tmp_path / f"{name}.csv", list(drawings), {"top": said, "kind": list(drawings.values())})
        experiments.append(
            {
                "name": name,
                "network": {"build": f"{library}:{name}", "arguments": {"num_classes": 5, **arguments}},
                "tasks": {"top": {"head": 0}, "kind": {"head": "probe"}},
                "images": f"{name}.csv",
                "preprocessing": look,
            }
        )
    results = run_experiments(tmp_path, experiments, layers, ACCURACY, SHARING)
    for name, (_, _, network, reader, _) in named.items():
        scored = Scored(network, {"top": lambda scores: scores})
        found[name] = largest_differences(results, name, scored, reader, layers, checkpoint="built")
    check(results, found, "top")
