"""Read damaged pairs of Caffe's files: each is refused in one sentence or computes; nothing else, and nothing long.

    python benchmarks/fuzz_caffe.py --cases 3000 --seed 0

Bytes of definitions and of weights are damaged, and what stands in them is changed as somebody who writes such files
could: sizes, names, types, the order of layers, arrays that do not fit. Every fourth pair is open_nsfw, where
benchmarks/fetch_networks.py has put it. Every network that is accepted is run on one image.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.caffe_files import (  # noqa: E402
    damaged_definition,
    damaged_weights,
    every_type,
    older,
    two_heads,
    weights_bytes,
)
from tests.support.damaged_networks import read_and_run  # noqa: E402
from tests.support.fuzzing import count_outcomes, run_script  # noqa: E402
from tests.support.real_networks import FOLDER  # noqa: E402
from tests.support.torch7_files import corrupted  # noqa: E402

REAL = [FOLDER / "nsfw" / name for name in ("deploy.prototxt", "resnet_50_1by2_nsfw.caffemodel")]


def damaged_pair(case: int, rng: np.random.Generator, real: Sequence[Path]) -> tuple[bytes, bytes]:
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


def attempts(cases: int, seed: int, real: Sequence[Path]) -> Iterator[Callable[[], str]]:
    """Yield what reads a damaged pair, named by either file, one after the other."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        definition, weights = (Path(folder) / f"damaged.{ending}" for ending in ("prototxt", "caffemodel"))
        for case in range(cases):
            for path, content in zip((definition, weights), damaged_pair(case, rng, real), strict=True):
                path.write_bytes(content)
            yield partial(read_and_run, (definition, weights)[case % 2])


def run(cases: int, seed: int, real: Sequence[Path] = REAL) -> Counter[str]:
    """Read damaged pairs; print what became of them, and return it."""
    torch.set_num_threads(1)
    return count_outcomes(attempts(cases, seed, real))


if __name__ == "__main__":
    run_script("read damaged pairs of Caffe's files", run, cases=3000)
