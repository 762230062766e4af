"""The final file: conditionals of a layer's units, whole and checked, with named dimensions (docs/format.md)."""

import hashlib
import json
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import InputError
from featuresharing.files import replacing
from featuresharing.store.layout import BY_UNIT, CHECKSUMMED, Layout, cut_rows
from featuresharing.version import FORMAT

Rows = Callable[[str, slice], NDArray[Any]]
"""Gives rows of a dataset by its name."""


@dataclass(frozen=True)
class LayerConditionals:
    """What a file holds of one layer at the true classes.

    ``predictions`` float32 [N] and ``conditionals`` float32 [F, N] by task, ``classes`` by task; ``effective_samples``
    and ``skipped_mass`` float64 [F]; ``standard_errors`` float32 [F, N] by task, of the estimator that has them;
    ``attributes`` are the file's.
    """

    units: NDArray[np.int64]
    classes: dict[str, int]
    predictions: dict[str, NDArray[np.float32]]
    conditionals: dict[str, NDArray[np.float32]]
    effective_samples: NDArray[np.float64]
    skipped_mass: NDArray[np.float64]
    standard_errors: dict[str, NDArray[np.float32]]
    attributes: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Contents:
    """All that goes into a final file but its attributes.

    ``classes``, ``targets`` [N] and ``predictions`` ([N], or [N, K] with ``full`` storage) by task; ``by_image`` as of
    :meth:`.Layout.by_image`; ``rows`` gives their rows.
    """

    units: NDArray[np.int64]
    storage: str
    classes: Mapping[str, int]
    targets: Mapping[str, NDArray[np.int64]]
    predictions: Mapping[str, NDArray[np.float32]]
    by_image: Mapping[str, tuple[str | None, tuple[int, ...], str]]
    rows: Rows


def contents_of(layout: Layout, units: NDArray[np.int64], rows: Rows) -> Contents:
    """Return what goes into the file of ``units`` by a layout."""
    everything = slice(0, layout.images)
    return Contents(
        units,
        layout.storage,
        {task.name: task.classes for task in layout.tasks},
        {task.name: task.targets for task in layout.tasks},
        {task.name: layout.kept(task, task.predictions, everything) for task in layout.tasks},
        layout.by_image(),
        rows,
    )


def write_final(output: Path, contents: Contents, attributes: Mapping[str, Any]) -> None:
    """Write a final file some rows at a time, compare it with what was to be written, and give it its name.

    Raises OSError if the disk is full; then nothing has the final name.
    """
    with replacing(output, room=_room_for(contents)) as temporary:
        with h5py.File(temporary, "w", libver=CHECKSUMMED) as file:
            described = {**attributes, "format_version": FORMAT, "storage": contents.storage}
            file.attrs.update(dict(sorted(described.items())))
            digests = dict(_fill(file, contents))
            file.attrs["sha256"] = json.dumps(digests)
        if changed_datasets(temporary):
            raise OSError("the disk does not give back what was written")


def _room_for(contents: Contents) -> int:
    """Return how many bytes a final file will have, or somewhat more."""
    images = len(next(iter(contents.targets.values())))
    total = 2**16 + 16 * len(contents.units) + sum(values.nbytes for values in contents.predictions.values())
    for name, (_, tail, kind) in contents.by_image.items():
        row = np.dtype(kind).itemsize * images * prod(tail)
        blocks = cut_rows(len(contents.units), row)
        sizes = (_packed_size(contents.rows(name, part)) for part in blocks) if tail else (row * len(contents.units),)
        total += sum(sizes)
    return total


def _packed_size(values: NDArray[Any]) -> int:
    """Return how many bytes numbers take when they are compressed, without the shuffling that makes them fewer."""
    return len(zlib.compress(np.ascontiguousarray(values).data, 1))


def changed_datasets(path: Path) -> list[str]:
    """Return the datasets of a final file that are not what was written; all of them if the file does not say."""
    with h5py.File(path, "r", locking=False) as file:
        wanted = json.loads(file.attrs.get("sha256", "{}"))
        names = {*wanted, *file}
        return sorted(name for name in names if name not in file or _digest_dataset(file[name]) != wanted.get(name))


