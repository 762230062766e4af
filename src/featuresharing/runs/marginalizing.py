"""Marginalize a layer into a file: one process at a time, at the next unit after a kill, and never twice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featuresharing.analysis.conditionals import Marginalization
from featuresharing.engine.memory import SHARE, free_memory
from featuresharing.errors import InputError
from featuresharing.estimators.estimation import Estimation
from featuresharing.files.identity import Identity, key_of_units
from featuresharing.files.records import forget
from featuresharing.files.second_names import keep_second_name
from featuresharing.networks.layers import Units, choose_units, find_layer, unit_count
from featuresharing.networks.predicting import predict
from featuresharing.networks.preparation import choose_precision
from featuresharing.runs.stopping import Stopper, stoppable
from featuresharing.runs.subjects import Network, Subject, subject_of_arrays
from featuresharing.store import (
    LayerConditionals,
    Layout,
    TaskData,
    UnitStore,
    merge_conditionals,
    read_conditionals,
    remove_progress,
)
from featuresharing.store.layer_files import read_fingerprint
from featuresharing.store.relatives import files_with_units
from featuresharing.version import PACKAGE


@dataclass(frozen=True)
class Naming:
    """What a file says of where it is from: names of the ``experiment``, the ``checkpoint`` and the layer."""

    experiment: str
    checkpoint: str
    alias: str


@dataclass(frozen=True)
class Computing:
    """How conditionals are computed: arguments of :func:`marginalize_to_file` that change numbers by rounding at most.

    But for ``dtype`` and ``engine``, which are part of what names the numbers.
    """

    batch_size: int | None = None
    device: str = "cpu"
    dtype: str = "float32"
    memory: int | None = None
    engine: str = "one-channel"


def marginalize_to_file(
    network: Network,
    layer: str,
    images: NDArray[Any] | Tensor,
    targets: Any,
    output: Path | str,
    *,
    estimator: str = "prior-weighted",
    samples: int = 100,
    scale: float = 1.0,
    tolerance: float = 1e-6,
    seed: int = 0,
    softmax: bool = True,
    units: Units | None = None,
    aliases: Mapping[str, str] | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    dtype: str | None = None,
    memory: int | None = None,
    engine: str = "one-channel",
    storage: str = "true-class",
    experiment: str = "",
    checkpoint: str = "",
    reuse: Sequence[Path | str] = (),
    wait: float = 0.0,
    progress: bool = False,
    say: Callable[[str], None] = print,
) -> LayerConditionals:
    """Marginalize units of one layer into the HDF5 file ``output``, and return what :func:`read_conditionals` reads.

    Whatever ends the process, the same call goes on at the next unit, and gives the same bits. A file that is there
    with these settings is returned as it is. What is done so far lies in a hidden file beside ``output``. It is of this
    network (a ``torch.nn.Module``, by the digest of its modules, parameters and buffers; or the file of one, by that of
    the file), these images and targets, and these settings; with others, a file of its own is begun.

    ``targets`` are the true classes: a dict with an array [images] for each task, a list of such arrays, one an output,
    or an array [images, tasks]. ``storage`` is ``true-class``, or ``full`` to keep every class. ``softmax=False`` keeps
    raw scores, of lesions only. ``experiment`` and ``checkpoint`` are names for tables and figures. Units that are
    there in the files and folders ``reuse`` are taken over. While another process computes the same file, this one
    waits up to ``wait`` seconds. ``say`` is told what is there already, and what was damaged. Other arguments are those
    of :func:`featuresharing.marginalize`.

    Raises InputError as that function does, and if the file cannot be written. On Ctrl-C it raises KeyboardInterrupt,
    which says how many units are kept; in the main thread SIGTERM, unless it is handled elsewhere, raises StoppedError.
    """
    output, device = Path(output), str(device)
    estimation = Estimation(estimator, samples, scale, tolerance, seed)
    subject = subject_of_arrays(network, images, targets, device=device)
    kind = str(choose_precision(subject.network, dtype)).removeprefix("torch.")
    stem = "" if isinstance(network, torch.nn.Module) else Path(network).stem
    marginalize_subject(
        subject,
        layer,
        output,
        estimation,
        softmax=softmax,
        units=units,
        aliases=aliases,
        computing=Computing(batch_size, device, kind, memory, engine),
        storage=storage,
        naming=Naming(experiment, checkpoint or stem, layer),
        reuse=[Path(path) for path in reuse],
        wait=wait,
        progress=progress,
        say=say,
    )
    return read_conditionals(output)


def marginalize_subject(
    subject: Subject,
    layer: str,
    output: Path,
    estimation: Estimation,
    *,
    softmax: bool = True,
    units: Units | None = None,
    aliases: Mapping[str, str] | None = None,
    computing: Computing,
    storage: str = "true-class",
    naming: Naming,
    reuse: Sequence[Path] = (),
    wait: float = 0.0,
    progress: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Do what :func:`marginalize_to_file` does with a subject that is there, and return nothing."""
    path, module = find_layer(subject.network, layer, aliases)
    chosen = _distinct(choose_units(module, layer, units), layer)
    if not softmax and estimation.estimator != "lesion":
        raise InputError("softmax: found false; false needs the estimator lesion.")
    settings = _identity(subject, path, estimation, softmax, computing).values
    store = UnitStore(
        output,
        _layout(subject, estimation, softmax, storage, computing),
        units=chosen,
        layer_units=unit_count(module),
        settings=settings,
        attributes=settings | _attributes(subject, naming, computing),
        relatives=files_with_units(reuse),
        wait=wait,
        say=say,
    )

    def start(memory: int) -> Marginalization:
        given = asdict(computing) | {"memory": memory}
        images, named = subject.read(), {"units": chosen, "aliases": aliases, "softmax": softmax}
        return Marginalization(subject.network, layer, images, estimation, **named, **given)

    with stoppable(lambda: _kept(store)) as stopper, store:
        _fill(store, start, computing, stopper, progress, say)


