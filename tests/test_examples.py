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
from featuresharing.data.columns import KEPT, TRAINING
from featuresharing.data.table_files import frame_of, write_table
from featuresharing.networks.checkpoints import Checkpoint, save_checkpoint
from featuresharing.networks.predictions import Predictions, write_predictions
from tests.support import stores
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


@pytest.mark.parametrize("name", SHOWN)
def test_examples_of_public_names_hold(name: str, names: dict[str, Any]) -> None:
    module = inspect.getmodule(SHOWN[name])
    (example,) = doctest.DocTestFinder(recurse=False).find(SHOWN[name], name, globs={**vars(module), **names})
    said: list[str] = []
    results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=said.append)
    assert results.failed == 0, "".join(said)
    assert results.attempted > 0, f"{name} shows no example"
