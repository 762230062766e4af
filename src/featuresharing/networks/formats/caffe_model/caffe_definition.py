"""Definitions of Caffe networks (.prototxt) of either version, as the layers that run when a network is tested."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from featuresharing.errors import InputError, quoted
from featuresharing.files.record_format import open_regular
from featuresharing.networks.formats.caffe_model.caffe_messages import message_class

MOST_TEXT = 2**22
"""Bytes of a definition; those of a thousand layers have 300,000."""

LONGEST = 150
"""Letters of what the package says of a text, which may quote it."""

MOST_LAYERS = 10_000
"""Layers of a network; the largest published ones have about 2,000."""

MOST_SIDE = 4096
"""Pixels of a side of an image, and its channels."""

MOST_NUMBERS = 2**26
"""Numbers of an image, in all channels."""

MOST_IMAGES = 10**6
"""Images of a batch."""

_NAMES = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
"""Types of the first version that are spelt otherwise in the second; of others, each word is capitalised."""

DATA_LAYERS = ("Data", "DummyData", "HDF5Data", "ImageData", "MemoryData", "WindowData")
"""Layers that read images from files; the first blob that they make takes their place."""


@dataclass(frozen=True)
class Entry:
    """A layer of a definition: ``bottoms`` are the names of the blobs that it takes, ``tops`` of those that it makes.

    ``settings`` is its message, whose fields are called alike in both versions.
    """

    position: int
    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    settings: Any

    @property
    def shown(self) -> str:
        """What a sentence calls it."""
        return f"layer {self.position} {quoted(self.name)} ({quoted(self.kind)})"


@dataclass(frozen=True)
class Definition:
    """A network: the layers that run in its tests, in their order, and the shapes of its inputs [images, ...]."""

    path: Path
    inputs: dict[str, tuple[int, ...]]
    layers: tuple[Entry, ...]

    def refuse(self, layer: Entry, problem: str) -> InputError:
        """Return the error that names a layer."""
        return InputError(f"{self.path}, {layer.shown}: {problem}.")


def read_definition(path: Path, known: frozenset[str]) -> Definition:
    """Return the definition in a file; ``known`` are the types of layers that there are.

    Raises InputError for a file that is none, and for a layer of another type, which it names.
    """
    text = _read(path)
    try:
        network = _parse(text, unknown_fields=False)
    except _NoDefinitionError as error:
        _refuse_unknown_layers(path, text, known)  # their settings are unknown as well
        raise InputError(
            f"{path} is no definition of a Caffe network ({error}); accepted is one as Caffe reads it."
        ) from None
    return _definition(path, network, known)


class _NoDefinitionError(Exception):
    """A text that is none of Caffe's; the message says what is wrong where."""


def _read(path: Path) -> str:
    try:
        with open_regular(path) as file:
            content = file.read(MOST_TEXT + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); accepted is a definition of Caffe.") from None
    if len(content) > MOST_TEXT:
        raise InputError(f"{path} has more than {MOST_TEXT} bytes; accepted is a definition of Caffe.")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text (byte {error.start}); accepted is a definition of Caffe.") from None


def _parse(text: str, *, unknown_fields: bool) -> Any:
    from google.protobuf import text_format

    try:
        return text_format.Parse(text, message_class("NetParameter")(), allow_unknown_field=unknown_fields)
    except text_format.ParseError as error:
        raise _NoDefinitionError(_reason(str(error))) from None
    except Exception as error:  # whatever arbitrary texts lead the package to
        raise _NoDefinitionError(type(error).__name__) from None


def _reason(said: str) -> str:
    """Return what the package says of a text, after the line and the column: printable, and not the text itself."""
    place = re.match(r"(\d+):(\d+) : ", said)
    where = f"line {place[1]}, column {place[2]}: " if place else ""
    reason = said[place.end() :] if place else said
    reason = re.sub(r"^'.*?': (?=[A-Z])", "", reason, flags=re.DOTALL).replace("caffe.", "")
    return where + "".join(letter if letter.isprintable() else "?" for letter in reason[:LONGEST]).rstrip(".")


def _refuse_unknown_layers(path: Path, text: str, known: frozenset[str]) -> None:
    try:
        network = _parse(text, unknown_fields=True)
    except _NoDefinitionError:
        return
    _running(path, network, known)


def _definition(path: Path, network: Any, known: frozenset[str]) -> Definition:
    running = _running(path, network, known)
    definition = Definition(path, dict(_declared(path, network)), running)
    for layer in running:
        if _is_data(layer):
            definition.inputs.update(_made(definition, layer))
    return Definition(path, definition.inputs, tuple(layer for layer in running if not _is_data(layer)))


