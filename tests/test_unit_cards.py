"""The table of images and the cards of units: against plain loops, and from folders of results."""

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pandas import DataFrame

from featuresharing import InputError, image_table, read_conditionals, unit_card, write_table
from featuresharing.colours.palettes import brightness, colours
from featuresharing.data.columns import EXTREMES, KEPT
from featuresharing.data.table_files import frame_of, read_table
from featuresharing.replicates import network_label
from featuresharing.runs.unit_text import colours_in_words
from featuresharing.settings import FigureSettings
from featuresharing.store import LayerConditionals
from tests.support import stores
from tests.support.commands import run, run_python
from tests.support.files import rows
from tests.test_extreme_images import sorted_by_hand

COUNT = 20
WORD = [0, 1, 2, -1, 0, 1, 2, 0, 1, -1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
NAMES = {"word": ["sun", "map", "oil"], "basic": ["bird", "boat"]}
CHECKPOINTS = {"2": 2, "10": 10, "end": 40}
"""Names of checkpoints in the order of training, which that of texts is not, and their steps."""


def compute(path: Path, checkpoint: str = "10", **changes: Any) -> Path:
    """Write a layer on twenty images, two of which have no word; predictions depend on the checkpoint."""
    named = ("estimator", "softmax")
    settings = stores.SETTINGS | {"estimator": "prior-weighted"} | {k: changes.pop(k) for k in named if k in changes}
    attributes = stores.ATTRIBUTES | settings | {"checkpoint": checkpoint, "step": CHECKPOINTS[checkpoint]}
    attributes |= changes.pop("attributes", {})
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(CHECKPOINTS[checkpoint])
    tasks = [
        replace(task, predictions=rng.dirichlet(np.ones(task.classes), COUNT).astype(np.float32))
        for task in stores.tasks(COUNT, word=WORD)
    ]
    stores.compute(path, tasks=tasks, attributes=attributes, settings=settings, **changes)
    return path


def kept_images(prefix: str = "image") -> DataFrame:
    classes = [task.targets for task in stores.tasks(COUNT, word=WORD)]
    named = [[names[y] if y >= 0 else "-" for y in own] for names, own in zip(NAMES.values(), classes, strict=True)]
    images = [(3 * i, f"{prefix}{i}.png", *row) for i, row in enumerate(zip(*named, strict=True))]
    return frame_of(KEPT, images, rest=list(NAMES))


def by_hand(layer: LayerConditionals, row: int, task: str) -> list[float]:
    """Return the weight of evidence of a unit by image, nan for images that are not of the task."""
    found, k = [], layer.classes[task]
    for p, q in zip(layer.predictions[task].tolist(), layer.conditionals[task][row].tolist(), strict=True):
        odds = [(x * 1e6 + 1) / (1e6 * k) / (1 - (x * 1e6 + 1) / (1e6 * k)) for x in (p, q)]
        found.append(math.log2(odds[0] / odds[1]) if not math.isnan(p) else math.nan)
    return found


def sizes_by_hand(layer: LayerConditionals, task: str) -> list[float]:
    """Return what each unit contributes to a task."""
    every = ([x for x in by_hand(layer, row, task) if not math.isnan(x)] for row in range(len(layer.units)))
    return [abs(sum(own) / len(own)) for own in every]


@pytest.mark.parametrize("storage", ["true-class", "full"])
def test_the_table_of_images_is_that_of_plain_loops(tmp_path: Path, storage: str) -> None:
    layers = [read_conditionals(compute(tmp_path / f"{c}.h5", c, storage=storage)) for c in CHECKPOINTS]
    frame = image_table(iter(layers), kept_images())
    wanted = [
        ("object_text", 1, checkpoint, "conv5", unit, task, side, place, image, f"image{image}.png", own[image])
        for checkpoint, layer in zip(CHECKPOINTS, layers, strict=True)
        for row, unit in enumerate(stores.UNITS)
        for task in NAMES
        for own in [by_hand(layer, row, task)]
        for side in ("highest", "lowest")
        for place, image in enumerate(sorted_by_hand(own, side, 8), start=1)
    ]
    assert list(frame) == list(EXTREMES.names)
    assert frame.drop(columns="evidence").to_numpy().tolist() == [list(row[:-1]) for row in wanted]
    np.testing.assert_allclose(frame["evidence"], [row[-1] for row in wanted], rtol=1e-9)
    write_table(tmp_path / "images.csv", frame, EXTREMES)
    again = read_table(tmp_path / "images.csv", EXTREMES)
    assert again.dtypes.equals(frame.dtypes)
    assert again.drop(columns="evidence").equals(frame.drop(columns="evidence"))


def test_each_network_has_images_of_its_own(tmp_path: Path) -> None:
    files = [
        compute(tmp_path / f"{i}.h5", attributes={"experiment": experiment, "replicate": replicate, "alias": alias})
        for i, (experiment, replicate, alias) in enumerate([("a", 1, "x"), ("a", 2, "x"), ("a", 1, "y"), ("b", 1, "x")])
    ]
    kept = [kept_images(name) for name in ("first", "second", "third")]
    for name, frame in zip(("1", "2", "3"), kept, strict=True):
        write_table(tmp_path / f"{name}.csv", frame, KEPT)
    output = tmp_path / "images.csv"
    assert run("tabulate-images", conditionals=files, kept=[tmp_path / f"{i}.csv" for i in "123"], output=output) == 0
    found = {
        (row["experiment"], row["replicate"], row["layer"], row["file"].rstrip(".png0123456789"))
        for row in rows(output)
    }
    assert found == {
        ("a", "1", "x", "first"),
        ("a", "2", "x", "second"),
        ("a", "1", "y", "first"),
        ("b", "1", "x", "third"),
    }
    with pytest.raises(InputError, match="kept images: found tables of 2 networks, and none of b; accepted is one eac"):
        image_table(map(read_conditionals, files), kept[:2])
    assert image_table([], kept_images()).empty


def test_a_task_with_few_images_has_few_places() -> None:
    evidence = {"word": np.array([0.9, np.nan, 0.8]), "basic": np.array([0.9, 0.7, 0.8])}
    predictions = {task: values.astype(np.float32) for task, values in evidence.items()}
    without = {task: np.array([[0.2], [0.1]], np.float32) + 0 * values for task, values in predictions.items()}
    attributes = {"experiment": "e", "alias": "x", "checkpoint": "1"}
    layer = LayerConditionals(
        np.array([4, 7]), {"word": 2, "basic": 2}, predictions, without, np.ones(2), np.zeros(2), {}, attributes
    )
    kept = frame_of(KEPT, [(0, "a", "s", "b"), (1, "b", "-", "b"), (2, "c", "s", "b")], rest=["word", "basic"])
    frame = image_table([layer], kept, method="probdiff")
    assert frame[["unit", "task", "side", "file"]].to_numpy().tolist() == [
        [unit, task, side, file]
        for unit in (4, 7)
        for task, high, low in (("word", "ac", "ca"), ("basic", "acb", "bca"))
        for side, files in (("highest", high), ("lowest", low))
        for file in files
    ]
    assert frame["evidence"].tolist()[:2] == pytest.approx([0.7, 0.6])


def test_tables_of_other_images_are_refused(tmp_path: Path) -> None:
    layer, kept = read_conditionals(compute(tmp_path / "x.h5")), kept_images()
    accepted = "; accepted is the table of the images of object_text 10 conv5"
    kept_of_all = kept.assign(word="sun")
    for frame, words in (
        (kept.iloc[1:], f"kept images: found 19{accepted}, which are 20."),
        (kept.drop(columns="word"), f"kept images: found the tasks basic{accepted}, which has 'word'."),
        (kept_of_all, f"kept images: found 'sun' for task 'word' of image 3{accepted}."),
    ):
        with pytest.raises(InputError) as error:
            image_table([layer], frame)
        assert str(error.value) == words
        with pytest.raises(InputError, match="kept images"):
            unit_card([layer], 5, kept=frame)


def test_a_card_says_what_plain_loops_say(tmp_path: Path) -> None:
    layers = [read_conditionals(compute(tmp_path / f"{name}.h5", name)) for name in CHECKPOINTS]
    card = unit_card(iter(layers), 3, checkpoint="10", kept=kept_images(), count=3, near_zero=0.3)
    row, shown = stores.UNITS.index(3), layers[1]
    wanted = []
    for checkpoint, layer in zip(CHECKPOINTS, layers, strict=True):
        for task in NAMES:
            sizes = sizes_by_hand(layer, task)
            mean = sum(sizes) / len(sizes)
            rank = 1 + sorted(sizes, reverse=True).index(sizes[row])
            numbers = (sizes[row], mean, sizes[row] / mean, rank, mean < 0.3)
            wanted.append((checkpoint, CHECKPOINTS[checkpoint], task, *numbers))
    found = card.contributions
    assert {True, False} == set(found["near_zero"])
    exact = ["checkpoint", "step", "task", "rank", "near_zero"]
    assert found[exact].to_numpy().tolist() == [[*each[:3], each[6], each[7]] for each in wanted]
    inexact = found[["contribution", "average", "multiple"]].to_numpy()
    np.testing.assert_allclose(inexact, [each[3:6] for each in wanted], rtol=1e-9)
    assert card.at().loc["basic", "rank"] == wanted[3][6]
    assert (card.unit, card.units, card.ranked, card.path, card.measure) == (3, 9, 6, "0.0.10", "bits")
    assert (card.effective_samples, card.skipped_mass) == (1.3, 3e-6)
    table = image_table([shown], kept_images(), count=3)
    own = table[table["unit"] == 3].reset_index(drop=True)
    same = ["task", "side", "place", "image", "evidence", "file"]
    assert card.images[same].equals(own[same])
    seen: dict[tuple[str, str], list[float]] = {}
    for task in NAMES:
        for name, value in zip(kept_images()[task], by_hand(shown, row, task), strict=True):
            seen.setdefault((task, name), []).extend([] if name == "-" else [value])
    means = [(task, name, len(each), sum(each) / len(each)) for (task, name), each in seen.items() if each]
    ordered = sorted(means, key=lambda each: (list(NAMES).index(each[0]), -each[3]))
    assert card.classes[["task", "class", "images"]].to_numpy().tolist() == [list(each[:3]) for each in ordered]
    np.testing.assert_allclose(card.classes["evidence"], [each[3] for each in ordered], rtol=1e-9)
    assert card.images["class_word"].tolist() == [kept_images()["word"][image] for image in own["image"]]


def test_measures_have_their_names_and_limits(tmp_path: Path) -> None:
    layer = read_conditionals(compute(tmp_path / "x.h5"))
    raw = read_conditionals(compute(tmp_path / "raw.h5", softmax=False))
    for given, method, said in (
        (layer, "we", ("bits", 0.05)),
        (layer, "infdiff", ("bits", 0.05)),
        (layer, "probdiff", ("probability", 0.005)),
        (raw, "probdiff", ("scores", 0.0)),
    ):
        card = unit_card([given], 0, method=method)
        assert (card.measure, card.limit) == said
    still = {task: values[None] + np.zeros((2, 1), np.float32) for task, values in layer.predictions.items()}
    flat = LayerConditionals(
        np.arange(2), layer.classes, layer.predictions, still, np.ones(2), np.zeros(2), {}, layer.attributes
    )
    numbers = unit_card([flat], 1).contributions
    assert numbers["contribution"].tolist() == [0, 0]
    assert numbers["multiple"].isna().all()
    assert numbers[["rank", "near_zero"]].to_numpy().tolist() == [[1, True]] * 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"unit": 4}, "conv5 of object_text, checkpoint 2, has no unit 4; accepted are 0 to 3, 5, 8."),
        ({"checkpoint": "3"}, "there is no checkpoint '3'; accepted are 2, 10."),
        ({"files": []}, "layers: found none; accepted is at least one."),
        ({"files": ["2", "2"]}, "layers: found a checkpoint of conv5 of object_text twice; accepted is each once."),
        (
            {"files": ["2", "other"]},
            "layers: found fc of object_text with conv5 of object_text; accepted is one layer.",
        ),
        ({"count": 0}, "count: found 0; accepted is an integer from 1."),
    ],
)
def test_what_cards_refuse(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    for name in ("2", "10"):
        compute(tmp_path / f"{name}.h5", name)
    compute(tmp_path / "other.h5", attributes={"alias": "fc"})
    files = given.pop("files", ["2", "10"])
    with pytest.raises(InputError) as error:
        unit_card((read_conditionals(tmp_path / f"{name}.h5") for name in files), **{"unit": 0} | given)
    assert str(error.value) == words


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder of results of one layer over training, and be where it lies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "90")
    for name in CHECKPOINTS:
        compute(Path(f"results/marginal/object_text/conv5_{name}.h5"), name)
    place = Path("results/baseline/object_text")
    place.mkdir(parents=True)
    write_table(place / "kept.csv", kept_images(), KEPT)
    lines = (f"../../images/test/image{i}.png 0,0\n" for i in range(COUNT))
    (place / "kept.txt").write_text("".join(lines))
    return Path("results")


