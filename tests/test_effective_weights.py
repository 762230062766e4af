"""Layers whose operator takes other weights than the module's own: that weight, units first, is the layer's."""

import copy
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from featuresharing import InputError, lesion, lesion_accuracy, marginalize, maximize_units, predict, prior_draws
from featuresharing.engine.describing import describe_network
from featuresharing.networks.layers import find_layer
from featuresharing.settings import FeatureSettings
from tests.support.naive import predict_naively

torch.set_num_threads(1)

SAMPLES = 3
UNITS = [0, 3]
ENGINES = ("one-channel", "plain")

Array = NDArray[np.floating[Any]]


class Standardised(nn.Conv2d):
    """A convolution whose own pass standardises its filters, as those of normaliser-free networks."""

    def forward(self, images: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        return F.conv2d(images, (self.weight - mean) / (deviation + 1e-5), self.bias, self.stride, self.padding)


class Conv1D(nn.Module):
    """A linear layer with its weight [inputs, units], as in GPT-2."""

    def __init__(self, units: int, inputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, units)), nn.Parameter(torch.randn(units))

    def forward(self, tokens: Tensor) -> Tensor:
        rows = torch.addmm(self.bias, tokens.reshape(-1, tokens.shape[-1]), self.weight)
        return rows.view(*tokens.shape[:-1], -1)


class Adapted(nn.Module):
    """A layer with low-rank adapters, which says of itself what LoRA layers of peft do."""

    def __init__(self, base: nn.Module, inputs: int, outputs: int, *, magnitude: float = 1.0) -> None:
        super().__init__()
        self.base_layer = base
        self.lora_A = nn.ModuleDict({"default": nn.Linear(inputs, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, outputs, bias=False)})
        self.merged, self.disable_adapters, self.active_adapters = False, False, ["default"]
        self.magnitude = magnitude

    def get_delta_weight(self, name: str) -> Tensor:
        share: Tensor = 0.5 * self.lora_B[name].weight @ self.lora_A[name].weight
        return share.T if isinstance(self.base_layer, Conv1D) else share

    def forward(self, tokens: Tensor) -> Tensor:
        given = self.base_layer(tokens)
        if self.disable_adapters:
            return given
        return self.magnitude * (given + 0.5 * self.lora_B["default"](self.lora_A["default"](tokens)))


