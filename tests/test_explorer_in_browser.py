"""The page to explore in a browser: what a reader does in it, and what it does then."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from featuresharing.explorer import explorer_page
from featuresharing.explorer.codec import pack, unpack
from tests.support.browser import LAPTOP, PHONE, browser, missing
from tests.support.explored import START, explored, written
from tests.support.explorer_frames import amounts, made_pictures, made_tables

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing() or "a browser is here")]


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    """A browser, one for all tests."""
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two experiments, with pictures of what drives the units of one layer."""
    drawn = {("unrelated", 1, "fc2"): [np.full((8, 8, 3), 20 * unit, np.uint8) for unit in range(10)]}
    return written(tmp_path_factory, explorer_page(made_tables(), pictures=made_pictures(), features=drawn))


def test_numbers_are_read_as_they_were_packed(running: Any, page_file: Path) -> None:
    values = [0, 1e-6, 0.25, 3.5, np.nan, np.inf, 1e3]
    with explored(running, page_file) as explorer:
        units = explorer.data("units0")
        np.testing.assert_allclose(units["bits_a"], amounts("unrelated", "fc2", "200", "bird", 10), rtol=1.51e-4)
        # the script of the page itself, in this browser, on numbers of every kind
        script = (Path(__file__).parents[1] / "src/featuresharing/explorer/page/codec.js").read_text()
        for numbers in (values, [-2.5, *values]):
            packed = pack(numbers)
            code = f"() => {{ {script}; return [...unpack({json.dumps(packed)})].map(String); }}"
            np.testing.assert_allclose(
                [float(each) for each in explorer.page.evaluate(code)], unpack(packed), rtol=1e-9
            )


def test_choices_change_the_view_and_the_link(running: Any, page_file: Path) -> None:
    with explored(running, page_file) as explorer:
        page = explorer.page
        shown = explorer.data("units0")
        assert len(shown["unit"]) == 10
        # as in the figures, the unit on which the sorting task relies least stands first
        assert (shown["x"][9], shown["y"][9]) == (0, 0)
        assert (shown["y"][0], max(shown["y"])) == (max(shown["y"]), shown["y"][0])
        with explorer.doing():
            page.click("#layers0 button:text-is('conv1')")
        assert len(explorer.data("units0")["unit"]) == 6
        with explorer.doing():
            page.select_option("#experiment0", label="related")
        assert "e=related&l=conv1&k=200" in explorer.link()
        assert "bird 0.0" not in explorer.text("#note0")
        with explorer.doing():
            page.select_option("#measure", "excess")
        # (sharing - chance) / (1 - chance), also of the ends of what chance gives: 0.3 and 0.5 around 0.4
        assert explorer.data("points_layers")["value"] == pytest.approx([1 / 3] * 4, rel=1e-3)
        assert explorer.data("bands_layers")["ys"][0] == pytest.approx([-1 / 6, -1 / 6, 1 / 6, 1 / 6], rel=2e-3)
        assert explorer.data("lines_layers")["ys"][1] == [0, 0]
        assert "0, dotted: as alike as chance makes them" in explorer.text("#sharing-says")
        assert "0: on different units" not in explorer.text("#sharing")
        with explorer.doing():
            page.select_option("#measure", "sharing")
        assert "0: on different units" in explorer.text("#sharing-says")
        with explorer.doing():
            page.select_option("#order", "number")
        assert explorer.data("units0")["x"][:2] == [0, 1]


def hold_time(page: Any) -> None:
    """What repeats is done by tick() alone: on a slow machine a play of three steps ends unseen."""
    page.evaluate("window.setInterval = (work) => { window.tick = work; return 1; }")


def test_the_slider_moves_and_training_plays_to_its_end(running: Any, page_file: Path) -> None:
    with explored(running, page_file) as explorer:
        page = explorer.page
        before = explorer.data("units0")
        with explorer.doing():
            page.locator("#checkpoint0").fill("0")
        after = explorer.data("units0")
        assert after["bits_a"] == pytest.approx(amounts("unrelated", "fc2", "0", "bird", 10), rel=1.51e-4)
        assert (after["x"], after["y"]) == (before["x"], before["y"])
        assert explorer.text("#step0") == "step 0"
        assert "near zero for bird and word" in explorer.text("#note0")
        assert page.locator("#layers0 button.near-zero").count() == 2
        assert page.locator("#dashed0").is_visible()
        hold_time(page)
        page.click("#play0")
        page.wait_for_selector("#play0[aria-label=Pause]")
        for step in ("step 50", "step 200"):
            with explorer.doing():
                page.evaluate("tick()")
            assert explorer.text("#step0") == step
        page.wait_for_selector("#play0[aria-label='Play training']")


