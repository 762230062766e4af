"""Damage files of results, their records and work in progress at random: readers and verify must notice.

Each case damages one file. Its reader refuses it in one sentence, says that it makes the damaged part again ("mended"),
or reads the very same ("same"); ``verify`` names it, whether or not a reader looks at it. Of "silently changed", of
files that verify misses, and of tracebacks there must be none.
"""

import argparse
import random
import resource
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from featuresharing.data.columns import LESIONS, STIMULI
from featuresharing.data.images import read_image
from featuresharing.data.lists import read_classes, read_image_list, write_classes, write_image_list
from featuresharing.data.sharing_columns import SHARING
from featuresharing.data.stimuli import read_stimuli
from featuresharing.data.table_files import frame_of, read_table, write_table
from featuresharing.errors import InputError
from featuresharing.files.atomic import replacing
from featuresharing.files.partial import PartialFolder, write_piece
from featuresharing.files.records import record_folder, record_of
from featuresharing.networks.predictions import Predictions, read_predictions, write_predictions
from featuresharing.runs.measurements import Measurements
from featuresharing.runs.verification import verify

CLASSES = {"basic": ["bird", "boat"], "word": ["map", "sun"]}
PIECES = (*(b"\n", b"\r", b",", b'"', b"nan", b"inf", b"-1", b"1e999", b"9" * 400), b"\0", b"\xff\xfe", b"../")

Read = Callable[[], Any]


@dataclass
class Target:
    """A file that is damaged, what reads it, and whether ``verify`` must name it then."""

    path: Path
    read: Read
    verified: bool = True


def make_results(folder: Path) -> list[Target]:
    """Write a small folder of results; return what can be damaged."""
    images = folder / "images/test"
    images.mkdir(parents=True)
    paths = [images / f"{number:02d}.png" for number in range(12)]
    for number, path in enumerate(paths):
        Image.effect_noise((9, 9), 40 + number).convert("RGB").save(path)
    record_folder(images)
    rows = [(f"test/{p.name}", 0, "set", "owl", CLASSES["basic"][i % 2], "sun") for i, p in enumerate(paths)]
    write_table(folder / "images/test.csv", frame_of(STIMULI, rows), STIMULI)
    write_classes(folder / "lists/classes.csv", CLASSES)
    write_image_list(folder / "lists/test.txt", paths, np.arange(24).reshape(12, 2) % 2)
    numbers = (0.5, 0.4, 0.6, 0.25, 0.1, 0.05)
    curves = [("e", 1, "10", "conv1", task, task, n, n / 4, 1 - n / 5, *numbers) for task in CLASSES for n in range(5)]
    write_table(folder / "curves/conv1.csv", frame_of(LESIONS, curves), LESIONS)
    chance = (0.5, 0.4, 0.6, 0.05, 0.2, 0.1, 0.3, "", 0.001)
    sharing = [("e", 1, "10", f"conv{n}", "basic", "word", n / 7, 0.1, 0.9, *chance) for n in range(5)]
    write_table(folder / "tables/sharing.csv", frame_of(SHARING, sharing), SHARING)
    with replacing(folder / "figures/conv1.png") as temporary:
        Image.effect_noise((20, 20), 50).save(temporary, "PNG")
    probabilities = {"basic": np.full((12, 2), 0.5, np.float32)}
    predictions = folder / "baseline/10.h5"
    write_predictions(predictions, Predictions(probabilities, {"basic": np.arange(12) % 2}, 10))
    return [*_final_files(folder), *_work(folder)]


def _final_files(folder: Path) -> list[Target]:
    def images() -> Any:
        listed = read_image_list(folder / "lists/test.txt", list(CLASSES.values()))
        return [str(path) for path in listed.paths], listed.targets.tolist()

    def predicted() -> Any:
        found = read_predictions(folder / "baseline/10.h5")
        return [[task, values.tolist(), found.targets[task].tolist()] for task, values in found.probabilities.items()]

    one = folder / "images/test/03.png"
    files: list[tuple[Path, Read]] = [
        (folder / "images/test.csv", lambda: read_stimuli(folder / "images/test.csv", list(CLASSES)).to_csv()),
        (folder / "lists/classes.csv", partial(read_classes, folder / "lists/classes.csv")),
        (folder / "lists/test.txt", images),
        (folder / "curves/conv1.csv", lambda: read_table(folder / "curves/conv1.csv", LESIONS).to_csv()),
        (folder / "tables/sharing.csv", lambda: read_table(folder / "tables/sharing.csv", SHARING).to_csv()),
        (folder / "figures/conv1.png", lambda: read_image(folder / "figures/conv1.png").tolist()),
        (folder / "baseline/10.h5", predicted),
        (one, lambda: read_image(one).tolist()),
    ]
    targets = [Target(path, read) for path, read in files]
    targets += [Target(record_of(path), read) for path, read in files[:-1]]
    return [*targets, Target(record_of(one.parent), files[-1][1])]


