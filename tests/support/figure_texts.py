"""Whether the texts of a figure can be read: within it, and beside each other."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SLACK = 0.5
"""Pixels by which boxes of texts may overlap."""


def boxes_of(figure: Figure) -> dict[str, Bbox]:
    """Return the boxes of all texts that are drawn, in pixels, by a number and what they say."""
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    shown: list[Text] = [text for text in figure.texts if text.get_text()]
    for legend in figure.legends:
        shown += legend.get_texts()
    for axes in figure.axes:
        if axes.get_visible():
            titles = [child for child in axes.get_children() if isinstance(child, Text)]  # some of them empty
            shown += [*titles, axes.xaxis.label, axes.yaxis.label]
            low, high = sorted(axes.get_xlim())
            labels = [tick.label1 for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
            low, high = sorted(axes.get_ylim())
            labels += [tick.label1 for tick in axes.yaxis.get_major_ticks() if low <= tick.get_loc() <= high]
            shown += labels
    drawn = [text for text in shown if text.get_text().strip() and text.get_visible()]
    return {f"{place} {text.get_text()!r}": text.get_window_extent(renderer) for place, text in enumerate(drawn)}


def unreadable(figure: Figure) -> list[str]:
    """Return sentences on texts that are cut or overlap."""
    boxes = boxes_of(figure)
    width, height = figure.bbox.width, figure.bbox.height
    found = [
        f"{name} is cut"
        for name, box in boxes.items()
        if box.x0 < -SLACK or box.y0 < -SLACK or box.x1 > width + SLACK or box.y1 > height + SLACK
    ]
    for (name, box), (other, another) in combinations(boxes.items(), 2):
        across = min(box.x1, another.x1) - max(box.x0, another.x0)
        along = min(box.y1, another.y1) - max(box.y0, another.y0)
        if across > SLACK and along > SLACK:
            found.append(f"{name} overlaps {other}")
    return found
