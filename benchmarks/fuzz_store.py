"""Damage HDF5 files of ours in every way and see that nobody believes them, crashes or waits.

Cases are files of all kinds (final files with and without all classes, predictions, progress, and files of format 2)
with flipped bits, cut off, with holes or noise in them, and well-formed files of wrong contents. Each is read,
verified, listed, tabulated and merged. What comes of a case is "refused" (somebody said that something is wrong),
"same" (nobody did, and every number is as it was), "unprotected" (as "same", but what format 2 has no digests of
differs), "changed" or "traceback". Of the last two there must be none, and no case may take 20 seconds.
"""

import argparse
import json
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featuresharing import InputError, merge_conditionals, read_conditionals
from featuresharing.analysis.sharing_tables import sharing_table
from featuresharing.analysis.tables import contribution_table
from featuresharing.hdf5 import trials
from featuresharing.networks.predictions import Predictions, read_predictions, write_predictions
from featuresharing.store import Layout, TaskData, UnitStore
from featuresharing.store.layer_files import columns_in
from featuresharing.store.progress_file import ProgressFile
from featuresharing.store.soundness import problems_of_final, problems_of_progress
from featuresharing.store.status import layer_statuses

IMAGES, CLASSES, UNITS = 6, {"word": 3, "basic": 4}, 5
PATIENCE = 20.0
BATCH = 100

Change = Callable[[h5py.File], None]


def main() -> None:
    """Run cases in batches, each in a process of its own, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=3000, help="cases in all")
    parser.add_argument("--seed", type=int, default=0, help="of the damage")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--alone", action="store_true", help="run the cases in this process and print each")
    options = parser.parse_args()
    if options.alone:
        with tempfile.TemporaryDirectory() as name:
            for outcome in run_cases(Path(name), range(options.first, options.first + options.cases), options.seed):
                print(json.dumps(outcome), flush=True)
        trials.close()
        print(
            json.dumps([resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)])
        )
        return
    counts: Counter[str] = Counter()
    slowest, largest = 0.0, [0, 0]
    end = options.first + options.cases
    for first in range(options.first, end, BATCH):
        number = first
        for what, outcome, detail, seconds in _batch(first, min(BATCH, end - first), options.seed, largest):
            counts[outcome] += 1
            slowest = max(slowest, seconds)
            if outcome in ("changed", "traceback", "hang"):
                print(f"case {number}: {what}: {outcome}: {detail}", flush=True)
            number += 1
    print(f"cases {counts.total()}")
    for name in ("refused", "same", "unprotected", "changed", "traceback", "hang"):
        print(f"{name}s {counts[name]}" if name in ("traceback", "hang") else f"{name} {counts[name]}")
    own, other = (round(size / 2**10) for size in largest)
    print(f"slowest {slowest:.1f} s\nlargest memory {own} MB, of the process that reads first {other} MB")
    if counts["changed"] or counts["traceback"] or counts["hang"]:
        raise SystemExit(1)


def _batch(first: int, count: int, seed: int, largest: list[int]) -> Iterator[tuple[str, str, str, float]]:
    """Yield the outcomes of cases from a process, which is stopped if it is silent for too long.

    Then raise the ``largest`` memory, in kB, that it had, and the other process which reads for it.
    """
    command = [sys.executable, __file__, "--alone", "--first", str(first), "--cases", str(count), "--seed", str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdout is not None
        for _ in range(count):
            begin = time.monotonic()
            ready = select.select([process.stdout], [], [], PATIENCE + 20)[0]
            line = process.stdout.readline() if ready else ""
            if not line:
                process.kill()
                yield "unknown", "hang" if not ready else "traceback", "", time.monotonic() - begin
                return
            yield tuple(json.loads(line))
        largest[:] = map(max, largest, json.loads(process.stdout.readline()))


def run_cases(folder: Path, cases: range, seed: int) -> Iterator[tuple[str, str, str, float]]:
    """Yield of each case what was done, what came of it, details, and the seconds that it took."""
    sound = write_sound(folder / "sound")
    changes = hand_made()
    wanted = {name: numbers_of(path) for name, path in sound.items()}
    assert len(wanted["progress"].pop("row")) == UNITS
    for case in cases:
        rng = np.random.default_rng([seed, case])
        name = str(rng.choice(sorted(sound)))
        place = folder / f"case/{case}"
        place.mkdir(parents=True)
        path = place / sound[name].name
        if rng.random() < 0.2:
            name = "old true-class"
            path = place / "conv5.h5"
            what = str(rng.choice(sorted(changes)))
            write_old(sound["true-class"], path, changes[what])
        else:
            content = bytearray(sound[name].read_bytes())
            what = damage(content, rng)
            path.write_bytes(content)
        begin = time.monotonic()
        outcome, detail = judge(path, wanted[name], name)
        yield f"{name}: {what}", outcome, detail, time.monotonic() - begin
        for left in place.iterdir():
            left.unlink()


def damage(content: bytearray, rng: np.random.Generator) -> str:
    """Damage a file's content in one way; return which."""
    kind = rng.choice(["flip", "flip", "flip", "flip", "flips", "cut", "hole", "noise", "longer"])
    start = int(rng.integers(len(content)))
    if kind in ("flip", "flips"):
        for place in [start, *rng.integers(len(content), size=3 if kind == "flips" else 0).tolist()]:
            content[place] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del content[start:]
    elif kind == "longer":
        content += rng.bytes(100)
    else:
        size = int(rng.choice([8, 64, 512]))
        content[start : start + size] = bytes(size) if kind == "hole" else rng.bytes(size)
    return f"{kind} at {start}"


