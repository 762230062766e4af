"""Figures: what their pixels, sizes and files say."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from featuresharing.data.columns import ACCURACY, TRAINING
from featuresharing.data.sharing_columns import SHARING
from featuresharing.data.table_files import frame_of
from featuresharing.errors import InputError
from featuresharing.figures.curves import plot_sharing, plot_training
from featuresharing.figures.saving import save_figure
from featuresharing.figures.unit_map import plot_units
from featuresharing.settings import FigureSettings
from tests.support import all_figures
from tests.support.all_figures import draw_all
from tests.support.sharing_rows import CHANCE


def small_map(**style: Any) -> Figure:
    return plot_units(np.array([1.0, 2]), np.array([2.0, 1]), style=FigureSettings(**style))


def test_sharing_has_one_line_for_each_experiment_and_pair(tmp_path: Path) -> None:
    rows = [
        ("object_text", 1, "5", "conv1", "basic", "word", 0.9, 0.8, 0.85, *CHANCE),
        ("object_text", 1, "5", "conv2", "basic", "word", 0.4, 0.3, 0.5, *CHANCE),
        ("related", 1, "5", "conv2", "subordinate", "basic", 0.8, float("nan"), float("nan"), *CHANCE),
    ]
    figure = plot_sharing(frame_of(SHARING, rows))
    save_figure(figure, tmp_path / "sharing.png")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["conv1", "conv2"]
    assert axes.get_ylim() == (0, 1)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["object_text: basic + word", "related: subordinate + basic"]
    (line,) = (line for line in axes.lines if list(line.get_ydata()) == [0.9, 0.4])  # type: ignore[arg-type]
    assert np.round(np.asarray(line.get_xdata(), float)).tolist() == [0, 1]
    assert axes.texts[0].get_text().endswith("Bars: 95 % bootstrap intervals (none: too few images).")
    nothing = plot_sharing(frame_of(SHARING, []))
    assert [text.get_text() for text in nothing.texts] == ["Nothing is shared: every experiment has one task."]


def test_sharing_says_why_it_has_no_bars() -> None:
    point = ("object_text", 1, "5", "conv1", "basic", "word", 0.9, 0.8, 0.95, *CHANCE)
    bare = (*point[:3], "conv2", *point[4:7], float("nan"), float("nan"), *CHANCE)
    for rows, words in (
        ([point], "Bars: 95 % bootstrap intervals."),
        ([bare], "No bars: too few images for intervals."),
    ):
        (axes,) = plot_sharing(frame_of(SHARING, rows)).axes
        assert axes.texts[0].get_text().endswith(f"on different units. {words}")


def test_training_has_a_column_for_each_experiment(tmp_path: Path) -> None:
    log = frame_of(TRAINING, [(s, t, 3 / (s + 1), s / 1000) for t in ("x", "y") for s in range(0, 1001, 50)])
    accuracies = [(e, 1, str(s), s, t, s / 2000, 9) for e in "ab" for t in ("x", "y") for s in (0, 10, 100, 1000)]
    figure = plot_training({"a": log, "b": log}, frame_of(ACCURACY, accuracies))
    save_figure(figure, tmp_path / "training.png")
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "", ""]
    assert list(figure.axes[3].lines[1].get_xdata()) == [0, 10, 100, 1000]  # type: ignore[arg-type]
    assert "100%" in [label.get_text() for label in figure.axes[2].get_yticklabels()]
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == ["x", "y"]
    with pytest.raises(InputError, match="no points"):
        plot_training({}, frame_of(ACCURACY, []))


HOSTILE = """
text.usetex: True
backend: nonsense
font.family: serif
font.size: 25
lines.linewidth: 9
axes.prop_cycle: cycler('color', ['k'])
axes.facecolor: pink
figure.dpi: 37
figure.autolayout: True
savefig.format: pdf
savefig.dpi: 11
savefig.bbox: tight
savefig.facecolor: green
svg.fonttype: none
svg.hashsalt: other
pdf.fonttype: 42
image.interpolation: bicubic
no.such.key: 1
"""


def drawings(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".png", ".pdf", ".svg")}


@pytest.mark.slow
def test_settings_of_a_user_change_no_figure_and_all_formats_repeat(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(HOSTILE)
    (tmp_path / "plain").mkdir()
    draw_all(tmp_path / "plain")
    plain = drawings(tmp_path / "plain")
    assert len(plain) == 18
    (tmp_path / "hostile").mkdir()
    command = [sys.executable, all_figures.__file__, str(tmp_path / "hostile")]
    settings = {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "SOURCE_DATE_EPOCH": "0"}
    subprocess.run(command, cwd=tmp_path, env=os.environ | settings, check=True, capture_output=True)
    assert drawings(tmp_path / "hostile") == plain
    starts = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}
    for name, content in plain.items():
        assert content.startswith(starts[Path(name).suffix])
    assert all(word not in b"".join(plain.values()) for word in (b"CreationDate", b"Matplotlib", b"<dc:date>"))


def test_commands_draw_where_matplotlib_would_not_load(tmp_path: Path) -> None:
    chance = ",".join(map(str, CHANCE))
    table = f"{','.join(SHARING.names)}\na,1,5,conv1,x,y,0.5,0.4,0.6,{chance}\n"
    (tmp_path / "sharing.csv").write_text(table)
    (tmp_path / "rc").write_bytes(b"font.family: caf\xe9\n")
    settings = ["--sharing", "sharing.csv", "--layers", "conv1", "--checkpoint", "5", "--output", "a.svg"]
    hostile = os.environ | {"MPLBACKEND": "nonsense", "MATPLOTLIBRC": str(tmp_path / "rc")}

    def draw_it() -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "featuresharing", "plot-sharing", *settings]
        return subprocess.run(command, cwd=tmp_path, env=hostile, capture_output=True, text=True, check=False)

    ended = draw_it()
    assert (ended.returncode, ended.stderr) == (0, "")
    (tmp_path / "rc").rename(tmp_path / "matplotlibrc")  # that of the working directory counts first
    ended = draw_it()
    assert ended.returncode == 2
    said = ended.stderr.splitlines()[-1]  # before it, matplotlib says what it is about
    assert re.fullmatch("featuresharing: matplotlib cannot be loaded .*matplotlibrc in UTF-8 and an MPL.*", said)
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")


def test_figures_of_no_format_are_refused(tmp_path: Path) -> None:
    for name in ("a.txt", "a", "a.jpg", "a.png.", ".png"):
        with pytest.raises(
            InputError, match=r"has a name of no format; accepted is a name that ends in \.png, \.pdf or \.svg"
        ):
            save_figure(small_map(), tmp_path / name)
    assert not list(tmp_path.iterdir())
    save_figure(small_map(), tmp_path / "A.PNG")
    assert (tmp_path / "A.PNG").read_bytes().startswith(b"\x89PNG")


def test_a_figure_stays_as_it_is_when_it_is_written(tmp_path: Path) -> None:
    figure = small_map(dpi=120)
    save_figure(figure, tmp_path / "a.png")
    for name in ("a.pdf", "a.svg", "b.png"):
        save_figure(figure, tmp_path / name)
    assert figure.dpi == 120
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
