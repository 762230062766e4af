"""95 % intervals from bootstrap samples."""

import math

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]

NONE: Interval = (math.nan, math.nan)


def interval(
    value: float, samples: NDArray[np.float64], *, least: float = -math.inf, most: float = math.inf
) -> Interval:
    """Return the 95 % interval of a ``value`` from bootstrap ``samples`` [n], within ``least`` and ``most``.

    Noise in contributions lowers their overlap and resampling adds noise, so the bootstrap as a whole lies below the
    value: its 2.5 and 97.5 percentiles are moved by the value's distance from its median. NaN without samples, and
    where some are NaN.
    """
    if not len(samples) or math.isnan(value) or np.isnan(samples).any():
        return NONE
    low, median, high = np.percentile(samples, [2.5, 50, 97.5])
    found = np.clip([value + low - median, value + high - median], least, most)
    return float(found[0]), float(found[1])
