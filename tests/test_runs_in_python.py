"""Long work from Python: what is done survives a kill, and the same call goes on there to the same bits."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from featuresharing import (
    FeatureSettings,
    InputError,
    Origin,
    contribution,
    contribution_table,
    lesion,
    lesion_accuracy,
    lesion_curves_to_file,
    load_network,
    marginalize,
    maximize_units,
    picture_units,
    predict,
    random_orders,
    read_conditionals,
    weight_of_evidence,
)
from featuresharing.analysis.lesions import LesionedLayer
from featuresharing.data.whole_tables import read_curves
from featuresharing.figures.feature_sheet import feature_picture
from featuresharing.files.locks import holding
from featuresharing.networks.alexnet.architecture import build_alexnet
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.networks.checkpoints import Checkpoint, save_checkpoint
from featuresharing.runs.stopping import StoppedError
from featuresharing.store import LayerConditionals, UnitStore
from featuresharing.store.soundness import problems_of_final
from tests.support.commands import ROOT
from tests.support.two_tasks import IMAGES, IMAGES_GIVEN, TARGETS, UNITS, Given, Pair, compute, pair


def arrays(found: LayerConditionals) -> dict[str, bytes]:
    kinds = {"q": found.conditionals, "p": found.predictions, "error": found.standard_errors}
    named: dict[str, NDArray[Any]] = {
        f"{kind} {task}": values for kind, tasks in kinds.items() for task, values in tasks.items()
    }
    named |= {"units": found.units, "samples": found.effective_samples, "skipped": found.skipped_mass}
    return {name: values.tobytes() for name, values in named.items()}


HELD = """
    import sys
    sys.path.insert(0, {root!r})
    from pathlib import Path
    from featuresharing.store import UnitStore
    from tests.support.two_tasks import compute

    write = UnitStore.write

    def held(store, rows, *arguments, **values):
        if rows.start == {unit}:
            print("held", flush=True)
            sys.stdin.read()
        write(store, rows, *arguments, **values)

    UnitStore.write = held
    compute(Path({output!r}))
