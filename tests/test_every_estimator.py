"""What holds for every estimator: those of the package, installed ones, and one that a test registers.

A new estimator is found by its name and inherits all of this.
"""

import copy
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing import (
    Conditionals,
    Estimation,
    InputError,
    Marginalization,
    lesion,
    marginalize,
    predict,
    read_conditionals,
)
from featuresharing.analysis.conditionals import collect
from featuresharing.computation import Computation
from featuresharing.engine.engines import make_engine
from featuresharing.estimators.estimator import Mixture
from featuresharing.estimators.registry import GROUP, estimator_names, find_estimator
from featuresharing.networks.layers import find_layer, unit_size
from featuresharing.store import STORAGE, Layout, TaskData, UnitStore
from tests.support.small_networks import Tokens, alexnet, different_images, perceptron, pictures

torch.set_num_threads(1)  # more only wait for each other on networks this small

TOY = Path(__file__).parent / "fixtures/toy_estimator"
"""A distribution with an estimator of its own, "toy", as pip would install it."""

SETTINGS: dict[str, Any] = {"samples": 8, "scale": 0.7, "tolerance": 1e-4, "seed": 3}

OTHERS: dict[str, Any] = {"samples": 5, "scale": 1.9, "tolerance": 0.2, "seed": 4}
"""Another value of each setting."""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the toy where installed distributions are looked for."""
    monkeypatch.syspath_prepend(TOY)


@cache
def wide(name: str) -> Conditionals:
    """Return conditionals of a layer that every estimator takes: linear, with one row an image."""
    return marginalize(alexnet(), "1.2", pictures(4), estimator=name, **SETTINGS)


def numbers_of(found: Conditionals) -> Iterator[NDArray[Any]]:
    """Yield all arrays: of each task, then of each column."""
    yield from found
    for values in found.columns.values():
        yield from values if isinstance(values, tuple) else (values,)


@pytest.mark.parametrize("name", sorted({"toy", *estimator_names()}))
class TestEveryEstimator:
    """An estimator keeps what the library, the store and the workflow take for granted."""

    def test_it_has_one_name_and_says_what_it_is(self, name: str) -> None:
        kind = find_estimator(name)
        assert kind.name == name
        assert kind.summary == kind.summary.strip().removesuffix(".")
        assert kind.idle <= {*SETTINGS, "tolerance_bits"}
        assert kind.takes(linear=True, rows=1)
        assert inspect.getdoc(kind)

    def test_predictions_are_summed_to_one_but_for_what_it_says(self, name: str) -> None:
        found = wide(name)
        assert [task.shape for task in found] == [(7, 4, 3), (7, 4, 4)]
        lacking = found.skipped_mass[:, None]
        error = 0 if found.error_estimate is None else found.error_estimate
        for task in found:
            assert (np.abs(task.sum(axis=-1) - (1 - lacking)) <= 1e-12 + error).all()
            assert ((task >= 0) & (task <= 1 + 1e-12)).all()
        assert ((found.skipped_mass >= 0) & (found.skipped_mass <= SETTINGS["tolerance"])).all()
        assert (found.effective_samples >= 1).all()

    def test_it_gives_the_columns_that_it_names(self, name: str) -> None:
        found, columns = wide(name), find_estimator(name).columns()
        assert list(found.columns) == [column.name for column in columns]
        assert [column.name for column in columns[:2]] == ["effective_samples", "skipped_mass"]
        shapes = {"unit": (7,), "image": (7, 4)}
        for column in columns:
            values = found.columns[column.name]
            if column.per == "class":
                assert [array.shape for array in values] == [task.shape for task in found]
            else:
                assert values.shape == shapes[column.per]
                assert values.dtype == np.float64
        assert (found.standard_error is None) == ("standard_error" not in found.columns)
        assert (found.error_estimate is None) == ("error_estimate" not in found.columns)

    @pytest.mark.parametrize(
        "change",
        [{"batch_size": 1}, {"batch_size": 3}, {"memory": 1, "units": [3]}, {"units": [5, 0, 5], "batch_size": 2}],
        ids=str,
    )
    def test_batches_memory_order_and_other_units_change_no_number(self, name: str, change: dict[str, Any]) -> None:
        found = marginalize(alexnet(), "1.2", pictures(4), estimator=name, **SETTINGS, **change)
        units = change.get("units", list(range(7)))
        assert found.units.tolist() == units
        for column in ("effective_samples", "skipped_mass"):
            assert np.array_equal(found.columns[column], wide(name).columns[column][units])
        for one, other in zip(numbers_of(found), numbers_of(wide(name)), strict=True):
            np.testing.assert_allclose(one, other[units], rtol=1e-9, atol=1e-12)

    def test_the_plain_engine_gives_the_same_numbers_or_is_refused(self, name: str) -> None:
        options = {"estimator": name, "engine": "plain", "units": [4, 1], **SETTINGS}
        if find_estimator(name).sets_outputs:
            with pytest.raises(InputError, match=f"engine 'plain' .*; accepted for {name} is one-channel\\.$"):
                marginalize(alexnet(), "1.2", pictures(4), **options)
            return
        found = marginalize(alexnet(), "1.2", pictures(4), **options)
        for one, other in zip(numbers_of(found), numbers_of(wide(name)), strict=True):
            np.testing.assert_allclose(one, other[[4, 1]], rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize(
        ("make", "path", "images", "linear", "rows"),
        [
            (alexnet, "0.0.3", pictures(2), False, 1),
            (Tokens, "embed", torch.ones(2, 5, 4), True, 5),
            (perceptron, "2", different_images(), True, 1),
        ],
        ids=["convolution", "tokens", "linear"],
    )
    def test_layers_are_taken_or_refused_in_one_sentence(
        self, name: str, make: Any, path: str, images: Tensor, linear: bool, rows: float
    ) -> None:
        kind = find_estimator(name)
        if kind.takes(linear=linear, rows=rows):
            found = marginalize(make(), path, images, units=[0], estimator=name, **SETTINGS)
            assert np.isfinite(found.probabilities[0]).all()
            return
        with pytest.raises(InputError) as error:
            marginalize(make(), path, images, units=[0], estimator=name, **SETTINGS)
        assert str(error.value) == f"layer '{path}': accepted for {name} are {kind.layers}."

    @pytest.mark.parametrize("setting", SETTINGS)
    def test_idle_settings_change_no_number_and_others_are_looked_at(self, name: str, setting: str) -> None:
        settings = SETTINGS | {setting: OTHERS[setting]}
        found = marginalize(alexnet(), "1.2", pictures(4), estimator=name, **settings)
        same = all(
            np.array_equal(one, other) for one, other in zip(numbers_of(found), numbers_of(wide(name)), strict=True)
        )
        assert same == (setting in find_estimator(name).idle)

    @pytest.mark.parametrize(
        "change",
        [
            *({"samples": value} for value in (0, 2.5, "2")),
            *({"scale": value} for value in (0.0, -1.0, float("inf"), float("nan"))),
            *({"tolerance": value} for value in (1.0, -1e-9, float("nan"))),
            {"seed": -1},
        ],
        ids=str,
    )
    def test_wrong_settings_are_refused_in_one_sentence(self, name: str, change: dict[str, Any]) -> None:
        ((setting, value),) = change.items()
        for call in (
            lambda: Estimation(name, **change),
            lambda: marginalize(alexnet(), "1.2", pictures(1), estimator=name, **change),
        ):
            with pytest.raises(InputError, match=rf"^{setting}: found {value!r}; accepted is an? [^\n]+\.$"):
                call()

    @pytest.mark.parametrize("change", [{"samples": 1}, {"tolerance": 0}], ids=str)
    def test_settings_at_the_edge_are_accepted_or_refused_for_it(self, name: str, change: dict[str, Any]) -> None:
        problems = list(find_estimator(name).problems(Estimation(**change)))
        if problems:
            assert [problem.key for problem in problems] == list(change)
            with pytest.raises(InputError, match=f": found {next(iter(change.values()))}; accepted .* for {name}\\.$"):
                Estimation(name, **change)
        else:
            found = marginalize(alexnet(), "1.2", pictures(1), estimator=name, units=[0], **SETTINGS | change)
            assert np.isfinite(found.probabilities[0]).all()

    def test_files_name_it_and_all_that_is_not_idle(self, name: str) -> None:
        recorded = Estimation(name, **SETTINGS).make().recorded()
        assert recorded["estimator"] == name
        assert {
            key: recorded[key] for key in SETTINGS if key not in find_estimator(name).idle
        }.items() <= recorded.items()
        assert json.loads(json.dumps(recorded)) == recorded

    @pytest.mark.parametrize("size", [2, 301, 10_000])
    def test_its_cost_is_a_positive_number(self, name: str, size: int) -> None:
        estimator = Estimation(name, samples=40).make()
        assert 0 < estimator.kept_draws(size) < np.inf
        assert estimator.weighed_draws() in range(41)

    @pytest.mark.parametrize("tolerance", [1e-12, 1e-6, 1e-2])
    def test_its_cost_is_that_of_the_variants_that_it_draws(self, name: str, tolerance: float) -> None:
        estimator = Estimation(name, samples=40, tolerance=tolerance).make()
        _, layer = find_layer(nn.Sequential(nn.Linear(300, 60)), "0")
        if not isinstance(estimator, Mixture):
            assert estimator.sets_outputs
            return
        counts = [len(estimator.variants(layer, "0", unit).shares) for unit in range(60)]
        assert estimator.kept_draws(unit_size(layer)) == pytest.approx(np.mean(counts), rel=0.2)

    def test_pieces_put_together_are_the_whole(self, name: str) -> None:
        run = Marginalization(alexnet(), "1.2", pictures(4), Estimation(name, **SETTINGS))
        assert run.tasks == wide(name).tasks
        covered = np.zeros((7, 4), dtype=int)
        for piece in run.pieces():
            place = (piece.rows, piece.images)
            covered[place] += 1
            for one, other in zip(piece.probabilities, wide(name), strict=True):
                assert np.array_equal(one, other[place])
            assert list(piece.columns) == list(wide(name).columns)
            for column in find_estimator(name).columns():
                found, whole = piece.columns[column.name], wide(name).columns[column.name]
                if column.per == "class":
                    assert all(np.array_equal(one, other[place]) for one, other in zip(found, whole, strict=True))
                else:
                    assert np.array_equal(found, whole[piece.rows if column.per == "unit" else place])
        assert (covered == 1).all()

    @pytest.mark.parametrize("step", [1, 2, None])
    def test_bits_of_a_piece_do_not_depend_on_what_is_done(
        self, name: str, step: int | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("featuresharing.engine.one_channel.CPU_OPERATIONS", 500)  # several groups
        network, images = perceptron().float(), different_images().float()
        run = Marginalization(network, "0", images, Estimation(name, **SETTINGS))
        whole = list(run.pieces(step=step))
        assert len({piece.rows.start for piece in whole}) > 1
        for last in {1, len(whole) // 2, len(whole)}:
            there = {(piece.rows.start, piece.images.start) for piece in whole[:last:2]}
            rest = Marginalization(network, "0", images, Estimation(name, **SETTINGS)).pieces(
                step=step, done=lambda rows, images, there=there: (rows.start, images.start) in there
            )
            wanted = [piece for piece in whole if (piece.rows.start, piece.images.start) not in there]
            for found, piece in zip(rest, wanted, strict=True):
                assert (found.rows, found.images) == (piece.rows, piece.images)
                assert np.array_equal(found.probabilities[0], piece.probabilities[0])

    @pytest.mark.parametrize("storage", STORAGE)
    def test_columns_are_stored_resumed_and_read_back(self, name: str, storage: str, tmp_path: Path) -> None:
        whole, stopped = (tmp_path / file for file in ("whole.h5", "stopped.h5"))
        assert store(name, whole, storage) > 2
        with suppress(KeyboardInterrupt):
            store(name, stopped, storage, stop=2)
        assert not stopped.exists()
        store(name, stopped, storage)
        network, images, estimation = perceptron().float(), different_images().float(), Estimation(name, **SETTINGS)
        run = Marginalization(network, "0", images, estimation, units=STORED)
        wanted = collect(run.pieces(step=1), run.engine, run.units, find_estimator(name).columns())
        for path in (whole, stopped):
            found = read_conditionals(path)
            true = (..., range(4), [0, 1, 2, 1])
            assert np.array_equal(found.conditionals["0"], wanted.probabilities[0][true])
            assert np.array_equal(found.effective_samples, wanted.effective_samples)
            assert np.array_equal(found.skipped_mass, wanted.skipped_mass)
            assert list(found.standard_errors) == (["0"] if wanted.standard_error else [])
            if wanted.standard_error:
                assert np.array_equal(found.standard_errors["0"], wanted.standard_error[0][true])
            assert (found.error_estimate is None) == (wanted.error_estimate is None)
            if wanted.error_estimate is not None:
                assert np.array_equal(found.error_estimate, wanted.error_estimate)
        assert whole.read_bytes() == stopped.read_bytes()

    @pytest.mark.parametrize(
        ("own", "dtype", "wanted"),
        [
            (torch.float32, None, np.float32),
            (torch.float64, None, np.float64),
            (torch.float32, "float64", np.float64),
            (torch.float64, "float32", np.float32),
            (torch.float16, None, np.float32),
            (torch.bfloat16, None, np.float32),
            (torch.bfloat16, "float64", np.float64),
        ],
    )
    def test_arrays_have_the_precision_asked_for_or_the_networks(
        self, name: str, own: torch.dtype, dtype: str | None, wanted: type
    ) -> None:
        for units in ([0], []):
            options: dict[str, Any] = {"estimator": name, "units": units, "dtype": dtype, **SETTINGS}
            found = marginalize(perceptron().to(own), "2", different_images().float(), **options)
            assert {task.dtype for task in [*found, *(found.standard_error or ())]} == {np.dtype(wanted)}
            assert found.effective_samples.dtype == found.skipped_mass.dtype == np.float64

    @pytest.mark.parametrize("engine", ["one-channel", "plain"])
    def test_double_precision_of_a_single_network_is_that_of_the_network_made_double(
        self, name: str, engine: str
    ) -> None:
        if find_estimator(name).sets_outputs and engine == "plain":
            return
        network, images = perceptron().float(), different_images().float()
        options: dict[str, Any] = {"estimator": name, "units": [0, 4], "engine": engine, **SETTINGS}
        found = marginalize(network, "2", images, dtype="float64", **options)
        wanted = marginalize(copy.deepcopy(network).double(), "2", images.double(), **options)
        for one, other in zip(numbers_of(found), numbers_of(wanted), strict=True):
            assert one.dtype == other.dtype == np.float64
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)
        assert all(parameter.dtype == torch.float32 for parameter in network.parameters())

    @pytest.mark.parametrize("dtype", [None, "float64"])
    def test_network_and_images_are_left_as_they_were(self, name: str, dtype: str | None) -> None:
        network, images = perceptron().float().train(), different_images().float()
        before, pixels = copy.deepcopy(network.state_dict()), images.clone()
        identities = [id(parameter) for parameter in network.parameters()]
        marginalize(network, "2", images, units=[0, 1], dtype=dtype, estimator=name, **SETTINGS)
        assert [id(parameter) for parameter in network.parameters()] == identities
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
        assert all(module.training for module in network.modules())
        assert torch.equal(images, pixels)


STORED = [0, 2, 5]
"""Units that are stored."""


def store(name: str, path: Path, storage: str, *, stop: int | None = None) -> int:
    """Store conditionals of a layer, resuming what is there; return how many pieces that took, or stop after some."""
    network, images = perceptron().float(), different_images().float()
    estimation = Estimation(name, **SETTINGS)
    run = Marginalization(network, "0", images, estimation, units=STORED)
    _, (predictions,) = predict(network, images)
    layout = Layout([TaskData("0", 3, np.array([0, 1, 2, 1]), predictions)], storage, estimation.make().columns())
    place = {"experiment": "e", "alias": "fc", "checkpoint": "1", "tasks": ["0"]}
    written = 0
    with UnitStore(path, layout, units=run.units, layer_units=6, settings={"a": 1}, attributes=place) as opened:
        opened.begin(step=1, conditions={})
        for piece in run.pieces(step=opened.step, done=opened.is_done):
            if written == stop:
                raise KeyboardInterrupt
            opened.write(piece.rows, piece.images, piece.probabilities, piece.columns)
            written += 1
        opened.finish()
    return written


def test_the_plain_engine_cannot_set_what_a_unit_gives() -> None:
    engine = make_engine(perceptron(), "0", different_images(), Computation(engine="plain"))
    assert not engine.sets_outputs
    with pytest.raises(InputError, match=r"^engine 'plain' cannot set what a unit gives; accepted is one-channel\.$"):
        engine.chunks(slice(0, 4))


# --- how estimators are found


WITHOUT_TORCH = """
import sys
from featuresharing.estimators.registry import estimator_names, find_estimator
from featuresharing.estimators.estimation import Estimation