def merge_blocks(blocks: Sequence[Path], output: Path) -> None:
    """Put files of some units each together to that of the layer, and remove what is left of their progress.

    That is looked for beside the output and in the folders of the blocks, whose records go: so will they. Raises
    InputError as :func:`featuresharing.merge_conditionals` does.
    """
    merge_conditionals(blocks, output)
    if merged := read_fingerprint(output):
        remove_progress(files_with_units([output, *{block.parent for block in blocks}]), *merged)
        keep_second_name(output, key_of_units(*merged))
    for block in blocks:
        forget(block)


def _distinct(units: list[int], layer: str) -> list[int]:
    double = next((unit for unit in units if units.count(unit) > 1), None)
    if double is not None or not units:
        found = "none" if double is None else f"{double} twice"
        raise InputError(f"units of layer '{layer}': found {found}; accepted is each once, and one at least.")
    return units


def _identity(
    subject: Subject, path: str, estimation: Estimation, softmax: bool, computing: Computing
) -> Identity:
    """Return what the numbers depend on, beside the true classes and what is kept of each unit."""
    lesion = estimation.estimator == "lesion"
    values = {"estimator": "lesion", "softmax": softmax} if lesion else asdict(estimation)
    values |= {"dtype": computing.dtype, "engine": computing.engine, "layer": path}
    values |= {"network_sha256": subject.network_sha256, "images_sha256": subject.images_sha256}
    return Identity("marginalization", values)


def _attributes(subject: Subject, naming: Naming, computing: Computing) -> dict[str, Any]:
    return {
        **asdict(naming),
        "step": subject.step,
        "tasks": list(subject.classes),
        "code_version": PACKAGE,
        "device": computing.device.partition(":")[0],
        "threads": torch.get_num_threads(),
    }


def _layout(subject: Subject, estimation: Estimation, softmax: bool, storage: str, computing: Computing) -> Layout:
    """Return the tasks with the predictions of the intact network, and what is kept of each unit."""
    _, predictions = predict(
        subject.network,
        subject.read(),
        batch_size=computing.batch_size,
        device=computing.device,
        softmax=softmax,
        dtype=computing.dtype,
    )
    tasks = [
        TaskData(name, count, targets, values.astype(np.float32, copy=False))
        for (name, count), targets, values in zip(
            subject.classes.items(), subject.targets.T, predictions, strict=True
        )
    ]
    errors = {"monte-carlo": "standard_error", "quadrature": "error_estimate"}.get(estimation.estimator, "none")
    return Layout(tasks, storage, errors, softmax)


def _kept(store: UnitStore) -> str:
    return f"{store.units_done()} of {len(store.units)} units are done and kept" if store.has_begun else ""


def _fill(
    store: UnitStore,
    start: Callable[[int], Marginalization],
    computing: Computing,
    stopper: Stopper,
    progress: bool,
    say: Callable[[str], None],
) -> None:
    """Compute what is missing in a store and finish it."""
    count = len(store.units)
    if store.is_complete() or store.put_back():
        say(f"{store.output} is there already, with all {count} units.")
        store.clear()
        return
    # with the memory of an interrupted run, batches and with them all bits are those of that run
    given = None if computing.device.startswith("cuda") else computing.memory
    memory = int(SHARE * free_memory(computing.device)) if given is None else given
    memory = min(memory, store.recorded().get("memory", memory))
    run = start(memory)
    store.begin(step=run.step, conditions={"memory": memory})
    if done := store.units_done():
        say(f"{done} of {count} units are there already.")
    for piece in run.pieces(step=store.step, done=store.is_done, progress=progress):
        with stopper.deferred():
            store.write(
                piece.rows,
                piece.images,
                piece.probabilities,
                effective_samples=piece.effective_samples,
                skipped_mass=piece.skipped_mass,
                standard_error=piece.standard_error,
                error_estimate=piece.error_estimate,
            )
    with stopper.deferred():
        store.finish()
