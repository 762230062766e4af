"""What two tasks share by chance, against all orders of units, scipy and plain sums."""

import math
from functools import partial
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import approx_fprime
from scipy.spatial.distance import cosine as cosine_distance
from scipy.stats import permutation_test, spearmanr

from featuresharing import (
    InputError,
    cosine,
    estimate_excess,
    estimate_sharing,
    excess_sharing,
    expected_sharing,
    permutation_null,
    rank_correlation,
    sharing,
    top_units,
)
from featuresharing.analysis.chance import mean_sharing
from featuresharing.analysis.gradients import cosine_gradients, mean_sharing_gradients, sharing_gradients
from featuresharing.analysis.overlap import MEASURES, ranks, shares

CONTRIBUTIONS = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.5]), min_size=2, max_size=6)


def two_tasks(units: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.random.default_rng(seed).lognormal(size=(2, units))
    return first, second


@settings(max_examples=80, deadline=None)
@given(CONTRIBUTIONS, st.randoms())
def test_expected_sharing_is_the_mean_over_all_orders(values: list[float], random: object) -> None:
    first = np.array(values)
    second = np.random.default_rng(len(values)).permutation(first) + np.arange(len(first)) % 2
    found = expected_sharing(first, second)
    if not first.sum() or not second.sum():
        assert math.isnan(found)
        return
    overlaps = [sharing(first, np.array(order)) for order in permutations(second)]
    assert found == pytest.approx(np.mean(overlaps), abs=1e-12)


def test_expected_sharing_is_that_of_random_orders_in_large_layers() -> None:
    first, second = two_tasks(3000)
    found = permutation_null(first, second, permutations=400)
    assert found.values.mean() == pytest.approx(expected_sharing(first, second), abs=4 * found.values.std() / 20)
    many = np.stack([first, second])
    blocks = mean_sharing(shares(many), shares(many[::-1]))
    assert blocks == pytest.approx([expected_sharing(first, second)] * 2, abs=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("units", [3, 6])
def test_few_units_are_shuffled_in_all_orders(measure: str, units: int) -> None:
    plain = {"sharing": sharing, "rank_correlation": rank_correlation, "cosine": cosine, "top_units": top_units}[
        measure
    ]
    for seed in range(5):
        first, second = two_tasks(units, seed)
        found = permutation_null(first, second, measure=measure)
        values = [plain(first, np.array(order)) for order in permutations(second)]
        assert found.exact
        assert sorted(found.values) == pytest.approx(sorted(values), abs=1e-12)
        assert (found.low, found.median, found.high) == pytest.approx(np.percentile(values, [2.5, 50, 97.5]))
        if measure != "top_units":  # scipy compares tied values without room for rounding
            known = permutation_test((second,), partial(plain, first), permutation_type="pairings", n_resamples=np.inf)
            assert found.p == pytest.approx(known.pvalue)
        fewer = min(np.sum(np.array(values) <= found.value + 1e-9), np.sum(np.array(values) >= found.value - 1e-9))
        assert found.p == pytest.approx(min(1, 2 * fewer / math.factorial(units)))


def test_many_units_are_shuffled_at_random_and_p_is_never_0() -> None:
    first, second = two_tasks(8, 3)
    exact = permutation_null(first, second, permutations=math.factorial(8))
    drawn = permutation_null(first, second, permutations=4000, seed=5)
    assert exact.exact
    assert not drawn.exact
    assert drawn.p == pytest.approx(exact.p, abs=0.05)
    assert drawn.median == pytest.approx(exact.median, abs=0.01)
    assert drawn == permutation_null(first, second, permutations=4000, seed=5)
    assert drawn != permutation_null(first, second, permutations=4000, seed=6)
    same = permutation_null(*[two_tasks(30)[0]] * 2, permutations=99)
    assert (same.p, same.value, same.excess) == pytest.approx((2 / 100, 1, 1))


def test_tests_at_5_percent_find_something_in_5_percent_of_unrelated_tasks() -> None:
    found = [permutation_null(*two_tasks(20, seed), permutations=199).p for seed in range(400)]
    # 20 of 400 are expected; a binomial number is outside of these limits once in 4,000 times
    assert 6 <= sum(p <= 0.05 for p in found) <= 37
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_excess_is_0_at_chance_and_1_if_all_is_shared() -> None:
    first, second = two_tasks(12)
    found = permutation_null(first, second)
    assert excess_sharing(first, second) == pytest.approx((found.value - found.median) / (1 - found.median))
    assert excess_sharing(first, first) == pytest.approx(1)
    one = permutation_null(np.ones(1), np.full(1, 3.0))
    assert (one.value, one.median, one.p) == (1, 1, 1)
    assert math.isnan(one.excess)
    even = permutation_null(np.ones(9), first[:9])
    assert (even.excess, even.p) == (pytest.approx(0, abs=1e-9), 1)
    none = permutation_null(np.zeros(4), np.ones(4))
    assert all(math.isnan(number) for number in (none.value, none.median, none.low, none.high, none.p, none.excess))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=25))
