"""Training in two processes: the network of one process, and resumed to the same weights."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from featuresharing.networks.checkpoints import load_checkpoint

CLASSES = "task,index,name\nshape,0,a\nshape,1,b\nhue,0,c\nhue,1,d\nhue,2,e\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("training")
    rng = np.random.default_rng(0)
    lines = []
    for index in range(16):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{index}.png")
        lines.append(f"{path}/{index}.png {index % 2},{index % 3}\n")
    (path / "list.txt").write_text("".join(lines))
    (path / "classes.csv").write_text(CLASSES)
    return path


def command(folder: Path, output: Path, *more: str, last: int = 6) -> list[str]:
    sizes = ["--image-size", "16", "--stride", "1", "--channels", *"45454", "--kernels", *"33333", "--hidden", "8", "6"]
    settings = ["--batch-size", "8", "--checkpoints", "0", str(last), "--device", "cpu", "--learning-rate", "0.01"]
    lists = ["--list", str(folder / "list.txt"), "--classes", str(folder / "classes.csv")]
    start = [sys.executable, "-m", "featuresharing", "train", *lists, *sizes, *settings]
    return [*start, *more, "--output-folder", str(output)]


def train(folder: Path, output: Path, *more: str, last: int = 6) -> dict[str, torch.Tensor]:
    result = subprocess.run(
        command(folder, output, *more, last=last), capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    return load_checkpoint(output / f"{last}.pt").network.state_dict()


def farthest(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    return max(float((first[name] - second[name]).abs().max()) for name in first)


PLAIN = ("--dropout", "0", "--batch-norm", "false", "--optimiser", "sgd")


def test_two_processes_train_the_network_of_one(folder: Path, tmp_path: Path) -> None:
    one = train(folder, tmp_path / "one", *PLAIN)
    two = train(folder, tmp_path / "two", *PLAIN, "--processes", "2")
    start = load_checkpoint(tmp_path / "one/0.pt").network.state_dict()
    assert farthest(one, start) > 1e-3
    assert farthest(one, two) < 1e-6
    logs = [(tmp_path / f"{name}/training.csv").read_text().splitlines() for name in ("one", "two")]
    for first, second in zip(*logs, strict=True):
        assert first.split(",")[:2] == second.split(",")[:2]
        if first[0].isdigit():
            assert list(map(float, first.split(",")[2:])) == pytest.approx(list(map(float, second.split(",")[2:])))


def test_two_processes_that_are_stopped_go_on_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    train(folder, tmp_path / "whole", "--processes", "2", last=80)
    cut = command(folder, tmp_path / "cut", "--processes", "2", last=80)
    process = subprocess.Popen(cut, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    state = tmp_path / "cut/.progress/state.pt"  # written at step 0 and then when the process is stopped
    while not state.exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert "of 80 is kept" in errors
    again = subprocess.run(cut, capture_output=True, text=True, timeout=120, check=True)
    assert "resumed at step" in again.stdout
    whole, found = ((tmp_path / f"{name}/80.pt").read_bytes() for name in ("whole", "cut"))
    assert found == whole


def test_batches_that_cannot_be_shared_are_refused(folder: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        command(folder, tmp_path, "--processes", "3"), capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 2
    assert "--batch-size: found 8 for 3 processes; accepted is a multiple of their number." in result.stderr
    assert "Traceback" not in result.stderr
