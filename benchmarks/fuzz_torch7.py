"""Read damaged Torch7 files: each is refused in one sentence or computes; nothing else may happen, and nothing long.

    python benchmarks/fuzz_torch7.py --cases 3000 --seed 0

Bytes of real files are damaged, and objects in them changed as somebody who writes such files could. Every network that
is accepted is run: the pass of shapes that accepts it has to tell the truth.
"""

import argparse
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from featuresharing import InputError  # noqa: E402
from featuresharing.data.class_maps import read_class_map  # noqa: E402
from featuresharing.networks.opening import open_network  # noqa: E402
from featuresharing.networks.outputs import task_outputs  # noqa: E402
from featuresharing.torch7 import TorchObject, read_torch7  # noqa: E402
from tests.support.torch7_files import changed, corrupted, every_class, torch7_bytes  # noqa: E402

EVERY_CLASS = "every class"
SIZES = {EVERY_CLASS: 16, "alexnet67_cudnn_cuda": 67, "alexnet67_ascii": 67, "meta": 67, "primitives": 67}
"""Files that are damaged, and the pixels of their networks' images; the first is made here."""


def damaged_file(name: str, rng: np.random.Generator) -> bytes:
    """Return one damaged copy of a file."""
    if name == EVERY_CLASS:
        network = every_class()
        return torch7_bytes(changed(network, rng)) if rng.random() < 0.7 else corrupted(torch7_bytes(network), rng)
    path = ROOT / f"tests/fixtures/torch7/{name}.t7"
    if name != "alexnet67_cudnn_cuda" or rng.random() < 0.4:
        return corrupted(path.read_bytes(), rng)
    return torch7_bytes(changed(read_torch7(path), rng))


def read(path: Path, size: int) -> str:
    """Read a file as commands do; return what became of it."""
    try:
        value = read_torch7(path)
        if not isinstance(value, TorchObject):
            read_class_map(path, ["a", "b"])
            return "read"
        stored = open_network(path, image_size=size)
    except InputError as error:
        text = str(error)
        if "\n" in text or not text.isprintable() or len(text) > 2000:
            raise ValueError(f"this sentence is none: {text[:200]!r}") from error
        return "refused"
    kind = next(stored.network.parameters()).dtype if list(stored.network.parameters()) else torch.float32
    with torch.inference_mode():
        outputs = task_outputs(stored.network(torch.zeros(1, 3, size, size, dtype=kind)))
    if [len(scores[0]) for scores in outputs.values()] != list(stored.classes):
        raise ValueError(f"the network gives other classes than {stored.classes}")
    return "read"


def run(cases: int, seed: int) -> Counter[str]:
    """Read damaged files; print what became of them, and return it."""
    rng = np.random.default_rng(seed)
    found: Counter[str] = Counter()
    slowest = 0.0
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.t7"
        for case in range(cases):
            name = list(SIZES)[case % len(SIZES)]
            path.write_bytes(damaged_file(name, rng))
            start = time.monotonic()
            try:
                found[read(path, SIZES[name])] += 1
            except Exception:
                found["tracebacks"] += 1
                print(f"case {case} ({name}):", traceback.format_exc(limit=-3))
            slowest = max(slowest, time.monotonic() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{cases} cases: {found['refused']} refused, {found['read']} read, {found['tracebacks']} tracebacks; "
        f"slowest {slowest:.1f} s, largest memory {memory:.0f} MB"
    )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="read damaged Torch7 files")
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sys.exit(run(options.cases, options.seed)["tracebacks"] > 0)