def judge(path: Path, wanted: dict[str, Any], name: str) -> tuple[str, str]:
    """Do with a file what is done with files; return what came of it."""
    said: list[str] = []
    wrong: set[str] = set()
    try:
        try:
            wrong |= _differing(numbers_of(path), wanted)
        except InputError as error:
            said.append(str(error))
        if path.suffix == ".progress":
            said += problems_of_progress(path)
        elif "predictions" not in name:
            said += problems_of_final(path, whole=False)
            with suppress(InputError):
                merged = path.with_name("merged.h5")
                merge_conditionals([path], merged)
                wrong |= {f"merged {key}" for key in _differing(numbers_of(merged), wanted) - {"attributes"}}
        if "true-class" in name or name == "progress":
            wrong |= {f"taken {key}" for key in _differing(_taken_over(path, said.append), wanted)}
        layer_statuses(path.parent, say=said.append)
    except Exception as error:
        return "traceback", repr(error)
    if any("\n" in sentence for sentence in said):
        return "traceback", repr(said)
    if wrong:
        names = {"attributes", "rows", "merged rows"}  # names in format 2 have no checksum
        unprotected = name == "old predictions" or (name.startswith("old") and wrong <= names)
        return "unprotected" if unprotected else "changed", ", ".join(sorted(wrong))
    return "refused" if said else "same", ""


def _differing(found: dict[str, Any], wanted: dict[str, Any]) -> set[str]:
    """Return what differs from what was written, of the units that were found."""
    if "row" in found:
        rows = found.pop("row")
        wanted = {key: value[rows] if isinstance(value, np.ndarray) else value for key, value in wanted.items()}
    return {key for key in found if not _equal(found[key], wanted[key])}


