"""Compares the tables that a run wrote with the column dictionary."""

from pathlib import Path, PurePosixPath

from featuresharing.data.columns import tables_of
from featuresharing.data.table_files import numbered_rows, read_table


def check_tables(folder: Path) -> set[str]:
    """Read every table in a folder of a run as the kind that its path and head say; return the names of the kinds."""
    found = set()
    for path in (folder / "results").rglob("*.csv"):
        head = list(numbered_rows(path, ())[0][1])
        kinds = [kind for kind in tables_of(PurePosixPath(path.relative_to(folder))) if kind.holds(head)]
        assert len(kinds) == 1, f"{path}: {head}"
        assert list(read_table(path, kinds[0])) == head
        found.add(kinds[0].name)
    return found
