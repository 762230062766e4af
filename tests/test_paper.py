"""The paper's own config on archives of its layout: served by a web server that breaks, models written by Torch7."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from featuresharing import read_conditionals
from tests.support.archive_server import Site, serving
from tests.support.commands import ROOT, run
from tests.support.files import rows
from tests.support.paper_archives import FIXTURES, SIZE, SMALL, make_archives
from tests.support.runs import check_files, check_tables
from tests.support.workflows import new_folder, planned_jobs, run_snakemake, snakemake

pytestmark = pytest.mark.end_to_end

LAYERS = ("conv1", "conv2", "conv3")
"""Those that the paper's config cuts into blocks."""


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return make_archives(tmp_path_factory.mktemp("archives"))


def tried_once(folder: Path, configs: list[Path], *targets: str) -> subprocess.CompletedProcess[str]:
    return run_snakemake(folder, *targets, "--retries", "0", configs=configs)


def prepare(folder: Path, url: str, **changes: dict[str, Any]) -> list[Path]:
    """Make a folder to run in; return the paper's config, and one on top of it that points to the small archives."""
    there = new_folder(folder, LAYERS) / "there.yaml"
    there.write_text(json.dumps(SMALL | {"archives": {"urls": [url]}} | changes))
    return [ROOT / "config/paper.yaml", there]


@pytest.fixture(scope="module")
def finished(archives: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the paper's config ran to its end, over connections that broke."""
    folder = tmp_path_factory.mktemp("paper") / "run"
    assert len(archives["models.tar.bz2"]) > 2 * 65536
    with serving(Site(archives, cuts=[70_000, 70_000])) as site:
        result = tried_once(folder, prepare(folder, site.url))
        assert result.returncode == 0, result.stderr
        assert len([wanted for _, wanted in site.asked if wanted]) == 2
    return folder


def test_the_papers_figures_and_tables_are_there(finished: Path) -> None:
    results = finished / "results"
    for experiment in ("object_text", "subordinate_basic"):
        for layer in LAYERS:
            Image.open(results / f"figures/{experiment}/{layer}_pretrained.png").verify()
        Image.open(results / f"figures/{experiment}/lesions.png").verify()
        assert len(rows(results / f"baseline/{experiment}/kept.csv")) == 6
    Image.open(results / "figures/sharing.png").verify()
    sharing = rows(results / "tables/sharing.csv")
    assert [(row["experiment"], row["layer"]) for row in sharing[: len(LAYERS)]] == [
        ("object_text", layer) for layer in LAYERS
    ]
    assert {(row["task_a"], row["task_b"]) for row in sharing} == {("Object", "Text"), ("Subord", "Basic")}
    accuracy = rows(results / "tables/accuracy.csv")
    assert {(row["experiment"], row["task"]): float(row["accuracy"]) for row in accuracy}[
        ("object_text", "Object")
    ] == (pytest.approx(8 / 9))
    lesions = rows(results / "tables/lesions.csv")
    assert {row["order"] for row in lesions if row["experiment"] == "object_text"} == {"Object", "Text"}
    assert all(float(row["accuracy"]) == 1 for row in lesions if row["removed"] == "0")
    assert (finished / "archives/models.tar.bz2.sha256").exists()


def test_files_are_sound_and_nothing_is_left_to_do(finished: Path) -> None:
    assert run("verify", finished / "results") == 0
    assert check_files(finished) == {"logs", "benchmarks", "marks of Snakemake"}
    sharing = {"sharing", "overlap", "sharing over networks", "trends"}
    assert check_tables(finished) == sharing | {"contributions", "accuracy", "lesions", "images", "kept", "classes"}
    layer = read_conditionals(finished / "results/marginal/object_text/conv2_pretrained.h5")
    assert (len(layer.units), list(layer.attributes["tasks"])) == (8, ["Object", "Text"])
    assert planned_jobs(finished, configs=[ROOT / "config/paper.yaml", finished / "there.yaml"]) == {}


def test_archives_that_were_put_there_by_hand_are_taken(archives: dict[str, bytes], tmp_path: Path) -> None:
    configs = prepare(tmp_path / "run", "http://127.0.0.1:9/")
    targets = ("results/networks/object_text/pretrained.t7",)
    result = tried_once(tmp_path / "run", configs, *targets)
    assert result.returncode != 0
    assert "put models.tar.bz2 into archives yourself and type the same command again" in result.stderr + result.stdout
    (tmp_path / "run/archives").mkdir(exist_ok=True)
    for name, content in archives.items():
        (tmp_path / "run/archives" / name).write_bytes(content)
    result = tried_once(tmp_path / "run", configs, *targets)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / targets[0]).read_bytes() == (FIXTURES / "alexnet67_cudnn_cuda.t7").read_bytes()


def test_a_model_of_another_shape_is_refused(archives: dict[str, bytes], tmp_path: Path) -> None:
    network = {"channels": [6, 8, 9, 8, 8], "hidden": [24, 24]}
    configs = prepare(tmp_path / "run", "http://127.0.0.1:9/", network=network)
    (tmp_path / "run/archives").mkdir()
    for name, content in archives.items():
        (tmp_path / "run/archives" / name).write_bytes(content)
    result = tried_once(tmp_path / "run", configs, "results/networks/object_text/pretrained.t7")
    assert result.returncode != 0
    assert "layer '0.0.6' has 10 units; accepted are 9" in result.stdout + result.stderr
    assert not list((tmp_path / "run/results/networks").rglob("*.t7"))


