"""Commands from a list to tables and figures, of a network with two groups of classes of one head and a probe."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from featuresharing import TABLES, contribution, read_conditionals, read_predictions, read_table, weight_of_evidence
from featuresharing.cli import main
from featuresharing.data.images import read_inputs
from featuresharing.data.lists import read_classes, read_image_list, write_classes, write_image_list
from featuresharing.data.preprocessing import Preprocessing
from featuresharing.networks.definitions import NetworkDefinition
from featuresharing.networks.opening import open_network
from tests.support.two_tasks import Given

MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = nn.Conv2d(3, 8, 5), nn.Linear(8, 6)

    def forward(self, images):
        maps = self.conv(images).relu()
        return self.last(9 * maps.mean((2, 3))).softmax(1)

build = Net
"""
COUNT = 60
TASKS = ("low", "high", "light")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with 60 images, a network whose likeliest classes are the true ones, and lists of three tasks."""
    paths = [tmp_path / f"{number}.png" for number in range(COUNT)]
    rng = np.random.default_rng(0)
    for number, path in enumerate(paths):
        colour = rng.integers(0, 200, size=3) + 50 * (number % 2)
        noise = rng.integers(0, 30, size=(12, 12, 3))
        Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8)).save(path)
    (tmp_path / "net.py").write_text(MODULE)
    define(tmp_path, "plain.json", ("low", "high"))
    opened = open_network(tmp_path / "plain.json")
    with torch.no_grad():
        images = torch.from_numpy(read_inputs(paths, opened.preprocessing))
        likeliest = opened.network(images)["low"].argmax(1).numpy()
    low, high = (np.where(np.isin(likeliest, group), likeliest, -1) for group in ((0, 1, 2, 3), (2, 3, 4, 5)))
    write_image_list(tmp_path / "all.txt", paths, np.stack([low, high, np.arange(COUNT) % 2], axis=1))
    write_classes(
        tmp_path / "classes.csv", {"low": list("abcdef"), "high": list("abcdef"), "light": ["dark", "bright"]}
    )
    return tmp_path


def define(folder: Path, name: str, tasks: tuple[str, ...], probes: Path | None = None) -> None:
    shown = Preprocessing(12, (127.5,) * 3, (64.0,) * 3, resize=False)
    head = {"output": 0, "returns": "probabilities"}
    given: Given = {"build": f"{folder}/net.py:build", "preprocessing": shown.as_dict()}
    given["heads"] = {"low": head, "high": head}
    NetworkDefinition(**given, tasks=tasks, probes=probes).write(folder / name)


def run(folder: Path, command: str, **options: Any) -> None:
    words = [command]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    assert main(words) == 0, command


def test_groups_and_a_probe_go_from_a_list_to_figures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"classes": folder / "classes.csv", "device": "cpu"}
    run(
        folder,
        "train-probes",
        checkpoint=folder / "plain.json",
        list=folder / "all.txt",
        probes="light",
        output=folder / "p.npz",
        **given,
    )
    run(
        folder,
        "split-list",
        list=folder / "all.txt",
        classes=folder / "classes.csv",
        shares="light=0.5",
        output=folder / "test.txt",
    )
    define(folder, "net.json", TASKS, folder / "p.npz")
    network = given | {"checkpoint": folder / "net.json"}
    named = {"experiment": "e", "checkpoint_name": "1"}
    run(folder, "predict", list=folder / "test.txt", output=folder / "p.h5", **network, **named)
    run(folder, "tabulate-accuracy", predictions=folder / "p.h5", output=folder / "accuracy.csv")
    accuracy = read_table(folder / "accuracy.csv", TABLES["accuracy"]).set_index("task")
    classes = list(read_classes(folder / "classes.csv").values())
    listed = read_image_list(folder / "test.txt", classes)
    assert accuracy["images"].to_dict() == dict(zip(TASKS, (listed.targets >= 0).sum(axis=0), strict=True))
    assert accuracy["accuracy"][["low", "high"]].tolist() == [1, 1]
    run(
        folder,
        "select-images",
        list=folder / "test.txt",
        classes=folder / "classes.csv",
        predictions=folder / "p.h5",
        max_images=24,
        output=folder / "kept.txt",
    )
    kept = read_image_list(folder / "kept.txt", classes)
    assert len(kept.paths) == 24
    found = read_predictions(folder / "p.h5")
    fits = np.logical_and.reduce([found.right()[task] | ~found.present()[task] for task in TASKS])
    counts = (kept.targets >= 0).sum(axis=0)
    fewest = TASKS[counts.argmin()]
    assert counts.min() == (fits & found.present()[fewest]).sum()  # of that task, all are kept
    run(
        folder,
        "marginalize",
        list=folder / "kept.txt",
        output=folder / "conv.h5",
        layer="conv",
        samples=10,
        **network,
        experiment="e",
    )
    run(folder, "tabulate-contributions", conditionals=folder / "conv.h5", output=folder / "contributions.csv")
    run(folder, "tabulate-sharing", conditionals=folder / "conv.h5", output=folder / "sharing.csv")
    run(folder, "plot-units", conditionals=folder / "conv.h5", output=folder / "conv.png")
    run(
        folder,
        "plot-sharing",
        sharing=folder / "sharing.csv",
        layers="conv",
        checkpoint="net",
        output=folder / "sharing.png",
    )
    run(
        folder,
        "lesion-curves",
        list=folder / "kept.txt",
        conditionals=folder / "conv.h5",
        output=folder / "curves.csv",
        steps=2,
        random_orders=3,
        **network,
    )
    run(folder, "plot-lesions", curves=folder / "curves.csv", output=folder / "curves.png")
    assert "task 'light'" in capsys.readouterr().out
    table = read_table(folder / "contributions.csv", TABLES["contributions"])
    # each task by hand, on its images alone
    layer = read_conditionals(folder / "conv.h5")
    for column, task in enumerate(TASKS):
        own = kept.targets[:, column] >= 0
        p, q = layer.predictions[task][own], layer.conditionals[task][:, own]
        wanted = contribution(weight_of_evidence(p, q, classes=layer.classes[task]))
        np.testing.assert_allclose(table[table["task"] == task]["contribution"], wanted, rtol=1e-6)
    curves = read_table(folder / "curves.csv", TABLES["lesions"])
    intact = curves[curves["removed"] == 0].set_index("task")["accuracy"]
    assert (intact == 1).all()  # every image that is kept is right in the tasks that it has
    assert len(read_table(folder / "sharing.csv", TABLES["sharing"])) == 3
    assert read_predictions(folder / "p.h5").present()["light"].sum() == 30
