"""The images with the highest and lowest evidence of every unit as a tidy frame, with their names."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.evidence import Array
from featuresharing.analysis.extreme_images import COUNT, ExtremeImages, layer_images
from featuresharing.data.columns import EXTREMES, KEPT
from featuresharing.data.lists import NO_CLASS
from featuresharing.data.table_files import frame_of_columns
from featuresharing.errors import InputError
from featuresharing.replicates import network_label
from featuresharing.settings import EvidenceSettings

if TYPE_CHECKING:
    from pandas import DataFrame

    from featuresharing.store import LayerConditionals


def image_table(
    layers: "Iterable[LayerConditionals]",
    kept: "DataFrame | Iterable[DataFrame]",
    *,
    count: int = COUNT,
    method: str = EvidenceSettings.method,
    laplace: str = EvidenceSettings.laplace,
) -> "DataFrame":
    """Return the images on which units give a task the most evidence for the true class, and the least.

    A row is an image at a ``place`` from 1 to ``count`` on a ``side``, ``highest`` or ``lowest``, of a unit and task;
    a task with fewer images has fewer. Columns are ``experiment``, ``replicate``, ``checkpoint``, ``layer``, ``unit``,
    ``task``, ``side``, ``place``, ``image`` (its position in the list of analysed images), ``file`` and ``evidence``.

    ``kept`` is the table of the analysed images (:data:`.columns.KEPT`): one for all ``layers``, or one for each
    network, in the order in which layers name them. Layers are looked at one by one. Raises InputError for tables of
    other images or too few, and for what :func:`.extreme_images` and evidence refuse.

    >>> from featuresharing import TABLES, read_conditionals, read_table
    >>> frame = image_table([read_conditionals("conv5_7.h5")], read_table("kept.csv", TABLES["kept"]))
    >>> frame[frame["unit"] == 8][["task", "side", "place", "file"]].values.tolist()[0]
    ['word', 'highest', 1, '13.png']
    """
    from pandas import DataFrame, concat

    tables: Iterator[DataFrame] = repeat(kept) if isinstance(kept, DataFrame) else iter(kept)
    of_network: dict[tuple[str, int], DataFrame] = {}
    frames = [frame_of_columns(EXTREMES, {name: [] for name in EXTREMES.names})]
    for layer in layers:
        network = layer.place[:2]
        if network not in of_network:
            of_network[network] = _next(tables, network_label(*network), len(of_network))
        images = layer_images(layer, count=count, method=method, laplace=laplace)
        frames.append(_rows_of(layer, of_network[network], images))
    return concat(frames, ignore_index=True)


def _next(tables: "Iterator[DataFrame]", network: str, before: int) -> "DataFrame":
    if (table := next(tables, None)) is None:
        raise InputError(
            f"kept images: found tables of {before} networks, and none of {network}; accepted is one each."
        )
    return table


def _rows_of(
    layer: "LayerConditionals", kept: "DataFrame", images: Mapping[tuple[str, str], ExtremeImages]
) -> "DataFrame":
    """Return the rows of a layer, unit by unit."""
    check_kept(layer.place, layer.predictions, kept)
    blocks = list(images.items())
    widths = [found.positions.shape[1] for _, found in blocks]
    units, row = len(layer.units), sum(widths)

    def by_block(values: Sequence[Any]) -> NDArray[Any]:
        """Return for every row the value that belongs to its block."""
        return np.tile(np.repeat(np.array(values, object), widths), units)

    experiment, replicate, checkpoint, alias = layer.place
    positions = np.concatenate([found.positions for _, found in blocks], axis=1).ravel()
    places = np.concatenate([np.arange(1, width + 1) for width in widths])
    columns = {
        "experiment": np.full(units * row, experiment, object),
        "replicate": np.full(units * row, replicate),
        "checkpoint": np.full(units * row, checkpoint, object),
        "layer": np.full(units * row, alias, object),
        "unit": np.repeat(layer.units, row),
        "task": by_block([task for (task, _), _ in blocks]),
        "side": by_block([side for (_, side), _ in blocks]),
        "place": np.tile(places, units),
        "image": positions,
        "file": kept["image"].to_numpy(object)[positions],
        "evidence": np.concatenate([found.evidence for _, found in blocks], axis=1).ravel(),
    }
    return frame_of_columns(EXTREMES, columns)


def check_kept(place: tuple[str, int, str, str], predictions: Mapping[str, Array], kept: "DataFrame") -> None:
    """Raise InputError unless ``kept`` can be the table of the images on which a layer was analysed.

    ``place`` says which layer, and ``predictions`` [N] by task are NaN on images that are not of the task.
    """
    experiment, replicate, checkpoint, alias = place
    accepted = f"accepted is the table of the images of {network_label(experiment, replicate)} {checkpoint} {alias}"
    for task, values in predictions.items():
        if len(kept) != len(values):
            raise InputError(f"kept images: found {len(kept)}; {accepted}, which are {len(values)}.")
        if task not in kept:
            tasks = ", ".join(name for name in kept if name not in KEPT.names)
            raise InputError(f"kept images: found the tasks {tasks}; {accepted}, which has '{task}'.")
        wrong = np.flatnonzero((kept[task] == NO_CLASS).to_numpy() != np.isnan(values))
        if len(wrong):
            found = f"'{kept[task].iloc[wrong[0]]}' for task '{task}' of image {wrong[0]}"
            raise InputError(f"kept images: found {found}; {accepted}.")
