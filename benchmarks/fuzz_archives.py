"""Extract damaged and hostile archives, and read damaged records: nothing leaves the folder, nothing is long or large.

python benchmarks/fuzz_archives.py --cases 3000 --seed 0
"""

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from featuresharing import InputError
from featuresharing.fetch.checksums import check_archive, forget_record
from featuresharing.fetch.extraction import extract
from tests.support.damaged_archives import random_archive, random_record


def read(folder: Path) -> str:
    """Check and extract the archive of a folder as commands do; return what became of it."""
    try:
        check_archive(folder / "a.tar")
        extract(folder / "a.tar", folder / "out")
    except InputError as error:
        if not str(error).isprintable() or len(str(error)) > 2000:
            raise ValueError(f"this sentence is none: {str(error)[:200]!r}") from error
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


def run(cases: int, seed: int) -> Counter[str]:
    """Extract archives; print what became of them, and return it."""
    rng = np.random.default_rng(seed)
    found: Counter[str] = Counter()
    slowest = 0.0
    for case in range(cases):
        folder = Path(tempfile.mkdtemp())
        (folder / "a.tar").write_bytes(random_archive(rng))
        start = time.monotonic()
        try:
            if rng.random() < 0.3:
                digest = check_digest(folder)
                (folder / "a.tar.sha256").write_bytes(random_record(digest, "a.tar", rng))
            found[read(folder)] += 1
            check_inside(folder)
        except Exception:
            found["tracebacks"] += 1
            print(f"case {case}:", traceback.format_exc(limit=-3))
        slowest = max(slowest, time.monotonic() - start)
        shutil.rmtree(folder)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{cases} cases: {found['refused']} refused, {found['read']} read, {found['tracebacks']} tracebacks; "
        f"slowest {slowest:.1f} s, largest memory {memory:.0f} MB"
    )
    return found


def check_digest(folder: Path) -> str:
    """Return the digest of the archive of a folder; that of nothing if it is not recognised."""
    try:
        return check_archive(folder / "a.tar")
    except InputError:
        return "0" * 64
    finally:
        forget_record(folder / "a.tar")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="extract damaged archives")
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.umask(0o022)
    sys.exit(run(options.cases, options.seed)["tracebacks"] > 0)
