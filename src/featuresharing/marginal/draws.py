"""Draws from the prior of a unit: theta ~ N(theta_u, scale^2 I) over its weights and its bias.

Draws are keyed by (seed, module path of the layer, unit) alone. So the order of units, the batch size, the number of
jobs and an interruption change no number, and every checkpoint of a network sees the same deviations from its own
parameters.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import nn

from featuresharing.marginal.layers import Layer, choose_units, find_layer, flat_parameters, unit_size
from featuresharing.randomness import keyed_generator


def standard_draws(layer: Layer, path: str, unit: int, *, samples: int, seed: int) -> NDArray[np.float64]:
    """Return the standard normal deviations float64 [samples, D] of ``unit`` in the layer at module path ``path``."""
    return keyed_generator(seed, "prior", path, unit).standard_normal((samples, unit_size(layer)))


def shift_parameters(
    layer: Layer, unit: int, deviations: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add ``deviations`` [S, D] to the unit's parameters; return float64 weights [S, *filter shape] and biases [S].

    A layer without bias has zeros for biases: there is nothing uncertain about a bias that does not exist.
    """
    parameters = flat_parameters(layer, unit).numpy() + deviations
    shape = tuple(layer.weight.shape[1:])
    weights = parameters[:, : int(np.prod(shape))].reshape(-1, *shape)
    biases = parameters[:, -1] if layer.bias is not None else np.zeros(len(parameters))
    return weights, biases


def prior_draws(
    network: nn.Module,
    layer: str,
    unit: int,
    *,
    samples: int = 100,
    scale: float = 1.0,
    seed: int = 0,
    aliases: Mapping[str, str] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw parameters of one unit from its prior N(theta_u, scale^2 I) (docs/method.md, step 1).

    Returns weights float64 [samples, *filter shape] and biases float64 [samples]: the very draws that
    :func:`featuresharing.marginalize` uses. Raises InputError for an unknown layer or unit.
    """
    path, module = find_layer(network, layer, aliases)
    choose_units(module, layer, [unit])
    return shift_parameters(module, unit, scale * standard_draws(module, path, unit, samples=samples, seed=seed))
