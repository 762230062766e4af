"""From a graph of ONNX to what a format returns: a network, the shape of its images, and what was changed."""

from pathlib import Path

import torch

from featuresharing.errors import InputError
from featuresharing.networks.formats import Contents
from featuresharing.networks.formats.onnx_model.onnx_batches import HOW, free_images
from featuresharing.networks.formats.onnx_model.onnx_graph import Graph
from featuresharing.networks.formats.onnx_model.onnx_layers import find_layers
from featuresharing.networks.formats.onnx_model.onnx_network import KNOWN, OnnxNetwork
from featuresharing.networks.formats.onnx_model.onnx_simplification import simplify, without_softmax
from featuresharing.networks.module_paths import valid_path
from featuresharing.networks.trial import TooLargeError, shape_to_try, stated_shape, without_numbers

CHANNELS = (1, 3, 4)
LEAST_SIDE = 5
"""Pixels from which an axis is one of space, where it is to be told from one of channels."""


def convert_graph(path: Path, graph: Graph) -> Contents:
    """Return what the file at ``path`` holds; raises InputError that names it."""
    try:
        return _convert(graph)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error.__cause__


def _convert(graph: Graph) -> Contents:
    names = [valid_path(name) for name in graph.outputs]
    graph, notes = without_softmax(simplify(graph, KNOWN), graph.outputs)
    last = _is_channels_last(graph.shape)
    shape = (*graph.shape[3:], *graph.shape[1:3]) if last else graph.shape[1:]
    stated = stated_shape(shape)
    network = OnnxNetwork(graph, list(find_layers(graph)), names, last)
    if last:
        notes += ("images are [N, H, W, C] in the file; the network takes [N, C, H, W], as others do.",)
    if graph.shape and graph.shape[0] not in (None, 1):
        raise InputError(f"the file is for batches of {graph.shape[0]} images; {HOW}.")
    if graph.shape[:1] == (1,) and stated:
        free_images(network, stated)
        network.note_recipe()
        notes += ("the file is for one image at a time; the network takes any number.",) if network.freed else ()
    elif tried := shape_to_try(shape):
        _try_out(network, tried, said=stated is not None)
    tasks = tuple(names) if len(names) > 1 else None
    return Contents(network.eval(), tasks, image_shape=stated, notes=notes)


def _is_channels_last(shape: tuple[int | None, ...]) -> bool:
    """Return whether images are [N, H, W, C]."""
    if len(shape) != 4 or shape[3] not in CHANNELS or shape[1] in CHANNELS:
        return False
    return all(side is None or side >= LEAST_SIDE for side in shape[1:3])


def _try_out(network: OnnxNetwork, shape: tuple[int, ...], *, said: bool) -> None:
    """Run a pass of sizes alone; raises InputError for one of absurd size, or on a shape that the file has ``said``."""
    values = without_numbers(network)
    kind = next((value.dtype for value in values.values()), torch.float32)
    try:
        with torch.no_grad():
            torch.func.functional_call(network, values, (torch.empty(1, *shape, dtype=kind, device="meta"),))
    except TooLargeError:
        raise
    except InputError:
        if said:
            raise
