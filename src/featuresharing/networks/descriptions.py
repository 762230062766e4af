"""What is in a network, in numbers and names, without torch: its layers with units, its heads, what a pass costs."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from featuresharing.data.preprocessing import AnyPreprocessing, preprocessing_from_dict
from featuresharing.errors import InputError, first_names

SUPPOSED_CLASSES = 100
"""Classes of a task before images are listed; they hardly matter to what jobs take."""

MOST_LISTED = 40
"""Layers that a sentence names."""


@dataclass(frozen=True)
class LayerDescription:
    """A layer at the module ``path``: its ``kind``, such as Conv2d, and its ``units`` of ``size`` parameters each.

    It ``is_linear`` or a convolution.

    ``special`` says what a user should know of its weight (None: nothing). A variant of a unit takes ``variant``
    multiply-adds on an image, and operators write ``numbers``. ``refused`` says why units of the layer cannot be
    computed one at a time (None: they can).
    """

    path: str
    kind: str
    is_linear: bool
    units: int
    size: int
    variant: int = 0
    numbers: int = 0
    refused: str | None = None
    special: str | None = None


@dataclass(frozen=True)
class NetworkDescription:
    """A network on images of ``input_shape``, such as (3, 224, 224): ``layers`` in the order in which they run.

    ``heads`` are the numbers of classes by task, ``parameters`` all numbers that it holds, and ``forward`` the
    multiply-adds of a pass on an image. ``preprocessing`` says how it takes images (None: nobody said it).
    """

    layers: tuple[LayerDescription, ...]
    heads: Mapping[str, int]
    input_shape: tuple[int, ...]
    parameters: int
    forward: int
    preprocessing: AnyPreprocessing | None = None

    def layer(self, path: str) -> LayerDescription:
        """Return the layer at a module path; raises InputError that names those which are there."""
        for layer in self.layers:
            if layer.path == path:
                return layer
        raise InputError(f"the network has no layer '{path}'; accepted are {listed(self.layers)}.")

    def position(self, path: str) -> int:
        """Return how many layers run before that at a module path; raises InputError as :meth:`layer`."""
        return self.layers.index(self.layer(path))

    def as_dict(self) -> dict[str, Any]:
        """Return the description as plain numbers, texts, lists and dicts."""
        found = asdict(self)
        if self.preprocessing:
            found["preprocessing"] = self.preprocessing.as_dict()
        return found

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return the description that :meth:`as_dict` gave; raises KeyError or TypeError for anything else."""
        layers = tuple(LayerDescription(**layer) for layer in stored["layers"])
        given = stored["preprocessing"]
        preprocessing = preprocessing_from_dict(given) if given else None
        shape = tuple(stored["input_shape"])
        return cls(**{**stored, "layers": layers, "input_shape": shape, "preprocessing": preprocessing})


def listed(layers: Iterable[LayerDescription]) -> str:
    """Return the module paths of layers, of very many the first."""
    paths = [layer.path or "'' (the network itself)" for layer in layers]
    return first_names(paths, MOST_LISTED) or "none: it has no convolutions and linear layers"
