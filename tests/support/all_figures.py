"""Draws one figure of every kind in every format: python tests/support/all_figures.py FOLDER."""

import sys
from pathlib import Path

import numpy as np

from featuresharing.figures.curves import AccuracyPoint, SharingPoint, TrainingPoint, plot_sharing, plot_training
from featuresharing.figures.feature_sheet import plot_features
from featuresharing.figures.lesion_curves import LesionPoint, plot_lesions
from featuresharing.figures.saving import save_figure
from featuresharing.figures.unit_map import UnitMapStyle, plot_units


def draw_all(folder: Path, kinds: tuple[str, ...] = ("pdf", "svg", "png")) -> None:
    """Draw the figures into a folder."""
    values = np.linspace(0, 1, 30)
    names = ("wo$rd$", "basic_")
    styles = {"units": UnitMapStyle(dpi=120), "sunflower": UnitMapStyle(layout="sunflower")}
    maps = {
        name: plot_units(values, values[::-1], first_name=names[0], second_name=names[1], title="conv5", style=style)
        for name, style in styles.items()
    }
    training = [TrainingPoint("a", step, "x", 1 / (step + 1), 0.5) for step in range(0, 2000, 50)]
    figures = maps | {
        "sharing": plot_sharing([SharingPoint("a", "conv1", "x", "y", 0.5, 0.4, 0.6)]),
        "training": plot_training(training, [AccuracyPoint("a", 1000, "x", 0.5)]),
        "lesions": plot_lesions([LesionPoint("a", "b", "c", 0.5, 0.5, 0.4, 0.1, 1e-9)], title="t"),
        "features": plot_features({0: np.zeros((8, 8, 3), np.uint8)}, title="t"),
    }
    for name, figure in figures.items():
        for kind in kinds:
            save_figure(figure, folder / f"{name}.{kind}")


if __name__ == "__main__":
    draw_all(Path(sys.argv[1]))
