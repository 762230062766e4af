"""Measure what one GPU does with the paper's AlexNet, part by part, to replace the predictions of docs/scaling.md.

``products``      square matrix products in float32, TF32 and bfloat16: what the machine can do at best.
``layers``        seconds for all units of each layer, of two runs on part of the units: the difference of both is that
                  of units, the rest is done once; beside the naive loop, whose time is that of a forward pass, by
                  proportion.
``errors``        the largest difference of predictions to those in float64, which are computed on the CPU.
``convolutions``  one of conv4's size by layout in memory, with and without ``cudnn.benchmark`` and TF32, and its error.

FeatureSharing itself computes in full float32 and leaves ``cudnn.benchmark`` as it is; the last part tells what is to
be had. ``--device cpu`` runs the same on a CPU, where ``cudnn.benchmark`` and TF32 change nothing.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from marginalize import demo_alexnet, paper_alexnet
from torch import Tensor, nn

from featuresharing import marginalize, prior_draws
from featuresharing.networks.alexnet.names import LAYERS

SAMPLES = 100
"""Draws of a unit."""

DRAWN = 4
"""Units whose draws are made on the host alone, to see what this takes."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured: the network, images, units of a first and a second run, and sizes of single operators.

    Layers of convolutions take the first pair of ``units``, linear ones the second. ``seconds`` are the least that an
    operator is repeated for.
    """

    build: Callable[[], nn.Module]
    pixels: int
    images: int
    units: tuple[tuple[int, int], tuple[int, int]]
    side: int
    rows: int
    channels: int
    seconds: float


FULL = Sizes(paper_alexnet, 224, 64, ((8, 40), (64, 576)), side=8192, rows=2048, channels=384, seconds=0.5)
SMALL = Sizes(demo_alexnet, 48, 4, ((1, 3), (2, 6)), side=256, rows=8, channels=16, seconds=0.0)


class Meter:
    """Times work on a device, and prints and keeps what was found."""

    def __init__(self, device: str, least: float) -> None:
        self.device, self._least = device, least
        self.rows: list[dict[str, Any]] = []

    def finish(self) -> None:
        """Wait until the device has done what it was given."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)

    def once(self, work: Callable[[], object]) -> float:
        """Return the seconds that ``work`` takes."""
        self.finish()
        start = time.perf_counter()
        work()
        self.finish()
        return time.perf_counter() - start

    def often(self, work: Callable[[], object]) -> float:
        """Return the mean seconds of ``work``, after a first time that is not counted."""
        self.once(work)
        count, spent = 0, 0.0
        while count < 3 or spent < self._least:
            spent += self.once(work)
            count += 1
        return spent / count

    def note(self, what: str, **found: Any) -> None:
        """Print a line at once, in which floats have four digits, and keep what was found."""
        self.rows.append({"what": what, **found})
        shown = (
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in found.items()
        )
        print(f"{what:22}" + ", ".join(shown), flush=True)


