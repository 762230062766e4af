"""From an archive of torch.export to what a format returns: a network, the shape of its images, what was changed."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.func import functional_call

from featuresharing.errors import InputError, quoted
from featuresharing.networks.formats import Contents
from featuresharing.networks.formats.exported_program.exported_archive import SAY, Program, read_program
from featuresharing.networks.formats.exported_program.exported_graph import (
    ExportedGraph,
    read_exported,
    without_softmax,
)
from featuresharing.networks.formats.exported_program.exported_network import ExportedNetwork
from featuresharing.networks.module_paths import valid_path
from featuresharing.networks.outputs import task_outputs
from featuresharing.networks.trial import TooLargeError, shape_to_try, stated_shape, without_numbers

SEVERAL = 3
HOW = "torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim.AUTO},)) on two images or more"


def convert_program(path: Path) -> Contents:
    """Return what the file at ``path`` holds; raises InputError that names it."""
    program = read_program(path)
    try:
        return _convert(program)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error.__cause__
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {str(error)[:100]}" if str(error).isprintable() else type(error).__name__
        raise InputError(f"{path}: its graph is none that torch writes ({reason}); {SAY}.") from None


def _convert(program: Program) -> Contents:
    graph, notes = without_softmax(read_exported(program.graph))
    names = tuple(valid_path(name) for name in graph.tasks) if graph.tasks else None
    network = ExportedNetwork(graph, _tensors(program, graph), names)
    shape = graph.shape[1:]
    stated = stated_shape(shape)
    if tried := shape_to_try(shape):
        _try_out(network, graph, tried, said=stated is not None)
    return Contents(network.eval(), names, image_shape=stated, notes=notes)


def _tensors(program: Program, graph: ExportedGraph) -> dict[str, Tensor]:
    """Return the tensors of a graph by the names of its values."""
    found = {}
    for name, (kind, own) in graph.weights.items():
        tensor = program.weights.get(own) if kind != "tensor_constant" else None
        tensor = program.constants.get(own) if tensor is None else tensor
        if tensor is None:
            raise InputError(f"the numbers of {quoted(own)} are missing; {SAY}.")
        low = tensor.dtype in (torch.float16, torch.bfloat16)
        found[name] = tensor.detach().float() if low else tensor.detach()
    return found


def _try_out(network: ExportedNetwork, graph: ExportedGraph, shape: Sequence[int], *, said: bool) -> None:
    """Run passes of sizes alone, of one image and of several.

    Raises InputError for one of absurd size, and for a program that takes no other number of images than its own.
    """
    fixed = graph.shape[0]
    _pass(network, graph, fixed or 1, shape, said)
    if fixed is None:
        return
    reason = ""
    try:
        counts = [len(scores) for scores in _pass(network, graph, SEVERAL, shape, True)]
        alone = [len(scores) for scores in _pass(network, graph, 1, shape, True)]
        if set(counts) == {SEVERAL} and set(alone) == {1}:
            return
    except InputError as error:
        reason = f" ({str(error).rstrip('.')})"
    raise InputError(f"it was exported for batches of {fixed}{reason}; accepted is what {HOW} gives.")


def _pass(network: ExportedNetwork, graph: ExportedGraph, count: int, shape: Sequence[int], said: bool) -> list[Tensor]:
    values = without_numbers(network)
    images = torch.empty(count, *shape, dtype=graph.kind, device="meta")
    try:
        with torch.no_grad():
            return list(task_outputs(functional_call(network, values, (images,))).values())
    except TooLargeError:
        raise
    except InputError:
        if said:
            raise
        return []
