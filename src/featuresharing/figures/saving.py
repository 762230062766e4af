"""Writing figures: whole files or none, and the same bytes for the same figure."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from featuresharing.files import replacing


def save_figure(figure: Figure, path: Path, *, key: str = "") -> None:
    """Write ``figure`` as PNG to ``path``, at the figure's own size and dots per inch; ``key`` goes into its record.

    Raises InputError where ``path`` cannot be written.
    """
    with replacing(path, key=key) as temporary:
        # Neither a version nor a user's savefig settings (a tight box, say) may change the file.
        FigureCanvasAgg(figure).print_png(temporary, metadata={"Software": None})  # type: ignore[no-untyped-call]
