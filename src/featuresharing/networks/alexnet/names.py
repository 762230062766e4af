"""Names: of a multi-task AlexNet in files, of its shared layers, and of its checkpoints."""

from collections.abc import Sequence

from featuresharing.settings import LAYERS

__all__ = ["ARCHITECTURE", "CHECKPOINTS", "LAYERS", "checkpoint_names"]

ARCHITECTURE = "multitask-alexnet"

CHECKPOINTS = f"checkpoints of a {ARCHITECTURE}, as 'featuresharing train' writes them"
"""What its files are called."""


def checkpoint_names(steps: Sequence[int]) -> list[str]:
    """Return the names of checkpoints: their steps, with zeros in front so that they sort."""
    return [str(step).zfill(len(str(max(steps)))) for step in steps]
