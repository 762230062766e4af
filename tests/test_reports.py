"""The summary in words: every sentence says what the tables say."""

import doctest
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from featuresharing.analysis.guessing import GUESSED
from featuresharing.analysis.sharing import FEW_IMAGES
from featuresharing.data.columns import TRAINING
from featuresharing.data.table_files import frame_of
from featuresharing.reports import claims, phrases, text_blocks
from featuresharing.reports.cautions import FEW_SAMPLES, MOST_UNITS, cautions
from featuresharing.reports.claims import Line, against_chance, differences, trend_of, trends_over_training
from featuresharing.reports.run_tables import RunTables
from featuresharing.reports.summary import summarize
from featuresharing.reports.table_pages import MOST_ROWS, table_page
from featuresharing.reports.text_blocks import Block, Grid, Heading, Items, Paragraph, as_html, as_markdown, as_page
from tests.support.commands import ROOT
from tests.support.made_tables import LAYERS, NAN, cell, made_run, sharing_cells, trend, trends

LINE = Line("e", "a", "b")
OTHER = Line("f", "c", "d")
AB, CD = "`a` and `b`", "`c` and `d`"


@pytest.mark.parametrize("module", [phrases, text_blocks, claims])
def test_examples_hold(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted > 0


def chance_sentence(*cells: dict[str, Any], layers: Sequence[str] = LAYERS) -> str:
    return against_chance(LINE, sharing_cells(*cells), layers)


LESS: dict[str, Any]
MORE: dict[str, Any]
LESS = {"excess": -0.2, "excess_low": -0.3, "excess_high": -0.1, "sharing": 0.4, "p": 0.01}
MORE = {"excess": 0.2, "excess_low": 0.1, "excess_high": 0.3, "sharing": 0.6, "p": 0.01}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ([MORE] * 5, f"{AB} share more than chance gives in every layer."),
        ([LESS] * 5, f"{AB} share less than chance gives in every layer."),
        ([{}] * 5, f"For {AB}, no difference from chance can be told in any layer."),
        (
            [{}, MORE, {}, LESS, LESS],
            f"{AB} share less than chance gives in fc6 and fc7 and more in conv2; no difference from chance can be told"
            " in conv1 and conv3.",
        ),
        (
            [LESS, LESS, LESS, LESS, {}],
            f"{AB} share less than chance gives in conv1 to fc6; no difference from chance can be told in fc7.",
        ),
        (
            [LESS | {"near_zero": "b"}, {}, MORE, MORE, {"sharing": NAN, "p": NAN}],
            f"{AB} share more than chance gives in conv3 and fc6; no difference from chance can be told in conv2;"
            " nothing is said of sharing in conv1, where at least one task is near zero; nothing is said of sharing in"
            " fc7, where a task relies on no unit.",
        ),
        ([LESS | {"p": 0.05}, *[MORE] * 4], "in conv2 to fc7; no difference from chance can be told in conv1."),
        (
            [LESS | {"excess_high": 0.01}, *[MORE] * 4],
            "in conv2 to fc7; no difference from chance can be told in conv1.",
        ),
        ([LESS | {"excess_low": NAN}, *[MORE] * 4], "in conv2 to fc7; no difference from chance can be told in conv1."),
        ([LESS | {"p": NAN}, *[MORE] * 4], "share less than chance gives in conv1 and more in conv2 to fc7."),
    ],
)
def test_sharing_is_told_against_chance(chosen: list[dict[str, Any]], expected: str) -> None:
    cells = [cell(layer, **each) for layer, each in zip(LAYERS, chosen, strict=True)]
    assert chance_sentence(*cells).endswith(expected)


def test_a_single_layer_is_named() -> None:
    assert chance_sentence(cell("fc6", **LESS), layers=["fc6"]) == f"{AB} share less than chance gives in fc6."


def expand(names: str) -> set[str]:
    """Return the layers that words such as "in conv1 to conv3 and fc7" name."""
    if names in ("in every layer", "in any layer"):
        return set(LAYERS)
    found: set[str] = set()
    for part in re.split(r", | and ", names.removeprefix("in ")):
        first, _, last = part.partition(" to ")
        found |= set(LAYERS[LAYERS.index(first) : LAYERS.index(last or first) + 1])
    return found


