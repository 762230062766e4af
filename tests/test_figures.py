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
from numpy.typing import NDArray
from PIL import Image

from featuresharing.data.columns import ACCURACY, TRAINING
from featuresharing.data.sharing_columns import SHARING
from featuresharing.data.table_files import frame_of
from featuresharing.errors import InputError
from featuresharing.figures.animation import animate
from featuresharing.figures.curves import plot_sharing, plot_training
from featuresharing.figures.saving import save_figure
from featuresharing.figures.unit_map import LINE, plot_units
from featuresharing.settings import FigureSettings
from tests.support import all_figures
from tests.support.all_figures import draw_all
from tests.support.sharing_rows import CHANCE

YELLOW, BLUE, WHITE, BLACK, GREY = (255, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128)


def draw(first: Any, second: Any, **style: Any) -> Figure:
    return plot_units(
        np.array(first, float),
        np.array(second, float),
        first_name="word",
        second_name="basic",
        title="conv5 after 400 steps",
        note="sharing 0.61",
        style=FigureSettings(**{"dpi": 100} | style),
    )


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def pixels(figure: Figure, folder: Path) -> NDArray[np.uint8]:
    save_figure(figure, folder / "figure.png")
    return read(folder / "figure.png")


def cells(figure: Figure, folder: Path) -> list[list[tuple[int, ...]]]:
    """Read the colours of the cells of a rectangle back, row by row; white where there is no cell."""
    area = pixels(figure, folder)[80:545, 45:485]
    lines = (area == LINE).all(axis=2)
    top, left = lines.any(axis=1).argmax(), lines.any(axis=0).argmax()
    xs, ys = np.flatnonzero(lines[top + 2]), np.flatnonzero(lines[:, left + 2])
    assert len(set(np.diff(xs)) | set(np.diff(ys))) == 1, "cells are squares of one size"
    middle = np.diff(xs)[0] // 2
    return [[tuple(map(int, area[y + middle, x + middle])) for x in xs[:-1]] for y in ys[:-1]]


def test_colours_say_which_task_relies_on_a_unit(tmp_path: Path) -> None:
    # 8 is more than 16 times either mean, and 1/4 about one mean.
    first, second = np.zeros(64), np.zeros(64)
    first[[0, 2]], second[[1, 2]] = 8, 8
    first[3], second[3] = 0.25, 0.25
    grid = cells(draw(first, second, sort=False, columns=8), tmp_path)
    assert grid[0][:3] == [YELLOW, BLUE, WHITE]
    assert all(abs(channel - 128) <= 2 for channel in grid[0][3])
    assert {colour for row in grid[1:] for colour in row} == {BLACK}


def test_average_units_are_halfway_on_the_log_scale_and_as_labelled_on_the_linear_one(tmp_path: Path) -> None:
    assert cells(draw([3, 3], [0.1, 0.1]), tmp_path) == [[GREY], [GREY]]
    linear = cells(draw([1, 3], [2, 2], colour_scale="linear", limits=(0, 2)), tmp_path)
    assert linear == [[(64, 64, 128)], [(191, 191, 128)]]


def test_a_task_without_contributions_is_dark(tmp_path: Path) -> None:
    assert cells(draw([0, 0], [0, 0]), tmp_path) == [[BLACK], [BLACK]]
    assert cells(draw([0, 0], [5, 5]), tmp_path) == [[(0, 0, 128)], [(0, 0, 128)]]


def test_sorted_by_the_first_task_then_the_second(tmp_path: Path) -> None:
    grid = cells(draw([4, 1, 1, 2], [1, 4, 2, 1], columns=2), tmp_path)
    (a, b), (c, d) = grid
    assert a[0] == b[0] < c[0] < d[0]
    assert a[2] < b[2]
    unsorted = cells(draw([4, 1, 1, 2], [1, 4, 2, 1], columns=2, sort=False), tmp_path)
    assert unsorted == [[d, b], [a, c]]


@pytest.mark.parametrize(
    ("units", "columns", "rows"), [(1, 1, 1), (2, 1, 2), (7, 3, 3), (32, 5, 7), (96, 8, 12), (97, 9, 11), (256, 16, 16)]
)
def test_one_cell_a_unit_in_a_rectangle(units: int, columns: int, rows: int, tmp_path: Path) -> None:
    grid = cells(draw(np.ones(units), np.zeros(units)), tmp_path)
    assert (len(grid[0]), len(grid)) == (columns, rows)
    flat = [colour for row in grid for colour in row]
    assert flat == [(128, 128, 0)] * units + [WHITE] * (columns * rows - units)


def test_lines_vanish_for_very_many_units(tmp_path: Path) -> None:
    area = pixels(draw(np.ones(4096), np.zeros(4096)), tmp_path)[80:545, 45:485]
    assert int((area == (128, 128, 0)).all(axis=2).sum()) == 4096 * 6 * 6


@pytest.mark.parametrize("sort", [True, False])
def test_sunflower_has_the_strongest_unit_in_the_centre(sort: bool, tmp_path: Path) -> None:
    first = np.zeros(50)
    first[20 if sort else 0] = 1
    image = pixels(draw(first, np.zeros(50), layout="sunflower", sort=sort), tmp_path)
    ys, xs = np.nonzero((image[80:545, 45:485] == YELLOW).all(axis=2))
    # The middle of the map, 440 x 460 pixels, and a dot's radius to the right of it.
    assert 220 < xs.mean() < 255
    assert 215 < ys.mean() < 245


