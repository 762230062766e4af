"""Evidence, contributions and sharing: hand-computed numbers, plain loops and bounds."""

import math
import subprocess
import sys
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import featuresharing
from featuresharing import (
    InputError,
    contribution,
    estimate_sharing,
    information_difference,
    probability_difference,
    rank_correlation,
    sharing,
    weight_of_evidence,
)
from featuresharing.analysis.tables import layer_contributions
from featuresharing.store import LayerConditionals
from tests.support.naive import (
    contribution_naively,
    sharing_naively,
    spearman_naively,
    weight_of_evidence_naively,
)

PROBABILITIES = st.floats(0, 1)
CONTRIBUTIONS = st.lists(st.floats(0, 1e6), min_size=2, max_size=12).filter(lambda values: sum(values) > 1e-3)
PAIRS = CONTRIBUTIONS.flatmap(
    lambda first: st.tuples(
        st.just(first),
        st.lists(st.floats(0, 1e6), min_size=len(first), max_size=len(first)).filter(lambda b: sum(b) > 1e-3),
    )
)


def test_weight_of_evidence_in_bits_by_hand() -> None:
    # standard correction: 1/2 stays 1/2 (odds 1), 0.1999994 becomes 1/5 (odds 1/4), 0.7999999... becomes 4/5 (odds 4)
    p = np.array([0.5, 0.8000006])
    q = np.array([[0.1999994, 0.5], [0.5, 0.1999994]])
    found = weight_of_evidence(p, q, laplace="standard", classes=2)
    np.testing.assert_allclose(found, [[2, 2], [0, 4]], atol=1e-9)
    # paper's correction with 4 classes: 0.799999 becomes 1/5 (odds 1/4), 4/9 - 1e-6 becomes 1/9 (odds 1/8)
    assert weight_of_evidence(np.array([0.799999]), np.array([[4 / 9 - 1e-6]]), classes=4).item() == pytest.approx(1)


def test_other_measures_by_hand() -> None:
    p, q = np.array([0.5]), np.array([[0.2499995], [0.5]])
    assert probability_difference(p, q).ravel().tolist() == [0.5 - 0.2499995, 0]
    np.testing.assert_allclose(information_difference(p, q, laplace="standard", classes=2), [[1], [0]], atol=1e-9)
    paper = information_difference(np.array([0.499999]), np.array([[0.249999]]), classes=7)
    assert paper.item() == pytest.approx(math.log2(0.5 / 0.25))


@settings(max_examples=100, deadline=None)
@given(PROBABILITIES, PROBABILITIES, st.integers(2, 600), st.sampled_from(["paper", "standard"]))
def test_weight_of_evidence_is_that_of_the_plain_formula(p: float, q: float, classes: int, laplace: str) -> None:
    found = weight_of_evidence(np.array([p]), np.array([[q]]), laplace=laplace, classes=classes).item()
    # near p = 1 the formula itself loses digits
    assert found == pytest.approx(weight_of_evidence_naively(p, q, classes, laplace=laplace), rel=1e-6, abs=1e-8)
    assert math.isfinite(found)
    if p == q:
        assert found == 0


@pytest.mark.parametrize("measure", [weight_of_evidence, probability_difference, information_difference])
@pytest.mark.parametrize("laplace", ["paper", "standard"])
def test_all_classes_give_what_the_true_class_alone_gives(measure: Any, laplace: str) -> None:
    rng = np.random.default_rng(0)
    p, q = (rng.dirichlet(np.ones(5), size=size).astype(np.float32) for size in (3, (4, 3)))
    targets = np.array([4, 0, 2])
    found = measure(p, q, laplace=laplace)
    assert (found.shape, found.dtype) == ((4, 3, 5), np.float64)
    at_target = measure(p[range(3), targets], q[:, range(3), targets], laplace=laplace, classes=5)
    assert np.array_equal(found[:, range(3), targets], at_target)


