"""Names: of a multi-task AlexNet, its shared layers and its checkpoints."""

from collections.abc import Sequence

from featuresharing.settings import LAYERS

__all__ = ["ARCHITECTURE", "CHECKPOINTS", "LAYERS", "checkpoint_names"]

ARCHITECTURE = "multitask-alexnet"
"""What checkpoints call it."""

CHECKPOINTS = f"checkpoints of a {ARCHITECTURE}, as 'featuresharing train' writes them"
"""What sentences call its files."""


def checkpoint_names(steps: Sequence[int]) -> list[str]:
    """Return the names of checkpoints: their steps, with zeros in front so that they sort."""
    return [str(step).zfill(len(str(max(steps)))) for step in steps]
