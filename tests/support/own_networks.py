"""A folder of a user of ``source: network``: a ResNet-18 in a file, its weights, drawings, a table and a config."""

import csv
import shutil
from pathlib import Path

import numpy as np
import torch
import yaml

from featuresharing.data.images import read_inputs
from featuresharing.data.preprocessing import Preprocessing
from featuresharing.networks.layer_features import layer_features
from featuresharing.runs.image_sets import render_image_sets
from featuresharing.settings import ImageSettings
from tests.support.commands import RESOURCES
from tests.support.resnet18 import build

SIZE, WIDTH = 32, 8

KINDS = ("bird", "car")


def resnet_folder(folder: Path) -> Path:
    """Make a folder in which a ResNet-18 tells ten kinds of birds and cars apart, on the images that it is tested on.

    Only its last layer is fitted, by least squares. A column ``half`` has which half of the alphabet a word is of.
    """
    settings = ImageSettings(
        basic_classes=KINDS, image_size=SIZE, train_renderings=1, test_renderings=2, word_sizes=(9, 11)
    )
    render_image_sets(RESOURCES, settings, folder / "images", seed=0, say=lambda _: None)
    with (folder / "images/test.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["subordinate"] for row in rows})
    with (folder / "stimuli.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "kind", "half"])
        for row in rows:
            table.writerow([f"images/{row['image']}", row["subordinate"], "a-l" if row["word"] < "m" else "m-z"])
    shutil.copy(Path(__file__).with_name("resnet18.py"), folder / "mynet.py")
    truth = np.array([names.index(row["subordinate"]) for row in rows])
    _write_weights(folder, [folder / "images" / row["image"] for row in rows], truth)
    groups = {f"{kind}s": sorted({row["subordinate"] for row in rows if row["basic"] == kind}) for kind in KINDS}
    (folder / "config.yaml").write_text(yaml.safe_dump(_config(names, groups), sort_keys=False))
    return folder


def _write_weights(folder: Path, paths: list[Path], truth: np.ndarray) -> None:
    torch.manual_seed(0)
    network = build(WIDTH, len(set(truth))).eval()
    look = Preprocessing(SIZE, (0.5,) * 3, (0.25,) * 3, resize=False, white=1, decoding="pillow")
    features = layer_features(network, "avgpool", read_inputs(paths, look))
    features = (features - features.mean(axis=0)) / (scale := features.std(axis=0) + 1e-9)
    wanted = np.eye(len(set(truth)))[truth] - 1 / len(set(truth))
    ridge = features.T @ features + 1e-2 * len(features) * np.eye(features.shape[1])
    weight = 30 * np.linalg.solve(ridge, features.T @ wanted).T / scale
    network.fc.weight.data = torch.from_numpy(weight).float()
    centre = layer_features(network, "avgpool", read_inputs(paths, look)).mean(axis=0)
    network.fc.bias.data = torch.from_numpy(-weight @ centre).float()
    state = {f"model.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 1, "state_dict": state}, folder / "last.ckpt")


def _config(names: list[str], groups: dict[str, list[str]]) -> dict[str, object]:
    tasks: dict[str, object] = {
        task: {"column": "kind", "names": names, "classes": group} for task, group in groups.items()
    }
    network = {
        "build": "mynet.py:build",
        "arguments": {"width": WIDTH, "classes": len(names)},
        "checkpoints": {"1": "last.ckpt"},
        "strip": ["model."],
    }
    experiment = {
        "name": "drawn",
        "network": network,
        "tasks": tasks | {"half": {"head": "probe"}},
        "images": "stimuli.csv",
        "preprocessing": {"size": SIZE, "resize": "none", "mean": [0.5], "std": [0.25]},
    }
    return {
        "source": "network",
        "experiments": [experiment],
        "layers": {"conv1": "conv1", "last": "layer4.1.conv2"},
        "baseline": {"max_images": 30},
        "marginalization": {"samples": 10},
        "sharing": {"resamples": 50},
    }
