"""Networks of Caffe: a definition (.prototxt) and its weights (.caffemodel), which belong together."""

from pathlib import Path

from featuresharing.errors import InputError
from featuresharing.networks.formats import Contents
from featuresharing.networks.formats.caffe_model.caffe_files import kind_of, pair_of

NAME = "networks of Caffe (x.prototxt and x.caffemodel)"


def sniff(path: Path) -> bool:
    """Return whether a file begins as the definition or as the weights of a Caffe network."""
    return kind_of(path) is not None


def files(path: Path) -> tuple[Path, ...]:
    """Return a file of a network and the other one; raises InputError where that is not there, or more than one."""
    pair = pair_of(path)
    return pair if pair[0] == path else pair[::-1]


def read(path: Path) -> Contents:
    """Return the network to which a file belongs, its definition or its weights.

    The other file is the one of the same name beside it, else the only one of its kind in the folder. Raises InputError
    as :func:`read_pair`, and where there is no other file.
    """
    return read_pair(*pair_of(path))


def read_pair(prototxt: Path, caffemodel: Path) -> Contents:
    """Return the network of a definition and its weights, which gives raw scores: a last softmax is left out.

    Raises InputError for files that are no such pair, for layers that are not known, and where protobuf is missing.
    """
    try:
        from google.protobuf import text_format  # noqa: F401
    except ImportError:
        raise InputError(
            f"{prototxt} is a network of Caffe, which the package protobuf reads, and that is not installed; accepted "
            "is an environment with it: pip install 'featuresharing[formats]'."
        ) from None
    from featuresharing.networks.formats.caffe_model.caffe_network import load_caffe_network

    return load_caffe_network(prototxt, caffemodel)
