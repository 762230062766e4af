"""Figures of arrays and frames, as matplotlib figures: those that the workflow draws, for users of Python.

Nothing of matplotlib is loaded before a figure is drawn. Every function takes what the config's block ``figures`` says
as keywords: the page, that is ``width`` in mm, ``dpi`` and ``font_size``; and those that draw units their ``palette``,
``colour_scale``, ``limits`` and so on. What is wrong is told by InputError. :func:`save` writes a figure as a PNG, PDF
or SVG file, the same bytes every time; matplotlib's own ``savefig`` works too.

In examples, ``word`` and ``basic`` are what 48 units contribute to two tasks, and frames are as their functions say.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from featuresharing.errors import InputError
from featuresharing.settings import FigureSettings, LesionSettings
from featuresharing.settings.analysis_settings import PAGE_KEYS
from featuresharing.settings.fields import keys_of
from featuresharing.settings.sentences import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from featuresharing.figures.style import Page
    from featuresharing.figures.unit_map import Pair

__all__ = [
    "animate",
    "layers",
    "lesions",
    "save",
    "sharing",
    "sharing_over_training",
    "tasks",
    "training",
    "units",
]

NAMES = ("first task", "second task")


def units(
    first: ArrayLike,
    second: ArrayLike | None = None,
    *,
    names: tuple[str, str] = NAMES,
    title: str = "",
    note: str = "",
    order: ArrayLike | None = None,
    **settings: Any,
) -> "Figure":
    """Draw what units contribute to two tasks, ``first`` and ``second`` [units], as one square a unit.

    Colours show multiples of each task's average unit. Without a ``second`` task units are grey. They stand in the
    ``order`` [units] given, else sorted by the first task unless ``sort`` is none.

    >>> from featuresharing import plot
    >>> figure = plot.units(word, basic, names=("word", "basic"), title="conv5", width=89)
    >>> [text.get_text() for text in figure.texts][0]
    'conv5'
    """
    from featuresharing.figures.unit_map import plot_units

    return plot_units(
        np.asarray(first),
        None if second is None else np.asarray(second),
        first_name=names[0],
        second_name=None if second is None else names[1],
        title=title,
        note=note,
        order=None if order is None else np.asarray(order),
        style=_style(settings),
    )


def layers(
    contributions: Mapping[str, tuple[ArrayLike, ArrayLike] | tuple[ArrayLike]],
    *,
    names: tuple[str, str] = NAMES,
    title: str = "",
    note: str = "",
    orders: Mapping[str, ArrayLike] | None = None,
    **settings: Any,
) -> "Figure":
    """Draw what the units of several layers contribute to two tasks, side by side in squares of one size.

    ``contributions`` are two arrays [units] by the name of each layer, or one; ``orders`` are places of the units by
    the name of their layer, as in :func:`units`.

    >>> from featuresharing import plot
    >>> figure = plot.layers({"conv4": (word, basic), "conv5": (basic, word)}, names=("word", "basic"))
    >>> {"conv4", "conv5"} <= {text.get_text() for text in figure.texts}
    True
    """
    from featuresharing.figures.all_layers import LayersMap, draw_layers
    from featuresharing.figures.unit_map import UnitMap, sorted_by

    style = _style(settings)
    maps = {}
    for layer, pair in _pairs(contributions, names).items():
        given = None if orders is None else orders.get(layer)
        order = None if given is None else np.asarray(given)
        sorting = "" if order is not None or style.sort == "none" else pair.first_name
        numbers = np.arange(np.size(pair.first))
        checked = pair.checked(numbers)
        places = sorted_by(checked.first, checked.second) if sorting else order
        maps[layer] = UnitMap(layer, "", [checked], numbers, places, sorting)
    return draw_layers(LayersMap(title, note, maps), style)


def tasks(
    contributions: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    names: tuple[str, str] = NAMES,
    title: str = "What units contribute to two tasks",
    unit: str = "bits",
    **settings: Any,
) -> "Figure":
    """Draw what units contribute to one task against the other, a panel a layer with equal logarithmic axes.

    ``contributions`` are two arrays [units] by the name of each layer, counted in ``unit``.

    >>> from featuresharing import plot
    >>> figure = plot.tasks({"conv4": (word, basic), "conv5": (basic, word)}, names=("word", "basic"), width=89)
    >>> len(figure.axes)
    2
    """
    from featuresharing.figures.scatter import plot_tasks

    drawn = {layer: [pair] for layer, pair in _pairs(contributions, names).items()}
    return plot_tasks(drawn, title=title, unit=unit, page=_page(settings))


def sharing(
    table: "DataFrame",
    over_networks: "DataFrame | None" = None,
    *,
    title: str = "How much two tasks share, layer by layer",
    tasks: Sequence[str] = (),
    **settings: Any,
) -> "Figure":
    """Draw sharing against the layer, with what chance gives: ``table`` is one of ``sharing_table``, at one checkpoint.

    Of several replicates, ``over_networks`` has the means, as ``sharing_tables`` gives them. ``tasks`` are all tasks of
    a run, in the order that gives them their colours.

    >>> from featuresharing import plot
    >>> plot.sharing(shared, width=89).get_size_inches()[0].round(1).item()
    3.5
    """
    from featuresharing.figures.sharing_lines import plot_sharing

    return plot_sharing(table, over_networks, title=title, tasks=tasks, page=_page(settings))


def sharing_over_training(
    table: "DataFrame", *, title: str = "How sharing differs from chance over training", **settings: Any
) -> "Figure":
    """Draw excess sharing against the checkpoint, a line a layer: ``table`` is one of ``sharing_table``.

    >>> from featuresharing import plot
    >>> len(plot.sharing_over_training(shared).axes)
    1
    """
    from featuresharing.figures.sharing_over_training import plot_sharing_over_training

    return plot_sharing_over_training(table, title=title, page=_page(settings))


def training(
    logs: "Mapping[str, DataFrame | Sequence[DataFrame]]",
    accuracy: "DataFrame",
    *,
    chance: Mapping[str, Mapping[str, float]] | None = None,
    tasks: Sequence[str] = (),
    **settings: Any,
) -> "Figure":
    """Draw loss and accuracy against the training step: logs of training by experiment, and a table of accuracy.

    ``chance`` is the accuracy of always naming the most frequent class, by experiment and task.

    >>> from featuresharing import plot
    >>> len(plot.training({"demo": log}, accuracy).axes)
    2
    """
    from featuresharing.figures.training_curves import plot_training

    return plot_training(logs, accuracy, chance=chance, tasks=tasks, page=_page(settings))


def lesions(
    curves: "DataFrame",
    *,
    title: str | None = None,
    tasks: Sequence[str] = (),
    threshold: float = LesionSettings.threshold,
    **settings: Any,
) -> "Figure":
    """Draw accuracy against how many units are removed: ``curves`` is one of ``lesion_table``, of one checkpoint.

    Marks are where the corrected p-value is at most ``threshold``.

    >>> from featuresharing import plot
    >>> len(plot.lesions(curves).axes)
    1
    """
    from featuresharing.figures.lesion_curves import plot_lesions

    return plot_lesions(curves, title=title, tasks=tasks, threshold=threshold, page=_page(settings))


def save(figure: "Figure", path: Path | str) -> None:
    """Write a figure in the format that the name of its file says: .png, .pdf or .svg.

    >>> from featuresharing import plot
    >>> plot.save(plot.units(word, basic, dpi=50), "units.pdf")
    """
    from featuresharing.figures.saving import save_figure

    save_figure(figure, Path(path))


def animate(
    figures: "Iterable[Figure]",
    path: Path | str,
    *,
    milliseconds: int = FigureSettings.milliseconds,
    hold: int = FigureSettings.hold,
) -> None:
    """Write figures of one size to a GIF file that shows each for ``milliseconds``, and the last for ``hold`` more.

    >>> from featuresharing import plot
    >>> plot.animate((plot.units(word * share, basic, dpi=50) for share in (0.5, 1)), "units.gif")
    """
    from featuresharing.figures.animation import animate as write
    from featuresharing.figures.saving import pixels_of

    write(map(pixels_of, figures), Path(path), milliseconds=milliseconds, hold=hold)


def _pairs(contributions: Mapping[str, Sequence[ArrayLike]], names: tuple[str, str]) -> "dict[str, Pair]":
    from featuresharing.figures.unit_map import Pair

    pairs = {}
    for layer, arrays in contributions.items():
        first, *rest = map(np.asarray, arrays)
        pairs[layer] = Pair(names[0], first, names[1], rest[0]) if rest else Pair(names[0], first)
    return pairs


def _style(settings: Mapping[str, Any]) -> FigureSettings:
    _refuse_others(settings, tuple(keys_of(FigureSettings)))
    return FigureSettings(**settings)


def _page(settings: Mapping[str, Any]) -> "Page":
    from featuresharing.figures.style import Page

    _refuse_others(settings, PAGE_KEYS)
    return Page(**settings)


def _refuse_others(settings: Mapping[str, Any], accepted: tuple[str, ...]) -> None:
    for name in settings:
        if name not in accepted:
            raise InputError(f"settings of a figure: found '{name}'; accepted is {listed(accepted)}.")
