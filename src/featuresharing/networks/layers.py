"""Names of the shared layers of a multi-task AlexNet."""

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
