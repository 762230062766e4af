"""Read damaged files of ONNX: each is refused in one sentence or computes; nothing else may happen, and nothing long.

    python benchmarks/fuzz_onnx.py --cases 2000 --seed 0

Bytes of files are damaged, and models changed as somebody who writes such files could. Every network that is accepted
is run: the pass of shapes that accepts it has to tell the truth.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.damaged_networks import read_and_run  # noqa: E402
from tests.support.fuzzing import count_outcomes, run_script  # noqa: E402
from tests.support.onnx_files import changed, every_kind  # noqa: E402
from tests.support.torch7_files import corrupted  # noqa: E402

SIZE = 8


def attempts(cases: int, seed: int) -> Iterator[Callable[[], str]]:
    """Yield what reads a damaged file, one after the other."""
    rng = np.random.default_rng(seed)
    models = [every_kind(), every_kind(images=1)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.onnx"
        for case in range(cases):
            made = models[case % len(models)]
            if rng.random() < 0.3:
                path.write_bytes(corrupted(made.SerializeToString(), rng))
            else:
                path.write_bytes(changed(made, rng).SerializeToString())
            yield partial(read_and_run, path, SIZE)


def run(cases: int, seed: int) -> Counter[str]:
    """Read damaged files; print what became of them, and return it."""
    torch.set_num_threads(1)
    return count_outcomes(attempts(cases, seed))


if __name__ == "__main__":
    run_script("read damaged files of ONNX", run, cases=2000)
