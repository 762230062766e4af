"""Writing figures: whole files or none, and the same bytes for the same figure."""

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from featuresharing.errors import InputError
from featuresharing.figure_formats import FIGURES
from featuresharing.figures.style import STYLE
from featuresharing.files.atomic import replacing
from featuresharing.settings.sentences import listed


def save_figure(figure: Figure, path: Path, *, key: str = "") -> None:
    """Write ``figure`` to ``path`` in the format that its name says, at the figure's own size and dots per inch.

    ``key`` goes into its record.

    Raises InputError for another name than FIGURES, and where ``path`` cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in FIGURES:
        accepted = f"accepted is a name that ends in {listed(tuple(FIGURES))}"
        raise InputError(f"figure {path} has a name of no format; {accepted}.")
    dots = figure.dpi
    # neither a user's settings (a tight box, say) nor a version or a date may change the file
    with replacing(path, key=key) as temporary, rc_context(STYLE):
        try:
            if kind == ".png":
                FigureCanvasAgg(figure).print_png(temporary, metadata={"Software": None})  # type: ignore[no-untyped-call]
            elif kind == ".pdf":
                from matplotlib.backends.backend_pdf import FigureCanvasPdf  # loads long, and most figures need none

                nothing = {"Creator": None, "Producer": None, "CreationDate": None}
                FigureCanvasPdf(figure).print_pdf(temporary, metadata=nothing)  # type: ignore[no-untyped-call]
            else:
                from matplotlib.backends.backend_svg import FigureCanvasSVG

                FigureCanvasSVG(figure).print_svg(temporary, metadata={"Creator": None, "Date": None})  # type: ignore[no-untyped-call]
        finally:
            figure.dpi = dots  # vector formats count in points


def pixels_of(figure: Figure) -> NDArray[np.uint8]:
    """Return a figure's pixels [height, width, 3] as a PNG file has them."""
    with rc_context(STYLE):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