"""


def kill_at(unit: int, output: Path) -> None:
    """Let another process compute, and kill it when it has one unit in memory and those before on disk."""
    code = textwrap.dedent(HELD).format(root=str(ROOT), unit=unit, output=str(output))
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert "held\n" in iter(process.stdout.readline, "")
    process.kill()
    process.communicate()


def test_a_killed_process_goes_on_at_the_next_unit_to_the_same_bits(tmp_path: Path) -> None:
    output, said = tmp_path / "hidden.h5", list[str]()
    kill_at(4, output)
    assert not output.exists()
    found = compute(output, say=said.append)
    assert said == [f"4 of {UNITS} units are there already."]
    assert arrays(found) == arrays(compute(tmp_path / "whole.h5"))
    wanted = marginalize(pair(), "hidden", IMAGES_GIVEN, estimator="monte-carlo", samples=20, engine="plain")
    tasks, predictions = predict(pair(), IMAGES_GIVEN)
    assert wanted.standard_error is not None
    for column, (task, targets) in enumerate(TARGETS.items()):
        true = (..., np.arange(IMAGES), targets)
        assert tasks[column] == task
        assert np.array_equal(found.predictions[task], predictions[column][true])
        assert np.array_equal(found.conditionals[task], wanted.probabilities[column][true])
        assert np.array_equal(found.standard_errors[task], wanted.standard_error[column][true])
    assert problems_of_final(output) == []
    assert list(tmp_path.glob(".*.progress")) == []
    assert arrays(read_conditionals(output)) == arrays(found)


def test_what_is_there_is_read_and_not_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, said = tmp_path / "hidden.h5", list[str]()
    found = compute(output)
    monkeypatch.setattr(UnitStore, "write", None)
    names = {"word": TARGETS["word"].tolist(), "basic": torch.from_numpy(TARGETS["basic"])}
    for same in (
        {"images": torch.from_numpy(IMAGES_GIVEN), "network": nn.DataParallel(pair())},
        {"targets": list(names.values()), "memory": 10**6, "layer": "first", "aliases": {"first": "hidden"}},
        {"targets": np.stack(list(TARGETS.values()), axis=1), "units": range(UNITS), "dtype": "float32"},
    ):
        assert arrays(compute(output, say=said.append, **same)) == arrays(found)
    assert said == [f"{output} is there already, with all {UNITS} units."] * 3
    output.unlink()
    assert arrays(compute(output)) == arrays(found)  # from its second name


def doubled(network: Pair) -> Pair:
    network.word.weight.data.mul_(2)
    return network


CHANGES: dict[str, Callable[[], Given]] = {
    "network": lambda: {"network": doubled(pair())},
    "images": lambda: {"images": IMAGES_GIVEN + 1},
    "targets": lambda: {"targets": {"word": (TARGETS["word"] + 1) % 3, "basic": TARGETS["basic"]}},
    "seed": lambda: {"seed": 1},
    "precision": lambda: {"dtype": "float64"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_work_of_something_else_is_not_taken_for_it(change: str, tmp_path: Path) -> None:
    output, said = tmp_path / "hidden.h5", list[str]()
    first = compute(output, say=said.append)
    found = compute(output, say=said.append, **CHANGES[change]())
    assert said == []  # as of units that were there already
    assert arrays(found) != arrays(first)


def interrupt_at(unit: int, number: signal.Signals, patch: pytest.MonkeyPatch) -> None:
    write = UnitStore.write

    def interrupted(store: UnitStore, rows: slice, *arguments: Any, **values: Any) -> None:
        write(store, rows, *arguments, **values)
        if rows.start == unit:
            signal.raise_signal(number)

    patch.setattr(UnitStore, "write", interrupted)


def test_an_interrupt_is_the_callers_and_says_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for unit, number, kind in ((1, signal.SIGINT, KeyboardInterrupt), (3, signal.SIGTERM, StoppedError)):
            with monkeypatch.context() as patch:
                interrupt_at(unit, number, patch)
                with pytest.raises(kind, match=f"{unit + 1} of {UNITS} units are done and kept; the same call goes on"):
                    compute(tmp_path / "hidden.h5")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)
    assert arrays(compute(tmp_path / "hidden.h5")) == arrays(compute(tmp_path / "whole.h5"))


def test_a_handler_of_the_callers_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        interrupt_at(2, signal.SIGTERM, monkeypatch)
        compute(tmp_path / "hidden.h5")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_it_runs_in_a_thread_and_one_at_a_time(tmp_path: Path) -> None:
    found: list[LayerConditionals] = []
    output = tmp_path / "hidden.h5"
    with holding(output), pytest.raises(InputError, match=f"is being computed by process {os.getpid()} on "):
        compute(output)
    thread = Thread(target=lambda: found.append(compute(output)))
    thread.start()
    thread.join()
    assert arrays(found[0]) == arrays(read_conditionals(output))


SHAPE = AlexNetShape(16, 1, (4, 5, 4, 5, 4), (5, 3, 3, 1, 3), (7, 6), (3, 2))


def test_a_network_may_be_a_file(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_alexnet(SHAPE).eval()
    save_checkpoint(tmp_path / "7.pt", Checkpoint(network, SHAPE, ("word", "basic"), 7))
    images = np.random.default_rng(0).random((IMAGES, 3, 16, 16), np.float32)
    given: Given = {"images": images, "estimator": "lesion", "layer": "fc6", "aliases": {"fc6": "1.2"}}
    given |= {"engine": "one-channel", "units": [0, 2], "storage": "full", "softmax": False}
    found = compute(tmp_path / "fc6.h5", network=tmp_path / "7.pt", **given)
    named = [found.attributes[name] for name in ("experiment", "checkpoint", "alias", "layer", "step")]
    assert named == ["experiment", "7", "fc6", "1.2", 7]
    assert found.replicate == 1
    assert "replicate" not in found.attributes
    given |= {"origin": Origin("noise", "epoch 7", replicate=3)}
    again = compute(tmp_path / "again.h5", network=str(tmp_path / "7.pt"), **given)
    assert again.place == ("noise", 3, "epoch 7", "fc6")
    assert again.attributes["fingerprint"] == found.attributes["fingerprint"]
    assert set(contribution_table([again, found], method="probdiff", say=lambda _: None)["replicate"]) == {1, 3}
    wanted = lesion(network, "1.2", images, softmax=False, units=[0, 2]).probabilities[0]
    assert np.array_equal(found.conditionals["word"], wanted[:, range(IMAGES), TARGETS["word"]])


def test_a_torch7_model_takes_the_images_that_are_given(tmp_path: Path) -> None:
    path = Path(__file__).parent / "fixtures/torch7/alexnet67_ascii.t7"  # whose file does not say its 67 pixels
    network, images = load_network(path), np.random.default_rng(0).random((2, 3, 67, 67), np.float32)
    heads = predict(network, images)[1]
    layer = next(name for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    given: Given = {"images": images, "targets": [[0, 1] for _ in heads], "layer": layer, "units": [1]}
    found = compute(tmp_path / "unit.h5", network=path, estimator="lesion", engine="one-channel", **given)
    wanted = lesion(network, layer, images, units=[1]).probabilities
    for task, values in zip(found.conditionals.values(), wanted, strict=True):
        assert np.array_equal(task, values[:, [0, 1], [0, 1]])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"units": [1, 1]}, "units of layer 'hidden': found 1 twice; accepted is each once"),
        ({"units": []}, "units of layer 'hidden': found none; accepted is each once, and one at least"),
        ({"softmax": False}, "softmax: found false; accepted is true, but for the estimator 'lesion'"),
        ({"targets": {"word": TARGETS["word"]}}, "targets: found the tasks word; accepted are those of the outputs"),
        ({"targets": [TARGETS["basic"] + 2, TARGETS["basic"]]}, "targets of task 'word': found 3 for image 1"),
        ({"layer": "third"}, "layer 'third' does not exist"),
        ({"batches": 3}, "argument 'batches' is not known"),
        ({"network": "nowhere.pt"}, "nowhere.pt does not exist"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_computed(changes: Given, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        compute(tmp_path / "hidden.h5", **changes)
    assert list(tmp_path.iterdir()) == []


@cache
def contributions() -> list[Any]:
    _, predictions = predict(pair(), IMAGES_GIVEN)
    conditionals = lesion(pair(), "hidden", IMAGES_GIVEN)
    evidence = [weight_of_evidence(p, q) for p, q in zip(predictions, conditionals, strict=True)]
    each = zip(evidence, TARGETS.values(), strict=True)
    return [contribution(values[:, range(IMAGES), targets]) for values, targets in each]


def curves(output: Path, **changes: Any) -> bytes:
    given: Given = {"contributions": contributions(), "steps": 3, "random_orders": 4, "say": lambda _: None}
    table = lesion_curves_to_file(pair(), "hidden", IMAGES_GIVEN, TARGETS, output=output, **given | changes)
    assert table.equals(read_curves(output))
    return output.read_bytes()


def test_lesion_curves_go_on_at_the_next_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, said, made = list[Any](), list[str](), list[Any]()
    measure, make = LesionedLayer.accuracy, LesionedLayer.__init__

    def stopping(layer: Any, orders: Any, counts: Any) -> Any:
        calls.append(orders)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return measure(layer, orders, counts)

    def counted(*arguments: Any, **settings: Any) -> None:
        made.append(arguments)
        make(*arguments, **settings)

    monkeypatch.setattr(LesionedLayer, "accuracy", stopping)
    monkeypatch.setattr(LesionedLayer, "__init__", counted)
    with pytest.raises(KeyboardInterrupt):
        curves(tmp_path / "cut.csv")
    found = curves(tmp_path / "cut.csv", say=said.append)
    assert said == ["3 orders were measured already."]
    assert len(calls) == 7
    assert found == curves(tmp_path / "whole.csv")
    assert calls[-4:] == [[order.tolist()] for order in random_orders(range(UNITS), 4)]
    curves(tmp_path / "cut.csv", say=said.append)
    assert said[1:] == [f"{tmp_path / 'cut.csv'} is there already."]
    assert len(made) == 3  # the network is traced once a run, and not at all where nothing is missing
    monkeypatch.undo()
    _, accuracy = lesion_accuracy(
        pair(), "hidden", IMAGES_GIVEN, np.stack(list(TARGETS.values()), axis=1), calls[-6], counts=[0, 2, 4, 6]
    )
    rows = [line.split(",") for line in found.decode().splitlines()[1:]]
    columns = [[float(row[8]) for row in rows if row[4:6] == ["word", task]] for task in TARGETS]
    assert np.allclose(columns, accuracy[0].T, rtol=1e-8)
    with pytest.raises(InputError, match="contributions to layer 'hidden': found 5 for 6 units"):
        curves(tmp_path / "cut.csv", contributions=[np.ones(5), np.ones(5)])
    with pytest.raises(InputError, match="contributions: found 1 arrays; accepted is one for each task: word, basic"):
        curves(tmp_path / "cut.csv", contributions=[np.ones(6)])


def test_pictures_of_units_go_on_where_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Conv2d(3, 20, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20 * 36, 2)).eval()
    settings, said = FeatureSettings(iterations=3), list[str]()
    wanted = dict(maximize_units(network, "0", (3, 8, 8), settings=settings))

    def cut(*arguments: Any, **given: Any) -> Any:
        for unit, image in maximize_units(*arguments, **given):
            if unit == 16:
                raise KeyboardInterrupt
            yield unit, image

    with monkeypatch.context() as patch:
        patch.setattr("featuresharing.runs.picturing.maximize_units", cut)
        with pytest.raises(KeyboardInterrupt):
            picture_units(network, "0", 8, tmp_path / "0", tmp_path / "0.png", settings=settings)
    picture_units(network, "0", 8, tmp_path / "0", tmp_path / "0.png", settings=settings, say=said.append)
    assert said[0] == "16 of 20 units are there already."
    for unit, image in wanted.items():
        with Image.open(tmp_path / f"0/{unit:04d}.png") as picture:
            assert np.array_equal(np.asarray(picture), feature_picture(image))
