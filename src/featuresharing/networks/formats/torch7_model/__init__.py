"""Models of Torch7, such as the paper's: binary or text, made of modules of nn and cudnn."""

from pathlib import Path

from featuresharing.networks.formats import Contents
from featuresharing.torch7 import is_torch7

NAME = "models of Torch7, as its torch.save writes them"


def sniff(path: Path) -> bool:
    """Return whether a file starts as those of Torch7 do."""
    return is_torch7(path)


def read(path: Path) -> Contents:
    """Return the network, in the precision of its file, which says neither its tasks nor the size of its images."""
    from featuresharing.networks.formats.torch7_model.torch7_conversion import load_torch7_network

    return Contents(load_torch7_network(path))
