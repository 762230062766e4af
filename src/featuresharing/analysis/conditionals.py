"""The loop over units: how would the predictions look if a unit's parameters were unknown?

An estimator (:mod:`featuresharing.estimators`) computes conditionals in pieces, by what an engine
(:mod:`featuresharing.engine`) says of the network; this module chooses both, checks that they fit the layer, and puts
the pieces together.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.computation import Computation, ComputationSettings, computation_of
from featuresharing.engine.engines import ENGINES, check_engine, engine_of
from featuresharing.engine.protocol import Engine
from featuresharing.errors import InputError
from featuresharing.estimators.estimation import Estimation
from featuresharing.estimators.estimator import Estimator
from featuresharing.estimators.labelled_arrays import IMAGE, UNIT, class_axis, column_variables, dataset_of
from featuresharing.estimators.pieces import Array, Done, LayerUnits, Piece
from featuresharing.estimators.result_columns import ALWAYS, Column, Columned
from featuresharing.networks.layers import Units, choose_units, find_layer
from featuresharing.networks.preparation import Prepared, prepare
from featuresharing.progress_bar import progress_bar
from featuresharing.settings import Config, EvidenceSettings, MarginalizationSettings

if TYPE_CHECKING:
    from xarray import Dataset


@dataclass(frozen=True, eq=False)
class Conditionals(Columned):
    """Conditionals of a layer: iterate over it, or unpack it, for one [units, images, classes] a task.

    ``probabilities`` are float32, or float64 for networks in float64. ``tasks`` names them in the order of the
    network's outputs, ``units`` int64 [units] their first axis. ``columns`` are what the estimator adds to them, by
    name: ``effective_samples`` and ``skipped_mass`` always, ``standard_error`` and ``error_estimate`` of estimators
    that give them.

    >>> conditionals = marginalize(network, "hidden", images)
    >>> word, basic = conditionals
    >>> word.shape, conditionals.tasks, conditionals.units.tolist()
    ((6, 7, 3), ('word', 'basic'), [0, 1, 2, 3, 4, 5])
    >>> bool(conditionals.effective_samples.min() >= 1)
    True
    """

    probabilities: tuple[Array, ...]
    tasks: tuple[str, ...]
    units: NDArray[np.int64]
    columns: Mapping[str, Any]

    def __iter__(self) -> Iterator[Array]:
        return iter(self.probabilities)

    def to_xarray(
        self, *, images: Sequence[Any] | None = None, classes: Mapping[str, Sequence[Any]] | None = None
    ) -> "Dataset":
        """Return a Dataset of xarray: ``conditional_{task}`` [unit, image, class_{task}], and the columns by name.

        ``images`` are names of the images, ``classes`` those of the classes by task (None: numbers). Raises InputError
        where xarray is not installed, and for names of another number.

        >>> found = marginalize(network, "hidden", images).to_xarray(classes={"word": ["ice", "jam", "map"]})
        >>> found["conditional_word"].sel(unit=3, image=0, class_word="jam").dims
        ()
        """
        given = {class_axis(task): names for task, names in (classes or {}).items()}
        if unknown := next((task for task in classes or {} if task not in self.tasks), None):
            raise InputError(f"classes: found task '{unknown}'; accepted are {', '.join(self.tasks)}.")
        numbered = {class_axis(task): range(values.shape[2]) for task, values in zip(self.tasks, self, strict=True)}
        count = self.probabilities[0].shape[1]
        coordinates = {UNIT: self.units, IMAGE: range(count) if images is None else images, **numbered, **given}
        scores = {
            f"conditional_{task}": ((UNIT, IMAGE, class_axis(task)), values)
            for task, values in zip(self.tasks, self, strict=True)
        }
        variables = scores | column_variables(self.columns, self.tasks)
        return dataset_of(variables, coordinates=coordinates, attributes={"tasks": list(self.tasks)})


def marginalize(
    network: nn.Module,
    layer: str,
    images: NDArray[Any] | Tensor | Iterable[Any],
    *,
    estimator: str = MarginalizationSettings.estimator,
    samples: int = MarginalizationSettings.samples,
    scale: float = MarginalizationSettings.scale,
    tolerance: float = MarginalizationSettings.tolerance,
    seed: int = Config.seed,
    tolerance_bits: float | None = MarginalizationSettings.tolerance_bits,
    laplace: str = EvidenceSettings.laplace,
    units: Units | None = None,
    inputs: Mapping[str, Any] | None = None,
    progress: bool = False,
    aliases: Mapping[str, str] | None = None,
    **computation: Unpack[ComputationSettings],
) -> Conditionals:
    """Marginalize units of one layer out of a network, one at a time.

    ``images`` [N, ...] is one array or tensor of what the network takes, or a DataLoader or another iterable of batches
    of it, alone or in tuples with labels, which are ignored; integers (tokens) stay integers. The network returns raw
    class scores [N, classes], two classes or more: a tensor, or any nesting of tuples, lists, dicts, named tuples and
    dataclasses of tensors, one a task; None in them is left out, and whatever a ModelOutput of Hugging Face holds
    beside logits. Tasks have the names of keys and fields, or count from "0", and names within names are joined by
    dots.

    ``layer`` is a module path, or one of ``aliases``; of DataParallel and torch.compile it is that of the network
    inside. ``scale`` is the prior's standard deviation; ``tolerance`` is the largest total weight of draws left out for
    each unit (``prior-weighted``, ``published``), or the largest estimated error (``quadrature``). ``tolerance_bits``
    takes its place: the largest error of the evidence for any class after the correction ``laplace``. ``units`` are
    numbers, or a mask with a bool for every unit (None: all); their parameters are those of docs/engine.md.

    ``inputs`` are other arguments of the forward pass by name, such as ``{"attention_mask": mask}``, which do not
    change: an array or tensor whose first dimension is that of the images has a row for each of them; anything else is
    passed on as it is. None: there are none.

    ``computation`` are ``device``, ``dtype``, ``memory``, ``batch_size`` and ``engine``
    (:class:`featuresharing.computation.Computation`). ``dtype`` is float32 or float64 (None: float64 for networks in
    float64, and float32 for all others, those of half precision included: :func:`featuresharing.predict` computes
    likewise). ``memory`` bounds the working set in bytes (None: half of what is free), ``batch_size`` the images in one
    pass; both change numbers by rounding only (under 1e-6). ``engine`` is ``one-channel``, or ``plain`` to run the
    whole network for every draw. The network's parameters, buffers and mode are never changed.

    Raises InputError for an unknown layer, unit or name; for parameters, images or outputs that are not finite; for a
    network whose scores depend on chance or on the other images of a batch; and for one that cannot be traced.

    >>> word, basic = marginalize(network, "hidden", images, samples=20)
    >>> word.shape, basic.shape, word.dtype
    ((6, 7, 3), (6, 7, 2), dtype('float32'))
    >>> bool((abs(word.sum(axis=2) - 1) < 1e-5).all())
    True
    """
    computation_of(computation, marginalize)
    estimation = Estimation(estimator, samples, scale, tolerance, seed, tolerance_bits, laplace)
    run = Marginalization(
        network, layer, images, estimation, units=units, inputs=inputs, aliases=aliases, **computation
    )
    return run.collect(progress=progress)


def marginalize_layers(
    network: nn.Module,
    layers: Sequence[str],
    images: NDArray[Any] | Tensor | Iterable[Any],
    *,
    estimator: str = MarginalizationSettings.estimator,
    samples: int = MarginalizationSettings.samples,
    scale: float = MarginalizationSettings.scale,
    tolerance: float = MarginalizationSettings.tolerance,
    seed: int = Config.seed,
    tolerance_bits: float | None = MarginalizationSettings.tolerance_bits,
    laplace: str = EvidenceSettings.laplace,
    inputs: Mapping[str, Any] | None = None,
    progress: bool = False,
    aliases: Mapping[str, str] | None = None,
    **computation: Unpack[ComputationSettings],
) -> dict[str, Conditionals]:
    """Marginalize all units of several layers out of a network, and return the conditionals by layer.

    They are those of :func:`featuresharing.marginalize`, bit for bit; the network and the images are read and checked
    once. Raises InputError as that does, before anything is computed for a layer that is not there.

    >>> found = marginalize_layers(network, ["hidden", "word"], images, samples=20)
    >>> {layer: conditionals.probabilities[0].shape for layer, conditionals in found.items()}
    {'hidden': (6, 7, 3), 'word': (3, 7, 3)}
    """
    if isinstance(layers, str) or not isinstance(layers, Iterable):
        raise InputError(f"layers: found {layers!r}; accepted is a list of layers, such as ['conv1', 'conv2'].")
    names = list(dict.fromkeys(layers))
    settings = computation_of(computation, marginalize_layers)
    estimation = Estimation(estimator, samples, scale, tolerance, seed, tolerance_bits, laplace)
    for name in names:
        find_layer(network, name, aliases)
    check_engine(settings)
    ready = prepare(network, images, settings, inputs=inputs)

    def collected(name: str) -> Conditionals:
        run = Marginalization(network, name, images, estimation, aliases=aliases, ready=ready, **computation)
        return run.collect(progress=progress)

    return {name: collected(name) for name in names}


class Marginalization:
    """A marginalization that gives its results in pieces, for those who store them.

    Arguments are those of :func:`marginalize`; without ``softmax``, raw scores take the place of predictions.
    ``tasks`` are the names of the network's outputs, ``units`` those to be marginalized out, ``step`` how many images a
    piece has unless it is told otherwise. ``ready`` is what :func:`featuresharing.networks.preparation.prepare` gave
    for the same network, images and settings, so that several layers are prepared once (None: it is asked).
    ``targets`` int64 [N, tasks] are the classes that will be looked at, -1 for none: the evidence for them is as
    certain as the estimation asks (None: that for all classes is).

    >>> run = Marginalization(network, "hidden", images, Estimation(samples=10), units=[0, 3])
    >>> [(piece.rows, piece.images, piece.probabilities[0].shape) for piece in run.pieces(step=4)]
    [(slice(0, 2, None), slice(0, 4, None), (2, 4, 3)), (slice(0, 2, None), slice(4, 7, None), (2, 3, 3))]
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str,
        images: NDArray[Any] | Tensor | Iterable[Any],
        estimation: Estimation,
        *,
        softmax: bool = True,
        units: Units | None = None,
        inputs: Mapping[str, Any] | None = None,
        aliases: Mapping[str, str] | None = None,
        ready: Prepared | None = None,
        targets: NDArray[np.int64] | None = None,
        **computation: Unpack[ComputationSettings],
    ) -> None:
        self.estimation, self._name, self._softmax = estimation, layer, softmax
        self._estimator = estimation.make()
        path, module = find_layer(network, layer, aliases)
        self.units = choose_units(module, layer, units)
        settings = computation_of(computation, Marginalization)
        check_engine(settings)
        ready = ready or prepare(network, images, settings, inputs=inputs, softmax=softmax)
        self.engine = _engine_for(self._estimator, ready, path, settings)
        self._asked = LayerUnits(self.engine.layer, path, self.units, targets)
        self.tasks, self.step = self.engine.tasks, self.engine.batches.images
        if not self._estimator.takes(linear=module.is_linear, rows=self.engine.layer_rows):
            accepted = f"accepted for {self._estimator.name} are {self._estimator.layers}"
            raise InputError(f"layer '{layer}': {accepted}.")

    def pieces(self, *, step: int | None = None, done: Done | None = None, progress: bool = False) -> Iterator[Piece]:
        """Yield pieces of at most ``step`` images, but for those that are ``done``."""
        step = step or self.step
        pieces = self._estimator.pieces(self.engine, self._asked, step=step, done=done, softmax=self._softmax)
        pieces = (self._checked(piece) for piece in pieces)
        return show_units(pieces, self.engine, len(self.units), self._name, show=progress)

    def collect(self, *, progress: bool = False) -> Conditionals:
        """Return all pieces put together."""
        return collect(self.pieces(progress=progress), self.engine, self.units, self._estimator.gives())

    def _checked(self, piece: Piece) -> Piece:
        """Return a piece; raises InputError for one that is NaN or infinite (a raw score may be -inf)."""
        for task, values in zip(self.tasks, piece.probabilities, strict=True):
            wrong = ~(values < np.inf)
            if not wrong.any():
                continue
            row, image, _ = np.argwhere(wrong)[0]
            unit, position = self.units[piece.rows][row], piece.images.start + image
            raise InputError(
                f"layer '{self._name}': without unit {unit}, output '{task}' is NaN or infinite on image {position}; "
                "accepted are networks whose scores stay finite."
            )
        return piece


