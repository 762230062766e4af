"""Only what outputs take is computed: traces cut to it give the same scores, and whatever cannot be cut stays whole."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featuresharing import lesion, marginalize
from featuresharing.engine.engines import make_engine
from featuresharing.engine.slabs import shape_of

torch.set_num_threads(1)

TOKENS, FEATURES = 6, 8
IMAGES = torch.randn(3, TOKENS, FEATURES, generator=torch.Generator().manual_seed(2))


class Network(nn.Module):
    """A linear layer on tokens, what a test does with them, and a head on what it gives."""

    def __init__(self, middle: Callable[["Network", Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.up, self.down = nn.Linear(8, 8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.norm, self.last_norm, self.of_all = nn.LayerNorm(8), nn.LayerNorm(8), nn.LayerNorm([6, 8])
        self.attention, self.scale = nn.MultiheadAttention(8, 2, batch_first=True), nn.Parameter(torch.randn(8))
        self.places = nn.Parameter(torch.randn(1, 6, 8))
        self.middle, self.head = middle, nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self, self.first(x)).flatten(1))


def perceptron(network: Network, x: Tensor) -> Tensor:
    """Return tokens with what a block of a transformer adds to them, without attention."""
    return network.last_norm(x + network.scale * network.down(F.gelu(network.up(network.norm(x + network.places)))))


def attention(network: Network, x: Tensor) -> Tensor:
    """Return tokens with attention added, through torch's own module."""
    return perceptron(network, x + network.attention(x, x, x, need_weights=False)[0])


def by_hand(network: Network, x: Tensor, *, causal: bool = False) -> Tensor:
    """Return attention that is written out."""
    heads = x.view(len(x), -1, 2, 4).transpose(1, 2)
    found = F.scaled_dot_product_attention(heads, heads.flip(-1), heads, is_causal=causal)
    return network.norm(found.transpose(1, 2).reshape(x.shape))


def products(network: Network, x: Tensor) -> Tensor:
    """Return attention by products and softmax."""
    return (x @ x.mT).softmax(-1) @ x


MIDDLES: dict[str, tuple[Callable[[Network, Tensor], Tensor], bool]] = {
    "first token": (lambda n, x: perceptron(n, x)[:, 0], True),
    "last token": (lambda n, x: perceptron(n, x)[:, -1], True),
    "two tokens": (lambda n, x: perceptron(n, x)[:, 1:3], True),
    "selected on another axis": (lambda n, x: perceptron(n, x).mT.contiguous()[..., 2], True),
    "attention": (lambda n, x: attention(n, x)[:, 0], False),
    "attention by hand": (lambda n, x: by_hand(n, x)[:, 0], False),
    "causal attention": (lambda n, x: by_hand(n, x, causal=True)[:, 2], False),
    "products": (lambda n, x: products(n, x)[:, 1], False),
    "most tokens": (lambda n, x: perceptron(n, x)[:, 1:], False),
    "every second token": (lambda n, x: perceptron(n, x)[:, ::2], False),
    "norm over all": (lambda n, x: n.of_all(x)[:, 0], False),
    "all tokens and one": (lambda n, x: torch.cat([(y := perceptron(n, x)).flatten(1), y[:, 0]], dim=1), False),
    "token of every network": (lambda n, x: perceptron(n, x)[:, :2].softmax(1)[:, 0], True),
    "negative slice": (lambda n, x: perceptron(n, x)[:, -2:].sum(1), True),
    "features": (lambda n, x: perceptron(n, x)[..., :2], False),
}
"""What is done behind the first layer, and whether that layer itself then has fewer rows to compute."""


def build(middle: Callable[[Network, Tensor], Tensor]) -> Network:
    """Return a network."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(middle).eval()
        network(IMAGES)
    return network


@pytest.mark.parametrize("name", MIDDLES)
def test_narrowed_traces_give_what_the_plain_engine_gives(name: str) -> None:
    network = build(MIDDLES[name][0])
    for layer in ("first", "up"):
        if layer == "up" and network.up not in used(network):
            continue
        for what in (marginalize, lesion):
            settings: dict[str, Any] = {"dtype": "float64"} | (
                {"samples": 4, "tolerance": 0} if what is marginalize else {}
            )
            found, wanted = (what(network, layer, IMAGES, engine=e, **settings) for e in ("one-channel", "plain"))
            for mine, yours in zip(found, wanted, strict=True):
                np.testing.assert_allclose(mine, yours, rtol=1e-12, atol=1e-12)


def used(network: Network) -> set[nn.Module]:
    """Return the modules that a pass runs."""
    seen: set[nn.Module] = set()
    hooks = [each.register_forward_hook(lambda module, *_: seen.add(module)) for each in network.modules()]
    network(IMAGES)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("name", MIDDLES)
def test_rows_that_nothing_takes_are_not_computed(name: str) -> None:
    middle, fewer = MIDDLES[name]
    engine: Any = make_engine(build(middle), "first", IMAGES)
    assert (engine.layer_rows < TOKENS) == fewer


def test_queries_of_other_tokens_are_not_computed() -> None:
    engine: Any = make_engine(build(lambda n, x: attention(n, x)[:, 0]), "first", IMAGES)
    found = [node for node in engine.plan.trace.graph.nodes if node.target is torch.ops.aten.native_layer_norm.default]
    parts = [shape_of(part) for node in found for part in node.users]
    assert parts == [(2, 1, FEATURES)] * 2
