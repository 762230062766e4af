"""A small network of two tasks, images and true classes for it, and its conditionals in a file."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from featuresharing import marginalize_to_file
from featuresharing.store import LayerConditionals

IMAGES, UNITS = 7, 6


class Pair(nn.Module):
    """Two tasks of 3 and 2 classes, named by the network."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.word, self.basic = nn.Linear(4, UNITS), nn.Linear(UNITS, 3), nn.Linear(UNITS, 2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        hidden = torch.relu(self.hidden(images))
        return {"word": self.word(hidden), "basic": self.basic(hidden)}


def pair() -> Pair:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Pair().eval()


IMAGES_GIVEN = np.random.default_rng(0).standard_normal((IMAGES, 4)).astype(np.float32)
TARGETS = {"word": np.arange(IMAGES) % 3, "basic": np.arange(IMAGES) % 2}

Given = dict[str, Any]


def compute(output: Path, **changes: Any) -> LayerConditionals:
    """Marginalize all units of the layer, one a piece."""
    given: Given = {"network": pair(), "layer": "hidden", "images": IMAGES_GIVEN, "targets": TARGETS}
    given |= {"estimator": "monte-carlo", "samples": 20, "engine": "plain", "say": lambda _: None}
    return marginalize_to_file(**given | {"output": output} | changes)
