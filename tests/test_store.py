"""The unit store: what is written comes back, and a kill at any instant loses at most what was not yet flushed."""

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from featuresharing import InputError, read_conditionals
from featuresharing.store import STORAGE, LayerConditionals, TaskData, UnitStore

UNITS, IMAGES, CLASSES = [0, 1, 2, 3, 5, 8], 4, {"word": 3, "basic": 2}
SETTINGS = {"samples": 100, "scale": 1.0, "layer": "0.0.10"}
ATTRIBUTES = {"tasks": list(CLASSES), "experiment": "object_text", "step": 7}


def tasks(**targets: list[int]) -> list[TaskData]:
    rng = np.random.default_rng(0)
    return [
        TaskData(
            name,
            count,
            np.array(targets.get(name, [1, 0, count - 1, 1])),
            rng.dirichlet(np.ones(count), IMAGES).astype(np.float32),
        )
        for name, count in CLASSES.items()
    ]


def conditionals(unit: int) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(100 + unit)
    return [rng.dirichlet(np.ones(count), IMAGES).astype(np.float32) for count in CLASSES.values()]


def open_store(output: Path, **changes: Any) -> UnitStore:
    return UnitStore(output, **{"units": UNITS, "tasks": tasks(), "settings": SETTINGS, **changes})


def write(store: UnitStore, units: list[int]) -> None:
    for unit in units:
        store.write(unit, conditionals(unit), effective_samples=1 + unit / 10, skipped_mass=unit / 1e6)


def compute(output: Path, **changes: Any) -> None:
    with open_store(output, **changes) as store:
        write(store, store.missing())
        store.finish(ATTRIBUTES)


def check(found: LayerConditionals) -> None:
    assert found.units.tolist() == UNITS
    assert found.classes == CLASSES
    assert list(found.conditionals) == list(found.predictions) == list(CLASSES)
    assert found.effective_samples.tolist() == [1 + unit / 10 for unit in UNITS]
    assert found.skipped_mass.tolist() == [unit / 1e6 for unit in UNITS]
    for index, task in enumerate(tasks()):
        assert found.conditionals[task.name].dtype == np.float32
        assert np.array_equal(found.predictions[task.name], task.predictions[range(IMAGES), task.targets])
        wanted = [conditionals(unit)[index][range(IMAGES), task.targets] for unit in UNITS]
        assert np.array_equal(found.conditionals[task.name], wanted)


@pytest.mark.parametrize("storage", STORAGE)
def test_what_is_written_comes_back(tmp_path: Path, storage: str) -> None:
    output = tmp_path / "new" / "conv5_7.h5"
    compute(output, storage=storage)
    found = read_conditionals(output)
    check(found)
    for name, value in ATTRIBUTES.items():
        assert np.array_equal(found.attributes[name], value)
    assert found.attributes["storage"] == storage
    assert [path.name for path in output.parent.iterdir()] == [output.name]


@pytest.mark.parametrize("storage", STORAGE)
def test_axes_are_named_by_dimension_scales(tmp_path: Path, storage: str) -> None:
    compute(tmp_path / "conv5.h5", storage=storage)
    with h5py.File(tmp_path / "conv5.h5") as file:
        axes = {
            name: [[Path(scale.name).name for scale in dimension.values()] for dimension in dataset.dims]
            for name, dataset in file.items()
            if not dataset.is_scale
        }
        assert file["unit"][:].tolist() == UNITS
        assert file["image"][:].tolist() == [0, 1, 2, 3]
        tail = {name: [[f"class_{name}"]] if storage == "full" else [] for name in CLASSES}
        assert axes == {
            "effective_samples": [["unit"]],
            "skipped_mass": [["unit"]],
            **{f"target_{name}": [["image"]] for name in CLASSES},
            **{f"prediction_{name}": [["image"], *tail[name]] for name in CLASSES},
            **{f"conditional_{name}": [["unit"], ["image"], *tail[name]] for name in CLASSES},
        }
        if storage == "full":
            assert np.array_equal(file["conditional_word"][:], [conditionals(unit)[0] for unit in UNITS])
            assert file["class_word"][:].tolist() == [0, 1, 2]


