"""The unit store: what is written comes back, and whatever happens, only what is unsure is computed again."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from featuresharing import InputError, merge_conditionals, read_conditionals
from featuresharing.files import locks
from featuresharing.files.records import record_of
from featuresharing.hdf5 import DamagedError, seals
from featuresharing.store import STORAGE, Layout, UnitStore
from featuresharing.store.progress_file import ProgressFile, read_progress
from featuresharing.store.soundness import problems_of_final, problems_of_progress
from featuresharing.store.status import layer_statuses
from tests.support.commands import ROOT
from tests.support.stores import (
    ATTRIBUTES,
    CELLS,
    CLASSES,
    ERRORS,
    IMAGES,
    SETTINGS,
    STEP,
    UNITS,
    check,
    compute,
    numbers,
    open_store,
    said,
    start,
    tasks,
    visible,
    write,
)

# --- what is written comes back


@pytest.mark.parametrize("errors", ERRORS)
@pytest.mark.parametrize("storage", STORAGE)
def test_what_is_written_comes_back(tmp_path: Path, storage: str, errors: str) -> None:
    output = tmp_path / "new" / "conv5_7.h5"
    assert len(compute(output, storage=storage, errors=errors)) == 9
    found = read_conditionals(output)
    check(found)
    for name, value in ATTRIBUTES.items():
        assert np.array_equal(found.attributes[name], np.asarray(value))
    assert found.attributes["storage"] == storage
    assert json.loads(found.attributes["settings"]) == SETTINGS
    assert visible(output.parent) == {output.name}
    true = [(range(IMAGES), task.targets) for task in tasks()]
    errors_of_tasks = {
        name: np.stack([numbers(unit)["standard_error"][index][true[index]] for unit in UNITS])
        for index, name in enumerate(CLASSES)
    }
    assert list(found.standard_errors) == (list(CLASSES) if errors == "standard_error" else [])
    assert all(np.array_equal(values, errors_of_tasks[name]) for name, values in found.standard_errors.items())
    if errors == "error_estimate":
        assert found.error_estimate is not None
        assert found.error_estimate.dtype == np.float64
        assert np.array_equal(found.error_estimate, [numbers(unit)["error_estimate"] for unit in UNITS])
    else:
        assert found.error_estimate is None
    with h5py.File(output) as file:
        for index, task in enumerate(tasks()):
            for name in ("conditionals", *(["standard_error"] if errors == "standard_error" else [])):
                wanted = np.stack([numbers(unit)[name][index] for unit in UNITS])
                kept = wanted if storage == "full" else wanted[:, range(IMAGES), task.targets]
                assert np.array_equal(file[f"{name.removesuffix('s')}_{task.name}"], kept)
        if errors == "error_estimate":
            assert np.array_equal(file[errors], [numbers(unit)[errors] for unit in UNITS])
    assert problems_of_final(output, whole=False) == []


@pytest.mark.parametrize("storage", STORAGE)
def test_axes_are_named_as_xarray_names_them(tmp_path: Path, storage: str) -> None:
    compute(tmp_path / "conv5.h5", storage=storage)
    with xarray.open_dataset(tmp_path / "conv5.h5", engine="h5netcdf") as opened:
        tail = {name: (f"class_{name}",) if storage == "full" else () for name in CLASSES}
        assert {name: variable.dims for name, variable in opened.data_vars.items()} == {
            "effective_samples": ("unit",),
            "skipped_mass": ("unit",),
            **{f"target_{name}": ("image",) for name in CLASSES},
            **{f"prediction_{name}": ("image", *tail[name]) for name in CLASSES},
            **{f"conditional_{name}": ("unit", "image", *tail[name]) for name in CLASSES},
        }
        assert opened["conditional_word"].sel(unit=5).shape == (IMAGES, *([3] if storage == "full" else []))
        assert opened["unit"].values.tolist() == UNITS
        assert list(opened.attrs["tasks"]) == list(CLASSES)
        assert (opened.attrs["experiment"], opened.attrs["checkpoint"]) == ("object_text", "7")


def test_memory_does_not_grow_with_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the bookkeeping: 4 bytes a cell, and the units themselves."""
    monkeypatch.setattr("featuresharing.hdf5.blocks.BLOCK_BYTES", 2**16)
    peaks = []
    for units in (500, 20_000):
        layout = Layout(tasks(40))
        given: dict[str, Any] = {"settings": SETTINGS, "attributes": ATTRIBUTES, "layer_units": units}
        tracemalloc.start()
        with UnitStore(tmp_path / f"{units}.h5", layout, units=range(units), **given) as store:
            store.begin(step=40, conditions={})
            for first in range(0, units, 500):
                even = np.full((500, 40, 2), 0.5)
                write_even = {"effective_samples": np.ones(500), "skipped_mass": np.zeros(500)}
                store.write(slice(first, first + 500), slice(0, 40), [np.full((500, 40, 3), 1 / 3), even], write_even)
            store.finish()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    data = 20_000 * 40 * 2 * 4
    assert peaks[1] - peaks[0] < 20_000 * 150 < data


