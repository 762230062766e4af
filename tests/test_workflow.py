"""What the real workflow makes of a small config, run by the real Snakemake."""

import json
import os
import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from featuresharing import lesion, read_conditionals, weight_of_evidence
from featuresharing.cli import main
from featuresharing.data.images import read_inputs
from featuresharing.data.lists import read_classes, read_image_list
from featuresharing.networks.opening import open_network
from featuresharing.settings.configfiles import complete_config, read_yaml
from tests.support.configs import demo_config
from tests.support.files import rows, rows_where
from tests.support.runs import check_files, check_tables
from tests.support.workflows import (
    CHECKPOINTS,
    EXPERIMENTS,
    LAYERS,
    SMALL,
    changed_config,
    copy_run,
    run_snakemake,
)

pytestmark = pytest.mark.end_to_end


def test_all_figures_and_tables_are_there(demo: Path) -> None:
    results = demo / "results"
    for experiment in EXPERIMENTS:
        for layer in (*LAYERS, "layers"):
            with Image.open(results / f"figures/{experiment}/{layer}.gif") as animation:
                assert isinstance(animation, GifImageFile)
                assert animation.n_frames == len(CHECKPOINTS)
                assert animation.info["duration"] == 330
                assert animation.info["loop"] == 0
        for name in ("lesions", f"tasks_{CHECKPOINTS[-1]}"):
            Image.open(results / f"figures/{experiment}/{name}.png").verify()
    for name in ("sharing", "sharing_over_training", "training"):
        Image.open(results / f"figures/{name}.png").verify()
    accuracy = rows(results / "tables/accuracy.csv")
    assert len(accuracy) == 2 * 2 * len(CHECKPOINTS)
    assert {row["images"] for row in accuracy} == {str(len(rows(results / "images/test.csv")))}


def test_tables_have_the_columns_of_the_dictionary(demo: Path) -> None:
    kinds = {"contributions", "sharing", "accuracy", "lesions", "images", "training", "kept", "classes", "stimuli"}
    kinds |= {"overlap", "sharing over networks", "trends"}
    assert check_tables(demo) == kinds


def test_every_file_of_a_run_is_of_a_known_kind_and_sound(demo: Path) -> None:
    unchecked = {"logs", "benchmarks", "marks of Snakemake", "working files of trainings"}
    assert check_files(demo) == unchecked


def test_the_config_of_the_run_is_there_whole(demo: Path) -> None:
    found, whole = read_yaml(demo / "results/config.yaml"), demo_config()
    layers = {name: whole["layers"][name] for name in LAYERS}
    assert found == complete_config(read_yaml(SMALL), whole) | {"layers": layers}
    assert list(found) == list(whole)
    assert found["training"]["checkpoints"] == [0, 5, 120]
    assert found["training"]["dropout"] == 0.3


def test_experiments_have_the_same_images_and_other_labels(demo: Path) -> None:
    first, second = ((demo / f"results/lists/{name}/train.txt").read_text().splitlines() for name in EXPERIMENTS)
    assert [line.split(" ")[0] for line in first] == [line.split(" ")[0] for line in second]
    assert [line.split(" ")[1] for line in first] != [line.split(" ")[1] for line in second]


def test_no_drawing_is_on_both_sides_of_the_split(demo: Path) -> None:
    train, test = ({row["drawing"] for row in rows(demo / f"results/images/{part}.csv")} for part in ("train", "test"))
    assert train
    assert test
    assert not train & test


