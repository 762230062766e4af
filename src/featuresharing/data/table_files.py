"""Tables in files: the one reader and the one writer of CSV. What is in them says :mod:`.columns`.

Frames are read and written here alone. Cells are split by Python's strict reader before pandas gets them as they stand:
pandas by itself guesses types, fills rows that are too short, and does not say in which line a quote is not closed.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featuresharing.arguments import as_path, kind_of
from featuresharing.data.column_kinds import Column, Table
from featuresharing.data.texts import read_text
from featuresharing.errors import InputError
from featuresharing.files.atomic import replacing

if TYPE_CHECKING:
    from pandas import DataFrame

DTYPES = {"text": str, "whole": "int64", "number": "float64"}
"""dtypes of a frame's columns by their kinds; ``str`` is the dtype that pandas has for texts."""


def numbered_rows(
    path: Path, columns: Sequence[str], *, what: str = "table", separator: str = ","
) -> list[tuple[int, dict[str, str]]]:
    """Return every row of a CSV table, or one with another ``separator``, with the number of its line.

    A row has all columns of the head, without blanks around values; rows of blanks alone are left out. Raises
    InputError for what :func:`.texts.read_text` refuses, a head that lacks one of ``columns`` or has one twice, and,
    with the number of the line, for rows of another length, quotes that do not close and line ends inside values.
    """
    rows = _split(path, what, separator)
    _, head = next(rows, (1, []))
    if missing := next((name for name in columns if name not in head), None):
        found = ", ".join(f"'{name}'" for name in head[:8]) or "nothing"
        between = {",": "commas", "\t": "tabulators"}[separator]
        accepted = f"accepted is a table with {', '.join(columns)}, separated by {between}"
        raise InputError(f"{what} {path}: column '{missing}' is missing; {accepted}; found is {found}.")
    if double := next((name for name in head if name and head.count(name) > 1), None):
        raise InputError(f"{what} {path}: column '{double}' stands there twice; accepted are distinct columns.")
    numbered = []
    for line, row in rows:
        if len(row) != len(head):
            raise InputError(
                f"{what} {path}, line {line}: found {len(row)} values; accepted are {len(head)}, one a column."
            )
        numbered.append((line, dict(zip(head, row, strict=True))))
    return numbered


