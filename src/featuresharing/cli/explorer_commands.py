"""Command ``build-explorer``: one page, opened from disk, in which every unit can be looked at."""

import argparse
from pathlib import Path

from featuresharing.cli.figure_options import ending
from featuresharing.cli.options import Commands, add_command, named_path, say, whole
from featuresharing.cli.setting_options import add_setting, add_settings, read_settings
from featuresharing.settings import EvidenceSettings, FigureSettings, LesionSettings, SharingSettings

TABLES = {
    "contributions": "what units contribute",
    "sharing": "sharing",
    "sharing over networks": "means over networks",
    "lesions": "accuracy without units",
    "images": "images with the highest and lowest evidence",
    "accuracy": "accuracy",
}
"""Tables that a page shows, and what they hold."""

COLOURS = ("colour_scale", "limits", "palette")
"""Keys of figures that say how units are coloured."""


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "build-explorer", _build, "write a page in which every unit can be looked at")
    for name, what in TABLES.items():
        needed = name == "contributions"
        help_text = f"table of {what}" if needed else f"table of {what} (none: the page goes without)"
        parser.add_argument(f"--{_option(name)}-table", type=Path, required=needed, help=help_text)
    parser.add_argument(
        "--kept", type=named_path, nargs="*", default=[], metavar="EXPERIMENT=LIST", help="lists of analysed images"
    )
    parser.add_argument("--features", type=Path, metavar="FOLDER", help="folder of pictures of what drives units")
    parser.add_argument(
        "--sort-by", type=_named, nargs="*", default=[], metavar="EXPERIMENT=TASK", help="tasks that sort the units"
    )
    parser.add_argument("--tasks", nargs="*", default=[], help="all tasks in the order that gives them their colours")
    parser.add_argument(
        "--without",
        nargs="*",
        default=[],
        metavar="PART",
        help="what the page goes without: samples, images, features, lesions, sharing",
    )
    parser.add_argument("--thumbnail", type=whole(8, 256), default=48, metavar="PIXELS", help="side of its pictures")
    add_settings(parser, FigureSettings, *COLOURS)
    add_settings(parser, EvidenceSettings, "method")
    add_settings(parser, SharingSettings, "near_zero")
    add_setting(parser, LesionSettings, "softmax", help="false if contributions are in raw scores")
    parser.add_argument("--output", type=ending((".html",)), required=True, help="page: .html")


def _option(name: str) -> str:
    return name.replace(" ", "-")


def _named(text: str) -> tuple[str, str]:
    """Return an experiment and its task; a type of option."""
    name, sign, task = text.partition("=")
    if not (name and sign and task):
        raise argparse.ArgumentTypeError(f"found '{text}'; accepted is EXPERIMENT=TASK")
    return name, task


def _build(options: argparse.Namespace) -> None:
    from featuresharing.analysis.near_zero import near_zero_limit
    from featuresharing.runs.exploring import ExplorerFiles, write_explorer

    given = {name: getattr(options, f"{_option(name)}-table".replace("-", "_")) for name in TABLES}
    tables = {name: path for name, path in given.items() if path is not None}
    unit = "bits" if options.method != "probdiff" else "in probability" if options.softmax else "in score"
    write_explorer(
        options.output,
        ExplorerFiles(tables, options.kept, options.features),
        without=options.without,
        say=say,
        tasks=options.tasks,
        sort_by=dict(options.sort_by),
        style=read_settings(options, FigureSettings, *COLOURS),
        unit=unit,
        near_zero=near_zero_limit(options.near_zero, method=options.method, softmax=options.softmax),
        thumbnail=options.thumbnail,
    )
