"""Figures of units at both widths of journals: nothing is cut, too small or on top of something else."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from featuresharing.errors import InputError
from featuresharing.figures.all_layers import LayersMap, animate_layers, by_checkpoint, draw_layers, layers_of
from featuresharing.figures.animation import animate
from featuresharing.figures.layer_map import LayerFrame, animate_layer, map_of, pairs_of, plot_layer, scatter_of
from featuresharing.figures.lettering import ELLIPSIS
from featuresharing.figures.map_key import ticks_of
from featuresharing.figures.saving import pixels_of, save_figure
from featuresharing.figures.shelves import pack
from featuresharing.figures.style import Page
from featuresharing.figures.unit_map import Pair, UnitMap, draw_map
from featuresharing.settings import EvidenceSettings, FigureSettings
from featuresharing.store import LayerConditionals
from tests.support.text_boxes import check_texts
from tests.support.unit_layers import layer_that_contributes

EVIDENCE = EvidenceSettings(method="probdiff")
LONG = "a-very-long-name-of-a-task-that-nobody-would-choose-but-somebody-has-all-the-same"
WIDTHS = (89, 183)


def layer(units: int, tasks: int = 2, *, long: bool = False, zero: bool = False, **named: Any) -> LayerConditionals:
    names = [f"{LONG}{number}" for number in range(tasks)] if long else ["word", "basic", "colour", "shape"][:tasks]
    random = np.random.default_rng(units)
    values = np.zeros((tasks, units)) if zero else 0.2 * random.random((tasks, units)) ** 2
    return layer_that_contributes(dict(zip(names, values, strict=True)), **named)


def frame(*arguments: Any, near_zero: float | None = None, **named: Any) -> LayerFrame:
    return LayerFrame.of(layer(*arguments, **named), EVIDENCE, near_zero)


CASES: dict[str, dict[str, Any]] = {
    "one unit": {"units": 1},
    "seven": {"units": 7, "tasks": 1},
    "many": {"units": 4096},
    "three tasks": {"units": 48, "tasks": 3},
    "four tasks": {"units": 30, "tasks": 4},
    "long names": {"units": 20, "long": True, "layer": f"features.{LONG}"},
    "three long names": {"units": 20, "tasks": 3, "long": True},
    "nothing": {"units": 20, "zero": True},
    "three of nothing": {"units": 20, "tasks": 3, "zero": True},
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_letters_of_a_map_are_whole_and_apart(case: str, width: int) -> None:
    style = FigureSettings(width=width)
    shown = frame(**CASES[case])
    figure = draw_map(map_of(shown, shown, style, last=20), style)
    assert check_texts(figure) > 8
    assert figure.get_size_inches()[0] == pytest.approx(width / 25.4)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("style", "units"), [({"layout": "sunflower"}, 50), ({"colour_scale": "linear"}, 50)])
@pytest.mark.parametrize("size", [5, 9])
def test_letters_of_other_styles_are_whole_and_apart(style: dict[str, Any], units: int, width: int, size: int) -> None:
    chosen = FigureSettings(**style, width=width, font_size=size)
    check_texts(draw_map(map_of(frame(units), frame(units), chosen), chosen))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_letters_of_all_layers_are_whole_and_apart(case: str, width: int) -> None:
    style = FigureSettings(width=width)
    frames = [frame(**{"layer": f"conv{number}"} | CASES[case] | {"layer": f"conv{number}"}) for number in range(1, 6)]
    assert check_texts(draw_layers(layers_of(frames, frames, style, last=20), style)) > 10


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_letters_of_a_scatter_are_whole_and_apart(case: str, width: int) -> None:
    frames = [frame(**CASES[case] | {"layer": f"conv{number}"}) for number in range(1, 6)]
    assert check_texts(scatter_of(frames, page=Page(width=width))) >= 1


def test_fifty_layers_have_room() -> None:
    names = [f"layer{1 + block}.{unit}.conv{which}" for block in range(4) for unit in range(4) for which in (1, 2, 3)]
    frames = [frame(64 * (1 + number // 12), layer=name) for number, name in enumerate(names)]
    for width in WIDTHS:
        style = FigureSettings(width=width)
        check_texts(draw_layers(layers_of(frames, frames, style), style))


def test_layers_have_columns_and_places_that_fit() -> None:
    found = pack([96, 256, 4096], [30, 30, 30], width=1000, height=600, gap=10, label=20, largest=40)
    assert found.columns[:2] == (8, 8)
    ends = []
    for units, columns, (x, y) in zip([96, 256, 4096], found.columns, found.corners, strict=True):
        rows = -(-units // columns)
        ends.append((x + columns * found.cell, y + rows * found.cell))
        assert ends[-1][0] <= 1000
        assert ends[-1][1] <= found.height <= 600
    # no larger cell has room: one pixel more, with any number of columns of the largest layer
    larger = found.cell + 1
    assert all(
        (16 * larger + wide * larger + 20 > 1000) or (20 + -(-4096 // wide) * larger > 600) for wide in range(8, 4097)
    )
    with pytest.raises(InputError, match=r"2 layers of 8192 units have no room on 20 x 20 pixels; accepted is"):
        pack([4096, 4096], [5, 5], width=20, height=20, gap=1, label=2, largest=9)


def test_units_keep_the_place_that_the_config_names() -> None:
    early = layer_that_contributes({"word": [0.3, 0.1, 0.2], "basic": [0.1, 0.1, 0.1]}, checkpoint="0000")
    late = layer_that_contributes({"word": [0.1, 0.2, 0.3], "basic": [0.1, 0.1, 0.1]}, checkpoint="0010")
    frames = [LayerFrame.of(each, EVIDENCE) for each in (early, late)]
    wanted = {
        "first": ([1, 2, 0], [1, 2, 0], "word at checkpoint 0000"),
        "last": ([0, 1, 2], [0, 1, 2], "word at checkpoint 0010"),
        "each": ([1, 2, 0], [0, 1, 2], "word"),
    }
    for sort, (at_first, at_last, words) in wanted.items():
        style = FigureSettings(sort=sort)
        chosen = {"first": frames[0], "last": frames[1]}
        maps = [map_of(each, chosen.get(sort, each), style, sort_by="word") for each in frames]
        for shown, order in zip(maps, (at_first, at_last), strict=True):
            assert shown.order is not None
            assert shown.order.tolist() == order
        assert words in {shown.sorting for shown in maps}
    assert map_of(frames[0], frames[1], FigureSettings(sort="none")).order is None


def test_an_animation_shows_how_far_training_is_in_frames_of_one_size() -> None:
    style = FigureSettings(dpi=60)
    frames = [
        LayerFrame.of(layer(20, zero=zero, checkpoint=name), EVIDENCE)
        for name, zero in (("0000", True), ("0010", False))
    ]
    figures = list(animate_layer(frames, style, sort_by="word"))
    for figure, words in zip(figures, ("step 0 of 10", "step 10 of 10"), strict=True):
        assert words in [text.get_text() for text in figure.texts]
    first, last = map(pixels_of, figures)
    assert first.shape == last.shape
    shown = list(animate_layers(by_checkpoint(frames), style))
    assert len({pixels_of(figure).shape for figure in shown}) == 1
    assert "step 0 of 10" in [text.get_text() for text in shown[0].texts]


def training_of(tasks: int, *names: str) -> list[LayerFrame]:
    """Return layers over checkpoints: at first all tasks are near zero, then the first alone, then none."""
    frames = []
    for checkpoint, scales in (("0000", (0.0,) * 3), ("0800", (0.02, 1.0, 0.03)), ("4500", (1.0,) * 3)):
        for number, name in enumerate(names):
            random = np.random.default_rng(number)
            given = {
                task: scale * 0.2 * random.random(20 + number) ** 2
                for task, scale in list(zip(("subordinate", "basic-level", "word"), scales, strict=True))[:tasks]
            }
            frames.append(LayerFrame.of(layer_that_contributes(given, layer=name, checkpoint=checkpoint), EVIDENCE))
    return frames


@pytest.mark.parametrize("tasks", [1, 2, 3])
@pytest.mark.parametrize("size", [6, 7, 12])
@pytest.mark.parametrize("width", [80, 89, 120, 183])
def test_frames_have_one_size_and_say_all_whether_hatched_or_not(width: int, size: float, tasks: int) -> None:
    one, several = training_of(tasks, "conv5"), by_checkpoint(training_of(tasks, "conv1", "conv5", "fc6"))
    assert [bool(each.low_tasks) for each in one] == [True, True, False]
    for layout in ("rectangle", "sunflower"):
        style = FigureSettings(width=width, font_size=size, layout=layout, dpi=50)
        check_frames(list(animate_layer(one, style)))
    check_frames(list(animate_layers(several, FigureSettings(width=width, font_size=size, dpi=50))))


def check_frames(figures: list[Figure]) -> None:
    """Raise AssertionError for figures of several sizes, and unless the words below the title and the key are whole."""
    assert len({tuple(figure.get_size_inches()) for figure in figures}) == 1
    for figure in figures:
        said = [text.get_text() for text in figure.texts]
        words = [text for text in said if "Hatched" in text or (ELLIPSIS in text and "\n" in text)]
        assert len(words) == hatched(figure), words
        assert all(word.replace("\n", " ").endswith("which says little.") for word in words)


@pytest.mark.parametrize("width", [80, 89])
def test_hatched_and_other_frames_make_one_gif(width: int, tmp_path: Path) -> None:
    style = FigureSettings(width=width, dpi=50)
    several = by_checkpoint(training_of(2, "conv1", "conv5"))
    for figures in (animate_layer(training_of(3, "conv5"), style), animate_layers(several, style)):
        animate(map(pixels_of, figures), tmp_path / "units.gif")
        with Image.open(tmp_path / "units.gif") as gif:
            assert len(list(ImageSequence.Iterator(gif))) == 3


def test_frames_show_how_far_training_is_if_that_is_known_of_all() -> None:
    known, unknown = frame(20, checkpoint="0010"), frame(20, checkpoint="0020", step=np.int64(-1))
    for frames, bars in (([known, known], 2), ([unknown, known], 0), ([known, unknown], 0)):
        figures = list(animate_layer(frames, FigureSettings(dpi=50)))
        assert len({tuple(figure.get_size_inches()) for figure in figures}) == 1
        assert sum(any("step 10 of" in text.get_text() for text in figure.texts) for figure in figures) == bars


def near(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Return which pixels are at most so many from those of a mask, along both axes."""
    found = mask.copy()
    for axis in (0, 1):
        found = np.any([np.roll(found, shift, axis) for shift in range(-pixels, pixels + 1)], axis=0)
    return found


