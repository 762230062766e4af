"""Time marginalization against what a user would write instead, layer by layer, in one run.

``naive``    sets the unit to one draw after the other and runs the whole network each time.
``vmap``     ``torch.func.functional_call`` under ``torch.func.vmap``: several draws of a unit in one call.
``ours``     ``featuresharing.marginalize``.

The first two are timed on a few draws and their time for all units and draws follows by proportion; ours is timed on
some units of each layer and on the work that is done once, and the time for all units follows by proportion as well
(``--all`` times them all). Contestants take turns, so that a noisy machine is noisy for all.

GFLOP/s count two operations for a multiplication with an addition, in convolutions and matrix products, while they run.
"dense" is the part of ours behind the first operator that mixes channels, to compare with the network's own forward
pass; behind fc7 no matrix product is left.
"""

import argparse
import json
import time
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils.flop_counter import FlopCounterMode

from featuresharing import marginalize, prior_draws
from featuresharing.computation import Computation
from featuresharing.engine.engines import make_engine
from featuresharing.engine.one_channel import OneChannelEngine
from featuresharing.networks.alexnet.architecture import AlexNetShape, build_alexnet
from featuresharing.networks.alexnet.names import LAYERS
from featuresharing.networks.formats.torch7_model.torch7_modules import ConcatTable
from featuresharing.settings import NetworkSettings

PASSES = 4
"""Draws that the naive loop and vmap are timed on."""

DEMO = AlexNetShape(48, classes=(20, 20), **NetworkSettings().sizes())
"""The demo's network, with heads of 20 classes."""

SECONDS = 8.0
"""About how long ours is timed for on each layer, unless all units are."""


