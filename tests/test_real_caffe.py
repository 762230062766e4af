"""A network of Caffe that others trained: open_nsfw, a thin ResNet-50, fetched by benchmarks/fetch_networks.py."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from featuresharing import marginalize, prior_draws, read_conditionals
from featuresharing.engine.describing import describe_file
from featuresharing.networks.opening import StoredNetwork, open_network
from tests.support.naive import marginalize_naively
from tests.support.real_networks import real_file
from tests.support.workflows import run_snakemake

MEAN = np.array([104, 117, 123], np.float32).reshape(3, 1, 1)
"""Of blue, green and red, as the network takes them."""


def images_like_photographs(count: int) -> NDArray[np.float32]:
    """Return images [N, 3, 224, 224] whose power falls with frequency as that of photographs does, less the mean."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(224), np.fft.rfftfreq(224), indexing="ij"))
    amplitude = 1 / np.maximum(frequency, 1 / 224)
    waves = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(count, 3, 224, 224))) * amplitude, s=(224, 224))
    return np.clip(127 + 50 * waves / waves.std(), 0, 255).astype(np.float32) - MEAN


@pytest.fixture
def pair() -> tuple[Path, Path]:
    return real_file("nsfw/deploy.prototxt"), real_file("nsfw/resnet_50_1by2_nsfw.caffemodel")


@pytest.fixture
def stored(pair: tuple[Path, Path]) -> StoredNetwork:
    return open_network(pair[0])


def test_its_scores_are_those_that_opencv_computes(pair: tuple[Path, Path], stored: StoredNetwork) -> None:
    cv2: Any = pytest.importorskip("cv2")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip(f"OpenCV {cv2.__version__} reads no networks of Caffe: pip install 'opencv-python-headless<5'")
    images = images_like_photographs(4)
    other = cv2.dnn.readNetFromCaffe(*map(str, pair))
    with torch.no_grad():
        scores = stored.network(torch.from_numpy(images))
    for blob, found in (("fc_nsfw", scores), ("prob", scores.softmax(dim=1))):
        other.setInput(images)
        np.testing.assert_allclose(found.numpy(), other.forward(blob), rtol=0, atol=1e-4)


def test_what_it_holds(pair: tuple[Path, Path], stored: StoredNetwork) -> None:
    assert (stored.classes, stored.preprocessing.shape) == ((2,), (3, 224, 224))
    assert stored.notes == ("layer 228 'prob' ('Softmax') of deploy.prototxt was left out: networks give raw scores.",)
    described = describe_file(pair[1])
    assert len(described.layers) == 54
    assert [described.layers[place].path for place in (0, -1)] == ["conv_1", "fc_nsfw"]
    assert all(layer.refused is None for layer in described.layers)


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["conv_stage2_block1_branch2b", "conv_stage3_block2_branch2c"])
def test_units_are_marginalized_as_by_a_naive_loop(layer: str, stored: StoredNetwork) -> None:
    images = images_like_photographs(2)
    draws = [prior_draws(stored.network, layer, unit, samples=3) for unit in (0, 5)]
    wanted = marginalize_naively(stored.network, layer, torch.from_numpy(images), [0, 5], draws)
    found = marginalize(stored.network, layer, images, samples=3, units=[0, 5], tolerance=0)
    for given, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-5)


CONFIG = """
source: network
experiments:
  - name: nsfw
    network: {checkpoints: {final: WEIGHTS}}
    tasks: {safe: {head: 0}}
    images: stimuli.csv
    preprocessing: {colour: bgr, white: 255, mean: [104, 117, 123], std: none, size: 224, resize: none}
layers: {output: fc_nsfw}
marginalization: {samples: 10, tolerance: 0}
"""


@pytest.mark.end_to_end
def test_the_workflow_takes_it(pair: tuple[Path, Path], stored: StoredNetwork, tmp_path: Path) -> None:
    pixels = (images_like_photographs(3) + MEAN).astype(np.uint8)
    inputs = torch.from_numpy(pixels.astype(np.float32) - MEAN)
    with torch.no_grad():
        classes = stored.network(inputs).argmax(dim=1).tolist()  # those that it gets right are analysed
    for place, image in enumerate(pixels):
        Image.fromarray(np.ascontiguousarray(image[::-1].transpose(1, 2, 0))).save(tmp_path / f"{place}.png")
    lines = [f"{place}.png,{number}" for place, number in enumerate(classes)]
    (tmp_path / "stimuli.csv").write_text("\n".join(["path,safe", *lines]))
    (tmp_path / "config.yaml").write_text(CONFIG.replace("WEIGHTS", str(pair[1])))
    target = "results/marginal/nsfw/output_final.h5"
    result = run_snakemake(tmp_path, target, configs=[tmp_path / "config.yaml"])
    assert result.returncode == 0, result.stderr
    found = read_conditionals(tmp_path / target)
    draws = [prior_draws(stored.network, "fc_nsfw", unit, samples=10) for unit in (0, 1)]
    (wanted,) = marginalize_naively(stored.network, "fc_nsfw", inputs, [0, 1], draws)
    own = wanted[:, range(3), classes]
    np.testing.assert_allclose(found.conditionals["safe"], own, rtol=0, atol=1e-5)