@pytest.mark.parametrize("width", [89, 183])
@pytest.mark.parametrize("units", [1, 7, 33, 97])
@pytest.mark.parametrize("kind", ["rectangle", "four columns", "sunflower", "layers"])
def test_hatches_are_on_units_alone(kind: str, units: int, width: int) -> None:
    """Units are grey, so what differs from white where nothing is hatched is units, and their lines."""
    layout, columns = "sunflower" if kind == "sunflower" else "rectangle", 4 if kind == "four columns" else None
    style = FigureSettings(width=width, dpi=100, layout=layout, columns=columns)
    drawn = []
    for low in (False, True):
        pair = Pair("word", np.ones(units), "basic", np.ones(units), near_zero=low)
        content = UnitMap("conv1", "", [pair], np.arange(units))
        several = LayersMap("", "", {"conv1": content, "conv2": content})
        figure = draw_layers(several, style) if kind == "layers" else draw_map(content, style)
        drawn.append(pixels_of(figure).astype(int))
    plain, lined = drawn
    changed = (plain != lined).any(axis=2)
    shown = np.asarray((plain < 255).any(axis=2))
    assert not (changed & ~near(shown, 2)).any()
    assert changed.sum() > 20


@pytest.mark.parametrize("size", [6, 7, 12])
@pytest.mark.parametrize("width", [80, 89, 120, 183])
def test_titles_of_two_tasks_are_whole(width: int, size: float) -> None:
    named: dict[str, Any] = {"experiment": "subordinate_and_basic", "checkpoint": "450000"}
    frames = [frame(20, layer=f"conv{number}", **named) for number in range(2)]
    figure = scatter_of(frames, page=Page(width=width, font_size=size))
    wanted = "subordinate_and_basic: what units contribute to two tasks after 450,000 training steps"
    (title,) = (text for text in figure.texts if text.get_text().replace("\n", " ") == wanted)
    assert title.get_fontsize() == size + 1
    check_texts(figure)


