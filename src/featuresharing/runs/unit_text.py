"""The card of a unit as lines of text for a terminal, and as values for programs."""

import math
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from featuresharing.analysis.extreme_images import SIDES
from featuresharing.analysis.unit_card import SERVING, UnitCard
from featuresharing.colours.palettes import brightness, colours
from featuresharing.replicates import network_label
from featuresharing.runs.unit_files import Surroundings
from featuresharing.settings import FigureSettings

if TYPE_CHECKING:
    from pandas import Series

BAR = 10
"""Characters of the brightest bar."""

COLUMN = 20 + BAR
"""Characters that the numbers of a task take, with their bar."""

GAP = 2
"""Blanks between columns."""

NARROW, WIDE = 60, 120
"""Fewest and most characters of a line."""

ALIKE, PALE = 0.1, 0.3
"""Where the brightness of two tasks, from 0 to 1, differs by less, a unit looks grey, or its colour greyish."""

MOST, LEAST = 6, 3
"""Classes that are named of many: those with the most evidence, and with the least."""

SHORT = {"bits": "bits", "probability": "prob.", "scores": "score"}
"""What heads the column of contributions."""


def card_lines(
    card: UnitCard, around: Surroundings, style: FigureSettings, *, width: int = 80, block: str = "#"
) -> Iterator[str]:
    """Yield the lines of a card, which are ``width`` characters long where that fits; bars are made of ``block``."""
    width = min(max(width, NARROW), WIDE)
    yield from _head(card, width)
    for sentence in colours_in_words(card, around.first, style):
        yield from _wrapped(sentence, width)
    yield ""
    yield from _contributions(card, style, width, block)
    yield ""
    yield from _classes(card, width)
    yield from _images(card, around, width)
    yield from _files(around)


def card_values(card: UnitCard, around: Surroundings) -> dict[str, Any]:
    """Return a card as texts, numbers, lists and dicts, for JSON; what is not finite becomes None."""
    images = [
        {key: value for key, value in row.items() if not key.startswith("class_")}
        | {"classes": {task: row[f"class_{task}"] for task in card.tasks if f"class_{task}" in row}}
        | ({} if around.images is None else {"path": str(around.images[row["image"]])})
        for row in card.images.to_dict("records")
    ]
    names = ("experiment", "replicate", "checkpoint", "layer", "path", "unit", "units", "ranked", "measure", "limit")
    taken_out = {name: _plain(card.attributes.get(name)) for name in ("estimator", "samples", "scale", "seed")}
    return {
        **{name: getattr(card, name) for name in names},
        "taken_out": {name: value for name, value in taken_out.items() if value is not None},
        "effective_samples": _plain(card.effective_samples),
        "skipped_mass": _plain(card.skipped_mass),
        "contributions": [
            {key: _plain(value) for key, value in row.items()} for row in card.contributions.to_dict("records")
        ],
        "classes": card.classes.to_dict("records"),
        "images": images,
        "feature": {"path": str(around.feature), "exists": around.feature.exists(), "target": str(around.sheet)},
        "figures": [str(path) for path in around.drawings],
    }


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _head(card: UnitCard, width: int) -> Iterator[str]:
    module = f", module {card.path}" if card.path != card.layer else ""
    some = "" if card.ranked == card.units else f", of which {card.ranked} are there"
    network = network_label(card.experiment, card.replicate)
    first = f"Unit {card.unit} of {card.layer} in {network}, checkpoint {card.checkpoint}"
    yield from _wrapped(f"{first} ({card.units} units{some}{module})", width)
    yield from _wrapped(f"Taken out: {_removal(card)}.", width)
    rows = card.at().sort_values("multiple", ascending=False, kind="stable")
    said = [
        f"{_multiple(row['multiple'])} times as much to {task} (rank {row['rank']} of {card.ranked})"
        for task, row in rows.iterrows()
    ]
    yield from _wrapped(f"Against the layer's average unit it contributes {', and '.join(said)}.", width)


