"""Extract damaged and hostile archives, and read damaged records: nothing leaves the folder, nothing is long or large.

python benchmarks/fuzz_archives.py --cases 3000 --seed 0
"""

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from featuresharing import InputError
from featuresharing.fetch.checksums import check_archive, forget_record
from featuresharing.fetch.extraction import extract
from tests.support.damaged_archives import random_archive, random_record
from tests.support.fuzzing import check_sentence, count_outcomes, run_script


def read(folder: Path) -> str:
    """Check and extract the archive of a folder as commands do; return what became of it."""
    try:
        check_archive(folder / "a.tar")
        extract(folder / "a.tar", folder / "out")
    except InputError as error:
        check_sentence(error)
        if (folder / "out").exists():
            raise ValueError("a refused archive left its folder") from error
        return "refused"
    return "read"


def check_inside(folder: Path) -> None:
    """Raise ValueError if there is anything but files and folders, or anything outside of what was extracted."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()) or path.stat().st_mode & 0o7000:
            raise ValueError(f"{path} is no plain file")
    if strange := {path.name for path in folder.iterdir()} - {"a.tar", "a.tar.sha256", "out", ".out.sha256"}:
        raise ValueError(f"{strange} lie outside")


def attempt(folder: Path, rng: np.random.Generator) -> str:
    """Extract the archive of a folder, which may have a damaged record; return what became of it."""
    if rng.random() < 0.3:
        digest = check_digest(folder)
        (folder / "a.tar.sha256").write_bytes(random_record(digest, "a.tar", rng))
    found = read(folder)
    check_inside(folder)
    return found


def attempts(cases: int, seed: int) -> Iterator[Callable[[], str]]:
    """Yield what extracts an archive, one after the other."""
    rng = np.random.default_rng(seed)
    for _ in range(cases):
        folder = Path(tempfile.mkdtemp())
        (folder / "a.tar").write_bytes(random_archive(rng))
        yield partial(attempt, folder, rng)
        shutil.rmtree(folder)


def run(cases: int, seed: int) -> Counter[str]:
    """Extract archives; print what became of them, and return it."""
    return count_outcomes(attempts(cases, seed))


def check_digest(folder: Path) -> str:
    """Return the digest of the archive of a folder; that of nothing if it is not recognised."""
    try:
        return check_archive(folder / "a.tar")
    except InputError:
        return "0" * 64
    finally:
        forget_record(folder / "a.tar")


if __name__ == "__main__":
    os.umask(0o022)
    run_script("extract damaged archives", run, cases=3000)
