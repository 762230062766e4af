"""Palettes: what colour a unit has that matters much or little to one task and to another.

Both put the brightness of two tasks, from 0 to 1, into one colour: dark where neither task relies on the unit, bright
where both do.

- ``orange-blue``: lightness (CIELAB) says how much the tasks rely on a unit together, hue which one does. Either task
  alone has the same lightness, so that none looks stronger, and prints as the same grey, between neither and both. Of
  all pairs of hues at this lightness these keep the largest distance for readers without one kind of cones.
- ``yellow-blue``: red and green carry the first task, blue the second, as in the published figures. Yellow is nearly as
  light as white and blue nearly as dark as black.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.settings import FigureSettings, check

NEITHER, ONE, BOTH = 8.0, 60.0, 97.0
"""Lightness of units on which no task, one and both rely."""

ORANGE, BLUE = (78.0, 55.0), (60.0, 277.0)
"""Chroma and hue (degrees) of units on which the first task alone relies, and the second alone."""

FROM_XYZ = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)
"""Linear sRGB of CIE XYZ (IEC 61966-2-1), for the white that follows."""

WHITE = np.array([0.95047, 1.0, 1.08883])
"""CIE XYZ of D65."""


def brightness(multiples: NDArray[np.floating[Any]], style: FigureSettings) -> NDArray[np.float64]:
    """Map multiples of the average unit, of any shape, to brightness in [0, 1].

    They are dark at and below the first of the style's limits, bright at and above the second, and in between on a
    logarithmic or linear scale.
    """
    low, high = style.darkest_and_brightest
    clipped = np.clip(np.asarray(multiples, np.float64), low, high)
    if style.colour_scale == "log":
        return np.asarray(np.log(clipped / low) / np.log(high / low))
    return np.asarray((clipped - low) / (high - low))


def colours(palette: str, first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return the colours [..., 3] of units that have brightness ``first`` and ``second`` [...] in [0, 1] for two tasks.

    Equal ones are grey. Raises InputError for a palette that the config does not accept.

    >>> import numpy as np
    >>> colours("yellow-blue", np.array([1.0, 0.5]), np.array([0.0, 0.5])).tolist()
    [[255, 255, 0], [128, 128, 128]]
    """
    check(FigureSettings, "palette", palette)
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    rgb = np.stack([a, a, b], axis=-1) if palette == "yellow-blue" else _of_lab(_equally_light(a, b))
    return np.rint(255 * rgb).astype(np.uint8)


def _equally_light(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return CIELAB [..., 3]: lightness bilinear between its corners, chroma in proportion to the difference."""
    lightness = NEITHER + (ONE - NEITHER) * (a + b) + (NEITHER + BOTH - 2 * ONE) * a * b
    plane = np.stack([_plane(*ORANGE), _plane(*BLUE)])
    chroma = np.maximum(a - b, 0)[..., None] * plane[0] + np.maximum(b - a, 0)[..., None] * plane[1]
    return np.concatenate([lightness[..., None], chroma], axis=-1)


def _plane(chroma: float, hue: float) -> NDArray[np.float64]:
    return chroma * np.array([np.cos(np.radians(hue)), np.sin(np.radians(hue))])


def _of_lab(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sRGB in [0, 1] of CIELAB [..., 3]; what a screen cannot show is cut off."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = WHITE * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    linear: NDArray[np.float64] = np.clip(xyz @ FROM_XYZ.T, 0, 1)
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


def lightness(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return CIELAB's lightness, 0 to 100, of colours [..., 3]."""
    share = rgb / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126729, 0.7151522, 0.0721750])
    return np.asarray(np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3))
