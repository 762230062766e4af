"""The engine for every network: it runs the whole network once for every variant, and checks the other engine."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featuresharing.computation import Computation
from featuresharing.engine.memory import BatchSizes, cut
from featuresharing.engine.protocol import Chunk, Scores
from featuresharing.errors import InputError
from featuresharing.networks.forward import score_images
from featuresharing.networks.inputs import Inputs
from featuresharing.networks.layer_values import values_of_layer
from featuresharing.networks.preparation import Prepared
from featuresharing.settings.analysis_settings import PLAIN


class PlainEngine:
    """Sets units and runs the whole network, for every variant: slow, and right for every network.

    It sets parameters, which may act anywhere in the network: what units give stays out of its reach. It removes
    several units together whether or not it is to have the layer ``whole``, and takes as much memory as a pass does.
    """

    name: ClassVar[str] = PLAIN
    sets_outputs: ClassVar[bool] = False
    layer_rows: float | None = None

    def __init__(self, ready: Prepared, path: str, computation: Computation, *, whole: bool = False) -> None:
        self.dtype, self.device, self.images = ready.dtype, ready.device, len(ready.inputs)
        self._network, self._inputs = ready.network, ready.inputs
        images = min(computation.batch_size or self.images, self.images)
        self.batches = BatchSizes(images, 64, 1, keep=True, group=1)
        found = values_of_layer(ready, path)
        self._values, self.layer = found.values, found.layer
        self._own = [found.weight, found.bias]
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

    def scores(
        self, images: slice, units: NDArray[np.int64], weights: Tensor, biases: Tensor, *, times: int = 1
    ) -> Iterator[Scores]:
        """Yield scores on ``images`` with ``units`` [B] set to ``weights`` [B, *filter shape] and ``biases`` [B]."""
        for part in self._parts(images):
            for variant, unit in enumerate(units):
                with self._set([int(unit)], (weights[variant], biases[variant])):
                    outputs = self._run(self._inputs[part])
                yield part, slice(variant, variant + 1), tuple(scores[None] for scores in outputs.values())

    def removed_scores(self, removed: Sequence[Sequence[int]]) -> Iterator[Scores]:
        """Yield scores without each set of units [B], all removed together."""
        for part in self._parts(slice(0, self.images)):
            for variant, units in enumerate(removed):
                with self._set(list(units), (torch.zeros(()), torch.zeros(()))):
                    outputs = self._run(self._inputs[part])
                yield part, slice(variant, variant + 1), tuple(scores[None] for scores in outputs.values())

    def chunks(self, images: slice) -> Iterator[Chunk]:
        """Raise InputError: outputs of units cannot be set."""
        raise InputError("engine 'plain' cannot set what a unit gives; accepted is one-channel.")

    def base_scores(self, images: slice) -> tuple[Tensor, ...]:
        """Return the raw scores [images, classes] of every task of the network as it is, on the CPU."""
        parts = [list(self._run(batch).values()) for batch in self._inputs[images].split(self.batches.images)]
        return tuple(torch.cat(task).cpu() for task in zip(*parts, strict=True))

    def _parts(self, images: slice) -> Iterator[slice]:
        for chunk in cut(images.stop - images.start, self.batches.images):
            yield slice(images.start + chunk.start, images.start + chunk.stop)

    @contextmanager
    def _set(self, units: list[int], parameters: tuple[Tensor, Tensor]) -> Iterator[None]:
        rows = torch.tensor(units, dtype=torch.int64, device=self.device)
        own = [(self._values[name], value) for name, value in zip(self._own, parameters, strict=True) if name]
        saved = [values[rows] for values, _ in own]
        try:
            for values, value in own:
                values[rows] = value.to(values)
            yield
        finally:
            for (values, _), value in zip(own, saved, strict=True):
                values[rows] = value

    @torch.no_grad()
    def _run(self, inputs: Inputs) -> dict[str, Tensor]:
        return score_images(
            self._network, self._values, inputs, device=self.device, dtype=self.dtype, total=self.images
        )
