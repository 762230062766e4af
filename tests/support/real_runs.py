"""Networks that others made in runs of the real workflow, compared with whole passes for every draw of a unit."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from featuresharing import prior_draws
from featuresharing.data.lists import MISSING, read_classes, read_image_list
from featuresharing.runs.image_sets import render_image_sets
from featuresharing.settings import ImageSettings
from tests.support.commands import RESOURCES
from tests.support.files import rows
from tests.support.naive import marginalize_naively, predict_naively
from tests.support.workflows import run_snakemake

Array = NDArray[Any]

CHECKPOINT = "final"

SAMPLES = 5

KINDS = ("bird", "animal-face")


class Scored(nn.Module):
    """A network of others and the raw scores of its tasks: of its outputs by ``heads``, and of the probes of a run."""

    def __init__(self, network: nn.Module, heads: Mapping[str, Callable[[Any], Tensor]]) -> None:
        super().__init__()
        self.network, self.heads = network.eval(), dict(heads)
        self.probes: dict[str, tuple[str, str, Tensor, Tensor]] = {}

    def read_probes(self, path: Path) -> None:
        """Take the probes of a file."""
        with np.load(path) as file:
            for number, said in enumerate(json.loads(file["probes"].tobytes())):
                weight, bias = (torch.from_numpy(file[f"{name}_{number}"]) for name in ("weight", "bias"))
                self.probes[said["task"]] = (said["layer"], said["side"], weight, bias)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return scores [images, classes] by task: those of heads, then those of probes."""
        features: dict[str, Tensor] = {}

        def keep(task: str, side: str, module: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
            features[task] = (given[0] if side == "input" else result).clone()

        with ExitStack() as hooks:
            for task, (layer, side, _, _) in self.probes.items():
                handle = self.network.get_submodule(layer).register_forward_hook(partial(keep, task, side))
                hooks.callback(handle.remove)
            outputs = self.network(images)
        scores = {task: head(outputs) for task, head in self.heads.items()}
        for task, (_, _, weight, bias) in self.probes.items():
            values = features[task] if features[task].ndim == 2 else features[task].flatten(2).mean(dim=2)
            scores[task] = values.double() @ weight.T + bias
        return scores


def read_pixels(
    path: Path,
    size: tuple[int, int],
    mean: Any,
    std: Any,
    *,
    crop: int = 0,
    bgr: bool = False,
) -> Array:
    """Return an image float32 [3, H, W], stretched to ``size`` (width, height); ``crop`` pixels come off every side."""
    with Image.open(path) as image:
        values = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR), np.float32)
    values = values[crop : size[1] - crop, crop : size[0] - crop, :: -1 if bgr else 1]
    return np.ascontiguousarray(
        ((values - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)).transpose(2, 0, 1)
    )


def draw_kinds(folder: Path) -> dict[Path, str]:
    """Render drawings of two kinds of things, with words over them; return the kind of each by its path."""
    settings = ImageSettings(
        basic_classes=KINDS, image_size=64, train_renderings=1, test_renderings=1, word_sizes=(14, 16)
    )
    render_image_sets(RESOURCES, settings, folder, seed=0, say=lambda _: None)
    return {folder / row["image"]: row["basic"] for row in rows(folder / "test.csv")}


def likeliest(network: nn.Module, scores: Callable[[Any], Tensor], pixels: Array, names: Sequence[str]) -> list[str]:
    """Return the names of the likeliest classes of images; ``scores`` [images, classes] are what is made of outputs."""
    with torch.no_grad():
        return [names[place] for place in scores(network(torch.from_numpy(pixels))).argmax(dim=1).tolist()]


def write_stimuli(path: Path, images: Sequence[Path], labels: Mapping[str, Sequence[str]]) -> None:
    """Write the table of images and of their labels by task, for ``images`` of an experiment."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", *labels])
        table.writerows(zip(images, *labels.values(), strict=True))


def run_experiments(
    folder: Path, experiments: Sequence[Mapping[str, Any]], layers: Mapping[str, str], *targets: str
) -> Path:
    """Run the workflow in a folder to some of its results, on few images and draws; return the folder of results."""
    config = {
        "source": "network",
        "experiments": list(experiments),
        "layers": dict(layers),
        "baseline": {"max_images": 6},
        "marginalization": {"samples": SAMPLES},
        "sharing": {"resamples": 20},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    result = run_snakemake(folder, *targets, configs=[folder / "config.yaml"])
    assert result.returncode == 0, result.stderr
    return folder / "results"


def largest_differences(
    results: Path,
    experiment: str,
    network: Scored,
    read: Callable[[Path], Array],
    layers: Mapping[str, str],
    *,
    checkpoint: str = CHECKPOINT,
) -> dict[str, float]:
    """Return by how much conditionals differ from a naive loop, and predictions from a pass, by layer and task.

    Compared are, of each layer, the units that matter most to each task, on all images; they have to matter. ``read``
    makes of a file what the network takes.
    """
    tasks = read_classes(results / f"lists/{experiment}/classes.csv")
    if network.heads.keys() != tasks.keys():
        network.read_probes(results / f"probes/{experiment}/{checkpoint}.npz")
    kept = read_image_list(results / f"baseline/{experiment}/kept.txt", list(tasks.values()))
    images = torch.from_numpy(np.stack([read(path) for path in kept.paths]))
    intact = dict(zip(tasks, predict_naively(network, images), strict=True))
    found: dict[str, float] = {}
    for alias, path in layers.items():
        stored = _true_conditionals(results / f"marginal/{experiment}/{alias}_{checkpoint}.h5", list(tasks))
        units = [int(np.nanmax(np.abs(q - p), axis=1).argmax()) for p, q in stored.values()]
        draws = [prior_draws(network.network, path, unit, samples=SAMPLES) for unit in units]
        wanted = marginalize_naively(network, f"network.{path}", images, units, draws)
        for number, (task, (p, q)) in enumerate(stored.items()):
            there = np.flatnonzero(kept.targets[:, number] != MISSING)
            true = kept.targets[there, number]
            assert np.abs(q[units[number]] - p)[there].max() > 1e-3, (alias, task)
            found[f"{alias}, {task}"] = np.abs(q[units][:, there] - wanted[number][:, there, true]).max()
            found[f"predictions, {task}"] = np.abs(p[there] - intact[task][there, true]).max()
    return found


def _true_conditionals(path: Path, tasks: Sequence[str]) -> dict[str, tuple[Array, Array]]:
    """Return predictions [N] and conditionals [F, N] at the true classes by task."""
    with h5py.File(path) as file:
        return {task: (file[f"prediction_{task}"][:], file[f"conditional_{task}"][:]) for task in tasks}
