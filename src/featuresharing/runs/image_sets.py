"""Sets of images in folders: rendered from drawings, or words drawn over images; and the lists of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from featuresharing.data.class_folders import list_class_folders, read_hierarchy
from featuresharing.data.drawings import choose_classes, read_drawings, split_drawings
from featuresharing.data.lists import MISSING, write_classes, write_image_list
from featuresharing.data.overlay import OverlaySettings, overlay_folder
from featuresharing.data.rendering import Variation
from featuresharing.data.stimuli import StimulusSettings, read_stimuli, render_stimuli
from featuresharing.data.stimulus_sets import LabelledTask, classes_and_targets, read_stimulus_set
from featuresharing.data.words import WordStyle, read_words
from featuresharing.errors import InputError
from featuresharing.files.locks import holding
from featuresharing.runs.stopping import Say
from featuresharing.settings import FolderSettings, ImageSettings


def render_image_sets(
    resources: Path,
    images: ImageSettings,
    output: Path,
    *,
    seed: int,
    jobs: int = 1,
    wait: float = 0.0,
    say: Say = print,
) -> None:
    """Render the drawings in ``resources`` into the folders train/ and test/ of ``output``, with a table of each.

    ``resources`` has drawings/, words.txt and fonts/. What an interrupted run rendered is kept; while another process
    renders there, this one waits up to ``wait`` seconds. Raises InputError as :func:`.render_stimuli` does.
    """
    drawings = choose_classes(read_drawings(resources / "drawings/drawings.csv"), images.basic_classes)
    train, test = split_drawings(drawings, test_outlines=images.test_designers, seed=seed)
    font = resources / "fonts/DejaVuSans-Bold.ttf"
    settings = StimulusSettings(
        images.image_size,
        tuple(read_words(resources / "words.txt")),
        WordStyle(font, images.word_sizes, images.word_colours, images.word_outline),
        Variation(images.rotation, images.scale, images.shift, images.colour, images.flip),
        seed,
    )
    parts = (("train", train, images.train_renderings), ("test", test, images.test_renderings))
    with holding(output / "train", wait=wait, say=say):
        for name, part, renderings in parts:
            render_stimuli(
                resources / "drawings/drawings.png",
                part,
                output / name,
                renderings=renderings,
                settings=settings,
                jobs=jobs,
                table=output / f"{name}.csv",
                say=say,
            )


def overlay_image_folder(
    folder: Path,
    words: Path,
    font: Path,
    folders: FolderSettings,
    output: Path,
    *,
    seed: int,
    hierarchy: Path | None = None,
    jobs: int = 1,
    wait: float = 0.0,
    say: Say = print,
) -> None:
    """Draw words of a list over the images of class folders, into ``output`` and a table beside it.

    ``hierarchy`` is a table of the basic class of each folder. What an interrupted run drew is kept; while another
    process draws there, this one waits up to ``wait`` seconds. Raises InputError as :func:`.overlay_folder` does.
    """
    basic = read_hierarchy(hierarchy, list_class_folders(folder)) if hierarchy else None
    style = WordStyle(font, folders.font_sizes, folders.colours, folders.outline)
    skip = folders.undecodable == "skip"
    settings = OverlaySettings(tuple(read_words(words)), style, seed, skip_undecodable=skip)
    table = output.with_name(f"{output.name}.csv")
    with holding(output, wait=wait, say=say):
        drawn, skipped = overlay_folder(folder, output, settings, hierarchy=basic, jobs=jobs, table=table, say=say)
    for problem in skipped:
        say(f"skipped: {problem}")
    say(f"{len(drawn)} images are in {output}; {len(skipped)} cannot be decoded and were skipped.")


def list_image_sets(stimuli: Sequence[Path], tasks: Sequence[str], output: Path, *, say: Say = print) -> None:
    """Write the image list of each table of stimuli into the folder ``output``, and the classes of their tasks.

    Raises InputError for tables of one name, for a task that is named twice, and for a table without its column.
    """
    stems = [path.stem for path in stimuli]
    if double := next((stem for stem in stems if stems.count(stem) > 1), None):
        raise InputError(f"stimuli: two tables would become {double}.txt; accepted are distinct names.")
    _refuse_doubles(tasks)
    tables = {path: read_stimuli(path, tasks) for path in stimuli}
    classes = {task: sorted({name for table in tables.values() for name in table[task]}) for task in tasks}
    write_classes(output / "classes.csv", classes)
    for path, table in tables.items():
        numbers = [[classes[task].index(name) for name in table[task]] for task in tasks]
        images = [path.parent / name for name in table["image"]]
        write_image_list(output / f"{path.stem}.txt", images, np.array(numbers, dtype=np.int64).T)
        say(f"{len(table)} images are listed in {output / f'{path.stem}.txt'}.")


def import_stimulus_set(
    images: Path, tasks: Sequence[LabelledTask], output: Path, *, array: str = "images", say: Say = print
) -> None:
    """Write the list ``test.txt`` of images of one's own into the folder ``output``, and ``classes.csv``.

    ``images`` is what :func:`.read_stimulus_set` takes; of a file of arrays, ``array`` holds the images. Images of no
    task are left out. Raises InputError as :func:`.read_stimulus_set` and :func:`.classes_and_targets`.
    """
    _refuse_doubles([task.name for task in tasks])
    found = read_stimulus_set(images, {task.name: task.column or task.name for task in tasks}, array=array)
    classes, targets = classes_and_targets(found, tasks, say=say)
    kept = np.flatnonzero((targets != MISSING).any(axis=1))
    if not len(kept):
        raise InputError(f"{images}: no image is of any task; accepted is at least one.")
    write_classes(output / "classes.csv", classes)
    write_image_list(output / "test.txt", [found.paths[index] for index in kept], targets[kept])
    left = f"; {len(targets) - len(kept)} of no task are left out" if len(kept) < len(targets) else ""
    say(f"{len(kept)} images of {images} are listed in {output / 'test.txt'}{left}.")


def _refuse_doubles(tasks: Sequence[str]) -> None:
    if double := next((task for task in tasks if tasks.count(task) > 1), None):
        raise InputError(f"tasks: found '{double}' twice; accepted are distinct tasks.")