@pytest.mark.parametrize("storage", STORAGE)
def test_an_interrupted_store_goes_on_where_it_stopped(tmp_path: Path, storage: str) -> None:
    output = tmp_path / "conv5.h5"
    with suppress(KeyboardInterrupt), open_store(output, storage=storage) as store:
        assert store.missing() == UNITS
        write(store, [5, 0])
        raise KeyboardInterrupt
    assert not output.exists()
    with open_store(output, storage=storage) as store:
        assert store.restarted == ""
        assert store.missing() == [1, 2, 3, 8]
        write(store, [8])
        store.flush()
        assert store.missing() == [1, 2, 3]
    compute(output, storage=storage)
    check(read_conditionals(output))


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": SETTINGS | {"samples": 99}},
        {"settings": SETTINGS | {"network_sha256": "ab"}},
        {"storage": "full"},
        {"units": [0, 1, 2]},
        {"units": [8, 5, 3, 2, 1, 0]},
        {"tasks": tasks(word=[0, 0, 0, 0])},
        {"tasks": tasks()[:1]},
    ],
)
def test_progress_of_anything_else_is_not_continued(tmp_path: Path, changes: dict[str, Any]) -> None:
    with open_store(tmp_path / "conv5.h5") as store:
        write(store, UNITS[:4])
    with open_store(tmp_path / "conv5.h5", **changes) as store:
        assert ".conv5.h5.progress" in store.restarted
        assert store.missing() == changes.get("units", UNITS)


def with_hole(content: bytes) -> bytes:
    return content[:1024] + bytes(1024) + content[2048:]


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:3000], with_hole])
def test_a_damaged_progress_file_is_not_continued(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    output, progress = tmp_path / "conv5.h5", tmp_path / ".conv5.h5.progress"
    with open_store(output) as store:
        write(store, UNITS[:4])
    progress.write_bytes(damage(progress.read_bytes()))
    with open_store(output) as store:
        assert "damaged" in store.restarted
        assert str(progress) in store.restarted
        write(store, store.missing())
        store.finish(ATTRIBUTES)
    check(read_conditionals(output))


def test_a_second_handle_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    output = tmp_path / "conv5.h5"
    with open_store(output) as store:
        write(store, UNITS)
        with pytest.raises(InputError, match=r"conv5\.h5 is being computed by another process; accepted is one"):
            open_store(output).__enter__()
        assert not output.exists()
        store.finish(ATTRIBUTES)
    compute(output)
    check(read_conditionals(output))


def test_nothing_has_the_final_name_before_all_units_are_there(tmp_path: Path) -> None:
    output = tmp_path / "conv5.h5"
    with open_store(output) as store:
        write(store, [3])
        with pytest.raises(ValueError, match="5 units are missing"):
            store.finish(ATTRIBUTES)
    assert not output.exists()
    output.write_text("of an earlier run")
    with open_store(output) as store:
        write(store, store.missing())
        assert output.read_text() == "of an earlier run"
        store.finish(ATTRIBUTES)
    check(read_conditionals(output))


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.1, np.inf])
def test_what_is_no_probability_is_refused(tmp_path: Path, value: float) -> None:
    output = tmp_path / "conv5.h5"
    with open_store(output) as store:
        write(store, UNITS[:-1])
        spoiled = conditionals(8)
        spoiled[0][:] = value
        store.write(8, spoiled, effective_samples=1, skipped_mass=0)
        with pytest.raises(InputError, match=r"conv5.h5: task 'word' .*outside \[0, 1\]"):
            store.finish(ATTRIBUTES)
    assert not output.exists()


def test_unknown_storage_and_unusable_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="storage: found 'sparse'; accepted are true-class and full"):
        open_store(tmp_path / "conv5.h5", storage="sparse")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"{tmp_path}/file/below cannot be written to"):
        open_store(tmp_path / "file" / "below" / "conv5.h5").__enter__()


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.h5"
    compute(whole)
    content = whole.read_bytes()
    for damaged in (b"", content[:50], content[:1000], content[:-8], with_hole(content)):
        (tmp_path / "damaged.h5").write_bytes(damaged)
        with pytest.raises(InputError, match=r"damaged\.h5 is no complete file of conditionals"):
            read_conditionals(tmp_path / "damaged.h5")
    with pytest.raises(InputError, match=r"nowhere\.h5 is no complete file of conditionals"):
        read_conditionals(tmp_path / "nowhere.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match=r"other.h5 is of format unknown; accepted are formats 1 to \d"):
        read_conditionals(tmp_path / "other.h5")
    with h5py.File(whole, "r+") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(InputError, match=r"whole.h5 is of format 99; accepted are formats 1 to \d"):
        read_conditionals(whole)


def test_a_process_killed_while_it_writes_is_continued_bit_for_bit(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[2]); import featuresharing.store, test_store\n"
        "featuresharing.store.FLUSH_SECONDS = 0\n"
        "with test_store.open_store(Path(sys.argv[1])) as store:\n"
        "    for unit in store.missing():\n"
        "        test_store.write(store, [unit])\n"
        "        print(unit, flush=True)\n"
        "        time.sleep(0.01)\n"
    )
    output = tmp_path / "killed.h5"
    command = [sys.executable, "-c", code, str(output), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        for line in process.stdout:
            if line == b"2\n":
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    with open_store(output) as store:
        assert store.restarted == ""
        assert set(store.missing()) < set(UNITS) - {0, 1}
    compute(output)
    compute(tmp_path / "whole.h5")
    assert output.read_bytes() == (tmp_path / "whole.h5").read_bytes()