class Tokens(nn.Module):
    """A layer on tokens, and a head on their mean."""

    def __init__(self, layer: nn.Module, features: int) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(features, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        scores: Tensor = self.head(self.layer(tokens).tanh().mean(dim=1))
        return scores


class Attention(nn.Module):
    """Attention to oneself whose bias is put together from parts, as that of Swin V2 and EVA."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(4, 12, bias=False), nn.Linear(4, 3)
        self.q_bias, self.v_bias = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4))

    def forward(self, tokens: Tensor) -> Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        q, k, v = F.linear(tokens, weight=self.qkv.weight, bias=bias).chunk(3, dim=-1)
        scores: Tensor = self.head(((q @ k.transpose(1, 2)).softmax(dim=-1) @ v).mean(dim=1))
        return scores


class AttentionOfTorch(nn.Module):
    def __init__(self, *, batch_first: bool = True) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=batch_first)
        self.head, self.batch_first = nn.Linear(4, 3), batch_first
        nn.init.normal_(self.attention.in_proj_bias)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens if self.batch_first else tokens.transpose(0, 1)
        found, _ = self.attention(tokens, tokens, tokens)
        scores: Tensor = self.head(found.mean(dim=1 if self.batch_first else 0))
        return scores


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.cells, self.head = kind(4, 3, batch_first=True, bidirectional=True), nn.Linear(6, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        scores: Tensor = self.head(self.cells(tokens)[0][:, -1])
        return scores


class Stepping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(4, 3), nn.Linear(3, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        state = None
        for token in tokens.unbind(1):
            state = self.cell(token, state)
        scores: Tensor = self.head(state[0])
        return scores


def images() -> Tensor:
    return torch.randn(3, 3, 7, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def tokens() -> Tensor:
    return torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def convolutional(layer: nn.Module, channels: int = 6) -> nn.Sequential:
    pooling: dict[Any, Any] = {nn.ConvTranspose1d: nn.AdaptiveAvgPool1d, nn.ConvTranspose3d: nn.AdaptiveAvgPool3d}
    pool = pooling.get(type(layer), nn.AdaptiveAvgPool2d)(2)
    sizes = {nn.AdaptiveAvgPool1d: 2, nn.AdaptiveAvgPool2d: 4, nn.AdaptiveAvgPool3d: 8}[type(pool)]
    return nn.Sequential(layer, nn.ReLU(), pool, nn.Flatten(), nn.Linear(channels * sizes, 3))


@dataclass(frozen=True, eq=False)
class Case:
    """A network, its layer, what it takes, and the same network with a weight and bias put in by hand."""

    network: nn.Module
    path: str
    inputs: Tensor
    by_hand: Callable[[Tensor, Tensor | None], nn.Module]
    weight: Tensor
    bias: Tensor | None
    engines: tuple[str, ...] = ENGINES


def stretched(values: Tensor, stride: int) -> Tensor:
    """Put zeros between the values of all axes behind the second."""
    sizes = [stride * (size - 1) + 1 for size in values.shape[2:]]
    wide = values.new_zeros(*values.shape[:2], *sizes)
    wide[(..., *(slice(None, None, stride) for _ in sizes))] = values
    return wide


class TransposedByHand(nn.Module):
    """A transposed convolution, as the convolution of a stretched picture with filters turned round."""

    def __init__(self, layer: Any, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.layer, self.weight, self.bias = layer, weight, bias

    def forward(self, values: Tensor) -> Tensor:
        rank, layer = values.ndim - 2, self.layer
        convolve: Any = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[rank]
        wide = stretched(values, layer.stride[0])
        edges = [layer.dilation[0] * (size - 1) - layer.padding[0] for size in reversed(layer.kernel_size)]
        wide = F.pad(wide, [edge + extra for edge in edges for extra in (0, layer.output_padding[0])])
        turned = self.weight.flip(list(range(2, 2 + rank)))
        found: Tensor = convolve(wide, turned, self.bias, dilation=layer.dilation, groups=layer.groups)
        return found


def units_first(layer: Any) -> Tensor:
    """Return the weight of a transposed convolution with its units first, number by number."""
    own, groups = layer.weight.detach(), layer.groups
    inputs, outputs = own.shape[0] // groups, own.shape[1]
    found = own.new_empty(outputs * groups, inputs, *own.shape[2:])
    for group in range(groups):
        for one in range(inputs):
            for other in range(outputs):
                found[group * outputs + other, one] = own[group * inputs + one, other]
    return found


def transposed(layer: Any, inputs: Tensor) -> Case:
    network = convolutional(layer).double().eval()

    def by_hand(weight: Tensor, bias: Tensor | None) -> nn.Module:
        return nn.Sequential(TransposedByHand(layer, weight, bias), *list(network)[1:])

    return Case(network, "0", inputs, by_hand, units_first(layer), layer.bias)


def replaced(network: nn.Module, path: str, layer: Callable[[Tensor, Tensor | None], Any]) -> Any:
    def by_hand(weight: Tensor, bias: Tensor | None) -> nn.Module:
        found = copy.deepcopy(network)
        parent, _, name = path.rpartition(".")
        setattr(found.get_submodule(parent), name, layer(weight, bias))
        return found

    return by_hand


class Product(nn.Module):
    """A linear layer of given numbers."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.given, self.shift = weight, bias

    def forward(self, rows: Tensor) -> Tensor:
        found = torch.einsum("...i,ui->...u", rows, self.given)
        return found if self.shift is None else found + self.shift


class Filters(nn.Module):
    """A convolution of given numbers."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.given, self.shift = weight, bias

    def forward(self, values: Tensor) -> Tensor:
        return F.conv2d(values, self.given, self.shift, 2, 1)


def standardised() -> Case:
    layer = Standardised(3, 6, 3, stride=2, padding=1)
    network = convolutional(layer).double().eval()
    own = layer.weight.detach()
    rows = torch.stack([(row - row.mean()) / (row.std() + 1e-5) for row in own])
    return Case(network, "0", images(), replaced(network, "0", Filters), rows, layer.bias)


def matrix() -> Case:
    layer = Conv1D(6, 4)
    network = Tokens(layer, 6).double().eval()
    return Case(network, "layer", tokens(), replaced(network, "layer", Product), layer.weight.detach().T, layer.bias)


def adapted(base: nn.Module, weight: Callable[[Any], Tensor], *, on: bool = True) -> Case:
    layer = Adapted(base, 4, 6).double()
    layer.disable_adapters = not on
    network = Tokens(layer, 6).double().eval()
    share = layer.lora_B["default"].weight @ layer.lora_A["default"].weight / 2
    effective = weight(base).detach() + (share.detach() if on else 0)
    return Case(network, "layer", tokens(), replaced(network, "layer", Product), effective, base.get_parameter("bias"))


def parts_of_a_bias() -> Case:
    network = Attention().double().eval()

    def by_hand(weight: Tensor, bias: Tensor | None) -> nn.Module:
        class ByHand(nn.Module):
            def forward(self, tokens: Tensor) -> Tensor:
                q, k, v = Product(weight, bias)(tokens).chunk(3, dim=-1)
                scores: Tensor = network.head(((q @ k.transpose(1, 2)).softmax(dim=-1) @ v).mean(dim=1))
                return scores

        return ByHand()

    bias = torch.cat([network.q_bias, torch.zeros(4), network.v_bias]).detach()
    return Case(network, "qkv", tokens(), by_hand, network.qkv.weight.detach(), bias)


def own_parameters(network: nn.Module, path: str, names: tuple[str, str], engines: tuple[str, ...] = ENGINES) -> Case:
    network = network.double().eval()
    module = path.rpartition(".")[0]

    def by_hand(weight: Tensor, bias: Tensor | None) -> nn.Module:
        found = copy.deepcopy(network)
        for name, value in zip(names, (weight, bias), strict=True):
            assert value is not None
            found.get_submodule(module).get_parameter(name).data.copy_(value)
        return found

    weight, bias = (network.get_submodule(module).get_parameter(name).detach() for name in names)
    return Case(network, path, tokens(), by_hand, weight, bias, engines)


def normalised_and_transposed() -> Case:
    layer: Any = parametrizations.weight_norm(nn.ConvTranspose2d(3, 6, 3, groups=3), dim=1)
    network = convolutional(layer).double().eval()

    def by_hand(weight: Tensor, bias: Tensor | None) -> nn.Module:
        return nn.Sequential(TransposedByHand(layer, weight, bias), *list(network)[1:])

    return Case(network, "0", images(), by_hand, units_first(layer), layer.bias)


PLAIN = ("plain",)
CASES: dict[str, Callable[[], Case]] = {
    "standardised": standardised,
    "matrix": matrix,
    "transposed": lambda: transposed(nn.ConvTranspose2d(3, 6, 3), images()),
    "transposed, strided": lambda: transposed(
        nn.ConvTranspose2d(3, 6, 3, stride=2, padding=1, output_padding=1, bias=False), images()
    ),
    "transposed in groups": lambda: transposed(nn.ConvTranspose2d(3, 6, (3, 2), groups=3), images()),
    "transposed, one axis": lambda: transposed(nn.ConvTranspose1d(4, 6, 3, groups=2, dilation=2), tokens().mT),
    "transposed, three axes": lambda: transposed(
        nn.ConvTranspose3d(3, 6, 2), images()[..., None].repeat(1, 1, 1, 1, 2)
    ),
    "transposed with weight norm": normalised_and_transposed,
    "adapters": lambda: adapted(nn.Linear(4, 6), lambda base: base.weight),
    "adapters of a matrix": lambda: adapted(Conv1D(6, 4), lambda base: base.weight.T),
    "adapters that are off": lambda: adapted(nn.Linear(4, 6), lambda base: base.weight, on=False),
    "parts of a bias": parts_of_a_bias,
    "attention": lambda: own_parameters(AttentionOfTorch(), "attention.in_proj", ("in_proj_weight", "in_proj_bias")),
    "attention, tokens first": lambda: own_parameters(
        AttentionOfTorch(batch_first=False), "attention.in_proj", ("in_proj_weight", "in_proj_bias")
    ),
    "LSTM inputs": lambda: own_parameters(Recurrent(nn.LSTM), "cells.ih_l0", ("weight_ih_l0", "bias_ih_l0"), PLAIN),
    "LSTM states": lambda: own_parameters(Recurrent(nn.LSTM), "cells.hh_l0", ("weight_hh_l0", "bias_hh_l0"), PLAIN),
    "a cell": lambda: own_parameters(Stepping(), "cell.hh", ("weight_hh", "bias_hh"), PLAIN),
    "GRU backwards": lambda: own_parameters(
        Recurrent(nn.GRU), "cells.hh_l0_reverse", ("weight_hh_l0_reverse", "bias_hh_l0_reverse"), PLAIN
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield CASES[request.param]()


def with_unit(case: Case, unit: int | list[int], row: Any, shift: Any) -> list[Array]:
    """Return predictions of the network with a unit's effective filter and bias put in by hand."""
    weight, bias = case.weight.clone(), None if case.bias is None else case.bias.detach().clone()
    weight[unit] = torch.as_tensor(row, dtype=torch.float64)
    if bias is not None:
        bias[unit] = torch.as_tensor(shift, dtype=torch.float64)
    return predict_naively(case.by_hand(weight, bias), case.inputs)


def test_the_effective_filter_is_the_unit(case: Case) -> None:
    own = copy.deepcopy(case.network.state_dict())
    hooks = [len(module._forward_hooks) for module in case.network.modules()]
    drawn = [prior_draws(case.network, case.path, unit, samples=SAMPLES, images=case.inputs) for unit in UNITS]
    for unit, (weights, biases) in zip(UNITS, drawn, strict=True):
        near, _ = prior_draws(case.network, case.path, unit, samples=SAMPLES, images=case.inputs, scale=1e-9)
        np.testing.assert_allclose(near[0], case.weight[unit], rtol=0, atol=1e-7)
        assert weights.shape == (SAMPLES, *case.weight.shape[1:])
        assert bool(biases.any()) == (case.bias is not None)
    wanted = [
        np.mean([with_unit(case, unit, *each)[0] for each in zip(*draws, strict=True)], axis=0)
        for unit, draws in zip(UNITS, drawn, strict=True)
    ]
    removed = [with_unit(case, unit, 0, 0)[0] for unit in UNITS]
    whole = predict(case.network, case.inputs)[1][0]
    assert all(np.abs(each - whole).max() > 1e-4 for each in (*wanted, *removed))
    for engine in case.engines:
        given: dict[str, Any] = {"units": UNITS, "engine": engine}
        found = marginalize(
            case.network, case.path, case.inputs, estimator="monte-carlo", samples=SAMPLES, **given
        ).probabilities[0]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
        without = lesion(case.network, case.path, case.inputs, **given).probabilities[0]
        np.testing.assert_allclose(without, removed, rtol=0, atol=1e-12)
    assert all(torch.equal(value, own[name]) for name, value in case.network.state_dict().items())
    assert hooks == [len(module._forward_hooks) for module in case.network.modules()]


def test_effective_filters_are_removed_together(case: Case) -> None:
    gone = [1, 4, 0]
    targets = with_unit(case, gone[:2], 0, 0)[0].argmax(axis=1)[:, None]
    for engine in case.engines:
        _, found = lesion_accuracy(
            case.network, case.path, case.inputs, targets, [gone], counts=[0, 2, 3], engine=engine
        )
        wanted = [(with_unit(case, gone[:n], 0, 0)[0].argmax(axis=1) == targets[:, 0]).mean() for n in (0, 2, 3)]
        np.testing.assert_array_equal(found[0, :, 0], wanted)


def test_shapes_and_kinds_are_those_of_the_effective_weight(case: Case) -> None:
    path, layer = find_layer(case.network, case.path)
    assert path == case.path
    assert layer.weight.shape == case.weight.shape
    assert layer.is_linear == (case.weight.ndim == 2)


@pytest.mark.parametrize("name", ["LSTM inputs", "LSTM states"])
def test_gates_are_left_to_the_plain_engine(name: str) -> None:
    case = CASES[name]()
    with pytest.raises(InputError, match=rf"layer '{case.path}'.*engine='plain' runs such networks, slowly"):
        lesion(case.network, case.path, case.inputs)


def test_a_network_is_described_with_all_its_layers() -> None:
    network = nn.Sequential(
        Standardised(3, 6, 3, bias=False), nn.ConvTranspose2d(6, 4, 2, stride=2), nn.Flatten(2), nn.Linear(256, 4)
    )
    network.extend([Adapted(nn.Linear(4, 6), 4, 6), nn.MultiheadAttention(6, 2)])

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.cells, self.head = network[:5], nn.GRU(6, 3), nn.Linear(6, 2)
            self.attention = network[5]

        def forward(self, images: Tensor) -> Tensor:
            values = self.body(images).transpose(0, 1)
            scores: Tensor = self.head(self.attention(values, values, values)[0].mean(dim=0))
            return scores + 0 * self.cells(values)[0].mean()

    found = {layer.path: layer for layer in describe_network(Whole().eval(), 10).layers}
    seen = {path: (layer.kind, layer.units, layer.size, layer.is_linear) for path, layer in found.items()}
    assert seen == {
        "body.0": ("Standardised", 6, 27, False),
        "body.1": ("ConvTranspose2d", 4, 25, False),
        "body.3": ("Linear", 4, 257, True),
        "body.4": ("LoRA Linear", 6, 5, True),
        "body.4.base_layer": ("Linear", 6, 5, True),
        "body.4.lora_A.default": ("Linear", 2, 4, True),
        "body.4.lora_B.default": ("Linear", 6, 2, True),
        "attention.in_proj": ("MultiheadAttention", 18, 7, True),
        "attention.out_proj": ("NonDynamicallyQuantizableLinear", 6, 7, True),
        "cells.ih_l0": ("GRU", 9, 7, True),
        "cells.hh_l0": ("GRU", 9, 4, True),
        "head": ("Linear", 2, 7, True),
    }
    assert {path for path, layer in found.items() if layer.refused} == {"cells.ih_l0", "cells.hh_l0"}
    assert found["body.1"].variant > found["body.3"].variant > 0
    assert [*found][:2] == ["body.0", "body.1"]


def test_a_bias_from_elsewhere_is_described() -> None:
    class Patches(Attention):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.flatten(2).mean(dim=1, keepdim=True).reshape(len(images), -1, 4))

    for engine in ENGINES:
        found = {layer.path: layer for layer in describe_network(Patches().eval(), 4, engine=engine).layers}
        assert (found["qkv"].size, found["qkv"].refused) == (5, None)


