"""The bar of an animation: how far training is."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from featuresharing.figures.lettering import width_of
from featuresharing.figures.style import GREY, Box, Page


def draw_bar(figure: Figure, box: Box, step: int, last: int, page: Page) -> None:
    """Draw into a box how many of the ``last`` training steps were done, as a bar and in words."""
    words = f"step {step:,} of {last:,}"
    room = width_of(f"step {last:,} of {last:,}", page.small) + 0.08
    track = Box(box.left, box.bottom + 0.2 * box.height, box.width - room, 0.6 * box.height)
    for wide, colour in ((1.0, "0.88"), (step / last if last else 1.0, "0.35")):
        part = Rectangle(
            (track.left, track.bottom),
            wide * track.width,
            track.height,
            transform=figure.dpi_scale_trans,
            facecolor=colour,
            edgecolor="none",
            antialiased=False,
        )
        figure.add_artist(part)
    figure.text(
        box.right,
        box.bottom + box.height / 2,
        words,
        transform=figure.dpi_scale_trans,
        ha="right",
        va="center",
        fontsize=page.small,
        color=GREY,
    )
