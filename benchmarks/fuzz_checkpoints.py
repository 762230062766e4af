"""Damage checkpoints and states of trainings in every way, and count what becomes of them.

    python benchmarks/fuzz_checkpoints.py --cases 2000 --seed 0

A damaged file is refused in one sentence, or what is read is the same: never other numbers, never a traceback. Archives
that are forged, with checksums that fit what was changed, may be read as another network; they count apart.
"""

import argparse
import random
import resource
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from featuresharing.errors import InputError
from featuresharing.files.identity import Identity
from featuresharing.networks.alexnet.architecture import build_alexnet
from featuresharing.networks.alexnet.batches import MemoryBatches, Order
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.networks.alexnet.trainer import Trainer, TrainerSettings
from featuresharing.networks.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from featuresharing.runs.training_progress import TrainingProgress

SHAPE = AlexNetShape(16, 1, (2, 2, 2, 2, 2), (3, 3, 3, 3, 3), (3, 3), (2, 3))
TASKS = ("word", "basic")

Damage = Callable[[random.Random, bytes], bytes]


def flip(rng: random.Random, content: bytes) -> bytes:
    """Flip one bit, or some."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_in_headers(rng: random.Random, content: bytes) -> bytes:
    """Change a field of a zip header, local or central, or of the end of the archive."""
    marks = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06")
    places = [place for mark in marks for place in find_all(content, mark)]
    place = rng.choice(places) + rng.randrange(4, 46)
    value = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80", rng.randbytes(1))) * rng.choice((1, 2, 4))
    return content[:place] + value + content[place + len(value) :]


def find_all(content: bytes, mark: bytes) -> list[int]:
    """Return where a mark is."""
    places, place = [], content.find(mark)
    while place >= 0:
        places.append(place)
        place = content.find(mark, place + 1)
    return places


def cut(rng: random.Random, content: bytes) -> bytes:
    """Cut the file short, or its beginning off."""
    place = rng.choice((rng.randrange(len(content)), len(content) - rng.randrange(1, 120)))
    return content[:place] if rng.random() < 0.8 else content[place:]


def overwrite(rng: random.Random, content: bytes) -> bytes:
    """Overwrite a block by zeros, ones or anything."""
    size = rng.choice((1, 8, 64, 512, 4096))
    place = rng.randrange(len(content))
    block = rng.choice((b"\0" * size, b"\xff" * size, rng.randbytes(size)))
    return (content[:place] + block + content[place + size :])[: len(content)]


def move(rng: random.Random, content: bytes) -> bytes:
    """Insert bytes, take some away, or repeat a block."""
    first, second = sorted(rng.randrange(len(content)) for _ in range(2))
    return rng.choice(
        (
            content[:first] + rng.randbytes(rng.randrange(1, 70)) + content[first:],
            content[:first] + content[first + rng.randrange(1, 70) :],
            content[:second] + content[first:],
            content + content,
            content + rng.randbytes(rng.randrange(1, 200)),
        )
    )


def garbage(rng: random.Random, content: bytes) -> bytes:
    """Return another file altogether."""
    return rng.choice((b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), rng.randbytes(len(content)), content[::-1]))


def repack(rng: random.Random, content: bytes) -> bytes:
    """Pack the archive, or give members twice, not at all, in another order, or under other names."""
    return rewritten(content, rng.choice((pack, double, drop, rename, cut_member)), rng)


Members = list[tuple[str, bytes, int]]


def pack(_: random.Random, members: Members) -> Members:
    """Compress all members."""
    return [(name, content, zipfile.ZIP_DEFLATED) for name, content, _ in members]


def double(rng: random.Random, members: Members) -> Members:
    """Give a member twice."""
    return [*members, rng.choice(members)]


def drop(rng: random.Random, members: Members) -> Members:
    """Leave a member out."""
    weights = [member for member in members if "/data" in member[0]]
    lost = rng.choice(weights)
    return [member for member in members if member is not lost]


def rename(rng: random.Random, members: Members) -> Members:
    """Give a member another name."""
    lost = rng.choice([member for member in members if "/data" in member[0]])
    return [(f"{name}x" if name == lost[0] else name, content, kind) for name, content, kind in members]


def cut_member(rng: random.Random, members: Members) -> Members:
    """Make a tensor shorter or longer than the pickle says."""
    lost = rng.choice([member for member in members if "/data/" in member[0]])
    changed = rng.choice((lost[1][:-4], lost[1] + bytes(4), b""))
    return [(name, changed if name == lost[0] else content, kind) for name, content, kind in members]


def forge(rng: random.Random, content: bytes) -> bytes:
    """Damage the pickle, with checksums that fit."""

    def change(_: random.Random, members: Members) -> Members:
        return [
            (name, rng.choice((flip, overwrite, move))(rng, each) if name.endswith("data.pkl") else each, kind)
            for name, each, kind in members
        ]

    return rewritten(content, change, rng)


def rewritten(content: bytes, change: Callable[[random.Random, Members], Members], rng: random.Random) -> bytes:
    """Return an archive of other members."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        with zipfile.ZipFile(file) as archive:
            members = [(name, archive.read(name), zipfile.ZIP_STORED) for name in archive.namelist()]
        file.seek(0)
        file.truncate()
        with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
            warnings.simplefilter("ignore")  # of a name that is there twice
            for name, each, kind in change(rng, members):
                archive.writestr(name, each, kind)
        file.seek(0)
        return file.read()


