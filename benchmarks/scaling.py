"""Measure how the cost of marginalization grows with units, images and draws, and plot it into the docs.

Cost should be linear in each: every point is the best of three runs on the demo's network with random weights, beside
lines of slope one through the largest point of each layer. Draws are those of ``monte-carlo``, which keeps them all.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from marginalize import demo_alexnet
from matplotlib.figure import Figure
from pandas import DataFrame

from featuresharing import marginalize
from featuresharing.networks.alexnet.names import LAYERS

SIZES = {
    "units": (4, 8, 16, 24, 32),
    "images": (16, 32, 64, 128, 256),
    "draws kept": (8, 16, 32, 64, 128),
}
"""What is varied, and how far."""

USUAL = {"units": 16, "images": 64, "draws kept": 32}
"""What the others stay at meanwhile."""


def main() -> None:
    """Write the table and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/images/scaling.png"), help="plot; a table beside it")
    parser.add_argument("--layers", nargs="+", default=["conv1", "conv3", "conv5", "fc6"], choices=LAYERS)
    parser.add_argument("--small", action="store_true", help="two sizes, once: does it still run?")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = demo_alexnet().eval()
    rows = []
    for layer in options.layers:
        for what, sizes in SIZES.items():
            for size in sizes[:2] if options.small else sizes:
                seconds = measure(network, layer, {**USUAL, what: size}, repeats=1 if options.small else 3)
                rows.append({"layer": layer, "varied": what, "size": size, "seconds": round(seconds, 4)})
    DataFrame(rows).to_csv(options.output.with_suffix(".csv"), index=False)
    plot(rows, options.output)


def measure(network: torch.nn.Module, layer: str, sizes: dict[str, int], *, repeats: int) -> float:
    """Return the seconds for some units, less those for none: what is done once is no part of the cost of a unit."""
    images = torch.randn(sizes["images"], 3, 48, 48)

    def run(units: int) -> float:
        start = time.perf_counter()
        marginalize(
            network,
            LAYERS[layer],
            images,
            estimator="monte-carlo",
            samples=sizes["draws kept"],
            units=range(units),
        )
        return time.perf_counter() - start

    return min(run(sizes["units"]) for _ in range(repeats)) - min(run(0) for _ in range(repeats))


def plot(rows: list[dict[str, Any]], output: Path) -> None:
    """Plot a panel for each thing varied."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    panels = figure.subplots(1, len(SIZES), sharey=True)
    for panel, (what, sizes) in zip(panels, SIZES.items(), strict=True):
        for layer in dict.fromkeys(row["layer"] for row in rows):
            points = [(row["size"], row["seconds"]) for row in rows if (row["layer"], row["varied"]) == (layer, what)]
            x, y = zip(*points, strict=True)
            (line,) = panel.plot(x, y, "o", markersize=5, label=layer)
            panel.plot(x, [y[-1] * size / x[-1] for size in x], "-", linewidth=0.8, color=line.get_color())
        panel.set(xscale="log", yscale="log", xlabel=what)
        panel.set_xticks(sizes, [str(size) for size in sizes])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("seconds, one thread")
    names, labels = panels[0].get_legend_handles_labels()
    figure.legend(names, labels, title="points: measured\nlines: proportional", loc="outside right center", fontsize=8)
    figure.savefig(output, dpi=110)


if __name__ == "__main__":
    main()
