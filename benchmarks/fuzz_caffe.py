"""Read damaged pairs of Caffe's files: each is refused in one sentence or computes; nothing else, and nothing long.

    python benchmarks/fuzz_caffe.py --cases 3000 --seed 0

Bytes of definitions and of weights are damaged, and what stands in them is changed as somebody who writes such files
could: sizes, names, types, the order of layers, arrays that do not fit. Every fourth pair is open_nsfw, where
benchmarks/fetch_networks.py has put it. Every network that is accepted is run on one image.
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
from tests.support.caffe_files import (  # noqa: E402
    damaged_definition,
    damaged_weights,
    every_type,
    older,
    two_heads,
    weights_bytes,
)
from tests.support.real_networks import FOLDER  # noqa: E402
from tests.support.torch7_files import corrupted  # noqa: E402

SECONDS, MEGABYTES = 20, 4096
"""What a file may take."""

REAL = [FOLDER / "nsfw" / name for name in ("deploy.prototxt", "resnet_50_1by2_nsfw.caffemodel")]


def damaged_pair(case: int, rng: np.random.Generator, real: list[Path]) -> tuple[bytes, bytes]:
    """Return a definition and weights, one of them damaged; every fourth is that of ``real`` files, where they are."""
    if case % 4 == 3 and real and all(path.is_file() for path in real):
        text, weights = (path.read_bytes() for path in real)
        if rng.random() < 0.5:
            return damaged_definition(text.decode(), rng), weights
        return text, corrupted(weights, rng)
    (written, arrays), is_old = ((two_heads(), False), (older(), True), (every_type(), False))[case % 3]
    form = {"first_version": is_old, "old_shapes": is_old}
    if rng.random() < 0.6:
        return damaged_definition(written, rng), weights_bytes(arrays, **form)
    return written.encode(), damaged_weights(arrays, rng, **form)


def read(path: Path) -> str:
    """Read a network as commands do, and run it; return what became of it."""
    try:
        stored = open_network(path)
    except InputError as error:
        text = str(error)
        if "\n" in text or not text.isprintable() or len(text) > 2000 or "accepted" not in text:
            raise ValueError(f"this sentence is none: {text[:200]!r}") from error
        return "refused"
    with torch.inference_mode():
        outputs = task_outputs(stored.network(torch.zeros(1, *stored.preprocessing.shape)))
    if [len(scores[0]) for scores in outputs.values()] != list(stored.classes):
        raise ValueError(f"the network gives other classes than {stored.classes}")
    return "read"


def run(cases: int, seed: int, real: list[Path]) -> Counter[str]:
    """Read damaged pairs; print what became of them, and return it: ``over`` says whether one took too much."""
    rng = np.random.default_rng(seed)
    found: Counter[str] = Counter()
    slowest = 0.0
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        definition, weights = (Path(folder) / f"damaged.{ending}" for ending in ("prototxt", "caffemodel"))
        for case in range(cases):
            for path, content in zip((definition, weights), damaged_pair(case, rng, real), strict=True):
                path.write_bytes(content)
            start = time.monotonic()
            try:
                found[read((definition, weights)[case % 2])] += 1
            except Exception:
                found["failures"] += 1
                print(f"case {case}:", traceback.format_exc(limit=-3))
            slowest = max(slowest, time.monotonic() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found["over"] = int(slowest > SECONDS or memory > MEGABYTES)
    print(
        f"{cases} cases: {found['refused']} refused, {found['read']} read, {found['failures']} failures; "
        f"slowest {slowest:.1f} s, largest memory {memory:.0f} MB"
    )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="read damaged pairs of Caffe's files")
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    result = run(options.cases, options.seed, REAL)
    sys.exit(result["failures"] + result["over"] > 0)
