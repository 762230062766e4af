"""Palettes of units: equal lightness, grey print, and readers without one kind of cones, by simulation."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from featuresharing.colours.palettes import colours, lightness
from featuresharing.errors import InputError

Array = NDArray[np.float64]

# Rows are red, green and blue of linear sRGB: Machado, Oliveira & Fernandes (2009), "A physiologically-based model for
# simulation of color vision deficiency", IEEE TVCG 15, table of severity 1.0.
EYES = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}

# CIE XYZ of linear sRGB (IEC 61966-2-1).
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)

CORNERS = {"neither": (0.0, 0.0), "first": (1.0, 0.0), "second": (0.0, 1.0), "both": (1.0, 1.0)}

LEAST = 45.0
"""Least distance in CIELAB between two corners; 2.3 is what an eye just tells apart."""


def lab(rgb: NDArray[np.uint8], eyes: str = "normal") -> Array:
    """Return CIELAB (D65) of colours [..., 3] as eyes see them."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ EYES[eyes].T, 0, 1)
    ratio = seen @ XYZ.T / XYZ.sum(axis=1)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def corners(palette: str) -> dict[str, NDArray[np.uint8]]:
    first, second = np.array(list(CORNERS.values())).T
    return dict(zip(CORNERS, colours(palette, first, second), strict=True))


def test_lab_is_that_of_the_standard() -> None:
    for rgb, found in {(255, 255, 255): (100, 0, 0), (255, 0, 0): (53.24, 80.09, 67.20)}.items():
        assert lab(np.array(rgb, np.uint8)) == pytest.approx(found, abs=0.02)


def least_distance(palette: str, eyes: str) -> float:
    """Return the distance between those two corners of a palette that are hardest to tell apart."""
    seen = [lab(colour, eyes) for colour in corners(palette).values()]
    return min(float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2))


@pytest.mark.parametrize("eyes", EYES)
def test_corners_are_told_apart_by_all_eyes(eyes: str) -> None:
    assert least_distance("orange-blue", eyes) > LEAST
    if eyes == "tritanopia":  # to which yellow is nearly white: why the published colours are not the default
        assert least_distance("yellow-blue", eyes) < 15


@pytest.mark.parametrize("eyes", EYES)
def test_either_task_alone_is_far_from_the_other_in_the_equally_light_palette(eyes: str) -> None:
    found = corners("orange-blue")
    assert np.linalg.norm(lab(found["first"], eyes) - lab(found["second"], eyes)) > 100


def test_grey_print_tells_neither_one_and_both() -> None:
    seen = {name: float(lab(colour)[0]) for name, colour in corners("orange-blue").items()}
    assert seen["first"] == pytest.approx(seen["second"], abs=0.5)
    for darker, lighter in (("neither", "first"), ("first", "both")):
        assert seen[lighter] - seen[darker] > 30
    assert seen == pytest.approx({name: float(lightness(colour)) for name, colour in corners("orange-blue").items()})


def test_neither_task_looks_stronger_in_the_equally_light_palette() -> None:
    level = np.linspace(0, 1, 33)
    first, second = np.meshgrid(level, level)
    shades = lab(colours("orange-blue", first, second))
    light = shades[..., 0]
    assert light == pytest.approx(light.T, abs=1.5), "what a screen cannot show is little"
    assert (np.diff(light, axis=0) > -0.4).all(), "more of a task is never darker"
    diagonal = shades[np.arange(33), np.arange(33)]
    assert np.abs(diagonal[:, 1:]).max() < 1, "equal contributions are grey"


def test_a_palette_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="palette: found 'viridis'; accepted is orange-blue or yellow-blue"):
        colours("viridis", np.zeros(1), np.zeros(1))