def test_others_can_read_the_files_by_what_docs_format_says(tmp_path: Path) -> None:
    progress = start(tmp_path / "conv5.h5", [(0, 0), (2, 2)])
    with h5py.File(progress) as file:
        fingerprint, step = file.attrs["fingerprint"].decode(), int(file.attrs["step"])
        for row, unit in enumerate(file["unit"][:]):
            for cell, found in enumerate(file["checksum"][row]):
                first = cell * step
                total = zlib.crc32(f"{fingerprint}:{unit}:{first}".encode())
                for name in ("effective_samples", "skipped_mass"):
                    total = zlib.crc32(file[name][row].tobytes(), total)
                for name in json.loads(file.attrs["by_image"]):
                    total = zlib.crc32(file[name][row, first : first + step].tobytes(), total)
                assert found == (max(total, 1) if (row // 2, cell) in [(0, 0), (2, 2)] else 0)
    compute(tmp_path / "conv5.h5")
    with h5py.File(tmp_path / "conv5.h5") as file:
        for name, wanted in json.loads(file.attrs["sha256"]).items():
            data = file[name]
            text = f"{data.shape} {data.dtype.str}".encode()
            assert hashlib.sha256(text + data[:].tobytes()).hexdigest() == wanted
        targets = {name: [count, file[f"target_{name}"][:].tolist()] for name, count in CLASSES.items()}
        identity = {"settings": SETTINGS, "storage": "true-class", "errors": "none", "tasks": targets}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        assert file.attrs["fingerprint"].decode() == fingerprint == digest
    content, _, last = (
        (tmp_path / "conv5.h5").read_bytes().rpartition(b"\nFeatureSharing seal, SHA-256 of all before: ")
    )
    assert last.decode() == hashlib.sha256(content).hexdigest() + "\n"
    key = hashlib.sha256(f"{fingerprint}:{UNITS}".encode()).hexdigest()[:12]
    assert progress.name == f".conv5.h5.{key}.progress"


# --- interruptions


@pytest.mark.parametrize("storage", STORAGE)
def test_an_interrupted_store_goes_on_where_it_stopped(tmp_path: Path, storage: str) -> None:
    output = tmp_path / "conv5.h5"
    start(output, [(0, 0), (0, 1), (0, 2), (2, 1)], storage=storage)
    assert not output.exists()
    with open_store(output, storage=storage) as store:
        assert store.recorded() == {"memory": 1}
        store.begin(step=5, conditions={"memory": 9})
        assert (store.step, store.units_done()) == (STEP, 2)
    sentences, pieces = said(output, storage=storage)
    assert sentences == []
    assert len(pieces) == 5
    check(read_conditionals(output))


def test_a_damaged_record_is_written_again(tmp_path: Path) -> None:
    """Else the sentence that says to make the file again would be said for ever."""
    output = tmp_path / "conv5.h5"
    compute(output)
    sound = record_of(output).read_bytes()
    record_of(output).write_bytes(b"garbage")
    with pytest.raises(InputError, match="is no record as it was written"):
        read_conditionals(output)
    with open_store(output) as store:
        assert not store.is_complete()
        assert store.put_back()
    assert record_of(output).read_bytes() == sound
    read_conditionals(output)


def test_nothing_is_put_back_in_place_of_a_folder(tmp_path: Path) -> None:
    output = tmp_path / "conv5.h5"
    compute(output)
    output.unlink()
    output.mkdir()
    before = sorted(tmp_path.iterdir())
    with open_store(output) as store, pytest.raises(InputError, match=r"conv5\.h5 cannot be written: it is a folder"):
        store.put_back()
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_was_complete_is_put_back(tmp_path: Path) -> None:
    """As when Snakemake removes the output of a job that is stopped in its last moments."""
    output = tmp_path / "conv5.h5"
    compute(output)
    content = output.read_bytes()
    output.unlink()
    with open_store(output, settings={"samples": 1}) as store:
        assert not store.put_back()
    with open_store(output) as store:
        assert not store.is_complete()
        assert store.put_back()
        assert store.is_complete()
    assert output.read_bytes() == content
    assert output.stat().st_nlink == 2  # two names of one file
    output.unlink()
    (hidden,) = tmp_path.glob(".*.done")
    flipped = bytearray(content)
    with h5py.File(hidden) as file:
        flipped[file["conditional_word"].id.get_offset()] ^= 1
    hidden.write_bytes(flipped)
    with open_store(output) as store:
        assert not store.put_back()
    compute(output, settings={"samples": 1})
    assert len(list(tmp_path.glob(".*.done"))) == 1


def test_without_hard_links_all_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    compute(tmp_path / "conv5.h5")
    assert visible(tmp_path) == {"conv5.h5"}
    assert not list(tmp_path.glob(".*.done"))


def test_an_output_that_is_complete_is_left_alone(tmp_path: Path) -> None:
    output = tmp_path / "conv5.h5"
    compute(output)
    with open_store(output) as store:
        assert store.is_complete()
    with open_store(output, units=[0, 1]) as store:
        assert not store.is_complete()
    with open_store(output, settings=SETTINGS | {"samples": 99}) as store:
        assert not store.is_complete()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": SETTINGS | {"samples": 99}}, "samples 100 instead of 99"),
        ({"settings": SETTINGS | {"network_sha256": "ab" * 32}}, "network_sha256 None instead of abababab..."),
        ({"storage": "full"}, "other images, units or storage"),
        ({"units": [0, 1, 2]}, "other images, units or storage"),
        ({"units": [8, 5, 3, 2, 1, 0]}, "other images, units or storage"),
        ({"tasks": tasks(word=[0, 0, 0, 0, 0])}, "other images, units or storage"),
        ({"tasks": tasks()[:1]}, "other images, units or storage"),
    ],
)
def test_progress_of_anything_else_is_kept_and_not_continued(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    output = tmp_path / "conv5.h5"
    other = start(output, [(0, 0), (0, 1), (0, 2)])
    content = other.read_bytes()
    sentences: list[str] = []
    with open_store(output, say=sentences.append, **changes) as store:
        store.begin(step=STEP, conditions={})
        assert store.units_done() == 0
    assert sentences == [f"{other} has 2 of 6 units of other settings ({words}): it is kept."]
    assert other.read_bytes() == content
    assert len(compute(output)) == 6
    check(read_conditionals(output))


def test_progress_of_a_newer_format_is_refused_and_kept(tmp_path: Path) -> None:
    output = tmp_path / "conv5.h5"
    progress = start(output, [(0, 0)])
    with h5py.File(progress, "r+") as file:
        file.attrs["format_version"] = 99
        del file.attrs["step"]
    content = progress.read_bytes()
    with pytest.raises(InputError, match=r"progress is of format 99, of a newer Feature.*; accepted are .* 1 to 3"):
        open_store(output).__enter__()
    assert progress.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [progress.name]


def test_nothing_has_the_final_name_before_all_units_are_there(tmp_path: Path) -> None:
    output = tmp_path / "conv5.h5"
    with open_store(output) as store:
        store.begin(step=STEP, conditions={})
        write(store, slice(0, 2), CELLS[0])
        with pytest.raises(ValueError, match="6 units are missing"):
            store.finish()
    assert not output.exists()
    output.write_text("of an earlier run")
    compute(output)
    check(read_conditionals(output))


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.1, np.inf])
def test_what_is_no_probability_is_refused_at_once(tmp_path: Path, value: float) -> None:
    output = tmp_path / "conv5.h5"
    start(output, [(0, 0)])
    with open_store(output) as store:
        store.begin(step=STEP, conditions={})
        spoiled = [np.full((2, 2, 3), 0.2), np.full((2, 2, 2), 0.5)]
        spoiled[0][1] = value
        with pytest.raises(InputError, match=r"conv5.h5: task 'word' .*outside \[0, 1\] without unit 3"):
            store.write(slice(2, 4), CELLS[0], spoiled, {"effective_samples": np.ones(2), "skipped_mass": np.zeros(2)})
        assert not store.is_done(slice(2, 4), CELLS[0])
        assert store.is_done(slice(0, 2), CELLS[0])