@pytest.mark.parametrize(
    ("size", "layer", "said"),
    [
        (SIZE, "1.2=25", "layer '1.2' has 24 units; accepted are 25"),
        (SIZE, "1.9=25", "layer '1.9' does not exist"),
        (128, "1.2=24", "does not take RGB images of 128 x 128 pixels"),
    ],
)
def test_what_a_model_lacks_is_named(
    size: int, layer: str, said: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"model": FIXTURES / "alexnet67_cudnn_cuda.t7", "image_size": size, "layers": layer}
    given |= {"classes": finished / "results/lists/object_text/classes.csv", "output": tmp_path / "x.t7"}
    assert run("import-model", **given) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x.t7").exists()


def test_images_that_cannot_be_decoded_stop_or_are_skipped_with_a_count(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    configs = prepare(folder, "http://127.0.0.1:9/")
    (folder / "archives").mkdir()
    for name, content in make_archives(tmp_path / "made", broken_image=True).items():
        (folder / "archives" / name).write_bytes(content)
    target = "results/baseline/object_text/kept.txt"
    result = tried_once(folder, configs, target)
    assert result.returncode != 0
    assert "a picture 3.JPEG cannot be decoded" in result.stdout + result.stderr

    there = configs[-1]
    there.write_text(json.dumps(json.loads(there.read_text()) | {"baseline": {"max_images": 6, "undecodable": "skip"}}))
    result = tried_once(folder, configs, target)
    assert result.returncode == 0, result.stderr
    log = (folder / "results/logs/predict_images/object_text/pretrained.log").read_text()
    assert "a picture 3.JPEG cannot be decoded" in log
    assert "1 of 9 images cannot be decoded and are left out." in log
    kept = (folder / target).read_text()
    assert len(kept.splitlines()) == 6
    assert "picture 3" not in kept


def class_folders(folder: Path) -> None:
    """Make a small data set of the layout of ImageNet: folders of pictures of several sizes, train and test."""
    rng = np.random.default_rng(0)
    sheet = Image.open(ROOT / "resources/drawings/drawings.png").convert("RGB")
    for part, count in (("train", 10), ("test", 3)):
        for number, name in enumerate(("n01", "n02", "n03")):
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                width, height = rng.integers(50, 90, size=2).tolist()
                cell = sheet.crop((64 * index, 64 * number, 64 * index + 64, 64 * number + 64)).resize((width, height))
                cell.save(folder / part / name / f"{name}_{index}.JPEG")
    (folder / "hierarchy.csv").write_text("subordinate,basic\nn01,x\nn02,x\nn03,y\n")
    (folder / "words.txt").write_text("sun\nmap\nice\n")


TRAINING: dict[str, Any] = {
    "folders": {"font_sizes": [12, 20]},
    "images": {"image_size": 48},
    "experiments": [{"name": "object_text", "tasks": ["subordinate", "word"], "sort_by": "word"}],
    "network": {"stride": 2, "kernels": [5, 3, 3, 3, 3], "channels": [4, 5, 6, 5, 4], "hidden": [12, 10]},
    "training": {
        "checkpoints": [0, 20, 400],
        "decay_at": [300],
        "batch_size": 8,
        "workers": 1,
        "precision": "float32",
    },
}


def prepare_training(folder: Path, data: Path) -> list[Path]:
    there = new_folder(folder) / "there.yaml"
    changes = dict(TRAINING)
    changes["folders"] = TRAINING["folders"] | {
        name: str(data / (name if name in ("train", "test") else f"{name}.{'csv' if name == 'hierarchy' else 'txt'}"))
        for name in ("train", "test", "hierarchy", "words")
    }
    there.write_text(json.dumps(changes))
    return [ROOT / "config/paper-training.yaml", there]


LAST = "results/networks/object_text/400.pt"


def last_state(folder: Path) -> int:
    """Return when a state of the training was written last."""
    states = folder.glob("results/networks/object_text/.progress/*/state-*.pt")
    return max((path.stat().st_mtime_ns for path in states), default=0)


def test_a_training_that_is_killed_twice_ends_with_the_same_weights(tmp_path: Path) -> None:
    class_folders(tmp_path / "data")
    configs = prepare_training(tmp_path / "whole", tmp_path / "data")
    result = tried_once(tmp_path / "whole", configs, LAST)
    assert result.returncode == 0, result.stderr
    configs = prepare_training(tmp_path / "killed", tmp_path / "data")
    folder = tmp_path / "killed"
    for kill in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(
            snakemake(folder, LAST, "--retries", "0", configs=configs),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        before = last_state(folder)
        deadline = time.monotonic() + 120
        while last_state(folder) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None, "the training was over before it was killed"
        os.killpg(process.pid, kill)
        process.wait(60)
        assert not (folder / LAST).exists()
        assert run_snakemake(folder, "--unlock", configs=configs).returncode == 0
    result = tried_once(folder, configs, LAST)
    assert result.returncode == 0, result.stderr
    assert "resumed at step" in (folder / "results/logs/train_network/object_text.log").read_text()
    assert check_files(folder) == {"logs", "benchmarks", "marks of Snakemake", "working files of trainings"}
    assert check_tables(folder) == {"worded images", "training", "classes"}
    for name in ("000", "020", "400"):
        ours, theirs = (path / f"results/networks/object_text/{name}.pt" for path in (folder, tmp_path / "whole"))
        assert ours.read_bytes() == theirs.read_bytes()
