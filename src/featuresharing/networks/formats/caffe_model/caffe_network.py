"""From the two files of a Caffe network to a module that gives raw scores."""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from featuresharing.errors import InputError, quoted
from featuresharing.networks.formats import Contents
from featuresharing.networks.formats.caffe_model.caffe_definition import Definition, Entry, read_definition
from featuresharing.networks.formats.caffe_model.caffe_layers import CaffeLayer, Made, Shape, numbers_of
from featuresharing.networks.formats.caffe_model.caffe_modules import CaffeNetwork, is_one_pixel
from featuresharing.networks.formats.caffe_model.caffe_operators import TYPES, make_layer
from featuresharing.networks.formats.caffe_model.caffe_weights import StoredWeights
from featuresharing.networks.module_paths import DifferentNames
from featuresharing.networks.trial import MOST_VALUES, MOST_WORK

LOSSES = ("HingeLoss", "SoftmaxWithLoss")
"""Types of layers that compare raw scores, their first blob, with labels: the scores are an output in their place."""

WITHOUT_RESULT = ("Accuracy", "Silence")
"""Types of layers that are left out."""

KNOWN = frozenset({*TYPES, *LOSSES, *WITHOUT_RESULT, "Split"})
"""Types of layers that there may be, beside those of data."""

SHAPES_ALONE = ("Dropout", "Flatten", "Reshape")
"""Types that leave numbers as they are: behind a softmax they give probabilities as well."""

MOST_NUMBERS = 2**30
"""Numbers that all blobs may have together for an image: four gigabytes, if none could be given up."""

LONGEST_NAME = 100
"""Letters of a module's name."""


def load_caffe_network(definition: Path, weights: Path) -> Contents:
    """Return the network of a definition and its weights: in evaluation mode, on the CPU, with the names of its tasks.

    Raises InputError for files that are no such pair, and for layers that are not known or contradict their weights,
    which it names.
    """
    found = read_definition(definition, KNOWN)
    graph = _Graph(found, StoredWeights(weights))
    for layer in found.layers:
        graph.add(layer)
    return graph.contents()


@dataclass(frozen=True)
class _Node:
    """A layer, the name of its module, and the numbers of the values that it takes and makes."""

    layer: Entry
    name: str
    taken: tuple[int, ...]
    made: tuple[int, ...]
    flat_from: int


