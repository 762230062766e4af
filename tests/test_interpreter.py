"""The one-channel interpreter: networks of all kinds give the numbers of the plain loop, whatever the batches."""

import operator
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from naive import marginalize_naively
from torch import Tensor, nn

from featuresharing import marginalize, prior_draws
from featuresharing.marginal import engine as engines
from featuresharing.marginal import packing
from featuresharing.networks.alexnet import Heads

torch.set_num_threads(1)

SAMPLES = 3


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        narrow = outputs // 2
        self.body = nn.Sequential(
            *(nn.Conv2d(inputs, narrow, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU(inplace=True)),
            *(nn.Conv2d(narrow, narrow, 3, stride, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU(inplace=True)),
            *(nn.Conv2d(narrow, outputs, 1, bias=False), nn.BatchNorm2d(outputs)),
        )
        self.shortcut = nn.Sequential()
        if inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        y += self.shortcut(x)
        return F.relu(y, inplace=True)


class Branches(nn.Module):
    """Runs branches beside each other; joins their outputs."""

    def __init__(self, *branches: nn.Module, join: Callable[[list[Tensor]], Tensor]) -> None:
        super().__init__()
        self.branches, self.join = nn.ModuleList(branches), join

    def forward(self, x: Tensor) -> Tensor:
        return self.join([branch(x) for branch in self.branches])


class Do(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


class Dense(nn.Module):
    """Every layer sees what all layers before it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(4 + 3 * count, 3, 3, padding=1) for count in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, F.relu(layer(x))], dim=1)
        return x


class Excitation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.wide(F.silu(self.narrow(F.adaptive_avg_pool2d(x, 1)))))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.first = nn.Parameter(torch.randn(1, 1, 8))
        self.place = nn.Parameter(torch.randn(1, 10, 8))
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.1), nn.Linear(16, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), -1, -1), x], dim=1) + self.place
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + self.mlp(self.norm2(x))
        return self.head(x[:, 0])


class LastAxis(nn.Module):
    """Linear layers over the channels of pictures, which are not contiguous there, as in ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.down, self.head = (
            nn.Conv2d(3, 4, 4, 4),
            nn.Linear(4, 8),
            nn.Linear(8, 4),
            nn.Linear(4, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.down(F.gelu(self.up(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)
        return self.head(x.mean((2, 3)))


class ByShape(nn.Module):
    """Python that looks at shapes, an attribute that is no buffer, and a function that fx cannot trace."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head, self.offset = nn.Conv2d(3, 4, 3), nn.Linear(4, 3), torch.linspace(-1, 1, 4).double()

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != 3 or not isinstance(x, Tensor):
            raise ValueError("channels")
        for _ in range(x.ndim - 3):
            x = F.relu(self.conv(x))
        return self.head(x.view(x.size(0), 4, -1).mean(-1) + self.offset.to(x))


def picture(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LazyLinear(3))


def between(*layers: nn.Module, channels: int = 6, then: int | None = None) -> nn.Sequential:
    """Put layers between two convolutions."""
    return picture(nn.Conv2d(3, channels, 3), *layers, nn.Conv2d(then or channels, 4, 3), nn.ReLU())


def shuffle(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: picture(
        *(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
        *(nn.MaxPool2d(3, 1, 1), Bottleneck(4, 4, 1), Bottleneck(4, 8, 2)),
    ),
    "inception": lambda: picture(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        Branches(
            nn.Sequential(nn.Conv2d(4, 3, 1), nn.ReLU()),
            nn.Sequential(
                nn.Conv2d(4, 2, 1),
                nn.ReLU(),
                Branches(nn.Conv2d(2, 2, (1, 3), padding=(0, 1)), nn.Conv2d(2, 3, (3, 1), padding=(1, 0)), join=cat),
            ),
            nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.Conv2d(4, 2, 1), nn.ReLU()),
            join=lambda parts: torch.cat(parts, dim=1),
        ),
        nn.Conv2d(10, 4, 3),
        nn.ReLU(),
    ),
    "depthwise separable": lambda: between(
        *(nn.BatchNorm2d(6), nn.ReLU6(), nn.Conv2d(6, 12, 3, groups=6), nn.Hardswish()),
        *(nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.Conv2d(12, 8, 1, groups=2), nn.BatchNorm2d(8), nn.ReLU()),
        then=8,
    ),
    "groups across multipliers": lambda: between(
        nn.Conv2d(4, 12, 3, groups=4), nn.ReLU(), nn.Conv2d(12, 9, 1, groups=3), nn.ReLU(), channels=4, then=9
    ),
    "sum of shifted channels": lambda: between(
        Do(lambda x: torch.cat([x, torch.ones_like(x)], 1) + torch.cat([torch.ones_like(x), x], 1)), then=12
    ),
    "mean over places": lambda: nn.Sequential(
        Do(lambda x: x.permute(0, 2, 3, 1)),
        nn.Linear(3, 5),
        nn.ReLU(),
        Do(lambda x: x.mean(1).amax(1)),
        nn.Linear(5, 3),
    ),
    "shifted constants": lambda: between(
        Branches(nn.Identity(), Do(torch.zeros_like), join=lambda parts: cat(parts) * cat(parts[::-1]).exp()), then=12
    ),
    "densenet": lambda: picture(nn.Conv2d(3, 4, 3), Dense()),
    "squeeze and excitation": lambda: between(nn.ReLU(), Excitation()),
    "channel shuffle": lambda: between(Do(shuffle), nn.Conv2d(6, 6, 1, groups=3)),
    "local response norm": lambda: between(nn.ReLU(), nn.LocalResponseNorm(3)),
    "group norm": lambda: between(nn.GroupNorm(2, 6), nn.ELU()),
    "instance norm": lambda: between(nn.InstanceNorm2d(6, affine=True), nn.Mish()),
    "slopes": lambda: between(nn.PReLU(6, init=0.3)),
    "gated": lambda: between(nn.GLU(dim=1), then=3),
    "softmax over channels": lambda: between(nn.Softmax(dim=1)),
    "softmax over places": lambda: between(Do(lambda x: torch.softmax(x.flatten(2), -1).view_as(x))),
    "transposed": lambda: between(nn.ConvTranspose2d(6, 5, 3, stride=2, output_padding=1), nn.Tanh(), then=5),
    "pixel shuffle": lambda: between(nn.PixelShuffle(2), channels=8, then=2),
    "upsampled": lambda: between(nn.Upsample(scale_factor=2), nn.Softplus()),
    "interpolated": lambda: between(Do(lambda x: F.interpolate(x, size=7, mode="bilinear"))),
    "pools": lambda: between(
        *(nn.ZeroPad2d(1), nn.ReflectionPad2d(1), nn.ReplicationPad2d(1), nn.AvgPool2d(2, ceil_mode=True)),
        *(nn.MaxPool2d(2, 1, dilation=2), nn.LPPool2d(2, 2, 1)),
    ),
    "padded channels": lambda: between(Do(lambda x: F.pad(x, (0, 0, 0, 0, 1, 2))), then=9),
    "crops": lambda: between(Do(lambda x: x[:, :, 1:-1, ::2] + x[:, :, :1, 3:4]), Do(lambda x: x.expand_as(x).clone())),
    "some channels": lambda: between(Do(lambda x: torch.cat([x[:, 3:], x[:, :2] ** 2], 1)), then=5),
    "reductions": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3),
        Branches(
            *(Do(lambda x: x.amax((2, 3))), Do(lambda x: x.var((-1, -2))), Do(lambda x: x.mean(3).logsumexp(2))),
            join=lambda parts: torch.stack(parts).sum(0),
        ),
        nn.Linear(6, 3),
    ),
    "recurrent": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3),
        Do(lambda x: x.mean(3).transpose(1, 2)),
        nn.LSTM(4, 5, batch_first=True),
        Do(last),
        nn.Linear(5, 3),
    ),
    "transformer": Transformer,
    "linear over channels": LastAxis,
    "python": ByShape,
    "into its input": lambda: picture(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)),
    "three heads": lambda: nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(6), nn.ReLU()),
        Heads([nn.Linear(6, 3), nn.Linear(6, 2), nn.Linear(6, 4)]),
    ),
}


def cat(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts, dim=1)


def last(outputs: tuple[Tensor, Any]) -> Tensor:
    return outputs[0][:, -1]


def build(make: Callable[[], nn.Module], dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor]:
    """Return a network that is alive and whose batch norms have seen images, and two images."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = make().train()
        with torch.no_grad():
            network(torch.randn(8, 3, 12, 12))
            for parameter in network.parameters():
                if parameter.ndim > 1:
                    nn.init.kaiming_normal_(parameter)
            network(torch.randn(8, 3, 12, 12))
        return network.eval().to(dtype), torch.randn(2, 3, 12, 12, dtype=dtype)


def layers(network: nn.Module) -> Iterator[str]:
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield path


def compare(network: nn.Module, path: str, images: Tensor, units: list[int], **options: Any) -> list[float]:
    """Check the numbers against the plain loop; return how far each task is from its predictions with the unit."""
    draws = [prior_draws(network, path, unit, samples=SAMPLES) for unit in units]
    wanted = marginalize_naively(network, path, images, units, draws)
    found = marginalize(network, path, images, units=units, samples=SAMPLES, tolerance=0, **options)
    single = network.get_parameter(f"{path}.weight").dtype == torch.float32
    for task, reference in zip(found, wanted, strict=True):
        tolerances = {"rtol": 1e-5, "atol": 1e-7} if single else {"rtol": 1e-12, "atol": 1e-14}
        np.testing.assert_allclose(task, reference, **tolerances)
    with torch.no_grad():
        scores = network(images.clone())
    base = [scores] if isinstance(scores, Tensor) else scores
    return [float(np.abs(task - torch.softmax(own, -1).numpy()).max()) for task, own in zip(wanted, base, strict=True)]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_layer_of_a_network_agrees_with_the_plain_loop(name: str, dtype: torch.dtype) -> None:
    network, images = build(NETWORKS[name], torch.float64)
    if name == "python" and dtype == torch.float32:
        network.offset = network.offset.float()
    effects = []
    for path in layers(network):
        last_unit = len(network.get_parameter(f"{path}.weight")) - 1
        effects.append(max(compare(network.to(dtype), path, images.to(dtype), sorted({0, 1, last_unit}))))
    assert np.median(effects) > 1e-3


@pytest.mark.parametrize("name", ["resnet", "transformer", "linear over channels", "recurrent", "into its input"])
def test_the_plain_engine_agrees_too(name: str) -> None:
    network, images = build(NETWORKS[name])
    for path in list(layers(network))[:3]:
        compare(network, path, images, [1], engine="plain")


def test_networks_that_depend_on_values_run_with_the_plain_engine() -> None:
    network, images = build(lambda: picture(nn.Conv2d(3, 4, 3), Do(lambda x: x if x.sum() > 0 else -x)))
    compare(network, "0", images[:1], [1], engine="plain")


def test_networks_that_are_random_at_evaluation_are_refused() -> None:
    network, images = build(lambda: picture(nn.Conv2d(3, 4, 3), Do(lambda x: F.dropout(x, 0.5, training=True))))
    with pytest.raises(engines.InputError, match=r"Sequential draws random numbers at evaluation \(aten.*\)"):
        marginalize(network, "0", images)


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(4, 3), torch.zeros(1)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return self.layer(x.relu_())


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_what_a_network_writes_into_buffers_and_images_is_undone(engine: str) -> None:
    network, images = Counting(), torch.randn(5, 4)
    before = images.clone()
    marginalize(network, "layer", images, samples=2, engine=engine)
    assert network.seen.item() == 0
    assert torch.equal(images, before)


def test_layers_that_are_no_plain_layers_are_refused() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight * 2, self.bias)

    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight) + self.bias * 2

    normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    for layer, words in (
        (Standardised(3, 4, 3), "takes its weight"),
        (Doubled(12, 4), "its bias is not only added to its own product"),
        (normed, "computed from other parameters"),
    ):
        network, images = build(lambda layer=layer: nn.Sequential(layer, nn.Flatten(), nn.LazyLinear(3)))
        with pytest.raises(engines.InputError, match=f"layer '0'.*{words}"):
            marginalize(network, "0", images, samples=2)


def test_outputs_that_are_no_scores_are_refused() -> None:
    for network in (nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(3, 4, 3), Do(lambda x: [x.mean(), 3]))):
        path = "" if isinstance(network, nn.Conv2d) else "0"
        with pytest.raises(
            engines.InputError, match=r"output '0': found \[.*accepted are raw scores \[images, classes\]"
        ):
            marginalize(network, path, torch.randn(2, 3, 5, 5), samples=2)


def test_large_products_are_packed_and_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = []
    pack = packing.pack
    monkeypatch.setattr(packing, "LEAST", 1)
    monkeypatch.setattr(packing, "pack", lambda *arguments: packed.append(arguments) or pack(*arguments))
    network, images = build(NETWORKS["three heads"], torch.float32)
    compare(network, "0", images, [0, 3])
    assert len(packed) == 3
    packed.clear()
    marginalize(network.double(), "0", images.double(), units=[0], samples=2)
    assert not packed


@pytest.mark.parametrize("name", ["resnet", "inception", "transformer", "three heads"])
@pytest.mark.parametrize("memory", [1, 300_000, 3_000_000])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_memory_and_batches_change_no_number(name: str, memory: int, batch_size: int | None) -> None:
    network, _ = build(NETWORKS[name], torch.float32)
    images = torch.randn(5, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    path = next(layers(network))
    whole = marginalize(network, path, images, samples=20)
    part = marginalize(network, path, images, samples=20, memory=memory, batch_size=batch_size)
    for found, wanted in zip(part, whole, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet", "transformer", "three heads"])
def test_the_same_call_gives_the_same_bits(name: str) -> None:
    network, images = build(NETWORKS[name], torch.float32)
    path = next(layers(network))
    first, second = (marginalize(network, path, images, samples=20) for _ in range(2))
    assert all(map(np.array_equal, first, second))


ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.SiLU, nn.LeakyReLU, nn.Hardswish, nn.Identity, nn.Sigmoid)


class Random(nn.Module):
    """Layers in a row of which each may take the sum, or the concatenation, of the last and an earlier output."""

    def __init__(self, steps: list[tuple[str, nn.Module, int]], heads: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(module for _, module, _ in steps)
        self.joins = [(how, back) for how, _, back in steps]
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        values = [x]
        for layer, (how, back) in zip(self.layers, self.joins, strict=True):
            x, other = values[-1], values[max(0, len(values) - 1 - back)]
            if how == "add" and other.shape == x.shape:
                x = x + other
            elif how == "cat" and other.shape[2:] == x.shape[2:]:
                x = torch.cat([other, x], dim=1)
            values.append(layer(x))
        x = values[-1]
        x = x.mean((2, 3)) if x.ndim == 4 else x
        return tuple(head(x) for head in self.heads)


@st.composite
def random_networks(draw: st.DrawFn) -> Random:
    steps: list[tuple[str, nn.Module, int]] = []
    shapes = [(3, 9)]
    for _ in range(draw(st.integers(2, 7))):
        how, back = draw(st.sampled_from(["plain", "add", "cat"])), draw(st.integers(1, 3))
        channels, size = shapes[-1]
        other = shapes[max(0, len(shapes) - 1 - back)]
        if how == "cat" and other[1] == size:
            channels += other[0]
        kind = draw(st.sampled_from(["conv", "conv", "conv", "norm", "activation", "activation", "pool"]))
        if kind == "conv":
            groups = draw(st.sampled_from([g for g in (1, 1, 2, 3, channels) if channels % g == 0]))
            outputs = groups * draw(st.integers(1, 3))
            kernel, padding = draw(st.integers(1, 3)), draw(st.integers(0, 1))
            stride, dilation = draw(st.integers(1, 2)), draw(st.integers(1, 2))
            after = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            if after < 1:
                kernel, padding, stride, dilation, after = 1, 0, 1, 1, size
            module: nn.Module = nn.Conv2d(
                channels, outputs, kernel, stride, padding, dilation, groups, bias=draw(st.booleans())
            )
            shapes.append((outputs, after))
        elif kind == "norm":
            module = draw(st.sampled_from([nn.BatchNorm2d(channels), nn.GroupNorm(1, channels)]))
            shapes.append((channels, size))
        elif kind == "pool" and size > 1:
            module = draw(st.sampled_from([nn.MaxPool2d(2, 1), nn.AvgPool2d(2, 1), nn.MaxPool2d(2, ceil_mode=True)]))
            shapes.append((channels, module(torch.zeros(1, 1, size, size)).shape[-1]))
        else:
            module = draw(st.sampled_from(ACTIVATIONS))()
            shapes.append((channels, size))
        steps.append((how, module, back))
    heads: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 3))):
        head: nn.Module = nn.Linear(shapes[-1][0], draw(st.integers(2, 4)))
        if draw(st.booleans()):
            head = nn.Sequential(nn.Linear(shapes[-1][0], 5), draw(st.sampled_from(ACTIVATIONS))(), nn.Linear(5, 3))
        heads.append(head)
    return Random(steps, heads)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(random_networks(), st.randoms(use_true_random=False))
def test_random_networks_agree_with_the_plain_loop(network: Random, choose: Any) -> None:
    torch.manual_seed(choose.randrange(2**31))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
        for parameter in module.parameters(recurse=False):
            nn.init.normal_(parameter)
    network = network.eval().double()
    path = choose.choice(list(layers(network)))
    unit = choose.randrange(len(network.get_parameter(f"{path}.weight")))
    images = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    with torch.no_grad():
        assume(all(scores.abs().max() < 1e3 for scores in network(images)))
    draws = [prior_draws(network, path, unit, samples=SAMPLES)]
    wanted = marginalize_naively(network, path, images, [unit], draws)
    found = marginalize(network, path, images, units=[unit], samples=SAMPLES, tolerance=0)
    assert operator.eq(*map(len, (found.probabilities, wanted)))
    for task, reference in zip(found, wanted, strict=True):
        np.testing.assert_allclose(task, reference, rtol=1e-10, atol=1e-12)
