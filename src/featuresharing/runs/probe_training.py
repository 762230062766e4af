"""Probes of a network trained on listed images, some of which are left over: their file, and a list of the rest.

Which images train a probe depends on the list, the share and the seed alone, so that the two files fit together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.guessing import GUESSED, guessing_probability
from featuresharing.data.class_splits import split_for_probe
from featuresharing.data.lists import MISSING, ImageList, ListFiles, write_image_list
from featuresharing.data.preprocessing import ImageSize
from featuresharing.errors import InputError
from featuresharing.runs.stopping import Say
from featuresharing.settings import ProbeSettings, TaskSettings

if TYPE_CHECKING:
    from featuresharing.networks.opening import StoredNetwork
    from featuresharing.networks.probes import Probe


def list_left_over(
    listed: ListFiles, shares: Mapping[str, float], output: Path, *, seed: int, say: Say = print
) -> None:
    """Write the list ``output`` of what is left to analyse: images that train a probe have no class in its task there.

    ``shares`` says by task which share of its images trains its probe. Images without any class are left out. Raises
    InputError for tasks that the list does not have, and where nothing is left of one.
    """
    classes, images = listed.read(check_files=False)
    targets = images.targets.copy()
    for task, share in shares.items():
        column = _column(task, classes, listed)
        trained = split_for_probe(images.targets[:, column], share=share, seed=seed, task=task)
        targets[trained != MISSING, column] = MISSING
        if (targets[:, column] == MISSING).all():
            raise InputError(
                f"{listed.images}: no image of task '{task}' is left to analyse; accepted is one at least."
            )
    left = np.flatnonzero((targets != MISSING).any(axis=1))
    write_image_list(output, [images.paths[image] for image in left], targets[left])
    say(f"{len(left)} of {len(targets)} images are listed in {output}.")


def train_probes_to_file(
    checkpoint: Path,
    listed: ListFiles,
    layers: Mapping[str, str | None],
    output: Path,
    *,
    shares: Mapping[str, float] | None = None,
    held_out: Path | None = None,
    image_size: ImageSize | None = None,
    pooling: str = ProbeSettings.pooling,
    seed: int,
    folds: int = ProbeSettings.folds,
    device: str = "cpu",
    skip: bool = False,
    say: Say = print,
) -> None:
    """Train a probe for each task of ``layers``, and write them to the file ``output`` (:func:`.write_probes`).

    ``layers`` says which module gives the features (None: those that the last linear layer takes). A share of the
    listed images of each class trains (``shares`` by task, .5 where it is not said); on the others the probe is tested.
    With a list ``held_out`` all listed images train, and it is tested on those. ``say`` is told how well each does.
    Raises InputError for tasks that the lists do not have, and for what cannot be read or trained with.
    """
    from featuresharing.analysis.probe_fitting import evaluate_probe, fit_features
    from featuresharing.networks.opening import open_network
    from featuresharing.networks.probes import write_probes

    classes, images = listed.read()
    columns = {task: _column(task, classes, listed) for task in layers}
    if held_out is None:
        given = {task: (shares or {}).get(task, TaskSettings.share) for task in layers}
        trained = {
            task: split_for_probe(images.targets[:, column], share=given[task], seed=seed, task=task)
            for task, column in columns.items()
        }
        everything = images
    else:
        everything = _joined(images, ListFiles(held_out, listed.classes).read()[1])
        is_first = np.arange(len(everything.paths)) < len(images.paths)
        trained = {task: np.where(is_first, everything.targets[:, at], MISSING) for task, at in columns.items()}
    network = open_network(checkpoint, image_size=image_size, heads=False)
    wanted = np.flatnonzero((everything.targets[:, list(columns.values())] != MISSING).any(axis=1))
    chosen = everything.select(wanted)
    read, features = _features(network, chosen, layers, pooling, device, skip, say)
    probes = {}
    for task, column in columns.items():
        path, side, values = features[task]
        own, of_training = chosen.targets[read, column], trained[task][wanted][read]
        try:
            probe = fit_features(values, of_training, len(classes[task]), seed=seed, folds=folds)
        except InputError as error:
            raise InputError(f"{listed.images}, task '{task}', {error}") from None
        rest = np.where(of_training == MISSING, own, MISSING)
        probe = evaluate_probe(replace(probe, layer=path, side=side, pooling=pooling), values, rest, of_training)
        _tell(task, probe, say)
        probes[task] = probe
    write_probes(output, probes)


def _tell(task: str, probe: "Probe", say: Say) -> None:
    """Say what a probe reads and how well it does, and warn of one at chance."""
    say(f"{task}: {describe_probe(probe)}")
    if is_at_chance(probe):
        say(
            f"warning: {task} is no better than chance on images that trained nothing, and contributions to it mean "
            "little; another layer, more images or other labels may help."
        )


def describe_probe(probe: "Probe") -> str:
    """Return what a probe reads and how well it does, as a sentence."""
    quality = probe.quality
    assert quality
    tested = "is tested on no others"
    if quality.tested:
        chance = f"where the most frequent class would get {quality.chance:.1%}"
        tested = f"{quality.held_out:.1%} of {quality.tested} others, {chance}"
    return (
        f"a probe of the {probe.side} of layer '{probe.layer}', strength {quality.strength:g}, gets "
        f"{quality.cross_validated:.1%} of {quality.trained} images right in cross-validation, and {tested}."
    )


def is_at_chance(probe: "Probe") -> bool:
    """Return whether always guessing the most frequent class does as well on the tested images in 5 % of cases or more.

    Of a probe that was tested on no images, nobody can tell: False.
    """
    quality = probe.quality
    if quality is None or not quality.tested:
        return False
    hits = round(quality.held_out * quality.tested)
    return guessing_probability(hits, quality.tested, quality.chance) >= GUESSED


def _features(
    network: "StoredNetwork",
    images: ImageList,
    layers: Mapping[str, str | None],
    pooling: str,
    device: str,
    skip: bool,
    say: Say,
) -> tuple[list[int], dict[str, tuple[str, str, NDArray[np.float64]]]]:
    """Return the positions of images that can be decoded, and by task the layer, its side, and features [N, F]."""
    from featuresharing.networks.layer_features import last_linear_layer, layer_features
    from featuresharing.networks.probes import INPUT, OUTPUT
    from featuresharing.runs.baseline import read_parts

    read: list[int] = []
    parts: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    sides: dict[str, tuple[str, str]] = {}
    for positions, pixels in read_parts(network, images.paths, skip, say):
        read += positions
        if not sides:
            last = last_linear_layer(network.network, pixels) if None in layers.values() else ""
            sides = {task: (last, INPUT) if layer is None else (layer, OUTPUT) for task, layer in layers.items()}
            parts = {place: [] for place in sides.values()}
        for (layer, side), found in parts.items():
            found.append(layer_features(network.network, layer, pixels, side=side, pooling=pooling, device=device))
    if not read:
        raise InputError(f"none of {len(images.paths)} images can be decoded; accepted is at least one.")
    joined = {place: np.concatenate(found) for place, found in parts.items()}
    return read, {task: (*place, joined[place]) for task, place in sides.items()}


def _joined(first: ImageList, second: ImageList) -> ImageList:
    return ImageList((*first.paths, *second.paths), np.concatenate([first.targets, second.targets]))


def _column(task: str, classes: Mapping[str, Sequence[str]], listed: ListFiles) -> int:
    """Return the column of a task in a list; raises InputError for one that it does not have."""
    if task not in classes:
        raise InputError(f"{listed.classes}: found no task '{task}'; accepted are {', '.join(classes)}.")
    return list(classes).index(task)
