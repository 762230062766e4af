"""The summary of a run, and tables as pages, from files and into files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from featuresharing.errors import InputError
from featuresharing.reports.run_tables import RunTables

if TYPE_CHECKING:
    from pandas import DataFrame

UNITS = {"we": "bits", "infdiff": "bits", "probdiff": "of probability"}
"""What contributions are measured in, by the method of evidence."""


def read_run(
    tables: Mapping[str, Path],
    *,
    kept: Iterable[tuple[str, Path]],
    predictions: Sequence[Path],
    layers: Sequence[str],
    checkpoint: str,
    near_zero: float,
    method: str,
    samples: int,
    seed: int,
    trained: bool,
) -> RunTables:
    """Return what a run knows of itself.

    ``tables`` are its tables by the names of fields of :class:`.RunTables`, ``kept`` its tables of kept images, those
    of an experiment's networks in their order, and ``predictions`` those of its last ``checkpoint``. Raises InputError
    for files that are not what they should be, and for an experiment without kept images or predictions.
    """
    from featuresharing.data.columns import ACCURACY, CONTRIBUTIONS, KEPT, LESIONS
    from featuresharing.data.sharing_columns import SHARING_OVER_NETWORKS, TRENDS
    from featuresharing.data.table_files import read_table

    kinds = {"accuracy": ACCURACY, "contributions": CONTRIBUTIONS, "sharing": SHARING_OVER_NETWORKS}
    kinds |= {"trends": TRENDS, "lesions": LESIONS}
    frames = {name: read_table(tables[name], kind) for name, kind in kinds.items()}
    kept_of: dict[str, list[DataFrame]] = {}
    for experiment, path in kept:
        kept_of.setdefault(experiment, []).append(read_table(path, KEPT))
    chance = chance_accuracies(predictions)
    run = RunTables(
        **frames,
        kept=kept_of,
        chance=chance,
        layers=layers,
        checkpoint=checkpoint,
        near_zero=near_zero,
        unit=UNITS[method],
        samples=samples,
        seed=seed,
        trained=trained,
    )
    _check_whole(run)
    return run


def _check_whole(run: RunTables) -> None:
    for experiment in run.experiments:
        if len(run.kept.get(experiment, ())) != run.networks(experiment):
            found = f"{len(run.kept.get(experiment, ()))} for {run.networks(experiment)} networks of '{experiment}'"
            raise InputError(f"--kept: found {found}; accepted is a table of kept images for each network.")
        if missing := next((task for task in run.tasks(experiment) if (experiment, task) not in run.chance), None):
            found = f"found none of task '{missing}' of '{experiment}'"
            raise InputError(f"--predictions: {found}; accepted are those of every experiment.")


def chance_accuracies(paths: Iterable[Path]) -> dict[tuple[str, str], float]:
    """Return by experiment and task the share of images that are of the most frequent class, from predictions."""
    import numpy as np

    from featuresharing.analysis.guessing import chance_accuracy
    from featuresharing.networks.predictions import read_named_predictions

    found: dict[tuple[str, str], float] = {}
    for predictions in map(read_named_predictions, paths):
        shares = chance_accuracy(np.column_stack(list(predictions.targets.values())))
        for task, share in zip(predictions.targets, shares.tolist(), strict=True):
            found[predictions.experiment, task] = share
    return found


def write_summary(run: RunTables, output: Path, page: Path | None = None) -> None:
    """Write the summary as Markdown, and as a ``page`` in HTML if one is named."""
    from featuresharing.reports.summary import TITLE, summarize
    from featuresharing.reports.text_blocks import as_markdown, as_page

    blocks = summarize(run)
    write_text(output, as_markdown(blocks))
    if page is not None:
        write_text(page, as_page(TITLE, blocks))


def write_table_page(path: Path, output: Path) -> None:
    """Write a table as a page; raises InputError for one whose name is none of those in results/tables."""
    from featuresharing.data.columns import TABLES, tables_of
    from featuresharing.data.table_files import read_table
    from featuresharing.reports.table_pages import table_page
    from featuresharing.reports.text_blocks import as_page

    folder = PurePosixPath("results/tables")
    kinds = tables_of(folder / path.name)
    if not kinds:
        places = [PurePosixPath(pattern) for table in TABLES.values() for pattern in table.files]
        accepted = ", ".join(place.name for place in places if place.parent == folder)
        raise InputError(f"{path}: its name says no kind of table: found {path.name}; accepted are {accepted}.")
    blocks = table_page(kinds[0], read_table(path, kinds[0]), path.name)
    write_text(output, as_page(path.stem, blocks))


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all."""
    from featuresharing.files.atomic import replacing

    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