@pytest.mark.parametrize("width", [80, 89, 183])
def test_the_key_of_all_layers_names_tasks_in_full(width: int) -> None:
    given = {"subordinate": [0.1, 0.2], "superordinate": [0.2, 0.1]}
    one = LayerFrame.of(layer_that_contributes(given), EVIDENCE)
    figure = draw_layers(layers_of([one], [one], FigureSettings(width=width)), FigureSettings(width=width))
    (key,) = figure.axes
    assert {"only\nsubordinate", "only\nsuperordinate"} <= {text.get_text() for text in key.texts}
    check_texts(figure)


def test_titles_say_which_of_several_networks_is_shown() -> None:
    wanted = {
        (1, False): "demo",
        (1, True): "demo, network 1",
        (3, True): "demo, network 3",
        (3, False): "demo, network 3",
    }
    style = FigureSettings(dpi=50)
    for (number, several), name in wanted.items():
        shown = LayerFrame.of(layer(6, replicate=np.int64(number)), EVIDENCE, several=several)
        one = draw_map(map_of(shown, shown, style), style)
        assert one.texts[0].get_text() == f"{name}: conv1 after 10 training steps"
        assert (
            draw_layers(layers_of([shown], [shown], style), style).texts[0].get_text()
            == f"{name} after 10 training steps"
        )
        title = scatter_of([shown]).texts[0].get_text().replace("\n", " ")
        assert title == f"{name}: what units contribute to two tasks after 10 training steps"


