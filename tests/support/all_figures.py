"""Draws one figure of every kind in every format: python tests/support/all_figures.py FOLDER."""

import sys
from pathlib import Path

import numpy as np

from featuresharing.data.columns import ACCURACY, LESIONS, TRAINING
from featuresharing.data.sharing_columns import SHARING
from featuresharing.data.table_files import frame_of
from featuresharing.figures.all_layers import draw_layers, layers_of
from featuresharing.figures.feature_sheet import plot_features
from featuresharing.figures.layer_map import LayerFrame, map_of, scatter_of
from featuresharing.figures.lesion_curves import plot_lesions
from featuresharing.figures.saving import save_figure
from featuresharing.figures.sharing_lines import plot_sharing
from featuresharing.figures.training_curves import plot_training
from featuresharing.figures.unit_map import draw_map, plot_units
from featuresharing.settings import EvidenceSettings, FigureSettings
from tests.support.unit_layers import layer_that_contributes


def draw_all(folder: Path, kinds: tuple[str, ...] = ("pdf", "svg", "png")) -> None:
    """Draw the figures into a folder."""
    values = np.linspace(0, 1, 30)
    names = ("wo$rd$", "basic_")
    styles = {"units": FigureSettings(dpi=120), "sunflower": FigureSettings(layout="sunflower")}
    maps = {
        name: plot_units(values, values[::-1], first_name=names[0], second_name=names[1], title="conv5", style=style)
        for name, style in styles.items()
    }
    log = frame_of(TRAINING, [(step, "x", 1 / (step + 1), 0.5) for step in range(0, 2000, 50)])
    chance = (0.5, 0.4, 0.6, 0.05, 0.2, 0.1, 0.3, "", 0.001)
    sharing = frame_of(SHARING, [("a", 1, "1000", "conv1", "x", "y", 0.5, 0.4, 0.6, *chance)])
    curves = frame_of(LESIONS, [("e", 1, "1000", "a", "b", "c", 2, 0.5, 0.5, 0.4, 0.3, 0.45, 0.25, 0.1, 0.05)])
    given = {"a": values / 2, "b": values[::-1] / 2, "c": values**2 / 2}
    frame = LayerFrame.of(layer_that_contributes(given), EvidenceSettings(method="probdiff"))
    figures = maps | {
        "three": draw_map(map_of(frame, frame, FigureSettings()), FigureSettings()),
        "layers": draw_layers(layers_of([frame], [frame], FigureSettings(), last=20), FigureSettings()),
        "tasks": scatter_of([frame]),
        "sharing": plot_sharing(sharing),
        "training": plot_training({"a": log}, frame_of(ACCURACY, [("a", 1, "1000", 1000, "x", 0.5, 9)])),
        "lesions": plot_lesions(curves, title="t"),
        "features": plot_features({0: np.zeros((8, 8, 3), np.uint8)}, title="t"),
    }
    for name, figure in figures.items():
        for kind in kinds:
            save_figure(figure, folder / f"{name}.{kind}")


if __name__ == "__main__":
    draw_all(Path(sys.argv[1]))
