"""Commands that say in words what tables hold: ``summarize`` and ``show-table``."""

import argparse
from pathlib import Path

from featuresharing.cli.options import Commands, add_command, add_output, named_path, switch
from featuresharing.cli.setting_options import add_seed, add_settings
from featuresharing.settings import EvidenceSettings, LesionSettings, MarginalizationSettings, SharingSettings

TABLES = ("accuracy", "contributions", "sharing", "trends", "lesions")
"""Tables that the summary is made of; that of sharing is the one over networks."""


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "summarize", _summarize, "say in words and tables what a run found")
    for name in TABLES:
        over = " over networks" if name == "sharing" else ""
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"table of {name}{over}")
    parser.add_argument(
        "--kept",
        type=named_path,
        nargs="+",
        required=True,
        metavar="EXPERIMENT=PATH",
        help="tables of kept images, those of an experiment's networks in their order",
    )
    parser.add_argument(
        "--predictions", type=Path, nargs="+", required=True, help="files of predictions of the last checkpoint"
    )
    parser.add_argument("--layers", nargs="+", required=True, help="layers in their order")
    parser.add_argument("--checkpoint", required=True, help="the last checkpoint")
    parser.add_argument("--trained", type=switch, default=True, help="whether the run trained its networks")
    add_settings(parser, EvidenceSettings, "method")
    add_settings(parser, SharingSettings, "near_zero")
    add_settings(parser, LesionSettings, "softmax")
    add_settings(parser, MarginalizationSettings, "samples")
    add_seed(parser, "the run")
    parser.add_argument("--page", type=Path, help="the same as a page in HTML")
    add_output(parser, "Markdown file")

    parser = add_command(commands, "show-table", _show_table, "show a table as a page in HTML")
    parser.add_argument("--table", type=Path, required=True, help="table, by the name that it has in results/tables")
    add_output(parser, "HTML file")


def _summarize(options: argparse.Namespace) -> None:
    from featuresharing.analysis.near_zero import near_zero_limit
    from featuresharing.runs.summarizing import read_run, write_summary

    run = read_run(
        {name: getattr(options, name) for name in TABLES},
        kept=options.kept,
        predictions=options.predictions,
        near_zero=near_zero_limit(options.near_zero, method=options.method, softmax=options.softmax),
        **{name: getattr(options, name) for name in ("layers", "checkpoint", "method", "samples", "seed", "trained")},
    )
    write_summary(run, options.output, options.page)


def _show_table(options: argparse.Namespace) -> None:
    from featuresharing.runs.summarizing import write_table_page

    write_table_page(options.table, options.output)