@pytest.mark.parametrize("seed", range(40))
def test_every_layer_is_told_once_and_as_the_table_has_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = rng.choice(["less", "more", "same"], size=len(LAYERS))
    kinds_of_cells: dict[str, dict[str, Any]] = {"less": LESS, "more": MORE, "same": {}}
    sentence = chance_sentence(
        *(cell(layer, **kinds_of_cells[kind]) for layer, kind in zip(LAYERS, kinds, strict=True))
    )
    patterns = {
        "less": r"share less than chance gives (in .*?)(?: and more|;|\.$)",
        "more": r"more (?:than chance gives )?(in .*?)(?:;|\.$)",
        "same": r"no difference from chance can be told (in .*?)\.$",
    }
    for kind, pattern in patterns.items():
        told = re.search(pattern, sentence)
        assert (expand(told[1]) if told else set()) == {
            layer for layer, each in zip(LAYERS, kinds, strict=True) if each == kind
        }, sentence


class TestTrends:
    def test_falling_and_rising_are_told_with_size_interval_and_p(self) -> None:
        falls = trends(trend("slope over layers", value=-0.08, low=-0.1, high=-0.05, p=0.0004))
        told = f"Over the layers, excess sharing of {AB} of `e` falls by .080 a layer"
        assert trend_of(LINE, falls) == f"{told} (95 % interval .050 to .100, p < .001)."
        rises = trends(trend("slope over layers", value=0.08, low=0.05, high=0.1, p=0.02))
        told = f"Over the layers, excess sharing of {AB} of `e` rises by .080 a layer"
        assert trend_of(LINE, rises) == f"{told} (95 % interval .050 to .100, p = .020)."

    def test_no_trend_is_told_as_such(self) -> None:
        flat = trends(trend("slope over layers", value=-0.01, low=-0.04, high=0.02, p=0.4))
        told = f"Over the layers, no trend of excess sharing can be told for {AB} of `e`: the slope is -.010 a layer"
        assert trend_of(LINE, flat) == f"{told} (95 % interval -.040 to .020, p = .400)."

    def test_nothing_is_told_of_what_is_not_there(self) -> None:
        assert trend_of(LINE, trends()) is None
        assert trend_of(LINE, trends(trend("slope over layers", value=NAN, low=NAN, high=NAN, p=NAN))) is None
        assert trend_of(LINE, trends(trend("slope over layers", other=OTHER))) is None
        without = trends(trend("slope over layers", low=NAN, high=NAN))
        assert str(trend_of(LINE, without)).endswith("the slope is .100 a layer (no interval, p = .010).")

    def test_layers_are_told_apart_over_training(self) -> None:
        values = zip(LAYERS, (-0.1, 0.2, 0.1, -0.3, 0.01), (0.01, 0.02, 0.5, 0.04, 0.01), strict=True)
        table = trends(
            *(
                trend("slope over checkpoints", layer=name, value=v, low=v - 0.05, high=v + 0.05, p=p)
                for name, v, p in values
            )
        )
        assert trends_over_training(LINE, table, LAYERS) == (
            f"Over training, excess sharing of {AB} of `e` falls in conv1 and fc6 (by .100 in conv1 to .300 in fc6 a"
            " checkpoint) and rises in conv2 (by .200 a checkpoint); no trend can be told in conv3 and fc7."
        )
        silent = trends(*(trend("slope over checkpoints", layer=layer, p=0.2) for layer in LAYERS))
        assert trends_over_training(LINE, silent, LAYERS) == (
            f"Over training, for {AB} of `e`, no trend can be told in any layer."
        )
        assert trends_over_training(LINE, trends(), LAYERS) is None


