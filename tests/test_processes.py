"""Training in two processes: the network of one process, and resumed to the same weights."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from featuresharing.cli import main
from featuresharing.errors import InputError
from featuresharing.files.locks import OutputLock
from featuresharing.networks.alexnet.trainer import Trainer
from featuresharing.networks.checkpoints import load_checkpoint
from featuresharing.runs.processes import run_processes

pytestmark = pytest.mark.end_to_end

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


PLAIN = ("--dropout", "0", "--batch-norm", "false", "--optimiser", "sgd")


def arguments(folder: Path, output: Path, processes: int) -> list[str]:
    sizes = ["--image-size", "16", "--stride", "1", "--channels", *"45454", "--kernels", *"33333", "--hidden", "8", "6"]
    settings = ["--batch-size", "8", "--checkpoints", "0", "40", "--device", "cpu", "--learning-rate", "0.01", *PLAIN]
    lists = ["--list", str(folder / "list.txt"), "--classes", str(folder / "classes.csv")]
    return ["train", *lists, *sizes, *settings, "--processes", str(processes), "--output-folder", str(output)]


def command(folder: Path, output: Path) -> list[str]:
    return [sys.executable, "-m", "featuresharing", *arguments(folder, output, 2)]


@pytest.fixture(scope="module")
def two(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes trained without being stopped."""
    output = tmp_path_factory.mktemp("two")
    result = subprocess.run(command(folder, output), capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return output


def parameters(path: Path) -> torch.Tensor:
    return torch.cat([value.flatten() for value in load_checkpoint(path).network.state_dict().values()])


def test_two_processes_train_the_network_of_one(folder: Path, two: Path, tmp_path: Path) -> None:
    assert main(arguments(folder, tmp_path, 1)) == 0
    start, one = parameters(tmp_path / "00.pt"), parameters(tmp_path / "40.pt")
    assert torch.equal(parameters(two / "00.pt"), start)
    assert (one - start).abs().max() > 1e-3
    assert (parameters(two / "40.pt") - one).abs().max() < 1e-6
    logs = [(output / "training.csv").read_text().splitlines()[1:] for output in (tmp_path, two)]
    for first, second in zip(*logs, strict=True):
        assert first.split(",")[:2] == second.split(",")[:2]
        assert list(map(float, first.split(",")[2:])) == pytest.approx(list(map(float, second.split(",")[2:])))


def test_two_processes_that_are_stopped_go_on_to_the_same_weights(folder: Path, two: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(command(folder, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob(".progress/*/state-*.pt")):  # of step 0; the next is written when it is stopped
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert "of 40 is kept" in errors
    assert not (tmp_path / "40.pt").exists()
    again = subprocess.run(command(folder, tmp_path), capture_output=True, text=True, timeout=120, check=True)
    assert "resumed at step" in again.stdout
    assert (tmp_path / "40.pt").read_bytes() == (two / "40.pt").read_bytes()


def test_the_process_of_rank_0_holds_the_lock(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that it outlives the process that started it, as long as it trains."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in (("RANK", 0), ("WORLD_SIZE", 1), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port)):
        monkeypatch.setenv(name, str(value))
    locks = []
    advance = Trainer.advance

    def look(trainer: Trainer) -> None:
        locks.append(json.loads((tmp_path / ".training.csv.lock").read_text())["process"])
        advance(trainer)

    monkeypatch.setattr(Trainer, "advance", look)
    assert main(arguments(folder, tmp_path, 2)) == 0
    assert locks == [os.getpid()] * 40
    lock = OutputLock(tmp_path / "training.csv")
    lock.acquire()
    assert main(arguments(folder, tmp_path, 2)) == 2
    lock.release()
    assert "training.csv is being computed by process" in capsys.readouterr().err


def test_a_process_that_is_killed_is_named(tmp_path: Path) -> None:
    rank = "import os, signal; os.environ['RANK'] == '1' and os.kill(os.getpid(), signal.SIGKILL); signal.pause()"
    with pytest.raises(InputError, match="one of 2 processes was ended by SIGKILL; the same command goes on"):
        run_processes(2, [sys.executable, "-S", "-c", rank])
    with pytest.raises(InputError, match="training in 2 processes failed; the lines above say why"):
        run_processes(2, [sys.executable, "-S", "-c", "raise SystemExit(2)"])


def test_batches_that_cannot_be_shared_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, tmp_path, 3)) == 2
    found = capsys.readouterr().err
    assert "--batch-size: found 8 for 3 processes; accepted is a multiple of their number." in found