class _Graph:
    """Layers as modules that take and make numbered values; blobs are names of values, which layers may use again."""

    def __init__(self, definition: Definition, weights: StoredWeights) -> None:
        self._definition, self._weights = definition, weights
        self._values = {name: number for number, name in enumerate(definition.inputs)}
        self._shapes: list[Shape] = list(definition.inputs.values())
        self._modules: dict[str, nn.Module] = {}
        self._nodes: list[_Node] = []
        self._names = DifferentNames()
        self._results: dict[str, int] = {}
        self._weighted: set[str] = set()
        self._notes: dict[int, str] = {}
        self._spent = {"numbers": 0, "products": 0}

    def add(self, layer: Entry) -> None:
        """Add a layer behind those which are there; raises InputError, which names it, where it does not fit."""
        taken = tuple(self._value(layer, name) for name in layer.bottoms)
        if layer.kind in LOSSES and taken:
            self._results[layer.bottoms[0]] = taken[0]
            self._note(layer, "networks give raw scores")
        elif layer.kind != "Accuracy":
            for name in layer.bottoms:
                self._results.pop(name, None)
        if layer.kind == "Split":
            self._bind(layer, taken * len(layer.tops))
        elif layer.kind in TYPES:
            shapes = [self._shapes[number] for number in taken]
            found = make_layer(CaffeLayer(self._definition, layer, shapes, self._weights))
            self._check(layer, found)
            first = len(self._shapes)
            self._shapes += found.shapes
            made = tuple(range(first, len(self._shapes)))
            self._bind(layer, made)
            name = self._unused(layer.name)
            self._modules[name] = found.module
            self._nodes.append(_Node(layer, name, taken, made, found.flat_from))

    def contents(self) -> Contents:
        """Return the network of all layers on which a result depends; raises InputError where there is none."""
        results = dict(sorted(self._results.items(), key=lambda result: result[1]))
        nodes, instead = self._without_last_softmax()
        outputs: dict[int, str] = {}
        for name, number in results.items():
            outputs.setdefault(instead.get(number, number), name)
        needed = set(outputs)
        kept = []
        for node in reversed(nodes):
            if needed & set(node.made):
                needed |= set(node.taken)
                kept.append(node)
        inputs = [name for number, name in enumerate(self._definition.inputs) if number in needed]
        if len(inputs) != 1 or not kept:
            found = f"on {len(inputs)} inputs ({', '.join(map(quoted, inputs[:5]))})" if kept else "on no layer"
            raise InputError(
                f"{self._definition.path}: its outputs depend {found}; accepted are networks that take images alone."
            )
        kept.reverse()
        return self._assembled(inputs[0], kept, outputs)

    def _assembled(self, name: str, nodes: list[_Node], outputs: dict[int, str]) -> Contents:
        numbers = {number: number + 1 for number in range(len(self._shapes))}  # 0 are the images
        numbers[list(self._definition.inputs).index(name)] = 0
        steps = [
            (
                node.name,
                tuple(numbers[each] for each in node.taken),
                tuple(numbers[each] for each in node.made),
                node.flat_from,
            )
            for node in nodes
        ]
        names = DifferentNames()
        tasks = tuple(names.different(printable(name)) for name in outputs.values())
        network = CaffeNetwork(
            {node.name: self._modules[node.name] for node in nodes},
            steps,
            [(task, numbers[number]) for task, number in zip(tasks, outputs, strict=True)],
        )
        shapes = [self._shapes[number] for number in outputs]
        flat = all(len(shape) == 2 or is_one_pixel(shape) for shape in shapes)
        return Contents(
            network.eval(),
            tasks if len(tasks) > 1 else None,
            tuple(shape[1] for shape in shapes) if flat else None,
            image_shape=self._definition.inputs[name][1:],
            notes=tuple(note for _, note in sorted(self._notes.items())),
        )

    def _value(self, layer: Entry, name: str) -> int:
        if name in self._values:
            return self._values[name]
        other = next((each for each in self._definition.layers if name in each.tops), None)
        found = f"which {other.shown} makes, and not before it" if other else "which no layer makes"
        raise self._definition.refuse(
            layer, f"it takes the blob {quoted(name)}, {found}; accepted are blobs of layers that stand before it"
        )

    def _bind(self, layer: Entry, numbers: tuple[int, ...]) -> None:
        """Give values the names of the blobs that a layer makes."""
        for name, number in zip(layer.tops, numbers, strict=True):
            if name in self._values and name not in layer.bottoms:
                problem = f"it makes the blob {quoted(name)}, which is there already; accepted is one maker of a blob"
                raise self._definition.refuse(layer, problem)
            self._values[name] = self._results[name] = number

    def _check(self, layer: Entry, found: Made) -> None:
        """Refuse a layer that shares its weights' name, or with which an image takes absurd memory or time."""
        if self._weights.count(layer.name):
            if layer.name in self._weighted:
                raise self._definition.refuse(layer, "another layer of this name has weights; accepted are other names")
            self._weighted.add(layer.name)
        numbers = [numbers_of(shape) for shape in found.shapes]
        image = max(map(numbers_of, self._definition.inputs.values()))
        self._spent["numbers"] += sum(numbers)
        self._spent["products"] += sum(numbers) * found.products
        most = {"numbers": min(MOST_NUMBERS, MOST_VALUES * image), "products": MOST_WORK * image}
        if any(spent > most[what] for what, spent in self._spent.items()):
            raise self._definition.refuse(
                layer,
                f"with it, one image takes {self._spent['numbers']:.1e} numbers and {self._spent['products']:.1e} "
                f"products; accepted are at most {MOST_NUMBERS} numbers, and {MOST_VALUES} numbers and {MOST_WORK} "
                "products for each number of the image",
            )

    def _without_last_softmax(self) -> tuple[list[_Node], dict[int, int]]:
        """Return the layers but those that make probabilities of results, and which values take the place of theirs."""
        last = dict.fromkeys(range(len(self._shapes)), True)  # whether nothing behind a value computes with it
        instead: dict[int, int] = {}
        found = []
        for node in reversed(self._nodes):
            module = self._modules[node.name]
            is_last = all(last[number] for number in node.made)
            if is_last and isinstance(module, nn.Softmax) and module.dim == 1:
                instead[node.made[0]] = node.taken[0]
                self._note(node.layer, "networks give raw scores")
                last[node.taken[0]] = False
                continue
            if not (is_last and node.layer.kind in SHAPES_ALONE):
                last |= dict.fromkeys(node.taken, False)
            found.append(node)
        found = [replace(node, taken=tuple(instead.get(each, each) for each in node.taken)) for node in found]
        return list(reversed(found)), instead

    def _note(self, layer: Entry, reason: str) -> None:
        self._notes[layer.position] = f"{layer.shown} of {self._definition.path.name} was left out: {reason}."

    def _unused(self, name: str) -> str:
        """Return a layer's name as that of a module: without dots, and none that is there."""
        plain = printable(name).replace(".", "_") or "_"
        while hasattr(_EMPTY, plain):  # such as type and half, which modules of torch have
            plain += "_"
        return self._names.different(plain)


_EMPTY = CaffeNetwork({}, (), ())


def printable(name: str) -> str:
    """Return a name of a file without what does not print, cut where it is long."""
    return "".join(letter if letter.isprintable() else "_" for letter in name[:LONGEST_NAME])
