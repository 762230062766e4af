"""One look for all figures: matplotlib's own defaults, whatever the settings of a user or of a folder say, and pages.

A :class:`Page` says how wide a figure is, how many dots an inch has and how large its text is. All figures of one page
have the same letters and lines, so that they stand side by side in print.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

from matplotlib import rc_context, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from featuresharing.settings import FigureSettings, check
from featuresharing.settings.analysis_settings import PAGE_KEYS

OTHERS = ("backend", "backend_fallback", "interactive", "toolbar")
"""Settings that are none of a figure's look; of some, matplotlib does not give back what they were."""

STYLE: dict[Any, Any] = {
    **{key: value for key, value in rcParamsDefault.items() if key not in OTHERS},
    "text.parse_math": False,  # names of units and tasks may hold dollar signs
    "pdf.fonttype": 42,  # TrueType, which journals ask for: text stays text, to be searched and edited
    "svg.fonttype": "path",  # letters as shapes: a browser without this font would put wider ones in their place
    "svg.hashsalt": "featuresharing",  # else a figure's bytes differ from run to run
}
"""Settings in which figures are drawn and written."""

SMALLEST = 5.0
"""Points of the smallest text: journals print none that is smaller."""

MILLIMETRES = 25.4
"""Of an inch."""

LINE_HEIGHT = 1.35
"""Distance of lines of text, in multiples of its size."""

GREY = "0.3"
"""Of text that explains; names and numbers are black."""


@dataclass(frozen=True)
class Page:
    """What figures are drawn for: their ``width`` in mm, dots an inch (``dpi``), and points of text (``font_size``).

    Raises InputError for values that the config's block ``figures`` does not accept.

    >>> round(Page(width=89).inches, 2)
    3.5
    """

    width: int = FigureSettings.width
    dpi: int = FigureSettings.dpi
    font_size: float = FigureSettings.font_size

    def __post_init__(self) -> None:
        for name in PAGE_KEYS:
            check(FigureSettings, name, getattr(self, name))

    @classmethod
    def of(cls, settings: FigureSettings) -> "Page":
        """Return the page of a config's block ``figures``."""
        return cls(settings.width, settings.dpi, settings.font_size)

    @property
    def inches(self) -> float:
        """The width in inches."""
        return self.width / MILLIMETRES

    @property
    def small(self) -> float:
        """Points of numbers along axes and of notes."""
        return max(SMALLEST, self.font_size - 1)

    @property
    def large(self) -> float:
        """Points of a figure's title."""
        return self.font_size + 1

    def lines(self, count: float, points: float | None = None) -> float:
        """Return the inches that so many lines of text are high, of ``points`` (None: the font size)."""
        return count * LINE_HEIGHT * (points or self.font_size) / 72

    def figure(self, height: float, **options: Any) -> Figure:
        """Return an empty white figure as wide as the page and ``height`` inches high; options are matplotlib's."""
        return Figure(figsize=(self.inches, height), dpi=self.dpi, facecolor="white", **options)

    def drawing(self) -> AbstractContextManager[None]:
        """Return the context in which a figure of this page is drawn: STYLE, its sizes of text and widths of lines."""
        thin = {"axes.linewidth": 0.6, "grid.linewidth": 0.4, "lines.linewidth": 1.1, "lines.markersize": 3.5}
        ticks = {
            f"{axis}tick.{name}": value
            for axis in "xy"
            for name, value in {
                "labelsize": self.small,
                "major.size": 2.5,
                "major.width": 0.6,
                "minor.size": 1.5,
                "minor.width": 0.4,
                "major.pad": 2,
            }.items()
        }
        text = {
            "font.size": self.font_size,
            "axes.titlesize": self.font_size,
            "axes.labelsize": self.font_size,
            "figure.titlesize": self.large,
            "figure.labelsize": self.font_size,
            "legend.fontsize": self.small,
            "legend.title_fontsize": self.small,
            "axes.labelpad": 2,
            "axes.titlepad": 4,
        }
        return rc_context(STYLE | thin | ticks | text)

    def tidy(self, axes: Axes) -> None:
        """Take the frame's top and right off axes, and keep their numbers small, also those made when it is written."""
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(which="both", labelsize=self.small)


SCREEN = Page()
"""The page of figures that are asked for nothing else."""


class Box(NamedTuple):
    """A part of a figure: its left and lower edges, width and height, in inches."""

    left: float
    bottom: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The right edge."""
        return self.left + self.width

    @property
    def top(self) -> float:
        """The upper edge."""
        return self.bottom + self.height

    def within(self, figure: Figure) -> tuple[float, float, float, float]:
        """Return the box as matplotlib has it, in parts of the figure."""
        width, height = figure.get_size_inches()
        return self.left / width, self.bottom / height, self.width / width, self.height / height
