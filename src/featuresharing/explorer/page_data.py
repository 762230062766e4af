"""What the page knows, as JSON: arrays of units by experiment, network and layer, and columns of tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.extreme_images import SIDES
from featuresharing.errors import InputError
from featuresharing.explorer.codec import as_text, pack
from featuresharing.explorer.sprites import Sprite, sprite

if TYPE_CHECKING:
    from pandas import DataFrame

Place = tuple[str, int, str]
"""A layer of a network: experiment, replicate and layer."""

Network = tuple[str, int]
"""A network: experiment and replicate."""

_VALUES = ("low", "high", "chance", "chance_low", "chance_high", "excess", "excess_low", "excess_high")

FRAMES: dict[str, tuple[str, ...]] = {
    "contributions": (*("experiment", "replicate", "checkpoint", "layer", "unit", "task"), "contribution"),
    "sharing": (
        *("experiment", "replicate", "checkpoint", "layer", "task_a", "task_b"),
        *("sharing", *_VALUES, "p", "near_zero"),
    ),
    "sharing_over_networks": (
        *("experiment", "checkpoint", "layer", "task_a", "task_b"),
        *("sharing", *_VALUES, "p", "near_zero"),
    ),
    "lesions": (
        *("experiment", "replicate", "layer", "order", "task", "removed", "fraction"),
        *("accuracy", "random_low", "random_high", "chance", "p_corrected"),
    ),
    "images": ("experiment", "replicate", "layer", "unit", "task", "side", "place", "image", "file", "evidence"),
    "accuracy": ("experiment", "replicate", "checkpoint", "task", "accuracy"),
}
"""Tables that a page shows, with the columns that it reads; all but the first may be missing."""

NO_IMAGE = 0xFFFF
"""In the place of an image where a unit has fewer."""


def names_in(column: "Any") -> list[str]:
    """Return the distinct texts of a column in the order of their first appearance."""
    return list(dict.fromkeys(column))


def columns_of(frame: "DataFrame", columns: Sequence[str]) -> dict[str, Any]:
    """Return columns of a frame: texts as places among their names, whole numbers as such, others packed."""
    found: dict[str, Any] = {}
    for column in columns:
        values = frame[column]
        if values.dtype.kind == "f":
            found[column] = {"numbers": pack(values.to_numpy())}
        elif values.dtype.kind in "iu":
            found[column] = {"whole": [int(value) for value in values]}
        else:
            names = names_in(values)
            places = _places(names)
            found[column] = {"names": names, "places": [places[value] for value in values]}
    return found


def experiments_of(contributions: "DataFrame", sort_by: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return every experiment: its tasks, replicates, checkpoints and layers, each in order of first appearance.

    ``first`` is the place of the task that sorts its units. Raises InputError for a task that it has not.
    """
    found = []
    for name, rows in contributions.groupby("experiment", sort=False):
        tasks = names_in(rows["task"])
        first = sort_by.get(str(name), tasks[0])
        if first not in tasks:
            raise InputError(f"--sort-by: found '{first}' of '{name}'; accepted are its tasks {', '.join(tasks)}.")
        units = rows.groupby("layer", sort=False)["unit"].max()
        found.append(
            {
                "name": str(name),
                "tasks": tasks,
                "first": tasks.index(first),
                "replicates": sorted({int(each) for each in rows["replicate"]}),
                "checkpoints": names_in(rows["checkpoint"]),
                "layers": [{"name": str(layer), "units": int(last) + 1} for layer, last in units.items()],
            }
        )
    return found


def unit_arrays(
    contributions: "DataFrame", experiments: Sequence[dict[str, Any]], *, samples: bool = True
) -> list[dict[str, Any]]:
    """Return what the units of every layer contribute, [checkpoints, tasks, units], and their effective samples.

    Units that a checkpoint has not are nan. Without ``samples`` those are left out.
    """
    known = {experiment["name"]: experiment for experiment in experiments}
    found = []
    for place, rows in contributions.groupby(["experiment", "replicate", "layer"], sort=False):
        name, replicate, layer = place
        experiment = known[name]
        units = int(rows["unit"].max()) + 1
        k = rows["checkpoint"].map(_places(experiment["checkpoints"])).to_numpy()
        t = rows["task"].map(_places(experiment["tasks"])).to_numpy()
        u = rows["unit"].to_numpy()
        amounts = np.full((len(experiment["checkpoints"]), len(experiment["tasks"]), units), np.nan)
        amounts[k, t, u] = rows["contribution"].to_numpy()
        entry = {"experiment": name, "replicate": int(replicate), "layer": layer, "contributions": pack(amounts)}
        if samples:
            effective = np.full((len(experiment["checkpoints"]), units), np.nan)
            effective[k, u] = rows["effective_samples"].to_numpy()
            entry["samples"] = pack(effective)
        found.append(entry)
    return found


