"""Read damaged files of ONNX: each is refused in one sentence or computes; nothing else may happen, and nothing long.

    python benchmarks/fuzz_onnx.py --cases 2000 --seed 0

Bytes of files are damaged, and models changed as somebody who writes such files could. Every network that is accepted
is run: the pass of shapes that accepts it has to tell the truth.
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
from featuresharing.networks.opening import open_network  # noqa: E402
from featuresharing.networks.outputs import task_outputs  # noqa: E402
from tests.support.onnx_files import changed, every_kind  # noqa: E402
from tests.support.torch7_files import corrupted  # noqa: E402

SIZE = 8


def read(path: Path) -> str:
    """Read a file as commands do; return what became of it."""
    try:
        stored = open_network(path, image_size=SIZE)
    except InputError as error:
        text = str(error)
        if "\n" in text or not text.isprintable() or len(text) > 2000:
            raise ValueError(f"this sentence is none: {text[:200]!r}") from error
        return "refused"
    kind = next((each.dtype for each in stored.network.parameters()), torch.float32)
    with torch.inference_mode():
        outputs = task_outputs(stored.network(torch.zeros(1, *stored.preprocessing.shape, dtype=kind)))
    if [len(scores[0]) for scores in outputs.values()] != list(stored.classes):
        raise ValueError(f"the network gives other classes than {stored.classes}")
    return "read"


def run(cases: int, seed: int) -> Counter[str]:
    """Read damaged files; print what became of them, and return it."""
    rng = np.random.default_rng(seed)
    found: Counter[str] = Counter()
    slowest = 0.0
    torch.set_num_threads(1)
    models = [every_kind(), every_kind(images=1)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.onnx"
        for case in range(cases):
            made = models[case % len(models)]
            if rng.random() < 0.3:
                path.write_bytes(corrupted(made.SerializeToString(), rng))
            else:
                path.write_bytes(changed(made, rng).SerializeToString())
            start = time.monotonic()
            try:
                found[read(path)] += 1
            except Exception:
                found["tracebacks"] += 1
                print(f"case {case}:", traceback.format_exc(limit=-3))
            slowest = max(slowest, time.monotonic() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{cases} cases: {found['refused']} refused, {found['read']} read, {found['tracebacks']} tracebacks; "
        f"slowest {slowest:.1f} s, largest memory {memory:.0f} MB"
    )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="read damaged files of ONNX")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sys.exit(run(options.cases, options.seed)["tracebacks"] > 0)
