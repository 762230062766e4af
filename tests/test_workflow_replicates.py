"""Several networks an experiment in the real workflow: what one grows by, and that each is a run with its seed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from featuresharing import load_network, read_conditionals, read_predictions
from featuresharing.replicates import seed_of_replicate
from tests.support.commands import ROOT
from tests.support.files import rows
from tests.support.runs import check_files
from tests.support.workflows import CHECKPOINTS, LAYERS, changed_config, copy_run, planned_jobs, run_snakemake

pytestmark = pytest.mark.end_to_end

COMPUTING = (
    *("render_images", "list_images", "train_network", "predict_images", "select_images"),
    *("marginalize_layer", "measure_lesions"),
)
SECOND = "results/lesion_curves/object_text/2/fc7_120.csv"


def test_a_run_of_one_network_grows_by_what_the_others_need(demo: Path, tmp_path: Path) -> None:
    networks, layers = 2 * 2, len(LAYERS)  # two more of each experiment
    configs = changed_config(tmp_path, {"replicates": 3})
    jobs = planned_jobs(demo, configs=configs)
    assert {name: jobs.get(name, 0) for name in COMPUTING} == {
        "render_images": 0,
        "list_images": 0,
        "train_network": networks,
        "predict_images": networks * len(CHECKPOINTS),
        "select_images": networks,
        "marginalize_layer": networks * layers * len(CHECKPOINTS),
        "measure_lesions": networks * layers,
    }
    assert {"tabulate_accuracy", "tabulate_contributions", "tabulate_sharing", "tabulate_lesions"} <= jobs.keys()
    assert "plot_units" not in jobs  # maps of units are those of the first network, unless others are named
    maps = planned_jobs(demo, "results/figures/object_text/3/fc7.gif", configs=configs)
    assert maps["marginalize_layer"] == len(CHECKPOINTS)
    assert maps["train_network"] == 1


def test_a_replicate_is_what_a_run_with_its_seed_gives_on_the_same_stimuli(demo: Path, tmp_path: Path) -> None:
    folder = copy_run(demo, tmp_path / "two")
    configs = changed_config(tmp_path, {"replicates": 2})
    result = run_snakemake(folder, SECOND, configs=configs)
    assert result.returncode == 0, result.stderr
    seed = seed_of_replicate(0, 2)
    alone = copy_run(demo, tmp_path / "alone")
    (tmp_path / "other").mkdir()
    result = run_snakemake(
        *(alone, SECOND.replace("/2/", "/")),
        configs=changed_config(tmp_path / "other", {"seed": seed, "images": {"seed": 0}}),
    )
    assert result.returncode == 0, result.stderr
    check_same(folder / "results", alone / "results")
    assert not {"networks", "baseline", "marginal", "lesion_curves"} & set(check_files(folder))
    assert planned_jobs(folder, SECOND, configs=configs) == {}


def check_same(several: Path, alone: Path) -> None:
    """Compare the second of several networks with the only one of a run."""
    first, second, other = (
        load_network(path / "120.pt").state_dict()
        for path in (
            several / "networks/object_text",
            several / "networks/object_text/2",
            alone / "networks/object_text",
        )
    )
    assert all(torch.equal(second[name], values) for name, values in other.items())
    assert not any(torch.equal(first[name], values) for name, values in other.items() if values.ndim > 1)

    predicted, wanted = (
        read_predictions(path)
        for path in (several / "baseline/object_text/2/120.h5", alone / "baseline/object_text/120.h5")
    )
    assert (predicted.replicate, wanted.replicate) == (2, 1)
    assert all(np.array_equal(predicted.probabilities[task], wanted.probabilities[task]) for task in wanted.targets)
    kept = (several / "baseline/object_text/2/kept.csv").read_text()
    assert kept == (alone / "baseline/object_text/kept.csv").read_text()

    found, one = (
        read_conditionals(path)
        for path in (several / "marginal/object_text/2/fc7_120.h5", alone / "marginal/object_text/fc7_120.h5")
    )
    assert found.place == ("object_text", 2, "120", "fc7")
    assert found.attributes["fingerprint"] == one.attributes["fingerprint"]
    assert all(np.array_equal(found.conditionals[task], one.conditionals[task]) for task in one.classes)

    curves, single = (
        rows(path)
        for path in (
            several / "lesion_curves/object_text/2/fc7_120.csv",
            alone / "lesion_curves/object_text/fc7_120.csv",
        )
    )
    assert {row["replicate"] for row in curves} == {"2"}
    assert [row | {"replicate": "1"} for row in curves] == single


def test_networks_of_ones_own_are_named_by_the_number_of_their_replicate(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(ROOT / "examples/own_network", folder)
    for number, step in ((1, "1500"), (2, "0000")):
        (folder / f"seed{number}").mkdir()
        shutil.copy(folder / f"checkpoints/step{step}.safetensors", folder / f"seed{number}/last.safetensors")
    config = yaml.safe_load((folder / "config.yaml").read_text()) | {"replicates": 2}
    config["experiments"][0]["network"]["checkpoints"] = {"last": "seed{replicate}/last.safetensors"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    configs = [folder / "config.yaml"]
    jobs = planned_jobs(folder, configs=configs)
    assert (jobs["import_stimuli"], jobs["define_network"], jobs["marginalize_layer"]) == (1, 2, 8)
    result = run_snakemake(folder, "results/networks/reader/2/last.json", configs=configs)
    assert result.returncode == 0, result.stderr
    assert "seed2/last.safetensors" in json.dumps(
        json.loads((folder / "results/networks/reader/2/last.json").read_text())
    )
    config["experiments"][0]["network"]["checkpoints"] = {"last": "seed1/last.safetensors"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    result = run_snakemake(folder, "--dry-run", configs=configs)
    assert result.returncode != 0
    said = result.stdout + result.stderr
    assert "config key 'replicates': found 2, of which experiment 'reader' has one network" in said
