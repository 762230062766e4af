"""The command line: a whole tiny chain, and one sentence about every wrong input."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from featuresharing import (
    contribution,
    cosine,
    lesion_accuracy,
    load_network,
    marginalize,
    permutation_null,
    predict,
    random_orders,
    read_conditionals,
    sharing,
    weight_of_evidence,
)
from featuresharing.analysis.lesions import LesionedLayer
from featuresharing.cli import main
from featuresharing.data.columns import KEPT
from featuresharing.data.images import load_images, read_inputs
from featuresharing.data.lists import read_classes, read_image_list
from featuresharing.data.preprocessing import stimulus_preprocessing
from featuresharing.data.table_files import frame_of, write_table
from featuresharing.figures.layer_map import plot_layer
from featuresharing.files.locks import holding
from featuresharing.networks.predictions import read_predictions
from featuresharing.settings import EvidenceSettings, FigureSettings
from featuresharing.store import UnitStore
from tests.support.commands import FONT, RESOURCES, run
from tests.support.files import rows

ARCHIVES = ("download", "extract", "import-list", "import-model")
WITHOUT_OUTPUT = ("status", "verify", "check", "inspect", "unit")
COMMANDS = (
    *(
        "render-images",
        "list-images",
        "train",
        "predict",
        "select-images",
        "marginalize",
        "merge-blocks",
        "tabulate-accuracy",
    ),
    *("tabulate-images", "unit"),
    *("tabulate-contributions", "tabulate-sharing", "plot-sharing", "plot-excess-sharing", "plot-training"),
    *("plot-units", "animate-units", "plot-layers", "animate-layers", "plot-tasks"),
    *ARCHIVES,
    *(
        "overlay-words",
        "lesion-curves",
        "summarize",
        "show-table",
        "tabulate-lesions",
        "plot-lesions",
        "visualize-units",
        "status",
        "verify",
        "check",
        "inspect",
    ),
)
SIZES: dict[str, Any] = {
    "image_size": 16,
    "stride": 1,
    "channels": [4] * 5,
    "kernels": [3] * 5,
    "hidden": [8, 8],
    "batch_size": 8,
    "shift": 1,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what every command of the chain made of two basic classes."""
    path = tmp_path_factory.mktemp("chain")
    render = {"basic_classes": ["boat", "bird"], "image_size": 16, "word_sizes": [6, 8]}
    renderings = {"train_renderings": 1, "test_renderings": 1}
    assert run("render-images", resources=RESOURCES, **render, **renderings, output_folder=path / "images") == 0
    stimuli = [path / "images/train.csv", path / "images/test.csv"]
    assert run("list-images", stimuli=stimuli, tasks=["basic", "word"], output_folder=path / "lists") == 0
    classes = path / "lists/classes.csv"
    train = {"list": path / "lists/train.txt", "classes": classes, "checkpoints": [0, 5]}
    assert run("train", **SIZES, **train, output_folder=path / "networks/demo") == 0
    network = {"classes": classes, "checkpoint": path / "networks/demo/5.pt", "device": "cpu"}
    predictions = path / "baseline/demo/5.h5"
    names = {"experiment": "demo", "checkpoint_name": "5"}
    assert run("predict", list=path / "lists/test.txt", **network, **names, output=predictions) == 0

    # by hand: four images with the classes that the network gives them
    probabilities = read_predictions(predictions).probabilities
    guesses = np.column_stack([task.argmax(axis=1) for task in probabilities.values()])
    paths = [line.rpartition(" ")[0] for line in (path / "lists/test.txt").read_text().splitlines()]
    (path / "lists/kept.txt").write_text("".join(f"{paths[i]} {guesses[i][0]},{guesses[i][1]}\n" for i in (0, 3, 7, 9)))
    kept = {"list": path / "lists/kept.txt", "experiment": "demo", "layer": "conv2", "aliases": "conv2=0.0.3"}
    conditionals, contributions = path / "marginal/conv2_5.h5", path / "tables/contributions.csv"
    assert run("marginalize", **kept, **network, samples=20, output=conditionals) == 0
    assert run("tabulate-accuracy", predictions=predictions, output=path / "tables/accuracy.csv") == 0
    assert run("tabulate-contributions", conditionals=conditionals, output=contributions) == 0
    table = path / "tables/sharing.csv"
    others = {name: path / f"tables/{name}.csv" for name in ("overlap", "over_networks", "trends")}
    assert run("tabulate-sharing", conditionals=conditionals, resamples=50, output=table, **others) == 0
    curves = {"list": kept["list"], **network, "conditionals": conditionals}
    assert run("lesion-curves", **curves, steps=2, random_orders=2, output=path / "tables/curves.csv") == 0
    for number, sort_by in enumerate(("word", "basic")):
        figure = path / f"figures/{number}.png"
        assert run("plot-units", conditionals=conditionals, sort_by=sort_by, dpi=50, output=figure) == 0
    frames = {"conditionals": [conditionals, conditionals], "dpi": 50}
    for what in ("units", "layers"):
        assert run(f"animate-{what}", **frames, output=path / f"figures/{what}.gif") == 0
    for what in ("layers", "tasks"):
        assert run(f"plot-{what}", conditionals=conditionals, output=path / f"figures/{what}.pdf") == 0
    figure = path / "figures/sharing.png"
    assert run("plot-sharing", sharing=table, layers="conv2", checkpoint="5", output=figure) == 0
    log, figure = path / "networks/demo/training.csv", path / "figures/training.png"
    assert run("plot-training", logs=f"demo={log}", accuracy=path / "tables/accuracy.csv", output=figure) == 0
    return path


