"""Warnings of the summary: a rule each, which says what was found, and what follows from it."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from featuresharing.analysis.guessing import GUESSED, guessing_probability
from featuresharing.analysis.sharing import few_images_of_tasks
from featuresharing.data.lists import NO_CLASS
from featuresharing.reports.claims import in_layers, lines_of, of_line
from featuresharing.reports.phrases import decimal, joined, percent
from featuresharing.reports.run_tables import RunTables

if TYPE_CHECKING:
    from pandas import DataFrame

FEW_SAMPLES = 2
"""Where the median unit of a layer has fewer effective samples, its contributions rest on one draw of its weights."""

MOST_UNITS = 0.5
"""Where a larger share of a layer's units contributes less to a task than counts as near zero, most ignore it."""


LEFT_OUT = 0.05
"""Where draws that are left out may make more than this share of a layer's contributions, they matter."""


def cautions(run: RunTables) -> list[str]:
    """Return all warnings, of which there may be none."""
    rules = (_few_images, _guessed, _near_zero, _ignored, _few_samples, _left_out, _not_finite, _few_networks)
    return [sentence for rule in rules for sentence in rule(run)]


def image_counts(run: RunTables, experiment: str) -> list[dict[str, int]]:
    """Return how many images were kept of each task, a network after the other."""
    tasks = run.tasks(experiment)
    return [{task: int((kept[task] != NO_CLASS).sum()) for task in tasks} for kept in run.kept[experiment]]


def _few_images(run: RunTables) -> Iterator[str]:
    """Warn of fewer than :data:`.sharing.FEW_IMAGES` images."""
    for experiment in run.experiments:
        counts = image_counts(run, experiment)
        for replicate, each in enumerate(counts, start=1):
            network = f", network {replicate}" if len(counts) > 1 else ""
            yield from few_images_of_tasks(f"`{experiment}`{network}", each)


def _guessed(run: RunTables) -> Iterator[str]:
    """Warn of tasks that a network solves no better than by chance, as guessing does in 5 % of cases."""
    for row in run.last(run.accuracy).itertuples():
        chance = run.chance[row.experiment, row.task]
        if guessing_probability(round(row.accuracy * row.images), row.images, chance) > GUESSED:
            network = f", network {row.replicate}" if run.networks(row.experiment) > 1 else ""
            found = f"`{row.task}` is no better than chance ({percent(row.accuracy)} right, chance {percent(chance)})"
            yield f"`{row.experiment}`{network}: {found}: what its units contribute to it means little."


def _near_zero(run: RunTables) -> Iterator[str]:
    """Warn of pairs and layers that the table of sharing marks."""
    for line in lines_of(run.sharing):
        cells = of_line(run.last(run.sharing), line)
        near = cells[cells.near_zero != ""]
        for tasks, rows in near.groupby("near_zero", sort=False):
            names = joined([f"`{task}`" for task in str(tasks).split(" + ")])
            where = in_layers(list(rows.layer), run.in_order(list(cells.layer)))
            yield (
                f"`{line.experiment}`, {line.tasks}: the average unit contributes less than {_threshold(run)} to"
                f" {names} {where}: what sharing says there is of little weight, and trends leave it out."
            )


def _ignored(run: RunTables) -> Iterator[str]:
    """Warn of tasks that most units of a layer ignore, though the average unit does not."""
    rows = run.last(run.contributions)
    for (experiment, task), of_task in rows.groupby(["experiment", "task"], sort=False):
        by_layer = of_task.groupby("layer", sort=False).contribution
        ignoring = by_layer.agg(lambda values: (values < run.near_zero).mean())
        found = ignoring[(ignoring > MOST_UNITS) & (by_layer.mean() >= run.near_zero)]
        if len(found):
            where = in_layers(list(found.index), run.in_order(list(by_layer.groups)))
            most = f"{percent(found.max())} of them" if len(found) == 1 else f"up to {percent(found.max())} of them"
            yield (
                f"`{experiment}`: most units ignore `{task}` {where} ({most} contribute less than {_threshold(run)}):"
                " its contribution there is that of the others."
            )


def _few_samples(run: RunTables) -> Iterator[str]:
    """Warn of layers where the median unit has fewer than :data:`FEW_SAMPLES` effective samples."""
    rows = run.last(run.contributions)
    for experiment, found in rows.groupby("experiment", sort=False):
        units = found.drop_duplicates(["replicate", "layer", "unit"])
        medians = units.groupby("layer", sort=False).effective_samples.median()
        few = medians[medians < FEW_SAMPLES]
        if len(few):
            where = in_layers(list(few.index), run.in_order(list(medians.index)))
            fewest = f"{decimal(few.min(), 1)} in {few.idxmin()}" if len(medians) > 1 else decimal(few.min(), 1)
            yield (
                f"`{experiment}`: the median unit has fewer than {FEW_SAMPLES} effective samples {where} (fewest:"
                f" {fewest}, of {run.samples}): what it contributes is that of one or two draws of its weights."
            )


def _left_out(run: RunTables) -> Iterator[str]:
    """Warn of layers where draws that are left out may matter: tables of before do not say so."""
    rows = run.last(run.contributions)
    for (experiment, task), of_task in rows.groupby(["experiment", "task"], sort=False):
        by_layer = of_task.groupby("layer", sort=False)[["error", "contribution"]].sum()
        shares = by_layer["error"] / by_layer["contribution"]
        found = shares[shares > LEFT_OUT]
        if len(found):
            where = in_layers(list(found.index), run.in_order(list(by_layer.index)))
            yield (
                f"`{experiment}`: draws that are left out may make up to {percent(min(found.max(), 1))} of what units"
                f" contribute to `{task}` {where}: a smaller `tolerance`, or `tolerance_bits`, tells."
            )


def _not_finite(run: RunTables) -> Iterator[str]:
    """Warn of numbers of sharing that there are not."""
    columns = ["sharing", "low", "high", "chance", "excess"]
    for line in lines_of(run.sharing):
        cells = of_line(run.last(run.sharing), line)
        for names, rows in _missing(cells, columns).items():
            where = in_layers(rows, run.in_order(list(cells.layer)))
            yield f"`{line.experiment}`, {line.tasks}: {names} {'is' if ' and ' not in names else 'are'} nan {where}."


def _missing(cells: "DataFrame", columns: list[str]) -> dict[str, list[str]]:
    """Return by which numbers are missing in which layers."""
    found: dict[str, list[str]] = {}
    for cell in cells.itertuples():
        if names := [column for column in columns if not math.isfinite(getattr(cell, column))]:
            found.setdefault(joined(names), []).append(cell.layer)
    return found


def _few_networks(run: RunTables) -> Iterator[str]:
    """Warn of experiments that one network stands for."""
    alone = [f"`{experiment}`" for experiment in run.experiments if run.networks(experiment) == 1]
    if alone:
        stand = "stands for each of" if len(alone) > 1 else "stands for"
        trained = " (`replicates: 5` trains five)" if run.trained else ""
        yield (
            f"One network {stand} {joined(alone)}: intervals and p-values are about its images and units, and nothing"
            f" here can be generalised to other networks that are trained alike{trained}."
        )


def _threshold(run: RunTables) -> str:
    return f"{run.near_zero:g}".removeprefix("0") + f" {run.unit}"
