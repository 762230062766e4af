"""The page to explore, of layers of thousands of units: drawn as pictures, and used like those of a few."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from featuresharing.colours.palettes import brightness, colours
from featuresharing.explorer import explorer_page
from featuresharing.figures.unit_map import sorted_by
from featuresharing.settings import FigureSettings
from tests.support.browser import browser, missing
from tests.support.explored import Explorer, explored, written

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing() or "a browser is here")]

UNITS, CHECKPOINTS = 1200, ("0", "50", "200")
LONE = 7
"""A unit that contributes much less to the first task than all others, so that its dot stands alone."""

SHAPES = """async () => {
  const counts = { fill: 0, stroke: 0, fillText: 0 };
  const found = CanvasRenderingContext2D.prototype;
  for (const name of Object.keys(counts)) {
    const draw = found[name];
    found[name] = function (...given) { counts[name] += 1; return draw.apply(this, given); };
  }
  const slider = document.getElementById("checkpoint0");
  slider.value = "1";
  slider.dispatchEvent(new Event("input"));
  for (let frame = 0; frame < 3; frame += 1) await new Promise((done) => requestAnimationFrame(done));
  return counts;
}"""


def amounts(checkpoint: str) -> NDArray[np.float64]:
    """Return what every unit contributes to both tasks, [2, UNITS]; some equal ones, and one unit has no number."""
    values = np.random.default_rng(CHECKPOINTS.index(checkpoint)).lognormal(size=(2, UNITS)).round(1) + 0.05
    values[:, LONE] = 0.01, 0.5
    values[0, 9] = np.nan
    return values


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    """A browser, one for all tests."""
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of one layer of many units."""
    frames = []
    for checkpoint in CHECKPOINTS:
        for task, values in zip(("bird", "word"), amounts(checkpoint), strict=True):
            columns = {"experiment": "many", "replicate": 1, "checkpoint": checkpoint, "layer": "fc6"}
            columns |= {"unit": np.arange(UNITS), "task": task, "contribution": values, "effective_samples": 1.0}
            frames.append(pd.DataFrame(columns))
    return written(tmp_path_factory, explorer_page({"contributions": pd.concat(frames, ignore_index=True)}))


def shown_colours(explorer: Explorer, source: str) -> NDArray[np.uint8]:
    """Return the picture of a source, [rows, columns, 4]."""
    code = """name => {
      const picture = Bokeh.documents[0].get_model_by_name(name).data.image[0];
      const signs = Array.from(new Uint8Array(picture.buffer), (byte) => String.fromCharCode(byte));
      return [picture.shape, btoa(signs.join(""))];
    }"""
    shape, found = explorer.page.evaluate(code, source)
    return np.frombuffer(base64.b64decode(found), np.uint8).reshape(*shape, 4)


def expected_colours(checkpoint: str) -> NDArray[np.uint8]:
    """Return the colours of units, [UNITS, 3], as their maps have them."""
    values = amounts(checkpoint)
    style = FigureSettings()
    levels = [brightness(each / np.nanmean(each), style) for each in values]
    return colours(style.palette, *np.nan_to_num(levels))


def test_the_map_has_the_colours_and_the_order_of_the_figures(running: Any, page_file: Path) -> None:
    with explored(running, page_file, "") as explorer:
        for checkpoint in ("200", "50"):
            with explorer.doing():
                explorer.page.locator("#checkpoint0").fill(str(CHECKPOINTS.index(checkpoint)))
            cells = shown_colours(explorer, "cells0").reshape(-1, 4)
            order = sorted_by(*amounts("200"))
            assert (cells[:UNITS, 3] == 255).all()
            assert (cells[UNITS:] == 0).all()
            known = order[order != 9]
            places = np.flatnonzero(order != 9)
            off = np.abs(cells[places, :3].astype(int) - expected_colours(checkpoint)[known])
            assert off.max() <= 4  # 64 steps of brightness for each task
            assert off.mean() < 1.5
            assert tuple(cells[UNITS - 1, :3]) == (0xFF, 0x9D, 0xA7)
            columns = shown_colours(explorer, "cells0").shape[1]
            units = explorer.data("units0")
            assert [x + columns * y for x, y in zip(units["x"], units["y"], strict=True)] == np.argsort(order).tolist()


