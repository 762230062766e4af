"""Marginalization: the same numbers as a plain loop over units and draws, whatever the network."""

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing import Estimation, InputError, Marginalization, marginalize, predict, prior_draws
from featuresharing.estimators.draw_weights import effective_samples, keep_largest, prior_weights
from featuresharing.networks.alexnet.names import LAYERS
from tests.support.naive import marginalize_naively, predict_naively, sample_shares
from tests.support.small_networks import keep_alive, small_alexnet

torch.set_num_threads(1)  # more only wait for each other on networks this small

SAMPLES = 5
IMAGE = (3, 10, 10)


class Residual(nn.Module):
    """In-place ReLU and in-place addition as in torchvision's networks, with a convolution in the skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv1, self.norm1 = nn.Conv2d(4, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.shortcut, self.norm3 = nn.Conv2d(4, 4, 1, stride=2), nn.BatchNorm2d(4)
        self.conv4 = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        y = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        x = self.norm3(self.shortcut(x))
        y += x
        y = self.relu(y)
        z = self.conv4(y)
        y += z
        return self.head(self.relu(y).mean(dim=(2, 3)))


class PreActivation(nn.Module):
    """A skip connection around an in-place activation that overwrites what the layer took."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        y = self.second(x)
        return self.head(y + F.elu(x, inplace=True))


class Accumulating(PreActivation):
    """An addition into what does not depend on the second layer."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.head(torch.tanh(x).add_(self.second(x)))


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.three, self.pool = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 2, 1)
        self.mix = nn.Conv2d(7, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pool(F.max_pool2d(x, 3, stride=1, padding=1))
        x = torch.cat([F.relu(self.one(x)), F.relu(self.three(x)), pooled], dim=1)
        return self.head(torch.flatten(F.adaptive_avg_pool2d(F.relu(self.mix(x)), 1), 1))


class Outputs(nn.Module):
    """Hidden units and one head for each number of classes; ``give`` makes the output of the heads' scores."""

    def __init__(self, classes: tuple[int, ...], give: Callable[[list[Tensor]], Any]) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, 6)
        self.heads = nn.ModuleList(nn.Linear(6, count) for count in classes)
        self.give = give

    def forward(self, x: Tensor) -> Any:
        x = torch.tanh(self.hidden(x))
        return self.give([head(x) for head in self.heads])


class Tokens(nn.Module):
    """Linear layers that see [images, tokens, features]."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.keys, self.norm, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        attention = torch.softmax(self.keys(x) @ x.transpose(1, 2), dim=-1)
        return self.head(self.norm(x + attention @ x).mean(dim=1))


class Aside(nn.Module):
    """A layer that no output depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.aside, self.head = nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.aside(x)
        return self.head(x)


def convolutions(*layers: nn.Module, dimensions: int = 2) -> nn.Sequential:
    pool = nn.AdaptiveAvgPool2d(2) if dimensions == 2 else nn.Identity()
    return nn.Sequential(*layers, pool, nn.Flatten(), nn.LazyLinear(3))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[str, ...]]] = {
    "alexnet": (small_alexnet, (3, 16, 16), (*LAYERS.values(), "1.7.1")),
    "skip connection": (Residual, IMAGE, ("stem", "conv1", "conv2", "shortcut", "conv4", "head")),
    "layer's input overwritten": (PreActivation, (4,), ("first", "second")),
    "constant overwritten": (Accumulating, (4,), ("first", "second")),
    "concatenation": (Inception, IMAGE, ("one", "three", "pool", "mix")),
    "grouped, dilated, strided": (
        lambda: convolutions(
            nn.Conv2d(3, 6, 3, groups=3), nn.ReLU(), nn.Conv2d(6, 4, (3, 2), stride=(1, 2), dilation=2, groups=2)
        ),
        IMAGE,
        ("0", "2"),
    ),
    "depthwise separable": (
        lambda: convolutions(nn.Conv2d(3, 3, 3, groups=3), nn.BatchNorm2d(3), nn.Conv2d(3, 5, 1), nn.SiLU()),
        IMAGE,
        ("0", "2"),
    ),
    "circular padding": (
        lambda: convolutions(nn.Conv2d(3, 4, 3, padding=(2, 1), padding_mode="circular"), nn.ReLU()),
        IMAGE,
        ("0",),
    ),
    "padding to the same size": (
        lambda: convolutions(
            nn.Conv2d(3, 4, (3, 4), padding="same", dilation=2),
            nn.GELU(),
            nn.Conv2d(4, 4, 4, padding="same", padding_mode="reflect"),
        ),
        IMAGE,
        ("0", "2"),
    ),
    "one dimension": (lambda: convolutions(nn.Conv1d(3, 4, 3), nn.ReLU(), dimensions=1), (3, 8), ("0",)),
    "three dimensions": (lambda: convolutions(nn.Conv3d(2, 3, 2), nn.ReLU(), dimensions=3), (2, 3, 3, 3), ("0",)),
    "perceptron": (lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), (4,), ("0", "2")),
    "no bias": (
        lambda: nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False)),
        (4,),
        ("0", "2"),
    ),
    "heads in a list": (lambda: Outputs((3, 2, 5), list), (4,), ("hidden", "heads.1")),
    "heads in a dict": (lambda: Outputs((3, 2), lambda o: {"b": o[1], "a": o[0]}), (4,), ("hidden", "heads.0")),
    "tokens": (Tokens, (5, 4), ("embed", "keys", "head")),
    "in-place activation": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.LeakyReLU(0.3, inplace=True), nn.Linear(6, 3)),
        (4,),
        ("0", "2"),
    ),
    "no effect": (Aside, (4,), ("aside", "head")),
}
CASES = [(name, path) for name, (_, _, paths) in NETWORKS.items() for path in paths]


