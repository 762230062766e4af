"""Marginalize a layer into a file: one process at a time, at the next unit after a kill, and never twice."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featuresharing.analysis.conditionals import Marginalization
from featuresharing.arguments import as_path
from featuresharing.computation import Computation, ComputationSettings, computation_of
from featuresharing.engine.memory import SHARE
from featuresharing.errors import InputError
from featuresharing.estimators.estimation import Estimation
from featuresharing.estimators.registry import estimator_names, find_estimator
from featuresharing.files.atomic import check_place
from featuresharing.files.identity import Identity
from featuresharing.hdf5.attributes import replicate_attribute
from featuresharing.networks.free_memory import free_memory
from featuresharing.networks.layers import Units
from featuresharing.networks.predicting import predict_prepared
from featuresharing.networks.preparation import Prepared, choose_precision, prepare
from featuresharing.runs.stopping import Say, Stopper, stoppable
from featuresharing.runs.subjects import (
    ChosenLayer,
    Network,
    Origin,
    Subject,
    check_origin,
    choose_layer,
    origin_of,
    subject_of_arrays,
)
from featuresharing.settings import Config, EvidenceSettings, LesionSettings, MarginalizationSettings
from featuresharing.store import (
    LayerConditionals,
    Layout,
    TaskData,
    UnitStore,
    read_conditionals,
)
from featuresharing.store.relatives import files_with_units
from featuresharing.version import PACKAGE


@dataclass(frozen=True)
class Method:
    """How a layer is marginalized and what is kept: ``softmax`` false keeps raw scores, of lesions only.

    Raises InputError for raw scores of an estimator that has none.
    """

    estimation: Estimation
    computation: Computation
    softmax: bool = LesionSettings.softmax
    storage: str = MarginalizationSettings.storage

    def __post_init__(self) -> None:
        if not self.softmax and not self.estimation.make().raw_scores:
            having = [f"'{name}'" for name in estimator_names() if find_estimator(name).raw_scores]
            raise InputError(f"softmax: found false; accepted is true, but for the estimator {' or '.join(having)}.")

    def identity(self, subject: Subject, path: str) -> Identity:
        """Return what the numbers depend on, beside the true classes and what is kept of each unit."""
        estimator = self.estimation.make()
        values = estimator.recorded() | ({"softmax": self.softmax} if estimator.raw_scores else {})
        values |= {"dtype": self.computation.dtype, "engine": self.computation.engine, "layer": path}
        # it once set a layer's own parameters where the network computes its filters of them
        values |= {"filters": "effective"} if self.computation.engine != Computation.engine else {}
        values |= {"network_sha256": subject.network_sha256, "images_sha256": subject.images_sha256}
        return Identity("marginalization", values)


def marginalize_to_file(
    network: Network,
    layer: str,
    images: NDArray[Any] | Tensor | Iterable[Any],
    targets: Any,
    output: Path | str,
    *,
    estimator: str = MarginalizationSettings.estimator,
    samples: int = MarginalizationSettings.samples,
    scale: float = MarginalizationSettings.scale,
    tolerance: float = MarginalizationSettings.tolerance,
    seed: int = Config.seed,
    tolerance_bits: float | None = MarginalizationSettings.tolerance_bits,
    laplace: str = EvidenceSettings.laplace,
    softmax: bool = LesionSettings.softmax,
    units: Units | None = None,
    inputs: Mapping[str, Any] | None = None,
    aliases: Mapping[str, str] | None = None,
    storage: str = MarginalizationSettings.storage,
    origin: Origin | None = None,
    wait: float = 0.0,
    progress: bool = False,
    say: Say = print,
    **settings: Unpack[ComputationSettings],
) -> LayerConditionals:
    """Marginalize units of one layer into the HDF5 file ``output``, and return what :func:`read_conditionals` reads.

    Whatever ends the process, the same call goes on at the next unit, to the same bits; what is done lies in a hidden
    file beside ``output``. If that is there with these settings, it is read. It is of the network (a torch.nn.Module by
    :func:`.digest_of_network`, or a file by its content), of images and targets, and of all that numbers depend on.

    ``targets`` are true classes: a dict with an array [images] for each task, a list of such arrays, or an array
    [images, tasks]; -1, None or a mask where an image is not of a task, whose numbers are NaN there. ``softmax`` false
    keeps raw scores, of lesions only; ``storage`` is ``true-class`` or ``full``; ``tolerance_bits`` is about the
    evidence for the classes that are stored. While another process computes the
    same file, this one waits up to ``wait`` seconds. ``say`` is told what is there already. All else is as in
    :func:`featuresharing.marginalize`. Raises InputError as that does, and if ``output`` cannot be written;
    KeyboardInterrupt, and at SIGTERM StoppedError, say how many units are kept.

    >>> found = marginalize_to_file(network, "hidden", images, targets, "hidden.h5", samples=20)
    >>> found.units.tolist(), found.conditionals["word"].shape
    ([0, 1, 2, 3, 4, 5], (6, 7))
    >>> again = marginalize_to_file(network, "hidden", images, targets, "hidden.h5", samples=20)
    hidden.h5 is there already, with all 6 units.
    """
    path = as_path("output", output)
    given = computation_of(settings, marginalize_to_file)
    subject = subject_of_arrays(network, images, targets, inputs=inputs, device=given.device)
    computation = replace(given, dtype=str(choose_precision(subject.network, given.dtype)).removeprefix("torch."))
    estimation = Estimation(estimator, samples, scale, tolerance, seed, tolerance_bits, laplace)
    method = Method(estimation, computation, softmax, storage)
    chosen = choose_layer(subject.network, layer, units, aliases)
    named = origin_of(network) if origin is None else check_origin(origin)
    marginalize_subject(subject, chosen, path, method, named, wait=wait, progress=progress, say=say)
    return read_conditionals(path)


def marginalize_subject(
    subject: Subject,
    layer: ChosenLayer,
    output: Path,
    method: Method,
    origin: Origin,
    *,
    reuse: Sequence[Path] = (),
    wait: float = 0.0,
    progress: bool = False,
    say: Say = print,
) -> None:
    """Do what :func:`marginalize_to_file` does, and take over units that files and folders ``reuse`` have of them.

    That are final files, which need not be there, the progress beside them, and that of folders. Raises InputError for
    a unit that is named twice, or none.
    """
    check_place(output)
    double = next((unit for unit in layer.units if layer.units.count(unit) > 1), None)
    if double is not None or not layer.units:
        found = "none" if double is None else f"{double} twice"
        raise InputError(f"units of layer '{layer.name}': found {found}; accepted is each once, and one at least.")
    settings = method.identity(subject, layer.path).values
    ready = prepare(subject.network, subject.images, method.computation, inputs=subject.inputs, softmax=method.softmax)
    store = UnitStore(
        output,
        _layout(subject, method, ready),
        units=layer.units,
        layer_units=layer.size,
        settings=settings,
        attributes=settings | _attributes(subject, layer, method, origin),
        relatives=files_with_units(reuse),
        wait=wait,
        say=say,
    )
    with stoppable(lambda: _kept(store)) as stopper, store:
        if store.is_complete() or store.put_back():
            say(f"{output} is there already, with all {len(layer.units)} units.")
            store.clear()
            return
        _fill(store, subject, layer, method, ready, stopper, progress=progress)


def _attributes(subject: Subject, layer: ChosenLayer, method: Method, origin: Origin) -> dict[str, Any]:
    return {
        "alias": layer.name,
        "experiment": origin.experiment,
        "checkpoint": origin.checkpoint,
        **replicate_attribute(origin.replicate),
        "step": subject.step,
        "tasks": list(subject.classes),
        "code_version": PACKAGE,
        "device": method.computation.device.partition(":")[0],
        "threads": torch.get_num_threads(),
    }


def _layout(subject: Subject, method: Method, ready: Prepared) -> Layout:
    """Return the tasks with the predictions of the intact network, and what is kept of each unit."""
    predictions = predict_prepared(ready, batch_size=method.computation.batch_size, softmax=method.softmax)
    each = zip(subject.classes.items(), subject.targets.T, predictions, strict=True)
    tasks = [
        TaskData(name, count, targets, values.astype(np.float32, copy=False)) for (name, count), targets, values in each
    ]
    return Layout(tasks, method.storage, method.estimation.make().gives(), method.softmax)


def _kept(store: UnitStore) -> str:
    return f"{store.units_done()} of {len(store.units)} units are done and kept" if store.has_begun else ""


def _fill(
    store: UnitStore,
    subject: Subject,
    layer: ChosenLayer,
    method: Method,
    ready: Prepared,
    stopper: Stopper,
    *,
    progress: bool,
) -> None:
    """Compute what is missing in a store, and finish it."""
    given = method.computation
    # with the memory of an interrupted run, batches and with them all bits are those of that run
    memory = int(SHARE * free_memory(given.device)) if given.memory is None else given.memory
    memory = min(memory, store.recorded().get("memory", memory))
    run = Marginalization(
        subject.network,
        layer.name,
        subject.images,
        method.estimation,
        softmax=method.softmax,
        units=layer.units,
        inputs=subject.inputs,
        aliases={layer.name: layer.path},
        ready=ready,
        targets=None if method.storage == "full" else subject.targets,
        **asdict(given) | {"memory": memory},
    )
    store.begin(step=run.step, conditions={"memory": memory})
    if done := store.units_done():
        store.say(f"{done} of {len(store.units)} units are there already.")
    for piece in run.pieces(step=store.step, done=store.is_done, progress=progress):
        with stopper.deferred():
            store.write(piece.rows, piece.images, piece.probabilities, piece.columns)
    with stopper.deferred():
        store.finish()
