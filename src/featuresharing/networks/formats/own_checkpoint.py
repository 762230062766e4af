"""The project's own checkpoints of a multi-task AlexNet, which ``featuresharing train`` writes."""

from pathlib import Path

from featuresharing.files.record_format import open_regular
from featuresharing.networks.alexnet.names import CHECKPOINTS
from featuresharing.networks.formats import Contents

NAME = CHECKPOINTS

START = 1024
"""Bytes within which the first key of a checkpoint is."""


def sniff(path: Path) -> bool:
    """Return whether a file starts as archives of torch do, with the first key of a checkpoint."""
    with open_regular(path) as file:
        start = file.read(START)
    return start.startswith(b"PK\x03\x04") and b"architecture" in start


def read(path: Path) -> Contents:
    """Return what a checkpoint holds; raises InputError as :func:`.checkpoints.load_checkpoint`."""
    from featuresharing.data.preprocessing import stimulus_preprocessing
    from featuresharing.networks.checkpoints import read_checkpoint

    found = read_checkpoint(path)
    preprocessing = found.preprocessing or stimulus_preprocessing(found.shape.image_size)
    return Contents(found.network, found.tasks, found.shape.classes, found.step, preprocessing)