def merge_conditionals(blocks: Sequence[Path], output: Path) -> None:
    """Put files of some units each together to the file of the whole layer.

    Raises InputError unless they are sound, of the same settings, and hold every unit of the layer once.
    """
    with ExitStack() as stack:
        try:
            files = [stack.enter_context(h5py.File(path, "r", locking=False)) for path in blocks]
            first = files[0]
            for path, file in zip(blocks, files, strict=True):
                refuse_other_formats(path, file)
                if changed := changed_datasets(path):
                    raise InputError(f"{path}: {changed[0]} is damaged; accepted are files as they were written.")
                if file.attrs["fingerprint"] != first.attrs["fingerprint"]:
                    raise InputError(f"{path} is of other settings than {blocks[0]}; accepted are blocks of one layer.")
            parts = [(file, row) for file in files for row in range(len(file["unit"]))]
            units = np.concatenate([file["unit"][:] for file in files])
            order = np.argsort(units, kind="stable")
            if units[order].tolist() != list(range(int(first.attrs["layer_units"]))):
                found, wanted = len(set(units.tolist())), int(first.attrs["layer_units"])
                raise InputError(
                    f"{output}: blocks hold {found} of {wanted} units in {len(units)} rows; accepted is each once."
                )
            places = [parts[position] for position in order]

            def rows(name: str, part: slice) -> NDArray[Any]:
                return np.stack([file[name][row] for file, row in places[part]])

            attributes = {name: value for name, value in first.attrs.items() if name != "sha256"}
            write_final(output, _contents_like(first, units[order], rows), attributes)
        except (OSError, KeyError, RuntimeError) as error:
            raise InputError(f"{output} cannot be merged ({error}); accepted are complete files of blocks.") from None


