"""The unit store: conditionals of some units of a layer on their way to a final file, resumed wherever they stopped."""

import errno
import glob
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import DiskFullError, InputError
from featuresharing.files.identity import differing_names, key_of_units
from featuresharing.files.locks import holding
from featuresharing.files.records import ChangedError
from featuresharing.files.second_names import give_name, keep_second_name, second_name
from featuresharing.hdf5 import DamagedError, GoneError
from featuresharing.store.final import contents_of, write_final
from featuresharing.store.layer_files import read_fingerprint
from featuresharing.store.layout import Layout, wrong_numbers
from featuresharing.store.progress_file import Head, ProgressFile, create_progress, read_head, read_progress
from featuresharing.store.relatives import remove_progress, take_over
from featuresharing.version import FORMAT

SYNC_SECONDS = 2.0
"""At most this much work is lost when power fails; a kill loses what is being computed alone."""


class UnitStore:
    """Conditionals of ``units`` on their way to ``output``; a context manager that holds the output's lock.

    ``settings`` is everything that the numbers depend on: progress of other settings is kept, but not continued.
    ``attributes`` describe the file; ``layer_units`` is how many units the layer has. What is there of its
    units in ``relatives`` is taken over: final and progress files of the same settings, cut in other ways.
    While another process computes the same output, this one waits up to ``wait`` seconds. ``say`` is told whatever a
    user should know.

    Raises InputError if the folder is not writable, the disk full, the output locked or its progress of a newer format.
    """

    def __init__(
        self,
        output: Path,
        layout: Layout,
        *,
        units: Sequence[int],
        layer_units: int,
        settings: Mapping[str, Any],
        attributes: Mapping[str, Any],
        relatives: Sequence[Path] = (),
        wait: float = 0.0,
        say: Callable[[str], None] = print,
    ) -> None:
        self.output, self.layout, self.units = output, layout, list(units)
        self._layer_units, self._settings, self._attributes = layer_units, dict(settings), dict(attributes)
        self._relatives, self._wait, self.say = list(relatives), wait, say
        self.fingerprint = layout.fingerprint(settings)
        self._done = second_name(output, key_of_units(self.fingerprint, self.units))
        self._path = self._done.with_suffix(".progress")
        self._held = ExitStack()
        self._file: ProgressFile | None = None
        self._begun = False

    def __enter__(self) -> "UnitStore":
        with ExitStack() as stack:
            stack.enter_context(holding(self.output, wait=self._wait, say=self.say))
            self._inspect()
            self._held = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self._file:
                with self._said_if_full():
                    self._file.sync()
                self._file.close()
        finally:
            self._held.close()

    def is_complete(self) -> bool:
        """Return whether the output is there already, as it was written, with these settings and units.

        If it is damaged, :meth:`put_back` or :meth:`finish` replaces it. Raises InputError if it is of a newer format.
        """
        try:
            return read_fingerprint(self.output) == (self.fingerprint, self.units)
        except GoneError:
            return False
        except (DamagedError, ChangedError) as error:
            self.say(f"{error} It is replaced.")
            return False

    def put_back(self) -> bool:
        """Give a file that was complete its name again if it was removed since; return whether there was one.

        Snakemake removes the outputs of a job that is stopped in its last moments. Raises InputError if something else
        has the name.
        """
        try:
            if read_fingerprint(self._done) != (self.fingerprint, self.units):
                return False
        except DamagedError:
            return False
        give_name(self.output, self._done)
        return True

    def recorded(self) -> dict[str, Any]:
        """Return the conditions that :meth:`begin` made the progress file with; nothing without one."""
        try:
            return dict(read_head(self._path).conditions)
        except DamagedError:
            return {}

    def begin(self, *, step: int, conditions: Mapping[str, Any]) -> None:
        """Open or make the progress file; from now on pieces can be written, of ``step`` images (if it is made)."""
        with self._said_if_full():
            self._file = self._resume(step, conditions)
            self._begun = True
            for path in self._relatives:
                take_over(self._file, path, self.say)
            self._file.start_clock()
            self._synced = time.monotonic()

    @property
    def has_begun(self) -> bool:
        """Whether work on the units has begun."""
        return self._begun

    @property
    def step(self) -> int:
        """How many images a piece has."""
        return self._open.head.step

    def units_done(self) -> int:
        """Return how many units are there on all images."""
        if self._file is None:
            return len(self.units) if self.is_complete() else 0
        return int((self._open.checksums != 0).all(axis=1).sum())

    def is_done(self, rows: slice, images: slice) -> bool:
        """Return whether the units at ``rows`` are there on a piece's ``images``."""
        return bool((self._open.checksums[rows, images.start // self.step] != 0).all())

    def write(
        self,
        rows: slice,
        images: slice,
        conditionals: Sequence[NDArray[Any]],
        columns: Mapping[str, Any],
    ) -> None:
        """Store the units at ``rows`` on a piece's ``images``; ``columns`` as in :class:`featuresharing.Conditionals`.

        Raises InputError for conditionals that are no probabilities, and for a disk that is full.
        """
        by_class = {"conditional": conditionals}
        by_class |= {column.name: columns[column.name] for column in self.layout.columns if column.per == "class"}
        values = {column.name: columns[column.name] for column in self.layout.columns if column.per != "class"}
        for name, arrays in by_class.items():
            for task, array in zip(self.layout.tasks, arrays, strict=True):
                values[f"{name}_{task.name}"] = self.layout.kept(task, array, images)
        self._refuse_wrong(rows, images, values)
        with self._said_if_full():
            self._open.write(rows, images.start // self.step, values)
            self._open.keep_time()
            if time.monotonic() - self._synced > SYNC_SECONDS:
                self._open.sync()
                self._synced = time.monotonic()

    def finish(self) -> None:
        """Write the final file, check it, give it its name, and remove the progress.

        A second, hidden name of the file (no copy) is left for :meth:`put_back`. Raises InputError if the disk is full.
        """
        done = self.units_done()
        if done < len(self.units):
            raise ValueError(f"{self.output}: {len(self.units) - done} units are missing")
        file = self._open
        described = {
            **self._attributes,
            "fingerprint": self.fingerprint,
            "settings": json.dumps(self._settings, sort_keys=True),
            "layer_units": self._layer_units,
        }
        contents = contents_of(self.layout, np.array(self.units, np.int64), file.read)
        with self._said_if_full():
            write_final(self.output, contents, described)
        keep_second_name(self.output, key_of_units(self.fingerprint, self.units))
        self.clear()
        remove_progress(self._relatives, self.fingerprint, self.units)

    def clear(self) -> None:
        """Remove the progress file: its output is there."""
        if self._file:
            self._file.close()
            self._file = None
        self._path.unlink(missing_ok=True)

    def _refuse_wrong(self, rows: slice, images: slice, values: Mapping[str, NDArray[Any]]) -> None:
        """Raise InputError for numbers that no reader would accept, naming the first unit that has one."""
        softmax = self.layout.softmax
        for name, numbers in values.items():
            missing = self.layout.missing(name, images)
            if not wrong_numbers(name, numbers, softmax=softmax, missing=missing):
                continue
            each = (wrong_numbers(name, own, softmax=softmax, missing=missing) for own in numbers)
            unit, reason = next(found for found in zip(self.units[rows], each, strict=True) if found[1])
            if name.startswith("conditional_"):
                task = name.removeprefix("conditional_")
                wrong = "conditionals outside [0, 1]" if softmax else "scores that are not finite"
                reason = f"task '{task}' has {wrong}"
            raise InputError(
                f"{self.output}: {reason} without unit {unit}; accepted is a network whose predictions are finite."
            )

    @property
    def _open(self) -> ProgressFile:
        assert self._file is not None, "begin() comes first"
        return self._file

    def _inspect(self) -> None:
        """Refuse progress of a newer format; say what is kept of other settings."""
        for path in sorted(self.output.parent.glob(f".{glob.escape(self.output.name)}.*.progress")):
            try:
                head, cells, _ = read_progress(path)
            except DamagedError:
                continue
            if path != self._path:
                done = int(cells.all(axis=1).sum())
                changed = _differences(head.settings, self._settings) or "other images, units or storage"
                self.say(f"{path} has {done} of {len(cells)} units of other settings ({changed}): it is kept.")

    def _resume(self, step: int, conditions: Mapping[str, Any]) -> ProgressFile:
        head = Head(
            FORMAT,
            self.fingerprint,
            self._settings,
            self._attributes,
            conditions,
            list(self.layout.by_image()),
            self.layout.images,
            step,
            self._layer_units,
            np.array(self.units, np.int64),
        )
        if not self._path.exists():
            create_progress(self._path, self.layout, head)
            return ProgressFile(self._path)
        try:
            file = ProgressFile(self._path)
            if (file.head.fingerprint, file.head.units.tolist()) != (self.fingerprint, self.units):
                raise DamagedError(self._path, "progress", "it is of other settings than its name says")
        except DamagedError as error:
            file = self._rebuild(head)
            sound = int((file.checksums != 0).all(axis=1).sum())
            kept = f"{sound} of {len(self.units)} units were sound and are kept, the others are computed again"
            self.say(f"{self._path} was damaged ({error.reason}): {kept}.")
            return file
        damaged = file.damaged()
        if damaged.any():
            units = int(damaged.any(axis=1).sum())
            self.say(f"{self._path} was damaged in {units} units, which are computed again.")
            file.forget(damaged)
        return file

    def _rebuild(self, head: Head) -> ProgressFile:
        """Make the progress file anew from what is sound in the damaged one."""
        rescue = self._path.with_suffix(".rescue")
        create_progress(rescue, self.layout, head)
        file = ProgressFile(rescue)
        file.take_bytes_of(self._path)
        file.forget(file.damaged())
        file.sync()
        rescue.replace(self._path)
        return file

    @contextmanager
    def _said_if_full(self) -> Iterator[None]:
        """Turn errors of the disk into one sentence."""
        try:
            yield
        except (OSError, DiskFullError) as error:
            full = isinstance(error, DiskFullError) or error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = "no space is left on the disk" if full else str(error)
            kept = f" What is done is kept in {self._path}, and the same command goes on there." if self._file else ""
            raise InputError(
                f"{self.output} cannot be written: {reason}; accepted is a disk with room.{kept}"
            ) from None


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = differing_names(found, wanted)
    return ", ".join(f"{name} {_short(found.get(name))} instead of {_short(wanted.get(name))}" for name in names)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 12 else f"{text[:8]}..."
