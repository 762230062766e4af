"""Figures of units: maps, palettes, animations, all layers side by side, and two tasks against each other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from featuresharing.errors import InputError
from featuresharing.figures.animation import animate
from featuresharing.figures.arrangement import Words, arrange
from featuresharing.figures.map_key import explanation
from featuresharing.figures.saving import pixels_of, save_figure
from featuresharing.figures.style import Page
from featuresharing.figures.unit_cells import LINE
from featuresharing.figures.unit_map import plot_units
from featuresharing.settings import FigureSettings

YELLOW, BLUE, WHITE, BLACK, GREY = (255, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128)


def styled(**style: Any) -> FigureSettings:
    given: dict[str, Any] = {"dpi": 100, "palette": "yellow-blue"}
    return FigureSettings(**given | style)


def draw(first: Any, second: Any, **style: Any) -> Figure:
    return plot_units(
        np.array(first, float),
        np.array(second, float),
        first_name="word",
        second_name="basic",
        title="conv5 after 400 steps",
        note="sharing 0.61",
        style=styled(**style),
    )


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def map_area(image: NDArray[np.uint8], *, bar: bool = False, layout: str = "rectangle") -> NDArray[np.uint8]:
    """Cut the map out of a figure of the widest page at 100 dots an inch."""
    page = Page(dpi=100)
    box = arrange(page, 1, [Words(explanation(layout, ("word", "basic"), "word"))], bar=bar).maps[0]
    left, right, upper, lower = (round(100 * side) for side in (box.left, box.right, box.top, box.bottom))
    return image[len(image) - upper : len(image) - lower, left:right]


def cells(figure: Figure) -> list[list[tuple[int, ...]]]:
    """Read the colours of the cells of a rectangle back, row by row; white where there is no cell."""
    area = map_area(pixels_of(figure))
    lines = (area == LINE).all(axis=2)
    top, left = lines.any(axis=1).argmax(), lines.any(axis=0).argmax()
    xs, ys = np.flatnonzero(lines[top + 2]), np.flatnonzero(lines[:, left + 2])
    assert len(set(np.diff(xs)) | set(np.diff(ys))) == 1, "cells are squares of one size"
    side = int(np.diff(xs)[0])
    shown = []
    for y in ys[:-1]:
        row = [area[y + 1 : y + side, x + 1 : x + side].reshape(-1, 3) for x in xs[:-1]]
        assert all((cell == cell[0]).all() for cell in row), "cells are flat"
        shown.append([tuple(map(int, cell[0])) for cell in row])
    return shown


def test_colours_say_which_task_relies_on_a_unit(tmp_path: Path) -> None:
    # 8 is more than 16 times either mean, and 1/4 about one mean.
    first, second = np.zeros(64), np.zeros(64)
    first[[0, 2]], second[[1, 2]] = 8, 8
    first[3], second[3] = 0.25, 0.25
    grid = cells(draw(first, second, sort="none", columns=8))
    assert grid[0][:3] == [YELLOW, BLUE, WHITE]
    assert all(abs(channel - 128) <= 2 for channel in grid[0][3])
    assert {colour for row in grid[1:] for colour in row} == {BLACK}


def test_average_units_are_halfway_on_the_log_scale_and_as_labelled_on_the_linear_one(tmp_path: Path) -> None:
    assert cells(draw([3, 3], [0.1, 0.1])) == [[GREY], [GREY]]
    linear = cells(draw([1, 3], [2, 2], colour_scale="linear", limits=(0, 2)))
    assert linear == [[(64, 64, 128)], [(191, 191, 128)]]


def test_a_task_without_contributions_is_dark(tmp_path: Path) -> None:
    assert cells(draw([0, 0], [0, 0])) == [[BLACK], [BLACK]]
    assert cells(draw([0, 0], [5, 5])) == [[(0, 0, 128)], [(0, 0, 128)]]


def test_sorted_by_the_first_task_then_the_second(tmp_path: Path) -> None:
    grid = cells(draw([4, 1, 1, 2], [1, 4, 2, 1], columns=2))
    (a, b), (c, d) = grid
    assert a[0] == b[0] < c[0] < d[0]
    assert a[2] < b[2]
    unsorted = cells(draw([4, 1, 1, 2], [1, 4, 2, 1], columns=2, sort="none"))
    assert unsorted == [[d, b], [a, c]]


@pytest.mark.parametrize(
    ("units", "columns", "rows"), [(1, 1, 1), (2, 1, 2), (7, 3, 3), (32, 5, 7), (96, 8, 12), (97, 9, 11), (256, 16, 16)]
)
def test_one_cell_a_unit_in_a_rectangle(units: int, columns: int, rows: int, tmp_path: Path) -> None:
    grid = cells(draw(np.ones(units), np.zeros(units)))
    assert (len(grid[0]), len(grid)) == (columns, rows)
    flat = [colour for row in grid for colour in row]
    assert flat == [(128, 128, 0)] * units + [WHITE] * (columns * rows - units)


def test_lines_vanish_for_very_many_units(tmp_path: Path) -> None:
    area = map_area(pixels_of(draw(np.ones(4096), np.zeros(4096))))
    assert int((area == (128, 128, 0)).all(axis=2).sum()) == 4096 * 6 * 6


@pytest.mark.parametrize("sort", ["last", "none"])
def test_sunflower_has_the_strongest_unit_in_the_centre(sort: str) -> None:
    first = np.zeros(50)
    first[20 if sort == "last" else 0] = 1
    area = map_area(pixels_of(draw(first, np.zeros(50), layout="sunflower", sort=sort)))
    ys, xs = np.nonzero((area == YELLOW).all(axis=2))
    # The middle of the map, and a dot's radius to the right of it.
    assert 0 < xs.mean() - area.shape[1] / 2 < 35
    assert abs(ys.mean() - area.shape[0] / 2) < 15


def test_all_figures_of_a_style_are_equally_large_and_repeat_byte_for_byte(tmp_path: Path) -> None:
    for name, units in (("a", 7), ("b", 4096), ("c", 7)):
        random = np.random.default_rng(units)
        save_figure(draw(random.lognormal(size=units), random.lognormal(size=units)), tmp_path / f"{name}.png")
    assert len({read(path).shape for path in tmp_path.glob("[!.]*")}) == 1
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
        (
            {"sort": True},
            r"sort: found true; accepted is none, first, last or each \(once false was none and true was each",
        ),
        ({"palette": "rainbow"}, "palette.*rainbow"),
        ({"width": 60}, "width.*60"),
        ({"font_size": 4}, "font_size.*4"),
        ({"hold": 15}, "hold.*15"),
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
        ([1, 2], [1, float("nan")], "contributions to basic: found nan of unit 1; accepted is a finite number from 0"),
        ([-1, 2], [1, 1], "contributions to word: found -1 of unit 0;"),
        ([np.inf] * 9, [1] * 9, "inf of unit 3, inf of unit 4 and 4 units more"),
    ):
        with pytest.raises(InputError, match=found):
            draw(first, second)
    with pytest.raises(InputError, match="columns of a unit map is 1,"):
        draw(np.ones(4096), np.ones(4096), columns=1)


def frames(found: list[tuple[int, int, int]], size: tuple[int, int] = (40, 30)) -> Iterator[NDArray[np.uint8]]:
    for colour in found:
        image = np.full((size[1], size[0], 3), 255, np.uint8)
        image[:20, :20] = colour
        yield image


@pytest.mark.parametrize("found", [[BLUE, YELLOW, YELLOW, YELLOW, YELLOW, BLACK, BLACK], [BLUE] * 3, [YELLOW]])
def test_animation_shows_every_frame_equally_long_but_the_last_and_loops(
    found: list[tuple[int, int, int]], tmp_path: Path
) -> None:
    animate(frames(found), tmp_path / "out.gif", milliseconds=330, hold=500)
    with Image.open(tmp_path / "out.gif") as gif:
        assert gif.n_frames == len(found)  # type: ignore[attr-defined]
        if len(found) > 1:
            assert gif.info["loop"] == 0
        for index, colour in enumerate(found):
            gif.seek(index)
            shown = gif.convert("RGB")
            assert gif.info["duration"] == (330 if index + 1 < len(found) else 830)
            assert [shown.getpixel(place) for place in ((0, 0), (19, 19), (39, 29))] == [colour, colour, WHITE]


@pytest.mark.parametrize("palette", ["yellow-blue", "orange-blue"])
def test_animation_of_a_map_keeps_its_colours(palette: str, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    drawn = [pixels_of(draw(random.lognormal(size=96), random.lognormal(size=96), palette=palette)) for _ in range(3)]
    animate(drawn, tmp_path / "out.gif")
    with Image.open(tmp_path / "out.gif") as gif:
        for index, frame in enumerate(drawn):
            gif.seek(index)
            error = map_area(np.asarray(gif.convert("RGB"))).astype(int) - map_area(frame)
            assert np.abs(error).max() <= 12


def test_animation_says_what_is_wrong_with_its_frames(tmp_path: Path) -> None:
    good, output = list(frames([BLUE, BLACK])), tmp_path / "out.gif"
    for shown, found in (
        ([], "no frames"),
        ([*good, *frames([BLUE], (41, 30))], "frames 1 and 3 have 40 x 30 and 41 x 30 pixels"),
    ):
        with pytest.raises(InputError, match=found):
            animate(shown, output)
    with pytest.raises(InputError, match=r"milliseconds: found 335; accepted is a multiple of 10, from 20 to 60000\."):
        animate(good, output, milliseconds=335)
    assert not output.exists()
