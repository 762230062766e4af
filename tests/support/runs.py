"""Compares what a run wrote with the column dictionary and with the kinds of files."""

from pathlib import Path, PurePosixPath

from featuresharing.data.columns import tables_of
from featuresharing.data.table_files import numbered_rows, read_table
from featuresharing.runs.kinds import UNKNOWN
from featuresharing.runs.verification import WRONG, verify


def check_tables(folder: Path) -> set[str]:
    """Read every table in a folder of a run as the kind that its path and head say; return the names of the kinds."""
    found = set()
    for path in (folder / "results").rglob("[!.]*.csv"):
        if ".progress" in path.parts:  # second names
            continue
        head = list(numbered_rows(path, ())[0][1])
        kinds = [kind for kind in tables_of(PurePosixPath(path.relative_to(folder))) if kind.holds(head)]
        assert len(kinds) == 1, f"{path}: {head}"
        assert list(read_table(path, kinds[0])) == head
        found.add(kinds[0].name)
    return found


def check_files(folder: Path) -> set[str]:
    """Verify the results in a folder of a run; return the names of the kinds of files that are not checked."""
    said: list[str] = []
    result = verify(folder / "results", said.append)
    there = {str(path) for path in (folder / "results").rglob("*") if path.is_file()}
    assert result.found.keys() == there
    assert WRONG not in result.found.values(), said
    assert UNKNOWN.name not in result.unchecked
    assert result.unrecorded == []
    assert len(said) == len(result.unchecked)
    return set(result.unchecked)