def test_adapters_that_say_nothing_are_described_as_refused() -> None:
    class Silent(Adapted):
        def get_delta_weight(self, name: str) -> Tensor:
            raise NotImplementedError("not for such layers")

    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), Silent(nn.Linear(4, 6), 4, 6)).eval()
    for engine in ENGINES:
        found = {layer.path: layer for layer in describe_network(network, 2, engine=engine).layers}
        assert (found["2"].units, found["2"].size, found["2.base_layer"].refused) == (6, 5, None)
        assert "its adapters do not say what they add to its weight (not for such layers)" in str(found["2"].refused)


class Depending(nn.Conv2d):
    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([F.conv2d(image, self.weight * image.mean(), self.bias) for image in images.split(1)])


class Twice(nn.Linear):
    def forward(self, rows: Tensor) -> Tensor:
        return F.linear(rows, self.weight.tanh()) + F.linear(rows, self.weight.exp())


class Thinned(nn.Linear):
    """Its own pass takes its own parameters: it is a plain layer."""

    def forward(self, rows: Tensor) -> Tensor:
        return super().forward(rows[..., : self.in_features])


@pytest.mark.parametrize("engine", ENGINES)
def test_what_has_no_single_effective_weight_is_refused(engine: str) -> None:
    with pytest.raises(InputError, match=r"layer '0': its weight or bias is not the same for all images; accepted"):
        lesion(convolutional(Depending(3, 6, 3)).double(), "0", images(), engine=engine)
    with pytest.raises(InputError, match=r"layer 'layer' multiplies by different weights in one pass; accepted are"):
        lesion(Tokens(Twice(4, 6), 6).double(), "layer", tokens(), engine=engine)
    scaled = Tokens(Adapted(nn.Linear(4, 6), 4, 6, magnitude=1.5), 6).double()
    with pytest.raises(InputError, match=r"layer 'layer': its adapters do more than add to its weight; accepted are"):
        lesion(scaled, "layer", tokens(), engine=engine)
    unused = Tokens(nn.Linear(4, 6), 6).double()
    unused.add_module("spare", nn.ConvTranspose2d(3, 3, 3).double())
    with pytest.raises(InputError, match=r"layer 'spare' is used 0 times in one pass"):
        lesion(unused, "spare", tokens(), engine=engine)


