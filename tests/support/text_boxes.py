"""Where the letters of a figure are: whether any are cut, too small, or on others."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from featuresharing.figures.style import SMALLEST

TOUCHING = 1.0
"""Pixels by which two texts may overlap: boxes are a little larger than letters."""


def check_texts(figure: Figure) -> int:
    """Raise AssertionError if text of a figure is cut, under five points, or overlaps; return how many texts it has."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    whole = figure.bbox
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip() and _drawn(text)]
    boxes = [(text, text.get_window_extent(canvas.get_renderer())) for text in shown]
    for text, box in boxes:
        said = text.get_text()
        assert text.get_fontsize() >= SMALLEST - 1e-9, f"{said!r} has {text.get_fontsize()} points"
        inside = min(box.x0 - whole.x0, whole.x1 - box.x1, box.y0 - whole.y0, whole.y1 - box.y1)
        assert inside >= -TOUCHING, f"{said!r} is cut by {-inside:.1f} pixels"
    for (one, first), (other, second) in combinations(boxes, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        down = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert min(across, down) <= TOUCHING, f"{one.get_text()!r} and {other.get_text()!r} overlap"
    return len(boxes)


def _drawn(text: Text) -> bool:
    """Return whether a text is within the limits of its axes, if it is a number along them."""
    for axis in () if text.axes is None else (text.axes.xaxis, text.axes.yaxis):
        if not _of(text, axis):
            continue
        low, high = sorted(axis.get_view_interval())
        place = text.get_position()[0 if axis.axis_name == "x" else 1]
        return bool(low - 1e-9 <= place <= high + 1e-9)
    return True


def _of(text: Text, axis: "object") -> bool:
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]  # type: ignore[attr-defined]
    return any(text in (tick.label1, tick.label2) for tick in ticks)