def _running(path: Path, network: Any, known: frozenset[str]) -> tuple[Entry, ...]:
    """Return the layers that run in a test; raises InputError for one of a type that is not known."""
    if network.layer and network.layers:
        raise InputError(f"{path} has layers of two versions; accepted are 'layer' or 'layers'.")
    if not 0 < (count := len(network.layer) + len(network.layers)) <= MOST_LAYERS:
        raise InputError(f"{path} has {count} layers; accepted are 1 to {MOST_LAYERS}.")
    entries = [_entry(position, each) for position, each in enumerate([*network.layer, *network.layers])]
    running = tuple(each for each in entries if _runs(each.settings, network.state))
    if unknown := next((each for each in running if each.kind not in known and not _is_data(each)), None):
        problem = f"this type is not known; accepted are {', '.join(sorted(known))}"
        raise Definition(path, {}, running).refuse(unknown, problem)
    return running


def _is_data(layer: Entry) -> bool:
    return layer.kind == "Input" or layer.kind in DATA_LAYERS


def _entry(position: int, layer: Any) -> Entry:
    kind = layer.type
    if isinstance(kind, int):
        name = type(layer).DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[kind].name
        kind = _NAMES.get(name) or name.title().replace("_", "")
    return Entry(position, layer.name or f"unnamed{position}", kind, tuple(layer.bottom), tuple(layer.top), layer)


def _runs(layer: Any, state: Any) -> bool:
    """Return whether a layer runs when a network is tested, by its rules."""
    if layer.include:
        return any(_meets(rule, state) for rule in layer.include)
    return not any(_meets(rule, state) for rule in layer.exclude)


def _meets(rule: Any, state: Any) -> bool:
    stages = set(state.stage)
    return bool(
        (not rule.HasField("phase") or rule.phase == rule.DESCRIPTOR.enum_values_by_name["TEST"].number)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and stages >= set(rule.stage)
        and not stages & set(rule.not_stage)
    )


def _declared(path: Path, network: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the inputs that the network itself names, with their shapes."""
    names, shapes = list(network.input), [tuple(shape.dim) for shape in network.input_shape]
    sizes = list(network.input_dim)
    shapes = shapes or [tuple(sizes[first : first + 4]) for first in range(0, len(sizes), 4)]
    if len(shapes) != len(names):
        raise InputError(
            f"{path} names {len(names)} inputs with {len(shapes)} shapes; accepted is one 'input_shape', or four "
            "'input_dim', for each."
        )
    for name, shape in zip(names, shapes, strict=True):
        yield name, _checked(f"{path}, input {quoted(name)}", shape)


def _made(definition: Definition, layer: Entry) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the blobs that a layer of data makes, with their shapes; labels and the like have one number an image."""
    place = f"{definition.path}, {layer.shown}"
    if layer.kind == "Input":
        shapes = [tuple(shape.dim) for shape in layer.settings.input_param.shape]
        shapes = shapes * len(layer.tops) if len(shapes) == 1 else shapes
        if len(shapes) != len(layer.tops):
            problem = f"it makes {len(layer.tops)} blobs of {len(shapes)} shapes; accepted is a shape for each"
            raise definition.refuse(layer, problem)
        yield from ((name, _checked(place, shape)) for name, shape in zip(layer.tops, shapes, strict=True))
        return
    shape = _shape_of_data(layer)
    if shape is None:
        problem = "it does not say how large images are; accepted is a definition that does, such as a deploy.prototxt"
        raise definition.refuse(layer, problem)
    for position, name in enumerate(layer.tops):
        yield name, _checked(place, shape) if position == 0 else (1,)


def _shape_of_data(layer: Entry) -> tuple[int, ...] | None:
    settings = layer.settings
    if layer.kind == "MemoryData":
        memory = settings.memory_data_param
        return 1, memory.channels, memory.height, memory.width
    own = {"Data": "data_param", "ImageData": "image_data_param", "WindowData": "window_data_param"}.get(layer.kind)
    if own is None:
        return None
    size = settings.transform_param.crop_size or getattr(settings, own).crop_size
    if layer.kind == "ImageData":
        image = settings.image_data_param
        height, width = size or image.new_height, size or image.new_width
    else:
        height = width = size
    grey = settings.transform_param.force_gray or (own == "image_data_param" and not settings.image_data_param.is_color)
    return (1, 1 if grey else 3, height, width) if height and width else None


def _checked(place: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    sizes = len(shape) in (2, 3, 4) and all(1 <= size <= MOST_SIDE for size in shape[1:])
    if not sizes or not 1 <= shape[0] <= MOST_IMAGES or prod(shape[1:]) > MOST_NUMBERS:
        raise InputError(
            f"{place}: found images of the shape {list(shape[:8])}; accepted are 2 to 4 sizes, the first from 1 to "
            f"{MOST_IMAGES} images, others from 1 to {MOST_SIDE}, and {MOST_NUMBERS} numbers an image."
        )
    return shape
