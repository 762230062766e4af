"""Training steps along x: linear up to the first checkpoint, logarithmic from there on."""

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from featuresharing.figures.lettering import width_of
from featuresharing.figures.style import Page


def steps_of(checkpoints: Sequence[str]) -> list[int] | None:
    """Return the training steps that checkpoints are named after, such as 0050; None if some have other names.

    >>> steps_of(["0000", "0050"]), steps_of(["pretrained"])
    ([0, 50], None)
    """
    whole = all(name.isascii() and name.isdecimal() and len(name) < 16 for name in checkpoints)
    return [int(name) for name in checkpoints] if whole else None


def step_label(page: Page, width: float) -> str:
    """Return the label of steps along axes that are ``width`` inches wide."""
    long = "Training step (logarithmic)"
    return long if width_of(long, page.font_size) <= width else "Training step"


def scale_steps(axes: Axes, steps: Iterable[int], page: Page, width: float) -> None:
    """Scale the x axis of axes that are ``width`` inches wide for ``steps``, with as many ticks as fit."""
    given = sorted({0, *steps})
    last, linear = max(1, given[-1]), next((step for step in given if step > 0), 1)
    axes.set_xscale("symlog", linthresh=linear, linscale=0.3)
    axes.set_xlim(0, last * 1.1)
    powers = [10**power for power in range(len(str(last)))]
    wanted = [0, *powers[::-1], *(digit * power for digit in (3, 2, 5) for power in powers[::-1])]
    place = axes.get_xaxis_transform()
    left, right = (place.transform((x, 0))[0] for x in axes.get_xlim())
    taken: list[tuple[float, float]] = []
    ticks = []
    for tick in wanted:
        if tick and not linear <= tick <= last:
            continue
        middle = (place.transform((tick, 0))[0] - left) / (right - left) * width
        half = width_of(f"{tick:g}", page.small) / 2 + 0.04
        if all(middle + half <= start or middle - half >= end for start, end in taken):
            taken.append((middle - half, middle + half))
            ticks.append(tick)
    axes.xaxis.set_major_locator(FixedLocator(sorted(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:g}"))