# --- damage


def cells_of(path: Path) -> NDArray[np.bool_]:
    return read_progress(path)[1]


@pytest.mark.slow
@pytest.mark.parametrize("storage", STORAGE)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bits_anywhere_cost_what_they_hit_and_no_more(
    tmp_path: Path, storage: str, data: st.DataObject
) -> None:
    output = tmp_path / "conv5.h5"
    pieces = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    progress = start(output, pieces, storage=storage)
    content = bytearray(progress.read_bytes())
    with ProgressFileView(progress) as view:
        places = data.draw(st.lists(st.one_of(*(st.integers(*ends) for ends in view)), min_size=1, max_size=3))
    for place in places:
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    progress.write_bytes(content)
    sentences, computed = said(output, storage=storage)
    check(read_conditionals(output))
    assert problems_of_final(output, whole=False) == []
    assert len(computed) <= 9 - len(pieces) + 3 * len(places)
    assert all(str(progress) in sentence and "damaged" in sentence for sentence in sentences)
    assert len(sentences) <= 1
    output.unlink()


class ProgressFileView:
    """The places of a progress file's parts, so that bits of small ones are hit as often as those of large ones."""

    def __init__(self, path: Path) -> None:
        with h5py.File(path) as file:
            places = [(file[name].id.get_offset(), file[name].id.get_storage_size()) for name in file]
        self.ends = [(start, start + size - 1) for start, size in places]
        self.ends.append((0, min(start for start, _ in places) - 1))

    def __enter__(self) -> list[tuple[int, int]]:
        return self.ends

    def __exit__(self, *_: object) -> None:
        return None


