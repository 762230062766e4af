"""Several networks an experiment in the real workflow: what one grows by, and that each is a run with its seed."""

import shutil
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from featuresharing import load_network, read_conditionals, read_predictions
from featuresharing.replicates import seed_of_replicate
from featuresharing.settings.configfiles import read_yaml
from tests.support.commands import ROOT, run
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
    third = "results/figures/object_text/3/fc7.gif"  # maps are those of the first network, and others that are named
    jobs = planned_jobs(demo, "all", third, configs=changed_config(tmp_path, {"replicates": 3}))
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
    assert jobs["animate_units"] == 1 + 2 * layers  # those of the first network name it from now on


def test_figures_of_units_say_which_network_they_show_where_there_are_several(demo: Path, tmp_path: Path) -> None:
    wanted = [f"results/figures/object_text/{name}" for name in ("layers.gif", "tasks_120.png", "fc7.gif")]
    for replicates, named in ((1, 0), (2, len(wanted))):
        configs = changed_config(tmp_path, {"replicates": replicates})
        planned = run_snakemake(demo, *wanted, "--dry-run", "--printshellcmds", "--force", configs=configs)
        commands = [
            line
            for line in planned.stdout.splitlines()
            if "featuresharing plot-" in line or "featuresharing animate-" in line
        ]
        assert len(commands) == len(wanted), planned.stdout
        assert sum("--one-of-several" in command for command in commands) == named


def test_tables_of_many_networks_need_no_long_command(demo: Path, tmp_path: Path) -> None:
    """A command holds 128 KiB: as thousands of paths it would not start."""
    table, configs = "results/tables/contributions.csv", changed_config(tmp_path, {"replicates": 3})
    planned = run_snakemake(demo, table, "--dry-run", "--printshellcmds", configs=configs)
    command = next(line for line in planned.stdout.splitlines() if "tabulate-contributions" in line)
    words = command.split(" --conditionals ")[1].split(" --output ")[0]
    named = subprocess.run(["bash", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True)
    assert named.stdout.splitlines() == [
        f"results/marginal/{experiment}{nth}/{layer}_{checkpoint}.h5"
        for experiment, nth in product(("subordinate_basic", "object_text"), ("", "/2", "/3"))
        for layer, checkpoint in product(LAYERS, CHECKPOINTS)
    ]
    assert len(words) < 200


def test_a_replicate_is_what_a_run_with_its_seed_gives_on_the_same_stimuli(demo: Path, tmp_path: Path) -> None:
    folder = copy_run(demo, tmp_path / "two")
    configs = changed_config(tmp_path, {"replicates": 2})
    result = run_snakemake(folder, SECOND, configs=configs)
    assert result.returncode == 0, result.stderr
    alone = run_alone(folder / "results", tmp_path / "alone", seed_of_replicate(0, 2))
    check_same(folder / "results", alone)
    assert not {"networks", "baseline", "marginal", "lesion_curves"} & set(check_files(folder))


def run_alone(results: Path, folder: Path, seed: int) -> Path:
    """Train and analyse a single network with a seed on the images of a run, by commands; return the folder."""
    config = read_yaml(results / "config.yaml")
    lists = results / "lists/object_text"
    given: dict[str, Any] = {"classes": lists / "classes.csv", "device": "cpu", "threads": 1}
    settings = config["network"] | config["training"] | {"seed": seed, "image_size": config["images"]["image_size"]}
    plain = {name: str(value).lower() if isinstance(value, bool) else value for name, value in settings.items()}
    plain = {name: value for name, value in plain.items() if value not in (None, [])}
    network, last = folder / "networks/object_text", folder / "networks/object_text/120.pt"
    assert run("train", list=lists / "train.txt", output_folder=network, **plain | given) == 0
    given |= {"checkpoint": last}
    kept, predictions = folder / "baseline/object_text/kept.txt", folder / "baseline/object_text/120.h5"
    named = {"experiment": "object_text"}
    assert run("predict", list=lists / "test.txt", checkpoint_name="120", output=predictions, **named | given) == 0
    chosen = {"max_images": config["baseline"]["max_images"], "seed": seed, "classes": given["classes"]}
    assert run("select-images", list=lists / "test.txt", predictions=predictions, output=kept, **chosen) == 0
    given |= {"list": kept, "seed": seed}
    conditionals, curves = folder / "marginal/object_text/fc7_120.h5", folder / "lesion_curves/object_text/fc7_120.csv"
    unit = {"layer": "fc7", "aliases": "fc7=1.5", "samples": config["marginalization"]["samples"]}
    assert run("marginalize", output=conditionals, **named | unit | given) == 0
    orders = {name: config["lesions"][name] for name in ("steps", "random_orders")}
    assert run("lesion-curves", conditionals=conditionals, output=curves, **orders | given) == 0
    return folder


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
    result = run_snakemake(
        folder, "results/baseline/reader/2/last.h5", "--dry-run", "--printshellcmds", configs=configs
    )
    assert result.returncode == 0, result.stderr
    lines = (result.stdout + result.stderr).splitlines()
    (defined,) = (line for line in lines if "featuresharing define-network" in line)
    assert "seed2/last.safetensors" in defined
    assert f'"seed": {seed_of_replicate(0, 2)}' in defined
    assert defined.partition("--output ")[2].startswith("results/networks/reader/2/last.json")
    (predicted,) = (line for line in lines if "featuresharing predict" in line)
    assert "--replicate=2" in predicted
    assert "--list results/lists/reader/test.txt" in predicted