def main() -> None:
    """Measure all parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, ... or cpu")
    parser.add_argument("--json", type=Path, help="write the numbers to this file, too")
    parser.add_argument("--small", action="store_true", help="the demo's network, few images: does it still run?")
    options = parser.parse_args()
    sizes = SMALL if options.small else FULL
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --device cpu measures the same on the CPU.")
    meter = Meter(options.device, sizes.seconds)
    torch.manual_seed(0)
    name = torch.cuda.get_device_name(options.device) if options.device.startswith("cuda") else "CPU"
    meter.note("machine", device=name, cores=os.cpu_count(), torch=torch.__version__)
    measure_products(meter, sizes)
    network = sizes.build().eval()
    images = torch.randn(sizes.images, 3, sizes.pixels, sizes.pixels)
    measure_layers(meter, network, images, sizes)
    measure_errors(meter, network, images[:4])
    measure_convolutions(meter, sizes)
    if options.json:
        options.json.write_text(json.dumps(meter.rows, indent=1) + "\n")


@contextmanager
def arithmetic(*, tf32: bool, benchmark: bool = False) -> Iterator[None]:
    """Allow TF32 in products and convolutions, and let cuDNN try its algorithms, for a block."""
    backends: Any = torch.backends
    own = backends.cudnn.benchmark
    try:
        backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = tf32
        backends.cudnn.benchmark = benchmark
        yield
    finally:
        backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = False
        backends.cudnn.benchmark = own


def measure_products(meter: Meter, sizes: Sizes) -> None:
    """Time square products by kind of number."""
    kinds = (("float32", torch.float32, False), ("TF32", torch.float32, True), ("bfloat16", torch.bfloat16, False))
    for name, kind, tf32 in kinds:
        matrix = torch.randn(sizes.side, sizes.side, device=meter.device, dtype=kind)
        with arithmetic(tf32=tf32), torch.inference_mode():
            seconds = meter.often(lambda matrix=matrix: matrix @ matrix)
        meter.note(f"product, {name}", tflops=2 * sizes.side**3 / seconds / 1e12)


def measure_layers(meter: Meter, network: nn.Module, images: Tensor, sizes: Sizes) -> None:
    """Time marginalization of every layer for all of its units, of two runs on part of them."""
    with torch.inference_mode(), arithmetic(tf32=False):
        on_device, there = network.to(meter.device), images.to(meter.device)
        forward = meter.often(lambda: on_device(there))
        network.to("cpu")
    meter.note("forward pass", images=len(images), seconds=forward)
    whole = {"units": 0, "seconds": 0.0, "naive": 0.0}
    for alias, path in LAYERS.items():
        found = measure_layer(meter, network, alias, images, sizes)
        units = len(network.get_submodule(path).weight)  # type: ignore[arg-type]
        seconds = found["once"] + found["a_unit"] * units
        naive = forward * SAMPLES * units
        draws = meter.once(lambda path=path: [prior_draws(network, path, unit, samples=3) for unit in range(DRAWN)])
        meter.note(alias, units=units, **found, seconds=seconds, naive_over_ours=naive / seconds, draws=draws / DRAWN)
        whole = {
            "units": whole["units"] + units,
            "seconds": whole["seconds"] + seconds,
            "naive": whole["naive"] + naive,
        }
    meter.note(
        "all layers",
        units=whole["units"],
        seconds=whole["seconds"],
        naive_over_ours=whole["naive"] / whole["seconds"],
    )


def measure_layer(meter: Meter, network: nn.Module, alias: str, images: Tensor, sizes: Sizes) -> dict[str, float]:
    """Return the seconds that a layer takes once, and those of a unit."""
    few, many = sizes.units[alias.startswith("fc")]

    def ours(count: int) -> float:
        units = range(1, 1 + count)
        return meter.once(
            lambda: marginalize(network, LAYERS[alias], images, samples=SAMPLES, units=units, device=meter.device)
        )

    ours(few)
    first, second = ours(few), ours(many)
    a_unit = max((second - first) / (many - few), 1e-9)
    return {"once": max(first - few * a_unit, 0.0), "a_unit": a_unit}


def measure_errors(meter: Meter, network: nn.Module, images: Tensor) -> None:
    """Compare predictions in float32 on the device with those in float64 on the CPU."""
    for alias in ("conv1", "conv3", "fc6"):
        few: dict[str, Any] = {"samples": 12, "scale": 0.1, "tolerance": 0, "units": [0, 1]}
        ours = marginalize(network, LAYERS[alias], images, device=meter.device, **few)
        right = marginalize(network, LAYERS[alias], images, dtype="float64", **few)
        pairs = zip(ours, right, strict=True)
        meter.note(f"error, {alias}", largest=max(float(np.abs(mine - other).max()) for mine, other in pairs))


def measure_convolutions(meter: Meter, sizes: Sizes) -> None:
    """Time a convolution by layout, with and without cuDNN's own search and TF32, and compare it with float64."""
    rows, channels = sizes.rows, sizes.channels
    images = torch.randn(rows, channels, 13, 13, device=meter.device)
    filters = torch.randn(channels, channels, 3, 3, device=meter.device) / (9 * channels) ** 0.5
    exact = F.conv2d(images[:4].double(), filters.double(), padding=1)
    operations = 2 * rows * 13 * 13 * channels * channels * 9
    for layout in (torch.contiguous_format, torch.channels_last):
        laid_out = [value.contiguous(memory_format=layout) for value in (images, filters)]
        for benchmark in (False, True):
            for tf32 in (False, True):
                with arithmetic(tf32=tf32, benchmark=benchmark), torch.inference_mode():
                    seconds = meter.often(lambda laid_out=laid_out: F.conv2d(*laid_out, padding=1))
                    error = float((F.conv2d(laid_out[0][:4], laid_out[1], padding=1).double() - exact).abs().max())
                name = str(layout).rpartition(".")[2].removesuffix("_format")
                meter.note(
                    f"conv4, {name}",
                    benchmark=benchmark,
                    tf32=tf32,
                    tflops=operations / seconds / 1e12,
                    error=error,
                )


if __name__ == "__main__":
    main()
