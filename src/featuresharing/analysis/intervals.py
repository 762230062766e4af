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
