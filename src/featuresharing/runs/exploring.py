"""The page to explore, of files of a run: tables, the images that were analysed, and what drives units."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.data.columns import TABLES
from featuresharing.data.images import read_image
from featuresharing.data.lists import split_lines
from featuresharing.data.table_files import read_table
from featuresharing.errors import InputError
from featuresharing.explorer import explorer_page
from featuresharing.explorer.page_data import Network, Place
from featuresharing.files.atomic import replacing
from featuresharing.replicates import FIRST

if TYPE_CHECKING:
    from pandas import DataFrame

Pictures = list[NDArray[np.uint8]]


@dataclass(frozen=True)
class ExplorerFiles:
    """What a page is made of: ``tables`` by the names of their kinds, of which contributions must be there.

    ``kept`` are lists of analysed images with their experiments, of each replicate in its turn. ``features`` is the
    folder of what drives units, with EXPERIMENT/LAYER_CHECKPOINT in it.
    """

    tables: Mapping[str, Path]
    kept: Sequence[tuple[str, Path]] = ()
    features: Path | None = None


def write_explorer(
    output: Path, files: ExplorerFiles, *, without: Sequence[str] = (), say: Callable[[str], None], **look: Any
) -> None:
    """Write the page of ``files`` (:func:`.explorer_page`, which takes ``without`` and ``look``), whole or not at all.

    Images that no picture can be made of, such as arrays of any numbers, are left out, which ``say`` is told. Raises
    InputError for what cannot be read, and for a page that is too large.
    """
    tables = {
        name.replace(" ", "_"): read_table(path, TABLES[name])
        for name, path in files.tables.items()
        if name.removesuffix(" over networks") not in without
    }
    pictures: dict[Network, Pictures] = {}
    if "images" in tables:
        try:
            pictures = _read_pictures(files.kept)
        except InputError as error:
            say(f"The page shows no images: {error}")
            del tables["images"]
    features = {} if files.features is None or "features" in without else _features(files.features, tables)
    page = explorer_page(tables, pictures=pictures, features=features, without=without, **look)
    with replacing(output) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    say(f"{output} takes {output.stat().st_size / 1e6:.1f} MB.")


def _read_pictures(kept: Sequence[tuple[str, Path]]) -> dict[Network, Pictures]:
    """Return the images of lists by experiment and replicate: the first list of an experiment is of its first."""
    found: dict[Network, Pictures] = {}
    read: dict[Path, NDArray[np.uint8]] = {}
    for experiment, path in kept:
        replicate = FIRST + sum(name == experiment for name, _ in found)
        images = [path.parent / name for _, name, _ in split_lines(path)]
        for image in images:
            if image not in read:
                read[image] = read_image(image)
        found[experiment, replicate] = [read[image] for image in images]
    return found


def _features(folder: Path, tables: "Mapping[str, DataFrame]") -> dict[Place, Pictures]:
    """Return the pictures of what drives the units of layers at the last checkpoint, where they were made."""
    found: dict[Place, Pictures] = {}
    for (experiment, layer), rows in tables["contributions"].groupby(["experiment", "layer"], sort=False):
        made = folder / str(experiment) / f"{layer}_{rows['checkpoint'].iloc[-1]}"
        paths = [made / f"{unit:04d}.png" for unit in range(int(rows["unit"].max()) + 1)]
        if all(path.exists() for path in paths):
            found[str(experiment), FIRST, str(layer)] = [read_image(path) for path in paths]
    return found
