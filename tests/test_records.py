"""The record of what was written: one that sha256sum reads, that no kill leaves wrong, and that finds every change."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from featuresharing.data.columns import CLASSES
from featuresharing.data.table_files import frame_of, write_table
from featuresharing.errors import InputError
from featuresharing.files import records
from featuresharing.files.atomic import replacing
from featuresharing.files.records import Entry, record_folder, record_of, recorded_entry, refuse_changed

ODD_NAMES = ("plain.csv", "with blank.csv", "-dash.csv", "back\\slash.csv", "new\nline.csv", "$(x) {a}.csv", "ü.csv")
HELLO = Entry(6, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03")  # of "hello\n", by sha256sum


def write(path: Path, text: str) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text)
    return path


def checked(record: Path) -> bool:
    """Return what sha256sum says, run where the record lies."""
    command = ["sha256sum", "--check", "--strict", record.name]
    return subprocess.run(command, cwd=record.parent, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("name", [*ODD_NAMES, os.fsdecode(b"latin\xff.csv")])
def test_what_is_written_is_recorded_as_sha256sum_reads_it(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "hello\n")
    assert recorded_entry(path) == HELLO
    assert b"# size 6\n" in record_of(path).read_bytes()
    assert checked(record_of(path))
    refuse_changed(path)
    path.write_text("hellp\n")
    assert not checked(record_of(path))
    with pytest.raises(InputError, match=r"is not what was written \(its record says 6 bytes and SHA-256 5891b5b522d5"):
        refuse_changed(path)


def test_what_nobody_recorded_passes(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("x")
    refuse_changed(tmp_path / "mine.csv")
    refuse_changed(tmp_path / "missing.csv")
    assert recorded_entry(tmp_path / "mine.csv") is None
    write(tmp_path / ".hidden", "x")
    with replacing(tmp_path / "state", recorded=False) as temporary:
        temporary.write_text("x")
    assert {path.name for path in tmp_path.iterdir()} == {"mine.csv", ".hidden", "state"}


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("kill", range(4))
def test_wherever_a_writer_is_killed_the_file_fits_its_record(
    tmp_path: Path, old: bool, kill: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    if old:
        write(path, "old")
    calls = 0

    def stop(function: Callable[..., None]) -> Callable[..., None]:
        def stopped(*values: object) -> None:
            nonlocal calls
            calls += 1
            if calls > kill:
                raise KeyboardInterrupt
            function(*values)

        return stopped

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", stop(os.replace))
        patched.setattr(os, "fsync", stop(os.fsync))
        patched.setattr(Path, "unlink", lambda *_, **__: None)  # a kill cleans nothing up
        with pytest.raises(KeyboardInterrupt):
            write(path, "new")
    if path.exists():
        refuse_changed(path)
        assert path.read_text() in ("old", "new")
        if path.read_text() == "new":
            assert checked(record_of(path))
    write(path, "newer")
    refuse_changed(path)
    assert checked(record_of(path))


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "hello\n")
    whole = record_of(path).read_bytes()
    for place in range(len(whole)):
        for bit in (0, 3, 6):
            spoilt = bytearray(whole)
            spoilt[place] ^= 1 << bit
            record_of(path).write_bytes(spoilt)
            with pytest.raises(InputError, match=r"a\.csv"):
                refuse_changed(path)
    for content in (b"", whole[:20], whole * 2, b"\0" * 5000):
        record_of(path).write_bytes(content)
        with pytest.raises(InputError, match="is no record as it was written"):
            refuse_changed(path)


def test_odd_things_in_place_of_a_record_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "hello\n")
    record_of(path).unlink()
    os.mkfifo(record_of(path))
    with pytest.raises(InputError, match="cannot be read"):
        refuse_changed(path)
    record_of(path).unlink()
    record_of(path).symlink_to(record_of(path))
    with pytest.raises(InputError, match="cannot be read"):
        refuse_changed(path)
    record_of(path).unlink()
    record_of(path).mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write(path, "new")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a recorded folder of 200 files in classes."""
    made = tmp_path / "images" / "test"
    for number in range(200):
        path = made / f"class {number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"picture {number}")
    for name in ODD_NAMES:
        (made / name).write_text("hello\n")
    record_folder(made, key="ab12")
    (made / ".snakemake_timestamp").touch()
    return made


def test_a_folder_has_one_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == [".test.sha256"]
    assert checked(record_of(folder))
    assert records.recorded_key(folder) == "ab12"
    for path in records.files_in(folder):
        refuse_changed(path)
        assert recorded_entry(path) == records.entry_of(path)
    assert recorded_entry(folder / ODD_NAMES[4]) == HELLO
    monkeypatch.chdir(folder.parent)
    changed = Path("../images/./test/class 1/100.png")
    changed.write_text("picture 1OO")
    with pytest.raises(InputError, match=r"100\.png is not what was written"):
        refuse_changed(changed)
    refuse_changed(folder / "class 2/101.png", b"picture 101")
    with pytest.raises(InputError, match=r"101\.png is not what was written"):
        refuse_changed(folder / "class 2/101.png", b"picture 10l")
    (folder / "class 1/new.png").write_text("x")
    with pytest.raises(InputError, match=r"new\.png is not among the files that .*\.test\.sha256 names"):
        refuse_changed(folder / "class 1/new.png")


def test_a_record_of_a_folder_is_read_again_when_it_was_changed(folder: Path) -> None:
    path = folder / "class 1/100.png"
    refuse_changed(path)
    path.write_text("another")
    record_folder(folder)
    refuse_changed(path)
    text = record_of(folder).read_text()
    record_of(folder).write_text(text.replace("100.png", "100.pnh"))
    with pytest.raises(InputError, match="is not among the files"):
        refuse_changed(path)
    record_of(folder).write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="is no record as it was written"):
        refuse_changed(path)
    record_of(folder).write_text(text.replace("test/class 1/100.png", "test/../1000000.png"))
    with pytest.raises(InputError, match="is no record as it was written"):
        refuse_changed(path)


def test_a_folder_that_was_moved_takes_its_record_along(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder.parent, tmp_path / "elsewhere")
    refuse_changed(tmp_path / "elsewhere/test/class 1/100.png")


def test_tables_are_recorded(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", frame_of(CLASSES, [("t", 0, "a")]), CLASSES)
    assert recorded_entry(tmp_path / "a.csv") == records.entry_of_bytes(b"task,index,name\nt,0,a\n")


def test_the_first_of_two_writers_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    def write_twice() -> None:
        with replacing(path) as first:
            first.write_text("first")
            first.unlink()  # as a second writer does
            path.write_text("second")

    with pytest.raises(InputError, match=r"a\.csv is being written by another process; accepted is one at a time\."):
        write_twice()
    assert path.read_text() == "second"
