"""Commands for data: ``render-images`` and ``list-images``."""

import argparse
from pathlib import Path

from featuresharing.cli.options import (
    Commands,
    add_command,
    add_wait,
    named_folder,
    say,
    whole,
)
from featuresharing.cli.setting_options import add_seed, add_settings, read_settings
from featuresharing.settings import FolderSettings, ImageSettings
from featuresharing.settings.network_settings import MOST_PROCESSORS

OVERLAY = ("font_sizes", "colours", "outline", "undecodable")
"""Keys of folders that say how words are drawn over images."""


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "render-images", _render_images, "render the stimulus set from the drawings")
    parser.add_argument("--resources", type=Path, required=True, help="folder with drawings/, words.txt and fonts/")
    add_settings(parser, ImageSettings)
    parser.add_argument("--jobs", type=whole(1, MOST_PROCESSORS), default=1, help="processes")
    add_wait(parser)
    parser.add_argument("--output-folder", type=Path, required=True, help="gets train/, test/, train.csv, test.csv")

    parser = add_command(commands, "overlay-words", _overlay_words, "draw words over the images of class folders")
    parser.add_argument("--folder", type=Path, required=True, help="has one folder a class, with images")
    parser.add_argument("--words", type=Path, required=True, help="list of words, one a line")
    parser.add_argument("--font", type=Path, required=True, help="TrueType or OpenType font")
    add_settings(parser, FolderSettings, *OVERLAY)
    parser.add_argument("--hierarchy", type=Path, help="table subordinate,basic (none: no basic classes)")
    add_seed(parser, "words, sizes, colours and places")
    parser.add_argument("--jobs", type=whole(1, MOST_PROCESSORS), default=1, help="processes")
    add_wait(parser)
    parser.add_argument(
        "--output-folder", type=named_folder, required=True, help="gets the images; a .csv beside it lists them"
    )

    parser = add_command(commands, "list-images", _list_images, "write the image list of one experiment")
    parser.add_argument("--stimuli", type=Path, nargs="+", required=True, help="tables of stimuli")
    parser.add_argument("--tasks", nargs="+", required=True, help="columns of the tables that are the tasks")
    parser.add_argument("--output-folder", type=Path, required=True, help="gets a .txt for each table and classes.csv")


def _render_images(options: argparse.Namespace) -> None:
    from featuresharing.runs.image_sets import render_image_sets

    render_image_sets(
        options.resources,
        read_settings(options, ImageSettings),
        options.output_folder,
        seed=options.seed,
        jobs=options.jobs,
        wait=60 * options.wait,
        say=say,
    )


def _overlay_words(options: argparse.Namespace) -> None:
    from featuresharing.runs.image_sets import overlay_image_folder

    overlay_image_folder(
        options.folder,
        options.words,
        options.font,
        read_settings(options, FolderSettings, *OVERLAY),
        options.output_folder,
        seed=options.seed,
        hierarchy=options.hierarchy,
        jobs=options.jobs,
        wait=60 * options.wait,
        say=say,
    )


def _list_images(options: argparse.Namespace) -> None:
    from featuresharing.runs.image_sets import list_image_sets

    list_image_sets(options.stimuli, options.tasks, options.output_folder, say=say)
