"""Networks in ONNX, as exporters of PyTorch, TensorFlow, Keras, PaddlePaddle and others write them."""

from pathlib import Path

from featuresharing.networks.formats import Contents
from featuresharing.networks.formats.onnx_model.onnx_recognition import is_onnx

NAME = "networks in ONNX"


def sniff(path: Path) -> bool:
    """Return whether a file starts as models of ONNX do."""
    return is_onnx(path)


def read(path: Path) -> Contents:
    """Return the network of a file, its outputs' names as tasks where it has two or more, and the shape of an image.

    Raises InputError that names the operator, its node and its place, for what is not known or makes no sense.
    """
    from featuresharing.networks.formats.onnx_model.onnx_conversion import convert_graph
    from featuresharing.networks.formats.onnx_model.onnx_files import read_graph

    return convert_graph(path, read_graph(path))


def files(path: Path) -> tuple[Path, ...]:
    """Return the file and those that it keeps weights in; raises InputError for such outside its folder."""
    from featuresharing.networks.formats.onnx_model.onnx_files import external_files, read_model

    return (path, *external_files(path, read_model(path)))
