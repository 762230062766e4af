"""Networks of one's own through the real workflow, from a user's folder: groups, probes, kills, changes, mistakes."""

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from featuresharing.data.lists import MISSING
from featuresharing.errors import InputError
from featuresharing.hdf5 import DamagedError
from featuresharing.settings import Config
from featuresharing.settings.checking import check_config
from featuresharing.settings.configfiles import complete_config
from featuresharing.store.progress_file import read_progress
from featuresharing.workflow.own_networks import own_problems
from tests.support.commands import ROOT, run
from tests.support.files import rows
from tests.support.own_networks import resnet_folder
from tests.support.workflows import planned_jobs, run_snakemake, snakemake

EXAMPLE = ROOT / "examples/own_network"


def own(folder: Path) -> dict[str, Any]:
    return {"configs": [folder / "config.yaml"]}


def is_marginalizing(folder: Path) -> bool:
    """Return whether units are done in a folder, of a layer that is on its way or of one that is there."""
    results = folder / "results/marginal"
    for path in results.rglob(".*.progress"):
        with suppress(DamagedError, FileNotFoundError):
            if read_progress(path)[1].any():
                return True
    return any(results.rglob("[!.]*.h5"))


def numbers(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path, "r") as file:
        return {name: np.asarray(values) for name, values in file.items()}


@pytest.mark.end_to_end
def test_groups_and_probes_of_a_resnet18_survive_a_kill_to_the_same_bits(tmp_path: Path) -> None:
    whole, killed = resnet_folder(tmp_path / "whole"), tmp_path / "killed"
    shutil.copytree(whole, killed)
    targets = ["results/figures/sharing.png", "results/tables/accuracy.csv"]
    result = run_snakemake(whole, *targets, **own(whole))
    assert result.returncode == 0, result.stderr

    process = subprocess.Popen(snakemake(killed, *targets, **own(killed)), start_new_session=True)
    while not is_marginalizing(killed):
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (killed / ".snakemake/locks").exists() and run_snakemake(killed, "--unlock", **own(killed))
    result = run_snakemake(killed, *targets, **own(killed))
    assert result.returncode == 0, result.stderr

    names = [path.relative_to(whole) for path in sorted((whole / "results").rglob("*.h5"))]
    assert len(names) == 3
    for name in names:
        found, wanted = numbers(killed / name), numbers(whole / name)
        assert found.keys() == wanted.keys()
        for dataset, values in wanted.items():
            assert np.array_equal(found[dataset], values, equal_nan=values.dtype.kind == "f"), (name, dataset)
    for place in ("tables/sharing.csv", "networks/drawn/1.json", "baseline/drawn/kept.txt", "probes/drawn/1.npz"):
        assert (killed / "results" / place).read_bytes() == (whole / "results" / place).read_bytes(), place
    check_groups_and_probes(whole / "results")
    assert planned_jobs(whole, *targets, **own(whole)) == {}


