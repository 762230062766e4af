"""The images that are analysed: those that an intact network gets right in all their tasks, without torch."""

from pathlib import Path

from featuresharing.analysis.sharing import few_images_of_tasks
from featuresharing.data.columns import KEPT
from featuresharing.data.lists import MISSING, ListFiles, kept_table, write_image_list
from featuresharing.data.table_files import write_table
from featuresharing.errors import InputError
from featuresharing.networks.predictions import choose_images, read_predictions
from featuresharing.replicates import FIRST
from featuresharing.runs.stopping import Say


def select_to_file(
    predictions: Path, listed: ListFiles, output: Path, *, most: int, seed: int, say: Say = print, warn: Say = print
) -> None:
    """List in ``output`` at most ``most`` of the images that are right in all their tasks; a .csv has their positions.

    :func:`.choose_images` says which. ``warn`` is told which tasks have few images, and of names that are not UTF-8,
    which the table escapes. Raises InputError for predictions on other images, and if none is right.
    """
    classes, images = listed.read()
    known = read_predictions(predictions)
    positions = slice(None) if known.images is None else known.images
    targets = dict(zip(classes, images.targets[positions].T, strict=True))
    if list(known.targets) != list(classes) or any(
        list(found) != list(targets[task]) for task, found in known.targets.items()
    ):
        found = f"{predictions} has predictions for other images than {listed.images}"
        raise InputError(f"{found}; accepted are predictions on this list.")
    kept = choose_images(known, most=most, seed=seed)
    chosen, table = images.select(kept), output.with_suffix(".csv")
    counts = dict(zip(classes, (chosen.targets != MISSING).sum(axis=0).tolist(), strict=True))
    write_table(table, kept_table(images, kept, classes), KEPT)
    if odd := sum(path.name.encode(errors="replace").decode() != path.name for path in chosen.paths):
        warn(f"names of {odd} images are not UTF-8: {table} has escapes for them, {output} their bytes.")
    write_image_list(output, chosen.paths, chosen.targets)
    number = f", network {known.replicate}" if known.replicate > FIRST else ""
    for sentence in few_images_of_tasks(f"{listed.images}{number}", counts):
        warn(sentence)
    say(f"{len(kept)} of {len(images.paths)} images are listed in {output}.")
