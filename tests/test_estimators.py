"""Estimators: plain means, integrals solved without sampling, and what prior-weighted sums tend to."""

import copy
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import beta, chi2, kstest
from torch import Tensor, nn

from featuresharing import Conditionals, InputError, marginalize, prior_draws
from featuresharing.engine.one_channel import OneChannelEngine
from tests.support.naive import predict_naively
from tests.support.small_networks import (
    ACTIVATIONS,
    Array,
    Tokens,
    alexnet,
    different_images,
    gaps,
    perceptron,
    pictures,
)

torch.set_num_threads(1)  # more only wait for each other on networks this small

Rest = Callable[[float], list[Array]]
"""Predictions of every task for one image, given the output z of the unit."""

TOLERANCES = (1e-4, 1e-6, 1e-9)
REFERENCE_ERROR = 2e-11
"""How far what scipy finds may be off."""


class Aside(nn.Module):
    """A layer that no output depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.aside, self.head = nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.aside(x)
        return self.head(x)


def predictions_of_draws(
    network: nn.Module, path: str, unit: int, images: Tensor, draws: tuple[Array, Array]
) -> list[Array]:
    """Set the unit to every draw in turn and run the network: [draws, images, classes] a task."""
    network = copy.deepcopy(network).eval()
    layer = network.get_submodule(path)
    found = []
    for weights, bias in zip(*draws, strict=True):
        with torch.no_grad():
            layer.weight[unit] = torch.from_numpy(weights)
            if layer.bias is not None:
                layer.bias[unit] = float(bias)
        found.append(predict_naively(network, images))
    return [np.stack(task) for task in zip(*found, strict=True)]


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# --- monte-carlo

MONTE_CARLO_CASES: list[tuple[Callable[[], nn.Module], Tensor, str]] = [
    (alexnet, pictures(), "0.0.0"),
    (alexnet, pictures(), "0.0.8"),
    (alexnet, pictures(), "1.5"),
    (alexnet, pictures(), "1.7.0"),
    (lambda: perceptron("tanh", bias=False), different_images(), "0"),
    (lambda: gaps(1)[0], gaps(1)[1], "hidden"),
]


@pytest.mark.parametrize(("make", "images", "path"), MONTE_CARLO_CASES)
@pytest.mark.parametrize("engine", ["one-channel", "plain"])
def test_monte_carlo_is_the_plain_mean_and_its_standard_error(
    make: Callable[[], nn.Module], images: Tensor, path: str, engine: str
) -> None:
    network, samples, units = make(), 30, [2, 0]
    options: dict[str, Any] = {"samples": samples, "scale": 0.7, "seed": 4}
    found = marginalize(network, path, images, estimator="monte-carlo", units=units, engine=engine, **options)
    assert found.standard_error is not None
    for row, unit in enumerate(units):
        draws = prior_draws(network, path, unit, **options)
        predictions = predictions_of_draws(network, path, unit, images, draws)
        for mean, error, task in zip(found, found.standard_error, predictions, strict=True):
            np.testing.assert_allclose(mean[row], task.mean(axis=0), rtol=1e-12, atol=1e-13)
            wanted = task.std(axis=0, ddof=1) / np.sqrt(samples)
            # an output that the unit does not reach has no spread; nor have a few numbers beside rounding
            np.testing.assert_allclose(error[row], wanted, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("tolerance", [0.0, 1e-6, 0.3, 0.99])
def test_monte_carlo_leaves_no_draw_out(tolerance: float) -> None:
    network, images = perceptron(), different_images()
    options: dict[str, Any] = {"estimator": "monte-carlo", "samples": 25}
    found = marginalize(network, "0", images, tolerance=tolerance, **options)
    (wanted,) = marginalize(network, "0", images, **options)
    assert found.effective_samples.tolist() == [25] * 6
    assert found.skipped_mass.tolist() == [0] * 6
    assert found.error_estimate is None
    assert np.array_equal(found.probabilities[0], wanted)


class Saturating(nn.Module):
    """Any large output of the layer, of either sign, gives nearly the same prediction; zero gives another."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(1, 2, bias=False), nn.Linear(2, 2)
        nn.init.zeros_(self.layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        size = self.layer(x).abs()
        return self.head(size / (1 + size))


@pytest.mark.parametrize(("dtype", "errors"), [("float64", {"rtol": 1e-7}), ("float32", {"atol": 1e-5})])
def test_a_standard_error_is_not_lost_where_all_draws_are_alike_and_far_from_the_prediction(
    dtype: str, errors: dict[str, float]
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, images = Saturating().double(), torch.ones(1, 1, dtype=torch.float64)
    options: dict[str, Any] = {"samples": 50, "scale": 1e4}
    found = marginalize(network, "layer", images, units=[0], estimator="monte-carlo", dtype=dtype, **options)
    (task,) = predictions_of_draws(network, "layer", 0, images, prior_draws(network, "layer", 0, **options))
    assert found.standard_error is not None
    wanted = task.std(axis=0, ddof=1) / np.sqrt(50)
    assert wanted.max() < 1e-2 * np.abs(task.mean(axis=0) - predict_naively(network, images)[0]).min()
    np.testing.assert_allclose(found.standard_error[0][0], wanted, **errors)


def test_standard_error_in_single_precision_differs_by_rounding() -> None:
    network, images = alexnet(torch.float32), pictures().float()
    found = marginalize(network, "1.2", images, units=[1], estimator="monte-carlo", samples=20)
    draws = prior_draws(network, "1.2", 1, samples=20)
    predictions = predictions_of_draws(network.double(), "1.2", 1, images.double(), draws)
    assert found.standard_error is not None
    for mean, error, task in zip(found, found.standard_error, predictions, strict=True):
        assert (mean.dtype, error.dtype) == (np.float32, np.float32)
        np.testing.assert_allclose(mean[0], task.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(error[0], task.std(axis=0, ddof=1) / np.sqrt(20), rtol=1e-4, atol=1e-7)


# --- quadrature


def rest_of_perceptron(
    network: nn.Sequential, activation: str, path: str, unit: int, image: Tensor
) -> tuple[Rest, list[float]]:
    """Return how to run the network by hand, in numpy, with the output z of a unit, and z where ReLUs after it bend."""
    layers: Any = [network[0], network[2], network[4]]
    matrices = [layer.weight.detach().numpy() for layer in layers]
    shifts = [
        np.zeros(len(m)) if la.bias is None else la.bias.detach().numpy()
        for la, m in zip(layers, matrices, strict=True)
    ]
    act, place = ACTIVATIONS[activation][1], int(path) // 2
    at_zero: list[Array] = []

    def predict(z: float) -> list[Array]:
        values = image.numpy()
        at_zero.clear()
        for layer, (matrix, shift) in enumerate(zip(matrices, shifts, strict=True)):
            values = matrix @ values + shift
            at_zero.append(values)
            if layer == place:
                values[unit] = z
            if layer < 2:
                values = act(values)
        return [softmax(values)]

    predict(0.0)
    kinks = bends(at_zero[1], matrices[1][:, unit]) if place == 0 else []
    return predict, kinks if activation == "relu" else []


def bends(at_zero: Array, column: Array) -> list[float]:
    """Return z > 0 where the inputs of ReLUs, ``at_zero`` + ``column`` z, are zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        places = -at_zero / column
    return [float(z) for z in places if 0 < z < np.inf]


def integral(rest: Rest, mean: float, spread: float, kinks: list[float]) -> list[Array]:
    """Integrate predictions over z ~ N(mean, spread^2) with scipy, class by class."""
    if spread == 0:
        return rest(mean)
    # kinks, and places around zero at which a step may end
    places = {(z - mean) / spread for size in (0, 0.5, 2, 8, 32, 128) for z in (-size, size)}
    places |= {(z - mean) / spread for z in kinks}
    points = sorted(place for place in places if abs(place) < 9)

    def integrand(u: float, task: int, label: int) -> float:
        return float(rest(mean + spread * u)[task][label] * np.exp(-u * u / 2) / np.sqrt(2 * np.pi))

    found = []
    for task, values in enumerate(rest(mean)):
        pairs = [
            quad(integrand, -9, 9, (task, label), points=points, limit=2000, epsabs=3e-12, epsrel=0)
            for label in range(len(values) - 1)
        ]
        assert max(error for _, error in pairs) < REFERENCE_ERROR / 4
        known = [value for value, _ in pairs]
        found.append(np.array([*known, 1 - sum(known)]))
    return found


def gaussian_of(layer: Any, unit: int, taken: Tensor, scale: float) -> tuple[float, float]:
    """Return mean and spread of z = w.x + b for w and b from the prior."""
    x = taken.double().numpy()
    mean = float(layer.weight[unit].detach().double().numpy() @ x)
    squares = float(x @ x)
    if layer.bias is not None:
        mean, squares = mean + layer.bias[unit].item(), squares + 1
    return mean, scale * np.sqrt(squares)


@lru_cache
def integrals_of_perceptron(activation: str, bias: bool, path: str, unit: int, scale: float) -> Array:
    network, found = perceptron(activation, bias=bias), []
    for image in different_images():
        with torch.no_grad():
            taken = network[: int(path)](image)
        rest, kinks = rest_of_perceptron(network, activation, path, unit, image)
        found.append(integral(rest, *gaussian_of(network[int(path)], unit, taken, scale), kinks)[0])
    return np.stack(found)


def check_quadrature(found: Conditionals, references: list[Array], tolerance: float, rounding: float = 0.0) -> None:
    """Compare with integrals [images, classes] a task of the one unit in ``found``."""
    assert found.error_estimate is not None
    assert found.error_estimate.shape == (1, len(references[0]))
    assert found.error_estimate.max() <= tolerance
    assert found.effective_samples.tolist() == [np.inf]
    assert found.skipped_mass.tolist() == [0]
    assert found.standard_error is None
    for task, reference in zip(found, references, strict=True):
        np.testing.assert_allclose(task[0], reference, rtol=0, atol=tolerance + REFERENCE_ERROR + rounding)
        np.testing.assert_allclose(task.sum(axis=-1), 1, atol=tolerance + 1e-12 + rounding)


@pytest.mark.parametrize("tolerance", TOLERANCES)
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_quadrature_is_the_integral_that_scipy_finds(
    activation: str, bias: bool, scale: float, tolerance: float
) -> None:
    network = perceptron(activation, bias=bias)
    options: dict[str, Any] = {"estimator": "quadrature", "scale": scale, "tolerance": tolerance}
    found = marginalize(network, "0", different_images(), units=[3], **options)
    check_quadrature(found, [integrals_of_perceptron(activation, bias, "0", 3, scale)], tolerance)


@pytest.mark.parametrize(("path", "unit"), [("2", 1), ("4", 2)])
@pytest.mark.parametrize("scale", [0.5, 20.0])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_quadrature_of_later_layers_is_the_integral_that_scipy_finds(
    activation: str, scale: float, path: str, unit: int
) -> None:
    network = perceptron(activation)
    options: dict[str, Any] = {"estimator": "quadrature", "scale": scale, "tolerance": 1e-8}
    found = marginalize(network, path, different_images(), units=[unit], **options)
    check_quadrature(found, [integrals_of_perceptron(activation, True, path, unit, scale)], 1e-8)


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("tolerance", [1e-4, 1e-6])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_quadrature_in_single_precision_is_right_up_to_rounding(
    activation: str, tolerance: float, scale: float
) -> None:
    network = perceptron(activation)
    options: dict[str, Any] = {"estimator": "quadrature", "scale": scale, "tolerance": tolerance, "dtype": "float32"}
    found = marginalize(network, "0", different_images(), units=[3], **options)
    assert found.probabilities[0].dtype == np.float32
    check_quadrature(found, [integrals_of_perceptron(activation, True, "0", 3, scale)], tolerance, rounding=2e-6)


def piecewise_integral(rest: Rest, mean: float, spread: float, kinks: list[float]) -> Array:
    """Integrate with many nodes between any two kinks."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    sizes = [0.0, *(sign * 2.0**power for power in range(-1, 6) for sign in (-1, 1)), *kinks]
    places = [(z - mean) / spread for z in sizes]
    edges = np.unique([*np.linspace(-9, 9, 19), *(place for place in places if abs(place) < 9)])
    total: Array = np.zeros(3)
    for low, high in pairwise(edges):
        for u, weight in zip((low + high + (high - low) * nodes) / 2, weights * (high - low) / 2, strict=True):
            total += weight * np.exp(-u * u / 2) / np.sqrt(2 * np.pi) * rest(mean + spread * u)[0]
    return total


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [1e-4, 1e-6])
def test_errors_of_quadrature_are_seldom_larger_than_the_tolerance(tolerance: float) -> None:
    """No rule sees a kink that lies close to the edge of a piece, so that a few errors may be larger than estimated."""
    errors = []
    for seed in range(40):
        network, images = perceptron("relu", seed=seed), different_images()[1:3] * (1 + seed / 20)
        options: dict[str, Any] = {"units": [3], "estimator": "quadrature", "tolerance": tolerance}
        (found,) = marginalize(network, "0", images, **options)
        for image, values in zip(images, found[0], strict=True):
            rest, kinks = rest_of_perceptron(network, "relu", "0", 3, image)
            wanted = piecewise_integral(rest, *gaussian_of(network[0], 3, image, 1.0), kinks)
            errors.append(np.abs(values - wanted).max())
    assert np.mean(np.array(errors) > tolerance) <= 0.0125
    assert max(errors) < 10 * tolerance


ALEXNET_UNITS = [("1.2", 2), ("1.5", 4), ("1.7.0", 1), ("1.7.1", 3)]


@lru_cache
def integrals_of_alexnet(path: str, unit: int, scale: float) -> list[Array]:
    network, found = alexnet(), []
    fc6, fc7, heads = network[1][2], network[1][5], network[1][7]
    with torch.no_grad():
        flat = network[0](pictures()).flatten(1)
    weights = {layer: (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in (fc6, fc7, *heads)}

    def run(layer: nn.Module, inputs: Array, z: float | None) -> Array:
        matrix, shift = weights[layer]
        values = matrix @ inputs + shift
        if z is not None and layer is network.get_submodule(path):
            values[unit] = z
        return values

    for row in flat.numpy():
        taken = {"1.2": row}

        def rest(z: float | None, taken: dict[str, Array] = taken) -> list[Array]:
            taken["1.5"] = np.maximum(run(fc6, taken["1.2"], z), 0)
            taken["fc7"] = run(fc7, taken["1.5"], z)
            features = np.maximum(taken["fc7"], 0)
            taken.update({"1.7.0": features, "1.7.1": features})
            return [softmax(run(head, features, z)) for head in heads]

        rest(0.0)
        kinks = bends(taken["fc7"], weights[fc7][0][:, unit]) if path == "1.2" else []
        rest(None)
        mean, spread = gaussian_of(network.get_submodule(path), unit, torch.from_numpy(taken[path].copy()), scale)
        found.append(integral(rest, mean, spread, kinks))
    return [np.stack(task) for task in zip(*found, strict=True)]


@pytest.mark.parametrize(("path", "unit"), ALEXNET_UNITS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_quadrature_of_linear_layers_of_an_alexnet(path: str, unit: int, dtype: str) -> None:
    tolerance, rounding = (1e-9, 0.0) if dtype == "float64" else (1e-5, 2e-6)
    options: dict[str, Any] = {"estimator": "quadrature", "tolerance": tolerance, "dtype": dtype}
    found = marginalize(alexnet(), path, pictures(), units=[unit], **options)
    assert found.tasks == ("0", "1")
    check_quadrature(found, integrals_of_alexnet(path, unit, 1.0), tolerance, rounding)


def test_quadrature_of_a_head_leaves_the_other_task_alone() -> None:
    found = marginalize(alexnet(), "1.7.0", pictures(), units=[0], estimator="quadrature", tolerance=1e-9)
    np.testing.assert_allclose(found.probabilities[1][0], predict_naively(alexnet(), pictures())[1], atol=1e-9)


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_quadrature_of_a_layer_whose_rows_have_gaps(step: int, batch_size: int | None) -> None:
    network, images = gaps(step)
    matrix, shift = (parameter.detach().numpy() for parameter in network.head.parameters())
    references = []
    for image in images[:, ::2] if step == 2 else images[:, :4]:
        hidden = network.hidden(image).detach().numpy()

        def rest(z: float, hidden: Array = hidden) -> list[Array]:
            return [softmax(matrix @ np.maximum(np.where(np.arange(6) == 4, z, hidden), 0) + shift)]

        references.append(integral(rest, *gaussian_of(network.hidden, 4, image, 2.0), [])[0])
    options: dict[str, Any] = {"estimator": "quadrature", "scale": 2.0, "tolerance": 1e-9, "batch_size": batch_size}
    found = marginalize(network, "hidden", images, units=[4], **options)
    check_quadrature(found, [np.stack(references)], 1e-9)


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("batch_size", [None, 1, 2])
@pytest.mark.parametrize("estimator", ["prior-weighted", "monte-carlo"])
def test_draws_of_a_layer_whose_rows_have_gaps_do_not_depend_on_batches(
    step: int, batch_size: int | None, estimator: str
) -> None:
    """A batch of one image has no gaps between rows, so that torch adds its bias with the product."""
    network, images = gaps(step)
    options: dict[str, Any] = {"estimator": estimator, "samples": 10, "tolerance": 0, "units": [1]}
    found = marginalize(network, "hidden", images, batch_size=batch_size, **options)
    wanted = marginalize(network, "hidden", images, engine="plain", **options)
    np.testing.assert_allclose(found.probabilities[0], wanted.probabilities[0], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.3, 1.0, 10.0])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_quadrature_agrees_with_many_draws(activation: str, scale: float) -> None:
    network, images = perceptron(activation), different_images()
    options: dict[str, Any] = {"units": [1, 3], "scale": scale}
    drawn = marginalize(network, "0", images, estimator="monte-carlo", samples=20_000, **options)
    (found,) = marginalize(network, "0", images, estimator="quadrature", tolerance=1e-9, **options)
    assert drawn.standard_error is not None
    difference = np.abs(found - drawn.probabilities[0])
    assert (difference <= 4 * drawn.standard_error[0] + 1e-6).all()
    assert np.median(difference / np.maximum(drawn.standard_error[0], 1e-12)) < 2


def test_quadrature_of_a_layer_without_effect_is_the_prediction() -> None:
    network, images = Aside().double(), torch.randn(3, 4, dtype=torch.float64)
    found = marginalize(network, "aside", images, estimator="quadrature")
    (wanted,) = predict_naively(network, images)
    assert found.error_estimate is not None
    assert found.error_estimate.tolist() == [[0, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(found.probabilities[0], np.stack([wanted, wanted]), rtol=1e-12)


@pytest.mark.parametrize(
    ("network", "images", "options", "words"),
    [
        (alexnet(), pictures(), {"layer": "0.0.3"}, ["'0.0.3'", "accepted", "linear layers"]),
        (Tokens(), torch.ones(2, 5, 4), {"layer": "embed"}, ["'embed'", "accepted", "one row"]),
        (perceptron(), different_images(), {"tolerance": 0}, ["tolerance", "found 0", "accepted", "quadrature"]),
        (perceptron(), different_images(), {"engine": "plain"}, ["plain", "accepted", "one-channel"]),
    ],
    ids=["convolution", "tokens", "tolerance of 0", "plain engine"],
)
def test_quadrature_says_what_it_cannot_do(
    network: nn.Module, images: Tensor, options: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(InputError) as error:
        marginalize(network, **{"layer": "0", "images": images, "estimator": "quadrature", **options})
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


# --- prior-weighted


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.5, 2.0])
@pytest.mark.parametrize("unit", [0, 3])
def test_prior_weighted_tends_to_the_integral_under_half_the_variance(scale: float, unit: int) -> None:
    """Density times density has half the variance.

    The estimate is a ratio of means; to first order its variance is the sum of pi_s^2 (p_s - q)^2 over draws.
    """
    network, samples = perceptron("tanh", inputs=2, seed=4), 6000
    images = torch.tensor([[1.0, -0.5], [2.0, 1.0]], dtype=torch.float64)
    draws = prior_draws(network, "0", unit, samples=samples, scale=scale)
    found = marginalize(network, "0", images, units=[unit], samples=samples, scale=scale, tolerance=0)
    options: dict[str, Any] = {"units": [unit], "estimator": "quadrature", "tolerance": 1e-9}
    (narrow,) = marginalize(network, "0", images, scale=scale / np.sqrt(2), **options)
    (wide,) = marginalize(network, "0", images, scale=scale, **options)

    (predictions,) = predictions_of_draws(network, "0", unit, images, draws)
    own = network[0].weight[unit].detach().numpy(), network[0].bias[unit].item()
    squares = ((draws[0] - own[0]) ** 2).sum(axis=1) + (draws[1] - own[1]) ** 2
    shares = np.exp(-squares / (2 * scale**2))
    shares /= shares.sum()
    error = np.sqrt((shares[:, None, None] ** 2 * (predictions - narrow[0]) ** 2).sum(axis=0))
    assert found.effective_samples[0] > 1000
    assert (np.abs(found.probabilities[0][0] - narrow[0]) < 4 * error).all()
    assert (np.abs(found.probabilities[0][0] - wide[0]) > 5 * error).any()


# --- draws


def drawn_deviations(inputs: int, samples: int, *, unit: int = 0, seed: int = 0) -> Array:
    """Return [samples, inputs + 1] deviations from the unit's own weights and bias."""
    network = nn.Sequential(nn.Linear(inputs, 2)).double()
    weights, biases = prior_draws(network, "0", unit, samples=samples, seed=seed)
    own = [*network[0].weight[unit].tolist(), network[0].bias[unit].item()]
    return np.column_stack([weights, biases]) - own


@pytest.mark.parametrize(("inputs", "samples"), [(1, 4000), (5, 4000), (300, 1500)])
@pytest.mark.parametrize(("unit", "seed"), [(0, 0), (1, 5)])
def test_lengths_are_chi_squared_and_directions_uniform(inputs: int, samples: int, unit: int, seed: int) -> None:
    size = inputs + 1
    drawn = drawn_deviations(inputs, samples, unit=unit, seed=seed)
    squares = (drawn**2).sum(axis=1)
    assert kstest(squares, chi2(size).cdf).pvalue > 0.001
    directions = drawn / np.sqrt(squares)[:, None]
    # a coordinate of a uniform direction: its square is beta distributed, and its sign is fair; so is any projection
    onto = np.random.default_rng(0).standard_normal(size)
    for along in (directions[:, 0], directions[:, -1], directions @ (onto / np.linalg.norm(onto))):
        assert kstest(along**2, beta(0.5, (size - 1) / 2).cdf).pvalue > 0.001
        assert abs(np.sign(along).mean()) < 4 / np.sqrt(samples)
        for column in (along, np.abs(along)):  # directions do not know their lengths
            assert abs(np.corrcoef(column, squares)[0, 1]) < 4 / np.sqrt(samples)
    covariance = directions.T @ directions / samples
    assert np.abs(covariance - np.eye(size) / size).max() < 6 / (size * np.sqrt(samples))


def test_draws_do_not_know_each_other() -> None:
    drawn = drawn_deviations(5, 4000)
    other = drawn_deviations(5, 4000, unit=1)
    for column in range(6):
        assert abs(np.corrcoef(drawn[:-1, column], drawn[1:, column])[0, 1]) < 4 / np.sqrt(4000)
        assert abs(np.corrcoef(drawn[:, column], other[:, column])[0, 1]) < 4 / np.sqrt(4000)
    lengths = (drawn**2).sum(axis=1)
    assert abs(np.corrcoef(lengths[:-1], lengths[1:])[0, 1]) < 4 / np.sqrt(4000)


@pytest.fixture
def parameters_used(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[tuple[Array, float]]]:
    """Record by unit the weights and biases that reach the engine."""
    used: dict[int, list[tuple[Array, float]]] = {}
    real = OneChannelEngine.scores

    def scores(
        self: OneChannelEngine, images: slice, units: NDArray[np.int64], weights: Tensor, biases: Tensor
    ) -> Iterator[Any]:
        for unit, weight, bias in zip(units.tolist(), weights, biases, strict=True):
            used.setdefault(unit, []).append((weight.numpy().copy(), bias.item()))
        return real(self, images, units, weights, biases)

    monkeypatch.setattr(OneChannelEngine, "scores", scores)
    return used


@pytest.mark.parametrize("units", [[0, 1, 2], [2, 0], [1]])
@pytest.mark.parametrize(("estimator", "tolerance"), [("monte-carlo", 1e-6), ("prior-weighted", 0), ("published", 0)])
def test_marginalize_uses_the_draws_of_prior_draws(
    units: list[int],
    estimator: str,
    tolerance: float,
    parameters_used: dict[int, list[tuple[Array, float]]],
) -> None:
    network = alexnet()
    options: dict[str, Any] = {"samples": 6, "scale": 0.5, "seed": 9}
    marginalize(network, "0.0.3", pictures(), units=units, estimator=estimator, tolerance=tolerance, **options)
    assert list(parameters_used) == units
    for unit in units:
        weights, biases = prior_draws(network, "0.0.3", unit, **options)
        assert np.array_equal([weight for weight, _ in parameters_used[unit]], weights)
        assert [bias for _, bias in parameters_used[unit]] == biases.tolist()


def test_draws_kept_are_some_of_the_draws_of_prior_draws(
    parameters_used: dict[int, list[tuple[Array, float]]],
) -> None:
    network = alexnet()
    marginalize(network, "1.2", pictures(), units=[3], samples=50, tolerance=1e-3)
    weights, biases = prior_draws(network, "1.2", 3, samples=50)
    found = [biases.tolist().index(bias) for _, bias in parameters_used[3]]
    assert 1 <= len(found) < 50
    assert found == sorted(found)
    assert np.array_equal([weight for weight, _ in parameters_used[3]], weights[found])


def test_more_samples_go_on_where_fewer_stopped() -> None:
    weights, biases = prior_draws(perceptron(), "2", 4, samples=40)
    for samples in (1, 2, 7, 39):
        fewer_weights, fewer_biases = prior_draws(perceptron(), "2", 4, samples=samples)
        assert np.array_equal(fewer_weights, weights[:samples])
        assert np.array_equal(fewer_biases, biases[:samples])
