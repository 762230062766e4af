"""The graph of an exported program: what JSON says, checked, as steps with arguments."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from featuresharing.errors import InputError, ordinal, quoted
from featuresharing.networks.formats.exported_program.exported_archive import TYPES
from featuresharing.networks.formats.exported_program.exported_operators import CHECKS, find_operator, name_in

MOST_STEPS = 100_000
SOFTMAX = ("softmax", "_softmax", "log_softmax", "_log_softmax")
TRAINING = ("train", "training", "use_input_stats")
WEIGHTS = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}
FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d, 4: torch.preserve_format}
PLAIN: dict[str, Any] = {"as_int": int, "as_float": (int, float), "as_bool": bool, "as_string": str}
LISTS: dict[str, Any] = {"as_ints": int, "as_floats": (int, float), "as_bools": bool}


@dataclass(frozen=True)
class Named:
    """A value of the graph."""

    name: str


class Precision:
    """Stands for the type of numbers in which the network computes, whichever the file names."""


class Place:
    """Stands for the device of the images, whichever the file names."""


@dataclass(frozen=True, eq=False)
class Step:
    """An operator at a ``place``, called with ``arguments`` by the names that torch has for them, gives ``outputs``.

    Of ``outputs``, None stands for a value without a name; where they are ``listed``, the operator gives a list.
    """

    target: str
    operator: Any
    arguments: Mapping[str, Any]
    outputs: tuple[str | None, ...]
    listed: bool
    place: str

    @property
    def op(self) -> str:
        """The name of the operator, without library and overload."""
        return name_in(self.target)

    def takes(self) -> Iterator[str]:
        """Yield the values that the step takes."""
        for value in self.arguments.values():
            yield from (
                each.name for each in (value if isinstance(value, list) else [value]) if isinstance(each, Named)
            )


@dataclass(frozen=True, eq=False)
class ExportedGraph:
    """``steps`` in their order; what weights are called, by the names of values; ``image`` and ``outputs``.

    ``shape`` is that of the images, None where a size is free, ``kind`` the type of their numbers. ``tasks`` are the
    names of outputs in dicts.
    """

    steps: tuple[Step, ...]
    weights: Mapping[str, tuple[str, str]]
    constants: Mapping[str, Any]
    image: str
    shape: tuple[int | None, ...]
    kind: torch.dtype
    outputs: tuple[str, ...]
    tasks: tuple[str, ...] | None


def read_exported(program: Mapping[str, Any]) -> ExportedGraph:
    """Return the graph of a program; raises InputError for no network on images, KeyError and the like for no graph."""
    module = program["graph_module"]
    graph, signature = module["graph"], module["signature"]
    if len(graph["nodes"]) > MOST_STEPS:
        raise InputError(f"it has {len(graph['nodes'])} operators; accepted are at most {MOST_STEPS}.")
    weights: dict[str, tuple[str, str]] = {}
    constants: dict[str, Any] = {}
    images = []
    for spec in signature["input_specs"]:
        ((kind, said),) = spec.items()
        if kind in WEIGHTS:
            weights[said["arg"]["name"]] = (kind, str(said[WEIGHTS[kind]]))
        elif kind == "constant_input":
            constants[str(said["name"])] = (
                next(iter(said["value"].values())) if "as_none" not in said["value"] else None
            )
        elif kind == "user_input" and "as_tensor" in said["arg"]:
            images.append(str(said["arg"]["as_tensor"]["name"]))
        elif kind != "user_input":
            raise InputError(f"it takes a {kind.replace('_', ' ')}; accepted are weights, buffers and images.")
    if len(images) != 1:
        raise InputError(
            f"its inputs are {', '.join(map(quoted, images)) or 'none'}; accepted is one, which takes images."
        )
    outputs = tuple(_outputs(signature["output_specs"]))
    steps = tuple(_step(node, place) for place, node in enumerate(graph["nodes"]) if node["target"] not in CHECKS)
    meta = graph["tensor_values"][images[0]]
    sizes = tuple(size.get("as_int") for size in meta["sizes"])
    kind = getattr(torch, TYPES.get(meta["dtype"], "float32"))
    found = ExportedGraph(steps, weights, constants, images[0], sizes, kind, outputs, _tasks(module, len(outputs)))
    _check_values(found)
    return found


def without_softmax(graph: ExportedGraph) -> tuple[ExportedGraph, tuple[str, ...]]:
    """Return the graph without a softmax over classes at its ends, and a sentence for each."""
    makers = {name: step for step in graph.steps for name in step.outputs if name}
    taken = {name for step in graph.steps for name in step.takes()}
    outputs, notes = [], []
    for place, output in enumerate(graph.outputs):
        step = makers.get(output)
        source = step.arguments.get("self") if step and step.op in SOFTMAX else None
        if step is None or output in taken or not isinstance(source, Named) or step.arguments.get("dim") not in (1, -1):
            outputs.append(output)
            continue
        outputs.append(source.name)
        name = graph.tasks[place] if graph.tasks else str(place)
        notes.append(f"{step.place} at the end of output '{name}' was left out: analysis takes raw scores.")
    needed, kept = set(outputs), []
    for step in reversed(graph.steps):
        if needed.intersection(name for name in step.outputs if name) or step.op.endswith("_"):
            kept.append(step)
            needed.update(step.takes())
    return replace(graph, steps=tuple(reversed(kept)), outputs=tuple(outputs)), tuple(notes)


def _outputs(specs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for spec in specs:
        ((kind, said),) = spec.items()
        if kind != "user_output":
            found = f"it has a {kind.replace('_', ' ')}"
            raise InputError(f"{found}; accepted are networks that were exported at evaluation: network.eval() first.")
        if "as_tensor" in said["arg"]:
            yield str(said["arg"]["as_tensor"]["name"])
        elif "as_none" not in said["arg"]:
            raise InputError(f"it returns {next(iter(said['arg']))}; accepted are raw scores [images, classes].")


def _tasks(module: Mapping[str, Any], count: int) -> tuple[str, ...] | None:
    """Return the names of outputs in dicts, of two or more; None where they have places only."""
    calls = [call for call in module["module_call_graph"] if call.get("fqn") == "" and call.get("signature")]
    if count < 2 or not calls:
        return None
    try:
        tree = json.loads(calls[0]["signature"]["out_spec"])[1]
        names = list(_leaves(tree, ()))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    named = len(names) == count == len(set(names)) and any(not part.isdigit() for name in names for part in name)
    return tuple(".".join(name) for name in names) if named else None


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    children = tree["children_spec"]
    if tree["type"] is None:
        yield path
        return
    keys = json.loads(tree["context"]) if "ict" in tree["type"] else None
    names = [str(key) for key in keys] if isinstance(keys, list) else [str(place) for place in range(len(children))]
    for name, child in zip(names, children, strict=True):
        yield from _leaves(child, (*path, name))


def _step(node: Mapping[str, Any], position: int) -> Step:
    target = str(node["target"])
    place = f"operator {quoted(target)} (the {ordinal(position + 1)} of the graph)"
    operator = find_operator(target, place)
    arguments = {str(each["name"]): _argument(each["arg"], place) for each in node["inputs"]}
    if training := next((name for name in TRAINING if arguments.get(name) is True), None):
        raise InputError(f"{place}: '{training}' is true; accepted are networks that were exported at evaluation.")
    outputs: list[str | None] = []
    listed = False
    for each in node["outputs"]:
        ((kind, said),) = each.items()
        if kind == "as_tensors":
            outputs += [str(one["name"]) for one in said]
            listed = True
        elif kind in ("as_tensor", "as_sym_int", "as_sym_bool", "as_sym_float"):
            outputs.append(str(said["name"] if kind == "as_tensor" else said["as_name"]))
        else:
            outputs.append(None)
    return Step(target, operator, arguments, tuple(outputs), listed or len(outputs) > 1, place)


def _argument(said: Any, place: str) -> Any:
    """Return an argument as plain data, with names in the place of values."""
    if not isinstance(said, Mapping):
        raise InputError(f"{place}: an argument is {quoted(str(said))}; accepted are tensors, numbers and sizes.")
    ((kind, value),) = said.items()
    is_list = kind in LISTS and isinstance(value, list) and all(isinstance(each, LISTS[kind]) for each in value)
    if is_list or (kind in PLAIN and isinstance(value, PLAIN[kind])):
        return value
    if kind in ("name", "as_name"):
        return Named(str(value))
    if kind in INSIDE:
        return _argument(value, place)
    if kind in SEVERAL and isinstance(value, list):
        return [_argument(each, place) for each in value]
    if kind in MEANINGS:
        return MEANINGS[kind](value)
    raise InputError(f"{place}: an argument is {kind.removeprefix('as_')}; accepted are tensors, numbers and sizes.")


def _type_of_numbers(value: Any) -> Any:
    dtype: torch.dtype = getattr(torch, TYPES[value])
    return Precision() if dtype.is_floating_point else dtype


INSIDE = ("as_tensor", "as_optional_tensor", "as_sym_int", "as_sym_bool", "as_sym_float")
SEVERAL = ("as_tensors", "as_optional_tensors", "as_sym_ints", "as_sym_bools", "as_sym_floats")
MEANINGS: dict[str, Callable[[Any], Any]] = {
    "as_none": lambda _: None,
    "as_float": float,  # infinite ones are texts
    "as_scalar_type": _type_of_numbers,
    "as_device": lambda _: Place(),
    "as_layout": lambda _: torch.strided,
    "as_memory_format": FORMATS.__getitem__,
}
"""Arguments that hold another, those that hold several, and what others mean."""


def _check_values(graph: ExportedGraph) -> None:
    """Raise InputError unless every value is made once, before it is taken."""
    known = {*graph.weights, *graph.constants, graph.image}
    for step in graph.steps:
        if unknown := next((name for name in step.takes() if name not in known), None):
            raise InputError(
                f"{step.place} takes {quoted(unknown)}; accepted are values that operators before it make."
            )
        known.update(name for name in step.outputs if name)
    if missing := next((name for name in graph.outputs if name not in known), None):
        raise InputError(f"nothing makes output {quoted(missing)}; accepted are outputs that an operator makes.")
