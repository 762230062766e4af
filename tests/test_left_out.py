"""By how much contributions and sharing may be off, since light draws were left out."""

from dataclasses import replace
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from featuresharing import TABLES, contribution_table, read_table, sharing, sharing_table, write_table
from featuresharing.analysis.overlap import sharing_error
from featuresharing.analysis.tables import layer_errors, layer_evidence
from featuresharing.reports.cautions import LEFT_OUT, cautions
from featuresharing.store import LayerConditionals
from tests.support.made_tables import made_run
from tests.support.unit_layers import layer_that_contributes

NAN = float("nan")


def left_out(skipped: Any, *, by_image: bool = False, images: int = 24) -> LayerConditionals:
    """Return a layer of three units and two tasks whose conditionals lack up to ``skipped``."""
    made = layer_that_contributes({"word": [0.2, 0.1, 0.4], "basic": [0.1, 0.4, 0.3]}, images=images)
    rng = np.random.default_rng(4)
    conditionals = {task: rng.uniform(0, 0.9, (3, images)).astype(np.float32) for task in made.conditionals}
    conditionals["word"][0, 0] = 0
    predictions = {task: values.copy() for task, values in made.predictions.items()}
    predictions["basic"][5] = NAN
    conditionals["basic"][:, 5] = NAN
    own = np.broadcast_to(np.asarray(skipped, np.float64), (3,))
    masses = own[:, None] * rng.uniform(0, 1, (3, images)) if by_image else None
    return replace(
        made, predictions=predictions, conditionals=conditionals, skipped_mass=own, skipped_mass_by_image=masses
    )


def evidence_of(method: str, p: float, q: float, laplace: str = "paper") -> float:
    """Return the evidence of one prediction for one of four classes."""
    if method == "probdiff":
        return p - q
    n = 1e6
    p, q = ((each * n + 1) / (n * 4) if laplace == "paper" else (each * n + 1) / (n + 4) for each in (p, q))
    return log2(p / (1 - p)) - log2(q / (1 - q)) if method == "we" else log2(p) - log2(q)


@pytest.mark.parametrize("by_image", [False, True])
@pytest.mark.parametrize("laplace", ["paper", "standard"])
@pytest.mark.parametrize("method", ["we", "infdiff", "probdiff"])
def test_the_error_of_a_contribution_is_the_mean_width_of_evidence(method: str, laplace: str, by_image: bool) -> None:
    found = left_out([1e-6, 0.01, 0.05], by_image=by_image)
    settings = {"method": method, "laplace": laplace}
    errors = layer_errors(found, layer_evidence(found, **settings), **settings)
    for task, conditionals in found.conditionals.items():
        for unit in range(3):
            masses = np.broadcast_to(found.skipped[unit], 24)
            widths = [
                evidence_of(method, p, q, laplace) - evidence_of(method, p, min(q + m, 1), laplace)
                for p, q, m in zip(found.predictions[task].tolist(), conditionals[unit].tolist(), masses, strict=True)
                if not np.isnan(p)
            ]
            assert len(widths) == 24 - (task == "basic")
            assert errors[task][unit] == pytest.approx(np.mean(widths), rel=1e-9, abs=1e-12)


def contributions_of(found: LayerConditionals) -> dict[str, NDArray[np.float64]]:
    frame = contribution_table([found])
    return {task: frame[frame.task == task].contribution.to_numpy() for task in found.conditionals}


def test_no_conditionals_that_are_possible_move_tables_further_than_they_say() -> None:
    found = left_out([1e-6, 0.003, 0.02])
    frame, shared = contribution_table([found]), sharing_table([found], resamples=5, permutations=5)
    own = contributions_of(found)
    errors = {task: frame[frame.task == task].error.to_numpy() for task in own}
    (error,) = shared.error
    (value,) = shared.sharing
    rng, farthest, apart = np.random.default_rng(7), 0.0, 0.0
    for attempt in range(60):
        missing = {task: rng.uniform(0, 1, (3, 24)) for task in own}
        if attempt < 16:  # all of some units' draws, and none of others'
            missing = {
                task: np.repeat([[attempt >> (unit + index) & 1] for unit in range(3)], 24, axis=1).astype(float)
                for index, task in enumerate(own)
            }
        raised = {
            task: np.minimum(values + missing[task] * found.skipped, 1) for task, values in found.conditionals.items()
        }
        moved = contributions_of(replace(found, conditionals=raised))
        for task, values in moved.items():
            assert (np.abs(values - own[task]) <= errors[task] + 1e-9).all()
            farthest = max(farthest, float((np.abs(values - own[task]) / errors[task]).max()))
        other = abs(sharing(moved["word"], moved["basic"]) - value)
        assert other <= error + 1e-9
        apart = max(apart, other / error)
    assert farthest > 0.999  # a bound that is reached
    assert apart > 0.1


def test_sharing_is_off_by_no_more_for_any_errors() -> None:
    rng = np.random.default_rng(3)
    closest = 0.0
    for _ in range(2000):
        first, second = rng.exponential(1, (2, 4))
        errors = rng.exponential(1, (2, 4)) * rng.choice([0, 0.01, 0.3], (2, 4))
        bound = sharing_error([first, second], errors)
        moved = np.maximum(np.array([first, second]) + errors * rng.choice([-1, 1], (2, 4)), 0)
        off = abs(sharing(*moved) - sharing(first, second)) if moved.sum(axis=1).all() else 0
        assert off <= bound + 1e-12
        closest = max(closest, off / bound if bound else 0)
    assert closest > 0.8
    assert sharing_error([np.ones(2), np.ones(2)], [np.zeros(2), np.zeros(2)]) == 0
    assert sharing_error([np.ones(2), np.ones(2)], [np.ones(2), np.ones(2)]) == 1
    assert np.isnan(sharing_error([np.zeros(2), np.ones(2)], [np.zeros(2), np.zeros(2)]))


def test_nothing_is_off_where_no_draw_is_left_out() -> None:
    found = left_out(0.0)
    assert contribution_table([found]).error.tolist() == [0.0] * 6
    assert sharing_table([found], resamples=5, permutations=5).error.tolist() == [0.0]


@pytest.mark.parametrize("name", ["contributions", "sharing"])
def test_tables_from_before_are_read_without_it(name: str, tmp_path: Path) -> None:
    found = left_out(1e-3)
    frame = contribution_table([found]) if name == "contributions" else sharing_table([found], resamples=5)
    path = tmp_path / "table.csv"
    write_table(path, frame, TABLES[name])
    np.testing.assert_allclose(read_table(path, TABLES[name]).error, frame.error, rtol=1e-2)
    before = tmp_path / "before.csv"
    frame.drop(columns="error").to_csv(before, index=False)
    old = read_table(before, TABLES[name])
    assert old.columns.tolist() == frame.columns.tolist()
    assert np.isnan(old.error).all()


def test_the_summary_warns_where_draws_that_are_left_out_may_matter() -> None:
    def told(share: float) -> list[str]:
        run = made_run(
            {"text": ["basic", "word"]},
            networks=5,
            contribution=lambda name, layer, unit, task: {
                "error": 0.5 * share if (layer, task) == ("conv1", "word") else 0.0
            },
        )
        return cautions(run)

    assert told(LEFT_OUT * 0.99) == told(NAN) == []
    (sentence,) = told(0.25)
    assert sentence.startswith(
        "`text`: draws that are left out may make up to 25 % of what units contribute to `word` in conv1: "
    )