DAMAGES: Sequence[Damage] = (flip, flip, flip, flip_in_headers, flip_in_headers, cut, overwrite, move, garbage, repack)


class Checkpoints:
    """Checkpoints with a digest or, as those of earlier versions, without."""

    def __init__(self, folder: Path, *, sealed: bool) -> None:
        self._path = folder / f"{'sealed' if sealed else 'old'}.pt"
        torch.manual_seed(0)
        save_checkpoint(self._path, Checkpoint(build_alexnet(SHAPE).eval(), SHAPE, TASKS, 7), recorded=False)
        if not sealed:
            torch.save(torch.load(self._path, weights_only=True), self._path)
        self.content = self._path.read_bytes()
        self._wanted = self._read()

    def read(self, content: bytes) -> str:
        """Return what becomes of a file of this content."""
        self._path.write_bytes(content)
        try:
            return "same" if equal(self._read(), self._wanted) else "changed"
        except InputError as error:
            return "refused" if "\n" not in str(error) else "traceback"

    def _read(self) -> list[Any]:
        found = load_checkpoint(self._path)
        return [found.shape.as_dict(), found.tasks, found.step, found.preprocessing, found.network.state_dict()]


class States:
    """States of a training, with another that is sound beside them."""

    def __init__(self, folder: Path) -> None:
        self._said: list[str] = []
        self._progress = TrainingProgress(
            folder / "run", Identity("training", {"settings": 1}), {0: "0.pt", 9: "9.pt"}, self._said.append
        )
        self._trainer = self._new_trainer()
        for _ in range(2):
            if self._trainer.step == 0:
                self._progress.save_checkpoint(0, self._trainer.checkpoint())
            self._trainer.advance()
            self._progress.save(self._trainer)
        self._path = self._progress.folder / "state-1.pt"
        self.content = self._path.read_bytes()

    def _new_trainer(self) -> Trainer:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (6, 3, 16, 16), dtype=np.uint8)
        targets = np.column_stack([rng.integers(0, count, 6) for count in SHAPE.classes])
        settings = TrainerSettings(9, 4, 0.01, 0.05, 0.3, 2, 0)
        return Trainer(MemoryBatches(images, targets, Order(6, 4, 0)), TASKS, SHAPE, settings)

    def read(self, content: bytes) -> str:
        """Return what becomes of a state of this content: refused is one in place of which the other goes on."""
        self._path.write_bytes(content)
        self._said.clear()
        chosen = self._progress.newest_state()
        if chosen == "state-0.pt":
            return "refused" if "training goes on from step 1." in " ".join(self._said) else "changed"
        trainer = self._new_trainer()
        self._progress.load("state-1.pt", trainer)
        return "same" if equal(trainer.state_dict(), self._trainer.state_dict()) else "changed"


def equal(one: Any, other: Any) -> bool:
    """Return whether two nested values are the same, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def fuzz(cases: int, seed: int) -> dict[str, float]:
    """Return how many cases ended in which way, the slowest in seconds and the largest growth of memory in MB."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = [Checkpoints(folder, sealed=True), Checkpoints(folder, sealed=False), States(folder)]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for case in range(cases):
            kind = kinds[case % len(kinds)]
            damage = forge if rng.random() < 0.15 else rng.choice(DAMAGES)
            content = damage(rng, kind.content)
            began = time.perf_counter()
            try:
                found = kind.read(content)
            except Exception as error:  # what this looks for
                found = "traceback"
                print(f"case {case}, {damage.__name__} of {type(kind).__name__}: {type(error).__name__}: {error}")
            slowest = max(slowest, time.perf_counter() - began)
            if found == "changed" and damage is forge:
                found = "forged"
            elif found == "changed":
                print(f"case {case}, {damage.__name__} of {type(kind).__name__}: changed")
            counts[found] += 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    ends = {end: float(counts[end]) for end in ("refused", "same", "forged", "changed", "traceback")}
    return {"cases": float(cases), **ends, "slowest": slowest, "memory": grown}


def main() -> None:
    """Print what became of all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = fuzz(options.cases, options.seed)
    print(
        f"{found['cases']:.0f} cases: {found['refused']:.0f} refused, {found['same']:.0f} the same, "
        f"{found['forged']:.0f} forged ones read, {found['changed']:.0f} changed, {found['traceback']:.0f} tracebacks; "
        f"slowest {found['slowest']:.2f} s, memory grew by {found['memory']:.0f} MB."
    )
    if found["changed"] or found["traceback"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
