"""Operators that take variants as one larger batch give the bits that torch's vmap gives."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featuresharing import lesion, marginalize
from featuresharing.engine import folding, interpreter

torch.set_num_threads(1)

IMAGES = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(1))


class Network(nn.Module):
    """A layer, what a test does with its output and other layers, and a head."""

    def __init__(self, middle: Callable[["Network", Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 6, 3)
        self.norm, self.head = nn.BatchNorm2d(6), nn.LazyLinear(3)
        self.middle = middle

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self, self.second(self.first(x).relu())).flatten(1))


def twice(network: Network, x: Tensor) -> Tensor:
    """Return a value that is taken again after its activation."""
    return F.relu(x) + x


def through_a_view(network: Network, x: Tensor) -> Tensor:
    """Return the sum of an activation and of another view of what it was given."""
    rows = x.view(x.shape[0], 6, -1)
    return F.relu(x) + rows.view(x.shape)


def pooled(network: Network, x: Tensor) -> Tensor:
    """Return pooled activations of every kind, with a convolution and a batch norm between them."""
    x = network.third(F.max_pool2d(F.relu(x), 2))
    return F.adaptive_avg_pool2d(F.avg_pool2d(F.gelu(network.norm(F.relu6(x))), 2), 1)


def indexed(network: Network, x: Tensor) -> Tensor:
    """Return maxima and where they were."""
    values, places = F.max_pool2d(x, 2, return_indices=True)
    return values + places


def reshaped(network: Network, x: Tensor) -> Tensor:
    """Return a product of rows that are made of pixels."""
    rows = x.permute(0, 2, 3, 1).reshape(-1, 6)
    return (rows @ network.third.weight[0, :, 0].clone() + 1).relu().view(len(x), -1)


@pytest.mark.parametrize("middle", [twice, through_a_view, pooled, indexed, reshaped])
@pytest.mark.parametrize("layer", ["first", "second"])
def test_folded_operators_give_the_same_bits(
    middle: Callable[[Network, Tensor], Tensor], layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(middle).eval()
        network(IMAGES)
    folded: list[bool] = []
    find = folding.find_fold

    def watched(*arguments: object, **options: bool) -> object:
        found = find(*arguments, **options)  # type: ignore[arg-type]
        folded.append(found is not None)
        return found

    def compute() -> list[np.ndarray]:
        return [*marginalize(network, layer, IMAGES, samples=5, tolerance=0), *lesion(network, layer, IMAGES)]

    monkeypatch.setattr(interpreter, "find_fold", watched)
    found = compute()
    assert any(folded)
    monkeypatch.setattr(interpreter, "find_fold", lambda *arguments, **options: None)
    for each, expected in zip(found, compute(), strict=True):
        assert np.array_equal(each, expected)
    plain = marginalize(network, layer, IMAGES, samples=5, tolerance=0, engine="plain")
    for each, expected in zip(found[:1], plain, strict=True):
        np.testing.assert_allclose(each, expected, rtol=1e-5, atol=1e-7)