def test_a_flipped_bit_of_a_number_costs_its_unit_alone(tmp_path: Path) -> None:
    output = tmp_path / "conv5.h5"
    progress = start(output, [(0, 0), (0, 1), (0, 2), (1, 0)])
    with h5py.File(progress) as file:
        place = file["conditional_word"].id.get_offset() + 4 * (1 * IMAGES + 2)  # second unit, third image
    content = bytearray(progress.read_bytes())
    content[place] ^= 1
    progress.write_bytes(content)
    assert problems_of_progress(progress) == [
        f"{progress}: 1 of 6 units are damaged; the next run computes them again."
    ]
    sentences, computed = said(output)
    assert sentences == [f"{progress} was damaged in 1 units, which are computed again."]
    assert [(rows.start, images.start) for rows, images in computed] == [(0, 2), (2, 2), (2, 4), (4, 0), (4, 2), (4, 4)]
    check(read_conditionals(output))


@pytest.mark.slow
@pytest.mark.parametrize("storage", STORAGE)
def test_a_truncated_file_keeps_what_is_left(tmp_path: Path, storage: str) -> None:
    progress = start(tmp_path / "conv5.h5", [(0, 0), (0, 1), (0, 2), (1, 0)], storage=storage)
    whole = progress.read_bytes()
    counts = []
    for size in [*range(0, len(whole), 97), len(whole) - 1]:
        progress.write_bytes(whole[:size])
        assert len(problems_of_progress(progress)) == 1
        sentences, computed = said(tmp_path / "conv5.h5", storage=storage)
        assert len(sentences) == 1
        assert re.search(r"was damaged \(.*\): \d of 6 units were sound and are kept, the others", sentences[0])
        check(read_conditionals(tmp_path / "conv5.h5"))
        counts.append(len(computed))
        (tmp_path / "conv5.h5").unlink()
    assert counts[0] == 9
    assert min(counts[-1:]) < 9
    assert counts == sorted(counts, reverse=True)


def test_a_file_whose_head_is_gone_keeps_its_numbers(tmp_path: Path) -> None:
    progress = start(tmp_path / "conv5.h5", [(0, 0), (0, 1), (0, 2), (1, 0)])
    with ProgressFileView(progress) as ends:
        head = min(first for first, _ in ends[:-1])
    progress.write_bytes(bytes(head) + progress.read_bytes()[head:])
    sentences, computed = said(tmp_path / "conv5.h5")
    assert "2 of 6 units were sound and are kept" in sentences[0]
    assert len(computed) == 5
    check(read_conditionals(tmp_path / "conv5.h5"))


def test_numbers_of_other_settings_do_not_pass_for_sound(tmp_path: Path) -> None:
    other = start(tmp_path / "other.h5", [(0, 0), (0, 1)], settings=SETTINGS | {"samples": 99})
    progress = start(tmp_path / "conv5.h5", [(0, 0)])
    shutil.copy(other, progress)
    sentences, computed = said(tmp_path / "conv5.h5")
    assert "other settings than its name says" in sentences[0]
    assert "0 of 6 units were sound" in sentences[0]
    assert len(computed) == 9
    check(read_conditionals(tmp_path / "conv5.h5"))


def test_a_progress_file_that_is_damaged_is_no_progress_file(tmp_path: Path) -> None:
    (tmp_path / "x.progress").write_bytes(b"nothing")
    with pytest.raises(DamagedError):
        ProgressFile(tmp_path / "x.progress")


# --- kills

KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.support import stores
from featuresharing.hdf5 import writing
from featuresharing.store import progress_file, unit_store

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

def die_after(function):
    def run(*arguments, **options):
        function(*arguments, **options)
        die()
    return run

def die_in_call(number, function):
    calls = []
    def run(*arguments, **options):
        calls.append(0)
        return die() if len(calls) == number else function(*arguments, **options)
    return run

