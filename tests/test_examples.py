"""Every public name shows an example, and every example runs and prints what it says."""

import doctest
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import featuresharing
from featuresharing import InputError, lesion_table, plot
from featuresharing.data.columns import ACCURACY, KEPT, TRAINING
from featuresharing.data.sharing_columns import SHARING
from featuresharing.data.table_files import frame_of, write_table
from featuresharing.networks.checkpoints import Checkpoint, save_checkpoint
from featuresharing.networks.predictions import Predictions, write_predictions
from tests.support import stores
from tests.support.sharing_rows import CHANCE
from tests.support.small_networks import SMALL_SHAPE, small_alexnet
from tests.support.two_tasks import IMAGES_GIVEN, TARGETS, pair

PUBLIC = {name: getattr(featuresharing, name) for name in featuresharing.__all__}
SHOWN = {name: value for name, value in PUBLIC.items() if callable(value)}


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what examples may use, as the package itself says, in a folder with the files that they read."""
    monkeypatch.chdir(tmp_path)
    stores.compute(tmp_path / "conv5_7.h5", tasks=stores.tasks(24))
    halves = [tmp_path / "0-4.h5", tmp_path / "5-8.h5"]
    for half, units in zip(halves, (range(5), range(5, 9)), strict=True):
        stores.compute(half, units=units)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pictured = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
        save_checkpoint(tmp_path / "4500.pt", Checkpoint(small_alexnet().eval(), SMALL_SHAPE, ("basic", "word"), 4500))
    found = Predictions({"word": np.array([[0.25, 0.75]], np.float32)}, {"word": np.array([1])}, 4500)
    write_predictions(tmp_path / "4500.h5", found)
    write_table(tmp_path / "log.csv", frame_of(TRAINING, [(20, "word", 2.5, 0.125)]), TRAINING)
    kept = frame_of(KEPT, [(i, f"{i:02}.png", "sun", "bird") for i in range(24)], rest=["word", "basic"])
    write_table(tmp_path / "kept.csv", kept, KEPT)
    given = {"np": np, "network": pair(), "images": IMAGES_GIVEN, "targets": TARGETS, "pictured": pictured}
    return {**PUBLIC, **given, "paths": [tmp_path / "conv5_7.h5"], "halves": halves}


def check_example(shown: Any, name: str, given: dict[str, Any]) -> None:
    """Run the example of a function, with names that it may use."""
    module = inspect.getmodule(shown)
    (example,) = doctest.DocTestFinder(recurse=False).find(shown, name, globs={**vars(module), **given})
    said: list[str] = []
    results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=said.append)
    assert results.failed == 0, "".join(said)
    assert results.attempted > 0, f"{name} shows no example"


@pytest.mark.parametrize("name", SHOWN)
def test_examples_of_public_names_hold(name: str, names: dict[str, Any]) -> None:
    check_example(SHOWN[name], name, names)


@pytest.mark.parametrize("name", plot.__all__)
def test_examples_of_figures_hold(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    word, basic = np.random.default_rng(0).lognormal(size=(2, 48))
    place, removed, half = ("demo", 1, "10", "conv5"), np.array([0, 4, 8]), np.full((1, 3, 2), 0.5)
    given = {
        "word": word,
        "basic": basic,
        "shared": frame_of(SHARING, [("demo", 1, "10", "conv5", "word", "basic", 0.5, 0.4, 0.6, *CHANCE)]),
        "accuracy": frame_of(ACCURACY, [("demo", 1, "10", 10, "word", 0.5, 8)]),
        "log": frame_of(TRAINING, [(step, "word", 1 / (step + 1), 0.5) for step in range(10)]),
        "curves": lesion_table(place, ["word"], ["word", "basic"], removed, half, np.repeat(half, 3, axis=0)),
    }
    check_example(getattr(plot, name), name, given)


def test_figures_refuse_settings_that_others_take() -> None:
    with pytest.raises(InputError, match=r"found 'palette'; accepted is width, dpi or font_size\."):
        plot.tasks({"conv1": ([1.0], [2.0])}, palette="yellow-blue")
    with pytest.raises(InputError, match="found 'colours'; accepted is layout, "):
        plot.units([1.0], [2.0], colours="red")
    with pytest.raises(InputError, match="width: found 20; accepted is an integer from 80 to 400"):
        plot.units([1.0], [2.0], width=20)