class TestDifferences:
    def told(self, *rows: dict[str, Any]) -> list[str]:
        found = list(differences(trends(*rows), LAYERS))
        return found[0] if found else []

    def test_slopes_are_compared(self) -> None:
        lower = trend("slope over layers", other=OTHER, value=-0.07, low=-0.1, high=-0.04, p=0.002)
        assert self.told(lower) == [
            f"The slope over layers of {AB} of `e` is lower than that of {CD} of `f`, by .070"
            " (95 % interval .040 to .100, p = .002)."
        ]
        higher = trend("slope over layers", other=OTHER, value=0.07, low=0.04, high=0.1, p=0.002)
        assert "is higher than" in self.told(higher)[0]
        none = trend("slope over layers", other=OTHER, value=-0.07, low=-0.2, high=0.1, p=0.3)
        assert self.told(none) == [
            f"No difference can be told between the slopes over layers of {AB} of `e` and of {CD} of `f`: it is -.070"
            " (95 % interval -.200 to .100, p = .300)."
        ]

    def test_layers_are_compared_one_by_one(self) -> None:
        values = zip(LAYERS[:4], (-0.1, -0.3, -0.4, 0.2), (0.3, 0.01, 0.001, 0.02), strict=True)
        rows = [
            trend("excess", other=OTHER, layer=layer, value=v, low=v - 0.1, high=v + 0.1, p=p) for layer, v, p in values
        ]
        assert self.told(*rows) == [
            f"{AB} of `e` share less than {CD} of `f`, each against chance, in conv2 and conv3 (by .30 in conv2 to .40"
            " in conv3) and more in fc6 (by .20, 95 % interval .10 to .30, p = .020); no difference can be told in"
            " conv1; fc7 is left out."
        ]

    def test_what_cannot_be_tested_is_told_by_its_interval(self) -> None:
        values = zip(LAYERS, (-0.2, -0.3, 0.1, 0.05, 0.4), (0.1, 0.1, 0.05, 0.1, NAN), strict=True)
        rows = [
            trend("excess", other=OTHER, layer=layer, value=v, low=v - wide, high=v + wide, p=NAN)
            for layer, v, wide in values
        ]
        assert self.told(*rows) == [
            f"{AB} of `e` share less than {CD} of `f`, each against chance, in conv1 and conv2 (by .20 in conv1 to .30"
            " in conv2; no p-values, as told by 95 % intervals) and more in conv3 (by .10, 95 % interval .05 to .15, no"
            " p-value); no difference can be told in fc6 and fc7."
        ]
        slope = trends(trend("slope over layers", value=-0.06, low=-0.08, high=-0.05, p=NAN))
        told = f"Over the layers, excess sharing of {AB} of `e` falls by .060 a layer"
        assert trend_of(LINE, slope) == f"{told} (95 % interval .050 to .080, no p-value)."

    def test_no_difference_in_any_layer(self) -> None:
        rows = [trend("excess", other=OTHER, layer=layer, p=0.5) for layer in LAYERS]
        assert self.told(*rows) == [f"Between {AB} of `e` and {CD} of `f`, no difference can be told in any layer."]

    def test_lines_alone_are_not_compared(self) -> None:
        assert self.told(trend("slope over layers"), trend("slope over checkpoints", layer="fc6")) == []