def test_a_click_shows_a_unit_with_images_and_what_drives_it(running: Any, page_file: Path) -> None:
    with explored(running, page_file) as explorer:
        with explorer.doing():
            explorer.page.mouse.click(*explorer.unit("map0", 3))
        assert explorer.text("#card-title") == "Unit 3 of fc2"
        shown = [line.split() for line in explorer.text("#card-numbers").splitlines()[1:]]
        expected = amounts("unrelated", "fc2", "200", "bird", 10)
        assert shown[0][:4] == ["bird", f"{expected[3]:.3g}", "bits", f"{expected[3] / expected.mean():.2f}"]
        assert shown[0][-3:] == ["4", "of", "10"]
        assert shown[1][-3:] == ["7", "of", "10"]
        titles = [each.get_attribute("title") for each in explorer.page.locator("#card-strips .picture").all()]
        assert len(titles) == 2 * 2 * 3
        assert titles[0] == "4.png: evidence 3.00 bits for bird"
        assert explorer.page.locator("#card-feature .picture").count() == 1
        curve = explorer.data("lines_unit")
        assert curve["ys"][2] == pytest.approx(
            [amounts("unrelated", "fc2", k, "word", 10)[3] for k in ("0", "50", "200")], rel=2e-4
        )
        assert "unit=3" in explorer.link()
        with explorer.doing():
            explorer.page.evaluate("location.hash = location.hash.replace('unit=3', '')")
        with explorer.doing():
            explorer.page.click("#card-strongest button:text-is('word')")
        assert explorer.text("#card-title") == "Unit 9 of fc2"
        for part in ("map0", "scatter0", "card-title", "note0"):  # a laptop shows them without scrolling
            box = explorer.page.locator(f"#{part}").bounding_box()
            assert box
            assert box["y"] + box["height"] <= LAPTOP[1], part


def test_a_pointer_over_a_unit_shows_its_numbers(running: Any, page_file: Path) -> None:
    with explored(running, page_file) as explorer:
        explorer.page.mouse.move(*explorer.unit("scatter0", 2))
        explorer.page.get_by_text("effective samples:").wait_for()
        assert explorer.page.get_by_text("bits, rank 3").is_visible()


def test_a_brush_selects_in_map_scatter_and_table(running: Any, page_file: Path) -> None:
    with explored(running, page_file) as explorer:
        page = explorer.page
        (left, top), (right, bottom) = explorer.unit("scatter0", 2), explorer.unit("scatter0", 4)
        with explorer.doing():
            page.mouse.move(max(left, right) + 6, min(top, bottom) - 6)
            page.mouse.down()
            page.mouse.move(min(left, right) - 6, max(top, bottom) + 6, steps=4)
            page.mouse.up()
        assert explorer.chosen("units0") == explorer.chosen("rows") == [2, 3, 4]
        assert explorer.text("#selected-count") == "3 selected"
        with explorer.doing():
            page.select_option("#serves", "selected")
        assert explorer.data("rows")["unit"] == [2, 3, 4]
        assert "u=2-4" in explorer.link()
        with explorer.doing():
            page.keyboard.press("Escape")
        with explorer.doing():
            page.select_option("#serves", "all")
        with explorer.doing():
            page.locator("#table .slick-row").nth(5).click()
        assert explorer.chosen("units0") == [5]


def test_the_table_is_searched_filtered_and_sorted(running: Any, page_file: Path) -> None:
    with explored(running, page_file) as explorer:
        page = explorer.page
        with explorer.doing():
            page.fill("#search", "1, 7-20")
        assert explorer.data("rows")["unit"] == [1, 7, 8, 9]
        with explorer.doing():
            page.click("#select-found")
        assert explorer.chosen("units0") == [1, 7, 8, 9]
        for nothing in ("nonsense", "9999", "5-3", "1, 5-3"):
            with explorer.doing():
                page.fill("#search", nothing)
            accepted = "accepted are numbers from 0 to 9 and ranges, such as 3, 10-19."
            assert explorer.text("#table-count") == f"No unit is found: {accepted}"
            assert explorer.data("rows")["unit"] == []
        with explorer.doing():
            page.click("#select-found")
        assert explorer.chosen("units0") == []
        with explorer.doing():
            page.fill("#search", "")
        with explorer.doing():
            page.select_option("#serves", "first")
        # the average unit contributes 5.5 tenths of the most, of which the second task's are 1 to 10 tenths
        assert explorer.data("rows")["unit"] == [0, 1]
        with explorer.doing():
            page.click("#select-found")
        assert explorer.chosen("units0") == [0, 1]
        with explorer.doing():
            page.select_option("#serves", "all")
        page.locator("#table .slick-header-column", has_text="word").first.click()
        page.locator("#table .slick-header-column", has_text="word").first.click()
        assert page.locator("#table .slick-row").first.inner_text().split()[0] == "9"


