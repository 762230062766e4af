"""Time feature pictures against two plain loops, layer by layer, in one run on one thread.

``naive``  one unit after the other: the whole network forward, and back to its parameters and the image.
``batch``  16 units at a time, forward as far as the layer, and back to the images: what FeatureSharing did before.
``ours``   ``featuresharing.maximize_units``, which computes what the centre of a unit depends on.

All are timed in processor time, on some steps and on a single one, of which the difference counts; times for all units
and steps follow by proportion. Contestants take turns, so that a noisy machine is noisy for all. "difference" is the
largest between batch and ours after a few steps, as a share of the largest pixel.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from marginalize import demo_alexnet, paper_alexnet
from torch import Tensor, nn

from featuresharing import FeatureSettings, maximize_units
from featuresharing.networks.alexnet.names import LAYERS
from featuresharing.randomness import keyed_generator
from featuresharing.runs.heap import keep_freed_memory

TOGETHER = 16
"""Units that the batch works on together."""


def main() -> None:
    """Print a line for each layer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=["paper", "demo"], default="demo")
    parser.add_argument("--layers", nargs="+", default=list(LAYERS), choices=LAYERS)
    parser.add_argument("--steps", type=int, default=40, help="steps that are timed")
    parser.add_argument("--json", type=Path, help="write the numbers to this file, too")
    parser.add_argument("--small", action="store_true", help="three layers, few steps: does it still run?")
    options = parser.parse_args()
    if options.small:
        options.layers, options.steps = ["conv1", "conv5", "fc7"], 4
    keep_freed_memory()  # as commands do
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = (paper_alexnet() if options.network == "paper" else demo_alexnet()).eval()
    size, iterations = 224 if options.network == "paper" else 48, FeatureSettings().iterations
    print(f"{options.network} network with random weights, {iterations} steps, one thread, torch {torch.__version__}")
    print("layer  units  naive [s]  batch [s]  ours [s]  naive/ours  batch/ours  difference")
    rows = [measure(network, alias, size, options.steps, iterations) for alias in options.layers]
    whole = {key: sum(row[key] for row in rows) for key in ("units", "naive", "batch", "ours")}
    print(shown({"layer": "all", **whole}))
    if options.json:
        options.json.write_text(json.dumps({"options": vars(options) | {"json": ""}, "rows": rows}, indent=1) + "\n")


def measure(network: nn.Module, alias: str, size: int, steps: int, iterations: int) -> dict[str, Any]:
    """Time all contestants on one layer and print a line."""
    path = LAYERS[alias]
    units = len(network.get_submodule(path).weight)  # type: ignore[arg-type]
    group = list(range(min(units, TOGETHER)))
    shape = (3, size, size)

    def ours(count: int) -> dict[int, Any]:
        return dict(maximize_units(network, path, shape, settings=FeatureSettings(count), units=range(units)))

    contestants: dict[str, tuple[Callable[[int], object], int]] = {
        "naive": (lambda count: climb(network, path, [0], shape, count, whole=True), 1),
        "batch": (lambda count: climb(network, path, group, shape, count), len(group)),
        "ours": (ours, units),
    }
    row: dict[str, Any] = {"layer": alias, "units": units}
    for name, (work, count) in contestants.items():
        row[name] = seconds_of_step(work, steps) * iterations * units / count
    found = ours(min(steps, 5))
    right = climb(network, path, group, shape, min(steps, 5)).numpy()
    mine = np.stack([found[unit] for unit in group])
    row["difference"] = float(np.abs(mine - right).max() / np.abs(right).max())
    print(shown(row), flush=True)
    return row


def shown(row: dict[str, Any]) -> str:
    """Return a line of the table."""
    line = f"{row['layer']:5}  {row['units']:5} {row['naive']:10.1f} {row['batch']:10.1f} {row['ours']:9.1f}"
    line += f" {row['naive'] / row['ours']:11.1f} {row['batch'] / row['ours']:11.1f}"
    return line + (f" {row['difference']:11.0e}" if "difference" in row else "")


def climb(
    network: nn.Module, path: str, units: list[int], shape: tuple[int, ...], count: int, *, whole: bool = False
) -> Tensor:
    """Climb for ``units``, with gradients to the images alone or, with ``whole``, through the whole network to all."""
    settings, module = FeatureSettings(), network.get_submodule(path)
    keyed = (keyed_generator(0, "feature", path, unit) for unit in units)
    images = torch.from_numpy(np.stack([each.standard_normal(shape, dtype=np.float32) for each in keyed]))
    kernel = blur_kernel()
    for parameter in network.parameters():
        parameter.requires_grad_(whole)
    for iteration in range(count):
        images.requires_grad_()
        output = output_of(network, module, images, whole=whole)
        while output.ndim > 2:
            output = output.select(2, output.shape[2] // 2)
        driven = output[torch.arange(len(units)), units].sum()
        if whole:
            images.grad = None
            driven.backward()  # type: ignore[no-untyped-call]
            gradient = images.grad
        else:
            (gradient,) = torch.autograd.grad(driven, images)
        images = (images.detach() + settings.step * gradient) * (1 - settings.decay)  # type: ignore[operator]
        if iteration % settings.blur_every == 0:
            images = F.conv2d(images, kernel, padding=3, groups=3)
    return images


class ReachedError(Exception):
    """The layer has run."""


def output_of(network: nn.Module, module: nn.Module, images: Tensor, *, whole: bool) -> Tensor:
    """Return what a module gives, after a forward pass that ends there unless it is to be ``whole``."""
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs.append(output * 1 if whole else output)
        if not whole:
            raise ReachedError

    hook = module.register_forward_hook(keep)
    try:
        network(images)
    except ReachedError:
        pass
    finally:
        hook.remove()
    return outputs[0]


def blur_kernel() -> Tensor:
    """Return the paper's kernel [3, 1, 7, 7]: root of the product of two profiles of a normal distribution."""
    edges = torch.arange(8, dtype=torch.float64) - 3.5
    masses = torch.diff(torch.special.ndtr(edges))
    root = torch.outer(masses, masses).sqrt()
    return (root / root.sum()).float().expand(3, 1, -1, -1)


def seconds_of_step(work: Callable[[int], object], steps: int) -> float:
    """Return the processor time of a step, of ``steps`` of them or of as many as take a twentieth of a second."""
    work(1)
    while True:
        few, many = seconds_of(work, 1), seconds_of(work, 1 + steps)
        if many - few > 0.05:
            return (many - few) / steps
        steps *= 4


def seconds_of(work: Callable[[int], object], steps: int) -> float:
    """Return the processor time that ``work`` takes for so many steps."""
    start = time.process_time()
    work(steps)
    return time.process_time() - start


if __name__ == "__main__":
    main()
