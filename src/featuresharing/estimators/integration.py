"""The conditional of a unit of a linear layer as an integral over one number, solved without sampling.

A unit of a linear layer meets an image as z = w.x + b alone. Under the prior theta ~ N(theta_u, scale^2 I) this z is
Gaussian with mean w_u.x + b_u and variance scale^2 (|x|^2 + 1), without the 1 if the layer has no bias. So the integral
over all D parameters is exactly

    q_t(y | x) = integral of phi(u) p_t(y | x, z = mean + spread u) du,    phi the standard normal density.

p_t is a smooth function of z with steps and kinks near zero, and spread is often large: in u, everything may happen in
a narrow place. So the line is cut at z = 0 and at distances from it that grow by a constant factor, and every piece is
halved until it is right. A Gauss-Kronrod rule of 7 and 15 points gives the integral of a piece. The difference of its
two results estimates the error where p is smooth; at a kink they may agree by chance, so that a piece also has to agree
with the two halves it is replaced by. Pieces are halved for every image by itself; pieces of all images go through the
network together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featuresharing.engine.engines import retried
from featuresharing.engine.memory import cut
from featuresharing.engine.protocol import Chunk, Engine
from featuresharing.estimators.pieces import Array, Done, LayerUnits, Piece, as_results
from featuresharing.estimators.result_columns import EFFECTIVE_SAMPLES, ERROR_ESTIMATE, SKIPPED_MASS
from featuresharing.networks.layers import Layer, flat_parameters

REACH = 8.5
"""Standard deviations that are integrated over; what lies beyond weighs 2e-17."""

CUTS = (1.0, 8.0, 64.0, 512.0)
"""Distances from z = 0 at which the line is cut to begin with."""

CAUTION = 100.0
"""By how much an error is taken to be larger than estimated where nothing but one rule speaks for a piece."""

MOST_HALVINGS = 40
"""Pieces this deep are taken as they are: they are narrower than what floating point can tell apart."""

# nodes and weights of the 15-point Kronrod rule from 0 outwards, and weights of the 7-point Gauss rule within it
_NODES = (
    0.0,
    0.207784955007898467600689403773245,
    0.405845151377397166906606412076961,
    0.586087235467691130294144691693013,
    0.741531185599394439863864773280788,
    0.864864423359769072789712788640926,
    0.949107912342758524526189684047851,
    0.991455371120812639206854697526329,
)
_KRONROD = (
    0.209482141084727828012999174891714,
    0.204432940075298892414161999234649,
    0.190350578064785409913256402421014,
    0.169004726639267902826583426598550,
    0.140653259715525918745189590510238,
    0.104790010322250183839876322541518,
    0.063092092629978553290700663189204,
    0.022935322010529224963732008058970,
)
_GAUSS = (
    0.417959183673469387755102040816327,
    0.0,
    0.381830050505118944950369775488975,
    0.0,
    0.279705391489276667901467771423780,
    0.0,
    0.129484966168869693270611432679082,
    0.0,
)


def _mirrored(values: tuple[float, ...], sign: float) -> NDArray[np.float64]:
    half = np.array(values)
    return np.concatenate([sign * half[:0:-1], half])


NODES, KRONROD, GAUSS = _mirrored(_NODES, -1), _mirrored(_KRONROD, 1), _mirrored(_GAUSS, 1)


def integrals(
    engine: Engine, asked: LayerUnits, *, scale: float, tolerance: float, step: int, done: Done | None = None
) -> Iterator[Piece]:
    """Yield the integrals under N(theta_u, scale^2 I) of one unit on ``step`` images after the other, but for ``done``.

    The layer is linear and takes one row of numbers an image.
    """
    for row, unit in enumerate(asked.units):
        rows = slice(row, row + 1)
        for images in cut(engine.images, step):
            if done and done(rows, images):
                continue
            work = partial(_integrate, engine, asked.layer, unit, scale, tolerance, images)
            probabilities, error = retried(engine, work)
            columns = {
                EFFECTIVE_SAMPLES.name: np.full(1, np.inf),
                SKIPPED_MASS.name: np.zeros(1),
                ERROR_ESTIMATE.name: error[None],
            }
            yield Piece(rows, images, tuple(task[None] for task in probabilities), columns)


def _integrate(
    engine: Engine, layer: Layer, unit: int, scale: float, tolerance: float, images: slice
) -> tuple[tuple[Array, ...], NDArray[np.float64]]:
    """Return a unit's conditionals on ``images`` [images, classes] by task, and their estimated error [images]."""
    results: list[Sequence[Array]] = []
    errors = []
    for chunk in engine.chunks(images):
        count = chunk.images.stop - chunk.images.start
        if chunk.inputs is None:
            results.append([torch.softmax(scores, dim=-1).cpu().numpy() for scores in chunk.scores])
            errors.append(np.zeros(count))
            continue
        line = _line_of(layer, unit, chunk.inputs, scale)
        task_values, error = _integrate_images(_Pieces(engine, chunk, unit, line), tolerance)
        results.append(task_values)
        errors.append(error)
    found = (np.concatenate(task) for task in zip(*results, strict=True))
    return tuple(as_results(task, engine) for task in found), np.concatenate(errors)


def _line_of(layer: Layer, unit: int, inputs: Tensor, scale: float) -> "Line":
    """Return the Gaussian of z = w.x + b for ``inputs`` [images, D]."""
    bias = flat_parameters(layer, unit)[-1:] if layer.bias is not None else torch.zeros(1, dtype=torch.float64)
    product = inputs.cpu().double() @ flat_parameters(layer, unit)[: inputs.shape[1]]
    squares = inputs.cpu().double().square().sum(dim=1) + (layer.bias is not None)
    return Line(mean=(product + bias).numpy(), spread=scale * squares.sqrt().numpy())


