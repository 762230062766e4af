"""What a file is and holds, in lines of text: a network, weights, conditionals, predictions, arrays or a table."""

from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path, PurePosixPath

from featuresharing.data.preprocessing import ImageSize, shape_in_words
from featuresharing.errors import InputError, first_names
from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.networks.formats import format_of
from featuresharing.replicates import network_label

HDF5, ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"

OURS = ("unit", "skipped_mass")
"""Arrays that files of conditionals have."""

DIMENSIONS = ("experiment", "replicate", "checkpoint", "layer", "task")
"""Columns of tables whose values are named."""

MOST_NAMES = 12
"""Values of a column that are named."""

MOST_WEIGHTS = 36
"""Weights that are listed."""

WEIGHTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".tar")
"""Endings of files that may hold weights alone."""


def inspect_file(path: Path, *, image_size: ImageSize | None = None) -> Iterator[str]:
    """Yield lines on what a file is; ``image_size`` is that of a network whose file does not say it (None: 224).

    Raises InputError for a file that is nothing of what this package reads, or that is damaged.
    """
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"{path} {found}; accepted is a file.")
    with path.open("rb") as file:
        start = file.read(len(HDF5))
    if start == HDF5:
        return _results(path)
    if path.suffix.lower() == ".npz" and start.startswith(ZIP):
        return _arrays(path)
    if path.suffix.lower() == ".csv":
        return _table(path)
    try:
        name = format_of(path).NAME
    except InputError:
        if path.suffix.lower() not in WEIGHTS:
            raise
        return _weights(path)
    return _network(path, name, image_size)


def _network(path: Path, name: str, image_size: ImageSize | None) -> Iterator[str]:
    from featuresharing.engine.describing import describe_stored
    from featuresharing.networks.opening import open_network

    stored = open_network(path, image_size=image_size)
    yield f"{path} is a network ({name})"
    yield from (f"note: {note}" for note in stored.notes)
    yield from network_lines(describe_stored(stored))


def network_lines(found: NetworkDescription) -> Iterator[str]:
    """Yield lines on what a network takes, its heads and its layers."""
    yield f"takes: {shape_in_words(found.input_shape)}"
    yield f"tasks: {', '.join(f'{task} ({classes} classes)' for task, classes in found.heads.items())}"
    yield f"parameters: {found.parameters}"
    yield f"multiply-adds of a pass on an image: {found.forward}"
    yield ""
    yield from layer_lines(found)


def layer_lines(found: NetworkDescription) -> Iterator[str]:
    """Yield lines on the layers of a network."""
    yield f"{'layer':40} {'kind':8} {'units':>6} {'of parameters':>13}  variant of a unit"
    for layer in found.layers:
        cost = layer.refused or f"{layer.variant / max(found.forward, 1):.2%} of a pass"
        yield f"{layer.path:40} {layer.kind:8} {layer.units:6} {layer.size:13}  {cost}"


def _weights(path: Path) -> Iterator[str]:
    from featuresharing.networks.weights import read_weights

    found = read_weights(path)
    numbers = sum(value.numel() for value in found.values())
    yield f"{path} holds weights alone: {len(found)} tensors of {numbers} numbers"
    if prefix := common_prefix(found):
        yield f"all names begin with {prefix}, which strip: [{prefix}] takes off"
    yield "a config names them under network.checkpoints, beside the function that builds the network"
    yield ""
    for name, value in list(found.items())[:MOST_WEIGHTS]:
        yield f"{name:60} {list(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if len(found) > MOST_WEIGHTS:
        yield f"and {len(found) - MOST_WEIGHTS} more"


def common_prefix(names: Iterable[str]) -> str:
    """Return the modules with which all names of weights begin, with the dot behind them; "" for none.

    A module of its own is left to each: of a.b.weight and a.b.bias it is a.
    """
    parts = [name.split(".")[:-2] for name in names]
    shared = takewhile(lambda each: len(set(each)) == 1, zip(*parts, strict=False))
    return "".join(f"{first}." for first, *_ in shared)


def _arrays(path: Path) -> Iterator[str]:
    from featuresharing.data.array_files import arrays_in

    yield f"{path} holds arrays, which a config can take as images: {{file: {path}, images: NAME}}"
    for name, (shape, kind) in arrays_in(path).items():
        yield f"{name:40} {list(shape)} {kind}"


def _table(path: Path) -> Iterator[str]:
    """Yield lines on a table of results; raise InputError for one of no kind that this package writes."""
    from featuresharing.data.columns import TABLES, tables_of
    from featuresharing.data.table_files import numbered_rows, read_table

    rows = numbered_rows(path, ())
    head = list(rows[0][1]) if rows else []
    fitting = [table for table in TABLES.values() if table.holds(head)]
    if not fitting:
        kinds = ", ".join(
            dict.fromkeys(table.what for table in TABLES.values() if any("results/" in each for each in table.files))
        )
        found = f"columns {', '.join(head[:8])}" if head else "no row"
        raise InputError(f"{path}: found {found}; accepted is a table of results: {kinds}.")
    table = next((each for each in tables_of(PurePosixPath(path.resolve())) if each in fitting), fitting[0])
    frame = read_table(path, table)
    yield f"{path} holds a {table.what}: {len(frame)} rows, each {table.row}"
    for column in DIMENSIONS:
        if column in frame:
            names = list(dict.fromkeys(name for name in map(str, frame[column]) if name))
            yield f"{column}s: {first_names(names, MOST_NAMES)}"
    yield f"columns: {', '.join(map(str, frame.columns))} (docs/tables.md says what each is)"
    yield "it does not say with which config it was made: config.yaml in its folder of results does"


def _results(path: Path) -> Iterator[str]:
    from featuresharing.data.array_files import arrays_in
    from featuresharing.store import soundness

    names = arrays_in(path)
    if not any(name in OURS or name.startswith("probability_") for name in names):
        return _arrays(path)
    return _conditionals(path) if soundness.is_conditionals(path) else _predictions(path)


def _conditionals(path: Path) -> Iterator[str]:
    from featuresharing.store import read_conditionals

    layer = read_conditionals(path)
    said = layer.attributes
    yield f"{path} holds conditionals: predictions without each of {len(layer.units)} units of a layer"
    size = f" of {said['layer_units']}" if "layer_units" in said else ""
    network = network_label(said["experiment"], layer.replicate)
    yield f"layer {said['alias']} ({said.get('layer')}){size} of {network}, checkpoint {said['checkpoint']}"
    images = layer.image_counts()
    tasks = (f"{task} ({count} classes, {images[task]} images)" for task, count in layer.classes.items())
    yield f"tasks: {', '.join(tasks)}"
    names = ("estimator", "samples", "scale", "tolerance", "seed", "dtype", "engine", "storage")
    yield ", ".join(f"{name} {said[name]}" for name in names if name in said)
    effective, skipped = layer.effective_samples, layer.skipped_mass
    yield f"effective samples: {effective.mean():.3g} on average; skipped mass: {skipped.max():.2g} at most"


def _predictions(path: Path) -> Iterator[str]:
    from featuresharing.networks.predictions import read_predictions

    found = read_predictions(path)
    network = network_label(found.experiment, found.replicate)
    place = f" of {network}, checkpoint {found.checkpoint}" if found.experiment else ""
    yield f"{path} holds predictions{place}"
    right, present = found.right(), found.present()
    for task, probabilities in found.probabilities.items():
        images, hits = int(present[task].sum()), int(right[task].sum())
        yield f"{task}: {images} images, {probabilities.shape[1]} classes, accuracy {hits / max(images, 1):.1%}"
