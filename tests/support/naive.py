"""Slow, obvious reference implementations that share no code with the library."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.floating[Any]]
Draws = tuple[Array, Array]


def sample_shares(layer: nn.Module, unit: int, draws: Draws, *, scale: float = 1.0) -> list[float]:
    """Return the density of every draw under N(theta_unit, scale^2 I), divided by the sum over the draws."""
    log_densities = []
    for weights, bias in zip(*draws, strict=True):
        pairs = list(zip(weights.flatten().tolist(), layer.weight[unit].flatten().tolist(), strict=True))
        if layer.bias is not None:
            pairs.append((float(bias), layer.bias[unit].item()))
        log_densities.append(
            sum(-((a - b) ** 2) / (2 * scale**2) - math.log(scale * math.sqrt(2 * math.pi)) for a, b in pairs)
        )
    densities = [math.exp(log_density - max(log_densities)) for log_density in log_densities]
    return [density / sum(densities) for density in densities]


def marginalize_naively(
    network: nn.Module, path: str, images: Tensor, units: Sequence[int], draws: Sequence[Draws], *, scale: float = 1.0
) -> list[Array]:
    """Set every unit to each of its draws in turn, run the whole network, and add up the predictions by their shares.

    Returns float64 [units, images, classes] for each task.
    """
    network = copy.deepcopy(network).eval()
    layer = network.get_submodule(path)
    mixed: list[list[Array]] = []
    for unit, unit_draws in zip(units, draws, strict=True):
        own = copy.deepcopy(layer.state_dict())
        terms = []
        for share, weights, bias in zip(sample_shares(layer, unit, unit_draws, scale=scale), *unit_draws, strict=True):
            with torch.no_grad():
                layer.weight[unit] = torch.from_numpy(weights)
                if layer.bias is not None:
                    layer.bias[unit] = float(bias)
            terms.append([share * prediction for prediction in predict_naively(network, images)])
            layer.load_state_dict(own)
        mixed.append([sum(task[1:], task[0]) for task in zip(*terms, strict=True)])
    return [np.stack(task) for task in zip(*mixed, strict=True)]


def predict_naively(network: nn.Module, images: Tensor) -> list[Array]:
    """Return the softmax in float64 [images, classes] of each of the network's outputs."""
    with torch.no_grad():
        outputs = network(images.clone())
    if isinstance(outputs, Tensor):
        outputs = [outputs]
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    scores = [output.double().numpy() for output in outputs]
    powers = [np.exp(task - task.max(axis=1, keepdims=True)) for task in scores]
    return [task / task.sum(axis=1, keepdims=True) for task in powers]


def weight_of_evidence_naively(p: float, q: float, classes: int, *, laplace: str) -> float:
    odds = []
    for probability in (p, q):
        if laplace == "paper":
            corrected = (probability * 1e6 + 1) / (1e6 * classes)
        else:
            corrected = (probability * 1e6 + 1) / (1e6 + classes)
        odds.append(corrected / (1 - corrected))
    return math.log2(odds[0]) - math.log2(odds[1])


def contribution_naively(evidence: Sequence[float]) -> float:
    total = 0.0
    for value in evidence:
        total += value
    return abs(total / len(evidence))


def sharing_naively(first: Sequence[float], second: Sequence[float]) -> float:
    overlap = 0.0
    for a, b in zip(first, second, strict=True):
        overlap += min(a / sum(first), b / sum(second))
    return overlap


def spearman_naively(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the Pearson correlation of ranks, where a rank counts smaller values and half of the equal ones."""
    a, b = (
        [sum(other < value for other in values) + sum(other == value for other in values) / 2 for value in values]
        for values in (first, second)
    )
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    covariance = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    spread = math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))
    return covariance / spread