PLACE
stores.compute(Path(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("place", "computed"),
    [
        ("os.posix_fallocate = die", 9),  # while the progress file is made
        ("unit_store.create_progress = die_after(unit_store.create_progress)", 9),
        ("progress_file.ProgressFile._sum = die_in_call(3, progress_file.ProgressFile._sum)", 8),  # no checksum
        ("unit_store.UnitStore.finish = die", 0),
        ("writing.seal = die", 0),  # the final file is written, but not checked
        ("os.replace = die_in_call(2, os.replace)", 0),
        ("os.replace = die_in_call(3, os.replace)", 0),
        ("unit_store.write_final = die_after(unit_store.write_final)", 0),  # it has its name, progress is still there
        ("os.link = die_after(os.link)", 0),
    ],
)
def test_a_kill_at_the_worst_moment_loses_what_was_unsure(tmp_path: Path, place: str, computed: int) -> None:
    output = tmp_path / "conv5.h5"
    command = [sys.executable, "-c", KILLED.replace("PLACE", place), str(output), str(ROOT)]
    killed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if output.exists():
        check(read_conditionals(output))
        with open_store(output) as store:
            assert store.is_complete()
            store.clear()
    else:
        sentences, pieces = said(output)
        assert sentences == []
        assert len(pieces) == computed
    check(read_conditionals(output))
    compute(tmp_path / "whole.h5")
    assert output.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert visible(tmp_path) == {"conv5.h5", "whole.h5"}
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".part", ".progress", ".lock")]


# --- disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that mounts a small disk with options."""
    mounted = []

    def mount(options: str) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False, capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"a disk cannot be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_at_the_start_is_said(small_disk: Callable[[str], Path]) -> None:
    folder = small_disk("size=16k")
    sentence = r"conv5\.h5 cannot be written: no space is left on the disk; accepted"
    with open_store(folder / "conv5.h5", tasks=tasks(400)) as store, pytest.raises(InputError, match=sentence):
        store.begin(step=400, conditions={})
    assert list(folder.iterdir()) == []


def test_systems_that_promise_no_room_are_asked_what_is_free(
    small_disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_disk("size=100k")
    monkeypatch.delattr(os, "posix_fallocate")
    with (
        open_store(folder / "large.h5", tasks=tasks(4000)) as store,
        pytest.raises(InputError, match="no space is left"),
    ):
        store.begin(step=400, conditions={})
    compute(folder / "small.h5")
    check(read_conditionals(folder / "small.h5"))


@pytest.mark.parametrize("storage", STORAGE)
def test_a_disk_that_is_full_at_the_end_loses_nothing(small_disk: Callable[[str], Path], storage: str) -> None:
    folder = small_disk("size=40k" if storage == "true-class" else "size=60k")
    output = folder / "conv5.h5"
    large = tasks(150)
    with open_store(output, tasks=large, storage=storage) as store:
        store.begin(step=150, conditions={})
        write(store, slice(0, 6), slice(0, 150))
        filling = folder / "filling"
        with suppress(OSError), filling.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1024))
        with pytest.raises(InputError, match=r"no space is left on the disk; .* the same command goes on there"):
            store.finish()
    assert not output.exists()
    filling.unlink()
    subprocess.run(["mount", "-o", "remount,size=1m", str(folder)], check=True)
    with open_store(output, tasks=large, storage=storage) as store:
        store.begin(step=150, conditions={})
        assert store.units_done() == 6
        store.finish()
    assert len(read_conditionals(output).units) == 6


FULL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.support import stores
from featuresharing import InputError

try:
    stores.compute(Path(sys.argv[1]), tasks=stores.tasks(150), step=150, storage=sys.argv[3])
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(("storage", "size"), [("true-class", "90k"), ("full", "90k")])
def test_a_full_disk_does_not_crash_hdf5(small_disk: Callable[[str], Path], storage: str, size: str) -> None:
    """It may leave tracebacks or crash when the process ends, where it could not write."""
    output = small_disk(f"size={size}") / "conv5.h5"
    command = [sys.executable, "-c", FULL, str(output), str(ROOT), storage]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert "no space is left on the disk; accepted is a disk with room. What is done is kept in" in result.stdout
    assert [path.suffix for path in output.parent.iterdir()] == [".progress"]


def test_a_folder_that_is_read_only_is_named(small_disk: Callable[[str], Path]) -> None:
    folder = small_disk("size=1m,ro")
    with pytest.raises(InputError, match=r"disk cannot be written to .*; accepted is a writable folder"):
        open_store(folder / "conv5.h5").__enter__()


def test_unknown_storage_and_unusable_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="storage: found 'sparse'; accepted is true-class or full"):
        open_store(tmp_path / "conv5.h5", storage="sparse")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"{tmp_path}/file/below cannot be written to"):
        open_store(tmp_path / "file" / "below" / "conv5.h5").__enter__()


# --- one at a time


def test_a_second_process_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    output = tmp_path / "conv5.h5"
    who = rf"conv5\.h5 is being computed by process {os.getpid()} on \S+ since .*; accepted is one at a time"
    with open_store(output) as store:
        store.begin(step=STEP, conditions={})
        with pytest.raises(InputError, match=who):
            open_store(output).__enter__()
        with pytest.raises(InputError, match=who):
            open_store(output, settings={"samples": 3}).__enter__()
    compute(output)
    check(read_conditionals(output))