@dataclass(frozen=True, eq=False)
class Line:
    """The Gaussian of z for every image: ``mean`` and ``spread`` [N]."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]


def _integrate_images(pieces: "_Pieces", tolerance: float) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Halve pieces until the estimated errors of every image sum up to at most ``tolerance``."""
    line = pieces.line
    count = len(line.mean)
    image, low, high = _first_pieces(line)
    sums: list[NDArray[np.float64]] = []
    halved: list[NDArray[np.float64]] = []
    error = np.zeros(count)
    for halving in range(MOST_HALVINGS + 1):
        values, difference, negligible = pieces.integrate(image, low, high)
        sums = sums or [np.zeros((count, task.shape[1])) for task in values]
        if halved:
            apart = [np.abs(sum(np.split(task, 2)) - whole) for task, whole in zip(values, halved, strict=True)]
            difference = np.maximum(difference, np.tile(np.max([each.max(axis=1) for each in apart], axis=0), 2))
        else:
            difference = CAUTION * difference
        left = tolerance - error
        all_fit = np.bincount(image, difference, count) <= left
        fair = left / (2 * np.maximum(1, np.bincount(image, minlength=count)))
        wrong = difference > np.maximum(fair[image], negligible)  # NaN is not: no halving makes it a number
        right = all_fit[image] | ~wrong | (halving == MOST_HALVINGS)
        for total, task in zip(sums, values, strict=True):
            np.add.at(total, image[right], task[right])
        error += np.bincount(image[right], difference[right], count)
        image, low, high = image[~right], low[~right], high[~right]
        halved = [task[~right] for task in values]
        if not len(image):
            break
        middle = (low + high) / 2
        image, low, high = np.tile(image, 2), np.concatenate([low, middle]), np.concatenate([middle, high])
    return sums, error


def _first_pieces(line: Line) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Cut the line of every image; return the image of each piece, and where it begins and ends."""
    distances = np.array([*(-cut for cut in CUTS), 0.0, *CUTS])
    with np.errstate(divide="ignore", invalid="ignore"):  # an image of zeros has no spread: a single point
        cuts = np.nan_to_num((distances - line.mean[:, None]) / line.spread[:, None])
    ends = np.full((len(line.mean), 1), REACH)
    edges = np.sort(np.concatenate([-ends, cuts.clip(-REACH, REACH), ends], axis=1), axis=1)
    image, piece = np.nonzero(np.diff(edges, axis=1) > 0)
    return image, edges[image, piece], edges[image, piece + 1]


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Integrates predictions over pieces of the lines of images."""

    engine: Engine
    chunk: Chunk
    unit: int
    line: Line

    def integrate(
        self, image: NDArray[np.intp], low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> tuple[list[NDArray[np.float64]], NDArray[np.float64], NDArray[np.float64]]:
        """Return integrals [pieces, classes] a task, estimated errors [pieces], and what rounding makes of errors."""
        count = len(self.line.mean)
        order = np.argsort(image, kind="stable")
        starts = np.searchsorted(image[order], np.arange(count))
        slot = np.empty_like(image)
        slot[order] = np.arange(len(image)) - starts[image[order]]
        slots = int(slot.max()) + 1
        # one piece of every image in each slot; slots without a piece weigh nothing
        middle, half = np.zeros((slots, 1, count)), np.zeros((slots, 1, count))
        middle[slot, 0, image], half[slot, 0, image] = (low + high) / 2, (high - low) / 2
        place = middle + half * NODES[:, None]
        density = half * np.exp(-0.5 * place**2) / np.sqrt(2 * np.pi)
        z = self.line.mean + self.line.spread * place
        most = max(1, self.engine.batches.variants // len(NODES))
        parts = [self._sums(z[at], density[at]) for at in cut(slots, most)]
        values = [np.concatenate(task)[slot, image] for task in zip(*(part[0] for part in parts), strict=True)]
        difference = np.concatenate([part[1] for part in parts])[slot, image]
        rounding = 8 * torch.finfo(self.engine.dtype).eps * (density * KRONROD[:, None]).sum(axis=1)
        return values, difference, rounding[slot, image]

    def _sums(
        self, z: NDArray[np.float64], density: NDArray[np.float64]
    ) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
        """Return Kronrod sums [slots, images, classes] a task, and the largest difference from Gauss sums."""
        slots, nodes, images = z.shape
        new = torch.from_numpy(z.reshape(slots * nodes, images, 1)).to(self.engine.dtype).to(self.engine.device)
        units = np.full(len(new), self.unit)
        parts = list(self.chunk.scores_of(units, new))
        kronrod = torch.from_numpy(density * KRONROD[:, None])
        gauss = torch.from_numpy(density * GAUSS[:, None])
        sums, difference = [], np.zeros((slots, images))
        for task in zip(*parts, strict=True):
            predictions = torch.softmax(torch.cat(task), dim=-1).reshape(slots, nodes, images, -1)
            weights = (each.to(predictions.dtype).to(predictions.device) for each in (kronrod, gauss))
            larger, smaller = (torch.einsum("spn,spnk->snk", each, predictions) for each in weights)
            apart = (larger - smaller).abs().amax(dim=-1)
            difference = np.maximum(difference, apart.cpu().numpy())
            sums.append(larger.cpu().numpy().astype(np.float64))
        return sums, difference
