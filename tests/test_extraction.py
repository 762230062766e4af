"""Archives of odd names, of very many files, and made to fill disks."""

import gzip
import os
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featuresharing import InputError
from featuresharing.fetch import extraction
from featuresharing.fetch.checksums import check_archive
from featuresharing.fetch.extraction import extract
from featuresharing.files.records import forget
from tests.support.damaged_archives import archive, member, random_archive, random_record, tar_bytes


def test_many_files_are_brought_to_disk_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = archive(tmp_path / "a.tar", [member(f"{i % 7}/{i % 3}/{i}.txt", b"x") for i in range(300)])
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    assert extract(made, tmp_path / "out") == 300
    assert len(calls) < 5
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 300


def test_a_disk_that_fails_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = archive(tmp_path / "a.tar", [member("a.txt", b"x")])

    def failing(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(extraction, "_sync_disk", failing)
    with pytest.raises(InputError, match=r"out cannot be written to \(Input/output error\)"):
        extract(made, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar"}


def test_odd_names_stay_what_they_are(tmp_path: Path) -> None:
    names = [
        "caf\udce9.png",
        "new\nline",
        "-rf",
        "A.txt",
        "a.txt",
        "~",
        " ",
        "n" * 255,
        "./d//e/../e.txt"[:6] + "e.txt",
    ]
    made = archive(tmp_path / "a.tar", [member(name, name.encode("utf-8", "surrogateescape")) for name in names])
    assert extract(made, tmp_path / "out") == len(names)
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == os.fsencode(name)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([member("n" * 256, b"x")], "has a name of over 255 bytes, or a path of over 4096"),
        ([member("/".join(["n" * 200] * 25), b"x")], "has a name of over 255 bytes, or a path of over 4096"),
        ([member("x" * 10**5 + "/../..", b"x")], "leads out of the folder"),
        ([member("\x1b[31m/../..", b"x")], r"member '\x1b[31m/../..' leads out of the folder"),
        ([member("link", type=tarfile.SYMTYPE, linkname="\x1b[2J")], r"is a link to '\x1b[2J', which is no file"),
        ([member(".", b"x")], "stands there twice"),
        ([member("d", type=tarfile.DIRTYPE), member("d", b"x")], "member 'd' stands there twice"),
        ([member("d/a", b"x"), member("d", b"x")], "member 'd' stands there twice"),
        ([member("d/a", b"x"), member("d/b", b"x"), member("d/a/c", b"x")], "member 'd/a/c' stands there twice"),
        ([member("a", b"x"), member("b", type=tarfile.LNKTYPE, linkname="a"), member("b", b"x")], "stands there twice"),
    ],
)
def test_names_that_cannot_be_are_refused(members: Any, said: str, tmp_path: Path) -> None:
    made = archive(tmp_path / "a.tar", members)
    with pytest.raises(InputError, match=re.escape(said)) as error:
        extract(made, tmp_path / "out")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar"}


def test_small_archives_cannot_fill_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "SMALL", 10**6)
    zeros, path = bytes(400_000), tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(tar_bytes([member(f"{i}", zeros) for i in range(9)])))
    with pytest.raises(InputError, match="it holds too much; accepted are at most 1000000 bytes in"):
        extract(path, tmp_path / "out")
    links = [member(f"link{i}", type=tarfile.LNKTYPE, linkname="a") for i in range(9)]
    path.write_bytes(gzip.compress(tar_bytes([member("a", zeros), *links])))
    with pytest.raises(InputError, match="it holds too much"):
        extract(path, tmp_path / "out")
    # what is not swollen may be large
    path.write_bytes(tar_bytes([member(f"{i}", zeros) for i in range(9)]))
    assert extract(path, tmp_path / "out") == 9


def test_random_archives_are_extracted_inside_or_refused(tmp_path: Path) -> None:
    """More cases: benchmarks/fuzz_archives.py."""
    rng = np.random.default_rng(0)
    path, inside = tmp_path / "a.tar", tmp_path / "in"
    inside.mkdir()
    extracted = 0
    for _ in range(60):
        path.write_bytes(random_archive(rng))
        try:
            extracted += extract(path, inside / "out") > 0
        except InputError as error:
            assert str(error).isprintable()  # noqa: PT017
            assert not (inside / "out").exists()
        for left in inside.rglob("*"):
            assert left.is_dir() or (left.is_file() and not left.is_symlink())
        if (inside / "out").exists():
            (inside / "out").rename(tmp_path / f"out{extracted}")
        forget(inside / "out")
        assert not list(inside.iterdir())
    assert extracted > 5


def test_random_records_are_read_or_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    digest = check_archive(path)
    for _ in range(60):
        (tmp_path / "a.bin.sha256").write_bytes(random_record(digest, "a.bin", rng))
        try:
            assert check_archive(path) == digest
        except InputError as error:
            assert str(error).isprintable()  # noqa: PT017
