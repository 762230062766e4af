"""Measure what the unit store takes of a marginalize job of the demo: its share of the time of the whole command.

Each layer is marginalized by the command line in this process, with all calls of the store timed, disk included; the
start of Python and its imports are measured apart and count as part of the job, as they are.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from marginalize import DEMO, demo_alexnet
from PIL import Image

from featuresharing.cli import main as run_command
from featuresharing.networks.alexnet.names import LAYERS
from featuresharing.networks.checkpoints import Checkpoint, save_checkpoint
from featuresharing.store import UnitStore

TIMED = ("__enter__", "__exit__", "begin", "is_done", "units_done", "is_complete", "recorded", "write", "finish")


def main() -> None:
    """Print a line for each layer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60, help="images")
    parser.add_argument("--repeats", type=int, default=5, help="jobs of each layer; the median counts")
    parser.add_argument("--small", action="store_true", help="one layer, once: does it still run?")
    options = parser.parse_args()
    layers = ["fc7"] if options.small else list(LAYERS)
    repeats = 1 if options.small else options.repeats
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, h5py, featuresharing.store"], check=True)
    imports = time.perf_counter() - start
    print(f"imports {imports:.2f} s\nlayer  job [s]  store [s]  share")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, options.images)
        for layer in layers:
            found = sorted(measure(folder, layer) for _ in range(repeats))
            job, store = found[len(found) // 2]
            print(f"{layer:5} {job + imports:8.2f} {store:10.3f} {store / (job + imports):6.1%}", flush=True)


def write_inputs(folder: Path, images: int) -> None:
    """Write the demo's network with random weights, and images of noise."""
    torch.manual_seed(0)
    network = demo_alexnet().eval()
    save_checkpoint(folder / "7.pt", Checkpoint(network, DEMO, ("basic", "word"), 7))
    rng = np.random.default_rng(0)
    lines = []
    for index in range(images):
        Image.fromarray(rng.integers(256, size=(48, 48, 3), dtype=np.uint8)).save(folder / f"{index}.png")
        lines.append(f"{index}.png {index % 20},{index % 7}\n")
    (folder / "list.txt").write_text("".join(lines))
    rows = [f"{task},{index},{task}{index}\n" for task in ("basic", "word") for index in range(20)]
    (folder / "classes.csv").write_text("task,index,name\n" + "".join(rows))


def measure(folder: Path, layer: str) -> tuple[float, float]:
    """Run one job; return its seconds, and those of them in the store."""
    spent = [0.0]

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            begin = time.perf_counter()
            try:
                return method(*arguments, **keywords)
            finally:
                spent[0] += time.perf_counter() - begin

        return call

    real = {name: getattr(UnitStore, name) for name in TIMED}
    for name, method in real.items():
        setattr(UnitStore, name, timed(method))
    output = folder / "out.h5"
    output.unlink(missing_ok=True)
    begin = time.perf_counter()
    status = run_command(
        [
            *("marginalize", "--experiment", "noise", "--layer", layer, "--aliases", f"{layer}={LAYERS[layer]}"),
            *("--checkpoint", str(folder / "7.pt"), "--list", str(folder / "list.txt")),
            *("--classes", str(folder / "classes.csv"), "--device", "cpu", "--output", str(output)),
        ]
    )
    seconds = time.perf_counter() - begin
    for name, method in real.items():
        setattr(UnitStore, name, method)
    if status:
        raise SystemExit(status)
    return seconds, spent[0]


if __name__ == "__main__":
    main()
