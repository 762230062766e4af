"""Names: of the shared layers of a multi-task AlexNet, and of its checkpoints."""

from collections.abc import Sequence

from featuresharing.settings import LAYERS

__all__ = ["LAYERS", "checkpoint_names"]


def checkpoint_names(steps: Sequence[int]) -> list[str]:
    """Return the names of checkpoints: their steps, with zeros in front so that they sort."""
    return [str(step).zfill(len(str(max(steps)))) for step in steps]
