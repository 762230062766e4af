"""What the one-channel interpreter refuses, packs and repeats."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featuresharing import InputError, marginalize
from featuresharing.networks.formats.torch7_model.torch7_modules import ConcatTable

torch.set_num_threads(1)

IMAGES = torch.randn(5, 3, 12, 12, generator=torch.Generator().manual_seed(1))


class Do(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def build(*layers: nn.Module) -> nn.Sequential:
    """Return layers on pictures, then three heads."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        heads = ConcatTable([nn.Linear(6, 3), nn.Linear(6, 2), nn.Linear(6, 4)])
        network = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(6), nn.ReLU(), heads).eval()
        network(IMAGES)
        for parameter in network.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter)
        return network


def test_networks_that_are_random_at_evaluation_are_refused() -> None:
    network = build(nn.Conv2d(3, 4, 3), Do(lambda x: F.dropout(x, 0.5, training=True)))
    with pytest.raises(InputError, match="Sequential draws random numbers at evaluation"):
        marginalize(network, "0", IMAGES)


def test_outputs_that_are_no_scores_are_refused() -> None:
    for function, found in ((lambda x: x, r"\[images, 4, 10, 10\]"), (lambda x: [3], "int")):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), Do(function))
        with pytest.raises(InputError, match=rf"output '0': found {found}; accepted are raw scores"):
            marginalize(network, "0", IMAGES)


def test_the_same_call_gives_the_same_bits() -> None:
    network = build(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.MaxPool2d(2))
    first, second = (marginalize(network, "0", IMAGES, samples=20) for _ in range(2))
    assert all(map(np.array_equal, first, second))
