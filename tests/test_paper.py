"""The paper's own config on archives of its layout: served by a web server that breaks, models written by Torch7."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from featuresharing import load_network, read_conditionals
from featuresharing.cli import main
from featuresharing.data.class_maps import class_names, read_class_map
from featuresharing.data.images import imagenet_preprocessing, read_inputs
from support.archive_server import Site, serving

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parent.parent
FIXTURES = Path(__file__).parent / "fixtures/torch7"
MODELS = {
    "objectsvstext": ("alexnet-large-objectsvstextinthewild.t7", "alexnet67_cudnn_cuda.t7", "Object+Text"),
    "basicvssubord": ("alexnet-large-basicvssubord.t7", "alexnet67_flat_dirty.t7", "Basic+Subord"),
}
SIZE = 67
SMALL = {
    "images": {"image_size": SIZE},
    "network": {"channels": [6, 8, 10, 8, 8], "hidden": [24, 24]},
    "baseline": {"max_images": 6},
    "marginalization": {"samples": 10},
    "jobs": {"units": {"conv2": 5}},
    "lesions": {"steps": 3, "random_orders": 2},
    "sharing": {"resamples": 20},
    "figures": {"dpi": 60},
}


def snakemake(folder: Path, *configs: Path, config: str = "paper", targets: tuple[str, ...] = ()) -> list[str]:
    return [
        *(str(Path(sys.executable).parent / "snakemake"), *targets),
        *("--snakefile", str(ROOT / "workflow/Snakefile")),
        *("--workflow-profile", str(ROOT / "workflow/profiles/default"), "--directory", str(folder), "--cores", "2"),
        *("--retries", "0", "--configfile", str(ROOT / f"config/{config}.yaml"), *map(str, configs)),
    ]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def pictures(folder: Path, count: int = 9) -> list[Path]:
    """Cut drawings out of the sheet, in several sizes and kinds of files."""
    sheet = Image.open(ROOT / "resources/drawings/drawings.png").convert("RGBA")
    folder.mkdir(parents=True)
    paths = []
    for index in range(count):
        cell = sheet.crop((64 * index, 0, 64 * index + 64, 64)).resize((60 + 9 * index, 80), Image.Resampling.BICUBIC)
        path = folder / f"a picture {index}.{'JPEG' if index % 2 else 'png'}"
        (cell.convert("RGB") if index % 2 else cell).save(path)
        paths.append(path)
    return paths


def tar(folder: Path, mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{mode}") as file:  # type: ignore[call-overload]
        for path in sorted(folder.iterdir()):
            file.add(path, path.name)
    return buffer.getvalue()


def make_archives(folder: Path, *, broken_image: bool = False) -> dict[str, bytes]:
    """Make the two archives of the paper: small models, and pictures with the classes that those see in them."""
    (folder / "models").mkdir(parents=True)
    paths = pictures(folder / "data/images/test")
    inputs = torch.from_numpy(read_inputs(paths, imagenet_preprocessing(SIZE)))
    for name, (model, fixture, lists) in MODELS.items():
        shutil.copy(FIXTURES / fixture, folder / "models" / model)
        shutil.copy(FIXTURES / "meta.t7", folder / f"models/meta.{name}.t7")
        numbers = list(class_names(read_class_map(FIXTURES / "meta.t7", ["a", "b"])).values())
        with torch.no_grad():
            seen = [scores.argmax(dim=1).tolist() for scores in load_network(FIXTURES / fixture)(inputs)]
        classes = [[names[index] for index in found] for names, found in zip(numbers, seen, strict=True)]
        classes[0][0] = next(other for other in numbers[0] if other != classes[0][0])  # one that is not right
        lines = [f"test/{path.name} {a},{b}\n" for path, a, b in zip(paths, *classes, strict=True)]
        target = folder / f"data/labels/{lists}/test.txt"
        target.parent.mkdir(parents=True)
        target.write_text("".join(lines))
    if broken_image:
        paths[3].write_bytes(paths[3].read_bytes()[:300])
    return {"models.tar.bz2": tar(folder / "models", "bz2"), "mtldataset_test.tar.gz": tar(folder / "data", "gz")}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return make_archives(tmp_path_factory.mktemp("archives"))


def prepare(folder: Path, url: str, **changes: dict[str, object]) -> Path:
    """Make a folder to run in; return the config that points to the small archives."""
    shutil.copytree(ROOT / "config", folder / "config")
    there = folder / "there.yaml"
    there.write_text(json.dumps(SMALL | {"archives": {"urls": [url]}} | changes))
    return there


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(archives: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the paper's config ran to its end, over connections that broke."""
    folder = tmp_path_factory.mktemp("paper") / "run"
    assert len(archives["models.tar.bz2"]) > 2 * 65536
    with serving(Site(archives, cuts=[70_000, 70_000])) as site:
        result = run(*snakemake(folder, prepare(folder, site.url)))
        assert result.returncode == 0, result.stderr
        assert len([wanted for _, wanted in site.asked if wanted]) == 2
    return folder


