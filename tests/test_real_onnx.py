"""A network in ONNX that others trained: is a line of text upside down? Fetched by benchmarks/fetch_networks.py."""

from pathlib import Path

import numpy as np
import pytest
import torch

from featuresharing import marginalize, prior_draws
from featuresharing.engine.describing import describe_file
from featuresharing.networks.opening import StoredNetwork, open_network
from tests.support.naive import marginalize_naively
from tests.support.real_networks import real_file

onnxruntime = pytest.importorskip("onnxruntime")

SHAPE = (3, 48, 192)
IMAGES = np.random.default_rng(0).uniform(-1, 1, size=(4, *SHAPE)).astype(np.float32)


@pytest.fixture
def path() -> Path:
    return real_file("rapidocr/ch_ppocr_mobile_v2.0_cls_infer.onnx")


@pytest.fixture
def stored(path: Path) -> StoredNetwork:
    return open_network(path, image_size=SHAPE)


def test_its_predictions_are_those_that_onnxruntime_computes(path: Path, stored: StoredNetwork) -> None:
    session = onnxruntime.InferenceSession(str(path))
    (wanted,) = session.run(None, {"x": IMAGES})
    with torch.no_grad():
        found = stored.network(torch.from_numpy(IMAGES)).softmax(dim=1).numpy()
    assert np.ptp(wanted) > 0.01
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


def test_what_it_holds(path: Path, stored: StoredNetwork) -> None:
    assert (stored.classes, stored.tasks, stored.preprocessing.shape) == ((2,), None, SHAPE)
    (note,) = stored.notes
    assert note.startswith("operator 'Softmax' of node 'Softmax@0' (the ")
    described = describe_file(path, image_size=SHAPE)
    assert [layer.path for layer in described.layers] == [*(f"Conv_{place}" for place in range(53)), "MatMul_0"]
    assert all(layer.refused is None for layer in described.layers)


@pytest.mark.parametrize("layer", ["Conv_0", "Conv_30", "MatMul_0"])
def test_units_are_marginalized_as_by_a_naive_loop(layer: str, stored: StoredNetwork) -> None:
    draws = [prior_draws(stored.network, layer, unit, samples=4) for unit in (0, 1)]
    wanted = marginalize_naively(stored.network, layer, torch.from_numpy(IMAGES), [0, 1], draws)
    found = marginalize(stored.network, layer, IMAGES, samples=4, units=[0, 1], tolerance=0)
    for given, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-5)