def test_a_step_of_the_slider_draws_pictures_and_no_shape_a_unit(running: Any, page_file: Path) -> None:
    with explored(running, page_file, "") as explorer:
        with explorer.doing():
            counts = explorer.page.evaluate(SHAPES)
        assert counts["fill"] + counts["stroke"] < UNITS / 20
        assert counts["fillText"] < 40
        np.testing.assert_allclose(explorer.data("units0")["bits_b"], amounts("50")[1], rtol=1.51e-4)


def test_a_dot_of_the_picture_stands_where_its_unit_is(running: Any, page_file: Path) -> None:
    with explored(running, page_file, "#k=50") as explorer:
        x, y = explorer.unit("scatter0", LONE)
        seen = Image.open(io.BytesIO(explorer.page.screenshot())).convert("RGB")
        around = seen.crop((int(x) - 8, int(y) - 8, int(x) + 9, int(y) + 9))
        dark = np.argwhere(np.asarray(around, int).sum(axis=2) < 450) - 8
        np.testing.assert_allclose(dark.mean(axis=0), (y % 1, x % 1), atol=1)
        assert 8 <= len(dark) <= 21
        middle = seen.getpixel((round(x), round(y)))
        assert np.abs(np.array(middle, int) - expected_colours("50")[LONE]).max() <= 4
        explorer.page.mouse.move(x, y)
        explorer.page.get_by_text(f"bits, rank {UNITS - 1}").wait_for()
        with explorer.doing():
            explorer.page.mouse.click(x, y)
        assert explorer.text("#card-title") == f"Unit {LONE} of fc6"
        assert explorer.text("#card-numbers").splitlines()[1].endswith(f"{UNITS - 1} of {UNITS}")


def test_units_of_a_picture_are_brushed(running: Any, page_file: Path) -> None:
    with explored(running, page_file, "") as explorer:
        x, y = explorer.unit("scatter0", LONE)
        mouse = explorer.page.mouse
        with explorer.doing():
            mouse.move(x - 8, y - 8)
            mouse.down()
            mouse.move(x + 8, y + 8, steps=4)
            mouse.up()
        assert explorer.chosen("units0") == explorer.chosen("rows") == [LONE]
        assert f"u={LONE}" in explorer.link()
        with explorer.doing():
            explorer.page.locator("#checkpoint0").fill("0")
        assert explorer.chosen("units0") == [LONE]


def test_a_unit_of_a_picture_is_clicked_and_outlined(running: Any, page_file: Path) -> None:
    with explored(running, page_file, "") as explorer:
        with explorer.doing():
            explorer.page.mouse.click(*explorer.unit("map0", 1000))
        assert explorer.chosen("units0") == [1000]
        units, outlined = explorer.data("units0"), explorer.data("outlined0")
        assert (outlined["x"], outlined["y"]) == ([units["x"][1000]], [units["y"][1000]])
        dots = shown_colours(explorer, "dots0")
        assert dots[..., 3].max() == 255
        assert (np.unique(dots[dots[..., 3] == 255][:, :3], axis=0) == (0xD6, 0, 0x7F)).all(axis=1).any()
        faint = dots[..., 3][(dots[..., 3] > 0) & (dots[..., 3] < 255)]
        assert 60 <= np.median(faint) <= 150  # a quarter of 255, and more where dots overlap
        with explorer.doing():
            explorer.page.keyboard.press("Escape")
        assert explorer.data("outlined0")["x"] == []


def test_files_have_a_shape_a_unit(running: Any, page_file: Path, tmp_path: Path) -> None:
    with explored(running, page_file, "") as explorer:
        for plot in ("map0", "scatter0"):
            with explorer.page.expect_download() as download:
                explorer.page.click(f"[data-save={plot}][data-kind=svg]")
            path = tmp_path / download.value.suggested_filename
            download.value.save_as(path)
            drawing = path.read_text()
            # those of the key, which Bokeh puts in
            assert {int(width) for width in re.findall(r'<image width="(\d+)"', drawing)} <= {14}
            assert len(re.findall("<path", drawing)) >= UNITS - 1
            assert explorer.page.evaluate("Bokeh.documents[0].get_model_by_name('picture_cells0').visible")