class TestWarnings:
    TEXT = {"text": ["basic", "word"]}  # noqa: RUF012

    def told(self, run: RunTables, word: str) -> list[str]:
        return [sentence for sentence in cautions(run) if word in sentence]

    def test_none_but_that_of_one_network_where_all_is_well(self) -> None:
        assert cautions(made_run(self.TEXT, networks=5)) == []
        (only,) = cautions(made_run(self.TEXT))
        assert only.startswith("One network stands for `text`: ")
        assert "`replicates: 5`" in only
        (only,) = cautions(made_run({**self.TEXT, "other": ["a"]}, trained=False))
        assert only.startswith("One network stands for each of `text` and `other`: ")
        assert "replicates" not in only

    def test_few_images(self) -> None:
        assert self.told(made_run(self.TEXT, images=20), "images are analysed") == []
        (few,) = self.told(made_run(self.TEXT, images=19), "analysed")
        assert few.startswith("`text`: only 19 images are analysed")
        assert len(self.told(made_run(self.TEXT, images=19, networks=3), "analysed")) == 3
        (one,) = self.told(made_run(self.TEXT, images=1), "analysed")
        assert "only 1 image is analysed" in one

    def test_tasks_at_chance(self) -> None:
        # of 200 images at a chance of .05, 16 or more are right in 4.4 % of cases, 15 or more in 7.8 %
        for right, guessed in ((16, False), (15, True)):
            run = made_run(self.TEXT, accuracy=lambda *at, r=right: {"accuracy": r / 200} if at[3] == "word" else {})
            assert bool(self.told(run, "no better than chance")) == guessed
        early = made_run(self.TEXT, accuracy=lambda *at: {"accuracy": 0.05} if at[2] == "0" else {})
        assert self.told(early, "no better than chance") == []
        third = made_run(self.TEXT, networks=3, accuracy=lambda *at: {"accuracy": 0.05} if at[1] == 3 else {})
        assert [sentence[:18] for sentence in self.told(third, "no better than")] == ["`text`, network 3:"] * 2

    def test_near_zero_as_the_table_marks_it(self) -> None:
        run = made_run(self.TEXT, sharing=lambda e, layer, *_: {"near_zero": "word"} if layer in ("fc6", "fc7") else {})
        (near,) = self.told(run, "average unit")
        expected = (
            "`text`, `basic` and `word`: the average unit contributes less than .05 bits to `word` in fc6 and fc7:"
        )
        assert near.startswith(expected)
        both = made_run(self.TEXT, sharing=lambda *_: {"near_zero": "basic + word"})
        assert "to `basic` and `word` in every layer:" in self.told(both, "average unit")[0]

    def test_tasks_that_most_units_ignore(self) -> None:
        few = made_run(
            self.TEXT, contribution=lambda e, layer, unit, task: {"contribution": 1.0 if unit == 0 else 0.01}
        )
        told = self.told(few, "ignore")
        assert told[0] == (
            "`text`: most units ignore `basic` in every layer (up to 75 % of them contribute less than .05 bits): its"
            " contribution there is that of the others."
        )
        assert len(told) == 2
        half = made_run(self.TEXT, contribution=lambda *at: {"contribution": 1.0 if at[2] < 2 else 0.01})
        assert self.told(half, "ignore") == []
        all_near = made_run(self.TEXT, contribution=lambda *_: {"contribution": 0.01})
        assert self.told(all_near, "ignore") == []

    def test_few_effective_samples(self) -> None:
        layers = {"conv1": 2.0, "conv2": 1.04, "conv3": 1.5, "fc6": np.inf, "fc7": 1.99}
        run = made_run(self.TEXT, contribution=lambda e, layer, *_: {"effective_samples": layers[layer]})
        (few,) = self.told(run, "effective samples")
        assert few.startswith(
            "`text`: the median unit has fewer than 2 effective samples in conv2, conv3 and fc7 (fewest: 1.0 in conv2,"
            " of 100):"
        )

    def test_numbers_that_are_not_there(self) -> None:
        alone = made_run(self.TEXT, sharing=lambda *_: {"low": NAN, "high": NAN})
        assert self.told(alone, "nan") == ["`text`, `basic` and `word`: low and high are nan in every layer."]
        chance = made_run(self.TEXT, sharing=lambda e, layer, *_: {"excess": NAN} if layer == "conv2" else {})
        assert self.told(chance, "nan") == ["`text`, `basic` and `word`: excess is nan in conv2."]


