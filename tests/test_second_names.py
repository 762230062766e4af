"""A second, hidden name of a file that took long: it goes back to its own, and to nothing else's."""

import os
from pathlib import Path

import pytest

from featuresharing.errors import InputError
from featuresharing.files.atomic import replacing
from featuresharing.files.records import recorded_key, refuse_changed
from featuresharing.files.second_names import give_name, keep_second_name, put_back, second_name


@pytest.fixture
def output(tmp_path: Path) -> Path:
    output = tmp_path / "curves.csv"
    with replacing(output, key="ab12") as temporary:
        temporary.write_text("a\n1\n")
    keep_second_name(output, "ab12")
    return output


def test_a_removed_file_is_put_back_as_a_new_one(output: Path) -> None:
    hidden = second_name(output, "ab12")
    os.utime(hidden, (0, 0))
    output.unlink()
    assert not put_back(output, "cd34")
    assert put_back(output, "ab12")
    assert output.read_text() == "a\n1\n"
    assert os.path.samefile(output, hidden)
    assert output.stat().st_mtime > 0  # else it would be older than what it was made of
    assert recorded_key(output) == "ab12"
    refuse_changed(output)


def test_a_folder_in_its_place_is_named(output: Path) -> None:
    output.unlink()
    output.mkdir()
    before = sorted(output.parent.iterdir())
    with pytest.raises(InputError, match="cannot be written: it is a folder"):
        put_back(output, "ab12")
    assert sorted(output.parent.iterdir()) == before


def test_a_damaged_second_name_is_not_taken(output: Path) -> None:
    output.unlink()
    second_name(output, "ab12").write_text("a\n2\n")
    assert not put_back(output, "ab12")
    assert not output.exists()


def test_files_are_copied_where_there_are_no_hard_links(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    output.unlink()
    monkeypatch.setattr("featuresharing.files.second_names.os.link", refuse)
    give_name(output, second_name(output, "ab12"), key="ab12")
    assert output.read_text() == "a\n1\n"
    keep_second_name(output, "cd34")
    assert [path.name for path in output.parent.glob(".*.done")] == []
