"""Read damaged Torch7 files: each is refused in one sentence or computes; nothing else may happen, and nothing long.

    python benchmarks/fuzz_torch7.py --cases 3000 --seed 0

Bytes of real files are damaged, and objects in them changed as somebody who writes such files could. Every network that
is accepted is run: the pass of shapes that accepts it has to tell the truth.
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

from featuresharing import InputError  # noqa: E402
from featuresharing.data.class_maps import read_class_map  # noqa: E402
from featuresharing.torch7 import TorchObject, read_torch7  # noqa: E402
from tests.support.damaged_networks import read_and_run  # noqa: E402
from tests.support.fuzzing import check_sentence, count_outcomes, run_script  # noqa: E402
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
        if not isinstance(read_torch7(path), TorchObject):
            read_class_map(path, ["a", "b"])
            return "read"
    except InputError as error:
        check_sentence(error)
        return "refused"
    return read_and_run(path, size)


def attempts(cases: int, seed: int) -> Iterator[Callable[[], str]]:
    """Yield what reads a damaged file, one after the other."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.t7"
        for case in range(cases):
            name = list(SIZES)[case % len(SIZES)]
            path.write_bytes(damaged_file(name, rng))
            yield partial(read, path, SIZES[name])


def run(cases: int, seed: int) -> Counter[str]:
    """Read damaged files; print what became of them, and return it."""
    torch.set_num_threads(1)
    return count_outcomes(attempts(cases, seed))


if __name__ == "__main__":
    run_script("read damaged Torch7 files", run, cases=3000)
