"""``unit``: the card of one unit, from a folder of results."""

import argparse
import json
import shutil
import sys
from pathlib import Path

from featuresharing.cli.options import Commands, add_command, say, whole
from featuresharing.replicates import FIRST, MOST_REPLICATES
from featuresharing.settings.network_settings import MOST_UNITS


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "unit", _unit, "show what a unit contributes over training, and on which images")
    parser.add_argument("experiment", help="name of the experiment")
    parser.add_argument("layer", help="alias or module path")
    parser.add_argument("unit", type=whole(0, MOST_UNITS), help="number of the unit, counted from 0")
    parser.add_argument("--checkpoint", metavar="NAME", help="checkpoint that is looked at (none: the last)")
    parser.add_argument("--replicate", type=whole(FIRST, MOST_REPLICATES), default=FIRST, help="which of the networks")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of results")
    parser.add_argument("--top", type=whole(1), default=8, help="images with the most and with the least evidence")
    parser.add_argument("--json", action="store_true", help="write JSON, for programs")


def _unit(options: argparse.Namespace) -> None:
    from featuresharing.runs.unit_files import find_layer, read_card, read_run_settings
    from featuresharing.runs.unit_text import card_lines, card_values

    settings = read_run_settings(options.results)
    place = find_layer(options.results, settings.kind, options.experiment, options.layer, options.replicate)
    card, around = read_card(place, options.unit, settings, checkpoint=options.checkpoint, count=options.top)
    if options.json:
        say(json.dumps(card_values(card, around), indent=1))
        return
    width = shutil.get_terminal_size((100, 24)).columns
    block = "█" if (sys.stdout.encoding or "").lower().startswith("utf") else "#"
    for line in card_lines(card, around, settings.figures, width=width, block=block):
        say(line)