class Text(HTMLParser):
    """The text of a page, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while (last := self.tags.pop()) != tag:
            assert last == "meta", f"{last} is not closed"

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("tasks", [1, 2, 3, 4])
@pytest.mark.parametrize("networks", [1, 5])
@pytest.mark.parametrize("experiments", [1, 2])
def test_runs_of_any_shape_are_summarized(tasks: int, networks: int, experiments: int) -> None:
    names = {f"exp{number}": [f"t{task}" for task in range(tasks)] for number in range(experiments)}
    for checkpoints, layers in ((("0", "9"), LAYERS), (("9",), ("conv1",))):
        run = made_run(names, checkpoints=checkpoints, layers=layers, networks=networks)
        text = as_markdown(summarize(run))
        pairs = list(combinations(range(tasks), 2))
        assert text.count("no difference from chance can be told") == len(pairs) * experiments
        assert len(re.findall(r"^### `t\d` and `t\d` of `exp\d`$", text, re.MULTILINE)) == len(pairs) * experiments
        assert ("one network" if networks == 1 else "five networks") in text
        assert ("sd of excess" in text) == (networks > 1 and bool(pairs))
        assert ("take the network as the unit of replication" in text) == (networks > 1 and bool(pairs))
        assert ("An asterisk marks" in text) == (networks == 1)
        assert ("in how many of these the accuracy differs" in text) == (networks > 1)
        assert f"{'One experiment' if experiments == 1 else 'Two experiments'}, " in text
        assert f"; {'one layer' if len(layers) == 1 else 'five layers'}: conv1" in text
        assert f"{'one checkpoint' if len(checkpoints) == 1 else 'two checkpoints'} (" in text
        assert not re.search(r"\bnan\b|\bNone\b|\binf\b|,,", text)
        assert all(len(set(map(len, table))) == 1 for table in tables_of_text(text))
        assert Text(as_page("x", summarize(run))).tags in ([], ["meta"])


def tables_of_text(text: str) -> list[list[str]]:
    return [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]


def test_numbers_of_the_summary_are_those_of_the_tables() -> None:
    def numbers(name: str, layer: str, *pair: str) -> dict[str, Any]:
        return {"sharing": 0.812, "low": 0.795, "high": 0.834, "chance": 0.7, "excess": 0.3733, "p": 0.0019}

    def accuracies(*at: Any) -> dict[str, Any]:
        return {"accuracy": 0.9 + 0.01 * at[1]} if at[3] == "a" else {}

    run = made_run({"e": ["a", "b"]}, networks=3, sharing=numbers, accuracy=accuracies)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in as_markdown(summarize(run)).splitlines()]
    shared = ["conv2", ".81", "[.80, .83]", ".70", "[.45, .55]", ".37", "[-.10, .10]", ".002", ".02"]
    assert shared in rows or [*shared[:2], "[.79, .83]", *shared[3:]] in rows  # .795 is a little less in binary
    assert ["e", "a", "92 % (91 % to 93 %)", "5 %", "200"] in rows
    assert ["e", "b", "90 %", "5 %", "200"] in rows
    assert ["fc7", "a", "50 % 3/3", "[50 %, 75 %]", "50 % 0/3", "[50 %, 75 %]"] in rows


def test_trends_over_layers_are_those_of_the_last_checkpoint() -> None:
    lines = {"other": ("f", "a", "b")}
    rows = [
        trend("slope over layers", checkpoint=checkpoint, value=value, low=low, high=low + 0.1, **more)
        for more in ({}, lines)
        for checkpoint, value, low in (("0", 0.55, 0.5), ("9", -0.25, -0.3))
    ]
    text = as_markdown(summarize(made_run({"e": ["a", "b"], "f": ["a", "b"]}, rows_of_trends=rows)))
    assert "excess sharing of `a` and `b` of `e` falls by .250 a layer" in text
    assert "The slope over layers of `a` and `b` of `e` is lower than that of `a` and `b` of `f`, by .250" in text
    assert ".550" not in text


def test_blocks_are_the_same_in_html() -> None:
    blocks: list[Block] = [
        Heading("A < B"),
        Paragraph("`x` & y"),
        Items(("one", "`two`")),
        Grid(("a", "b"), [("p|q", "1")], (0,)),
    ]
    page = as_html(blocks)
    assert page == (
        "<h2>A &lt; B</h2>\n<p><code>x</code> &amp; y</p>\n<ul>\n<li>one</li>\n<li><code>two</code></li>\n</ul>\n"
        '<table>\n<thead>\n<tr><th class="text">a</th><th>b</th></tr>\n</thead>\n<tbody>\n'
        '<tr><td class="text">p|q</td><td>1</td></tr>\n</tbody>\n</table>'
    )
    assert Text(page).tags == []
    assert "| p\\|q | 1 |" in re.sub(" +", " ", as_markdown(blocks))


def test_pages_of_tables_are_cut_and_say_so() -> None:
    rows = [(step, "a<b", 1 / 3, 0.5) for step in range(MOST_ROWS + 5)]
    whole = as_html(table_page(TRAINING, frame_of(TRAINING, rows[:-5]), "training.csv"))
    assert "<p>2,000 rows; numbers with 4 digits. <code>training.csv</code> has all of it." in whole
    cut = as_html(table_page(TRAINING, frame_of(TRAINING, rows), "training.csv"))
    assert "<p>The first 2,000 of 2,005 rows;" in cut
    assert cut.count("<tr>") == MOST_ROWS + 1 + 1 + len(TRAINING.columns)
    assert '<tr><td>1999</td><td class="text">a&lt;b</td><td>0.3333</td><td>0.5</td></tr>' in cut
    assert "<td>2000</td>" not in cut


def test_the_page_of_the_summary_has_the_numbers_of_its_rules() -> None:
    page = (ROOT / "docs/summary.md").read_text()
    assert f"| under {FEW_IMAGES} images are kept" in page
    assert f"with a probability above {GUESSED:g}".replace("0.", ".") in page
    assert f"fewer than {FEW_SAMPLES} effective samples" in page
    assert MOST_UNITS == 0.5
    assert "more than half of a layer's units" in page
    assert f"and p < {claims.LEVEL:g}".replace("0.", ".") in page
    assert f"first {MOST_ROWS:,} rows" in " ".join(page.split())