def test_a_second_process_waits_and_says_for_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "conv5.h5"
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.01)
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    first = open_store(output)
    first.__enter__()
    sentences: list[str] = []

    def say(sentence: str) -> None:
        sentences.append(sentence)
        first.__exit__()

    with open_store(output, wait=60, say=say) as store:
        assert not store.is_complete()
    assert len(sentences) == 1
    assert re.search(r"is being computed by process \d+ on \S+, job 17 since \S+ \S+: waiting\.", sentences[0])


def test_a_lock_that_was_removed_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening the file and locking it, its holder may finish and remove it."""
    output = tmp_path / "conv5.h5"
    real = fcntl.flock
    calls: list[int] = []

    def flock(file: int, kind: int) -> None:
        if not calls:
            (tmp_path / ".conv5.h5.lock").unlink()
        calls.append(file)
        real(file, kind)

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.01)
    with open_store(output, wait=5):
        assert len(calls) == 2
        with pytest.raises(InputError, match="is being computed by"):
            open_store(output).__enter__()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_signs_of_life_are_what_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(locks, "SIGN_SECONDS", 0.001)
    output, lock = tmp_path / "conv5.h5", tmp_path / ".conv5.h5.lock"
    with open_store(output):
        with pytest.raises(InputError, match=rf"is being computed by process {os.getpid()} on"):
            open_store(output).__enter__()
        os.utime(lock, (0, 0))
        while lock.stat().st_mtime == 0:  # until it gives a sign of life
            os.sched_yield()
        with pytest.raises(InputError, match="is being computed by"):
            open_store(output).__enter__()
    left = locks.OutputLock(output)  # by a holder that gives none
    left.acquire()
    os.utime(lock, (0, 0))
    with open_store(output) as second:
        assert not second.is_complete()


# --- blocks


def test_blocks_are_put_together_to_the_whole(tmp_path: Path) -> None:
    for storage, errors in (("true-class", "standard_error"), ("full", "none"), ("true-class", "error_estimate")):
        options: dict[str, Any] = {"storage": storage, "errors": errors, "layer_units": 6}
        compute(tmp_path / "whole.h5", units=range(6), **options)
        blocks = [tmp_path / "b.h5", tmp_path / "a.h5"]
        compute(blocks[0], units=[4, 5], **options)
        compute(blocks[1], units=[0, 1, 2, 3], **options)
        merge_conditionals(blocks, tmp_path / "merged.h5")
        assert (tmp_path / "merged.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
        assert problems_of_final(tmp_path / "merged.h5") == []
        for path in tmp_path.iterdir():
            path.unlink()


def test_blocks_that_do_not_make_a_layer_are_refused(tmp_path: Path) -> None:
    compute(tmp_path / "a.h5", units=[0, 1], layer_units=4)
    compute(tmp_path / "b.h5", units=[2, 3], layer_units=4)
    compute(tmp_path / "other.h5", units=[2, 3], layer_units=4, settings={"samples": 1})
    a, b, other, output = (tmp_path / f"{name}.h5" for name in ("a", "b", "other", "output"))
    with pytest.raises(InputError, match=r"output.h5: blocks hold 2 of 4 units in 2 rows; accepted is each once"):
        merge_conditionals([a], output)
    with pytest.raises(InputError, match=r"output.h5: blocks hold 4 of 4 units in 6 rows"):
        merge_conditionals([a, b, b], output)
    with pytest.raises(InputError, match=r"other.h5 is of other settings than .*a.h5"):
        merge_conditionals([a, other], output)
    with pytest.raises(InputError, match=r"nowhere.h5 is no complete file of conditionals \(there is no such file\)"):
        merge_conditionals([a, tmp_path / "nowhere.h5"], output)
    with h5py.File(b, "r+") as file:
        file["conditional_word"][0, 0] = 0.123
    with pytest.raises(InputError, match=r"b.h5 is no complete file of conditionals \(conditional_word was changed"):
        merge_conditionals([a, b], output)
    assert not output.exists()


@pytest.mark.parametrize("storage", STORAGE)
def test_units_are_taken_over_from_files_that_are_cut_in_other_ways(tmp_path: Path, storage: str) -> None:
    options: dict[str, Any] = {"storage": storage, "layer_units": 6}
    block, other = tmp_path / "0-1.h5", tmp_path / "other.h5"
    compute(block, units=[0, 1], **options)
    progress = start(tmp_path / "2-5.h5", [(0, 0), (0, 1), (1, 2)], units=[2, 3, 4, 5], **options)
    compute(other, units=[3], settings={"samples": 1}, **options)
    relatives = [block, progress, other, tmp_path / "nowhere.h5", tmp_path / "nowhere.progress"]
    pieces = compute(tmp_path / "whole.h5", units=range(6), relatives=relatives, **options)
    assert [(rows.start, images.start) for rows, images in pieces] == [(2, 4), (4, 0), (4, 2)]
    compute(tmp_path / "again.h5", units=range(6), **options)
    assert (tmp_path / "whole.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()
    assert not progress.exists()  # its units are in the file
    assert block.exists()
    pieces = compute(tmp_path / "4-4.h5", units=[4], relatives=[tmp_path / "whole.h5"], **options)
    assert pieces == []


def test_what_is_damaged_is_not_taken_over(tmp_path: Path) -> None:
    compute(tmp_path / "a.h5", units=[0, 1])
    progress = start(tmp_path / "b.h5", [(0, 0), (0, 1), (0, 2)], units=[2, 3])
    for path, name in ((tmp_path / "a.h5", "conditional_word"), (progress, "conditional_basic")):
        with h5py.File(path, "r+") as file:
            file[name][0, 0] = 0.987654
    pieces = compute(tmp_path / "c.h5", units=range(4), relatives=[tmp_path / "a.h5", progress])
    assert [(rows.start, images.start) for rows, images in pieces] == [(0, 0), (0, 2), (0, 4), (2, 0)]
    found = read_conditionals(tmp_path / "c.h5").conditionals["word"]
    assert np.array_equal(found[0], numbers(0)["conditionals"][0][range(IMAGES), tasks()[0].targets])


# --- reading and verification


def with_hole(content: bytes) -> bytes:
    return content[:1024] + bytes(1024) + content[2048:]


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.h5"
    compute(whole)
    content = whole.read_bytes()
    for damaged in (b"", content[:50], content[:1000], content[:-8], with_hole(content)):
        (tmp_path / "damaged.h5").write_bytes(damaged)
        with pytest.raises(InputError, match=r"damaged\.h5 is no complete file of conditionals"):
            read_conditionals(tmp_path / "damaged.h5")
        assert problems_of_final(tmp_path / "damaged.h5", whole=False)
    with pytest.raises(InputError, match=r"nowhere\.h5 is no complete file of conditionals"):
        read_conditionals(tmp_path / "nowhere.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match=r"other.h5 .*of format unknown; accepted are formats 1 to \d"):
        read_conditionals(tmp_path / "other.h5")
    with h5py.File(whole, "r+") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(InputError, match=r"whole.h5 is of format 99, .*; accepted are formats 1 to \d"):
        read_conditionals(whole)
    assert "of format 99" in problems_of_final(whole)[0]


@contextmanager
def resealed(path: Path) -> Iterator[h5py.File]:
    """Open a final file for changes that its seal does not show."""
    with h5py.File(path, "r+") as file:
        yield file
    seals.seal(path)


@pytest.mark.parametrize(
    ("storage", "change", "problem"),
    [
        ("true-class", lambda file: file["conditional_word"].write_direct(np.full((6, 5), 2, "f4")), "outside [0, 1]"),
        ("true-class", lambda file: file["conditional_word"].write_direct(np.full((6, 5), np.nan, "f4")), "not finite"),
        ("full", lambda file: file["conditional_basic"].write_direct(np.full((6, 5, 2), 0.4, "f4")), "sum to 1"),
        ("full", lambda file: file["prediction_basic"].write_direct(np.full((5, 2), 0.4, "f4")), "sum to 1"),
        ("true-class", lambda file: file["skipped_mass"].write_direct(np.full(6, -1.0)), "negative or NaN"),
        ("true-class", lambda file: file["unit"].write_direct(np.array([0, 0, 2, 3, 5, 8])), "a unit is in it twice"),
        ("true-class", lambda file: file["target_word"].write_direct(np.zeros(5, int)), "fingerprint"),
        (
            "true-class",
            lambda file: file.attrs.update(settings=np.bytes_("{}")),
            "fingerprint is not that of its settings",
        ),
        (
            "true-class",
            lambda file: h5py.h5ds.detach_scale(file["target_word"].id, file["image"].id, 0),
            "without names",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    tmp_path: Path, storage: str, change: Callable[[h5py.File], None], problem: str
) -> None:
    output = tmp_path / "conv5.h5"
    compute(output, storage=storage)
    assert problems_of_final(output) == [f"{output}: 6 of 9 units are in it."]
    with h5py.File(output, "r+") as file:
        file["conditional_word"][1, 1] = 0.25
    assert f"{output}: conditional_word is not what was written." in problems_of_final(output)
    with resealed(output) as file:
        change(file)
    assert any(problem in each for each in problems_of_final(output, whole=False))


def test_an_attribute_that_is_missing_is_named(tmp_path: Path) -> None:
    compute(tmp_path / "conv5.h5")
    found = read_conditionals(tmp_path / "conv5.h5")
    assert (found.attribute("step", int), found.attribute("alias", str)) == (7, "conv5")
    for name, kind in (("layer", str), ("alias", int)):
        with pytest.raises(InputError, match=rf"no attribute '{name}'; accepted are files that marginalize wrote"):
            found.attribute(name, kind)


def flip(path: Path, dataset: str) -> None:
    with h5py.File(path, locking=False) as file:
        place = file[dataset].id.get_offset()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.unlink()  # not the second name, which is the same file
    path.write_bytes(content)


@pytest.mark.parametrize("second_name", [True, False])
def test_a_final_file_that_is_damaged_is_not_there_already(tmp_path: Path, second_name: bool) -> None:
    output = tmp_path / "conv5.h5"
    compute(output)
    content = output.read_bytes()
    flip(output, "conditional_word")
    if not second_name:
        next(tmp_path.glob(".*.done")).unlink()
    sentences: list[str] = []
    with open_store(output, say=sentences.append) as store:
        assert not store.is_complete()
        assert store.put_back() == second_name
    damaged = "is no complete file of conditionals (conditional_word was changed since it was written)"
    damaged += "; if a run made it, delete it and run again."
    assert sentences == [f"{output} {damaged} It is replaced."]
    if not second_name:
        assert len(compute(output)) == 9
    assert output.read_bytes() == content
    check(read_conditionals(output))


def test_a_file_that_was_replaced_by_another_is_refused(tmp_path: Path) -> None:
    """It is sound, but not what its record names."""
    compute(tmp_path / "conv5.h5")
    compute(tmp_path / "other.h5", settings={"samples": 1})
    shutil.copy(tmp_path / "other.h5", tmp_path / "conv5.h5")
    with pytest.raises(InputError, match=r"conv5\.h5 is not what was written .* or delete .*conv5\.h5\.sha256"):
        read_conditionals(tmp_path / "conv5.h5")
    with open_store(tmp_path / "conv5.h5", settings={"samples": 1}) as store:
        assert not store.is_complete()


def test_files_of_which_nothing_can_be_taken_over_are_said(tmp_path: Path) -> None:
    compute(tmp_path / "a.h5", units=[0, 1])
    flip(tmp_path / "a.h5", "skipped_mass")
    progress = start(tmp_path / "b.h5", [(0, 0)], units=[2, 3])
    progress.write_bytes(progress.read_bytes()[:100])
    sentences, pieces = said(tmp_path / "c.h5", relatives=[tmp_path / "a.h5", progress, tmp_path / "nowhere.h5"])
    assert len(pieces) == 9
    assert [sentence.partition(" (")[0] for sentence in sentences] == [
        f"{tmp_path / 'a.h5'} is no complete file of conditionals",
        f"{progress} is no complete file of progress",
    ]
    assert all(sentence.endswith(" Nothing is taken over from it.") for sentence in sentences)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file["unit"].write_direct(np.array([0, 0, 2, 3, 5, 8])), "a unit is in it twice"),
        (lambda file: file["unit"].write_direct(np.array([0, 1, 2, 3, 5, 9])), "units that the layer does not have"),
        (lambda file: file["clock"].write_direct(np.array([0, np.nan, 1])), "clock has no times"),
        (lambda file: file.attrs.__setitem__("settings", np.bytes_("[1]")), "its descriptions are of other types"),
        (lambda file: file.attrs.__setitem__("settings", "{}"), "attribute 'settings' is a text of variable length"),
        (lambda file: file.attrs.__setitem__("settings", np.bytes_("[" * 20_000)), "recursion"),
        (lambda file: file.attrs.__setitem__("images", 10**12), "is of shape"),
        (lambda file: file.attrs.__setitem__("step", 0), "not positive"),
        (lambda file: file.attrs.__setitem__("by_image", np.bytes_('["unit"]')), "names other datasets"),
        (lambda file: file.attrs.__setitem__("by_image", np.bytes_('["conditional_x"]')), "conditional_x is missing"),
        (lambda file: file.__delitem__("checksum"), "checksum is missing"),
        (lambda file: file.move("checksum", "other"), "checksum is missing"),
        (lambda file: (file.__delitem__("clock"), file.create_group("clock")), "clock is no dataset"),
        (
            lambda file: (file.__delitem__("clock"), file.create_dataset("clock", (3,), "f8", chunks=(1,))),
            "clock is not contiguous",
        ),
        (
            lambda file: (file.__delitem__("clock"), file.create_dataset("clock", (3,), "f8", external="/dev/zero")),
            "clock is stored in other files",
        ),
    ],
)
def test_progress_of_wrong_contents_is_damaged(tmp_path: Path, change: Callable[[h5py.File], None], words: str) -> None:
    progress = start(tmp_path / "conv5.h5", [(0, 0), (0, 1), (0, 2)])
    with h5py.File(progress, "r+") as file:
        change(file)
    with pytest.raises(DamagedError, match=words):
        read_progress(progress)
    assert len(problems_of_progress(progress)) == 1
    told: list[str] = []
    assert layer_statuses(tmp_path, say=told.append) == []
    assert len(told) == 1
    sentences, _ = said(tmp_path / "conv5.h5")
    assert words == "clock has no times" or len(sentences) == 1
    check(read_conditionals(tmp_path / "conv5.h5"))