@pytest.mark.parametrize("measure", [weight_of_evidence, information_difference])
def test_unknown_correction_is_named_with_what_is_accepted(measure: Any) -> None:
    with pytest.raises(InputError, match="laplace: found 'none'; accepted is paper or standard"):
        measure(np.array([0.5]), np.array([[0.5]]), laplace="none", classes=2)


def test_contribution_is_the_size_of_the_mean() -> None:
    assert contribution(np.array([[1, -3], [2, 2], [1, -1]], dtype=float)).tolist() == [1, 2, 0]
    evidence = np.random.default_rng(1).standard_normal((4, 7)).astype(np.float32)
    found = contribution(evidence)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [contribution_naively(row) for row in evidence.tolist()], rtol=1e-12)


def test_sharing_and_rank_correlation_by_hand() -> None:
    assert sharing(np.array([1.0, 3.0]), np.array([3.0, 1.0])) == 0.5
    assert sharing(np.array([1.0, 0.0]), np.array([0.0, 5.0])) == 0
    assert sharing(np.array([1.0, 2.0, 5.0]), np.array([0.5, 1.0, 2.5])) == pytest.approx(1)
    assert rank_correlation(np.array([1.0, 20.0, 300.0]), np.array([1.0, 3.0, 2.0])) == pytest.approx(0.5)
    assert rank_correlation(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(math.sqrt(0.75))


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.floats(0.1, 10))
def test_sharing_is_a_symmetric_overlap_between_0_and_1(pair: tuple[list[float], list[float]], factor: float) -> None:
    first, second = map(np.array, pair)
    found = sharing(first, second)
    assert found == pytest.approx(sharing_naively(*pair), abs=1e-12)
    assert -1e-12 <= found <= 1 + 1e-12
    assert found == sharing(second, first)
    assert found == pytest.approx(sharing(factor * first, second), abs=1e-12)
    assert found == pytest.approx(sharing(first[::-1], second[::-1]), abs=1e-12)
    assert sharing(first, first) == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_rank_correlation_is_that_of_plain_ranks(pair: tuple[list[float], list[float]]) -> None:
    first, second = map(np.array, pair)
    found = rank_correlation(first, second)
    if len(set(pair[0])) == 1 or len(set(pair[1])) == 1:
        assert math.isnan(found)
        return
    assert found == pytest.approx(spearman_naively(*pair), abs=1e-12)
    assert -1 - 1e-12 <= found <= 1 + 1e-12
    assert found == pytest.approx(rank_correlation(second, first))
    assert found == pytest.approx(rank_correlation(np.sqrt(first) + 1, second), abs=1e-12) or len(
        set(np.sqrt(first) + 1)
    ) < len(set(pair[0]))