def test_measures_are_those_of_scipy_and_of_plain_loops(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs, float).T
    if first.any() and second.any():
        assert cosine(first, second) == pytest.approx(1 - cosine_distance(first, second), abs=1e-12)
    if np.ptp(first) and np.ptp(second):
        assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)
    count = max(1, math.floor(len(pairs) / 10 + 0.5))
    weights = []
    for values in (first, second):
        least = sorted(values)[-count]
        above, tied = sum(values > least), sum(values == least)
        weights.append([1 if v > least else (count - above) / tied if v == least else 0 for v in values])
    assert top_units(first, second) == pytest.approx(sum(map(min, *weights)) / count)


def test_ranks_along_the_last_axis_share_ties() -> None:
    values = np.array([[3.0, 1, 3, 0], [1, 2, 3, 4]])
    assert ranks(values).tolist() == [[2.5, 1, 2.5, 0], [0, 1, 2, 3]]


def test_derivatives_are_those_of_small_changes() -> None:
    first, second = two_tasks(9)
    for gradients, value in (
        (sharing_gradients, sharing),
        (mean_sharing_gradients, expected_sharing),
        (cosine_gradients, cosine),
    ):
        found = gradients(first, second)
        assert found[0] == pytest.approx(approx_fprime(first, lambda a, f=value: f(a, second), 1e-7), abs=1e-5)
        assert found[1] == pytest.approx(approx_fprime(second, lambda b, f=value: f(first, b), 1e-7), abs=1e-5)


def noisy(images: int, alike: float, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return evidence [40, images] of two tasks whose contributions are ``alike``: 1 the same, 0 unrelated."""
    rng = np.random.default_rng(seed)
    logs = rng.standard_normal((2, 40, 1))
    second = alike * logs[0] + math.sqrt(1 - alike**2) * logs[1]
    noise = rng.standard_normal((2, 40, images))
    return np.exp(logs[0]) * (1 + noise[0]), np.exp(second) * (1 + noise[1])


def test_excess_of_evidence_has_an_interval_that_holds_what_many_images_give() -> None:
    for alike in (0, 0.9):
        true = excess_sharing(*(np.abs(values.mean(axis=1)) for values in noisy(100_000, alike)))
        found = estimate_excess(*noisy(60, alike))
        assert found.excess_low < true < found.excess_high
        assert found.excess_high - found.excess_low < 0.2
        null = permutation_null(*(np.abs(values.mean(axis=1)) for values in noisy(60, alike)))
        assert (found.chance, found.chance_low, found.chance_high) == pytest.approx((null.median, null.low, null.high))
        assert (found.p, found.excess) == pytest.approx((null.p, null.excess))
        shared = estimate_sharing(*noisy(60, alike))
        assert (found.sharing, found.low, found.high) == (shared.sharing, shared.low, shared.high)
    same = estimate_excess(*[noisy(30, 0)[0]] * 2)
    assert (same.excess, same.excess_low, same.excess_high) == pytest.approx((1, 1, 1))


def test_intervals_lie_above_estimates_that_noise_lowers() -> None:
    """Resampling lowers sharing by about as much as noise did; the interval corrects it."""
    logs = np.random.default_rng(3).standard_normal((2, 40, 1))
    logs[1] = 0.95 * logs[0] + math.sqrt(1 - 0.95**2) * logs[1]
    truth = sharing(*np.exp(logs[:, :, 0]))
    inside, errors = 0, []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((2, 40, 40))
        evidence = (np.exp(log) * (1 + own) for log, own in zip(logs, noise, strict=True))
        found = estimate_sharing(*evidence, resamples=200)
        inside += found.low <= truth <= found.high
        errors.append((found.sharing - truth, (found.low + found.high) / 2 - truth))
    estimate, middle = np.mean(errors, axis=0)
    assert estimate < -0.02
    assert abs(middle) < abs(estimate) / 2
    assert inside >= 34


def test_what_is_asked_wrongly_is_said() -> None:
    right = np.ones(3)
    with pytest.raises(
        InputError, match=r"^measure: found 'jaccard'; accepted are sharing, rank_correlation, cosine, top"
    ):
        permutation_null(right, right, measure="jaccard")
    with pytest.raises(InputError, match=r"^permutations: found 0; accepted is an integer from 1 to 100000"):
        permutation_null(right, right, permutations=0)
    with pytest.raises(InputError, match=r"^seed: found -1; accepted"):
        excess_sharing(right, right, seed=-1)
    with pytest.raises(InputError, match=r"^contributions: found \[3\] and \[2\]; accepted"):
        expected_sharing(right, right[:2])
    with pytest.raises(InputError, match=r"^resamples: found 0; accepted"):
        estimate_excess(np.ones((3, 4)), np.ones((3, 4)), resamples=0)
