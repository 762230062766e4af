"""Commands for data: ``render-images``, ``overlay-words``, ``list-images`` and ``import-stimuli``."""

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
from featuresharing.errors import InputError
from featuresharing.settings import FolderSettings, ImageSettings
from featuresharing.settings.network_settings import MOST_PROCESSORS

OVERLAY = ("font_sizes", "colours", "outline", "undecodable")
"""Keys of folders that say how words are drawn over images."""


BY_TASK = (
    ("labels", "COLUMN", "columns or arrays of classes, of tasks that these are not called as"),
    ("outputs", "NUMBER", "how many outputs the network has for tasks"),
    ("names", "FILE", "names of classes in the order of outputs, one a line, or a list as JSON has it"),
    ("groups", "FILE", "classes whose images alone are of a task, one a line, or a list as JSON has it"),
)
"""Options of images of one's own that say something of some of the tasks."""


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

    parser = add_command(commands, "import-stimuli", _import_stimuli, "write the image list of images of your own")
    parser.add_argument(
        "--images", type=Path, required=True, help="table, image list, folder of class folders, or file of arrays"
    )
    parser.add_argument("--array", default="images", help="name of the array of images in a file of arrays")
    parser.add_argument("--tasks", nargs="+", required=True, help="tasks, in the order of the network's outputs")
    for name, meta, text in BY_TASK:
        parser.add_argument(f"--{name}", nargs="*", default=[], metavar=f"TASK={meta}", help=text)
    parser.add_argument("--output-folder", type=Path, required=True, help="gets test.txt and classes.csv")


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


def _import_stimuli(options: argparse.Namespace) -> None:
    from featuresharing.data.stimulus_sets import LabelledTask, names_or_file, read_names
    from featuresharing.runs.image_sets import import_stimulus_set

    said = {name: _by_task(options, name) for name, _, _ in BY_TASK}
    tasks = [
        LabelledTask(
            task,
            said["labels"].get(task),
            _outputs(said["outputs"][task]) if task in said["outputs"] else None,
            read_names(names_or_file(said["names"][task])) if task in said["names"] else None,
            names_or_file(said["groups"][task]) if task in said["groups"] else None,
        )
        for task in options.tasks
    ]
    import_stimulus_set(options.images, tasks, options.output_folder, array=options.array, say=say)


def _outputs(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 10 and int(text)):
        raise InputError(f"--outputs: found '{text}'; accepted is TASK=NUMBER, such as object=1000.")
    return int(text)


def _by_task(options: argparse.Namespace, name: str) -> dict[str, str]:
    """Return what an option of BY_TASK says of each task."""
    found = {}
    for pair in getattr(options, name):
        task, _, value = pair.partition("=")
        if not value or task not in options.tasks:
            accepted = f"accepted is TASK=VALUE with one of the tasks {', '.join(options.tasks)}"
            raise InputError(f"--{name}: found '{pair}'; {accepted}.")
        found[task] = value
    return found