def paper_alexnet() -> nn.Sequential:
    """Return the paper's network with random weights: 224 pixels, heads of 500 and 100 classes."""
    convolutions = nn.Sequential(
        *(nn.Conv2d(3, 96, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )
    heads = ConcatTable([nn.Linear(4096, 500), nn.Linear(4096, 100)])
    classifier = nn.Sequential(
        *(nn.Flatten(), nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU()),
        *(nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), heads),
    )
    return nn.Sequential(nn.Sequential(convolutions), classifier)


def demo_alexnet() -> nn.Sequential:
    """Return the demo's network with random weights."""
    return build_alexnet(DEMO)


def main() -> None:
    """Print a line for each layer, and one for all units."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=["paper", "demo"], default="paper")
    parser.add_argument("--images", type=int, default=64, help="images")
    parser.add_argument("--samples", type=int, default=100, help="draws from the prior of each unit")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="largest weight of draws left out")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--all", action="store_true", help="time all units of every layer")
    parser.add_argument("--json", type=Path, help="write the numbers to this file, too")
    parser.add_argument("--small", action="store_true", help="the demo's network, few images: does it still run?")
    options = parser.parse_args()
    if options.small:
        options.network, options.images, options.samples = "demo", 4, 5
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = (paper_alexnet() if options.network == "paper" else demo_alexnet()).eval().to(options.device)
    size = 224 if options.network == "paper" else 48
    images = torch.randn(options.images, 3, size, size)
    print(
        f"{options.network} network, {options.images} images, {options.samples} draws, tolerance {options.tolerance},"
        f" {options.device}, {options.threads} threads, torch {torch.__version__}"
    )
    print(
        "layer  units  naive [s]    vmap [s]  ours [s]  naive/ours  vmap/ours  GFLOP/s  dense  forward  dense/forward"
    )
    rows = [measure(network, alias, images, options) for alias in LAYERS]
    whole = {key: sum(row[key] for row in rows) for key in ("units", "naive", "vmap", "ours")}
    print(
        f"all    {whole['units']:5} {whole['naive']:10.0f} {whole['vmap']:11.0f} {whole['ours']:9.1f}"
        f" {whole['naive'] / whole['ours']:11.0f} {whole['vmap'] / whole['ours']:10.0f}"
    )
    if options.json:
        options.json.write_text(json.dumps({"options": vars(options) | {"json": ""}, "rows": rows}, indent=1) + "\n")


def measure(network: nn.Module, alias: str, images: Tensor, options: argparse.Namespace) -> dict[str, Any]:
    """Time all contestants on one layer and print a line."""
    path = LAYERS[alias]
    layer: Any = network.get_submodule(path)
    units, samples, on_device = len(layer.weight), options.samples, images.to(options.device)
    draws = prior_draws(network, path, 0, samples=PASSES)

    def ours(chosen: list[int]) -> Any:
        return marginalize(
            network,
            path,
            images,
            samples=samples,
            tolerance=options.tolerance,
            units=chosen,
            device=options.device,
        )

    ours([0])
    once = timed(lambda: ours([0]), options)
    few = timed(lambda: ours(list(range(min(units, 8)))), options)
    each = max(1e-9, (few - once) / max(1, min(units, 8) - 1))
    count = units if options.all else min(units, max(8, int(SECONDS / each)))
    with count_operations() as counter:
        some = timed(lambda: ours(list(range(count))), options)
    flops = counter.get_total_flops()
    total = some if count == units else once + (some - once) / (count - 1) * (units - 1)
    naive_passes(network, path, on_device, draws)
    passes = timed(lambda: naive_passes(network, path, on_device, draws), options) / PASSES
    vmap_passes(network, path, on_device, draws)
    together = timed(lambda: vmap_passes(network, path, on_device, draws), options) / PASSES
    with torch.inference_mode():
        with count_operations() as counter:
            network(on_device)
        forward = counter.get_total_flops() / timed(lambda: network(on_device), options) / 1e9
    dense = dense_speed(network, path, images, options)
    row = {
        "layer": alias,
        "units": units,
        "timed": count,
        "naive": passes * samples * units,
        "vmap": together * samples * units,
        "ours": total,
        "gflops": flops / some / 1e9,
        "dense": dense,
        "forward": forward,
    }
    share = f"{dense / forward:.0%}" if dense else "-"
    print(
        f"{alias:5}  {units:5} {row['naive']:10.0f} {row['vmap']:11.0f} {total:9.1f} {row['naive'] / total:11.0f}"
        f" {row['vmap'] / total:10.0f} {row['gflops']:8.0f} {dense:6.0f} {forward:8.0f} {share:>14}",
        flush=True,
    )
    return row


def dense_speed(network: nn.Module, path: str, images: Tensor, options: argparse.Namespace) -> float:
    """Return the GFLOP/s of what a layer's variants take behind the first operator that mixes channels."""
    engine = make_engine(network, path, images, Computation(device=options.device))
    assert isinstance(engine, OneChannelEngine)
    layer: Any = network.get_submodule(path)
    chunk = next(engine.chunks(slice(0, len(images))))
    interpreter, base = chunk.interpreter, chunk.base
    count = min(engine.batches.variants, 4 * engine.batches.dense)
    units = np.sort(np.arange(count) % len(layer.weight))
    weights = torch.randn(count, *layer.weight.shape[1:], device=options.device)
    new = interpreter.unit_outputs(base, units, weights, torch.zeros(count, device=options.device))

    def run() -> None:
        for _ in interpreter.scores(base, units, new, batch=engine.batches.dense):
            pass

    run()
    with count_operations() as counter:
        run()
    return counter.get_total_flops() / min(timed(run, options) for _ in range(3)) / 1e9


@torch.inference_mode()
def naive_passes(network: nn.Module, path: str, images: Tensor, draws: tuple[Any, Any]) -> None:
    """Set unit 0 to one draw after the other and run the whole network each time."""
    layer: Any = network.get_submodule(path)
    weight, bias = layer.weight[0].clone(), layer.bias[0].clone()
    for filters, shift in zip(*draws, strict=True):
        layer.weight[0] = torch.as_tensor(filters)
        layer.bias[0] = float(shift)
        [torch.softmax(scores, dim=-1) for scores in network(images)]
    layer.weight[0], layer.bias[0] = weight, bias


@torch.inference_mode()
def vmap_passes(network: nn.Module, path: str, images: Tensor, draws: tuple[Any, Any]) -> None:
    """Run the network with all draws of unit 0 in one call."""
    layer: Any = network.get_submodule(path)
    values = {name: value.detach() for name, value in network.named_parameters()}

    def run(weight: Tensor, bias: Tensor) -> Any:
        own = {f"{path}.weight": weight, f"{path}.bias": bias}
        return [torch.softmax(scores, dim=-1) for scores in functional_call(network, values | own, (images,))]

    weights = layer.weight.detach().expand(PASSES, *layer.weight.shape).clone()
    biases = layer.bias.detach().expand(PASSES, -1).clone()
    weights[:, 0], biases[:, 0] = (torch.from_numpy(draw).to(images) for draw in draws)
    vmap(run)(weights, biases)


def count_operations() -> FlopCounterMode:
    """Count operations, those of packed weights too."""

    def product(rows: Any, weight: Any, *_: Any, out_shape: Any, **__: Any) -> int:
        return 2 * prod(rows) * int(out_shape[-1])

    def convolution(images: Any, weight: Any, *_: Any, out_shape: Any, **__: Any) -> int:
        return 2 * prod(out_shape) * prod(weight) // int(out_shape[1])  # whatever way weights are packed

    packed = {torch.ops.mkldnn._linear_pointwise: product, torch.ops.mkldnn._convolution_pointwise: convolution}
    return FlopCounterMode(display=False, custom_mapping=packed)


def timed(work: Callable[[], object], options: argparse.Namespace) -> float:
    """Return the seconds that ``work`` takes."""
    if options.device.startswith("cuda"):
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if options.device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