def _work(folder: Path) -> list[Target]:
    """Return files of work in progress: numbers of curves, and the pictures of a folder."""
    measured = Measurements(folder / "curves/conv2.csv", "ab12")
    values = {name: np.random.default_rng(seed).random((4, 2)) for seed, name in enumerate("abcdef")}
    for name, numbers in values.items():
        measured.add(name, numbers)

    def read_measured() -> Any:
        found, _ = measured.read()
        if any(not np.array_equal(found[name], values[name]) for name in found):
            return "other numbers"
        return len(found) == len(values) or "mended"

    partial_folder = PartialFolder(folder / "features/conv1", "cd34")
    partial_folder.begin()
    pictures = {f"{number:04d}.png": bytes([number]) * 50 for number in range(9)}
    for name, content in pictures.items():
        partial_folder.note(name, write_piece(partial_folder.path / name, content))

    def read_pieces() -> Any:
        again = PartialFolder(folder / "features/conv1", "cd34")
        again.begin()
        sound = [name for name in pictures if again.is_sound(name)]
        if any((again.path / name).read_bytes() != pictures[name] for name in sound):
            return "other pictures"
        return len(sound) == len(pictures) or "mended"

    pieces = [partial_folder.path.with_suffix(".written"), partial_folder.path / "0004.png"]
    targets = [Target(measured.path, read_measured, verified=False)]
    return targets + [Target(path, read_pieces, verified=False) for path in pieces]


def damage(content: bytes, rng: random.Random) -> bytes:
    """Return a content that is damaged in one of the ways that disks, people and programs have."""
    first, last = sorted(rng.randrange(len(content)) for _ in range(2))
    start, middle, end = content[:first], content[first:last], content[last:]
    lines = content.splitlines(keepends=True)
    line = rng.randrange(len(lines))
    digits = [place for place, byte in enumerate(content) if chr(byte).isdigit()] or [0]
    digit = rng.choice(digits)
    flipped = bytes([content[first] ^ 1 << rng.randrange(8)])
    return rng.choice(
        [
            *[start + flipped + content[first + 1 :]] * 3,
            start,
            b"".join(lines[:line]),
            b"".join(lines[:line] + lines[line + 1 :]),
            b"".join([*lines, lines[line]]),
            start + bytes(len(middle)) + end,
            start + end,
            start + rng.choice(PIECES) + content[first:],
            content[:digit] + str(rng.randrange(10)).encode() + content[digit + 1 :],
            rng.choice([b"", rng.randbytes(rng.randrange(300)), b"[" * 100_000, content * 3]),
        ]
    )


def fuzz(folder: Path, *, cases: int, seed: int = 0) -> tuple[Counter[str], list[str], float]:
    """Run cases in a new ``folder``; return how many ended how, what is wrong, and the slowest one's seconds."""
    rng = random.Random(seed)
    targets = make_results(folder)
    before = {str(target.path): target.read() for target in targets}
    assert verify(folder, lambda _: None).wrong == set()
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    slowest = 0.0
    for number in range(cases):
        target = targets[number % len(targets)]
        whole = target.path.read_bytes()
        spoilt = damage(whole, rng)
        target.path.write_bytes(spoilt)
        start = time.perf_counter()
        outcome = _outcome(target, before[str(target.path)], folder, changed=spoilt != whole)
        slowest = max(slowest, time.perf_counter() - start)
        target.path.write_bytes(whole)
        counts[outcome.partition("\n")[0]] += 1
        if outcome.startswith(("silently", "traceback", "missed")):
            shutil.copy2(target.path, folder.parent)
            wrong.append(f"case {number}, {target.path}: {outcome}; the content was {spoilt[:200]!r}")
    return counts, wrong, slowest


def _outcome(target: Target, wanted: Any, folder: Path, *, changed: bool) -> str:
    try:
        found = target.read()
        outcome = "same" if found == wanted else "mended" if found == "mended" else "silently changed"
    except InputError as error:
        outcome = "refused" if "\n" not in str(error) else f"traceback\nof two lines: {error}"
    except Exception:
        return f"traceback\n{traceback.format_exc()}"
    try:
        named = verify(folder, lambda _: None).wrong
    except Exception:
        return f"traceback\nof verify: {traceback.format_exc()}"
    if changed and target.verified and not named:
        return "missed by verify"
    return outcome


def main() -> None:
    """Run cases and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        counts, wrong, slowest = fuzz(Path(name) / "results", cases=options.cases, seed=options.seed)
    for problem in wrong:
        print(problem)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    figures = ", ".join(f"{counts[name]} {name}" for name in ("refused", "mended", "same", "silently changed"))
    missed = f"{counts['missed by verify']} missed by verify"
    print(f"{options.cases} cases: {figures}, {missed}, {counts['traceback']} tracebacks.")
    print(f"The slowest took {slowest:.2f} s; the largest memory was {memory} MB.")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
