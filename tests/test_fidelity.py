"""The original's steps, written anew from its formulas with no code of ours, on a network that Torch7 wrote."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing import (
    contribution,
    information_difference,
    load_network,
    marginalize,
    predict,
    prior_draws,
    probability_difference,
    weight_of_evidence,
)
from featuresharing.torch7 import read_torch7
from tests.support.paper_archives import FIXTURES

torch.set_num_threads(1)  # more only wait for each other on networks this small

SAMPLES = 15
LAYERS = ("0.0.0", "0.0.8", "1.5")

Array = NDArray[np.float64]


def softmaxes(network: nn.Module, images: Tensor) -> list[Array]:
    with torch.no_grad():
        outputs = [scores.double().numpy() for scores in network(images)]
    exponentials = [np.exp(scores - scores.max(axis=1, keepdims=True)) for scores in outputs]
    return [values / values.sum(axis=1, keepdims=True) for values in exponentials]


def log_density(x: Array, mean: Array) -> Any:
    """Log of the standard normal density around ``mean``, as the original adds it up: over the last axis of ``x``."""
    return -0.5 * (mean.size * np.log(2 * np.pi) + np.sum((x - mean) ** 2, axis=-1))


def original_weights(weights: Array, biases: Array, own_weight: Array, own_bias: Array) -> Array:
    """Log weights [S] of draws [S, D] and [S]: the biases are a vector, so that the original sums over the draws."""
    logs = log_density(weights, own_weight) + log_density(biases, own_bias)
    logs -= logs.max()
    logs -= np.log(np.exp(logs).sum())
    return np.asarray(logs)


@cache
def original_conditionals(network: nn.Module, path: str, images: Tensor) -> list[Array]:
    """Every draw of every unit in a pass of its own, weighted by its density: [units, images, classes] by task."""
    layer = network.get_submodule(path)
    kept_weight, kept_bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    found: list[list[Array]] = []
    for unit in range(len(kept_weight)):
        weights, biases = prior_draws(network, path, unit, samples=SAMPLES)
        own = kept_weight[unit].double().numpy().ravel(), kept_bias[unit].double().numpy().ravel()
        logs = original_weights(weights.reshape(SAMPLES, -1), biases, *own)
        mixed: list[Array] = []
        for sample in range(SAMPLES):
            with torch.no_grad():
                layer.weight[unit] = torch.from_numpy(weights[sample])
                layer.bias[unit] = float(biases[sample])
            terms = [np.exp(logs[sample] + np.log(p)) for p in softmaxes(network, images)]
            mixed = [a + b for a, b in zip(mixed, terms, strict=True)] if mixed else terms
        with torch.no_grad():
            layer.weight.copy_(kept_weight)
            layer.bias.copy_(kept_bias)
        found.append(mixed)
    return [np.stack(task) for task in zip(*found, strict=True)]


def corrected(p: Array) -> Array:
    return (p * 1e6 + 1) / (1e6 * p.shape[1])


def odds(p: Array) -> Array:
    return corrected(p) / (1 - corrected(p))


ORIGINAL: dict[str, Any] = {
    "we": lambda p, q: np.log2(odds(p)) - np.log2(odds(q)),
    "probdiff": lambda p, q: p - q,
    "infdiff": lambda p, q: np.log2(p) - np.log2(q),
}
OURS: dict[str, Any] = {
    "we": weight_of_evidence,
    "probdiff": probability_difference,
    "infdiff": information_difference,
}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return load_network(FIXTURES / "alexnet67_double.t7")


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.from_numpy(np.array(read_torch7(FIXTURES / "alexnet67_input.t7"))).double()


@pytest.mark.parametrize("path", LAYERS)
def test_evidence_and_contributions_are_those_of_the_original(network: nn.Module, images: Tensor, path: str) -> None:
    predictions = softmaxes(network, images)
    conditionals = original_conditionals(network, path, images)
    settings = {"estimator": "published", "samples": SAMPLES, "tolerance": 0.0, "dtype": "float64"}
    found = marginalize(network, path, images, **settings)
    _, found_predictions = predict(network, images)
    truths = [p.argmax(axis=1) for p in predictions]
    for p, q, ours_p, ours_q, truth in zip(predictions, conditionals, found_predictions, found, truths, strict=True):
        np.testing.assert_allclose(ours_q, q, rtol=0, atol=1e-12)
        np.testing.assert_allclose(ours_p, p, rtol=0, atol=1e-7)
        for method, original in ORIGINAL.items():
            evidence = np.stack([original(p, unit) for unit in q])
            ours = OURS[method](p, ours_q)
            # the original's infdiff has no correction, which for ours is worth 1 / (n p) nats at most
            allowed = np.full(q.shape, 1e-5)
            if method == "infdiff":
                allowed += 1e-6 / np.log(2) * np.abs(1 / p - 1 / q)
            assert (np.abs(ours - evidence) <= allowed).all(), method
            there, found_there, allowed = (v[:, np.arange(len(truth)), truth] for v in (evidence, ours, allowed))
            difference = np.abs(contribution(found_there) - np.abs(there.mean(axis=1)))
            assert (difference <= allowed.mean(axis=1)).all(), method


@pytest.mark.parametrize("path", LAYERS)
def test_draws_that_are_left_out_move_conditionals_by_their_weight_at_most(
    network: nn.Module, images: Tensor, path: str
) -> None:
    for tolerance in (1e-6, 1e-2):
        options: dict[str, Any] = {"samples": SAMPLES, "tolerance": tolerance, "dtype": "float64"}
        found = marginalize(network, path, images, estimator="published", **options)
        for q, ours in zip(original_conditionals(network, path, images), found, strict=True):
            difference = q - ours
            assert difference.min() > -1e-12
            assert difference.max() <= tolerance + 1e-12


@pytest.mark.parametrize("path", LAYERS)
def test_the_text_and_the_code_of_the_paper_weigh_draws_differently(
    network: nn.Module, images: Tensor, path: str
) -> None:
    """With a bias of its own for each draw, the original's density is that of ``prior-weighted``."""
    layer = network.get_submodule(path)
    size = layer.weight[0].numel()
    options: dict[str, Any] = {"samples": SAMPLES, "tolerance": 0.0, "dtype": "float64"}
    text, code = (
        marginalize(network, path, images, estimator=name, **options) for name in ("prior-weighted", "published")
    )
    for unit in range(len(text.units)):
        weights, biases = prior_draws(network, path, unit, samples=SAMPLES)
        own = layer.weight[unit].detach().numpy().ravel(), layer.bias[unit : unit + 1].detach().numpy()
        filters = log_density(weights.reshape(SAMPLES, size), own[0])
        for found, logs in ((text, filters + log_density(biases[:, None], own[1])), (code, filters)):
            shares = np.exp(logs - logs.max())
            shares /= shares.sum()
            assert found.effective_samples[unit] == pytest.approx(1 / np.sum(shares**2), rel=1e-9)
    assert max(np.abs(a - b).max() for a, b in zip(text, code, strict=True)) > 1e-6


def test_without_a_bias_the_text_and_the_code_agree() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(7, 5, bias=False), nn.ReLU(), nn.Linear(5, 3))
    images = torch.randn(4, 7)
    (text,), (code,) = (marginalize(network, "0", images, estimator=name) for name in ("prior-weighted", "published"))
    assert np.array_equal(text, code)