def test_a_sentence_never_says_that_a_number_is_less_than_itself() -> None:
    given = {"word": [0.00496, 0.00496], "basic": [0.2, 0.2]}
    one = LayerFrame.of(layer_that_contributes(given), EVIDENCE)
    shown = map_of(one, one, FigureSettings())
    assert shown.warning.startswith("Hatched: the average unit contributes less than 0.005 (word 0.00496), which")
    assert "word 0.00496, basic 0.2" in shown.note


def hatched(figure: Figure) -> bool:
    return any(isinstance(artist, LineCollection) for artist in figure.get_children())


def test_maps_that_say_little_are_hatched_and_say_so() -> None:
    values = {"word": [0.004, 0.004], "basic": [0.2, 0.1]}
    for near_zero, marked in ((None, True), (0.003, False), (0.3, True)):
        shown = layer_that_contributes(values)
        figure = plot_layer(shown, EVIDENCE, FigureSettings(), near_zero=near_zero)
        said = " ".join(text.get_text() for text in figure.texts)
        assert ("Hatched: the average unit" in said) == marked == hatched(figure)
        scatter = scatter_of([LayerFrame.of(shown, EVIDENCE, near_zero)])
        assert ("Grey panels" in " ".join(text.get_text() for text in scatter.texts)) == marked


def test_three_tasks_have_three_maps_with_their_names() -> None:
    figure = plot_layer(layer(12, 3), EVIDENCE, FigureSettings(), sort_by="basic")
    keys = [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]
    assert keys == [("basic", "word"), ("basic", "colour"), ("word", "colour")]
    assert {" and ".join(key) for key in keys} <= {text.get_text() for text in figure.texts}


