"""How far the layers of a folder got, read from their files alone, while jobs write to them on any machine."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.arguments import as_path
from featuresharing.errors import InputError
from featuresharing.hdf5 import DamagedError, GoneError
from featuresharing.hdf5.attributes import replicate_of
from featuresharing.store.layer_files import NAMED, check_names, layer_units_of, peek_final
from featuresharing.store.progress_file import read_progress

if TYPE_CHECKING:
    from pandas import DataFrame

SILENT_SECONDS = 120.0
"""A job that wrote nothing for so long is taken not to run."""


Place = tuple[str, int, str, str]
"""Experiment, replicate, layer and checkpoint."""


@dataclass(frozen=True)
class LayerStatus:
    """How far a layer got: ``done`` of ``units`` units, parts of units included.

    ``jobs`` are running on it, with ``rate`` units a second together. ``silent`` is how many seconds ago the last of
    those that stopped wrote something; None if none did or the layer is complete.
    """

    experiment: str
    replicate: int
    checkpoint: str
    layer: str
    done: float
    units: int
    jobs: int
    rate: float
    silent: float | None

    @property
    def seconds_left(self) -> float | None:
        """Return the seconds until the layer is complete at this rate; None if nothing is running."""
        if self.done >= self.units:
            return 0.0
        return (self.units - self.done) / self.rate if self.rate > 0 else None


@dataclass(frozen=True, eq=False)
class _Part:
    """What one file says: of which layer and settings it is, which share of each unit is done, and its clock."""

    layer: Place
    fingerprint: str
    layer_units: int
    units: NDArray[np.int64]
    shares: NDArray[np.float64]
    rate: float
    written: float


def layer_statuses(
    folder: Path, now: float | None = None, say: Callable[[str], None] = lambda _: None
) -> list[LayerStatus]:
    """Return the status of every layer that has files in ``folder`` or below, sorted by name.

    Of a layer with progress of several settings, the settings that were written last count. ``now`` is a Unix time.
    ``say`` is told of files that cannot be read; those that vanish meanwhile are none.
    """
    parts: dict[Place, list[_Part]] = {}
    for part in _parts(folder, say):
        parts.setdefault(part.layer, []).append(part)
    moment = time.time() if now is None else now
    return [
        _status(layer, found, moment)
        for layer, found in sorted(parts.items(), key=lambda item: natural_order(*item[0]))
    ]


def check_results(folder: Path) -> None:
    """Raise InputError unless there is such a folder."""
    if not folder.is_dir():
        found = "is no folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {found}; accepted is a folder of results, as a run of the workflow makes it.")


def status_table(folder: Path | str) -> "DataFrame":
    """Return the status of every layer in a folder, of all results or one below, as a frame: a row a layer.

    Columns are ``experiment``, ``replicate``, ``checkpoint``, ``layer``, ``done`` and ``units`` (units, of which parts
    count), ``jobs``, ``rate`` (units a second), ``silent`` and ``seconds_left`` (nan where :class:`LayerStatus` has
    None). Raises InputError if there is no such folder, or a file cannot be read.

    >>> status_table(".")[["layer", "units", "done"]].to_dict("list")
    {'layer': ['conv5'], 'units': [9], 'done': [9.0]}
    """
    from pandas import DataFrame

    def refuse(sentence: str) -> None:
        raise InputError(sentence)

    place = as_path("folder", folder)
    check_results(place)
    layers = layer_statuses(place, say=refuse)
    columns = [field.name for field in fields(LayerStatus)]
    frame = DataFrame([astuple(layer) for layer in layers], columns=columns)
    numbers = dict.fromkeys(("done", "rate", "silent"), "float64")
    numbers |= dict.fromkeys(("replicate", "units", "jobs"), "int64")
    left = [layer.seconds_left for layer in layers]
    return frame.astype(numbers).assign(seconds_left=left).astype({"seconds_left": "float64"})


def _status(layer: Place, parts: list[_Part], now: float) -> LayerStatus:
    experiment, replicate, name, checkpoint = layer
    newest = max(parts, key=lambda part: part.written)
    jobs, rate, silences = 0, 0.0, []
    present = [part for part in parts if part.fingerprint == newest.fingerprint]
    for part in present:
        if (part.shares < 1).any() or part.rate:
            alive = now - part.written < SILENT_SECONDS
            jobs += alive
            rate += part.rate * alive
            silences += [] if alive else [now - part.written]
    units, rows = np.unique(np.concatenate([part.units for part in present]), return_inverse=True)
    shares = np.zeros(len(units))
    np.maximum.at(shares, rows, np.concatenate([part.shares for part in present]))
    done = float(shares.sum())
    complete = done >= newest.layer_units
    silent = min(silences) if silences and not jobs and not complete else None
    running = 0 if complete else jobs
    return LayerStatus(experiment, replicate, checkpoint, name, done, newest.layer_units, running, rate, silent)


def _parts(folder: Path, say: Callable[[str], None]) -> Iterator[_Part]:
    for pattern, read in (("*.h5", _complete_part), (".*.progress", _progress_part)):
        for path in sorted(folder.rglob(pattern)):
            try:
                if part := read(path):
                    yield part
            except GoneError:  # complete, or removed, since it was listed
                continue
            except InputError as error:
                say(str(error))


def _complete_part(path: Path) -> _Part | None:
    found = peek_final(path)
    if found is None:
        return None
    attributes, units = found
    count = layer_units_of(attributes, len(units))
    fingerprint = str(attributes.get("fingerprint", ""))
    try:
        written = path.stat().st_mtime
    except FileNotFoundError:
        return None
    return _Part(_layer(attributes), fingerprint, count, units, np.ones(len(units)), 0.0, written)


def _progress_part(path: Path) -> _Part:
    head, cells, clock = read_progress(path)
    try:
        check_names(head.attributes)
    except ValueError as error:
        raise DamagedError(path, "progress", str(error)) from None
    seconds = clock["last_written"] - clock["run_started"]
    since = np.count_nonzero(cells) - clock["cells_at_start"]
    rate = since / cells.shape[1] / seconds if seconds > 0 else 0.0
    return _Part(
        _layer(head.attributes),
        head.fingerprint,
        head.layer_units,
        head.units,
        cells.mean(axis=1),
        rate,
        clock["last_written"],
    )


def _layer(attributes: Any) -> Place:
    experiment, alias, checkpoint = (str(attributes[name]) for name in NAMED)
    return experiment, replicate_of(attributes), alias, checkpoint


def natural_order(*names: object) -> list[tuple[str, int]]:
    """Return a key that sorts names, 2 before 10."""
    return [(text, int(digits or 0)) for name in names for text, digits in re.findall(r"(\D*)(\d*)", str(name))]