def build(name: str, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor]:
    """Return a network whose batch norms have seen images, and two images for it."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        make, shape, _ = NETWORKS[name]
        network = make().train()
        with torch.no_grad():
            network(torch.randn(8, *shape))
            keep_alive(network)
            network(torch.randn(8, *shape))
        return network.eval().to(dtype), torch.randn(2, *shape).to(dtype)


def draw(network: nn.Module, path: str, units: list[int], **options: Any) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    return [prior_draws(network, path, unit, samples=SAMPLES, **options) for unit in units]


@pytest.mark.parametrize(("name", "path"), CASES)
def test_conditionals_are_those_of_the_plain_loop(name: str, path: str) -> None:
    network, images = build(name)
    units = [0, len(network.get_submodule(path).weight) - 1]
    found = marginalize(network, path, images, units=units, samples=SAMPLES, tolerance=0)
    wanted = marginalize_naively(network, path, images, units, draw(network, path, units))
    assert len(found.probabilities) == len(wanted)
    for task, reference in zip(found, wanted, strict=True):
        assert task.dtype == np.float64
        np.testing.assert_allclose(task, reference, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "path"), [("alexnet", "0.0.0"), ("alexnet", "1.2"), ("skip connection", "conv1"), ("tokens", "keys")]
)
def test_single_precision_differs_by_rounding(name: str, path: str) -> None:
    network, images = build(name, torch.float32)
    found = marginalize(network, path, images.numpy(), units=[1], samples=SAMPLES, tolerance=0)
    wanted = marginalize_naively(network, path, images, [1], draw(network, path, [1]))
    for task, reference in zip(found, wanted, strict=True):
        np.testing.assert_allclose(task, reference, rtol=1e-5, atol=1e-7)


def test_scale_and_seed_are_those_of_the_draws() -> None:
    network, images = build("perceptron")
    options = {"scale": 0.3, "seed": 5}
    (found,) = marginalize(network, "0", images, units=[2], samples=SAMPLES, tolerance=0, **options)
    (wanted,) = marginalize_naively(network, "0", images, [2], draw(network, "0", [2], **options), scale=0.3)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "path", "tolerance"),
    [
        ("alexnet", "0.0.0", 1e-6),
        ("alexnet", "1.2", 1e-3),
        ("no bias", "0", 1e-3),
        ("perceptron", "2", 0.3),
        ("tokens", "embed", 0.3),
    ],
)
def test_draws_left_out_lower_a_conditional_by_at_most_their_weight(name: str, path: str, tolerance: float) -> None:
    network, images = build(name)
    exact = marginalize(network, path, images, samples=40, tolerance=0)
    quick = marginalize(network, path, images, samples=40, tolerance=tolerance)
    assert exact.skipped_mass.tolist() == [0] * len(exact.units)
    assert quick.skipped_mass.max() <= tolerance
    assert quick.skipped_mass.max() > 0
    for full, short in zip(exact, quick, strict=True):
        difference = full.astype(float) - short
        assert (difference >= -1e-7).all()
        assert (difference <= quick.skipped_mass[:, None, None] + 1e-7).all()


def test_conditionals_say_what_they_hold() -> None:
    network, images = build("heads in a dict")
    found = marginalize(network, "hidden", images, units=[4, 1], samples=SAMPLES)
    assert found.tasks == ("b", "a")
    assert [task.shape for task in found] == [(2, 2, 2), (2, 2, 3)]
    assert found.units.tolist() == [4, 1]
    assert found.standard_error is None
    none = marginalize(network, "hidden", images, units=[], samples=SAMPLES)
    assert [task.shape for task in none] == [(0, 2, 2), (0, 2, 3)]
    single, images = build("perceptron")
    assert marginalize(single, "0", images, samples=SAMPLES).tasks == ("0",)
    run = Marginalization(network, "hidden", images, Estimation(samples=SAMPLES))
    assert run.units == [0, 1, 2, 3, 4, 5]


def test_predictions_are_those_of_the_network() -> None:
    network, images = build("heads in a list", torch.float32)
    for batch_size in (None, 1):
        tasks, predictions = predict(network, images, batch_size=batch_size)
        assert tasks == ("0", "1", "2")
        for found, wanted in zip(predictions, predict_naively(network, images), strict=True):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("alias", LAYERS)
def test_an_alias_gives_the_same_numbers_as_the_path(alias: str) -> None:
    network, images = build("alexnet", torch.float32)
    path = LAYERS[alias]
    for found, wanted in zip(
        prior_draws(network, alias, 1, samples=2, aliases=LAYERS), prior_draws(network, path, 1, samples=2), strict=True
    ):
        assert np.array_equal(found, wanted)
    for found, wanted in zip(
        marginalize(network, alias, images, units=[1], samples=2, aliases=LAYERS),
        marginalize(network, path, images, units=[1], samples=2),
        strict=True,
    ):
        assert np.array_equal(found, wanted)


def test_draws_are_deviations_from_the_units_own_parameters() -> None:
    network, _ = build("grouped, dilated, strided", torch.float32)
    weights, biases = prior_draws(network, "2", 3, samples=4000, scale=0.5, seed=1)
    layer = network.get_submodule("2")
    assert weights.shape == (4000, 3, 3, 2)
    assert (weights.dtype, biases.dtype) == (np.float64, np.float64)
    deviations = np.column_stack([(weights - layer.weight[3].detach().numpy()).reshape(4000, -1), biases])
    deviations[:, -1] -= layer.bias[3].item()
    np.testing.assert_allclose(deviations.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(np.cov(deviations.T), 0.25 * np.eye(19), atol=0.03)
    doubled, _ = prior_draws(network, "2", 3, samples=4000, scale=1, seed=1)
    own = layer.weight[3].detach().double().numpy()
    np.testing.assert_allclose(doubled - own, 2 * (weights - own), atol=1e-12)


def test_draws_never_change() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    weights, biases = prior_draws(network, "2", 1, samples=2, seed=3)
    np.testing.assert_allclose(
        weights, [[-1.3590387057789473, -0.2914079270881792], [1.0225067007366146, 1.24707116458784]], rtol=1e-14
    )
    np.testing.assert_allclose(biases, [1.2241093206042541, -0.3211704927373616], rtol=1e-14)
    for layer, unit, seed in (("0", 1, 3), ("2", 0, 3), ("2", 1, 4)):
        assert not np.isin(prior_draws(network, layer, unit, samples=2, seed=seed)[0], weights).any()


def test_draws_have_no_bias_where_the_layer_has_none() -> None:
    network, _ = build("no bias")
    weights, biases = prior_draws(network, "0", 0, samples=3)
    assert weights.shape == (3, 4)
    assert biases.tolist() == [0, 0, 0]


def snapshot(network: nn.Module) -> Iterator[Any]:
    for name, value in network.state_dict().items():
        yield name, value.tolist()
    for name, parameter in network.named_parameters():
        yield name, parameter.requires_grad, parameter.grad
    for name, module in network.named_modules():
        yield name, module.training
    yield torch.get_rng_state().tolist()
    yield [value.tolist() if isinstance(value, np.ndarray) else value for value in np.random.get_state()]  # noqa: NPY002
    yield random.getstate()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 1},
        {"units": [99]},
        {"estimator": "psychic"},
        {"layer": "nowhere"},
        {"images": np.zeros((0, 3, 10, 10), np.float32)},
        {"images": np.zeros((1, 5, 10, 10), np.float32)},
        {"device": "nonsense"},
    ],
)
def test_network_and_random_state_are_left_as_they_were(options: dict[str, Any]) -> None:
    network, images = build("skip connection", torch.float32)
    network.train()
    network.get_submodule("norm1").eval()
    network.get_submodule("conv2").requires_grad_(False)
    before, pixels = list(snapshot(network)), images.clone()
    arguments = {"layer": "conv1", "images": images, "samples": 2, "units": [0], **options}
    try:
        marginalize(network, **arguments)
    except Exception:
        assert options
    assert list(snapshot(network)) == before
    assert torch.equal(images, pixels)


def test_an_abandoned_loop_gives_the_network_its_mode_back() -> None:
    network, images = build("perceptron")
    network.train()
    pieces = Marginalization(network, "0", images, Estimation(samples=2)).pieces()
    next(pieces)
    pieces.close()
    assert network.training


@pytest.mark.parametrize(("name", "path"), [("alexnet", "0.0.0"), ("perceptron", "2"), ("no bias", "0")])
@pytest.mark.parametrize("scale", [0.2, 1.0, 7.0])
def test_effective_samples_are_those_of_the_sample_weights(name: str, path: str, scale: float) -> None:
    network, images = build(name)
    found = marginalize(network, path, images, units=[0, 1], samples=20, scale=scale)
    for unit in (0, 1):
        draws = prior_draws(network, path, unit, samples=20, scale=scale)
        shares = sample_shares(network.get_submodule(path), unit, draws, scale=scale)
        assert found.effective_samples[unit] == pytest.approx(1 / sum(share**2 for share in shares), rel=1e-9)


def test_effective_samples_run_from_one_to_all() -> None:
    assert effective_samples(np.full(8, 1 / 8)) == 8
    assert effective_samples(np.array([0.0, 1.0, 0.0])) == 1
    # densities that underflow unless they are compared in logs
    np.testing.assert_allclose(prior_weights(np.array([3600.0, 3600.0, 3721.0])), [0.5, 0.5, 0], atol=1e-20)


WEIGHTS = st.lists(st.floats(0, 1), min_size=1, max_size=30).filter(lambda values: sum(values) > 0)


@settings(max_examples=60, deadline=None)
@given(WEIGHTS, st.floats(0, 0.999))
def test_mass_left_out_is_the_largest_within_the_tolerance(values: list[float], tolerance: float) -> None:
    weights = np.array(values) / sum(values)
    kept, skipped = keep_largest(weights, tolerance)
    left_out = np.delete(weights, kept)
    assert len(kept) >= 1
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert skipped <= tolerance
    assert skipped == pytest.approx(left_out.sum(), abs=1e-12)
    assert left_out.max(initial=0) <= weights[kept].min()
    if len(kept) > 1 and tolerance > 0:
        assert skipped + weights[kept].min() > tolerance - 1e-12


@settings(max_examples=20, deadline=None)
@given(WEIGHTS)
def test_no_tolerance_keeps_every_draw(values: list[float]) -> None:
    kept, skipped = keep_largest(np.array(values) / sum(values), 0)
    assert kept.tolist() == list(range(len(values)))
    assert skipped == 0


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.sum() > 0 else -self.layer(x)


class Twice(Branching):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.layer(2 * x)


class Unused(Branching):
    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("network", "options", "words"),
    [
        (nn.Sequential(nn.Linear(4, 3)), {"layer": "conv9"}, ["'conv9'", "does not exist", "accepted", "0 (fc)"]),
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU()), {"layer": "1"}, ["'1'", "ReLU", "accepted", "0 (fc)"]),
        (nn.Sequential(nn.Linear(4, 3)), {"units": [0, 3]}, ["unit 3", "'0'", "accepted are 0 to 2"]),
        (nn.Sequential(nn.Linear(4, 3)), {"units": [-1]}, ["unit -1", "accepted are 0 to 2"]),
        (nn.Sequential(nn.Linear(4, 3)), {"estimator": "psychic"}, ["'psychic'", "accepted", "prior-weighted"]),
        (nn.Sequential(nn.Linear(4, 3)), {"samples": 0}, ["samples", "found 0", "accepted"]),
        (nn.Sequential(nn.Linear(4, 3)), {"scale": 0.0}, ["scale", "found 0.0", "accepted"]),
        (nn.Sequential(nn.Linear(4, 3)), {"scale": float("nan")}, ["scale", "found nan", "accepted"]),
        (nn.Sequential(nn.Linear(4, 3)), {"tolerance": 1.0}, ["tolerance", "found 1.0", "accepted"]),
        (nn.Sequential(nn.Linear(4, 3)), {"images": np.zeros((0, 4), np.float32)}, ["images", "none", "accepted"]),
        (
            nn.Sequential(nn.Linear(4, 3)),
            {"images": np.full((1, 4), np.nan, np.float32)},
            ["images", "NaN", "accepted"],
        ),
        (Branching(), {"layer": "layer"}, ["Branching", "cannot be traced", "'item' in Branching", "engine='plain'"]),
        (Twice(), {"layer": "layer"}, ["'layer'", "used 2 times", "accepted"]),
        (Unused(), {"layer": "layer"}, ["'layer'", "used 0 times", "accepted"]),
    ],
)
def test_wrong_input_is_named_with_what_is_accepted(
    network: nn.Module, options: dict[str, Any], words: list[str]
) -> None:
    arguments = {"layer": "0", "images": np.ones((2, 4), np.float32), "aliases": {"fc": "0"}, **options}
    with pytest.raises(InputError) as error:
        marginalize(copy.deepcopy(network), **arguments)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_draws_of_a_layer_or_unit_that_is_not_there_are_refused() -> None:
    network = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(InputError, match=r"layer '7' does not exist; accepted are .*: 0\."):
        prior_draws(network, "7", 0)
    with pytest.raises(InputError, match="unit 3 of layer '0' does not exist; accepted are 0 to 2"):
        prior_draws(network, "0", 3)
