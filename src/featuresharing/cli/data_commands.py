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
from featuresharing.errors import InputError
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
    from featuresharing.data.drawings import choose_classes, read_drawings, split_drawings
    from featuresharing.data.rendering import Variation
    from featuresharing.data.stimuli import StimulusSettings, render_stimuli
    from featuresharing.data.words import WordStyle, read_words
    from featuresharing.files.locks import holding

    images = read_settings(options, ImageSettings)
    drawings = choose_classes(read_drawings(options.resources / "drawings/drawings.csv"), images.basic_classes)
    train, test = split_drawings(drawings, test_outlines=images.test_designers, seed=options.seed)
    settings = StimulusSettings(
        images.image_size,
        tuple(read_words(options.resources / "words.txt")),
        WordStyle(
            options.resources / "fonts/DejaVuSans-Bold.ttf",
            images.word_sizes,
            images.word_colours,
            images.word_outline,
        ),
        Variation(images.rotation, images.scale, images.shift, images.colour, images.flip),
        options.seed,
    )
    with holding(options.output_folder / "train", wait=60 * options.wait, say=say):
        for name, part, renderings in (
            ("train", train, images.train_renderings),
            ("test", test, images.test_renderings),
        ):
            render_stimuli(
                options.resources / "drawings/drawings.png",
                part,
                options.output_folder / name,
                renderings=renderings,
                settings=settings,
                jobs=options.jobs,
                table=options.output_folder / f"{name}.csv",
                say=say,
            )


def _overlay_words(options: argparse.Namespace) -> None:
    from featuresharing.data.class_folders import list_class_folders, read_hierarchy
    from featuresharing.data.overlay import OverlaySettings, overlay_folder
    from featuresharing.data.words import WordStyle, read_words
    from featuresharing.files.locks import holding

    folders = read_settings(options, FolderSettings, *OVERLAY)
    hierarchy = None
    if options.hierarchy:
        hierarchy = read_hierarchy(options.hierarchy, list_class_folders(options.folder))
    style = WordStyle(options.font, folders.font_sizes, folders.colours, folders.outline)
    words = tuple(read_words(options.words))
    settings = OverlaySettings(words, style, options.seed, skip_undecodable=folders.undecodable == "skip")
    with holding(options.output_folder, wait=60 * options.wait, say=say):
        table, skipped = overlay_folder(
            options.folder,
            options.output_folder,
            settings,
            hierarchy=hierarchy,
            jobs=options.jobs,
            table=options.output_folder.with_name(f"{options.output_folder.name}.csv"),
            say=say,
        )
    for problem in skipped:
        say(f"skipped: {problem}")
    say(f"{len(table)} images are in {options.output_folder}; {len(skipped)} cannot be decoded and were skipped.")


def _list_images(options: argparse.Namespace) -> None:
    import numpy as np

    from featuresharing.data.lists import write_classes, write_image_list
    from featuresharing.data.stimuli import read_stimuli

    stems = [path.stem for path in options.stimuli]
    if double := next((stem for stem in stems if stems.count(stem) > 1), None):
        raise InputError(f"--stimuli: two tables would become {double}.txt; accepted are distinct names.")
    if double := next((task for task in options.tasks if options.tasks.count(task) > 1), None):
        raise InputError(f"--tasks: found '{double}' twice; accepted are distinct tasks.")
    tables = {path: read_stimuli(path, options.tasks) for path in options.stimuli}
    classes = {task: sorted({name for table in tables.values() for name in table[task]}) for task in options.tasks}
    write_classes(options.output_folder / "classes.csv", classes)
    for path, table in tables.items():
        numbers = [[classes[task].index(name) for name in table[task]] for task in options.tasks]
        targets = np.array(numbers, dtype=np.int64).T
        images = [path.parent / name for name in table["image"]]
        write_image_list(options.output_folder / f"{path.stem}.txt", images, targets)
        say(f"{len(table)} images are listed in {options.output_folder / f'{path.stem}.txt'}.")