def test_all_figures_of_a_style_are_equally_large_and_repeat_byte_for_byte(tmp_path: Path) -> None:
    for name, units in (("a", 7), ("b", 4096), ("c", 7)):
        random = np.random.default_rng(units)
        save_figure(draw(random.lognormal(size=units), random.lognormal(size=units)), tmp_path / f"{name}.png")
    assert {read(path).shape for path in tmp_path.glob("[!.]*")} == {(560, 720, 3)}
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    assert len(list(tmp_path.glob("[!.]*"))) == 3
    assert not list(tmp_path.glob(".*.part")), "no temporary file stays"


@pytest.mark.parametrize(
    ("style", "found"),
    [
        ({"layout": "hexagon"}, "layout: found .hexagon.; accepted is rectangle or sunflower"),
        ({"colour_scale": "sqrt"}, "colour_scale.*'sqrt'"),
        ({"limits": (0, 4)}, "limits.*0, 4"),
        ({"limits": (4, 0.5)}, "limits"),
        ({"limits": 3}, "limits"),
        ({"limits": (0.5, float("nan"))}, "limits"),
        ({"sort": "yes"}, "sort"),
        ({"columns": 0}, "columns"),
        ({"dpi": True}, "dpi"),
    ],
)
def test_a_style_says_what_is_wrong_with_it(style: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError, match=found):
        FigureSettings(**style)


def test_contributions_say_what_is_wrong_with_them() -> None:
    for first, second, found in (
        ([1, 2], [1], "shapes"),
        ([], [], "shapes"),
        ([1, 2], [1, float("nan")], "basic of 1 units"),
        ([-1, 2], [1, 1], "word of 1 units"),
    ):
        with pytest.raises(InputError, match=found):
            draw(first, second)
    with pytest.raises(InputError, match="columns of a unit map is 1,"):
        draw(np.ones(4096), np.ones(4096), columns=1)


def frames(folder: Path, colours: list[tuple[int, int, int]], size: tuple[int, int] = (40, 30)) -> list[Path]:
    paths = [folder / f"{index}.png" for index in range(len(colours))]
    for path, colour in zip(paths, colours, strict=True):
        image = Image.new("RGB", size, WHITE)
        image.paste(colour, (0, 0, 20, 20))
        image.save(path)
    return paths


@pytest.mark.parametrize("colours", [[BLUE, YELLOW, YELLOW, YELLOW, YELLOW, BLACK, BLACK], [BLUE] * 3, [YELLOW]])
def test_animation_shows_every_frame_equally_long_and_loops(
    colours: list[tuple[int, int, int]], tmp_path: Path
) -> None:
    animate(frames(tmp_path, colours), tmp_path / "out.gif", milliseconds=330)
    with Image.open(tmp_path / "out.gif") as gif:
        assert gif.n_frames == len(colours)  # type: ignore[attr-defined]
        assert gif.info["loop"] == 0
        for index, colour in enumerate(colours):
            gif.seek(index)
            shown = gif.convert("RGB")
            assert gif.info["duration"] == 330
            assert [shown.getpixel(place) for place in ((0, 0), (19, 19), (39, 29))] == [colour, colour, WHITE]


def test_animation_of_a_map_keeps_its_colours(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path in paths:
        save_figure(draw(random.lognormal(size=96), random.lognormal(size=96)), path)
    animate(paths, tmp_path / "out.gif")
    with Image.open(tmp_path / "out.gif") as gif:
        for index, path in enumerate(paths):
            gif.seek(index)
            error = np.asarray(gif.convert("RGB"), int) - read(path)
            assert np.abs(error[80:545, 45:485]).max() <= 12


def test_animation_says_what_is_wrong_with_its_frames(tmp_path: Path) -> None:
    good, output = frames(tmp_path, [BLUE, BLACK]), tmp_path / "out.gif"
    (tmp_path / "broken.png").write_bytes(good[0].read_bytes()[:60])
    (tmp_path / "other").mkdir()
    for paths, found in (
        ([], "no frames"),
        ([*good, tmp_path / "broken.png"], "broken.png cannot be decoded"),
        ([*good, tmp_path / "missing.png"], "missing.png does not exist"),
        ([*good, *frames(tmp_path / "other", [BLUE], (41, 30))], "other.*41, 30.*40, 30"),
    ):
        with pytest.raises(InputError, match=found):
            animate(paths, output)
    with pytest.raises(InputError, match=r"milliseconds: found 335; accepted is a multiple of 10, from 20 to 60000\."):
        animate(good, output, milliseconds=335)
    assert not output.exists()


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
            save_figure(draw([1], [1]), tmp_path / name)
    assert not list(tmp_path.iterdir())
    save_figure(draw([1], [1]), tmp_path / "A.PNG")
    assert (tmp_path / "A.PNG").read_bytes().startswith(b"\x89PNG")


def test_a_figure_stays_as_it_is_when_it_is_written(tmp_path: Path) -> None:
    figure = draw([1, 2], [2, 1], dpi=150)
    save_figure(figure, tmp_path / "a.png")
    for name in ("a.pdf", "a.svg", "b.png"):
        save_figure(figure, tmp_path / name)
    assert figure.dpi == 150
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
