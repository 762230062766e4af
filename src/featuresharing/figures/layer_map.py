"""The unit map of a layer: what its units contribute to one task, and to the other or the stronger of the others."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from featuresharing.analysis.evidence import Array
from featuresharing.analysis.overlap import sharing
from featuresharing.analysis.tables import layer_contributions
from featuresharing.errors import InputError
from featuresharing.figures.unit_map import plot_units
from featuresharing.replicates import network_label
from featuresharing.settings import EvidenceSettings, FigureSettings

if TYPE_CHECKING:
    from featuresharing.store import LayerConditionals


NAMED = 3
"""Tasks of which a figure says each by name."""


def plot_layer(
    layer: "LayerConditionals", evidence: EvidenceSettings, style: FigureSettings, *, sort_by: str | None = None
) -> Figure:
    """Draw what every unit of a layer contributes to the task ``sort_by`` (None: the first) and to the others.

    Raises InputError for another task, and for conditionals that have no evidence.
    """
    contributions = layer_contributions(layer, method=evidence.method, laplace=evidence.laplace)
    first_name = sort_by or next(iter(contributions))
    if first_name not in contributions:
        raise InputError(f"--sort-by: found '{first_name}'; accepted are the tasks {', '.join(contributions)}.")
    unit = "" if evidence.method == "probdiff" else " bits"
    averages = _averages(contributions, unit)
    first = contributions.pop(first_name)
    second_name, second = _join(contributions) if contributions else (None, None)
    shared = f"Sharing {sharing(first, second):.2f}.  " if second is not None and len(contributions) == 1 else ""
    note = f"{_count(len(first), 'unit')}, {_images(layer)}.  {shared}Average unit: {averages}."
    title = _title(layer)
    return plot_units(
        first, second, first_name=first_name, second_name=second_name, title=title, note=note, style=style
    )


def _images(layer: "LayerConditionals") -> str:
    """Say how many images the tasks have; those of each where they are not of the same images."""
    total, counts = len(next(iter(layer.predictions.values()))), layer.image_counts()
    if set(counts.values()) == {total}:
        return _count(total, "image")
    if len(counts) > NAMED:
        return f"{min(counts.values())} to {max(counts.values())} images a task"
    return " and ".join(f"{_count(count, 'image')} of {task}" for task, count in counts.items())


def _averages(contributions: Mapping[str, Array], unit: str) -> str:
    """Say what the average unit contributes to each task; of many tasks, from where to where."""
    means = {task: values.mean() for task, values in contributions.items()}
    if len(means) > NAMED:
        return f"{min(means.values()):.2g} to {max(means.values()):.2g}{unit} by task"
    return ", ".join(f"{task} {mean:.2g}{unit}" for task, mean in means.items())


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _join(contributions: dict[str, Array]) -> tuple[str, Array]:
    """Take the other task as it is; of several, each unit's largest contribution in multiples of the average unit."""
    if len(contributions) == 1:
        return next(iter(contributions.items()))
    relative = [values / (values.mean() or 1) for values in contributions.values()]
    name = " or ".join(contributions) if len(contributions) < NAMED else "another task"
    return name, np.max(relative, axis=0)


def _title(layer: "LayerConditionals") -> str:
    values = layer.attributes
    step = layer.attribute("step", int)
    when = f" after {step} training steps" if step >= 0 else ""
    return f"{network_label(*layer.place[:2])}: {values['alias']}{when}"
