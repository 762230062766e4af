"""A text of headings, paragraphs, lists and tables, as Markdown for terminals and GitHub and as HTML for the report.

Within a text, `backticks` mark names, and nothing else is markup.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from html import escape

STYLE = """body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 1.5em; max-width: 60em; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; margin: 1em 0; }
th, td { padding: .15em .7em; text-align: right; white-space: nowrap; }
th { border-bottom: 1px solid #999; position: sticky; top: 0; background: white; }
th.text, td.text { text-align: left; }
tbody tr:nth-child(even) { background: #f4f4f4; }
code { background: #eee; padding: 0 .2em; }"""
"""What pages look like, without anything from elsewhere."""


@dataclass(frozen=True)
class Heading:
    """A heading; ``level`` 1 is that of the whole text."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Some sentences."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of ``texts``."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A table: its ``head``, and ``rows`` of as many cells; columns ``texts`` hold texts, others numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: Collection[int] = (0,)


Block = Heading | Paragraph | Items | Grid


def as_markdown(blocks: Iterable[Block]) -> str:
    """Return blocks as Markdown whose tables have straight columns.

    >>> print(as_markdown([Heading("Units", 1), Grid(("layer", "units"), [("conv1", "8"), ("fc6", "128")])]), end="")
    # Units
    <BLANKLINE>
    | layer | units |
    |:------|------:|
    | conv1 |     8 |
    | fc6   |   128 |
    """
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, Paragraph):
        return block.text
    if isinstance(block, Items):
        return "\n".join(f"- {text}" for text in block.texts)
    rows = [[cell.replace("|", "\\|") for cell in row] for row in (block.head, *block.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = [column in block.texts for column in range(len(widths))]
    lines = [
        "| " + " | ".join(f"{cell:<{width}}" if text else f"{cell:>{width}}" for cell, width, text in row) + " |"
        for row in (zip(cells, widths, left, strict=True) for cells in rows)
    ]
    marks = (f":{'-' * (w + 1)}" if text else f"{'-' * (w + 1)}:" for w, text in zip(widths, left, strict=True))
    return "\n".join([lines[0], f"|{'|'.join(marks)}|", *lines[1:]])


def as_html(blocks: Iterable[Block]) -> str:
    """Return blocks as HTML that can stand in any page.

    >>> as_html([Paragraph("`conv1` has 8 units & more.")])
    '<p><code>conv1</code> has 8 units &amp; more.</p>'
    """
    return "\n".join(_html(block) for block in blocks)


def as_page(title: str, blocks: Iterable[Block]) -> str:
    """Return blocks as a page that asks for nothing else."""
    head = f'<meta charset="utf-8">\n<title>{escape(title)}</title>\n<style>\n{STYLE}\n</style>'
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{as_html(blocks)}\n</body>\n</html>\n'


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{_inline(block.text)}</h{block.level}>"
    if isinstance(block, Paragraph):
        return f"<p>{_inline(block.text)}</p>"
    if isinstance(block, Items):
        return "<ul>\n" + "\n".join(f"<li>{_inline(text)}</li>" for text in block.texts) + "\n</ul>"
    head = _row(block.head, block.texts, "th")
    rows = "\n".join(_row(row, block.texts, "td") for row in block.rows)
    return f"<table>\n<thead>\n{head}\n</thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _row(cells: Sequence[str], texts: Collection[int], tag: str) -> str:
    marks = (' class="text"' if column in texts else "" for column in range(len(cells)))
    return (
        "<tr>"
        + "".join(f"<{tag}{mark}>{_inline(cell)}</{tag}>" for cell, mark in zip(cells, marks, strict=True))
        + "</tr>"
    )


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