def test_the_chain_leaves_its_outputs_and_nothing_else(folder: Path) -> None:
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    files -= {name for name in files if "/.progress/" in name}
    records = {name for name in files if name.endswith(".sha256")}
    hidden = {name for name in files - records if Path(name).name[0] == "."}
    assert sorted(re.sub(r"\.[0-9a-f]+\.done$", "", name) for name in hidden) == [
        "marginal/.conv2_5.h5",
        "tables/.curves.csv",
    ]
    for name in hidden:
        again = re.sub(r"/\.(.+)\.[0-9a-f]+\.done$", r"/\1", name)
        assert (folder / name).samefile(folder / again)
    for name in records:
        command = ["sha256sum", "--check", "--strict", "--quiet", Path(name).name]
        assert subprocess.run(command, cwd=(folder / name).parent, check=False).returncode == 0
    assert {name for name in files - hidden - records if not name.startswith(("images/train/", "images/test/"))} == {
        *("images/train.csv", "images/test.csv"),
        *("lists/train.txt", "lists/test.txt", "lists/classes.csv", "lists/kept.txt"),
        *("networks/demo/0.pt", "networks/demo/5.pt", "networks/demo/training.csv"),
        *("baseline/demo/5.h5", "marginal/conv2_5.h5"),
        *(f"tables/{name}.csv" for name in ("accuracy", "contributions", "curves", "sharing")),
        *(f"tables/{name}.csv" for name in ("overlap", "over_networks", "trends")),
        *("figures/0.png", "figures/1.png", "figures/units.gif", "figures/layers.gif", "figures/layers.pdf"),
        *("figures/tasks.pdf", "figures/sharing.png", "figures/training.png"),
    }
    with Image.open(folder / "figures/units.gif") as gif:
        assert isinstance(gif, GifImageFile)
        assert gif.n_frames == 2


def test_lists_hold_the_classes_of_the_stimuli(folder: Path) -> None:
    classes = read_classes(folder / "lists/classes.csv")
    assert classes["basic"] == ["bird", "boat"]
    for part in ("train", "test"):
        images = read_image_list(folder / f"lists/{part}.txt", list(classes.values()))
        stimuli = rows(folder / f"images/{part}.csv")
        assert [path.name for path in images.paths] == [Path(row["image"]).name for row in stimuli]
        for row, targets in zip(stimuli, images.targets, strict=True):
            assert [row[task] for task in classes] == [
                classes[task][i] for task, i in zip(classes, targets, strict=True)
            ]
    assert load_images(images.paths, size=16).any(axis=(1, 2, 3)).all()


def test_tables_hold_what_the_library_computes(folder: Path) -> None:
    classes = read_classes(folder / "lists/classes.csv")
    images = read_image_list(folder / "lists/kept.txt", list(classes.values()))
    pixels = read_inputs(images.paths, stimulus_preprocessing(16))
    network = load_network(folder / "networks/demo/5.pt")
    conditionals = marginalize(network, "0.0.3", pixels, samples=20)
    _, predictions = predict(network, pixels)
    wanted = {}
    for task, p, q, targets in zip(classes, predictions, conditionals, images.targets.T, strict=True):
        wanted[task] = contribution(weight_of_evidence(p, q)[:, range(4), targets])

    table = rows(folder / "tables/contributions.csv")
    assert [(row["unit"], row["task"]) for row in table] == [(str(u), task) for u in range(4) for task in classes]
    for row in table:
        unit = int(row["unit"])
        assert (row["experiment"], row["replicate"], row["checkpoint"], row["layer"]) == ("demo", "1", "5", "conv2")
        assert float(row["contribution"]) == pytest.approx(wanted[row["task"]][unit], rel=1e-6)
        assert float(row["effective_samples"]) == pytest.approx(conditionals.effective_samples[unit], rel=1e-8)
        assert float(row["skipped_mass"]) == pytest.approx(conditionals.skipped_mass[unit], rel=1e-8)

    (row,) = rows(folder / "tables/sharing.csv")
    assert (row["task_a"], row["task_b"]) == ("basic", "word")
    assert float(row["sharing"]) == pytest.approx(sharing(wanted["basic"], wanted["word"]), rel=1e-6)
    null = permutation_null(wanted["basic"], wanted["word"])
    (angle,) = (each for each in rows(folder / "tables/overlap.csv") if each["measure"] == "cosine")
    assert float(angle["value"]) == pytest.approx(cosine(wanted["basic"], wanted["word"]), rel=1e-6)
    (mean,) = rows(folder / "tables/over_networks.csv")
    assert (mean["networks"], mean["excess"], mean["p"]) == ("1", row["excess"], row["p"])
    assert {each["value"] for each in rows(folder / "tables/trends.csv")} == {"nan"}  # of one layer and checkpoint
    for name, value in (("chance", null.median), ("p", null.p), ("excess", null.excess)):
        assert float(row[name]) == pytest.approx(value, rel=1e-6)
    assert 0 <= float(row["low"]) <= float(row["high"]) <= 1

    attributes = read_conditionals(folder / "marginal/conv2_5.h5").attributes
    assert {"layer": "0.0.3", "samples": 20, "seed": 0, "step": 5}.items() <= attributes.items()