def ask(name):
    kind = find_estimator(name)
    assert kind.name == name and kind.columns() and kind.layers and kind.takes(linear=True) in (True, False)
    estimator = Estimation(name).make()
    return estimator.kept_draws(300) > 0 and estimator.recorded()["estimator"] == name

assert all(ask(name) for name in BUILTIN)
assert not {"torch", "h5py", "scipy", "pandas", "importlib.metadata"} & set(sys.modules), "imported"
assert all(ask(name) for name in estimator_names())
assert "torch" not in sys.modules, "imported"
print(*estimator_names())
"""


def test_asking_estimators_imports_no_torch_and_looks_for_no_distributions() -> None:
    names = sorted(set(estimator_names()) - {"toy"})
    code = WITHOUT_TORCH.replace("BUILTIN", repr(names))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(TOY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted({"toy", *names})


def test_a_name_that_is_not_known_is_refused_with_those_that_are() -> None:
    listed = ", ".join(estimator_names())
    assert {"toy", "prior-weighted", "quadrature"} <= set(estimator_names())
    for name in ("psychic", "prior_weighted", "", "draws"):
        with pytest.raises(InputError) as error:
            find_estimator(name)
        assert str(error.value) == f"estimator '{name}' is not known; accepted are {listed}."
    with pytest.raises(InputError, match="estimator: found None; accepted are"):
        Estimation(None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("nowhere:Estimator", r"cannot be loaded \(ModuleNotFoundError: No module named 'nowhere'\)"),
        ("toy_estimator:Nothing", r"cannot be loaded \(AttributeError: .*\)"),
        ("toy_estimator:TYPE_CHECKING", "is no class of Estimator"),
        ("toy_estimator:HalfThere", "calls itself 'toy'"),
    ],
)
def test_an_entry_point_that_names_no_estimator_is_refused_in_one_sentence(
    value: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path, f"odd = {value}")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=f"^estimator 'odd': {value} {reason}; accepted is .*\\.$"):
        Estimation("odd")


def test_two_classes_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(tmp_path, "toy = other:Other")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"^estimator 'toy' is registered as .* and as .*; accepted is one of them\.$"):
        find_estimator("toy")


def register(folder: Path, line: str) -> None:
    (folder / "other-1.0.dist-info").mkdir()
    (folder / "other-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (folder / "other-1.0.dist-info/entry_points.txt").write_text(f"[{GROUP}]\n{line}\n")
    invalidate_caches()


def test_the_toy_is_the_mean_of_prediction_and_lesion() -> None:
    network, images = alexnet(), pictures(3)
    _, predictions = predict(network, images)
    for path in ("0.0.6", "1.2"):
        found = marginalize(network, path, images, estimator="toy")
        for task, prediction, gone in zip(found, predictions, lesion(network, path, images), strict=True):
            np.testing.assert_allclose(task, (prediction + gone) / 2, rtol=1e-12)
        assert found.effective_samples.tolist() == [2] * len(found.units)
