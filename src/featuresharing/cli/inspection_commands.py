"""Commands that look before anything runs: ``check`` at a config, ``inspect`` at a file."""

import argparse
import shlex
from pathlib import Path

from featuresharing.cli.options import Commands, add_command, add_image_size, say
from featuresharing.errors import InputError

DEMO = Path(__file__).parents[3] / "config/config.yaml"
"""The config that the workflow comes with, in a clone."""

SNAKEFILE = Path("workflow/Snakefile")
"""Where Snakemake looks, from the working directory."""


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "check", _check, "check a config, try its networks and predict what a run takes")
    parser.add_argument("config", type=Path, nargs="+", help="file of a config; of several, the last counts most")

    parser = add_command(commands, "inspect", _inspect, "say what a file is: a network and its layers, or results")
    parser.add_argument(
        "file", type=Path, help="network or its weights, conditionals, predictions, arrays or a table of results"
    )
    add_image_size(parser)


def _inspect(options: argparse.Namespace) -> None:
    from featuresharing.runs.inspection import inspect_file

    for line in inspect_file(options.file, image_size=options.image_size):
        say(line)


def _check(options: argparse.Namespace) -> None:
    from featuresharing.runs.config_check import try_config

    wrong = try_config(options.config, DEMO if DEMO.is_file() else None, say=say)
    if wrong:
        count = "one thing is" if len(wrong) == 1 else f"{len(wrong)} things are"
        raise InputError("\n".join([f"{count} wrong:", *wrong]))
    say(f"nothing is wrong; the next step is: {_next_step(options.config)}")


def _next_step(configs: list[Path]) -> str:
    """Return the command that runs configs from the working directory, and names the Snakefile if it is elsewhere."""
    snakefile = DEMO.parents[1] / SNAKEFILE
    elsewhere = snakefile.is_file() and not SNAKEFILE.is_file()
    place = ["--snakefile", str(snakefile)] if elsewhere else []
    return shlex.join(["snakemake", *place, "--configfile", *map(str, configs), "--cores", "8"])
