"""What oneDNN computes as one operator gives what the operators give one by one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featuresharing import lesion, marginalize
from featuresharing.computation import Computation
from featuresharing.engine import lowering, onednn
from featuresharing.engine.engines import make_engine
from featuresharing.engine.onednn import is_available

torch.set_num_threads(1)

IMAGES = torch.randn(5, 3, 12, 12, generator=torch.Generator().manual_seed(1))

pytestmark = pytest.mark.skipif(not is_available("cpu", torch.float32), reason="this torch has no oneDNN")


class Network(nn.Module):
    """A layer, a convolution that takes it, what a test does with that, and a head."""

    def __init__(self, middle: Callable[["Network", Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 3, padding=1)
        self.third, self.fourth = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.Conv2d(8, 8, 1)
        self.grouped = nn.Conv2d(8, 16, (3, 5), stride=(2, 1), padding=(2, 1), dilation=(1, 2), groups=4)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 3))
        self.turned = nn.ConvTranspose2d(8, 8, 3)
        self.norm, self.other_norm = nn.BatchNorm2d(8), nn.BatchNorm2d(8, affine=False)
        self.up, self.down, self.bare = nn.Linear(8, 32), nn.Linear(32, 8), nn.Linear(8, 8, bias=False)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.shift = nn.Parameter(torch.randn(8))
        self.middle, self.head = middle, nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self, self.second(self.first(x)).relu()).flatten(1))


def rows(x: Tensor) -> Tensor:
    """Return pixels as tokens [N, places, channels]."""
    return x.flatten(2).mT


def residual(network: Network, x: Tensor) -> Tensor:
    """Return a block of a ResNet, whose skip has a convolution and a batch norm of its own."""
    y = network.norm(network.third(x)).relu()
    return (network.other_norm(network.third(y)) + network.norm(network.fourth(x))).relu()


def perceptron(network: Network, x: Tensor) -> Tensor:
    """Return tokens and what two linear layers make of them."""
    return rows(x) + network.down(F.gelu(network.up(rows(x))))


def bias_apart(network: Network, x: Tensor) -> Tensor:
    """Return a product to whose rows a parameter is added, and an activation behind it."""
    return F.silu(network.bare(rows(x)) + network.shift)


def taken_twice(network: Network, x: Tensor) -> Tensor:
    """Return a convolution whose batch norm and activation are taken by others too."""
    y = network.third(x)
    z = network.norm(y)
    return torch.cat([y, z, z.relu(), z + z.relu()], dim=1)


def two_sums(network: Network, x: Tensor) -> Tensor:
    """Return the sum of two convolutions of one value, and of a convolution and itself."""
    y = network.third(x) + network.fourth(x)
    z = network.fourth(y)
    return (z + z).relu()


MIDDLES: dict[str, tuple[Callable[[Network, Tensor], Tensor], int]] = {
    "norm": (lambda n, x: n.norm(n.third(x)), 2),
    "norm without affine": (lambda n, x: n.other_norm(n.fourth(x)).relu(), 3),
    "residual": (residual, 9),
    "groups": (lambda n, x: F.hardswish(n.grouped(x)), 1),
    "computed weights": (lambda n, x: n.normed(x).sigmoid(), 1),
    "transposed": (lambda n, x: n.turned(x).relu(), 0),
    "perceptron": (perceptron, 4),
    "bias apart": (bias_apart, 3),
    "attention": (lambda n, x: n.attention(rows(x), rows(x), rows(x))[0], 6),
    "taken twice": (taken_twice, 0),
    "two sums": (two_sums, 1),
    **{
        f"{function.__name__}": (lambda n, x, f=function: f(n.fourth(x)), 1)  # type: ignore[misc]
        for function in (F.relu, F.relu6, F.hardtanh, F.leaky_relu, F.gelu, F.silu, F.hardsigmoid, torch.tanh)
    },
    "elu": (lambda n, x: F.elu(n.fourth(x)), 0),
    "gelu by tanh": (lambda n, x: F.gelu(n.fourth(x), approximate="tanh"), 1),
}
"""What is done behind the second convolution, and how many operators go into those before them, views included."""


def build(middle: Callable[[Network, Tensor], Tensor]) -> Network:
    """Return a network whose batch norms have seen something."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(middle)
        for norm in (network.norm, network.other_norm):
            norm.running_mean.normal_()  # type: ignore[union-attr]
            norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
        nn.init.normal_(network.norm.weight, 1, 0.2)
        network.eval()(IMAGES)
    return network


def compute(network: Network, layer: str, **settings: Any) -> list[np.ndarray]:
    """Return conditionals and lesions of all units of a layer."""
    found = marginalize(network, layer, IMAGES, samples=5, tolerance=0, **settings)
    return [*found, *lesion(network, layer, IMAGES, **settings)]


@pytest.mark.parametrize(("name", "layer"), [*((name, "first") for name in MIDDLES), ("residual", "second")])
def test_lowered_operators_give_what_the_plain_engine_gives(
    name: str, layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lowering, "LEAST", 1)
    network = build(MIDDLES[name][0])
    wanted = compute(network, layer, engine="plain", dtype="float64")
    for found, each in zip(compute(network, layer), wanted, strict=True):
        np.testing.assert_allclose(found, each, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MIDDLES)
def test_operators_are_taken_together(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "LEAST", 1)
    middle, expected = MIDDLES[name]
    engine: Any = make_engine(build(middle), "first", IMAGES)
    fusions = engine._fusions(engine.plan)
    within = [node for fusion in fusions for node in fusion.members[1:]]
    assert len(within) == expected, within
    assert len(set(within)) == len(within)


def test_only_single_precision_with_enough_memory_is_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "LEAST", 1)
    network = build(residual)
    for settings, expected in (({}, True), ({"dtype": "float64"}, False), ({"memory": 4000}, False)):
        engine: Any = make_engine(network, "first", IMAGES, Computation(**settings))
        assert bool(engine._fusions(engine.plan)) == expected


def test_weights_are_packed_once_for_batches_of_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = []
    pack = lowering._pack
    monkeypatch.setattr(lowering, "LEAST", 1)
    monkeypatch.setattr(lowering, "_pack", lambda *arguments: packed.append(arguments) or pack(*arguments))
    network = build(residual)
    for batch in (5, 2):  # of five images, two batches of 2 and one of 1
        packed.clear()
        marginalize(network, "first", IMAGES, samples=5, batch_size=batch)
        assert len(packed) == 4


def test_operators_that_give_something_else_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(residual)
    wanted = compute(network, "first")
    pack = onednn.pack_convolution
    monkeypatch.setattr(lowering, "pack_convolution", lambda weight, *others: pack(1.1 * weight, *others))
    engine: Any = make_engine(network, "first", IMAGES)
    assert not engine._fusions(engine.plan)
    for found, each in zip(compute(network, "first"), wanted, strict=True):
        np.testing.assert_allclose(found, each, rtol=1e-5, atol=1e-6)
