"""The images with the highest and the lowest evidence of every unit."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from featuresharing import InputError, extreme_images, read_conditionals
from featuresharing.analysis.extreme_images import SIDES, layer_images
from tests.support import stores


def sorted_by_hand(row: list[float], side: str, count: int) -> list[int]:
    """Return positions by sorting all images of a unit: sorted() leaves those of equal evidence in their order."""
    own = [position for position, value in enumerate(row) if not math.isnan(value)]
    sign = 1 if side == "lowest" else -1
    return sorted(own, key=lambda position: sign * row[position])[:count]


@st.composite
def evidence_with_ties(draw: st.DrawFn) -> NDArray[np.float64]:
    units, images = draw(st.integers(1, 6)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.integers(-3, 4, (units, images)) / 2  # few values, so that many are equal
    values[:, rng.random(images) < 0.3] = np.nan
    values[:, draw(st.integers(0, images - 1))] = rng.normal(size=units)
    return values


@given(evidence_with_ties(), st.sampled_from(SIDES), st.integers(1, 10))
def test_extreme_images_are_those_of_a_sort_of_all(evidence: NDArray[np.float64], side: str, count: int) -> None:
    found = extreme_images(evidence, side=side, count=count)
    wanted = [sorted_by_hand(row, side, count) for row in evidence.tolist()]
    assert found.positions.tolist() == wanted
    assert found.evidence.tolist() == [[row[i] for i in own] for row, own in zip(evidence, wanted, strict=True)]
    assert (found.positions.dtype, found.evidence.dtype) == (np.int64, np.float64)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"side": "best"}, "side: found 'best'; accepted are highest and lowest."),
        ({"count": 0}, "count: found 0; accepted is an integer from 1."),
        ({"evidence": np.full((2, 3), np.nan)}, r"evidence: found \[2, 3\], all NaN; accepted"),
        ({"evidence": np.array([[0.0, np.inf]])}, "evidence: found inf at unit 0, image 1"),
        ({"evidence": np.array([[0.0, 1.0], [np.nan, 1.0]])}, "evidence: found nan at unit 1, image 0"),
    ],
)
def test_what_extreme_images_refuse(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        extreme_images(**{"evidence": np.zeros((2, 3))} | given)


@pytest.mark.parametrize("storage", ["true-class", "full"])
@pytest.mark.parametrize("errors", stores.ERRORS)
def test_images_of_a_layer_are_by_task_and_side_at_its_true_classes(tmp_path: Path, storage: str, errors: str) -> None:
    tasks = stores.tasks(12, word=[-1, 0, 1, 2, 0, 1, 2, -1, 0, 1, 2, 0])
    stores.compute(tmp_path / "conv5_7.h5", tasks=tasks, storage=storage, errors=errors)
    found = layer_images(read_conditionals(tmp_path / "conv5_7.h5"), method="probdiff", count=3)
    assert list(found) == [(task.name, side) for task in tasks for side in SIDES]
    for index, task in enumerate(tasks):
        for row, unit in enumerate(stores.UNITS):
            without = stores.numbers(unit, 12)["conditionals"][index]
            by_hand = [
                float(task.predictions[i, y]) - float(without[i, y]) if y >= 0 else float("nan")
                for i, y in enumerate(task.targets.tolist())
            ]
            for side in SIDES:
                extremes = found[task.name, side]
                assert extremes.positions[row].tolist() == sorted_by_hand(by_hand, side, 3)
                assert extremes.evidence[row].tolist() == [by_hand[i] for i in extremes.positions[row]]
