"""Write a network of Keras as ONNX: ``python keras_network.py FILE``; Keras takes torch for its computations then."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")


def export(path: Path) -> None:
    """Write a network for images [N, 48, 48, 3], with probabilities ``kind`` [N, 2] and ``tone`` [N, 3]."""
    keras: Any = import_module("keras")
    layers = keras.layers

    keras.utils.set_random_seed(0)
    drawn = {"bias_initializer": "random_normal"}  # equal ones would be one parameter of the file
    images = keras.Input((48, 48, 3), name="images")
    maps = images
    for number, filters in enumerate((8, 12)):
        maps = layers.Conv2D(filters, 3, strides=2, padding="same", name=f"conv{number}", **drawn)(maps)
        maps = layers.BatchNormalization(name=f"norm{number}", beta_initializer="random_normal")(maps)
        maps = layers.ReLU()(maps)
        maps = layers.SeparableConv2D(
            filters, 3, padding="same", activation="silu", name=f"separable{number}", **drawn
        )(maps)
    hidden = layers.Dense(16, activation="relu", name="hidden", **drawn)(layers.GlobalAveragePooling2D()(maps))
    heads = [
        layers.Dense(classes, activation="softmax", name=task, **drawn)(hidden)
        for task, classes in (("kind", 2), ("tone", 3))
    ]
    network = keras.Model(images, heads)
    network(keras.ops.zeros((1, 48, 48, 3)))  # Keras exports networks that were called once
    network.export(str(path), format="onnx", verbose=False)


if __name__ == "__main__":
    export(Path(sys.argv[1]))