class Thumbnails:
    """The pictures of the images that a table of extreme images names: a sprite an experiment, each picture once.

    ``pictures`` are uint8 [H, W, 3] by experiment and replicate, each list in the order of its analysed images. Raises
    InputError for an image without a picture.
    """

    def __init__(self, images: "DataFrame", pictures: Mapping[Network, Sequence[NDArray[np.uint8]]], side: int) -> None:
        self.sprites: list[dict[str, Any]] = []
        self.places: dict[Network, dict[int, int]] = {}
        for experiment, rows in images.groupby("experiment", sort=False):
            known: dict[bytes, int] = {}
            names: list[str] = []
            shown: list[NDArray[np.uint8]] = []
            for replicate, used in rows.drop_duplicates(["replicate", "image"]).groupby("replicate"):
                network = (str(experiment), int(replicate))
                there = pictures.get(network, ())
                places = self.places.setdefault(network, {})
                for image, file in zip(used["image"].tolist(), used["file"], strict=True):
                    if image >= len(there):
                        accepted = "accepted is one of each image of the table"
                        raise InputError(f"pictures of {experiment}: found {len(there)}, none of '{file}'; {accepted}.")
                    places[image] = known.setdefault(there[image].tobytes(), len(known))
                    if len(known) > len(shown):
                        names.append(str(file))
                        shown.append(there[image])
            self.sprites.append({"experiment": str(experiment), "names": names, **sprite(shown, side)})


def image_arrays(
    images: "DataFrame", experiments: Sequence[dict[str, Any]], thumbnails: Thumbnails
) -> list[dict[str, Any]]:
    """Return the extreme images of the units of every layer, [tasks, sides, places, units]: which, and the evidence.

    An image is its place in the sprite of its experiment.
    """
    known = {experiment["name"]: experiment for experiment in experiments}
    found = []
    for place, rows in images.groupby(["experiment", "replicate", "layer"], sort=False):
        name, replicate, layer = place
        tasks = known[name]["tasks"]
        shape = (len(tasks), len(SIDES), int(rows["place"].max()), int(rows["unit"].max()) + 1)
        at = (
            rows["task"].map(_places(tasks)).to_numpy(),
            rows["side"].map(_places(SIDES)).to_numpy(),
            rows["place"].to_numpy() - 1,
            rows["unit"].to_numpy(),
        )
        which, evidence = np.full(shape, NO_IMAGE), np.full(shape, np.nan)
        which[at] = rows["image"].map(thumbnails.places[name, int(replicate)]).to_numpy()
        evidence[at] = rows["evidence"].to_numpy()
        entry = {"experiment": name, "replicate": int(replicate), "layer": layer}
        found.append({**entry, "shape": list(shape), "which": as_text(which), "evidence": pack(evidence)})
    return found


def feature_sprites(features: Mapping[Place, Sequence[NDArray[np.uint8]]], side: int) -> Iterator[dict[str, Any]]:
    """Yield a sprite a layer of the pictures of what drives its units, in their order."""
    for (experiment, replicate, layer), pictures in features.items():
        found: Sprite = sprite(pictures, side)
        yield {"experiment": experiment, "replicate": replicate, "layer": layer, **found}


def check_frames(frames: Mapping[str, "DataFrame"]) -> None:
    """Raise InputError for a table of no kind that a page shows, without its columns, or without contributions."""
    for name, frame in frames.items():
        if name not in FRAMES:
            raise InputError(f"tables: found '{name}'; accepted are {', '.join(FRAMES)}.")
        if missing := [column for column in FRAMES[name] if column not in frame.columns]:
            accepted = f"accepted is one with {', '.join(FRAMES[name])}"
            raise InputError(f"table of {name}: column '{missing[0]}' is missing; {accepted}.")
    if "contributions" not in frames or frames["contributions"].empty:
        raise InputError("tables: found no contributions; accepted is a table of what units contribute.")


def _places(names: Sequence[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}