def _split(path: Path, what: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    text = io.StringIO(read_text(path, what), newline="")
    reader = csv.reader(text, skipinitialspace=separator == ",", strict=True, delimiter=separator)
    try:
        for row in reader:
            if any("\n" in value or "\r" in value for value in row):
                accepted = "accepted are values in one line, in closed quotes or none"
                raise InputError(f"{what} {path}, line {reader.line_num}: found a line end in a value; {accepted}.")
            values = [value.strip() for value in row]
            if any(values):
                yield reader.line_num, values
    except csv.Error as error:
        raise InputError(
            f"{what} {path}, line {reader.line_num}: found no row of CSV ({error}); accepted are values separated by "
            "commas, in closed quotes or none."
        ) from None


def read_texts(path: Path, columns: Sequence[str], *, filled: Sequence[str] = (), what: str = "table") -> "DataFrame":
    """Return a CSV table as a frame of texts, with all its columns; the index ``line`` says where each row stands.

    Neither ``columns``, which must be there, nor those of ``filled`` that are there may be blank anywhere. Raises
    InputError for what :func:`numbered_rows` refuses, for a blank, with line and column, and for a table without rows.
    """
    from pandas import DataFrame, Index

    rows = _some_rows(path, columns, what)
    kinds = [Column(name, "", "") for name in (*columns, *filled) if name in rows[0][1]]
    for line, row in rows:
        _values(path, line, row, kinds, what)
    lines = Index([line for line, _ in rows], name="line")
    return DataFrame([row for _, row in rows], index=lines, dtype=str)


def read_table(path: Path | str, table: Table) -> "DataFrame":
    """Return a table of a kind as a frame with the kind's columns, and those of :attr:`.Table.rest` if it has them.

    Texts have the dtype of pandas for texts, whole numbers are int64, others float64. Columns of the file may stand in
    any order, and others are left out. Raises InputError, with line and column, for a value that its column does not
    take, for a table without rows unless its kind may have none, and for what :func:`numbered_rows` refuses.

    >>> from featuresharing import TABLES
    >>> read_table("log.csv", TABLES["training"]).to_dict("records")  # as write_table has written it
    [{'step': 20, 'task': 'word', 'loss': 2.5, 'accuracy': 0.125}]
    """
    _check_kind(table)
    return _frame(*_read_values(as_path("path", path), table))


def _check_kind(table: Any) -> None:
    if not isinstance(table, Table):
        found = repr(table) if isinstance(table, str) else kind_of(table)
        raise InputError(f"table: found {found}; accepted is a value of TABLES, such as TABLES['sharing'].")


def check_table(path: Path, kinds: Sequence[Table]) -> None:
    """Raise InputError if a table cannot be read, or not as the first of ``kinds`` whose columns it has."""
    if not numbered_rows(path, ()) and (empty := next((kind for kind in kinds if kind.empty), None)):
        _read_values(path, empty)
        return
    head = _some_rows(path, (), "table")[0][1]
    fitting = (kind for kind in kinds if all(name in head for name in kind.needed))
    if kind := next(fitting, kinds[0] if kinds else None):
        _read_values(path, kind)


def _read_values(path: Path, table: Table) -> tuple[list[Column], list[Any]]:
    """Return the columns of a table of a kind, and the values of each row."""
    read = numbered_rows if table.empty else _some_rows
    numbered = read(path, table.needed, what=table.what)
    more = [name for name in numbered[0][1] if name not in table.names] if table.rest else []
    columns = [*table.columns, *(_named(table, name) for name in more)]
    return columns, [_values(path, line, row, columns, table.what) for line, row in numbered]


def _some_rows(path: Path, columns: Sequence[str], what: str = "table") -> list[tuple[int, dict[str, str]]]:
    """Return what :func:`numbered_rows` does; raises InputError for no rows too."""
    if rows := numbered_rows(path, columns, what=what):
        return rows
    raise InputError(f"{what} {path}: found no row; accepted is at least one.")


def _named(table: Table, name: str) -> Column:
    from dataclasses import replace

    assert table.rest is not None
    return replace(table.rest, name=name)


def _values(path: Path, line: int, row: dict[str, str], columns: Sequence[Column], what: str) -> list[Any]:
    values: list[Any] = []
    for column in columns:
        text = row.get(column.name, "nan") if column.added else row[column.name]
        values.append(column.read(text))
        if values[-1] is None:
            name = f"column '{column.name}'"
            found = f", {name}: found '{text}'" if text else f": {name} is blank"
            raise InputError(f"{what} {path}, line {line}{found}; accepted is {column.accepted}.")
    return values


def frame_of(table: Table, rows: Iterable[Sequence[Any]], *, rest: Sequence[str] = ()) -> "DataFrame":
    """Return a frame of a kind of table from its ``rows``; ``rest`` are the names of further columns."""
    return _frame([*table.columns, *(_named(table, name) for name in rest)], list(rows))


def frame_of_columns(table: Table, columns: Mapping[str, Any]) -> "DataFrame":
    """Return a frame of a kind of table from the values of its columns by name, in any order: fast for many rows."""
    from pandas import DataFrame

    frame = DataFrame({name: columns[name] for name in table.names})
    return frame.astype({column.name: DTYPES[column.kind] for column in table.columns})


def _frame(columns: Sequence[Column], rows: list[Any]) -> "DataFrame":
    from pandas import DataFrame

    frame = DataFrame(rows, columns=[column.name for column in columns], dtype=object)
    return frame.astype({column.name: DTYPES[column.kind] for column in columns})


def write_table(output: Path | str, frame: "DataFrame", table: Table, *, key: str = "") -> None:
    """Write a frame of a kind of table as CSV in UTF-8, whole or not at all.

    Numbers get as many digits as their column says, and nan for none. Bytes of names that are not UTF-8 are written as
    escapes such as ``\\udce9``; ``key`` goes into its record. Raises InputError for a frame without the kind's columns
    in their order.

    >>> from featuresharing import TABLES
    >>> frame = frame_of(TABLES["training"], [(20, "word", 2.5, 0.125)])
    >>> write_table("log.csv", frame, TABLES["training"])
    """
    _check_kind(table)
    head = list(frame.columns)
    if not table.holds(head):
        raise InputError(f"{output}: found columns {', '.join(map(str, head))}; accepted are {', '.join(table.names)}.")
    columns = [column for name in head if (column := table.column(name))]
    texts = {
        name: frame[name] if column.kind == "text" else frame[name].map(column.write)
        for name, column in zip(head, columns, strict=True)
    }
    with (
        replacing(as_path("output", output), key=key) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        frame.assign(**texts).to_csv(file, index=False, lineterminator="\n")