def test_the_papers_figures_and_tables_are_there(finished: Path) -> None:
    results = finished / "results"
    layers = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
    for experiment in ("object_text", "subordinate_basic"):
        for layer in layers:
            Image.open(results / f"figures/{experiment}/{layer}_pretrained.png").verify()
        Image.open(results / f"figures/{experiment}/lesions.png").verify()
        assert len(rows(results / f"baseline/{experiment}/kept.csv")) == 6
    Image.open(results / "figures/sharing.png").verify()
    sharing = rows(results / "tables/sharing.csv")
    assert [(row["experiment"], row["layer"]) for row in sharing[:7]] == [("object_text", layer) for layer in layers]
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
    command = str(Path(sys.executable).parent / "featuresharing")
    result = run(command, "verify", str(finished / "results"))
    assert result.returncode == 0, result.stdout + result.stderr
    layer = read_conditionals(finished / "results/marginal/object_text/conv2_pretrained.h5")
    assert (len(layer.units), list(layer.attributes["tasks"])) == (8, ["Object", "Text"])
    again = run(*snakemake(finished, finished / "there.yaml"), "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_archives_that_were_put_there_by_hand_are_taken(archives: dict[str, bytes], tmp_path: Path) -> None:
    there = prepare(tmp_path / "run", "http://127.0.0.1:9/")
    targets = ("results/networks/object_text/pretrained.t7",)
    result = run(*snakemake(tmp_path / "run", there, targets=targets))
    assert result.returncode != 0
    assert "put models.tar.bz2 into archives yourself and type the same command again" in result.stderr + result.stdout
    (tmp_path / "run/archives").mkdir(exist_ok=True)
    for name, content in archives.items():
        (tmp_path / "run/archives" / name).write_bytes(content)
    result = run(*snakemake(tmp_path / "run", there, targets=targets))
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / targets[0]).read_bytes() == (FIXTURES / "alexnet67_cudnn_cuda.t7").read_bytes()


def test_a_model_of_another_shape_is_refused(archives: dict[str, bytes], tmp_path: Path) -> None:
    network = {"channels": [6, 8, 10, 8, 9], "hidden": [24, 24]}
    there = prepare(tmp_path / "run", "http://127.0.0.1:9/", network=network)
    (tmp_path / "run/archives").mkdir()
    for name, content in archives.items():
        (tmp_path / "run/archives" / name).write_bytes(content)
    result = run(*snakemake(tmp_path / "run", there, targets=("results/networks/object_text/pretrained.t7",)))
    assert result.returncode != 0
    assert "layer '0.0.10' has 8 units; accepted are 9" in result.stdout + result.stderr
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
    given = {"model": FIXTURES / "alexnet67_cudnn_cuda.t7", "image-size": size, "layers": layer}
    given |= {"classes": finished / "results/lists/object_text/classes.csv", "output": tmp_path / "x.t7"}
    assert main(["import-model", *(str(word) for name, value in given.items() for word in (f"--{name}", value))]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x.t7").exists()


def test_images_that_cannot_be_decoded_stop_or_are_skipped_with_a_count(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    there = prepare(folder, "http://127.0.0.1:9/")
    (folder / "archives").mkdir()
    for name, content in make_archives(tmp_path / "made", broken_image=True).items():
        (folder / "archives" / name).write_bytes(content)
    target = "results/baseline/object_text/kept.txt"
    result = run(*snakemake(folder, there, targets=(target,)))
    assert result.returncode != 0
    assert "a picture 3.JPEG cannot be decoded" in result.stdout + result.stderr

    there.write_text(json.dumps(json.loads(there.read_text()) | {"baseline": {"max_images": 6, "undecodable": "skip"}}))
    result = run(*snakemake(folder, there, targets=(target,)))
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
                size = tuple(int(value) for value in rng.integers(50, 90, size=2))
                cell = sheet.crop((64 * index, 64 * number, 64 * index + 64, 64 * number + 64)).resize(size)
                cell.save(folder / part / name / f"{name}_{index}.JPEG")
    (folder / "hierarchy.csv").write_text("subordinate,basic\nn01,x\nn02,x\nn03,y\n")
    (folder / "words.txt").write_text("sun\nmap\nice\n")


TRAINING = {
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


def prepare_training(folder: Path, data: Path) -> Path:
    shutil.copytree(ROOT / "config", folder / "config")
    changes = dict(TRAINING)
    changes["folders"] = TRAINING["folders"] | {  # type: ignore[operator]
        name: str(data / (name if name in ("train", "test") else f"{name}.{'csv' if name == 'hierarchy' else 'txt'}"))
        for name in ("train", "test", "hierarchy", "words")
    }
    (folder / "there.yaml").write_text(json.dumps(changes))
    return folder / "there.yaml"


LAST = "results/networks/object_text/400.pt"


def last_state(folder: Path) -> int:
    """Return when a state of the training was written last."""
    states = folder.glob("results/networks/object_text/.progress/*/state-*.pt")
    return max((path.stat().st_mtime_ns for path in states), default=0)


def test_a_training_that_is_killed_twice_ends_with_the_same_weights(tmp_path: Path) -> None:
    class_folders(tmp_path / "data")
    there = prepare_training(tmp_path / "whole", tmp_path / "data")
    result = run(*snakemake(tmp_path / "whole", there, config="paper-training", targets=(LAST,)))
    assert result.returncode == 0, result.stderr
    there = prepare_training(tmp_path / "killed", tmp_path / "data")
    folder = tmp_path / "killed"
    for kill in (signal.SIGTERM, signal.SIGINT):
        command = snakemake(folder, there, config="paper-training", targets=(LAST,))
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        before = last_state(folder)
        deadline = time.monotonic() + 120
        while last_state(folder) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None, "the training was over before it was killed"
        os.killpg(process.pid, kill)
        process.wait(60)
        assert not (folder / LAST).exists()
        run(*command[: 1 + 1], "--snakefile", str(ROOT / "workflow/Snakefile"), "--directory", str(folder), "--unlock")
    result = run(*snakemake(folder, there, config="paper-training", targets=(LAST,)))
    assert result.returncode == 0, result.stderr
    assert "resumed at step" in (folder / "results/logs/train_network/object_text.log").read_text()
    for name in ("000", "020", "400"):
        ours, theirs = (path / f"results/networks/object_text/{name}.pt" for path in (folder, tmp_path / "whole"))
        assert ours.read_bytes() == theirs.read_bytes()
