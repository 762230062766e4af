"""Figures of arrays and frames, as matplotlib figures: those that the workflow draws, for users of Python.

Nothing of matplotlib is loaded before a figure is drawn. Every function takes what the config's block ``figures`` says
as keywords: the page, that is ``width`` in mm, ``dpi`` and ``font_size``; and those that draw units their ``palette``,
``colour_scale``, ``limits`` and so on. Those of contributions hatch, or fill with grey, what is near zero: where the
average unit contributes less than ``near_zero`` to a task, by default 0.05 as the workflow does for bits (0.005 suits
differences of probability). What is wrong is told by InputError, and so is a frame that holds more than a figure can
show, such as several checkpoints. :func:`save` writes a figure as a PNG, PDF or SVG file, the same bytes every time;
matplotlib's own ``savefig`` works too.

In examples, ``word`` and ``basic`` are what 48 units contribute to two tasks, and frames are as their functions say.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from featuresharing.analysis.near_zero import BITS
from featuresharing.arguments import as_path, kind_of
from featuresharing.errors import InputError
from featuresharing.figure_formats import ANIMATIONS
from featuresharing.settings import FigureSettings, LesionSettings
from featuresharing.settings.analysis_settings import PAGE_KEYS
from featuresharing.settings.fields import keys_of
from featuresharing.settings.sentences import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from featuresharing.figures.style import Page

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
    near_zero: float = BITS,
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
    from featuresharing.figures.given_arrays import maps_given
    from featuresharing.figures.unit_map import draw_map

    style, arrays = _style(settings), [first] if second is None else [first, second]
    content = maps_given({title: arrays}, names, None if order is None else {title: order}, near_zero, style)[title]
    return draw_map(replace(content, note=note), style)


def layers(
    contributions: Mapping[str, tuple[ArrayLike, ArrayLike] | tuple[ArrayLike]],
    *,
    names: tuple[str, str] = NAMES,
    title: str = "",
    note: str = "",
    orders: Mapping[str, ArrayLike] | None = None,
    near_zero: float = BITS,
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
    from featuresharing.figures.given_arrays import maps_given

    style = _style(settings)
    maps = maps_given(contributions, names, orders, near_zero, style)
    low = [layer for layer, content in maps.items() if content.warning]
    warning = f"Hatched: the average unit contributes less than {near_zero:g} to a task, which says little."
    return draw_layers(LayersMap(title, note, maps, warning if low else ""), style)


def tasks(
    contributions: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    names: tuple[str, str] = NAMES,
    title: str = "What units contribute to two tasks",
    unit: str = "bits",
    near_zero: float = BITS,
    **settings: Any,
) -> "Figure":
    """Draw what units contribute to one task against the other, a panel a layer with equal logarithmic axes.

    ``contributions`` are two arrays [units] by the name of each layer, counted in ``unit``.

    >>> from featuresharing import plot
    >>> figure = plot.tasks({"conv4": (word, basic), "conv5": (basic, word)}, names=("word", "basic"), width=89)
    >>> len(figure.axes)
    2
    """
    from featuresharing.figures.given_arrays import pairs_given
    from featuresharing.figures.scatter import plot_tasks

    drawn = {layer: [pair] for layer, pair in pairs_given(contributions, names, near_zero).items()}
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

    Of a table of several, ``table[table.checkpoint == "4500"]`` chooses one. Of several replicates, ``over_networks``
    has the means, as ``sharing_tables`` gives them. ``tasks`` are all tasks of a run, in the order that gives them
    their colours.

    >>> from featuresharing import plot
    >>> plot.sharing(shared, width=89).get_size_inches()[0].round(1).item()
    3.5
    """
    from featuresharing.data.sharing_columns import SHARING, SHARING_OVER_NETWORKS
    from featuresharing.figures.given_frames import check_frame, task_names
    from featuresharing.figures.sharing_lines import LINE, plot_sharing

    key = [*LINE, "checkpoint", "layer"]
    check_frame("sharing", table, SHARING, [*key, "replicate"], one=["checkpoint"])
    if over_networks is not None:
        means, one = "sharing over networks", ["checkpoint"]
        check_frame(means, over_networks, SHARING_OVER_NETWORKS, key, one=one, name="over_networks")
        ours, theirs = (frame["checkpoint"].unique() for frame in (table, over_networks))
        if len(ours) and list(ours) != list(theirs):
            found = f"checkpoint {theirs[0]}" if len(theirs) else "no row"
            raise InputError(f"{means}: found {found}; accepted is checkpoint {ours[0]}, as in the table.")
    return plot_sharing(table, over_networks, title=title, tasks=task_names(tasks), page=_page(settings))


