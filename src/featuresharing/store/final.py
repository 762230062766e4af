"""The final file: conditionals of a layer's units, whole and checked, with named dimensions (docs/format.md)."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from featuresharing.arguments import as_path
from featuresharing.errors import InputError
from featuresharing.estimators.result_columns import BY_UNIT
from featuresharing.files.atomic import replacing
from featuresharing.hdf5.blocks import cut_rows
from featuresharing.hdf5.writing import put_rows, write_sealed
from featuresharing.store.layer_files import FinalFile, open_final
from featuresharing.store.layout import Layout
from featuresharing.version import FORMAT

Rows = Callable[[str, slice], NDArray[Any]]
"""Gives rows of a dataset by its name."""


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
        {task.name: np.asarray(task.targets, np.int64) for task in layout.tasks},
        {task.name: np.asarray(layout.kept(task, task.predictions, everything), np.float32) for task in layout.tasks},
        layout.by_image(),
        rows,
    )


def write_final(output: Path, contents: Contents, attributes: Mapping[str, Any]) -> None:
    """Write a final file some rows at a time, compare it with what was to be written, and give it its name.

    Raises OSError if the disk is full; then nothing has the final name.
    """
    described = {**attributes, "storage": contents.storage}
    with replacing(output, room=_room_for(contents)) as temporary:
        write_sealed(temporary, lambda file: _fill(file, contents), described)


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


def merge_conditionals(blocks: Sequence[Path | str], output: Path | str) -> None:
    """Put files of some units each together to the file of the whole layer.

    Raises InputError unless they are sound, of the same settings, and hold every unit of the layer once.

    >>> merge_conditionals(halves, "whole.h5")
    >>> read_conditionals("whole.h5").units.tolist()
    [0, 1, 2, 3, 4, 5, 6, 7, 8]
    """
    paths, output = [as_path("blocks", block) for block in blocks], as_path("output", output)
    if not paths:
        raise InputError(f"{output}: found no blocks; accepted are those of all units of a layer.")
    with ExitStack() as stack:
        files = [stack.enter_context(open_final(path)) for path in paths]
        first = files[0]
        for path, file in zip(paths, files, strict=True):
            if file.fingerprint is None:
                raise InputError(f"{path} is of format 1, without a fingerprint; accepted are formats 2 to {FORMAT}.")
            if (file.fingerprint, file.layer_units) != (first.fingerprint, first.layer_units):
                raise InputError(f"{path} is of other settings than {paths[0]}; accepted are blocks of one layer.")
        places = [(file, row) for file in files for row in range(len(file.units))]
        units = np.concatenate([file.units for file in files])
        order = np.argsort(units, kind="stable")
        if len(units) != first.layer_units or len(set(units.tolist())) < len(units):
            found, wanted = len(set(units.tolist())), first.layer_units
            raise InputError(
                f"{output}: blocks hold {found} of {wanted} units in {len(units)} rows; accepted is each once."
            )
        datasets = [{name: file.dataset(name) for name in (*BY_UNIT, *_by_image(first))} for file in files]
        open_as = {id(file): found for file, found in zip(files, datasets, strict=True)}
        in_order = [places[position] for position in order]

        def rows(name: str, part: slice) -> NDArray[Any]:
            return np.stack([open_as[id(file)][name][row] for file, row in in_order[part]])

        try:
            write_final(output, _contents_like(first, units[order], rows), first.attributes)
        except OSError as error:
            raise InputError(f"{output} cannot be written ({error}); accepted is a disk that is sound.") from None


def _by_image(file: FinalFile) -> dict[str, tuple[str | None, tuple[int, ...], str]]:
    """Return what :meth:`.Layout.by_image` says of the layout that a file was written with."""
    found: dict[str, tuple[str | None, tuple[int, ...], str]] = {}
    for name in ("conditional", *(column.name for column in file.columns if column.per == "class")):
        for task in file.classes:
            dataset = f"{name}_{task}"
            found[dataset] = (task, file.shapes[dataset][2:], file.kinds[dataset])
    return found | {column.name: (None, (), column.kind) for column in file.columns if column.per == "image"}


def _contents_like(file: FinalFile, units: NDArray[np.int64], rows: Rows) -> Contents:
    predictions = {task: file.dataset(f"prediction_{task}")[:] for task in file.classes}
    return Contents(units, file.storage, file.classes, file.targets, predictions, _by_image(file), rows)


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
    written = put_rows(file, name, shape, kind, rows, **options)
    dataset = file[name]
    if not axes:
        dataset.make_scale(name)
    for axis, scale in enumerate(axes):
        dataset.dims[axis].attach_scale(file[scale])
    return written