def test_a_pass_of_its_own_with_its_own_parameters_is_plain() -> None:
    network = nn.Sequential(Thinned(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    plain = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    plain.load_state_dict(network.state_dict())
    rows = tokens()[:, 0]
    for engine in ENGINES:
        found = marginalize(network, "0", rows, engine=engine, samples=SAMPLES).probabilities[0]
        wanted = marginalize(plain, "0", rows[:, :3], engine=engine, samples=SAMPLES).probabilities[0]
        np.testing.assert_array_equal(found, wanted)


def test_images_that_drive_transposed_units_are_those_of_the_convolution_by_hand() -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(3, 4, 3, padding=2)
    network = convolutional(layer, 4)
    hand = nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        hand.weight.copy_(units_first(layer).flip(2, 3))
        assert hand.bias is not None
        hand.bias.copy_(layer.get_parameter("bias"))
    settings = FeatureSettings(iterations=4)
    pair = [maximize_units(net, "0", (3, 7, 7), settings=settings) for net in (network, convolutional(hand, 4))]
    for (unit, mine), (other, yours) in zip(*pair, strict=True):
        assert unit == other
        np.testing.assert_allclose(mine, yours, rtol=0, atol=1e-5)
    with pytest.raises(InputError, match=r"layer 'attention.in_proj' is a part of a MultiheadAttention: nothing tells"):
        next(maximize_units(AttentionOfTorch(), "attention.in_proj", (3, 7, 7)))


def test_unknown_layers_are_told_all_kinds() -> None:
    with pytest.raises(InputError, match=r"accepted are convolutions and linear layers: cells.ih_l0, cells.hh_l0, "):
        find_layer(Recurrent(nn.LSTM), "cells")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sizes = nn.MultiheadAttention(4, 2, kdim=3, vdim=3)
    with pytest.raises(InputError, match=r"layer 'in_proj' does not exist; .*: out_proj\."):
        find_layer(sizes, "in_proj")


class Sharpened(nn.Linear):
    """Its parent says how much."""

    factor = 1.0

    def forward(self, rows: Tensor) -> Tensor:
        return F.linear(rows, self.factor * self.weight, self.bias)


class Sharpening(Tokens):
    def forward(self, tokens: Tensor) -> Tensor:
        vars(self.layer)["factor"] = 3.0
        return super().forward(tokens)


@pytest.mark.parametrize("engine", ENGINES)
def test_draws_are_around_what_a_pass_shows(engine: str) -> None:
    network = Sharpening(Sharpened(4, 6), 6).double().eval()
    weight = 3 * network.layer.get_parameter("weight").detach()
    near, _ = prior_draws(network, "layer", 2, samples=1, scale=1e-9, images=tokens())
    np.testing.assert_allclose(near[0], weight[2], rtol=0, atol=1e-7)
    found = marginalize(network, "layer", tokens(), units=[2], scale=1e-9, samples=1, engine=engine).probabilities[0]
    np.testing.assert_allclose(found[0], predict(network, tokens())[1][0], rtol=0, atol=1e-7)


def test_adapters_that_do_not_say_what_they_add_are_refused() -> None:
    network = Tokens(Adapted(nn.Linear(4, 6), 4, 6), 6).double()
    network.get_submodule("layer.lora_B").add_module("default", nn.Linear(3, 6))
    with pytest.raises(
        InputError, match=r"layer 'layer': its adapters do not say what they add .*'layer.base_layer' w"
    ):
        find_layer(network, "layer")
