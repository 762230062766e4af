"""Names: of the shared layers of a multi-task AlexNet, and of its checkpoints."""

from collections.abc import Sequence

LAYERS: dict[str, str] = {
    "conv1": "0.0.0",
    "conv2": "0.0.3",
    "conv3": "0.0.6",
    "conv4": "0.0.8",
    "conv5": "0.0.10",
    "fc6": "1.2",
    "fc7": "1.5",
}
"""Aliases and their module paths, which are those of the paper's Torch7 models."""

LINEAR_LAYERS = tuple(path for alias, path in LAYERS.items() if alias.startswith("fc"))
"""Paths of those that are linear."""


def checkpoint_names(steps: Sequence[int]) -> list[str]:
    """Return the names of checkpoints: their steps, with zeros in front so that they sort."""
    return [str(step).zfill(len(str(max(steps)))) for step in steps]
