"""Networks of Keras, by the route of docs/formats.md: exported to ONNX by Keras itself, on the backend of torch."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from featuresharing import marginalize, prior_draws
from featuresharing.engine.describing import describe_file
from featuresharing.networks.opening import open_network
from tests.support.naive import marginalize_naively

SCRIPT = """
import sys
import keras
import numpy as np

keras.utils.set_random_seed(0)
layers = keras.layers
network = keras.Sequential([
    keras.Input((16, 12, 3)),
    layers.Rescaling(1 / 127.5, offset=-1),
    layers.Conv2D(6, 3, padding="same", activation="relu", bias_initializer="random_normal"),
    layers.BatchNormalization(),
    layers.MaxPooling2D(),
    layers.DepthwiseConv2D(3, strides=2, padding="same", bias_initializer="random_normal"),
    layers.Conv2D(8, 3, activation="swish", bias_initializer="random_normal"),
    layers.GlobalAveragePooling2D(),
    layers.Dropout(0.3),
    layers.Dense(5, activation="softmax", bias_initializer="random_normal"),
])
images = np.random.default_rng(0).uniform(0, 255, size=(4, 16, 12, 3)).astype("float32")
np.savez(sys.argv[2], images=images, predictions=network.predict(images, verbose=0))
network.export(sys.argv[1], format="onnx", verbose=False)
"""


@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="Keras is not installed: pip install keras onnx")
def test_a_network_of_keras_agrees_with_its_own_predictions(tmp_path: Path) -> None:
    path, numbers = tmp_path / "x.onnx", tmp_path / "x.npz"
    command = [sys.executable, "-c", SCRIPT, str(path), str(numbers)]
    subprocess.run(command, env={**os.environ, "KERAS_BACKEND": "torch"}, check=True, capture_output=True)
    stored = open_network(path)
    assert (stored.preprocessing.shape, stored.classes) == ((3, 16, 12), (5,))
    assert any("[N, H, W, C]" in note for note in stored.notes)
    assert any("'Softmax'" in note for note in stored.notes)
    with np.load(numbers) as kept:
        images = torch.from_numpy(kept["images"].transpose(0, 3, 1, 2).copy())
        with torch.no_grad():
            found = stored.network(images).softmax(dim=1).numpy()
        np.testing.assert_allclose(found, kept["predictions"], rtol=0, atol=1e-4)
    for layer in ("Conv_2", "MatMul"):
        draws = [prior_draws(stored.network, layer, unit, samples=8) for unit in (0, 3)]
        wanted = marginalize_naively(stored.network, layer, images, [0, 3], draws)
        units = marginalize(stored.network, layer, images, samples=8, units=[0, 3], tolerance=0)
        for given, expected in zip(units, wanted, strict=True):
            np.testing.assert_allclose(given, expected, rtol=0, atol=1e-5)
    layers = describe_file(path).layers
    assert [(layer.kind, layer.units) for layer in layers] == [
        ("Conv2d", 6),
        ("Conv2d", 6),
        ("Conv2d", 8),
        ("Linear", 5),
    ]
    assert [layer.size for layer in layers] == [28, 9, 55, 9]