def shown(capsys: pytest.CaptureFixture[str], *words: Any, **options: Any) -> str:
    assert run("unit", *words, **options) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_a_card_is_shown_in_lines_that_fit(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = unit_card((read_conditionals(results / f"marginal/object_text/conv5_{name}.h5") for name in CHECKPOINTS), 5)
    lines = shown(capsys, "object_text", "conv5", 5, top=2).splitlines()
    assert all(len(line) <= 90 for line in lines)
    text = " ".join(" ".join(lines).split())
    first = "Unit 5 of conv5 in object_text, checkpoint end (9 units, of which 6 are there, module 0.0.10) Taken out:"
    assert text.startswith(first)
    assert "averaged over 100 draws of its weights (prior-weighted), of which 1.5 carry the weight" in text
    at = card.at().sort_values("multiple", ascending=False)
    said = [f"{row['multiple']:.2f} times as much to {task} (rank {row['rank']} of 6)" for task, row in at.iterrows()]
    assert f"contributes {said[0]}, and {said[1]}." in text
    table = [
        line.replace("█", "").split() for line in lines if line.split()[:1] and line.split()[0] in (*CHECKPOINTS, ">")
    ]
    found = [row[-7:] for row in table]
    assert [row[0] for row in found] == list(CHECKPOINTS)
    for name, row in zip(CHECKPOINTS, found, strict=True):
        numbers = card.at(name)[["contribution", "multiple", "rank"]].to_numpy().ravel()
        np.testing.assert_allclose([float(text) for text in row[1:]], numbers, rtol=0.006)
    for image in unit_card(
        [read_conditionals(results / "marginal/object_text/conv5_end.h5")], 5, count=2
    ).images.itertuples():
        (line,) = {line for line in lines if f"{image.evidence:+.2f}" in line and f"image{image.image}" in line}
        assert ("  word: most" in lines) == (line.count("image") == 1)
    classes = unit_card(
        [read_conditionals(results / "marginal/object_text/conv5_end.h5")], 5, kept=kept_images()
    ).classes
    for task in NAMES:
        own = classes[classes["task"] == task].to_dict("records")
        listed = ", ".join(f"{each['class']} {each['evidence']:+.2f}" for each in own)
        assert f" {task} {listed} " in text
    assert "On the map it is " in text
    assert "snakemake results/features/object_text/conv5_end.png makes a picture" in text
    assert "Map of the layer" not in text


def test_pictures_that_are_there_are_named(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (
        "features/object_text/conv5_10/0005.png",
        "figures/object_text/conv5_10.png",
        "figures/object_text/conv5.gif",
    ):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).touch()
    text = shown(capsys, "object_text", "0.0.10", 5, checkpoint="10")
    assert "What drives it: results/features/object_text/conv5_10/0005.png\n" in text
    assert "Map of the layer: results/figures/object_text/conv5_10.png, results/figures/object_text/conv5.gif\n" in text
    values = json.loads(shown(capsys, "object_text", "conv5", 5, "--json", checkpoint="10"))
    assert values["feature"]["exists"]
    assert values["figures"] == ["results/figures/object_text/conv5_10.png", "results/figures/object_text/conv5.gif"]


@pytest.mark.parametrize(
    ("unit", "said", "serves"),
    [
        (0, "yellow, since word relies on it more than basic (#bfbf00)", "only word"),  # 3 and 0 of 4
        (1, "dark, since neither word nor basic relies on it (#000000)", "neither"),
        (2, "grey, about as bright for word as for basic (#404040)", "both"),  # 1 and 1
        (3, "blue, since basic relies on it more than word (#000080)", "only basic"),  # 0 and 2
        (4, "greyish blue, since basic relies on it more than word (#404080)", "both"),  # 1 and 2
    ],
)
def test_the_colour_on_the_map_is_explained(unit: int, said: str, serves: str) -> None:
    contributions = {"word": [3 / 8, 0, 1 / 8, 0, 1 / 8], "basic": [0, 0, 1 / 8, 2 / 8, 2 / 8]}
    predictions = {task: np.full(20, 0.5, np.float32) for task in contributions}
    without = {task: (0.5 - np.tile(own, (20, 1)).T).astype(np.float32) for task, own in contributions.items()}
    attributes = {"experiment": "e", "alias": "x", "checkpoint": "1"}
    layer = LayerConditionals(
        np.arange(5), {"word": 3, "basic": 2}, predictions, without, np.ones(5), np.zeros(5), {}, attributes
    )
    card = unit_card([layer], unit, method="probdiff")
    style = FigureSettings(palette="yellow-blue", colour_scale="linear")
    assert list(colours_in_words(card, "word", style)) == [
        f"On the map it is {said}; it serves {serves}, counted from 0.5 times the average unit."
    ]
    (other_way,) = colours_in_words(card, "basic", FigureSettings(palette="orange-blue"))
    assert (unit >= 3) == ("orange, since basic relies" in other_way)


def test_a_card_for_programs_has_every_number(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = json.loads(shown(capsys, "object_text", "conv5", 8, "--json"))
    layers = (read_conditionals(results / f"marginal/object_text/conv5_{name}.h5") for name in CHECKPOINTS)
    card = unit_card(layers, 8, kept=kept_images())
    assert values["contributions"] == card.contributions.to_dict("records")
    assert [each["evidence"] for each in values["images"]] == card.images["evidence"].tolist()
    assert values["classes"] == card.classes.to_dict("records")
    first = values["images"][0]
    assert first["path"] == f"results/images/test/image{first['image']}.png"
    assert first["classes"] == {task: card.images[f"class_{task}"][0] for task in NAMES}
    assert values["taken_out"] == {"estimator": "prior-weighted", "samples": 100, "scale": 1.0}
    assert (values["effective_samples"], values["limit"], values["measure"]) == (1.8, 0.05, "bits")
    assert not values["feature"]["exists"]


def test_a_card_is_shown_without_torch(results: Path) -> None:
    code = (
        "import sys\nfrom featuresharing.cli import main\n"
        "assert main(['unit', 'object_text', 'conv5', '5']) == 0\nassert 'torch' not in sys.modules"
    )
    assert "What drives it" in run_python(code)


def test_the_config_of_the_run_says_how_evidence_is_measured(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for replicate in (1, 2):
        place = results / "lesion" / network_label("object_text", replicate) / "conv5_10.h5"
        compute(place, attributes={"replicate": replicate}, estimator="lesion", softmax=False)
    config = [
        *("method: lesion", "lesions: {softmax: false}", "evidence: {method: probdiff}"),
        *("sharing: {near_zero: 0.4, later: 1}", "figures: {sort: true}"),  # as other versions may have it
        "experiments: [{name: object_text, tasks: [word, basic], sort_by: basic}]",
    ]
    (results / "config.yaml").write_text("\n".join(config))
    values = json.loads(shown(capsys, "object_text", "conv5", 8, "--json", replicate=2))
    card = unit_card([read_conditionals(results / "lesion/object_text/2/conv5_10.h5")], 8, method="probdiff")
    assert [each["contribution"] for each in values["contributions"]] == card.contributions["contribution"].tolist()
    assert (values["measure"], values["limit"], values["replicate"]) == ("scores", 0.4, 2)
    assert values["feature"]["target"] == "results/features/object_text/2/conv5_10.png"
    text = shown(capsys, "object_text", "conv5", 8, replicate=2)
    assert "Taken out: set to zero (lesion), seen in raw scores." in text
    assert "~: the average unit contributes under 0.4 scores" in text
    assert "by class" not in text
    levels = [brightness(np.array(card.at().loc[task, "multiple"]), FigureSettings()) for task in ("basic", "word")]
    assert f"(#{bytes(colours('orange-blue', *levels)).hex()})" in text
    assert "  image 13" in text  # nothing names the images of this network
    assert "  image13" in shown(capsys, "object_text", "conv5", 8)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ("object_tex", "conv5", 0),
            "results/marginal: there is no experiment 'object_tex' (did you mean 'object_text'?)",
        ),
        (
            ("object_text", "conv", 0),
            "results/marginal/object_text: there is no layer 'conv' (did you mean 'conv5'?); acc",
        ),
        (("object_text", "zzz", 0), "results/marginal/object_text: there is no layer 'zzz'; accepted are conv5."),
        (("object_text", "conv5", 7), "conv5 of object_text, checkpoint 2, has no unit 7; accepted are 0 to 3, 5, 8."),
        (("object_text", "conv5", -1), "unit: argument unit: found '-1'; accepted is an integer from 0 to"),
        (("object_text", "conv5", 0, "--checkpoint", "1"), "object_text, layer conv5: there is no checkpoint '1'"),
        (("object_text", "conv5", 0, "--checkpoint", "1"), "accepted are 2, 10, end."),
        (("object_text", "conv5", 0, "--replicate", "3"), "there is no replicate '3'; accepted are 1."),
        (
            ("object_text", "conv5", 0, "--results", "elsewhere"),
            "folder elsewhere does not exist; accepted is one that",
        ),
        (("object_text", "conv5", 0, "--checkpoint", "0010"), "no checkpoint '0010' (did you mean '10'?)"),
        (
            ("object_text", "conv5", 0, "--results", "results/baseline"),
            "results/baseline/marginal holds no conditionals;",
        ),
        (("object_text",), "unit: the following arguments are required: layer, unit."),
    ],
)
def test_names_that_are_not_there_are_told_with_those_that_are(
    results: Path, capsys: pytest.CaptureFixture[str], given: Iterable[Any], words: str
) -> None:
    assert run("unit", *given) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


def test_who_stands_in_another_folder_is_told_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("unit", "object_text", "conv5", 0) == 2
    sentence = "folder results does not exist; accepted is one that does; --results names another."
    assert capsys.readouterr().err == f"featuresharing: {sentence}\n"


def test_several_tasks_stand_below_each_other_where_they_do_not_fit(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    listed = results / "baseline/object_text/kept.txt"
    listed.write_text(listed.read_text().replace("/image", "/a-much-longer-name-of-image"))
    lines = shown(capsys, "object_text", "conv5", 5, top=1).splitlines()
    assert sum(line.split()[:1] == ["checkpoint"] for line in lines) == 2
    assert [line for line in lines if line.endswith((": most", ": least"))] == [
        f"  {task}: {side}" for task in NAMES for side in ("most", "least")
    ]