def _taken_over(path: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the numbers of the units that a store of the same settings takes over from a file."""
    with _open_store(path.with_name("other.h5"), "true-class", "none", relatives=[path], say=say) as store:
        store.begin(step=3, conditions={})
    (progress,) = path.parent.glob(".other.h5.*.progress")
    taken = numbers_of(progress)
    del taken["attributes"]
    progress.unlink()
    if path.suffix == ".progress":
        return taken
    names = {f"conditional_{task}": f"q{task}" for task in CLASSES}
    names |= {"units": "units", "row": "row", "effective_samples": "effective", "skipped_mass": "skipped"}
    return {names[key]: values for key, values in taken.items()}


def numbers_of(path: Path) -> dict[str, Any]:
    """Return all that others take from a file."""
    if path.suffix == ".progress":
        file = ProgressFile(path, writable=False)
        bad = file.damaged().any(axis=1) | (file.checksums == 0).any(axis=1)
        found: dict[str, Any] = {each: file.read(each, file.rows)[~bad] for each in file.numbers}
        file.close()
        attributes = dict(file.head.attributes)
        return found | {"units": file.head.units[~bad], "row": np.flatnonzero(~bad), "attributes": attributes}
    if "predictions" in path.name:
        predictions = read_predictions(path)
        return {
            **predictions.probabilities,
            **{f"t{k}": v for k, v in predictions.targets.items()},
            "s": predictions.step,
        }
    layer = read_conditionals(path)
    tables = contribution_table([layer], say=_nothing), sharing_table([layer], resamples=10, say=_nothing)
    return {
        **{f"p{task}": values for task, values in layer.predictions.items()},
        **{f"q{task}": values for task, values in layer.conditionals.items()},
        **{f"e{task}": values for task, values in layer.standard_errors.items()},
        "units": layer.units,
        "effective": layer.effective_samples,
        "skipped": layer.skipped_mass,
        "classes": layer.classes,
        "attributes": layer.attributes,
        "tables": [table.to_csv() for table in tables],
    }


def _nothing(_: str) -> None:
    """Say nothing: what is printed is a case."""


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    return bool(first == second)


def write_sound(folder: Path) -> dict[str, Path]:
    """Write a sound file of each kind; return them by name."""
    found = {
        name: _compute(folder / name / "conv5.h5", storage, errors)
        for name, storage, errors in (
            ("true-class", "true-class", "none"),
            ("full", "full", "none"),
            ("errors", "true-class", "standard_error"),
        )
    }
    with suppress(KeyboardInterrupt):
        _compute(folder / "progress" / "conv5.h5", "true-class", "none", stop=True)
    (found["progress"],) = (folder / "progress").glob(".*.progress")
    found["predictions"] = folder / "predictions.h5"
    rng = np.random.default_rng(1)
    probabilities = {name: rng.dirichlet(np.ones(count), IMAGES).astype("f4") for name, count in CLASSES.items()}
    targets = {name: rng.integers(count, size=IMAGES) for name, count in CLASSES.items()}
    write_predictions(found["predictions"], Predictions(probabilities, targets, 7))
    for name in ("true-class", "full", "predictions"):
        found[f"old {name}"] = folder / "old" / name / found[name].name
        write_old(found[name], found[f"old {name}"])
    return found


def _open_store(output: Path, storage: str, errors: str, **options: Any) -> UnitStore:
    rng = np.random.default_rng(0)
    tasks = [
        TaskData(name, count, rng.integers(count, size=IMAGES), rng.dirichlet(np.ones(count), IMAGES).astype("f4"))
        for name, count in CLASSES.items()
    ]
    attributes = {
        "tasks": list(CLASSES),
        "experiment": "object_text",
        "alias": "conv5",
        "checkpoint": "7",
        "step": 7,
        "estimator": "prior-weighted",
        "samples": 100,
        "device": "cpu",
        "threads": 1,
        "layer": "0.0.10",
    }
    settings = {"samples": 100, "layer": "0.0.10", "estimator": "prior-weighted"}
    layout, units = Layout(tasks, storage, columns_in([f"{errors}_"])), range(UNITS)
    given: dict[str, Any] = {"settings": settings, "attributes": attributes, **options}
    return UnitStore(output, layout, units=units, layer_units=UNITS, **given)


def _compute(output: Path, storage: str, errors: str, *, stop: bool = False) -> Path:
    rng = np.random.default_rng(2)
    with _open_store(output, storage, errors) as store:
        store.begin(step=3, conditions={"memory": 1})
        for images in (slice(0, 3), slice(3, 6)):
            shapes = [(UNITS, 3, count) for count in CLASSES.values()]
            store.write(
                slice(0, UNITS),
                images,
                [rng.dirichlet(np.ones(shape[-1]), shape[:-1]) for shape in shapes],
                {
                    "effective_samples": np.arange(1.0, UNITS + 1),
                    "skipped_mass": np.zeros(UNITS),
                    "standard_error": [rng.random(shape) for shape in shapes],
                },
            )
        if stop:
            raise KeyboardInterrupt
        store.finish()
    return output


def write_old(new: Path, old: Path, change: Change = lambda _: None) -> None:
    """Write a file anew as format 2 did: texts of variable length, no seal; then ``change`` it."""
    old.parent.mkdir(parents=True, exist_ok=True)
    newest = "v110" if change is _virtual else "v108"
    kind: dict[str, Any] = {} if "predictions" in new.name else {"libver": ("v108", newest)}
    with h5py.File(new, locking=False) as source, h5py.File(old, "w", **kind) as file:
        for name, value in source.attrs.items():
            if isinstance(value, bytes):
                file.attrs[name] = value.decode()
            elif isinstance(value, np.ndarray) and value.dtype.kind == "S":
                file.attrs[name] = [each.decode() for each in value]
            else:
                file.attrs[name] = value
        file.attrs["format_version"] = 2
        if kind == {}:
            del file.attrs["sha256"]
        for name, dataset in source.items():
            packed = {"compression": "gzip", "shuffle": True, "chunks": dataset.chunks} if dataset.chunks else {}
            file.create_dataset(name, data=dataset[:], **packed)
            if "classes" in dataset.attrs:
                file[name].attrs["classes"] = dataset.attrs["classes"]
            if dataset.is_scale:
                file[name].make_scale(name)
        for name, dataset in source.items():
            for axis, scales in enumerate([] if dataset.is_scale else dataset.dims):
                for scale in scales.values():
                    file[name].dims[axis].attach_scale(file[Path(scale.name).name])
        change(file)


def hand_made() -> dict[str, Change]:
    """Return by name changes that make a file of format 2 a well-formed one of wrong contents."""

    def put(name: str, *arguments: Any, **options: Any) -> Change:
        def change(file: h5py.File) -> None:
            if name in file:
                del file[name]
            file.create_dataset(name, *arguments, **options)
            file[name].attrs["classes"] = 3

        return change

    def number(name: str, value: float) -> Change:
        def change(file: h5py.File) -> None:
            del file.attrs["sha256"]
            file[name][(0,) * file[name].ndim] = value

        return change

    def attribute(name: str, value: Any) -> Change:
        return lambda file: file.attrs.__setitem__(name, value)

    word, shape = "conditional_word", (UNITS, IMAGES)
    q = np.full(shape, 0.5, "f4")
    found: dict[str, Change] = {
        "stored elsewhere": put(word, shape, "f4", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)]),
        "virtual": _virtual,
        "soft link": lambda file: _link(file, h5py.SoftLink("/conditional_basic")),
        "external link": lambda file: _link(file, h5py.ExternalLink("/etc/passwd", "/x")),
        "group": lambda file: _link(file, None),
        "committed type": _committed,
        "compact": _compact,
        "lzf": put(word, data=q, compression="lzf"),
        "scale-offset": put(word, shape, "i4", scaleoffset=True),
        "texts": put(word, data=np.full(shape, b"x")),
        "texts of variable length": put(word, data=np.full(shape, "x", object), dtype=h5py.string_dtype()),
        "ragged": put(word, shape, dtype=h5py.vlen_dtype(np.float32)),
        "compound": put(word, shape, dtype=[("a", "f4"), ("b", "f4")]),
        "references": put(word, shape, dtype=h5py.ref_dtype),
        "array type": put(word, (UNITS,), dtype=np.dtype(("f4", (IMAGES,)))),
        "double": put(word, data=q.astype("f8")),
        "big-endian": put(word, data=q.astype(">f4")),
        "half": put(word, data=q.astype("f2")),
        "scalar": put(word, data=np.float32(0.5)),
        "null": put(word, data=h5py.Empty("f4")),
        "no rows": put(word, (0, IMAGES), "f4"),
        "another shape": put(word, data=q.T.copy()),
        "a dimension more": put(word, data=q[..., None]),
        "terabytes": put(word, (10**6, 10**6), "f4"),
        "terabytes in chunks": put(word, (10**6, 10**6), "f4", chunks=(1000, 1000)),
        "terabytes of units": put("unit", (10**12,), "i8"),
        "large chunks": put(word, shape, "f4", chunks=(UNITS, IMAGES), maxshape=(None, None), fillvalue=0.5),
        "bomb": put(word, data=np.zeros((2000, 2000), "f4"), chunks=(2000, 2000), compression="gzip"),
        "a dataset more": put("more", data=q),
        "no conditionals": lambda file: file.__delitem__(word),
        "no units": lambda file: file.__delitem__("unit"),
        "no classes": lambda file: file[word].attrs.__delitem__("classes"),
        "classes of text": lambda file: file[word].attrs.__setitem__("classes", "three"),
        "no scales": _without_scales,
        "unit twice": number("unit", 1),
        "unit negative": number("unit", -1),
        "unit too large": number("unit", 10**9),
        "no tasks": lambda file: file.attrs.__delitem__("tasks"),
        "tasks twice": attribute("tasks", ["word", "word"]),
        "another task": attribute("tasks", ["word", "other"]),
        "tasks are a text": attribute("tasks", "word"),
        "tasks are numbers": attribute("tasks", [1, 2]),
        "tasks are empty": attribute("tasks", h5py.Empty("f4")),
        "format is a text": attribute("format_version", "two"),
        "format is a list": attribute("format_version", [2, 2]),
        "format 0": attribute("format_version", 0),
        "format 3": attribute("format_version", 3),
        "format 2**60": attribute("format_version", 2**60),
        "storage": attribute("storage", "sparse"),
        "full storage": attribute("storage", "full"),
        "no experiment": lambda file: file.attrs.__delitem__("experiment"),
        "experiment is a number": attribute("experiment", 3),
        "layer_units": attribute("layer_units", 10**15),
        "layer_units is a text": attribute("layer_units", "many"),
        "no layer_units": attribute("layer_units", 0),
        "settings are no JSON": attribute("settings", "{"),
        "settings are a list": attribute("settings", "[]"),
        "settings are deep": attribute("settings", "[" * 20_000),
        "digests are a list": attribute("sha256", "[1]"),
        "digests of others": attribute("sha256", '{"a": "b"}'),
        "an image twice": number("image", 3),
        "a class too many": number("target_word", 3),
        "a negative class": number("target_basic", -1),
        "skipped too much": number("skipped_mass", 2),
        "no effective samples": number("effective_samples", float("nan")),
    }
    for text in ("nan", "inf", "2", "-1"):
        for name in ("conditional_word", "prediction_basic"):
            found[f"{name} {text}"] = number(name, float(text))
    return found


def _virtual(file: h5py.File) -> None:
    del file["conditional_word"]
    layout = h5py.VirtualLayout((UNITS, IMAGES), "f4")
    layout[:] = h5py.VirtualSource(".", "conditional_basic", (UNITS, IMAGES))
    file.create_virtual_dataset("conditional_word", layout)


def _link(file: h5py.File, link: Any) -> None:
    del file["conditional_word"]
    if link is None:
        file.create_group("conditional_word")
    else:
        file["conditional_word"] = link


def _committed(file: h5py.File) -> None:
    del file["conditional_word"]
    file["kind"] = np.dtype("f4")
    file.create_dataset("conditional_word", (UNITS, IMAGES), file["kind"])


def _compact(file: h5py.File) -> None:
    del file["conditional_word"]
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((UNITS, IMAGES))
    h5py.h5d.create(file.id, b"conditional_word", h5py.h5t.IEEE_F32LE, space, properties)


def _without_scales(file: h5py.File) -> None:
    for dataset in file.values():
        for axis, scales in enumerate(dataset.dims):
            for scale in [] if dataset.is_scale else list(scales.values()):
                dataset.dims[axis].detach_scale(scale)


if __name__ == "__main__":
    main()
