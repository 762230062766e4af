"""The engine for every network that can be traced: variants go through the one-channel interpreter."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featuresharing.computation import Computation
from featuresharing.engine.constants import Constants
from featuresharing.engine.cost import cost_of
from featuresharing.engine.interpreter import Base, Interpreter
from featuresharing.engine.lowering import Fusion, find_fusions, pack_fusions, packed_numbers
from featuresharing.engine.memory import (
    CPU_OPERATIONS,
    GPU_OPERATIONS,
    SHARE,
    choose_batch_sizes,
    choose_working_set,
    cut,
    footprint,
)
from featuresharing.engine.narrowing import narrow
from featuresharing.engine.onednn import Packed, is_available
from featuresharing.engine.plan import Plan, find_use, make_plan
from featuresharing.engine.probing import are_close, check_trace
from featuresharing.engine.protocol import Scores
from featuresharing.engine.slabs import shape_of
from featuresharing.engine.tracing import (
    NumbersSeenError,
    UntraceableError,
    filters_of,
    make_trace,
    record,
    sees_inputs,
)
from featuresharing.networks.failures import is_out_of_memory
from featuresharing.networks.free_memory import free_memory
from featuresharing.networks.inputs import to_input
from featuresharing.networks.layer_values import values_of_layer
from featuresharing.networks.preparation import Prepared
from featuresharing.settings.analysis_settings import ONE_CHANNEL


class OneChannelEngine:
    """Runs variants through the one-channel interpreter; see :class:`.Engine`.

    With ``whole``, several units may be removed together (:meth:`removed_scores`).
    """

    name: ClassVar[str] = ONE_CHANNEL
    sets_outputs: ClassVar[bool] = True

    def __init__(self, ready: Prepared, path: str, computation: Computation, *, whole: bool = False) -> None:
        self.dtype, self.device, self.images = ready.dtype, ready.device, len(ready.inputs)
        self._network, self._inputs = ready.network, ready.inputs
        self._path, self._whole = path, whole
        found = values_of_layer(ready, path)
        self._values, self._weight, self._bias, self.layer = found.values, found.weight, found.bias, found.layer
        self._memory = int(SHARE * free_memory(self.device)) if computation.memory is None else int(computation.memory)
        self._laid_out: dict[str, Tensor] = {}
        self._packed: dict[tuple[object, ...], Packed] | None = None
        self.plan = self._make_plan(slice(0, min(2, self.images)), check=True)
        self._by_chunk = sees_inputs(self.plan.trace)
        self.tasks = self.plan.trace.tasks
        self.shapes = tuple(shape_of(task)[1:] for task in self.plan.outputs)
        if self.device == "cpu" and self.dtype == torch.float32:  # the layout in which its convolutions are fastest
            filters = {name: self._values[name] for name in filters_of(self.plan.trace) if name in self._values}
            self._laid_out = {
                name: value.contiguous(memory_format=torch.channels_last)
                for name, value in filters.items()
                if value.ndim == 4
            }
        self._lower()
        size = sum(value.numel() * value.element_size() for value in self._values.values())
        self._working_set = choose_working_set(self.device, size)
        self._batch_size = computation.batch_size
        self._cut()

    def _cut(self) -> None:
        parameters = self._values[self._weight][0].numel() * self.dtype.itemsize
        self.batches = choose_batch_sizes(
            footprint(self.plan),
            cost_of(self.plan),
            images=self.images,
            parameters=0 if self._whole else parameters,
            budget=self._memory,
            working_set=self._working_set,
            operations=GPU_OPERATIONS if self.device.startswith("cuda") else CPU_OPERATIONS,
            batch_size=self._batch_size,
        )
        self._interpreters: dict[tuple[int, int], Interpreter] = {}
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

    def chunks(self, images: slice) -> "Iterator[InterpretedChunk]":
        """Yield ``images`` in chunks: those that make a batch, the interpreter for as many, and their base values."""
        for chunk in cut(images.stop - images.start, self.batches.images):
            part = slice(images.start + chunk.start, images.start + chunk.stop)
            interpreter = self._interpreter(part)
            base = self._kept.get((part.start, part.stop))
            if base is None:
                if not self.batches.keep:
                    self._kept.clear()
                base = interpreter.base(to_input(self._inputs[part], self.device, self.dtype, copy=False))
                self._kept[part.start, part.stop] = base
            yield InterpretedChunk(part, interpreter, base, self.batches.dense)

    def scores(
        self, images: slice, units: NDArray[np.int64], weights: Tensor, biases: Tensor, *, times: int = 1
    ) -> Iterator[Scores]:
        """Yield scores on ``images`` with ``units`` [B] set to ``weights`` [B, *filter shape] and ``biases`` [B].

        Of few images, so many ``times`` more variants than usual are in work at a time.
        """
        shifts = None if self._bias is None else biases
        for chunk in self.chunks(images):
            interpreter, base = chunk.interpreter, chunk.base
            new = interpreter.unit_outputs(base, units, weights, shifts) if interpreter.plan.layer else biases
            for part, scores in interpreter.scores(base, units, new, batch=self.batches.dense * times):
                yield chunk.images, part, scores

    def removed_scores(self, removed: Sequence[Sequence[int]]) -> Iterator[Scores]:
        """Yield scores without each set of units [B], all removed together; for an engine of ``whole`` layers."""
        for chunk in self.chunks(slice(0, self.images)):
            interpreter, base = chunk.interpreter, chunk.base
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
                    yield chunk.images, part, scores

    def base_scores(self, images: slice) -> tuple[Tensor, ...]:
        """Return the raw scores [images, classes] of every task of the network as it is, on the CPU."""
        parts = [[scores.cpu() for scores in chunk.scores] for chunk in self.chunks(images)]
        return tuple(torch.cat(task) for task in zip(*parts, strict=True))

    def _make_plan(self, images: slice, *, check: bool = False) -> Plan:
        sample = to_input(self._inputs[images], self.device, self.dtype)
        recording = record(self._network, self._values, sample.clone())
        trace = make_trace(self._network, recording, sample.clone())
        narrow(trace.graph)
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
            others = to_input(self._inputs[-len(sample) :].map(lambda value: value.flip(0)), self.device, self.dtype)
            check_trace(self._network, self._values, sample, others, names, recording, trace)
        return make_plan(trace, use, whole=self._whole)

    def _lower(self) -> None:
        """Pack weights for oneDNN, if there is memory for their copies."""
        if not is_available(self.device, self.dtype):
            return
        constants = self._constants()
        fusions = find_fusions(self.plan, constants)
        size = packed_numbers(fusions, constants) * self.dtype.itemsize
        if size <= self._memory // 4:
            self._memory -= size
            self._packed = {}
            pack_fusions(fusions, constants, self._packed)
            if not self._lowered_scores_agree(fusions):
                self._packed = None

    def _lowered_scores_agree(self, fusions: Sequence[Fusion]) -> bool:
        """Whether a unit's negated weights give the same scores, up to rounding, as without ``fusions``."""
        layer, unit, own = self.plan.layer, np.zeros(1, dtype=np.int64), self.layer
        if layer is None:
            return True
        weights = -own.weight[:1].to(self.dtype)
        biases = None if own.bias is None else -own.bias[:1].to(self.dtype)
        one_by_one, fused = (
            Interpreter(self.plan, {**self.plan.trace.values, **self._laid_out}, given) for given in ((), fusions)
        )
        try:
            base = one_by_one.base(to_input(self._inputs[: self.plan.trace.rows], self.device, self.dtype))
            new = -base[layer.node][None] if self._whole else fused.unit_outputs(base, unit, weights, biases)
            wanted, found = (next(each.scores(base, unit, new, batch=1))[1] for each in (one_by_one, fused))
            return are_close(found, wanted)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False

    def _constants(self) -> Constants:
        """Return what follows from the parameters and buffers that do not change."""
        own = frozenset(name for name in (self._weight, self._bias) if name)
        return Constants(self._values, own)

    def _fusions(self, plan: Plan) -> list[Fusion]:
        if self._packed is None:
            return []
        constants = self._constants()
        fusions = find_fusions(plan, constants)
        pack_fusions(fusions, constants, self._packed)
        return fusions

    def _interpreter(self, images: slice) -> Interpreter:
        """Return the interpreter for ``images``, or for as many unless Python sees what else they come with."""
        start, stop = (images.start, images.stop) if self._by_chunk else (0, images.stop - images.start)
        if (start, stop) not in self._interpreters:
            same = not self._by_chunk and stop == self.plan.trace.rows
            plan = self.plan if same else self._make_plan(slice(start, stop))
            values = {**plan.trace.values, **self._laid_out}
            self._interpreters[start, stop] = Interpreter(plan, values, self._fusions(plan))
        return self._interpreters[start, stop]


@dataclass(frozen=True, eq=False)
class InterpretedChunk:
    """Some ``images``, the interpreter for as many and its ``base`` values; see :class:`.protocol.Chunk`.

    ``dense`` variants are computed at a time.
    """

    images: slice
    interpreter: Interpreter
    base: Base
    dense: int

    @property
    def inputs(self) -> Tensor | None:
        """What the layer takes, [images, ...]; None of a layer that no output depends on."""
        layer = self.interpreter.plan.layer
        return self.base[layer.inputs] if layer else None

    @property
    def scores(self) -> tuple[Tensor, ...]:
        """The raw scores [images, classes] of every task of the network as it is."""
        return tuple(self.base[node] for node in self.interpreter.plan.outputs)

    def scores_of(self, units: NDArray[np.int64], outputs: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Yield raw scores [variants, images, classes] of every task with ``units`` [B] giving ``outputs``."""
        for _, scores in self.interpreter.scores(self.base, units, outputs, batch=self.dense):
            yield scores
