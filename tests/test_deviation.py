"""p-values of lesion curves: by hand, against a naive implementation, and their size on made curves."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import rankdata

from featuresharing import InputError
from featuresharing.analysis.deviation import corrected_p_values, rank_p_values
from featuresharing.analysis.guessing import chance_accuracy

Array = NDArray[np.float64]


def corrected_naively(curve: list[float], random: list[list[float]]) -> list[float]:
    """Return corrected p-values of the points of one curve, number by number."""
    curves, points = [curve, *random], range(len(curve))
    means = [sum(c[i] for c in curves) / len(curves) for i in points]
    variances = [sum((c[i] - means[i]) ** 2 for c in curves) / len(curves) for i in points]
    total = sum(variances) / len(variances)
    scales = [((variance + total) / 2) ** 0.5 for variance in variances]

    def deviations(c: list[float]) -> list[float]:
        return [abs(c[i] - means[i]) / scales[i] if scales[i] else 0.0 for i in points]

    farthest = [max(deviations(c)) for c in random]
    return [(1 + sum(far >= own - 1e-9 for far in farthest)) / len(curves) for own in deviations(curve)]


def test_corrected_p_values_are_those_of_a_naive_implementation() -> None:
    rng = np.random.default_rng(0)
    random = rng.integers(0, 8, size=(12, 5, 2)) / 8
    random[:, 0] = 1  # no unit is removed
    accuracy = rng.integers(0, 12, size=(5, 2)) / 8
    accuracy[0] = 1
    found = corrected_p_values(accuracy, random)
    for task in range(2):
        assert found[:, task].tolist() == corrected_naively(accuracy[:, task].tolist(), random[:, :, task].tolist())
    assert found[0].tolist() == [1, 1]


def test_ranks_are_those_among_all_orders() -> None:
    random = np.random.default_rng(1).random((20, 3))
    accuracy = np.array([random[:, 0].min() - 0.1, np.sort(random[:, 1])[4] + 1e-6, np.median(random[:, 2])])
    found = rank_p_values(accuracy, random)
    places = rankdata(np.concatenate([accuracy[None], random]), axis=0)[0]  # from 1
    wanted = np.minimum(1, 2 * np.minimum(places, 22 - places) / 21)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert found[:2].tolist() == [2 / 21, 12 / 21]


@pytest.mark.parametrize("p_values", [rank_p_values, corrected_p_values])
def test_orders_that_all_agree_differ_in_nothing_and_no_p_is_zero(p_values: Callable[[Array, Array], Array]) -> None:
    random = np.full((3, 2), 0.1 + 0.2)
    assert p_values(np.full(2, 0.3), random).tolist() == [1, 1]
    assert p_values(np.array([0.3, 1.0]), random)[1] == {rank_p_values: 0.5, corrected_p_values: 0.25}[p_values]


def made_curves(rng: np.random.Generator, count: int) -> Array:
    """Return exchangeable curves [count, 15] of accuracies on 30 images that fall, with points that depend."""
    falls = np.cumsum(rng.gamma(0.5, 1.0, size=(count, 15)), axis=1)
    return np.round(30 * np.exp(-falls / rng.uniform(2, 9))) / 30


def test_one_more_random_curve_is_marked_in_five_of_a_hundred_at_most() -> None:
    """Size of the test for a whole curve: with 19 orders, the nominal 5 % is a p-value that there is."""
    rng = np.random.default_rng(2)
    marked = dict.fromkeys((0.05, 0.2), 0)
    for _ in range(2000):
        curves = made_curves(rng, 20)
        least = corrected_p_values(curves[0], curves[1:]).min()
        for threshold in marked:
            marked[threshold] += least <= threshold + 1e-12
    # expected are 100 and 400, fewer by ties; three standard deviations are 29 and 54
    assert 50 <= marked[0.05] <= 129
    assert 300 <= marked[0.2] <= 454


def test_a_curve_unlike_all_others_is_marked_with_twenty_orders() -> None:
    curves = np.clip(made_curves(np.random.default_rng(3), 20), 0.5, 1)
    curves[:, 0] = 1
    unlike = np.array([1.0] + [0.2] * 14)
    assert corrected_p_values(unlike, curves).tolist() == [1, *[1 / 21] * 14]
    curves[0, 0] -= 1 / 30  # one image of 30 in one order, where few units are removed, does not hide it
    assert corrected_p_values(unlike, curves)[1:].tolist() == [1 / 21] * 14


def test_one_order_is_too_few() -> None:
    for p_values in (rank_p_values, corrected_p_values):
        with pytest.raises(InputError, match="accepted are two or more"):
            p_values(np.zeros(2), np.zeros((1, 2)))


def test_chance_is_the_share_of_the_most_frequent_class() -> None:
    targets = np.array([[0, 5, -1], [0, 5, -1], [2, 3, -1], [1, -1, -1]])
    np.testing.assert_allclose(chance_accuracy(targets), [0.5, 2 / 3, np.nan])