def check_groups_and_probes(results: Path) -> None:
    accuracy = {
        row["task"]: (float(row["accuracy"]), int(row["images"])) for row in rows(results / "tables/accuracy.csv")
    }
    assert {task: accuracy[task] for task in ("birds", "cars")} == {"birds": (1.0, 26), "cars": (1.0, 24)}
    sharing = {(row["task_a"], row["task_b"]): float(row["sharing"]) for row in rows(results / "tables/sharing.csv")}
    assert set(sharing) == {("birds", "cars"), ("birds", "half"), ("cars", "half")}
    assert all(0 < value <= 1 for value in sharing.values())
    kept = (results / "baseline/drawn/kept.txt").read_text().splitlines()
    targets = np.array(
        [[MISSING if label == "-" else int(label) for label in line.rsplit(" ", 1)[1].split(",")] for line in kept]
    )
    assert ((targets[:, :2] == MISSING).sum(axis=1) == 1).all()  # no bird is a car
    trained = set((results / "probes/drawn/test.txt").read_text().splitlines())
    left = [line for line in (results / "lists/drawn/test.txt").read_text().splitlines() if not line.endswith("-")]
    assert 0 < len(left) < len(trained)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in a folder beside a workflow, after the commands of its README."""
    folder = tmp_path_factory.mktemp("own") / "examples/own_network"
    shutil.copytree(EXAMPLE, folder)
    (folder.parents[1] / "workflow").symlink_to(ROOT / "workflow")
    commands = re.findall(r"^    (\w.*)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["featuresharing", "snakemake", "snakemake"]
    commands[2] += " --config 'features={iterations: 5}'"  # it would take a minute
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    return folder


@pytest.mark.end_to_end
class TestExample:
    def test_its_commands_make_all_tables_and_figures(self, example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        layers = ("conv1", "conv2", "conv3", "hidden")
        table = rows(example / "results/tables/sharing.csv")
        assert {(row["layer"], row["checkpoint"]) for row in table} == {
            (layer, step) for layer in layers for step in ("0000", "1500")
        }
        for name in ("sharing.png", "reader/lesions.png", *(f"reader/{layer}.gif" for layer in layers)):
            assert (example / "results/figures" / name).stat().st_size > 1000
        assert (example / "results/features/reader/conv1_1500.png").is_file()
        monkeypatch.chdir(example)
        assert run("verify") == 0
        assert run("status") == 0

    def test_what_changes_decides_what_runs_again(self, example: Path, tmp_path: Path) -> None:
        folder = tmp_path / "moved"
        shutil.copytree(example, folder)
        options = own(folder)
        page = {"build_explorer": 1, "all": 1}  # to show the pictures of units, which were made after it
        assert planned_jobs(folder, **options) == page
        for path in (folder / "mynet.py", folder / "checkpoints/step1500.safetensors"):
            path.touch()
        assert planned_jobs(folder, **options) == page
        with (folder / "mynet.py").open("a") as file:
            file.write("\n\n# another line\n")
        jobs = planned_jobs(folder, **options)
        assert (jobs["define_network"], jobs["marginalize_layer"]) == (2, 8)
        assert "import_stimuli" not in jobs

    def test_a_report_and_blocks_of_units_can_be_had(self, example: Path, tmp_path: Path) -> None:
        folder = tmp_path / "run"
        shutil.copytree(example, folder)
        (folder / "blocks.yaml").write_text("jobs: {units: {hidden: 20}}\n")
        shutil.rmtree(folder / "results/marginal")
        jobs = planned_jobs(folder, configs=[folder / "config.yaml", folder / "blocks.yaml"])
        assert jobs["marginalize_block"] == 4
        result = run_snakemake(example, "--report", str(tmp_path / "report.zip"), **own(example))
        assert result.returncode == 0, result.stderr


MISTAKES: dict[str, tuple[Any, Any]] = {
    "experiments.0.network.checkpoints.0000: no.pt does not exist": ("network.checkpoints.0000", "no.pt"),
    "experiments.0.network.build: 'other.py:build': other.py does not exist": ("network.build", "other.py:build"),
    "experiments.0.network.bild is not known": ("network.bild", 1),
    "experiments.0.images: nowhere.csv does not exist": ("images", "nowhere.csv"),
    "experiments.0.tasks.object.head: found -1": ("tasks.object.head", -1),
    "experiments.0.tasks.object.returns: found 'logits'": ("tasks.object.returns", "logits"),
    "experiments.0.preprocessing.mean: found 2 numbers": ("preprocessing.mean", [1, 2]),
    "experiments.0.preprocessing is missing": ("preprocessing", None),
    "experiments.0.network is missing": ("network", None),
    "experiments.0.images is missing": ("images", None),
    "experiments.0.model is there; accepted with source: archives": ("model", "x.t7"),
}


def change(config: dict[str, Any], key: str, value: Any) -> None:
    """Set a key of the first experiment by its path, or with None take it out."""
    place = config["experiments"][0]
    *parts, last = key.split(".")
    for part in parts:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value


@pytest.mark.parametrize("sentence", MISTAKES)
def test_a_mistake_is_named_by_its_key(monkeypatch: pytest.MonkeyPatch, sentence: str) -> None:
    monkeypatch.chdir(EXAMPLE)
    config = yaml.safe_load(Path("config.yaml").read_text())
    change(config, *MISTAKES[sentence])
    try:
        settings = check_config(complete_config(config, Config.defaults()))
        said = [f"config key '{key}'{text}." for key, text in own_problems(settings)]
    except InputError as error:
        said = str(error).splitlines()
    assert any(
        sentence in line.replace("' is", " is").replace("key '", "key ").replace("':", ":", 1) for line in said
    ), said


def test_paths_in_which_snakemake_would_replace_parts_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own")
    config = yaml.safe_load(Path("config.yaml").read_text())
    names = {"mynet.py": "{n}.py", "stimuli.csv": "a{0}.csv", "checkpoints/step1500.safetensors": "{checkpoint}.pt"}
    for old, new in names.items():
        Path(old).rename(new)
    change(config, "network.build", "{n}.py:build")
    change(config, "images", "a{0}.csv")
    change(config, "network.checkpoints", {"0000": "checkpoints/step0000.safetensors", "1500": "{checkpoint}.pt"})
    found = list(own_problems(check_config(complete_config(config, Config.defaults()))))
    said = ": found {}; accepted is a path without braces, which Snakemake replaces"
    assert [(key.removeprefix("experiments.0."), text) for key, text in found] == [
        ("network.checkpoints.1500", said.format("{checkpoint}.pt")),
        ("network.build", said.format("{n}.py")),
        ("images", said.format("a{0}.csv")),
    ]


@pytest.mark.end_to_end
def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(EXAMPLE, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for key, value in (("network.checkpoints.0000", "no.pt"), ("images", "nowhere.csv"), ("preprocessing", None)):
        change(config, key, value)
    del config["layers"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    result = run_snakemake(folder, "--dry-run", **own(folder))
    assert result.returncode != 0
    said = result.stdout + result.stderr
    for key in ("network.checkpoints.0000", "images", "preprocessing"):
        assert f"config key 'experiments.0.{key}'" in said
    assert "config key 'layers' is missing" in said
    assert "Traceback" not in said


@pytest.mark.end_to_end
def test_code_that_fails_is_shown_where_it_fails(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(EXAMPLE, folder)
    path = folder / "mynet.py"
    path.write_text(path.read_text().replace("return Reader(width)", "return Reader(width // 0)"))
    result = run_snakemake(folder, "--dry-run", **own(folder))
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert "the network cannot be built by mynet.py:build with (width=8); this is where its code fails:" in said
    assert "ZeroDivisionError" in said
    assert "return Reader(width // 0)" in said
    assert "own_code.py" not in said