def colours_in_words(card: UnitCard, first: str, style: FigureSettings) -> Iterator[str]:
    """Yield which colour the unit has on the map of ``first`` and each other task, and why."""
    levels = {task: _level(row["multiple"], style) for task, row in card.at().iterrows()}
    hues = style.palette.split("-")
    a = levels.pop(first)
    for other, b in levels.items():
        rgb = colours(style.palette, np.array(a), np.array(b))
        if max(a, b) < ALIKE:
            why = f"dark, since neither {first} nor {other} relies on it"
        elif abs(a - b) < ALIKE:
            why = f"grey, about as bright for {first} as for {other}"
        else:
            hue, more, less = (hues[0], first, other) if a > b else (hues[1], other, first)
            tone = "greyish " if abs(a - b) < PALE else ""
            why = f"{tone}{hue}, since {more} relies on it more than {less}"
        multiples = card.at()["multiple"]
        served = [task for task in (first, other) if multiples[task] >= SERVING]
        serves = {0: "neither", 1: f"only {''.join(served)}", 2: "both"}[len(served)]
        rule = f"it serves {serves}, counted from {SERVING:g} times the average unit"
        yield f"On the map it is {why} (#{bytes(rgb).hex()}); {rule}."


def _wrapped(sentence: str, width: int, indent: int = 2) -> list[str]:
    return wrap(sentence, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _removal(card: UnitCard) -> str:
    values = card.attributes
    name = str(values.get("estimator", "unknown"))
    if name == "lesion":
        return "set to zero (lesion)" + (", seen in raw scores" if card.measure == "scores" else "")
    if not math.isfinite(card.effective_samples):
        return f"averaged over its prior without draws ({name})"
    drawn = f"averaged over {values['samples']} draws of its weights ({name})" if "samples" in values else name
    lost = f" (at most {card.skipped_mass:.1g} of it is left out)" if card.skipped_mass else ""
    return f"{drawn}, of which {card.effective_samples:.3g} carry the weight{lost}"


def _contributions(card: UnitCard, style: FigureSettings, width: int, block: str) -> Iterator[str]:
    """Yield a table over the checkpoints, with as many tasks side by side as fit."""
    checkpoints = list(dict.fromkeys(card.contributions["checkpoint"]))
    label = max(len(name) for name in ("checkpoint", *checkpoints)) + 1
    fitting = max(1, (width - label) // (GAP + COLUMN))
    for first in range(0, len(card.tasks), fitting):
        tasks = card.tasks[first : first + fitting]
        named = [f"{task[:COLUMN]:^{COLUMN - BAR}}" for task in tasks]
        heads = [f"{SHORT[card.measure]:>7} {'x':>5} {'rank':>4}" for _ in tasks]
        yield _joined(" " * label, named)
        yield _joined(f"{'checkpoint':>{label}}", heads)
        for checkpoint in checkpoints:
            at = card.at(checkpoint)
            cells = [_cell(at.loc[task], style, block) for task in tasks]
            mark = ">" if checkpoint == card.checkpoint else " "
            yield _joined(f"{mark}{checkpoint:>{label - 1}}", cells)
        yield ""
    low, high = style.darkest_and_brightest
    key = f"x: times the layer's average unit; bars: brightness on the map, from {low:g} to {high:g} x."
    yield from _wrapped(key, width)
    if card.contributions["near_zero"].any():
        few = f"~: the average unit contributes under {card.limit:g} {card.measure}: multiples and ranks mean little."
        yield from _wrapped(few, width)


def _joined(label: str, cells: Sequence[str]) -> str:
    return (" " * GAP).join([label, *(f"{cell:{COLUMN}}" for cell in cells)]).rstrip()


def _level(multiple: float, style: FigureSettings) -> float:
    """Return the brightness of a multiple of the average unit, 0 where that contributes nothing."""
    return 0.0 if math.isnan(multiple) else float(brightness(np.array(multiple), style))


def _cell(row: "Series[Any]", style: FigureSettings, block: str) -> str:
    mark = "~" if row["near_zero"] else " "
    numbers = f"{_short(row['contribution']):>7} {_multiple(row['multiple']):>5} {row['rank']:>4}"
    return f"{numbers}{mark} {block * round(BAR * _level(row['multiple'], style))}"


def _classes(card: UnitCard, width: int) -> Iterator[str]:
    """Yield which classes get the most and the least of each task's evidence."""
    if card.classes.empty:
        return
    yield f"Evidence for the right class, in {card.measure} an image, by class:"
    label = max(map(len, card.tasks))
    for task in card.tasks:
        own = card.classes[card.classes["task"] == task]
        texts = [f"{row['class']} {_signed(row['evidence'], card)}" for row in own.to_dict("records")]
        if len(texts) > MOST + LEAST:
            texts = [*texts[: MOST - 1], f"{texts[MOST - 1]} ... {texts[-LEAST]}", *texts[len(texts) - LEAST + 1 :]]
        yield from _wrapped(f"  {task:{label}}  {', '.join(texts)}", width, indent=label + 4)
    yield ""


def _signed(value: float, card: UnitCard) -> str:
    return f"{value:+.{2 if card.measure == 'bits' else 4}f}"


def _images(card: UnitCard, around: Surroundings, width: int) -> Iterator[str]:
    """Yield the images of each task: the two sides next to each other where they fit."""
    texts, place = _image_texts(card, around)
    yield f"Images with the most and the least of it{place}:"
    images = card.images.assign(text=texts)
    sides = [[images[(images["task"] == task) & (images["side"] == side)] for side in SIDES] for task in card.tasks]
    digits = 2 if card.measure == "bits" else 4
    cells = [
        [[f"{row.evidence:+8.{digits}f}  {row.text}" for row in one.itertuples()] for one in pair] for pair in sides
    ]
    wide = max(len(text) for pair in cells for one in pair for text in one)
    for task, (most, least) in zip(card.tasks, cells, strict=True):
        heads = (f"{task}: most", f"{task}: least")
        if 2 * wide + GAP + 1 <= width:
            for left, right in zip([heads[0], *most], [heads[1], *least], strict=True):
                yield f"  {left:{wide + GAP}}{right}".rstrip()
        else:
            for head, one in zip(heads, (most, least), strict=True):
                yield from (f"  {text}" for text in (head, *one))
    yield ""


def _image_texts(card: UnitCard, around: Surroundings) -> tuple[list[str], str]:
    """Return what each image is called, and where they all are if that is one folder."""
    named = [f"class_{task}" for task in card.tasks if f"class_{task}" in card.images]
    if not named:
        return [f"image {position}" for position in card.images["image"]], ""
    files, place = list(card.images["file"]), ""
    if around.images is not None:
        paths = [around.images[position] for position in card.images["image"]]
        folders, endings = {path.parent for path in paths}, {path.suffix for path in paths}
        if len(folders) == len(endings) == 1:
            files, place = [path.stem for path in paths], f" ({folders.pop()}/NAME{endings.pop()})"
        else:
            files = [str(path) for path in paths]
    classes = [", ".join(row) for row in card.images[named].to_numpy()]
    longest = max(map(len, classes))
    return [f"{each:{longest}}  {file}" for each, file in zip(classes, files, strict=True)], place


def _files(around: Surroundings) -> Iterator[str]:
    made = around.feature.exists()
    yield f"What drives it: {around.feature}" if made else f"What drives it: snakemake {around.sheet} makes a picture"
    if around.drawings:
        yield f"Map of the layer: {', '.join(map(str, around.drawings))}"


def _short(value: float) -> str:
    """Return a number from 0 in 7 characters at most."""
    return f"{value:.2g}" if 0 < value < 0.001 else f"{value:#.3g}".rstrip(".") if value < 1000 else f"{value:.0f}"


def _multiple(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
