"""What images give at the centre of units, computed from what the centre depends on.

The forward pass up to the layer is written down as a graph (:mod:`featuresharing.engine.tracing`). From the layer's
centre on back to the images, every operator is asked which window of what it takes it needs (:mod:`.windows`); a unit
of an early layer sees a small part of an image. On a CPU, gradients to images are taken in blocks of pixels
(:mod:`.image_gradients`). Before, the graph is made simpler (:mod:`.rewriting`).

A graph does not have everything that a network's own gradient may depend on, such as values that were detached. So its
numbers and its gradients are compared with the network's own, on two sets of images, and where they differ, or where
a pass cannot be written down, the network's own pass remains.
"""

import operator
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from featuresharing.analysis.image_gradients import MOST_CHANNELS, ImageConvolution
from featuresharing.analysis.rewriting import dependent_on, simplify
from featuresharing.analysis.unit_drives import WHOLE, PlainDrive, Subject, gradient_of
from featuresharing.analysis.windows import Window, cut_out, find_rule, is_map, joined, mark_first_values, whole_of
from featuresharing.engine.recording import NumbersLeaveError, Recorder, Watcher
from featuresharing.engine.slabs import aten, shape_of
from featuresharing.engine.tracing import Recording, Trace, bind_arguments, make_trace
from featuresharing.networks.failures import is_out_of_memory
from featuresharing.networks.inputs import IMAGES, Inputs

CLOSENESS = {torch.float32: 1e-4, torch.float64: 1e-9}
"""By how much of its length the gradient to an image may differ by rounding, if this switches no rectifier."""

SWITCHED = 0.1
"""By how much it may differ if it does."""

_VIEWS = (aten.view.default, aten._unsafe_view.default)
_BY_MEMORY = (aten.as_strided.default,)
"""Operators whose meaning depends on how values lie in memory."""

Values = dict[fx.Node, Any]
Compute = Callable[[Values], Any]


def find_drive(subject: Subject, images: Tensor, units: Tensor) -> "WindowedDrive | None":
    """Return the drive for as many images as ``images`` [B, C, H, W], once it gives what the network does.

    None where it does not, or where the pass cannot be written down.
    """
    try:
        drive = WindowedDrive(subject, _trace(subject, images))
        others = -2 * images.flip(1, 2, 3)
        return drive if all(_agree(subject, drive, each, units) for each in (images, others)) else None
    except (Exception, NumbersLeaveError) as error:  # whatever a network's own code does
        if is_out_of_memory(error):
            raise
        return None


def _trace(subject: Subject, images: Tensor) -> Trace:
    """Write down the pass up to the layer."""
    inputs = Inputs(images.clone(), fixed=subject.others)
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)  # it has no gradient
        with torch.no_grad():
            recorder = Recorder(subject.network, dict(subject.values), inputs)
            with recorder, Watcher(recorder):
                output = subject.outputs(inputs.images)
            recorder.graph.output((recorder.node_of(output),))
            recording = Recording(recorder.graph, recorder.values, ("",), (output,), (), ())
            return make_trace(subject.network, recording, Inputs(images.clone(), fixed=subject.others))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _agree(subject: Subject, drive: "WindowedDrive", images: Tensor, units: Tensor) -> bool:
    """Whether values and gradients are those of the network by rounding, which is told in double precision if need be.

    There, a graph of two images stands for all, which takes less memory.
    """
    kind = images.dtype
    if _differ_little(subject, drive, images, units, CLOSENESS[kind]):
        return True
    if kind == torch.float64 or images.device.type == "mps":
        return False
    if not _differ_little(subject, drive, images, units, SWITCHED):
        return False
    few = images[:2].double()
    doubled = replace(subject, values={name: _double(value) for name, value in subject.values.items()})
    precise = WindowedDrive(doubled, _trace(doubled, few))
    return _differ_little(doubled, precise, few, units[:2], CLOSENESS[few.dtype])


def _differ_little(subject: Subject, drive: "WindowedDrive", images: Tensor, units: Tensor, bound: float) -> bool:
    rows, columns = drive.window
    own = images.clone().requires_grad_()
    right = PlainDrive(subject)(own, units)
    wanted = gradient_of(right, own, subject.layer)
    part = images[:, :, rows, columns].clone().requires_grad_()
    found = drive(part, units)
    gradient = torch.zeros_like(images)
    gradient[:, :, rows, columns] = gradient_of(found, part, subject.layer)
    lengths = wanted.flatten(1).norm(dim=1)
    same = torch.allclose(found, right, rtol=bound, atol=bound * float(right.detach().abs().max()))
    return same and bool(((gradient - wanted).flatten(1).norm(dim=1) <= bound * lengths).all())


