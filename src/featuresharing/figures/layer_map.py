"""The unit map of a layer: what its units contribute to two tasks, or to one and to the stronger of the others."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from featuresharing.analysis.evidence import Array
from featuresharing.analysis.sharing import sharing
from featuresharing.analysis.tables import layer_contributions
from featuresharing.errors import InputError
from featuresharing.figures.unit_map import plot_units
from featuresharing.settings import EvidenceSettings, FigureSettings

if TYPE_CHECKING:
    from featuresharing.store import LayerConditionals


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
    averages = ", ".join(f"{task} {values.mean():.2g}{unit}" for task, values in contributions.items())
    first = contributions.pop(first_name)
    second_name, second = _join(contributions)
    shared = f"Sharing {sharing(first, second):.2f}.  " if len(contributions) == 1 else ""
    images = len(next(iter(layer.predictions.values())))
    note = f"{_count(len(first), 'unit')}, {_count(images, 'image')}.  {shared}Average unit: {averages}."
    names = {"first_name": first_name, "second_name": second_name}
    return plot_units(first, second, **names, title=_title(layer), note=note, style=style)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _join(contributions: dict[str, Array]) -> tuple[str, Array]:
    """Take the other task as it is; of several, each unit's largest contribution in multiples of the average unit."""
    if len(contributions) == 1:
        return next(iter(contributions.items()))
    relative = [values / (values.mean() or 1) for values in contributions.values()]
    return " or ".join(contributions), np.max(relative, axis=0)


def _title(layer: "LayerConditionals") -> str:
    values = layer.attributes
    step = layer.attribute("step", int)
    when = f" after {step} training steps" if step >= 0 else ""
    return f"{values['experiment']}: {values['alias']}{when}"
