"""docs/tables.md from the column dictionary: ``python -m featuresharing.data.column_docs > docs/tables.md``."""

from collections.abc import Iterator

from featuresharing.data.column_kinds import Column, Table
from featuresharing.data.columns import TABLES

HEAD = """# Tables and their columns
<!-- Made by `python -m featuresharing.data.column_docs > docs/tables.md` from src/featuresharing/data/columns.py. -->

Tables are CSV in UTF-8: a head, commas, line ends of LF, values in quotes where they hold commas. Numbers are decimal;
`nan` says that there is none. In Python, a table is a pandas DataFrame of texts, int64 (counts) and float64.

    from featuresharing import TABLES, read_table
    sharing = read_table("results/tables/sharing.csv", TABLES["sharing"])

`read_table` refuses a table that lacks a column, has a value that its column does not take, or was changed since.
`contribution_table`, `sharing_table`, `accuracy_table`, `lesion_table` and `image_table` make such frames,
`write_table` writes them.
Sources are files below `src/featuresharing/` unless they say otherwise."""


def markdown() -> str:
    """Return the text of docs/tables.md."""
    return "\n".join([HEAD, *(line for table in TABLES.values() for line in _section(table))]) + "\n"


def _section(table: Table) -> Iterator[str]:
    yield f"\n## {table.name.capitalize()}"
    files = " and ".join(f"`{pattern}`" for pattern in table.files)
    yield f"{f'{files}: a' if files else 'A'} row is {table.row}.\n"
    yield "| column | values | unit | digits | meaning | source |"
    yield "|---|---|---|---|---|---|"
    for column in table.columns:
        yield _row(f"`{column.name}`", column)
    if table.rest:
        yield _row("one a task, with its name", table.rest)


def _row(name: str, column: Column) -> str:
    digits = str(column.digits) if column.kind == "number" else ""
    cells = (name, column.accepted, column.unit, digits, column.meaning, column.source)
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


if __name__ == "__main__":
    print(markdown(), end="")
