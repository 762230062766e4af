"""What a long job has measured: kept exactly, and left out where it is damaged."""

from pathlib import Path

import numpy as np

from featuresharing.runs.measurements import Measurements

VALUES = {name: np.random.default_rng(seed).random((3, 2)) for seed, name in enumerate("abc")}


def full(folder: Path) -> Measurements:
    made = Measurements(folder / "curves.csv", "ab12")
    for name, values in VALUES.items():
        made.add(name, values)
    return made


def test_every_bit_is_kept(tmp_path: Path) -> None:
    assert Measurements(tmp_path / "curves.csv", "ab12").read() == ({}, 0)
    found, damaged = full(tmp_path).read()
    assert damaged == 0
    assert list(found) == list(VALUES)
    assert all(np.array_equal(found[name], VALUES[name]) for name in VALUES)
    full(tmp_path).remove()
    assert list(tmp_path.iterdir()) == []


def test_no_flipped_bit_changes_a_number(tmp_path: Path) -> None:
    measured = full(tmp_path)
    whole = measured.path.read_bytes()
    lines = len(whole.splitlines())
    for place in range(0, len(whole), 3):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << place % 8
        measured.path.write_bytes(spoilt)
        found, damaged = measured.read()
        assert lines == 3
        assert damaged > 0
        assert all(np.array_equal(found[name], VALUES[name]) for name in found)
        assert len(found) >= 1


def test_a_line_that_a_kill_has_cut_costs_itself_alone(tmp_path: Path) -> None:
    measured = full(tmp_path)
    measured.path.write_bytes(measured.path.read_bytes()[:-20])
    assert (list(measured.read()[0]), measured.read()[1]) == (["a", "b"], 1)
    measured.add("d", VALUES["a"])
    found, damaged = measured.read()
    assert (list(found), damaged) == (["a", "b", "d"], 1)
    assert np.array_equal(found["d"], VALUES["a"])


def test_numbers_of_other_settings_are_not_taken(tmp_path: Path) -> None:
    other = Measurements(tmp_path / "curves.csv", "cd34")
    full(tmp_path).path.rename(other.path)
    assert other.read() == ({}, 3)
    other.path.write_bytes(b"[" * 100_000 + b"\n\xff\xfe\n{}\n[1,2,3]\n")
    assert other.read() == ({}, 4)
