"""An exported graph as a module of torch: convolutions and linear layers are modules at their paths of before."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from featuresharing.errors import InputError
from featuresharing.networks.failures import is_out_of_memory, reason_of
from featuresharing.networks.formats.exported_program.exported_graph import ExportedGraph, Named, Place, Precision, Step
from featuresharing.networks.formats.exported_program.exported_operators import MULTIPLYING
from featuresharing.networks.module_paths import TAKEN, DifferentNames, module_at, place_module, valid_name, valid_path
from featuresharing.networks.trial import Allowance

CONVOLUTIONS: dict[str, Any] = {"conv1d": nn.Conv1d, "conv2d": nn.Conv2d, "conv3d": nn.Conv3d}
TRANSPOSED: dict[str, Any] = {
    "conv_transpose1d": nn.ConvTranspose1d,
    "conv_transpose2d": nn.ConvTranspose2d,
    "conv_transpose3d": nn.ConvTranspose3d,
}
ANY_CONVOLUTION = {
    1: ("conv1d", "conv_transpose1d"),
    2: ("conv2d", "conv_transpose2d"),
    3: ("conv3d", "conv_transpose3d"),
}


@dataclass(frozen=True, eq=False)
class Layer:
    """A ``module`` that is placed at a ``path`` takes the value ``source`` in ``step``."""

    path: str
    module: nn.Module
    source: Named
    step: Step


@dataclass(eq=False)
class Plan:
    """What an exported network runs: ``steps``, some of which are ``layers``, by their places among the steps.

    A layer is the path of its module and what it takes. ``stored`` says where other weights are, by names of values.
    """

    image: str
    outputs: tuple[str, ...]
    names: tuple[str, ...] | None
    constants: Mapping[str, Any]
    steps: tuple[Step, ...]
    layers: dict[int, tuple[str, Named]]
    stored: dict[str, tuple[str, str]]


class ExportedNetwork(nn.Module):
    """Computes what an exported program computes, for images [N, ...].

    Its modules have the names that they had in the network; all else is in ``_plan``, and in words in ``_recipe``.
    """

    def __init__(self, graph: ExportedGraph, tensors: Mapping[str, Tensor], names: tuple[str, ...] | None) -> None:
        super().__init__()
        maker = _Maker(graph, tensors)
        found = {id(layer.step): layer for layer in maker.layers()}
        for layer in found.values():
            place_module(self, layer.path, layer.module)
        steps = tuple(step for step in graph.steps if id(step) not in maker.done)
        layers = {
            place: (found[id(step)].path, found[id(step)].source)
            for place, step in enumerate(steps)
            if id(step) in found
        }
        self._plan = Plan(graph.image, graph.outputs, names, graph.constants, steps, layers, {})
        taken = {name for step in steps if id(step) not in found for name in step.takes()}
        for name, (kind, own) in graph.weights.items():
            if name in taken:
                value = maker.parameter(name) if kind == "parameter" else tensors[name]
                self._plan.stored[name] = self._store(own, value)
        self._recipe = tuple(_words(step, layers.get(place)) for place, step in enumerate(steps))

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...] | dict[str, Tensor]:
        """Return the scores of images [N, ...]: one tensor, or one a task."""
        plan = self._plan
        values: dict[str, Any] = {plan.image: images, **plan.constants}
        for name, (path, attribute) in plan.stored.items():
            values[name] = getattr(self.get_submodule(path), attribute)
        like = images if images.is_floating_point() else next(self.parameters(), images)
        left = Allowance(images)
        for place, step in enumerate(plan.steps):
            results = self._run(place, step, values, like, images.device)
            values.update((name, value) for name, value in zip(step.outputs, results, strict=False) if name)
            self._spend(place, step, results, values, left)
        scores = tuple(values[name] for name in plan.outputs)
        if plan.names:
            return dict(zip(plan.names, scores, strict=True))
        return scores[0] if len(scores) == 1 else scores

    def _run(self, place: int, step: Step, values: Mapping[str, Any], like: Tensor, device: torch.device) -> Any:
        """Return what a step gives, as a list; raises InputError that names it."""
        try:
            if layer := self._plan.layers.get(place):
                return [self.get_submodule(layer[0])(values[layer[1].name])]
            given = {name: _filled(value, values, like, device) for name, value in step.arguments.items()}
            is_torch = isinstance(step.operator, torch._ops.OpOverload)
            result = _call(step.operator, given) if is_torch else step.operator(*given.values())
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError) as error:
            if is_out_of_memory(error):
                raise
            reason = f"it does not take its arguments ({reason_of(error)}); accepted are those that it takes"
            raise InputError(f"{step.place}: {reason}.") from error
        return result if step.listed else [result]

    def _spend(self, place: int, step: Step, results: Any, values: Mapping[str, Any], left: Allowance) -> None:
        numbers = sum(value.numel() for value in results if isinstance(value, Tensor))
        work = 1
        if layer := self._plan.layers.get(place):
            weight: Any = self.get_submodule(layer[0]).weight
            work = prod(weight.shape[1:])
        elif step.op in MULTIPLYING:
            given = [values[name] for name in step.takes()]
            work = max((value.shape[-1] for value in given if isinstance(value, Tensor) and value.ndim), default=1)
        elif "pool" in step.op and isinstance(step.arguments.get("kernel_size"), list):
            work = abs(prod(step.arguments["kernel_size"]))
        left.spend(step.place, numbers, max(work, 1))

    def _store(self, own: str, value: Tensor) -> tuple[str, str]:
        """Put a weight to its place of before; return the path of its module and its name in it."""
        scope, _, last = own.rpartition(".")
        path = valid_path(scope) if scope else ""
        module = module_at(self, path)
        name = valid_name(last)
        fixed = {"weight", "bias", "running_mean", "running_var"} if type(module) is nn.Module else set()
        while name in (TAKEN - fixed) or name in {*module._parameters, *module._buffers, *module._modules}:
            name = f"{name}_"
        if isinstance(value, nn.Parameter):
            module.register_parameter(name, value)
        else:
            module.register_buffer(name, value)
        return path, name


class _Maker:
    """Finds the steps that a layer stands for; ``done`` are those that nobody has to run any more."""

    def __init__(self, graph: ExportedGraph, tensors: Mapping[str, Tensor]) -> None:
        self._graph, self._tensors = graph, tensors
        self._parameters: dict[str, nn.Parameter] = {}
        self._paths = DifferentNames()
        self.done: set[int] = set()

    def layers(self) -> list[Layer]:
        """Return the layers: convolutions and linear ones with parameters for their weights."""
        users: dict[str, int] = {}
        for step in self._graph.steps:
            for name in step.takes():
                users[name] = users.get(name, 0) + 1
        found = []
        turned = {step.outputs[0]: step for step in self._graph.steps if self._turns(step)}
        for step in self._graph.steps:
            layer = (
                self._linear(step, turned, users) if step.op in ("linear", "addmm", "mm") else self._convolution(step)
            )
            if layer is not None:
                found.append(layer)
        return found

    def _convolution(self, step: Step) -> Layer | None:
        given = dict(step.arguments)
        op, weight = step.op, self._weight(given.get("weight"))
        if op == "convolution" and weight is not None and weight.ndim - 2 in ANY_CONVOLUTION:
            op = ANY_CONVOLUTION[weight.ndim - 2][bool(given.pop("transposed", False))]
        kind = CONVOLUTIONS.get(op) or TRANSPOSED.get(op)
        source, bias = given.get("input"), given.get("bias")
        if kind is None or weight is None or not isinstance(source, Named) or not self._is_bias(bias):
            return None
        groups = given.get("groups", 1)
        count = weight.ndim - 2
        if not isinstance(groups, int) or groups < 1 or weight.numel() == 0 or weight.shape[0] % groups:
            raise InputError(
                f"{step.place}: weights {list(weight.shape)} in {groups} groups; accepted are groups that divide."
            )
        inputs, outputs = weight.shape[1] * groups, weight.shape[0]
        settings: dict[str, Any] = {"groups": groups, "bias": bias is not None}
        for name in ("stride", "padding", "dilation", *(["output_padding"] if op in TRANSPOSED else [])):
            value = given.get(name)
            if isinstance(value, list) and len(value) in (1, count) and all(isinstance(each, int) for each in value):
                settings[name] = tuple(value * count if len(value) == 1 else value)
            elif isinstance(value, str):
                settings[name] = value
            elif value is not None:
                return None
        if op in TRANSPOSED:
            inputs, outputs = weight.shape[0], weight.shape[1] * groups
        module = kind(inputs, outputs, tuple(weight.shape[2:]), device="meta", **settings)
        return self._made(step, module, source, given["weight"], bias)

    def _linear(self, step: Step, turned: Mapping[str | None, Step], users: Mapping[str, int]) -> Layer | None:
        given = step.arguments
        if step.op == "linear":
            source, weight, bias = given.get("input"), given.get("weight"), given.get("bias")
        else:
            source, bias = given.get("mat1" if step.op == "addmm" else "self"), None
            turns = turned.get(getattr(given.get("mat2"), "name", None))
            if (
                turns is None
                or users[str(turns.outputs[0])] > 1
                or given.get("alpha", 1) != 1
                or given.get("beta", 1) != 1
            ):
                return None
            weight = turns.arguments["self"]
            bias = given.get("self") if step.op == "addmm" else None
        tensor = self._weight(weight)
        if tensor is None or tensor.ndim != 2 or not isinstance(source, Named) or not self._is_bias(bias):
            return None
        module = nn.Linear(tensor.shape[1], tensor.shape[0], bias is not None, device="meta")
        if step.op != "linear":
            self.done.add(id(turns))
        return self._made(step, module, source, weight, bias)

    def _made(self, step: Step, module: Any, source: Named, weight: Any, bias: Any) -> Layer:
        module.weight = self.parameter(weight.name)
        module.bias = None if bias is None else self.parameter(bias.name)
        own = self._graph.weights[weight.name][1]
        path = own.removesuffix(".weight").removesuffix("_weight")
        free = self._paths.different(valid_path(path if path != "weight" else "layer"))
        return Layer(free, module, source, step)

    def parameter(self, name: str) -> nn.Parameter:
        """Return a weight of the file; one that stands in two places is the same in both."""
        if name not in self._parameters:
            value = self._tensors[name]
            self._parameters[name] = nn.Parameter(value, value.is_floating_point())
        return self._parameters[name]

    def _weight(self, value: Any) -> Tensor | None:
        """Return the tensor of a parameter; None for what is computed."""
        name = value.name if isinstance(value, Named) else ""
        is_weight = self._graph.weights.get(name, ("", ""))[0] == "parameter"
        tensor = self._tensors[name] if is_weight else None
        return tensor if tensor is not None and tensor.is_floating_point() else None

    def _is_bias(self, value: Any) -> bool:
        tensor = self._weight(value)
        return value is None or (tensor is not None and tensor.ndim == 1)

    def _turns(self, step: Step) -> bool:
        """Whether a step transposes a parameter of two axes."""
        given = step.arguments
        tensor = self._weight(given.get("self"))
        if tensor is None or tensor.ndim != 2:
            return False
        return (
            step.op == "t"
            or (step.op == "permute" and given.get("dims") in ([1, 0], [-1, -2]))
            or (step.op == "transpose" and {given.get("dim0"), given.get("dim1")} in ({0, 1}, {-1, -2}))
        )


def _call(operator: Any, given: Mapping[str, Any]) -> Any:
    """Call an operator of torch, whose first arguments may be called as Python's own words are."""
    schema = operator._schema.arguments
    names = [argument.name for argument in schema]
    if unknown := next((name for name in given if name not in names), None):
        raise TypeError(f"it has no argument '{unknown[:60]}'")
    positional = [argument for argument in schema if not argument.kwarg_only]
    last = max((place for place, argument in enumerate(positional) if argument.name in given), default=-1)
    values = [given.get(argument.name, argument.default_value) for argument in positional[: last + 1]]
    keywords = {
        argument.name: given[argument.name] for argument in schema if argument.kwarg_only and argument.name in given
    }
    return operator(*values, **keywords)


def _filled(argument: Any, values: Mapping[str, Any], like: Tensor, device: torch.device) -> Any:
    """Return an argument with values in the place of names."""
    if isinstance(argument, list):
        return [_filled(each, values, like, device) for each in argument]
    if isinstance(argument, Named):
        return values[argument.name]
    if isinstance(argument, Precision):
        return like.dtype
    return device if isinstance(argument, Place) else argument


def _words(step: Step, layer: tuple[str, Named] | None) -> str:
    """Return a step in words that are the same whenever it is."""
    shown = {
        name: type(value).__name__ if isinstance(value, Precision | Place) else value
        for name, value in step.arguments.items()
    }
    return f"{step.target} {shown} {step.outputs} {layer}"
