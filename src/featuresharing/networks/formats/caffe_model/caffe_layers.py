"""What a layer of a definition says, checked, and what it makes of its inputs' shapes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from featuresharing.errors import InputError
from featuresharing.networks.formats.caffe_model.caffe_definition import Definition, Entry
from featuresharing.networks.formats.caffe_model.caffe_weights import StoredWeights

Shape = tuple[int, ...]

MOST_PIXELS = 1024
"""Largest kernel, stride, padding or dilation."""

MOST_PLANES = 2**20
"""Units of a layer."""

LARGEST = 1e30
"""Numbers of settings are smaller: beyond that, float32 ends."""


@dataclass(frozen=True)
class Made:
    """What a layer becomes: a module, the shapes [images, ...] of what it gives, and its cost.

    ``products`` are summed up for each number that it gives. It takes its inputs flat from ``flat_from`` on (0: as
    they are).
    """

    module: nn.Module
    shapes: tuple[Shape, ...]
    products: int = 1
    flat_from: int = 0


class CaffeLayer:
    """A layer with the shapes [images, ...] of what it takes; ``weights`` has its arrays."""

    def __init__(self, definition: Definition, entry: Entry, shapes: Sequence[Shape], weights: StoredWeights) -> None:
        self.entry, self.shapes = entry, tuple(shapes)
        self._definition, self._weights = definition, weights

    @property
    def shape(self) -> Shape:
        """The shape of the first of its inputs."""
        return self.shapes[0]

    def refuse(self, problem: str) -> InputError:
        """Return the error that names the layer."""
        return self._definition.refuse(self.entry, problem)

    def settings(self, kind: str) -> Any:
        """Return the message of its settings, such as that of 'pooling'."""
        return getattr(self.entry.settings, f"{kind}_param")

    def expect(self, bottoms: tuple[int, int], tops: tuple[int, int]) -> None:
        """Refuse other numbers of blobs than these, which are the least and the most."""
        entry = self.entry
        for name, blobs, (least, most) in (("takes", entry.bottoms, bottoms), ("makes", entry.tops, tops)):
            if not least <= len(blobs) <= most:
                accepted = f"{least}" if least == most else f"{least} to {most}"
                raise self.refuse(f"it {name} {len(blobs)} blobs; accepted are {accepted}")

    def image(self) -> tuple[int, int, int, int]:
        """Return images, channels, rows and columns of its input."""
        if len(self.shape) != 4:
            raise self.refuse(f"it takes a blob of the shape {list(self.shape)}; accepted are images with four sizes")
        images, channels, rows, columns = self.shape
        return images, channels, rows, columns

    def number(self, settings: Any, name: str) -> float:
        """Return a finite number."""
        value = float(getattr(settings, name))
        if not abs(value) < LARGEST:
            raise self.refuse(f"'{name}' is {value:g}; accepted is a finite number")
        return value

    def whole(self, settings: Any, name: str, least: int, most: int) -> int:
        """Return an integer within limits."""
        value = int(getattr(settings, name))
        if not least <= value <= most:
            raise self.refuse(f"'{name}' is {value}; accepted is an integer from {least} to {most}")
        return value

    def pair(
        self, settings: Any, name: str, least: int, default: int | None = None, short: str = ""
    ) -> tuple[int, int]:
        """Return pixels for rows and for columns: ``name`` is once or twice there, or ``short`` with _h and _w."""
        sides = [f"{short}_{side}" for side in "hw"] if short else []
        given: Any = getattr(settings, name)
        if isinstance(given, int):
            given = [given] if settings.HasField(name) else []
        values = list(given)
        if any(settings.HasField(side) for side in sides):
            if values:
                raise self.refuse(f"'{name}' and '{sides[0]}' or '{sides[1]}' are both there; accepted is one of them")
            values = [getattr(settings, side) for side in sides]
        elif not values and default is not None:
            values = [default]
        if len(values) not in (1, 2) or not all(least <= value <= MOST_PIXELS for value in values):
            found = f"is {' and '.join(map(str, values[:3]))}" if values else "is not there"
            accepted = f"one integer or two (rows and columns) from {least} to {MOST_PIXELS}"
            raise self.refuse(f"'{name}' {found}; accepted are {accepted}")
        return values[0], values[-1]

    def axis(self, value: int, name: str, *, least: int = 1, most: int = 0) -> int:
        """Return an axis, counted from 0, which is not that of the images; negative ones count from the end."""
        rank = len(self.shape)
        found = value + rank if value < 0 else value
        if not least <= found < (most or rank):
            raise self.refuse(
                f"'{name}' is {value}; accepted is an axis of a blob of the shape {list(self.shape)}, behind that of "
                "the images"
            )
        return found

    def older_axis(self, settings: Any, older: str) -> int:
        """Return the axis, which in older definitions has another name."""
        if settings.HasField(older) and settings.HasField("axis"):
            raise self.refuse(f"'axis' and '{older}' are both there; accepted is one of them")
        name = older if settings.HasField(older) else "axis"
        return self.axis(getattr(settings, name), name)

    def arrays(self, *shapes: Shape) -> list[Tensor]:
        """Return the arrays that the file of weights has for the layer, of these shapes."""
        name, path = self.entry.name, self._weights.path
        if name not in self._weights:
            raise self.refuse(f"{path} has no such layer; accepted are weights for every layer that has any")
        if (count := self._weights.count(name)) != len(shapes):
            raise self.refuse(f"{path} has {count} arrays for it; accepted are {len(shapes)}")
        found = []
        for index, shape in enumerate(shapes):
            blob = self._weights.blob(name, index)
            wanted = (1,) * (4 - len(shape)) + shape if blob.is_old else shape
            if blob.shape != (wanted or (1,) * len(blob.shape)):
                raise self.refuse(
                    f"array {index} in {path} has the shape {list(blob.shape)}; accepted is {list(wanted)}"
                )
            found.append(torch.from_numpy(blob.values.reshape(shape)))
        return found

    def same(self, module: nn.Module, products: int = 1) -> Made:
        """Return what a module makes that gives its input another value, place by place."""
        return Made(module, (self.shape,), products)


def numbers_of(shape: Shape) -> int:
    """Return how many numbers a blob has for each image."""
    return math.prod(shape[1:])
