"""Draws from the prior of a unit: theta ~ N(theta_u, scale^2 I) over its D weights, bias included.

Draws are keyed by (seed, module path of the layer, unit) alone. So the order of units, the batch size, the number of
jobs and an interruption change no number, and every checkpoint of a network sees the same deviations from its own
parameters.

A standard normal vector of D numbers is its length times its direction, and the two are independent: the squared length
is chi-squared with D degrees of freedom, the direction is uniform. The weight of a draw depends on its length alone
(:mod:`.draw_weights`). So lengths are drawn for all draws, but directions, which cost D numbers each, only for the few
draws that matter; each has a generator of its own, keyed by the number of the draw.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from featuresharing.errors import InputError
from featuresharing.estimators.draw_weights import effective_samples, keep_largest, prior_weights
from featuresharing.estimators.estimation import Estimation
from featuresharing.estimators.variants import Parameters, Variants
from featuresharing.networks.forward import computing
from featuresharing.networks.layer_values import values_of_layer
from featuresharing.networks.layers import Layer, choose_units, find_layer, flat_parameters, unit_size
from featuresharing.networks.preparation import prepare
from featuresharing.randomness import keyed_generator
from featuresharing.settings import Config, MarginalizationSettings


def squared_lengths(size: int, path: str, unit: int, *, samples: int, seed: int) -> NDArray[np.float64]:
    """Return |deviation|^2 of every draw, [samples], in units of scale^2, for ``unit`` with ``size`` parameters."""
    lengths: NDArray[np.float64] = keyed_generator(seed, "prior", path, unit).chisquare(size, samples)
    return lengths


def deviations(
    squared: NDArray[np.float64], size: int, path: str, unit: int, draws: Iterable[int], *, seed: int
) -> NDArray[np.float64]:
    """Return standard normal deviations [draws, size] of some ``draws``; ``squared`` are :func:`squared_lengths`."""
    chosen = list(draws)
    vectors, squares = np.empty((len(chosen), size)), np.empty(size)
    for row, draw in enumerate(chosen):
        vector = keyed_generator(seed, "prior", path, unit, draw).standard_normal(out=vectors[row])
        vector *= np.sqrt(squared[draw] / np.square(vector, out=squares).sum())
    return vectors


def bias_deviations(squared: NDArray[np.float64], size: int, path: str, unit: int, *, seed: int) -> NDArray[np.float64]:
    """Return the deviation of the bias, which is the last of ``size`` parameters, in every draw [S]; all are drawn."""
    rows = (deviations(squared, size, path, unit, [draw], seed=seed) for draw in range(len(squared)))
    return np.array([row[0, -1] for row in rows])


def shift_parameters(
    layer: Layer, unit: int, shifts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add ``shifts`` [S, D] to the unit's parameters; return float64 weights [S, *filter shape] and biases [S].

    A layer without bias has zeros for biases: there is nothing uncertain about a bias that does not exist.
    """
    parameters = flat_parameters(layer, unit).numpy() + shifts
    shape = tuple(layer.weight.shape[1:])
    weights = parameters[:, : int(np.prod(shape))].reshape(-1, *shape)
    biases = parameters[:, -1] if layer.bias is not None else np.zeros(len(parameters))
    return weights, biases


class PriorDraws:
    """The draws of a ``unit`` of the ``layer`` at ``path``; ``settings`` give their number, scale, tolerance and seed.

    ``squared`` are :func:`squared_lengths`.
    """

    def __init__(self, layer: Layer, path: str, unit: int, settings: Estimation) -> None:
        self.layer, self.path, self.unit, self.settings = layer, path, unit, settings
        self.size = unit_size(layer)
        self.squared = squared_lengths(self.size, path, unit, samples=settings.samples, seed=settings.seed)

    def squared_of_filters(self) -> NDArray[np.float64]:
        """Return |deviation|^2 of every draw without its bias, [samples]; for a layer with biases."""
        biases = bias_deviations(self.squared, self.size, self.path, self.unit, seed=self.settings.seed)
        return self.squared - np.square(biases)

    def weighted(self, squared: NDArray[np.float64]) -> Variants:
        """Return the draws that matter, weighted by the density at ``squared`` lengths."""
        shares = prior_weights(squared)
        kept, skipped = keep_largest(shares, self.settings.tolerance)
        return self._variants(shares, kept, skipped)

    def falling(self, squared: NDArray[np.float64]) -> Variants:
        """Return all draws, weighted by the density at ``squared`` lengths, those of most weight first."""
        shares = prior_weights(squared)
        return self._variants(shares, np.argsort(-shares, kind="stable"), 0.0)

    def equal(self) -> Variants:
        """Return all draws, each with the same share."""
        samples = self.settings.samples
        return self._variants(np.full(samples, 1 / samples), np.arange(samples), 0.0)

    def _variants(self, shares: NDArray[np.float64], kept: NDArray[np.intp], skipped: float) -> Variants:
        def parameters(part: slice) -> Parameters:
            chosen = kept[part].tolist()
            drawn = deviations(self.squared, self.size, self.path, self.unit, chosen, seed=self.settings.seed)
            return shift_parameters(self.layer, self.unit, self.settings.scale * drawn)

        return Variants(self.unit, shares[kept], parameters, effective_samples(shares), skipped)


def prior_draws(
    network: nn.Module,
    layer: str,
    unit: int,
    *,
    samples: int = MarginalizationSettings.samples,
    scale: float = MarginalizationSettings.scale,
    seed: int = Config.seed,
    images: Any = None,
    inputs: Mapping[str, Any] | None = None,
    aliases: Mapping[str, str] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw parameters of one unit from its prior N(theta_u, scale^2 I) (docs/method.md, step 1).

    Returns weights float64 [samples, *filter shape] and biases float64 [samples]: the very draws that
    :func:`featuresharing.marginalize` uses. A layer without bias of its own may get one from another module (qkv in
    some transformers): ``images`` that the network takes (one will do), and other ``inputs`` by name, then show it.
    Raises InputError for an unknown layer or unit.

    >>> weights, biases = prior_draws(network, "hidden", 3, samples=10)
    >>> weights.shape, biases.shape
    ((10, 4), (10,))
    """
    path, module = find_layer(network, layer, aliases)
    if isinstance(unit, bool):
        raise InputError(f"unit: found {unit}; accepted is the number of a unit of layer '{layer}'.")
    (unit,) = choose_units(module, layer, [unit])
    if images is not None:
        ready = prepare(network, images, inputs=inputs, softmax=False)
        with computing():
            module = values_of_layer(ready, path).layer
    size = unit_size(module)
    squared = squared_lengths(size, path, unit, samples=samples, seed=seed)
    return shift_parameters(module, unit, scale * deviations(squared, size, path, unit, range(samples), seed=seed))