def test_a_click_in_the_curves_chooses_layer_and_checkpoint(running: Any, page_file: Path) -> None:
    with explored(running, page_file) as explorer:
        with explorer.doing():
            explorer.page.mouse.click(*explorer.place("sharing_layers", 0, 0.6))
        assert "l=conv1" in explorer.link()
        with explorer.doing():
            explorer.page.mouse.click(*explorer.place("sharing_training", 1, 0.6))
        assert "k=50" in explorer.link()
        assert explorer.data("lesion_lines0")["ys"][0] == pytest.approx([1, 0.5, 0], abs=1e-3)


def test_what_says_little_is_marked(running: Any, page_file: Path) -> None:
    with explored(running, page_file) as explorer:
        assert explorer.data("hatch0")["left"] == []
        assert "beyond" not in explorer.title("scatter0")
        with explorer.doing():
            explorer.page.locator("#checkpoint0").fill("0")
        # ten units, hatched from edge to edge of their cells
        grid = explorer.data("hatch0")
        assert (grid["left"], grid["top"]) == ([-0.5], [-0.5])
        assert (grid["right"][0] + 0.5) * (grid["bottom"][0] + 0.5) >= 10
        assert "Hatched: near zero for bird and word" in explorer.text("#note0")


def test_dots_beyond_the_axes_are_counted(running: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    tables = made_tables()
    contributions = tables["contributions"]
    place = {"experiment": "unrelated", "layer": "fc2", "checkpoint": "200"}
    rows = (contributions[list(place)] == pd.Series(place)).all(axis=1) & contributions["unit"].isin([2, 5])
    contributions.loc[rows & (contributions["task"] == "word"), "contribution"] = 0.0
    page = written(tmp_path_factory, explorer_page({"contributions": contributions}))
    with explored(running, page) as explorer:
        assert explorer.title("scatter0") == "word against bird \u2013 2 beyond the axes"


def test_lines_of_chance_that_coincide_take_turns(running: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    tables = made_tables({"three": ("owl", "bird", "word")})
    curves = tables["lesions"]
    curves["chance"] = curves["task"].map({"owl": 0.5, "bird": 0.25, "word": 0.504})
    page = written(tmp_path_factory, explorer_page({name: tables[name] for name in ("contributions", "lesions")}))
    with explored(running, page, "") as explorer:
        lines = explorer.data("lesion_lines0")
        dotted = list(zip(lines["dash"], lines["start"], strict=True))[1::2]
        # owl and word are drawn within a hundredth of each other: one has its dots in the gaps of the other
        assert dotted == [("2 10", 0), ("2 4", 0), ("2 10", -6)]


def test_two_panes_compare(running: Any, page_file: Path) -> None:
    with explored(running, page_file) as explorer:
        page = explorer.page
        with explorer.doing():
            page.click("#compare")
        assert "in both panes, and named for the outlined one" in explorer.text("#settings")
        with explorer.doing():
            page.select_option("#experiment1", label="related")
        with explorer.doing():
            page.locator("#checkpoint0").fill("1")
        assert explorer.text("#step1") == "step 50"
        with explorer.doing():
            page.uncheck("#together")
        with explorer.doing():
            page.locator("#checkpoint1").fill("0")
        assert (explorer.text("#step0"), explorer.text("#step1")) == ("step 50", "step 0")
        link = explorer.link()
    with explored(running, page_file, link) as again:
        assert (again.text("#step0"), again.text("#step1")) == ("step 50", "step 0")
        assert again.page.locator("#experiment1").input_value() == "0"
        assert again.link() == link


def test_a_link_restores_the_view_and_may_be_followed(running: Any, page_file: Path) -> None:
    link = "#e=related&l=conv1&k=50&t=bird&t=owl&unit=2&u=1-2%2C4&order=difference"
    with explored(running, page_file, link) as explorer:
        assert explorer.text("#card-title") == "Unit 2 of conv1"
        assert explorer.chosen("units0") == [1, 2, 4]
        assert explorer.link() == link
        with explorer.doing():
            explorer.page.evaluate("location.hash = '#e=unrelated&l=nowhere&k=7&unit=999'")
        assert explorer.page.locator("#experiment0").input_value() == "1"
        assert explorer.text("#card-title") == "A unit"


def test_files_are_saved(running: Any, page_file: Path, tmp_path: Path) -> None:
    def saved(selector: str) -> Path:
        with explorer.page.expect_download() as download:
            explorer.page.click(selector)
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        return path

    with explored(running, page_file, START + "&u=1,3") as explorer:
        table = saved("#save-units")
        assert table.name == "unrelated_fc2_200.csv"
        rows = list(csv.DictReader(io.StringIO(table.read_text())))
        assert [(row["unit"], row["task"]) for row in rows] == [(u, t) for u in "13" for t in ("bird", "word")]
        assert float(rows[0]["contribution"]) == pytest.approx(
            amounts("unrelated", "fc2", "200", "bird", 10)[1], rel=2e-4
        )
        picture = saved("[data-save=map0][data-kind=png]")
        with Image.open(picture) as image:
            assert image.size[0] > 200
        drawing = saved("[data-save=sharing_layers][data-kind=svg]").read_text()
        assert drawing.startswith("<svg")
        assert "unrelated: bird + word" in drawing


def test_keys_do_what_the_help_says(running: Any, page_file: Path) -> None:
    with explored(running, page_file) as explorer:
        press = explorer.page.keyboard.press
        for key, shown in (("ArrowLeft", "k=50"), ("ArrowRight", "k=200"), ("ArrowUp", "l=conv1"), ("]", "unit=0")):
            with explorer.doing():
                press(key)
            assert shown in explorer.link()
        with explorer.doing():
            press("e")
        assert "e=related" in explorer.link()
        with explorer.doing():
            press("c")
        assert "e2=" in explorer.link()
        press("/")
        assert explorer.page.evaluate("document.activeElement.id") == "search"
        explorer.page.evaluate("document.activeElement.blur()")
        press("?")
        keys = explorer.text("#help")
        for key in ("Space", "Esc", "↑ ↓", "[ ]"):
            assert key in keys
        press("Escape")
        explorer.page.locator("#help").wait_for(state="hidden")
        hold_time(explorer.page)
        press(" ")
        explorer.page.wait_for_selector("#play0[aria-label=Pause]")
        press(" ")
        explorer.page.wait_for_selector("#play0[aria-label='Play training']")


@pytest.mark.parametrize("link", [START, START + "&e2=related&l2=fc2&k2=0"])
def test_a_phone_shows_everything_within_its_width(running: Any, page_file: Path, link: str) -> None:
    with explored(running, page_file, link, size=PHONE, touch=True) as explorer:
        assert explorer.page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
        with explorer.doing():
            explorer.page.touchscreen.tap(*explorer.unit("map0", 4))
        assert explorer.text("#card-title") == "Unit 4 of fc2"
        assert explorer.page.locator("#brush").input_value() == "none"


def test_any_names_and_numbers_of_tasks_are_shown(running: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    odd = {"<script>alert(1)</script>": ("<b>x</b>", "$$y$$", 'c,"d'), "alone": ("only",)}
    page = written(tmp_path_factory, explorer_page(made_tables(odd, replicates=2), without=["images"]))
    with explored(running, page, "") as explorer:
        assert explorer.text("#pair0").splitlines() == ["<b>x</b> and $$y$$", '<b>x</b> and c,"d', '$$y$$ and c,"d']
        with explorer.doing():
            explorer.page.select_option("#pair0", "1,2")
        with explorer.doing():
            explorer.page.select_option("#network0", "2")
        assert explorer.data("units0")["bits_b"][-1] > 2
        heads = explorer.page.locator("#table .slick-header-column").all_inner_texts()
        assert heads[1:3] == ["$$y$$", 'c,"d']
        with explorer.doing():
            explorer.page.select_option("#experiment0", label="alone")
        assert not explorer.page.locator("#scatter0").is_visible()
        assert explorer.data("key_map0")["label"] == ["only", "not only"]
        assert explorer.page.locator("#card-images").is_hidden()


def test_a_page_of_contributions_alone_leaves_the_rest_out(
    running: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    page = written(tmp_path_factory, explorer_page({"contributions": made_tables()["contributions"]}))
    with explored(running, page, "") as explorer:
        for part in ("sharing", "lesions"):
            assert explorer.page.locator(f"#{part}").is_hidden()
        assert explorer.page.locator("#units").is_visible()


@pytest.mark.end_to_end
def test_the_page_of_a_run_opens(running: Any, demo: Path) -> None:
    with explored(running, demo / "results/explorer.html", "#e=object_text&l=conv1&unit=2") as explorer:
        assert len(explorer.data("units0")["unit"]) == 6
        assert explorer.page.locator("#experiment0 option").all_inner_texts() == ["subordinate_basic", "object_text"]
        assert explorer.page.locator("#card-strips .picture").count() > 0
        assert explorer.page.locator("#lesions").is_visible()
