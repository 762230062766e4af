"""Scores of a network under many variants of a layer's units, on all images: in pieces that fit into memory.

Two engines share one face: :class:`OneChannelEngine` for every network that can be traced, and :class:`PlainEngine`,
which runs the whole network once for every variant, for the others and as a check.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.arguments import is_number
from featuresharing.engine.cost import cost_of
from featuresharing.engine.interpreter import Base, Interpreter
from featuresharing.engine.memory import (
    CPU_OPERATIONS,
    GPU_OPERATIONS,
    SHARE,
    Batches,
    choose_batches,
    choose_working_set,
    cut,
    footprint,
    free_memory,
)
from featuresharing.engine.packing import (
    Product,
    can_pack,
    factors_of,
    pack_product,
    packed_numbers,
    products_to_pack,
)
from featuresharing.engine.plan import Plan, find_use, make_plan
from featuresharing.engine.probing import check_trace
from featuresharing.engine.slabs import shape_of
from featuresharing.engine.tracing import NumbersSeenError, UntraceableError, filters_of, make_trace, record
from featuresharing.errors import InputError
from featuresharing.networks.computed import layer_values
from featuresharing.networks.forward import computing, score_images
from featuresharing.networks.inputs import to_input
from featuresharing.networks.preparation import Prepared, prepare

ENGINES = ("one-channel", "plain")
"""Accepted names of engines."""

Scores = tuple[slice, slice, tuple[Tensor, ...]]
"""A slice of the images, a slice of the variants, and the raw scores [variants, images, classes] of every task."""


class Engine(Protocol):
    """What estimators work with."""

    tasks: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtype: torch.dtype
    device: str
    batches: Batches
    images: int

    def scores(self, images: slice, units: NDArray[np.int64], weights: Tensor, biases: Tensor) -> Iterator[Scores]:
        """Yield scores on ``images`` with ``units`` [B] set to ``weights`` [B, *filter shape] and ``biases`` [B]."""

    def base_scores(self, images: slice) -> tuple[Tensor, ...]:
        """Return the raw scores [images, classes] of every task of the network as it is, on the CPU."""

    def shrink(self) -> bool:
        """Work on half as much at a time from now on; return False if that is not possible."""


class OneChannelEngine:
    """Runs variants through the one-channel interpreter; settings as in :func:`featuresharing.marginalize`.

    With ``whole``, several units may be removed together (:meth:`removed_scores`).
    """

    def __init__(
        self,
        ready: Prepared,
        path: str,
        *,
        batch_size: int | None = None,
        memory: int | None = None,
        whole: bool = False,
    ) -> None:
        self.dtype, self.device, self.images = ready.dtype, ready.device, len(ready.images)
        self._network, self._images = ready.network, ready.images
        self._path, self._whole = path, whole
        self._values, self._weight, self._bias = layer_values(ready.network, path, ready.values)
        self._memory = int(SHARE * free_memory(self.device)) if memory is None else memory
        self._laid_out: dict[str, Tensor] = {}
        self._packed: dict[tuple[str, ...], Product] = {}
        self.plan = self._make_plan(min(2, self.images), check=True)
        self.tasks = self.plan.trace.tasks
        self.shapes = tuple(shape_of(task)[1:] for task in self.plan.outputs)
        if self.device == "cpu" and self.dtype == torch.float32:  # the layout in which its convolutions are fastest
            filters = {name: self._values[name] for name in filters_of(self.plan.trace) if name in self._values}
            self._laid_out = {
                name: value.contiguous(memory_format=torch.channels_last)
                for name, value in filters.items()
                if value.ndim == 4
            }
        self._pack()
        size = sum(value.numel() * value.element_size() for value in self._values.values())
        self._working_set = choose_working_set(self.device, size)
        self._batch_size = batch_size
        self._cut()

    def _cut(self) -> None:
        parameters = self._values[self._weight][0].numel() * self.dtype.itemsize
        self.batches = choose_batches(
            footprint(self.plan),
            cost_of(self.plan),
            images=self.images,
            parameters=0 if self._whole else parameters,
            budget=self._memory,
            working_set=self._working_set,
            operations=GPU_OPERATIONS if self.device.startswith("cuda") else CPU_OPERATIONS,
            batch_size=self._batch_size,
        )
        self._interpreters: dict[int, Interpreter] = {}
        self._kept: dict[tuple[int, int], Base] = {}

    @property
    def layer_rows(self) -> float:
        """How many rows of numbers, or whole pictures of a convolution, the layer takes for an image."""
        layer = self.plan.layer
        return shape_of(layer.inputs)[0] / self.plan.trace.rows if layer else 1

    def shrink(self) -> bool:
        """Work on half as much at a time from now on; return False if that is not possible."""
        if self.batches.images == self.batches.variants == self.batches.dense == 1 and not self.batches.keep:
            return False
        self._working_set //= 2
        self._memory //= 2
        self._cut()
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        return True

    def chunks(self, images: slice) -> Iterator[tuple[slice, Interpreter, Base]]:
        """Yield slices of ``images``, the interpreter for as many, and their base values."""
        for chunk in cut(images.stop - images.start, self.batches.images):
            part = slice(images.start + chunk.start, images.start + chunk.stop)
            count = part.stop - part.start
            if count not in self._interpreters:
                self._interpreters[count] = self._interpreter(count)
            interpreter = self._interpreters[count]
            base = self._kept.get((part.start, part.stop))
            if base is None:
                if not self.batches.keep:
                    self._kept.clear()
                base = interpreter.base(to_input(self._images[part], self.device, self.dtype, copy=False))
                self._kept[part.start, part.stop] = base
            yield part, interpreter, base

    def scores(self, images: slice, units: NDArray[np.int64], weights: Tensor, biases: Tensor) -> Iterator[Scores]:
        """Yield scores on ``images`` with ``units`` [B] set to ``weights`` [B, *filter shape] and ``biases`` [B]."""
        shifts = None if self._bias is None else biases
        for chunk, interpreter, base in self.chunks(images):
            new = interpreter.unit_outputs(base, units, weights, shifts) if interpreter.plan.layer else biases
            for part, scores in interpreter.scores(base, units, new, batch=self.batches.dense):
                yield chunk, part, scores

    def removed_scores(self, removed: Sequence[Sequence[int]]) -> Iterator[Scores]:
        """Yield scores without each set of units [B], all removed together; for an engine of ``whole`` layers."""
        for images, interpreter, base in self.chunks(slice(0, self.images)):
            for part in cut(len(removed), self.batches.dense):
                count = part.stop - part.start
                new = torch.empty(count, 0)
                if interpreter.plan.layer:
                    own = base[interpreter.plan.layer.node]
                    new = own.expand(count, *own.shape).clone()
                    for outputs, units in zip(new, removed[part], strict=True):
                        outputs.index_fill_(1, torch.tensor(units, dtype=torch.int64, device=self.device), 0)
                units_of_layer = np.zeros(count, dtype=np.int64)
                for _, scores in interpreter.scores(base, units_of_layer, new, batch=self.batches.dense):
                    yield images, part, scores

    def base_scores(self, images: slice) -> tuple[Tensor, ...]:
        """Return the raw scores [images, classes] of every task of the network as it is, on the CPU."""
        chunks = self.chunks(images)
        parts = [[base[node].cpu() for node in interpreter.plan.outputs] for _, interpreter, base in chunks]
        return tuple(torch.cat(task) for task in zip(*parts, strict=True))

    def _make_plan(self, images: int, *, check: bool = False) -> Plan:
        sample = to_input(self._images[:images], self.device, self.dtype)
        recording = record(self._network, self._values, sample.clone())
        trace = make_trace(self._network, recording, sample.clone())
        names = [name for name in (self._weight, self._bias) if name]
        try:
            use = find_use(trace, self._path, self._weight, self._bias)
        except NumbersSeenError:
            raise
        except UntraceableError as error:
            places = record(self._network, self._values, sample.clone(), locate=names).places
            taken = " and ".join(dict.fromkeys(places))
            raise UntraceableError(f"{str(error).removesuffix('.')} (its parameters are taken by {taken}).") from error
        if check:
            others = to_input(self._images[-images:].flip(0), self.device, self.dtype)
            check_trace(self._network, self._values, sample, others, names, recording, trace)
        return make_plan(trace, use, whole=self._whole)

    def _pack(self) -> None:
        """Pack large matrices, if there is memory for their copies."""
        nodes = products_to_pack(self.plan) if can_pack(self.device, self.dtype) else []
        size = sum(packed_numbers(node) for node in nodes) * self.dtype.itemsize
        if size > self._memory // 4:
            return
        self._memory -= size
        self._packed = {factors_of(node): pack_product(node, self._values) for node in nodes}

    def _interpreter(self, images: int) -> Interpreter:
        plan = self.plan if images == self.plan.trace.rows else self._make_plan(images)
        products = products_to_pack(plan) if self._packed else []
        packed = {node: self._packed[factors_of(node)] for node in products if factors_of(node) in self._packed}
        return Interpreter(plan, {**plan.trace.values, **self._laid_out}, packed)


class PlainEngine:
    """Sets the unit and runs the whole network, for every variant: slow, and right for every network."""

    def __init__(
        self,
        ready: Prepared,
        path: str,
        *,
        batch_size: int | None = None,
        memory: int | None = None,
    ) -> None:
        self.dtype, self.device, self.images = ready.dtype, ready.device, len(ready.images)
        self._network, self._images = ready.network, ready.images
        self.batches = Batches(min(batch_size or self.images, self.images), 64, 1, keep=True, group=1)
        self._values, *self._own = layer_values(ready.network, path, ready.values)
        for name in self._own:
            if name is not None:
                self._values[name] = self._values[name].clone()
        self.tasks = ready.tasks
        self.shapes: tuple[tuple[int, ...], ...] = tuple((classes,) for classes in ready.classes)

    def shrink(self) -> bool:
        """Work on half as many images at a time from now on; return False if that is not possible."""
        smaller = max(1, self.batches.images // 2)
        possible = smaller < self.batches.images
        self.batches = replace(self.batches, images=smaller)
        return possible

    def scores(self, images: slice, units: NDArray[np.int64], weights: Tensor, biases: Tensor) -> Iterator[Scores]:
        """Yield scores on ``images`` with ``units`` [B] set to ``weights`` [B, *filter shape] and ``biases`` [B]."""
        for chunk in cut(images.stop - images.start, self.batches.images):
            part = slice(images.start + chunk.start, images.start + chunk.stop)
            for variant, unit in enumerate(units):
                with self._set(int(unit), (weights[variant], biases[variant])):
                    outputs = self._run(self._images[part])
                yield part, slice(variant, variant + 1), tuple(scores[None] for scores in outputs.values())

    def base_scores(self, images: slice) -> tuple[Tensor, ...]:
        """Return the raw scores [images, classes] of every task of the network as it is, on the CPU."""
        parts = [list(self._run(batch).values()) for batch in torch.split(self._images[images], self.batches.images)]
        return tuple(torch.cat(task).cpu() for task in zip(*parts, strict=True))

    @contextmanager
    def _set(self, unit: int, parameters: tuple[Tensor, Tensor]) -> Iterator[None]:
        own = [(self._values[name][unit], value) for name, value in zip(self._own, parameters, strict=True) if name]
        saved = [place.clone() for place, _ in own]
        try:
            for place, value in own:
                place.copy_(value)
            yield
        finally:
            for (place, _), value in zip(own, saved, strict=True):
                place.copy_(value)

    @torch.no_grad()
    def _run(self, images: Tensor) -> dict[str, Tensor]:
        return score_images(
            self._network, self._values, images, device=self.device, dtype=self.dtype, total=self.images
        )


def make_engine(
    network: nn.Module,
    path: str,
    images: Any,
    *,
    engine: str = "one-channel",
    dtype: str | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    softmax: bool = True,
    otherwise: str = "engine='plain' runs such networks, slowly",
    **settings: Any,
) -> Engine:
    """Return the engine by name for a layer at ``path`` and ``images`` [N, ...].

    Raises InputError for wrong names, for whatever :func:`featuresharing.networks.preparation.prepare` refuses, and for
    what cannot be traced, saying what else a user can do ``otherwise``: by then the network has run on the images.
    """
    if engine not in ENGINES:
        raise InputError(f"engine '{engine}' is not known; accepted are {' and '.join(ENGINES)}.")
    memory = settings.get("memory")
    if memory is not None and not (is_number(memory) and memory >= 0):
        raise InputError(f"memory: found {memory!r}; accepted is a number of bytes from 0.")
    ready = prepare(network, images, device=device, dtype=dtype, batch_size=batch_size, softmax=softmax)
    kind = OneChannelEngine if engine == "one-channel" else PlainEngine
    with computing():
        try:
            return kind(ready, path, batch_size=batch_size, **settings)
        except UntraceableError as error:
            raise InputError(f"{str(error).removesuffix('.')}; {otherwise}.") from error
