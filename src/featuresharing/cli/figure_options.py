"""Options of figures: their files, the page that they are drawn for, and what several of them show."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featuresharing.cli.setting_options import add_settings, read_settings
from featuresharing.figure_formats import FIGURES
from featuresharing.settings import FigureSettings
from featuresharing.settings.analysis_settings import PAGE_KEYS
from featuresharing.settings.sentences import listed

if TYPE_CHECKING:
    from featuresharing.figures.style import Page


def add_figure(parser: argparse.ArgumentParser, what: str = "file", *, page: bool = True) -> None:
    """Add the file of a figure, and the page that it is drawn for."""
    if page:
        add_settings(parser, FigureSettings, *PAGE_KEYS)
    parser.add_argument("--output", type=ending(FIGURES), required=True, help=f"{what}: {', '.join(FIGURES)}")


def read_page(options: argparse.Namespace) -> "Page":
    """Return the page that the options of :func:`add_figure` say."""
    from featuresharing.figures.style import Page

    return Page.of(read_settings(options, FigureSettings, *PAGE_KEYS))


def add_tasks(parser: argparse.ArgumentParser) -> None:
    """Add the option that names all tasks of a run, whose places give them their colours."""
    text = "tasks of all experiments in their order, which have the same colours in every figure (none: those shown)"
    parser.add_argument("--tasks", nargs="+", default=[], help=text)


def ending(accepted: Sequence[str]) -> Callable[[str], Path]:
    """Return a type of option: a path whose name says one of the formats."""

    def parse(text: str) -> Path:
        if Path(text).suffix.lower() not in accepted:
            raise argparse.ArgumentTypeError(
                f"found '{text}'; accepted is a name that ends in {listed(tuple(accepted))}"
            )
        return Path(text)

    return parse