def test_tables_of_one_image_say_so_and_figures_count_in_the_singular(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = {"list": tmp_path / "lists/one.txt", "classes": folder / "lists/classes.csv"}
    lists["list"].parent.mkdir()
    lists["list"].write_text((folder / "lists/kept.txt").read_text().splitlines()[0] + "\n")
    (tmp_path / "images").symlink_to(folder / "images")
    options = {"checkpoint": folder / "networks/demo/5.pt", "experiment": "demo", "layer": "0.0.3", "samples": 5}
    output = tmp_path / "one.h5"
    assert run("marginalize", **lists, **options, device="cpu", output=output) == 0
    capsys.readouterr()
    warning = "demo: only 1 image is analysed, and allows no interval: contributions and sharing say little under 20"
    for command in ("tabulate-contributions", "tabulate-sharing"):
        assert run(command, conditionals=output, output=tmp_path / f"{command}.csv") == 0
        assert capsys.readouterr().out.splitlines()[0] == f"{warning} images."
    (row,) = rows(tmp_path / "tabulate-sharing.csv")[:1]
    assert (row["low"], row["high"]) == ("nan", "nan")
    assert 0 <= float(row["sharing"]) <= 1
    figure = plot_layer(read_conditionals(output), EvidenceSettings(), FigureSettings())
    assert " units, 1 image.  Sharing " in figure.texts[1].get_text()


def test_accuracy_counts_the_right_images(folder: Path) -> None:
    predictions = read_predictions(folder / "baseline/demo/5.h5")
    for row in rows(folder / "tables/accuracy.csv"):
        likeliest = predictions.probabilities[row["task"]].argmax(axis=1)
        assert float(row["accuracy"]) == pytest.approx(np.mean(likeliest == predictions.targets[row["task"]]))
        assert (row["experiment"], row["checkpoint"], row["step"]) == ("demo", "5", "5")


def test_the_summary_says_what_the_chain_found(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results/tables").mkdir(parents=True)
    tables = {name: tmp_path / f"results/tables/{name}.csv" for name in ("sharing_over_networks", "trends", "lesions")}
    outputs = {"over_networks": tables["sharing_over_networks"], "trends": tables["trends"]}
    conditionals = {"conditionals": folder / "marginal/conv2_5.h5"}
    assert run("tabulate-sharing", **conditionals, resamples=50, **outputs, output=tmp_path / "sharing.csv") == 0
    assert run("tabulate-lesions", curves=folder / "tables/curves.csv", output=tables["lesions"]) == 0
    predictions = folder / "baseline/demo/5.h5"
    (tmp_path / "kept.csv").write_text("index,image,basic,word\n" + "".join(f"{i},a,b,c\n" for i in range(4)))
    given: dict[str, Any] = {
        "accuracy": folder / "tables/accuracy.csv",
        "contributions": folder / "tables/contributions.csv",
    }
    given |= {"sharing": tables["sharing_over_networks"], "trends": tables["trends"], "lesions": tables["lesions"]}
    given |= {"predictions": predictions, "layers": ["conv2"], "checkpoint": "5"}
    words = {**given, "kept": f"demo={tmp_path / 'kept.csv'}", "output": tmp_path / "summary.md"}
    assert run("summarize", **words, page=tmp_path / "summary.html") == 0
    text = (tmp_path / "summary.md").read_text()
    assert "- `demo`: `basic` and `word`; one checkpoint (5); 4 images are analysed" in text
    assert "- `demo`: only 4 images are analysed: contributions and sharing say little under 20 images." in text
    row = rows(tables["sharing_over_networks"])[0]
    shown = [f"{float(row[name]):.2f}".replace("0.", ".", 1) for name in ("sharing", "chance", "excess")]
    (cells,) = re.findall(r"^\| conv2[^|]*\|(.*)\|$", text.partition("## Without")[0], re.MULTILINE)
    assert [cell.strip() for cell in cells.split("|")][:6:2] == shown
    found = read_predictions(predictions).targets["word"]
    share = max(np.bincount(found)) / len(found)
    (cells,) = re.findall(r"^\| demo +\| word +\|(.*)\|$", text, re.MULTILINE)
    assert cells.split("|")[1].strip() == f"{share * 100:.0f} %"
    assert text.splitlines()[0].removeprefix("# ") in (tmp_path / "summary.html").read_text()

    assert run("show-table", table=tables["lesions"], output=tmp_path / "lesions.html") == 0
    assert (tmp_path / "lesions.html").read_text().count('<td class="text">demo</td>') == len(rows(tables["lesions"]))
    assert run("show-table", table=folder / "tables/curves.csv", output=tmp_path / "x.html") == 2
    assert "found curves.csv; accepted are contributions.csv, sharing.csv," in capsys.readouterr().err
    assert run("summarize", **words | {"kept": f"other={tmp_path / 'kept.csv'}"}) == 2
    expected = "--kept: found 0 for 1 networks of 'demo'; accepted is a table of kept images for each network."
    assert expected in capsys.readouterr().err
    assert run("summarize", **words | {"predictions": conditionals["conditionals"]}) == 2


def test_selected_images_are_right_in_every_task(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"list": folder / "lists/kept.txt", "classes": folder / "lists/classes.csv"}
    checkpoint = {"checkpoint": folder / "networks/demo/5.pt", "device": "cpu"}
    assert run("predict", **options, **checkpoint, output=tmp_path / "all.h5") == 0
    selection = {"predictions": tmp_path / "all.h5", "max_images": 3, "output": tmp_path / "few.txt"}
    assert run("select-images", **options, **selection) == 0
    few_images = "only 3 images are analysed: contributions and sharing say little under 20 images."
    assert f"warning: {options['list']}: {few_images}" in capsys.readouterr().err.splitlines()
    classes = list(read_classes(options["classes"]).values())
    everything, few = read_image_list(options["list"], classes), read_image_list(tmp_path / "few.txt", classes)
    positions = [int(row["index"]) for row in rows(tmp_path / "few.csv")]
    assert [path.resolve() for path in few.paths] == [everything.paths[i].resolve() for i in positions]
    assert few.targets.tolist() == everything.targets[positions].tolist()
    assert len(positions) == 3


def test_an_interrupted_training_goes_on_to_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from featuresharing.networks.alexnet.trainer import Trainer

    options = {"list": folder / "lists/train.txt", "classes": folder / "lists/classes.csv"}
    advance = Trainer.advance

    def stop_at_three(trainer: Trainer) -> None:
        if trainer.step == 3:
            raise KeyboardInterrupt
        advance(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", stop_at_three)
        patch.setattr("featuresharing.runs.training.SAVE_SECONDS", 0)
        assert run("train", **SIZES, **options, checkpoints=[0, 5], output_folder=tmp_path / "resumed") == 130
    assert not list((tmp_path / "resumed").glob("*.pt"))
    assert run("train", **SIZES, **options, checkpoints=[0, 5], output_folder=tmp_path / "resumed") == 0
    assert "resumed at step 3" in capsys.readouterr().out
    for name in ("0.pt", "5.pt", "training.csv"):
        assert (tmp_path / "resumed" / name).read_bytes() == (folder / "networks/demo" / name).read_bytes()


def test_lesion_curves_are_those_of_the_library_and_go_on_where_they_were(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {
        "list": folder / "lists/kept.txt",
        "classes": folder / "lists/classes.csv",
        "device": "cpu",
    }
    given |= {"checkpoint": folder / "networks/demo/5.pt", "conditionals": folder / "marginal/conv2_5.h5"}
    given |= {"steps": 4, "random_orders": 3}
    whole, cut = tmp_path / "whole.csv", tmp_path / "cut.csv"
    assert run("lesion-curves", **given, output=whole) == 0
    calls: list[Any] = []

    measure = LesionedLayer.accuracy

    def counted(*arguments: Any, **options: Any) -> Any:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(arguments)
        return measure(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(LesionedLayer, "accuracy", counted)
        assert run("lesion-curves", **given, output=cut) == 130
    assert not cut.exists()
    assert run("lesion-curves", **given, output=cut) == 0
    assert "2 orders were measured already." in capsys.readouterr().out
    assert cut.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*") if path.name[0] != ".") == ["cut.csv", "whole.csv"]
    assert not list(tmp_path.glob(".*.measured"))
    with monkeypatch.context() as patch:
        patch.setattr(LesionedLayer, "accuracy", None)  # nothing is measured any more
        assert run("lesion-curves", **given, output=cut) == 0
        assert "cut.csv is there already." in capsys.readouterr().out
        cut.unlink()  # as Snakemake does to a job that is stopped in its last moments
        assert run("lesion-curves", **given, output=cut) == 0
    assert cut.read_bytes() == whole.read_bytes()
    with holding(cut):
        assert run("lesion-curves", **given, output=cut) == 2
    assert "cut.csv is being computed by process" in capsys.readouterr().err

    network = load_network(given["checkpoint"])
    images = read_image_list(given["list"], list(read_classes(given["classes"]).values()))
    pixels = read_inputs(images.paths, stimulus_preprocessing(16))
    orders = random_orders(range(4), 3)
    removed, accuracy = lesion_accuracy(network, "0.0.3", pixels, images.targets, orders)
    table = [row for row in rows(whole) if row["order"] == "word"]
    assert [int(row["removed"]) for row in table if row["task"] == "basic"] == removed.tolist()
    for column, task in enumerate(("basic", "word")):
        means = [float(row["random_mean"]) for row in table if row["task"] == task]
        np.testing.assert_allclose(means, accuracy[:, :, column].mean(axis=0), atol=1e-8)


@pytest.mark.parametrize("arguments", [[], *([command] for command in COMMANDS)], ids=lambda a: a[0] if a else "none")
def test_every_command_has_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--help"])
    assert end.value.code == 0
    out, err = capsys.readouterr()
    assert "usage: featuresharing" in out
    assert err == ""
    if not arguments:
        assert all(command in out for command in COMMANDS)


@pytest.fixture
def options(folder: Path, tmp_path: Path) -> dict[str, Any]:
    """Return options with which ``marginalize`` runs."""
    return {
        "list": folder / "lists/kept.txt",
        "classes": folder / "lists/classes.csv",
        "checkpoint": folder / "networks/demo/5.pt",
        "experiment": "demo",
        "layer": "conv2",
        "aliases": "conv2=0.0.3",
        "units": 0,
        "samples": 2,
        "device": "cpu",
        "output": tmp_path / "out/x.h5",
    }


def check_refused(capsys: pytest.CaptureFixture[str], status: int, *words: str) -> None:
    assert status == 2
    err = capsys.readouterr().err
    assert err.startswith("featuresharing: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"list": "nowhere.txt"}, ["image list nowhere.txt does not exist"]),
        ({"classes": "nowhere.csv"}, ["nowhere.csv does not exist"]),
        ({"checkpoint": "nowhere.pt"}, ["checkpoint nowhere.pt does not exist"]),
        ({"checkpoint": __file__}, ["test_cli.py cannot be read", "accepted"]),
        ({"layer": "conv9"}, ["layer 'conv9' does not exist", "0.0.3 (conv2)"]),
        ({"layer": "0.0.1"}, ["layer '0.0.1' is a ReLU", "accepted"]),
        ({"aliases": "conv2"}, ["--aliases: found 'conv2'", "NAME=PATH"]),
        ({"aliases": ["a=0.0.0", "=0.0.3"]}, ["--aliases: found '=0.0.3'", "NAME=PATH"]),
        ({"units": ["0-2", "4"]}, ["unit 4 of layer 'conv2'", "accepted are 0 to 3"]),
        ({"units": "3-1"}, ["--units: found '3-1'", "integer from 0 to 65535, or a range such as 0-127"]),
        ({"units": "x"}, ["--units: found 'x'", "accepted"]),
        ({"wait": -1}, ["--wait: found '-1'", "accepted"]),
        ({"estimator": "psychic"}, ["estimator 'psychic'", "prior-weighted"]),
        ({"estimator": "quadrature"}, ["layer 'conv2'", "quadrature", "linear layers"]),
        ({"estimator": "monte-carlo", "samples": 1}, ["samples: found 1", "at least 2"]),
        ({"engine": "steam"}, ["--engine: found 'steam'", "one-channel or plain"]),
        ({"dtype": "float16"}, ["--dtype: found 'float16'", "float32 or float64"]),
        ({"memory": 0}, ["--memory: found '0'", "accepted"]),
        ({"samples": 0}, ["--samples: found '0'", "accepted"]),
        ({"scale": "nan"}, ["--scale: found 'nan'", "accepted"]),
        ({"tolerance": 1}, ["--tolerance: found '1'", "accepted"]),
        ({"storage": "none"}, ["--storage: found 'none'", "true-class or full"]),
        ({"device": "nonsense"}, ["--device: found 'nonsense'", "auto, cpu, mps, cuda or cuda:N"]),
        ({"device": "cuda:99"}, ["--device: 'cuda:99' is not here", "accepted"]),
    ],
)
def test_a_wrong_option_is_named(
    options: dict[str, Any], change: dict[str, Any], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    check_refused(capsys, run("marginalize", **options | change), *words)
    assert not options["output"].exists()


@pytest.mark.parametrize("late", [False, True])
def test_a_signal_while_the_file_is_finished_waits_for_it(
    options: dict[str, Any], late: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finish = UnitStore.finish

    def interrupted(store: UnitStore) -> None:
        if late:
            finish(store)
        os.kill(os.getpid(), signal.SIGTERM)
        if not late:
            finish(store)

    monkeypatch.setattr(UnitStore, "finish", interrupted)
    assert run("marginalize", **options) == 128 + signal.SIGTERM
    sentence = "stopped, SIGTERM: 1 of 1 units are done and kept; the same command goes on there."
    assert sentence in capsys.readouterr().err
    assert options["output"].exists()
    monkeypatch.undo()
    assert run("marginalize", **options) == 0
    assert "is there already, with all 1 units" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named(options: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    check_refused(capsys, run("marginalize", **options | {"device": "cuda"}), "--device: 'cuda' is not here")


@pytest.mark.parametrize("command", ["marginalize", "predict", "train"])
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{image} 0", "accepted is 'path a,b'"),
        ("{image} 0,99", "class index 99 of task 1 is out of range"),
        ("nowhere.png 0,0", "nowhere.png does not exist"),
    ],
)
def test_a_wrong_line_of_a_list_is_named(
    folder: Path, options: dict[str, Any], command: str, line: str, found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = (folder / "lists/kept.txt").read_text().splitlines()[0]
    spoiled = folder / "lists/spoiled.txt"
    spoiled.write_text(f"{first}\n{line.format(image=first.rpartition(' ')[0])}\n")
    if command == "marginalize":
        status = run(command, **options | {"list": spoiled})
    else:
        rest = {"checkpoint": options["checkpoint"], "output": options["output"]}
        if command == "train":
            rest = {"checkpoints": 5, "output_folder": options["output"].parent}
        status = run(command, list=spoiled, classes=options["classes"], **rest)
    spoiled.unlink()
    check_refused(capsys, status, "spoiled.txt, line 2", found)


def test_images_of_another_size_are_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (20, 16)).save(tmp_path / "wide.png")
    (tmp_path / "list.txt").write_text("wide.png 0,0\n")
    options = {"list": tmp_path / "list.txt", "classes": folder / "lists/classes.csv", "output": tmp_path / "x.h5"}
    status = run("predict", **options, checkpoint=folder / "networks/demo/5.pt")
    check_refused(capsys, status, "wide.png has 20 x 16 pixels; accepted are 16 x 16")


@pytest.mark.parametrize("command", ["marginalize", "predict"])
def test_a_checkpoint_of_another_architecture_is_named(
    folder: Path, tmp_path: Path, options: dict[str, Any], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = tmp_path / "classes.csv"
    classes.write_text("task,index,name\nbasic,0,bird\nbasic,1,boat\nbasic,2,car\nword,0,sun\nword,1,map\n")
    images = tmp_path / "list.txt"
    images.write_text(f"{next((folder / 'images/test').iterdir())} 2,1\n")
    chosen = options if command == "marginalize" else {"checkpoint": options["checkpoint"], "output": tmp_path / "x.h5"}
    status = run(command, **chosen | {"list": images, "classes": classes})
    check_refused(capsys, status, "5.pt is of another architecture", "accepted are heads of 3 and 2")

    content = torch.load(options["checkpoint"], weights_only=True)
    torch.save(content | {"architecture": "resnet"}, tmp_path / "resnet.pt")
    chosen = {"list": options["list"], "classes": options["classes"], "checkpoint": tmp_path / "resnet.pt"}
    status = run(command, **(options if command == "marginalize" else {"output": tmp_path / "x.h5"}) | chosen)
    check_refused(capsys, status, "resnet.pt holds a network of architecture 'resnet'; accepted")


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in (*ARCHIVES, *WITHOUT_OUTPUT)])
def test_a_folder_that_cannot_be_written_to_is_named(
    folder: Path, tmp_path: Path, options: dict[str, Any], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    images = frame_of(KEPT, ((i, "x.png", "boat", "sun") for i in range(4)), rest=["basic", "word"])
    write_table(tmp_path / "named.csv", images, KEPT)
    output = tmp_path / f"file/below/x.{'txt' if command == 'select-images' else 'csv'}"
    lists = {"list": options["list"], "classes": options["classes"]}
    conditionals = {"conditionals": folder / "marginal/conv2_5.h5"}
    kept, log = tmp_path / "kept.h5", folder / "networks/demo/training.csv"
    tables = {name: folder / f"tables/{name}.csv" for name in ("accuracy", "contributions", "sharing")}
    if command in ("summarize", "plot-excess-sharing"):
        made = {"over_networks": tmp_path / "means.csv", "trends": tmp_path / "trends.csv"}
        assert run("tabulate-sharing", **conditionals, resamples=5, **made, output=tmp_path / "sharing.csv") == 0
        (tmp_path / "kept.csv").write_text("index,image,basic,word\n0,a,b,c\n")
        tables |= {"sharing": made["over_networks"], "trends": made["trends"]}
    if command == "select-images":
        assert run("predict", **lists, checkpoint=options["checkpoint"], device="cpu", output=kept) == 0
    arguments: dict[str, dict[str, Any]] = {
        "render-images": {"resources": RESOURCES, "basic_classes": "boat", "image_size": 16},
        "list-images": {"stimuli": folder / "images/test.csv", "tasks": ["basic", "word"]},
        "train": {**lists, **SIZES, "checkpoints": 5},
        "predict": {**lists, "checkpoint": options["checkpoint"]},
        "select-images": {**lists, "predictions": kept},
        "marginalize": options,
        "merge-blocks": {"blocks": folder / "marginal/conv2_5.h5"},
        "tabulate-accuracy": {"predictions": folder / "baseline/demo/5.h5"},
        "tabulate-contributions": conditionals,
        "tabulate-sharing": {**conditionals, "resamples": 5},
        "tabulate-images": {**conditionals, "kept": tmp_path / "named.csv"},
        "plot-units": conditionals,
        **dict.fromkeys(("animate-units", "animate-layers", "plot-layers", "plot-tasks"), conditionals),
        "plot-excess-sharing": {
            "over_networks": tmp_path / "means.csv",
            "layers": "conv2",
            "checkpoints": "5",
        },
        "plot-sharing": {"sharing": folder / "tables/sharing.csv", "layers": "conv2", "checkpoint": "5"},
        "plot-training": {"logs": f"demo={log}", "accuracy": folder / "tables/accuracy.csv"},
        "overlay-words": {"folder": folder / "images", "words": RESOURCES / "words.txt", "font": FONT},
        "lesion-curves": {**lists, **conditionals, "checkpoint": options["checkpoint"], "steps": 1},
        "summarize": {
            **tables,
            "lesions": folder / "tables/curves.csv",
            "kept": f"demo={tmp_path / 'kept.csv'}",
            "predictions": folder / "baseline/demo/5.h5",
            "layers": "conv2",
            "checkpoint": "5",
        },
        "show-table": {"table": tables["sharing"]},
        "tabulate-lesions": {"curves": folder / "tables/curves.csv"},
        "plot-lesions": {"curves": folder / "tables/curves.csv"},
        "visualize-units": {"layer": "0.0.0", "checkpoint": options["checkpoint"], "iterations": 1},
    }
    if command == "visualize-units" or command.startswith(("animate", "plot")):
        output = output.with_suffix(".gif" if command.startswith("animate") else ".png")
    places = {"output_folder": output.parent, "output": output}
    if command in ("render-images", "list-images", "train", "overlay-words"):
        del places["output"]
    elif command != "visualize-units":
        del places["output_folder"]
    status = run(command, **arguments[command] | places)
    check_refused(capsys, status, f"{tmp_path}/file")


def test_wrong_inputs_of_the_other_commands_are_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def check(words: str, command: str, **arguments: Any) -> None:
        if command in ("render-images", "list-images"):
            output = {"output_folder": tmp_path / "x"}
        else:
            output = {"output": tmp_path / ("x.gif" if command.startswith("animate") else "x.png")}
        check_refused(capsys, run(command, **arguments, **output), words)

    check(
        "--basic-classes: found 'brid'; accepted is one of animal-face, ball, bird,",
        "render-images",
        resources=RESOURCES,
        basic_classes="brid",
    )
    check(
        "--test-designers: found '6'; accepted is an integer from 1 to 5",
        "render-images",
        resources=RESOURCES,
        basic_classes="boat",
        test_designers=6,
    )
    check("task 'colour' has no column", "list-images", stimuli=folder / "images/test.csv", tasks=["basic", "colour"])
    check("nowhere.csv", "list-images", stimuli="nowhere.csv", tasks=["basic"])
    check("nowhere.h5", "tabulate-accuracy", predictions="nowhere.h5")
    check("nowhere.h5", "tabulate-contributions", conditionals="nowhere.h5")
    check("test_cli.py", "tabulate-sharing", conditionals=__file__)
    conditionals = folder / "marginal/conv2_5.h5"
    check("accepted are the tasks basic, word", "plot-units", conditionals=conditionals, sort_by="subordinate")
    check("rectangle or sunflower", "plot-units", conditionals=conditionals, layout="round")
    check("limits", "plot-units", conditionals=conditionals, limits=[4, 2])
    check("nowhere.h5 does not exist", "animate-units", conditionals="nowhere.h5")
    check("milliseconds", "animate-units", conditionals=conditionals, milliseconds=335)
    check("none, first, last or each (once false was none", "plot-units", conditionals=conditionals, sort="true")
    table = folder / "tables/sharing.csv"
    check("no checkpoint '7'; accepted are 5", "plot-sharing", sharing=table, layers="conv2", checkpoint="7")
    layers = {"layers": "conv9", "checkpoint": "5"}
    check("no layer of checkpoint 5 'conv9'; accepted are conv2", "plot-sharing", sharing=table, **layers)
    check("nowhere.csv", "plot-sharing", sharing="nowhere.csv", layers="conv2", checkpoint="7")


def test_predictions_of_other_images_are_refused(
    folder: Path, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    lists = {"list": folder / "lists/train.txt", "classes": options["classes"]}
    predictions = folder / "baseline/demo/5.h5"
    status = run("select-images", **lists, predictions=predictions, output=options["output"])
    check_refused(capsys, status, "has predictions for other images than")


@pytest.mark.parametrize("missing", ["drawings/drawings.csv", "drawings/drawings.png", "words.txt", "fonts"])
def test_missing_resources_are_named(tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(RESOURCES, tmp_path / "resources", ignore=shutil.ignore_patterns(Path(missing).name, "licenses"))
    options = {"resources": tmp_path / "resources", "basic_classes": "boat", "image_size": 16}
    status = run("render-images", **options, output_folder=tmp_path / "images")
    check_refused(capsys, status, str(tmp_path / "resources" / missing))


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        *(("train", name, 0) for name in ("stride", "checkpoints", "log_every", "threads")),
        *(("train", name, -1) for name in ("learning_rate", "weight_decay", "shift")),
        *(("train", "batch_size", 1), ("train", "dropout", 1.5)),
        *(("train", "kernels", [3, 3, 4, 4, 4]), ("train", "channels", [4, 4, 4, 4, 0])),
        *(("marginalize", "batch_size", -1), ("marginalize", "threads", 0), ("tabulate-sharing", "resamples", 0)),
    ],
)
def test_a_number_out_of_range_is_named(
    folder: Path,
    options: dict[str, Any],
    command: str,
    name: str,
    value: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lists = {"list": folder / "lists/train.txt", "classes": options["classes"]}
    arguments = {
        "train": {**lists, **SIZES, "checkpoints": 5, "output_folder": options["output"].parent},
        "marginalize": options,
        "tabulate-sharing": {"conditionals": folder / "marginal/conv2_5.h5", "output": options["output"]},
    }
    check_refused(capsys, run(command, **arguments[command] | {name: value}), name.replace("_", "-"), "accepted")
    assert not [path for path in options["output"].parent.rglob("*") if path.is_file()]


def test_commands_without_a_network_do_not_import_torch(folder: Path, tmp_path: Path) -> None:
    conditionals = ["--conditionals", folder / "marginal/conv2_5.h5"]
    listed, right = {"list": folder / "lists/kept.txt", "classes": folder / "lists/classes.csv"}, tmp_path / "right.h5"
    assert run("predict", **listed, checkpoint=folder / "networks/demo/5.pt", device="cpu", output=right) == 0
    select = ["--predictions", right, "--list", listed["list"], "--classes", listed["classes"]]
    block = shutil.copy(folder / "marginal/conv2_5.h5", tmp_path / "block.h5")
    stimuli = folder / "images/test.csv"
    sizes = ["--image-size", 16, "--train-renderings", 1, "--test-renderings", 1]
    commands: list[list[Any]] = [
        ["render-images", "--resources", RESOURCES, "--basic-classes", "boat", *sizes, "--output-folder", tmp_path],
        ["list-images", "--stimuli", stimuli, "--tasks", "basic", "word", "--output-folder", tmp_path],
        ["tabulate-accuracy", "--predictions", folder / "baseline/demo/5.h5", "--output", tmp_path / "accuracy.csv"],
        ["select-images", *select, "--output", tmp_path / "kept.txt"],
        ["merge-blocks", "--blocks", block, "--output", tmp_path / "merged.h5"],
        ["tabulate-contributions", *conditionals, "--output", tmp_path / "contributions.csv"],
        ["tabulate-sharing", *conditionals, "--output", tmp_path / "sharing.csv"],
        ["tabulate-images", *conditionals, "--kept", tmp_path / "kept.csv", "--output", tmp_path / "images.csv"],
        ["plot-units", *conditionals, "--output", tmp_path / "units.png"],
        ["animate-units", *conditionals, "--output", tmp_path / "units.gif"],
        *(["plot-sharing", "--sharing", tmp_path / "sharing.csv", "--layers", "conv2", "--checkpoint", "5"],),
        ["plot-training", "--logs", f"demo={folder / 'networks/demo/training.csv'}"],
    ]
    commands[-1] += ["--accuracy", tmp_path / "accuracy.csv"]
    for command in commands[-2:]:
        command += ["--output", tmp_path / f"{command[0]}.png"]
    code = (
        "import sys\nfrom featuresharing.cli import main\n"
        f"for command in {[[str(word) for word in command] for command in commands]}:\n"
        "    assert main(command) == 0, command[0]\n"
        "    assert 'torch' not in sys.modules, command[0]\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    few = "only 4 images are analysed: contributions and sharing say little under 20 images.\n"
    assert (result.returncode, result.stderr) == (0, f"warning: {listed['list']}: {few}")


def test_a_tolerance_in_bits_is_told_and_kept(options: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    bits = options | {"samples": 30, "tolerance_bits": 0.01, "laplace": "standard"}
    assert run("marginalize", **bits) == 0
    found = read_conditionals(options["output"])
    assert (found.attributes["tolerance_bits"], found.attributes["laplace"]) == (0.01, "standard")
    assert found.skipped_mass_by_image is not None
    assert found.skipped_mass_by_image.shape == found.conditionals["basic"].shape
    capsys.readouterr()
    check_refused(
        capsys, run("marginalize", **options | {"tolerance_bits": 0}), "--tolerance-bits: found '0'", "above 0"
    )


def test_an_estimator_of_another_distribution_runs_by_its_name(
    options: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent / "fixtures/toy_estimator")
    lesioned = options | {"estimator": "lesion", "output": options["output"].with_name("lesion.h5")}
    assert run("marginalize", **options | {"estimator": "toy"}) == run("marginalize", **lesioned) == 0
    toy, gone = (read_conditionals(each["output"]) for each in (options, lesioned))
    assert toy.attributes["estimator"] == "toy"
    assert toy.effective_samples.tolist() == [2]
    for task, values in toy.conditionals.items():
        np.testing.assert_allclose(values, (toy.predictions[task] + gone.conditionals[task]) / 2, rtol=1e-6)
    capsys.readouterr()
    check_refused(
        capsys, run("marginalize", **options | {"estimator": "psychic"}), "'psychic'", "prior-weighted", "toy"
    )