def _engine_for(estimator: Estimator, ready: Prepared, path: str, computation: Computation) -> Engine:
    """Return an engine that does what an estimator needs; raises InputError if the one asked for does not."""
    if not estimator.sets_outputs:
        return engine_of(ready, path, computation)
    otherwise = "engine='plain' runs such networks with other estimators, slowly"
    engine = engine_of(ready, path, computation, otherwise=otherwise)
    if not engine.sets_outputs:
        accepted = " and ".join(name for name, kind in ENGINES.items() if kind.sets_outputs)
        raise InputError(f"engine '{engine.name}' cannot integrate; accepted for {estimator.name} is {accepted}.")
    return engine


def show_units(pieces: Iterable[Piece], engine: Engine, units: int, label: str, *, show: bool) -> Iterator[Piece]:
    """Yield ``pieces``; with ``show``, show how many units they amount to."""

    def share(piece: Piece) -> float:
        units, images = piece.rows.stop - piece.rows.start, piece.images.stop - piece.images.start
        return float(units * images / engine.images)

    return progress_bar(pieces, total=units, label=label, show=show, size=share)


def collect(
    pieces: Iterable[Piece], engine: Engine, units: Sequence[int], columns: Sequence[Column] = ALWAYS
) -> Conditionals:
    """Put pieces together, with ``columns`` that their estimator gives."""
    kind = np.float64 if engine.dtype == torch.float64 else np.float32

    def by_class() -> tuple[Array, ...]:
        return tuple(np.empty((len(units), engine.images, *shape), kind) for shape in engine.shapes)

    empty: dict[str, Callable[[], Any]] = {
        "unit": lambda: np.empty(len(units)),
        "image": lambda: np.empty((len(units), engine.images)),
        "class": by_class,
    }
    probabilities, found = by_class(), {column.name: empty[column.per]() for column in columns}
    for piece in pieces:
        place = (piece.rows, piece.images)
        for whole, part in zip(probabilities, piece.probabilities, strict=True):
            whole[place] = part
        for column in columns:
            whole, part = found[column.name], piece.columns[column.name]
            if column.per == "class":
                for task, values in zip(whole, part, strict=True):
                    task[place] = values
            else:
                whole[piece.rows if column.per == "unit" else place] = part
    return Conditionals(probabilities, engine.tasks, np.array(units, dtype=np.int64), found)