def read_fingerprint(path: Path) -> tuple[str, list[int]] | None:
    """Return the fingerprint and the units of a final file, None if there is none that can be read."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return str(file.attrs["fingerprint"]), file["unit"][:].tolist()
    except (OSError, KeyError, RuntimeError):
        return None


def unit_numbers(
    path: Path, units: Collection[int], names: Sequence[str]
) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    """Yield those of ``units`` that a final file has, each with its row of the datasets called ``names``."""
    with h5py.File(path, "r", locking=False) as file:
        for row, unit in enumerate(file["unit"][:].tolist()):
            if unit in units:
                yield unit, {name: np.asarray(file[name][row]) for name in names}


def refuse_other_formats(path: Path, file: h5py.File) -> None:
    """Raise InputError if a file is of no format that this version reads."""
    found = int(file.attrs.get("format_version", 0))
    if not 1 <= found <= FORMAT:
        raise InputError(f"{path} is of format {found or 'unknown'}; accepted are formats 1 to {FORMAT}.")


def _contents_like(file: h5py.File, units: NDArray[np.int64], rows: Rows) -> Contents:
    tasks = task_names(file)
    by_image = {
        f"{name}_{task}": (task, file[f"{name}_{task}"].shape[2:], "<f4")
        for name in ("conditional", "standard_error")
        for task in tasks
        if f"{name}_{task}" in file
    }
    return Contents(
        units,
        str(file.attrs["storage"]),
        {task: int(file[f"conditional_{task}"].attrs["classes"]) for task in tasks},
        {task: file[f"target_{task}"][:] for task in tasks},
        {task: file[f"prediction_{task}"][:] for task in tasks},
        by_image | ({"error_estimate": (None, (), "<f8")} if "error_estimate" in file else {}),
        rows,
    )


def task_names(file: h5py.File) -> list[str]:
    """Return the tasks of a file in their order."""
    tasks = [name.removeprefix("target_") for name in file if name.startswith("target_")]
    return sorted(tasks, key=list(file.attrs["tasks"]).index)


def _fill(file: h5py.File, contents: Contents) -> Iterator[tuple[str, str]]:
    """Write all datasets; yield the name and the digest of each."""

    def put(name: str, values: NDArray[Any], *axes: str) -> tuple[str, str]:
        return _put(file, name, values.shape, values.dtype, lambda part: values[part], axes)

    full = contents.storage == "full"
    images = len(next(iter(contents.targets.values())))
    yield put("unit", contents.units)
    yield put("image", np.arange(images))
    for task, classes in contents.classes.items():
        axes = ("image", f"class_{task}") if full else ("image",)
        if full:
            yield put(f"class_{task}", np.arange(classes))
        yield put(f"target_{task}", contents.targets[task], "image")
        yield put(f"prediction_{task}", contents.predictions[task], *axes)
    for name in BY_UNIT:
        yield _put(file, name, contents.units.shape, "<f8", _reader(contents.rows, name), ("unit",))
    for name, (of, tail, kind) in contents.by_image.items():
        all_axes = ("unit", "image", *([f"class_{of}"] if tail else []))
        shape = (len(contents.units), images, *tail)
        compression = {"compression": "gzip", "shuffle": True} if tail else {}
        yield _put(file, name, shape, kind, _reader(contents.rows, name), all_axes, **compression)
        if name.startswith("conditional_"):
            file[name].attrs["classes"] = contents.classes[str(of)]


def _reader(rows: Rows, name: str) -> Callable[[slice], NDArray[Any]]:
    return lambda part: rows(name, part)


def _put(
    file: h5py.File,
    name: str,
    shape: tuple[int, ...],
    kind: Any,
    rows: Callable[[slice], NDArray[Any]],
    axes: Sequence[str],
    **options: Any,
) -> tuple[str, str]:
    """Write a dataset some rows at a time; return its name and its digest. Without ``axes`` it is a scale itself."""
    dataset = file.create_dataset(name, shape, kind, **options)
    digest = _begin_digest(dataset)
    for part in _row_blocks(dataset):
        values = np.ascontiguousarray(rows(part), dataset.dtype)
        dataset[part] = values
        digest.update(values)
    if not axes:
        dataset.make_scale(name)
    for axis, scale in enumerate(axes):
        dataset.dims[axis].attach_scale(file[scale])
    return name, digest.hexdigest()


def _digest_dataset(dataset: h5py.Dataset) -> str:
    digest = _begin_digest(dataset)
    for part in _row_blocks(dataset):
        digest.update(np.ascontiguousarray(dataset[part]))
    return str(digest.hexdigest())


def _begin_digest(dataset: h5py.Dataset) -> Any:
    return hashlib.sha256(f"{dataset.shape} {dataset.dtype.str}".encode())


def _row_blocks(dataset: h5py.Dataset) -> list[slice]:
    count = dataset.shape[0]
    return cut_rows(count, dataset.nbytes // max(1, count))


def read_conditionals(path: Path) -> LayerConditionals:
    """Read a layer's file at the true classes; raises InputError if it is missing, damaged or of a newer format."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            refuse_other_formats(path, file)
            tasks = task_names(file)
            return LayerConditionals(
                units=file["unit"][:],
                classes={task: int(file[f"conditional_{task}"].attrs["classes"]) for task in tasks},
                predictions={task: _true_class(file, f"prediction_{task}", task) for task in tasks},
                conditionals={task: _true_class(file, f"conditional_{task}", task) for task in tasks},
                effective_samples=file["effective_samples"][:],
                skipped_mass=file["skipped_mass"][:],
                standard_errors={
                    task: _true_class(file, f"standard_error_{task}", task)
                    for task in tasks
                    if f"standard_error_{task}" in file
                },
                attributes=dict(file.attrs),
            )
    except (OSError, KeyError, RuntimeError) as error:
        raise InputError(f"{path} is no complete file of conditionals ({error}).") from None


def _true_class(file: h5py.File, name: str, task: str) -> NDArray[np.float32]:
    values: NDArray[np.float32] = file[name][:]
    if file.attrs["storage"] != "full":
        return values
    targets = file[f"target_{task}"][:]
    return values[..., np.arange(len(targets)), targets]