@pytest.mark.parametrize(("count", "maps", "more"), [(1, 1, 0), (2, 1, 0), (4, 6, 0), (5, 4, 6), (40, 12, 768)])
def test_many_tasks_have_maps_with_the_first_one(count: int, maps: int, more: int) -> None:
    tasks = [f"task{number}" for number in range(count)]
    pairs, left_out = pairs_of(tasks, "task0")
    assert (len(pairs), left_out) == (maps, more)
    if 1 < count <= 4:
        assert {frozenset(pair) for pair in pairs} == {frozenset(pair) for pair in combinations(tasks, 2)}


def test_numbers_stand_on_units_where_there_is_room() -> None:
    figure = plot_layer(layer(12), EVIDENCE, FigureSettings(numbers=True))
    assert {text.get_text() for text in figure.texts} >= {str(number) for number in range(12)}
    check_texts(figure)
    crowded = plot_layer(layer(4096), EVIDENCE, FigureSettings(numbers=True, width=89))
    assert "4095" not in {text.get_text() for text in crowded.texts}
    assert any("numbers need larger squares" in text.get_text().replace("\n", " ") for text in crowded.texts)


def test_ticks_of_a_linear_key_are_its_own() -> None:
    linear = ticks_of(FigureSettings(colour_scale="linear"))
    assert linear == {0: "0", 1.0: "1", 2.0: "2", 3.0: "3", 4: "\N{GREATER-THAN OR EQUAL TO}4"}
    log = ticks_of(FigureSettings())
    assert list(log.values()) == ["\N{LESS-THAN OR EQUAL TO}1/8", "1", "\N{GREATER-THAN OR EQUAL TO}8"]


def test_a_scatter_stands_units_that_contribute_nothing_on_the_edge() -> None:
    shown = layer_that_contributes({"word": [0.0, 0.1, 0.2], "basic": [0.2, 0.0, 0.1]})
    (axes,) = scatter_of([LayerFrame.of(shown, EVIDENCE)]).axes
    x, y = (np.asarray(values, float) for values in axes.lines[1].get_data())
    assert axes.get_xlim() == axes.get_ylim()
    assert x[0] == y[1] < 0.01 < x[1]
    assert (x[1:].tolist(), y[[0, 2]].tolist()) == (
        pytest.approx([0.1, 0.2], abs=1e-6),
        pytest.approx([0.2, 0.1], abs=1e-6),
    )
    assert axes.xaxis.get_major_formatter()(x[0], 0) == "<"


def test_layers_that_do_not_belong_together_are_named() -> None:
    one, other = layer(9), layer(8, checkpoint="0020")
    with pytest.raises(InputError, match="conv1, checkpoint 0020: found other units or tasks than at conv1, check"):
        plot_layer(one, EVIDENCE, FigureSettings(), reference=other)
    frames = [frame(9), frame(9, layer="conv2"), frame(9, checkpoint="0020")]
    with pytest.raises(InputError, match="found no conv2 at checkpoint 0020; accepted are files of all layers"):
        by_checkpoint(frames)
    with pytest.raises(InputError, match="found layers of demo and other; accepted are those of one network"):
        by_checkpoint([frame(9), frame(9, experiment="other")])
    with pytest.raises(InputError, match="found conv2; accepted are conv1"):
        layers_of(frames[:1], frames[1:2], FigureSettings())


def test_pdfs_have_letters_that_stay_letters(tmp_path: Path) -> None:
    figure = plot_layer(layer(9), EVIDENCE, FigureSettings(width=89))
    save_figure(figure, tmp_path / "a.pdf")
    content = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in content, "TrueType is embedded"
    assert b"/Type3" not in content
    width = 89 / 25.4 * 72
    assert f"/MediaBox [ 0 0 {width:.3f}"[:20].encode() in content.replace(b"\n", b" ")