def evidence(images: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return evidence [12 units, images] of two tasks that share about half."""
    rng = np.random.default_rng(5)
    first, second = rng.uniform(1, 10, size=(2, 12, 1))
    return first + rng.standard_normal((12, images)), second + rng.standard_normal((12, images))


def test_estimate_is_that_of_the_contributions_with_an_interval_around_it() -> None:
    first, second = evidence(40)
    found = estimate_sharing(first, second, resamples=300)
    assert found.sharing == pytest.approx(sharing(contribution(first), contribution(second)))
    assert found.spearman == pytest.approx(rank_correlation(contribution(first), contribution(second)))
    assert found.low < found.sharing < found.high
    assert found.high - found.low < 0.1


def test_interval_depends_on_the_seed_alone() -> None:
    first, second = evidence(20)
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    found = estimate_sharing(first, second, resamples=50, seed=3)
    assert found == estimate_sharing(first, second, resamples=50, seed=3)
    assert found != estimate_sharing(first, second, resamples=50, seed=4)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.filterwarnings("ignore:only .* analysed")
def test_interval_shrinks_with_images() -> None:
    few, many = (estimate_sharing(*evidence(images), resamples=300) for images in (10, 1000))
    assert 5 < (few.high - few.low) / (many.high - many.low) < 20
    one = estimate_sharing(*evidence(1), resamples=10)
    assert 0 <= one.sharing <= 1
    assert np.isnan([one.low, one.high]).all()


@pytest.mark.filterwarnings("ignore:only 6 images are analysed")
def test_interval_is_that_of_images_drawn_with_replacement() -> None:
    first, second = evidence(6)
    rng = np.random.default_rng(0)
    overlaps = []
    for _ in range(2000):
        images = rng.integers(6, size=6)
        overlaps.append(sharing(contribution(first[:, images]), contribution(second[:, images])))
    found = estimate_sharing(first, second, resamples=2000)
    assert found.low == pytest.approx(np.percentile(overlaps, 2.5), abs=0.01)
    assert found.high == pytest.approx(np.percentile(overlaps, 97.5), abs=0.01)


@pytest.mark.filterwarnings("ignore:only 4 images are analysed")
def test_tasks_that_rely_on_no_unit_share_nothing_that_has_a_number() -> None:
    none, some = np.zeros((3, 4)), np.ones((3, 4)) * [[1], [2], [3]]
    assert math.isnan(sharing(none[:, 0], some[:, 0]))
    assert math.isnan(rank_correlation(none[:, 0], some[:, 0]))
    for pair in ((none, some), (some, none), (none, none)):
        found = estimate_sharing(*pair, resamples=20)
        assert all(math.isnan(value) for value in (found.sharing, found.low, found.high, found.spearman))


def test_every_name_of_the_package_resolves() -> None:
    assert set(featuresharing.__all__) <= set(dir(featuresharing))
    for name in featuresharing.__all__:
        assert getattr(featuresharing, name) is not None
    for name in ("marginalize", "prior_draws", "load_network", "predict", "Marginalization", "read_conditionals"):
        assert callable(getattr(featuresharing, name))
    assert featuresharing.sharing is import_module("featuresharing.analysis.sharing").sharing
    with pytest.raises(ImportError):
        import_module("featuresharing.sharing")
    with pytest.raises(AttributeError, match="'featuresharing' has no attribute 'lesions'"):
        _ = featuresharing.lesions


def test_importing_the_package_does_not_import_torch() -> None:
    code = (
        "import sys; from featuresharing import sharing, weight_of_evidence, contribution, rank_correlation;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


NAN = float("nan")


@pytest.mark.parametrize("measure", [weight_of_evidence, probability_difference, information_difference])
@pytest.mark.parametrize(
    ("p", "q", "classes", "sentence"),
    [
        ([[0.5, 0.5]], [[[NAN, 0.5]]], None, "conditionals: found nan at unit 0, image 0, class 0 (counted from 0);"),
        ([[0.5, NAN]], [[[0.5, 0.5]]], None, "predictions: found nan at image 0, class 1 (counted from 0); accepted"),
        ([0.5, 0.5], [[0.5, 0.5], [0.5, math.inf]], 3, "conditionals: found inf at unit 1, image 1 (counted from 0);"),
        ([[0.5, 0.5]], [[[0.5, 0.5, 0.0]]], None, "conditionals: found [1, 1, 3] for predictions [1, 2]; accepted are"),
        (
            [0.5],
            [[0.5, 0.5]],
            3,
            "conditionals: found [1, 2] for predictions [1]; accepted are [units, images, classes]",
        ),
        ([[0.5, 0.5]], [0.5, 0.5], None, "conditionals: found [2] for predictions [1, 2]; accepted are"),
    ],
)
def test_what_is_no_evidence_is_named(measure: Any, p: Any, q: Any, classes: int | None, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        measure(np.array(p), np.array(q), classes=classes)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("measure", [weight_of_evidence, information_difference])
@pytest.mark.parametrize("laplace", ["paper", "standard"])
def test_odds_need_probabilities_of_two_classes(measure: Any, laplace: str) -> None:
    for p, q, classes, sentence in (
        (
            [0.5],
            [[0.5]],
            None,
            "classes: found none for predictions [images]; accepted is the task's number of classes.",
        ),
        ([[1.0]], [[[1.0]]], None, "classes: found 1; accepted are two or more: one class has no odds."),
        ([[2.5, -1.0]], [[[0.5, 0.5]]], None, "predictions: found 2.5 at image 0, class 0 (counted from 0); accepted"),
        (
            [0.5],
            [[-0.1]],
            2,
            "conditionals: found -0.1 at unit 0, image 0 (counted from 0); accepted are probabilities",
        ),
    ):
        with pytest.raises(InputError) as error:
            measure(np.array(p), np.array(q), laplace=laplace, classes=classes)
        assert str(error.value).startswith(sentence)
    # raw scores have differences, and rounding above 1 has odds
    assert probability_difference(np.array([[2.5, -1]]), np.array([[[0.5, 0]]])).tolist() == [[[2, -1]]]
    assert np.isfinite(measure(np.array([1 + 5e-6]), np.array([[1 + 1e-5]]), laplace=laplace, classes=2)).all()


def test_what_is_no_contribution_is_named() -> None:
    for values, sentence in (
        (
            [[1.0, NAN], [1.0, 2.0]],
            "evidence: found nan at unit 0, image 1 (counted from 0); accepted are finite numbers.",
        ),
        (
            [[1.0], [-math.inf]],
            "evidence: found -inf at unit 1, image 0 (counted from 0); accepted are finite numbers.",
        ),
        ([1.0, 2.0], "evidence: found [2]; accepted is [units, images], with one image or more."),
        (np.zeros((3, 0)), "evidence: found [3, 0]; accepted is [units, images], with one image or more."),
    ):
        with pytest.raises(InputError) as error:
            contribution(np.array(values))
        assert str(error.value) == sentence
    right = np.ones(3)
    for first, second, sentence in (
        (right, [1, NAN, 1], "contributions of the second task: found nan at unit 1 (counted from 0); accepted are"),
        ([1, 1, -1.0], right, "contributions of the first task: found -1.0 at unit 2 (counted from 0); accepted are"),
        (right, [1.0], "contributions: found [3] and [1]; accepted are two arrays [units] of one length."),
        ([], [], "contributions: found [0] and [0]; accepted are two arrays [units] of one length."),
    ):
        for overlap in (sharing, rank_correlation):
            with pytest.raises(InputError) as error:
                overlap(np.array(first), np.array(second))
            assert str(error.value).startswith(sentence)


def test_few_images_are_warned_of_and_none_refused() -> None:
    with pytest.warns(UserWarning, match="^only 19 images are analysed: contributions and sharing say little under 20"):
        estimate_sharing(*evidence(19), resamples=10)
    with pytest.warns(
        UserWarning, match="^only 1 image is analysed, and allows no interval: contributions and sharing"
    ):
        estimate_sharing(*evidence(1), resamples=10)
    estimate_sharing(*evidence(20), resamples=10)
    first, second = evidence(20)
    for wrong, sentence in (
        ((first[:, :0], second[:, :0]), "first: found [12, 0]; accepted is [units, images], with one image or more."),
        ((first, second[:, :19]), "second: found [12, 19]; accepted is the shape [12, 20] of the first."),
        ((first, np.where(second > 5, NAN, second)), "second: found nan at unit "),
    ):
        with pytest.raises(InputError) as error:
            estimate_sharing(*wrong, resamples=10)
        assert str(error.value).startswith(sentence)


def test_tables_name_the_layer_and_task_of_what_has_no_evidence() -> None:
    layer = LayerConditionals(
        units=np.arange(2),
        classes={"word": 3},
        predictions={"word": np.array([0.5, 0.6], np.float32)},
        conditionals={"word": np.array([[0.5, 0.6], [0.1, NAN]], np.float32)},
        effective_samples=np.ones(2),
        skipped_mass=np.zeros(2),
        standard_errors={},
        attributes={"experiment": "object_text", "checkpoint": "0400", "alias": "conv5"},
    )
    with pytest.raises(InputError) as error:
        layer_contributions(layer, method="we", laplace="paper")
    assert str(error.value).startswith(
        "object_text 0400 conv5, task 'word', conditionals: found nan at unit 1, image 1"
    )
