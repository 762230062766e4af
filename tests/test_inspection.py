"""What a file is: networks, weights alone, results and arrays, each in a few lines."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from featuresharing.cli import main
from featuresharing.data.columns import TABLES
from featuresharing.data.table_files import frame_of, write_table
from featuresharing.networks.predictions import Predictions, write_predictions
from featuresharing.runs.inspection import common_prefix, inspect_file
from tests.support import stores


def test_weights_alone_are_listed_with_their_prefix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = nn.Sequential(*(nn.Linear(3, 3) for _ in range(25)))
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "x.ckpt")
    save_file(state, tmp_path / "x.safetensors")
    for name in ("x.ckpt", "x.safetensors"):
        assert main(["inspect", str(tmp_path / name)]) == 0
        first, second, *_, before, last = capsys.readouterr().out.splitlines()
        assert first == f"{tmp_path / name} holds weights alone: 50 tensors of 300 numbers"
        assert second == "all names begin with module., which strip: [module.] takes off"
        assert last == "and 14 more"
        assert before.endswith("float32")


def test_what_all_names_share_leaves_each_a_module() -> None:
    assert common_prefix(["a.b.weight", "a.b.bias"]) == "a."
    assert common_prefix(["a.b.c.weight", "a.b.d.e.bias"]) == "a.b."
    assert common_prefix(["conv1.weight", "conv2.weight"]) == common_prefix(["weight"]) == ""


def test_results_say_what_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "conv5_7.h5"
    stores.compute(path, tasks=stores.tasks(24))
    first, layer, tasks, settings, numbers = inspect_file(path)
    assert first == f"{path} holds conditionals: predictions without each of 6 units of a layer"
    assert layer.startswith("layer conv5 (")
    assert "word (" in tasks
    assert "24 images)" in tasks
    assert "storage true-class" in settings
    assert numbers.startswith("effective samples: ")
    found = Predictions(
        {"word": np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)}, {"word": np.array([1, 1])}, 7, None, "x", "7"
    )
    write_predictions(tmp_path / "7.h5", found)
    assert list(inspect_file(tmp_path / "7.h5")) == [
        f"{tmp_path / '7.h5'} holds predictions of x, checkpoint 7",
        "word: 2 images, 2 classes, accuracy 50.0%",
    ]


@pytest.mark.parametrize("name", ["x.npz", "x.h5"])
def test_arrays_are_listed_as_a_config_names_them(name: str, tmp_path: Path) -> None:
    path, arrays = tmp_path / name, {"faces": np.zeros((4, 6, 5, 3), np.uint8), "who": np.arange(4)}
    if name == "x.npz":
        np.savez(path, **arrays)  # type: ignore[arg-type]
    else:
        with h5py.File(path, "w") as file:
            for key, values in arrays.items():
                file[f"set/{key}"] = values
    first, *lines = inspect_file(path)
    assert "images: {file: " in first
    inside = "" if name == "x.npz" else "set/"
    assert [line.split(maxsplit=1) for line in lines] == [
        [f"{inside}faces", "[4, 6, 5, 3] uint8"],
        [f"{inside}who", "[4] int64"],
    ]


def test_a_table_of_results_says_what_it_is_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "acc.csv"
    rows = [("x", 1, "0", 0, "word", 0.5, 9), ("x", 2, "50", 50, "word", 0.5, 9), ("y", 1, "0", 0, "basic", 1.0, 9)]
    write_table(path, frame_of(TABLES["accuracy"], rows), TABLES["accuracy"])
    assert main(["inspect", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{path} holds a table of accuracy: 3 rows, each a task of a network on the held-out images",
        "experiments: x, y",
        "replicates: 1, 2",
        "checkpoints: 0, 50",
        "tasks: word, basic",
        "columns: experiment, replicate, checkpoint, step, task, accuracy, images (docs/tables.md says what each is)",
        "it does not say with which config it was made: config.yaml in its folder of results does",
    ]
    path = tmp_path / "own.csv"
    path.write_text("a,b\n1,2\n")
    assert main(["inspect", str(path)]) == 2
    assert f"{path}: found columns a, b; accepted is a table of results: table of c" in capsys.readouterr().err
    path.write_text("a,b\n")
    assert main(["inspect", str(path)]) == 2
    assert f"{path}: found no row; accepted is a table of results" in capsys.readouterr().err


def test_what_nobody_reads_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.txt").write_text("nothing")
    assert main(["inspect", str(tmp_path / "x.txt")]) == 2
    assert "its format is not known; accepted are " in capsys.readouterr().err
    (tmp_path / "x.pt").write_text("nothing")
    assert main(["inspect", str(tmp_path / "x.pt")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "nowhere")]) == 2
    assert "nowhere does not exist; accepted is a file" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path)]) == 2
    assert f"{tmp_path} is a folder; accepted is a file" in capsys.readouterr().err