def _double(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value


class WindowedDrive:
    """A graph of the pass up to a layer, of which the windows are computed that the layer's centre needs."""

    def __init__(self, subject: Subject, trace: Trace) -> None:
        self._subject, self._trace = subject, trace
        graph = fx.Graph()
        graph.output(graph.graph_copy(trace.graph, {}))
        if any(node.target in _BY_MEMORY for node in graph.nodes):
            raise NotImplementedError("a value whose meaning depends on how it lies in memory")
        self._images = next(node for node in graph.nodes if node.op == "placeholder" and node.target == IMAGES)
        simplify(graph, self._images)
        mark_first_values(graph)
        self._output = _output_of(graph)
        self._windows = _windows(graph, self._images, as_map=not subject.is_linear)
        self._constants: dict[fx.Node, Any] = {}
        self._steps: list[tuple[fx.Node, Compute]] = []
        for node in graph.nodes:
            self._add(node, trace.values)

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns of images that all units of the layer together depend on at most."""
        window = self._windows.get(self._images)
        return (slice(*window[0]), slice(*window[1])) if window else WHOLE

    @property
    def numbers(self) -> int:
        """How many numbers a pass keeps for one image."""
        nodes = [self._images, *(node for node, _ in self._steps if node.target is not operator.getitem)]
        return sum(_size(node, self._windows.get(node)) for node in nodes) // self._trace.rows

    def __call__(self, images: Tensor, units: Tensor) -> Tensor:
        """Return what image b, of which the window is given, gives for unit b of ``units``, [B]."""
        values = {**self._constants, self._images: images}
        for node, compute in self._steps:
            values[node] = compute(values)
        return self._subject.centres(values[self._output], units)

    def _add(self, node: fx.Node, values: dict[str, Tensor]) -> None:
        """Compute a value that does not depend on the images, or find how one that does is computed."""
        if node.op == "output" or node is self._images:
            return
        if node.op == "placeholder":
            self._constants[node] = values[str(node.target)]
        elif all(source in self._constants for source in node.all_input_nodes):
            self._constants[node] = _as_a_whole(node)(self._constants)
        else:
            self._steps.append((node, self._computing(node)))

    def _computing(self, node: fx.Node) -> Compute:
        """Return how the window of a node's value is computed."""
        window, windows, rule = self._windows.get(node), self._windows, find_rule(node)
        convolution = self._image_convolution(node, padded=window is not None)
        if convolution and window is None:
            images: fx.Node = node.args[0]  # type: ignore[assignment]
            return lambda values: convolution(values[images])
        if window is None or rule is None:
            return _as_a_whole(node)
        run = rule.on(convolution) if convolution and rule.on else rule.run

        def compute(values: Values) -> Any:
            def take(source: fx.Node, wanted: Window | None) -> Any:
                if wanted is None:
                    return values[source]
                (top, _), (left, _) = windows.get(source) or ((0, 0), (0, 0))
                return cut_out(values[source], wanted, (top, left))

            return run(take, window)

        return compute

    def _image_convolution(self, node: fx.Node, *, padded: bool) -> ImageConvolution | None:
        """Return a convolution of few channels on a CPU, whose input is ``padded`` already; None for all else."""
        if node.target is not aten.convolution.default or not is_map(node):
            return None
        given = bind_arguments(node)
        filters, bias = given["weight"], given["bias"]
        if given["transposed"] or given["groups"] > 1 or set(given["dilation"]) != {1}:
            return None
        if shape_of(given["input"])[1] > MOST_CHANNELS or filters not in self._constants:
            return None
        if self._constants[filters].device.type != "cpu" or (bias is not None and bias not in self._constants):
            return None
        padding = (0, 0) if padded else given["padding"]
        shift = None if bias is None else self._constants[bias]
        return ImageConvolution.of(self._constants[filters], shift, given["stride"], padding)


def _windows(graph: fx.Graph, images: fx.Node, *, as_map: bool) -> dict[fx.Node, Window]:
    """Return the window that is needed of every value which depends on the images; all is needed of what is absent.

    Of the output, if it is to be seen ``as_map``, it is the centre.
    """
    output = _output_of(graph)
    centre = _centre(output) if as_map and is_map(output) else None
    needed: dict[fx.Node, Window | None] = {output: joined(output, centre, centre)}
    for node in reversed(graph.nodes):
        if node not in needed or node.op == "placeholder":
            continue
        wanted = _needs(node, needed[node])
        if wanted is None:
            needed[node], wanted = None, dict.fromkeys(node.all_input_nodes)
        for source, window in wanted.items():
            needed[source] = joined(source, needed.get(source, window), window)
    dependent = dependent_on(graph, images)
    return {node: window for node, window in needed.items() if window and node in dependent}


def _needs(node: fx.Node, window: Window | None) -> dict[fx.Node, Window | None] | None:
    """Return what a node needs of its sources for a window; None for all of them."""
    if window is None:
        return None
    if node.target is operator.getitem:
        source, position = node.args
        return {source: window} if position == 0 and find_rule(source) else None  # type: ignore[arg-type, dict-item]
    rule = find_rule(node)
    return rule.needs(window) if rule else None


def _centre(node: fx.Node) -> Window:
    (_, rows), (_, columns) = whole_of(node)
    return (rows // 2, rows // 2 + 1), (columns // 2, columns // 2 + 1)


def _output_of(graph: fx.Graph) -> fx.Node:
    output = next(node for node in graph.nodes if node.op == "output").args[0]
    found: fx.Node = output[0]
    return found


def _as_a_whole(node: fx.Node) -> Compute:
    if node.target in _VIEWS:  # of another layout in memory, maybe
        source, shape = node.args
        return lambda values: values[source].reshape(shape)  # type: ignore[index]

    def compute(values: Values) -> Any:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
        return node.target(*args, **kwargs)  # type: ignore[operator]

    return compute


def _size(node: fx.Node, window: Window | None) -> int:
    shape: tuple[int, ...] = node.meta.get("shape", ())
    if window is None:
        return prod(shape)
    return prod(shape[:-2]) * prod(last - first for first, last in window)