def test_tables_hold_what_the_conditionals_say(demo: Path) -> None:
    contributions = rows(demo / "results/tables/contributions.csv")
    for experiment in EXPERIMENTS:
        layer = read_conditionals(demo / f"results/marginal/{experiment}/conv1_120.h5")
        for task, conditionals in layer.conditionals.items():

            def log_odds(p: Any, k: int = layer.classes[task]) -> Any:
                corrected = (p.astype(float) * 1e6 + 1) / (1e6 * k)
                return np.log2(corrected / (1 - corrected))

            expected = np.abs((log_odds(layer.predictions[task]) - log_odds(conditionals)).mean(axis=1))
            place = {"experiment": experiment, "checkpoint": "120", "layer": "conv1", "task": task}
            found = [float(row["contribution"]) for row in contributions if place.items() <= row.items()]
            np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_images_and_cards_of_units_are_those_of_the_conditionals(
    demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = demo / "results"
    kept = [row["image"] for row in rows(results / "baseline/object_text/kept.csv")]
    table = rows(results / "tables/images.csv")
    places = {(row["experiment"], row["replicate"], row["checkpoint"], row["layer"]) for row in table}
    assert places == set(product(EXPERIMENTS, ["1"], ["120"], LAYERS))
    where = {"experiment": "object_text", "layer": "fc7", "unit": "7", "task": "word"}
    own = [row for row in table if where.items() <= row.items()]
    layer = read_conditionals(results / "marginal/object_text/fc7_120.h5")
    evidence = weight_of_evidence(layer.predictions["word"], layer.conditionals["word"], classes=layer.classes["word"])
    for side in ("highest", "lowest"):
        found = [row for row in own if row["side"] == side]
        order = sorted((value if side == "lowest" else -value, image) for image, value in enumerate(evidence[7]))
        wanted = [image for _, image in order[:8]]
        assert [int(row["image"]) for row in found] == wanted
        assert [row["file"] for row in found] == [kept[image] for image in wanted]
        assert [float(row["evidence"]) for row in found] == pytest.approx(evidence[7, wanted], rel=1e-8)

    assert main(["unit", "object_text", "fc7", "7", "--json", "--results", str(results)]) == 0
    card = json.loads(capsys.readouterr().out)
    assert [each["file"] for each in card["images"] if each["task"] == "word"] == [row["file"] for row in own]
    assert all(Path(each["path"]).is_file() for each in card["images"])
    contributions = rows_where(results / "tables/contributions.csv", {"experiment": "object_text", "layer": "fc7"})
    for each in card["contributions"]:
        place = {"checkpoint": each["checkpoint"], "task": each["task"]}
        units = [float(row["contribution"]) for row in contributions if place.items() <= row.items()]
        assert each["contribution"] == pytest.approx(units[7], rel=1e-8)
        assert each["rank"] == 1 + sum(size > units[7] for size in units)
        assert each["multiple"] == pytest.approx(units[7] / np.mean(units), rel=1e-6)
    assert card["figures"][-1] == str(results / "figures/object_text/fc7.gif")


def test_kept_images_are_right_in_every_task_at_the_last_checkpoint(demo: Path) -> None:
    for experiment in EXPERIMENTS:
        kept = rows(demo / f"results/baseline/{experiment}/kept.csv")
        listed = (demo / f"results/lists/{experiment}/test.txt").read_text().splitlines()
        chosen = (demo / f"results/baseline/{experiment}/kept.txt").read_text().splitlines()
        assert 0 < len(kept) == len(chosen) <= 6
        for row, line in zip(kept, chosen, strict=True):
            full = listed[int(row["index"])]
            assert Path(full.rsplit(" ", 1)[0]).name == row["image"] == Path(line.rsplit(" ", 1)[0]).name
            assert full.rsplit(" ", 1)[1] == line.rsplit(" ", 1)[1]


def test_nothing_in_a_name_is_run(demo: Path) -> None:
    assert not list(demo.parent.rglob("hacked"))


def test_every_log_says_what_its_job_did(demo: Path) -> None:
    logs = [path for path in (demo / "results/logs").rglob("*.log") if "slurm" not in path.parts]
    assert len(logs) == 35 + len(LAYERS) * len(EXPERIMENTS) * (len(CHECKPOINTS) + 2)
    for path in logs:
        assert re.search(
            r"^[a-z-]+: read results/.*; wrote results/.* in \d+\.\d s\.$|^render-images", path.read_text(), re.M
        )
    text = (demo / "results/logs/tabulate_accuracy.log").read_text()
    named = ", ".join(f"results/baseline/subordinate_basic/{name}.h5" for name in CHECKPOINTS)
    assert text.startswith(f"tabulate-accuracy: read {named} and 3 other files; wrote results/tables/accuracy.csv (")


def test_an_estimator_of_another_distribution_runs_by_its_name(demo: Path, tmp_path: Path) -> None:
    folder = copy_run(demo, tmp_path / "toy")
    configs = changed_config(tmp_path, {"marginalization": {"estimator": "toy"}})
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent / "fixtures/toy_estimator")}
    output = "results/marginal/object_text/fc7_120.h5"
    result = run_snakemake(folder, output, configs=configs, environment=environment)
    assert result.returncode == 0, result.stderr
    found = read_conditionals(folder / output)
    assert found.attributes["estimator"] == "toy"
    assert found.effective_samples.tolist() == [2] * 12
    stored = open_network(folder / "results/networks/object_text/120.pt")
    classes = read_classes(folder / "results/lists/object_text/classes.csv")
    images = read_image_list(folder / "results/baseline/object_text/kept.txt", list(classes.values()))
    gone = lesion(stored.network, "1.5", read_inputs(images.paths, stored.preprocessing))
    for task, values, true in zip(found.classes, gone, images.targets.T, strict=True):
        wanted = (found.predictions[task] + values[:, range(len(true)), true]) / 2
        np.testing.assert_allclose(found.conditionals[task], wanted, rtol=0, atol=1e-6)
