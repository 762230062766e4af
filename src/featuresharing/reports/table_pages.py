"""Tables as pages of the report, where a browser would only save the CSV file."""

from typing import TYPE_CHECKING, Any

from featuresharing.data.column_kinds import Table
from featuresharing.reports.text_blocks import Block, Grid, Heading, Paragraph

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_ROWS = 2000
"""A page shows so many rows: a browser takes seconds for tens of thousands, and nobody reads them."""

DIGITS = 4
"""Significant digits of numbers on a page."""


def table_page(table: Table, frame: "DataFrame", file: str) -> list[Block]:
    """Return a table as a page: its first :data:`MOST_ROWS` rows, and what its columns mean; ``file`` has all of it."""
    shown = frame.head(MOST_ROWS)
    rows = f"{len(frame):,} rows" if len(frame) <= MOST_ROWS else f"The first {MOST_ROWS:,} of {len(frame):,} rows"
    told = f"{rows}; numbers with {DIGITS} digits. `{file}` has all of it. A row is {table.row}."
    columns = [column for name in frame.columns if (column := table.column(str(name)))]
    texts = [place for place, column in enumerate(columns) if column.kind == "text"]
    cells = [[_cell(value) for value in row] for row in shown.itertuples(index=False, name=None)]
    meanings = [(column.name, column.unit, column.meaning) for column in columns]
    return [
        Heading(table.name.capitalize(), 1),
        Paragraph(told),
        Grid(list(map(str, frame.columns)), cells, texts),
        Heading("Columns"),
        Grid(("column", "unit", "meaning"), meanings, (0, 1, 2)),
    ]


def _cell(value: Any) -> str:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)
