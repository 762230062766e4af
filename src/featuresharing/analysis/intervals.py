"""95 % intervals from bootstrap samples."""

import math

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]

NONE: Interval = (math.nan, math.nan)


def interval(samples: NDArray[np.float64], *, least: float = -math.inf, most: float = math.inf) -> Interval:
    """Return the 2.5 and 97.5 percentiles of ``samples`` [R], within ``least`` and ``most``.

    NaN without samples, and where some are NaN.
    """
    if not len(samples) or np.isnan(samples).any():
        return NONE
    low, high = np.clip(np.percentile(samples, [2.5, 97.5]), least, most)
    return float(low), float(high)


def mirrored(value: float, samples: NDArray[np.float64], *, least: float, most: float) -> Interval:
    """Return an interval that holds the percentiles of plain bootstrap ``samples`` [R] and their mirror images.

    Of measures that jump, no derivative tells how far noise moves them, and whither from the ``value``.
    """
    low, high = interval(samples)
    found = np.clip([min(low, 2 * value - high), max(high, 2 * value - low)], least, most)
    return float(found[0]), float(found[1])