def sharing_over_training(
    table: "DataFrame", *, title: str = "How sharing differs from chance over training", **settings: Any
) -> "Figure":
    """Draw excess sharing against the checkpoint, a line a layer: ``table`` is one of ``sharing_table``.

    It is of one replicate, ``table[table.replicate == 1]``, or has the means over networks of ``sharing_tables``.

    >>> from featuresharing import plot
    >>> len(plot.sharing_over_training(shared).axes)
    1
    """
    from featuresharing.data.sharing_columns import SHARING, SHARING_OVER_NETWORKS
    from featuresharing.figures.given_frames import check_frame
    from featuresharing.figures.sharing_lines import LINE
    from featuresharing.figures.sharing_over_training import plot_sharing_over_training

    key = [*LINE, "checkpoint", "layer"]
    if "networks" in getattr(table, "columns", ()):
        check_frame("sharing over networks", table, SHARING_OVER_NETWORKS, key)
    else:
        check_frame("sharing", table, SHARING, [*key, "replicate"], one=["replicate"])
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
    from featuresharing.data.columns import ACCURACY, TRAINING
    from featuresharing.figures.given_frames import check_frame, task_names
    from featuresharing.figures.training_curves import plot_training

    check_frame("accuracy", accuracy, ACCURACY, ["experiment", "replicate", "checkpoint", "task"])
    if not isinstance(logs, Mapping):
        raise InputError(f"logs: found {kind_of(logs)}; accepted are logs of training by experiment.")
    for name, log in logs.items():
        for each in log if isinstance(log, Sequence) and not isinstance(log, str) else [log]:
            check_frame(f"log of {name}", each, TRAINING, ["step", "task"])
    return plot_training(logs, accuracy, chance=chance, tasks=task_names(tasks), page=_page(settings))


def lesions(
    curves: "DataFrame",
    *,
    title: str | None = None,
    tasks: Sequence[str] = (),
    threshold: float = LesionSettings.threshold,
    **settings: Any,
) -> "Figure":
    """Draw accuracy against how many units are removed: ``curves`` is one of ``lesion_table``.

    It is of one experiment and checkpoint: of several, ``curves[curves.experiment == "object_text"]`` is one.
    Marks are where the corrected p-value is at most ``threshold``.

    >>> from featuresharing import plot
    >>> len(plot.lesions(curves).axes)
    1
    """
    from featuresharing.data.columns import LESIONS
    from featuresharing.figures.given_frames import check_frame, task_names
    from featuresharing.figures.lesion_curves import plot_lesions

    key = ["experiment", "replicate", "checkpoint", "layer", "order", "task", "removed"]
    check_frame("lesions", curves, LESIONS, key, one=["experiment", "checkpoint"], name="curves")
    return plot_lesions(curves, title=title, tasks=task_names(tasks), threshold=threshold, page=_page(settings))


def save(figure: "Figure", path: Path | str) -> None:
    """Write a figure in the format that the name of its file says: .png, .pdf or .svg.

    >>> from featuresharing import plot
    >>> plot.save(plot.units(word, basic, dpi=50), "units.pdf")
    """
    from featuresharing.figures.saving import save_figure

    save_figure(_figure(figure), as_path("path", path))


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

    output = as_path("path", path)
    if output.suffix.lower() not in ANIMATIONS:
        raise InputError(f"animation {output}: found a name of another format; accepted is {listed(ANIMATIONS)}.")
    write((pixels_of(_figure(figure)) for figure in figures), output, milliseconds=milliseconds, hold=hold)


def _figure(value: Any) -> "Figure":
    from matplotlib.figure import Figure

    if not isinstance(value, Figure):
        raise InputError(f"figure: found {kind_of(value)}; accepted is a figure of matplotlib.")
    return value


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
