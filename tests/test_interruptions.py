"""Real processes of the command line, killed and stopped at any moment: what is done is kept, to the same bits."""

import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from featuresharing.files.locks import holding
from featuresharing.hdf5 import DamagedError
from featuresharing.networks.alexnet.architecture import build_alexnet
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.networks.checkpoints import Checkpoint, save_checkpoint
from featuresharing.runs.stopping import seconds_left, stoppable
from featuresharing.store.progress_file import read_progress
from featuresharing.store.soundness import problems_of_progress
from tests.support.commands import PROGRAM
from tests.support.files import assert_same_datasets

SHAPE = AlexNetShape(48, 2, (32, 64, 64, 64, 48), (7, 5, 3, 3, 3), (256, 256), (20, 20))
IMAGES = 24

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the demo's network with random weights, and images of noise."""
    path = tmp_path_factory.mktemp("interrupted")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_alexnet(SHAPE).eval()
    save_checkpoint(path / "7.pt", Checkpoint(network, SHAPE, ("basic", "word"), 7))
    rng = np.random.default_rng(0)
    lines = []
    for index in range(IMAGES):
        Image.fromarray(rng.integers(256, size=(48, 48, 3), dtype=np.uint8)).save(path / f"{index}.png")
        lines.append(f"{index}.png {index % 20},{index % 7}\n")
    (path / "list.txt").write_text("".join(lines))
    rows = [f"{task},{index},{task}{index}\n" for task in ("basic", "word") for index in range(20)]
    (path / "classes.csv").write_text("task,index,name\n" + "".join(rows))
    return path


def command(folder: Path, output: Path, *options: str, samples: int = 60) -> list[str]:
    """Return a command that marginalizes conv2, which takes some seconds for 60 samples."""
    return [
        *(*PROGRAM, "marginalize", "--experiment", "noise", "--layer", "conv2"),
        *("--aliases", "conv2=0.0.3", "--checkpoint", str(folder / "7.pt"), "--list", str(folder / "list.txt")),
        *("--classes", str(folder / "classes.csv"), "--estimator", "monte-carlo", "--samples", str(samples)),
        *("--device", "cpu", "--output", str(output), *options),
    ]


@pytest.fixture(scope="module")
def uninterrupted(folder: Path) -> Path:
    output = folder / "whole/conv2_7.h5"
    subprocess.run(command(folder, output), check=True, capture_output=True)
    return output


def cells_done(output: Path) -> int:
    try:
        (path,) = output.parent.glob(f".{output.name}.*.progress")
        return int(read_progress(path)[1].sum())
    except (DamagedError, ValueError, FileNotFoundError):
        return 0


def seconds_lost(output: Path, now: float) -> float:
    """Return the time since the last piece of this run was written, or since it began to compute."""
    (path,) = output.parent.glob(f".{output.name}.*.progress")
    return now - read_progress(path)[2]["last_written"]


def interrupt(
    job: list[str], output: Path, number: signal.Signals, moment: Callable[[subprocess.Popen[str], int], None]
) -> tuple[int, str]:
    """Start a job and send a signal when ``moment`` returns; return the exit status and all that it said."""
    process = subprocess.Popen(
        job,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # a test run in the background of a shell ignores SIGINT and would hand that down
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    moment(process, cells_done(output))
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def after_more(output: Path, seconds: float) -> Callable[[subprocess.Popen[str], int], None]:
    """Wait until something more is done, and then some seconds."""

    def wait(process: subprocess.Popen[str], before: int) -> None:
        while cells_done(output) <= before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(seconds)

    return wait


def test_six_kills_at_random_moments_change_no_bit(folder: Path, tmp_path: Path, uninterrupted: Path) -> None:
    rng = random.Random(0)
    output = tmp_path / "conv2_7.h5"
    job = command(folder, output)
    kills, counts = 0, []
    while kills < 6:
        early = kills % 5 == 4
        moment = (lambda *_: time.sleep(rng.uniform(0, 2.5))) if early else after_more(output, rng.uniform(0, 0.2))
        status, said = interrupt(job, output, signal.SIGKILL, moment)
        assert status == -signal.SIGKILL, said
        assert not output.exists()
        kills += 1
        if not early:
            assert seconds_lost(output, time.time()) < 5
        counts.append(cells_done(output))
        for progress in tmp_path.glob("*.progress"):
            assert problems_of_progress(progress) == []
    assert counts == sorted(counts)  # nothing that was written is lost
    assert 0 < counts[-1] < 64
    subprocess.run(job, check=True)
    assert [path.name for path in tmp_path.iterdir() if path.suffix not in (".done", ".sha256")] == [output.name]
    assert_same_datasets(output, uninterrupted, attributes=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_job_says_how_far_it_got_and_goes_on(
    folder: Path, tmp_path: Path, uninterrupted: Path, number: signal.Signals
) -> None:
    output = tmp_path / "conv2_7.h5"
    status, said = interrupt(command(folder, output), output, number, after_more(output, 1))
    assert status == 128 + number
    sentence = rf"featuresharing: stopped, {number.name}: (\d+) of 64 units are done and kept; the same command goes on"
    found = re.search(sentence, said)
    assert found
    assert "Traceback" not in said
    finished = subprocess.run(command(folder, output), check=True, capture_output=True, text=True)
    assert f"{found[1]} of 64 units are there already." in finished.stdout or found[1] == "0"
    assert_same_datasets(output, uninterrupted, attributes=True)


def test_units_of_a_layer_count_in_its_blocks(folder: Path, tmp_path: Path, uninterrupted: Path) -> None:
    whole = tmp_path / "conv2_7.h5"
    interrupt(command(folder, whole), whole, signal.SIGKILL, after_more(whole, 2))
    blocks = [tmp_path / "conv2_7/0-3.h5", tmp_path / "conv2_7/4-63.h5"]
    counts = []
    for block in blocks:
        job = command(folder, block, "--units", block.stem, "--reuse", str(whole), str(whole.with_suffix("")))
        said = subprocess.run(job, check=True, capture_output=True, text=True).stdout
        counts.append(re.search(r"(\d+) of (\d+) units are there already", said).groups())  # type: ignore[union-attr]
    assert counts[0] == ("4", "4")
    assert 0 < int(counts[1][0]) < 60
    merge = ["merge-blocks", "--blocks", *map(str, blocks), "--output", str(whole)]
    subprocess.run([*PROGRAM, *merge], check=True)
    assert_same_datasets(whole, uninterrupted, attributes=True)
    assert not list(tmp_path.rglob("*.progress"))
    whole.unlink()  # as Snakemake does before it makes the layer in one job
    again = subprocess.run(command(folder, whole), check=True, capture_output=True, text=True).stdout
    assert "is there already, with all 64 units" in again
    assert_same_datasets(whole, uninterrupted, attributes=True)


def test_a_signal_before_work_begins_is_said_too(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.h5"

    def waiting(process: subprocess.Popen[str], _: int) -> None:
        assert process.stdout
        assert "is being computed by process" in process.stdout.readline()

    with holding(output):
        status, said = interrupt(command(folder, output, "--wait", "5"), output, signal.SIGINT, waiting)
    assert (status, said) == (130, "featuresharing: stopped, SIGINT.\n")


def test_a_job_leaves_before_its_time_limit(folder: Path, tmp_path: Path) -> None:
    """With more work than any machine does in the time; the same command then goes on, until it is killed."""
    output = tmp_path / "conv2_7.h5"
    job = command(folder, output, samples=700)
    status, said = interrupt(job, output, signal.SIGALRM, after_more(output, 0))
    assert status == 128 + signal.SIGALRM
    limit = r"stopped, the time limit of its SLURM job is near: \d+ of 64 units are done and kept; the same command"
    assert re.search(limit, said)
    done = cells_done(output)
    assert done > 0
    environment = {"SLURM_JOB_ID": "17", "SLURM_JOB_END_TIME": str(int(time.time())), "PATH": ""}
    over = subprocess.run(job, check=False, capture_output=True, text=True, env=environment)
    assert over.returncode == 128 + signal.SIGALRM
    assert "the time limit of its SLURM job is near" in over.stderr
    done = cells_done(output)
    status, said = interrupt(job, output, signal.SIGKILL, after_more(output, 0))
    assert status == -signal.SIGKILL, said
    assert f"{done} of 64 units are there already" in said
    assert cells_done(output) > done
    (progress,) = tmp_path.glob("*.progress")
    assert problems_of_progress(progress) == []


@pytest.mark.parametrize(("left", "alarm"), [(-5, 0.1), (100, 90), (600, 540), (5000, 4940)])
def test_the_alarm_is_set_before_the_limit(monkeypatch: pytest.MonkeyPatch, left: int, alarm: float) -> None:
    """A minute before, or a tenth of the time that is left where that is less."""
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(1000 + left))
    alarms: list[float] = []
    monkeypatch.setattr(signal, "setitimer", lambda _, seconds: alarms.append(seconds))
    with stoppable():
        pass
    assert alarms == [alarm, 0]


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [("1-02:03:04", 93784), ("02:03:04", 7384), ("03:04", 184), ("0:59", 59), ("UNLIMITED", None), ("INVALID", None)],
)
def test_the_time_left_is_what_slurm_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, seconds: float | None
) -> None:
    (tmp_path / "squeue").write_text(f"#!/bin/sh\n[ $3 = 17 ] && echo {answer}\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert seconds_left() is None
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert seconds_left() == seconds
    monkeypatch.setenv("SLURM_JOB_ID", "18")  # of which squeue knows nothing
    assert seconds_left() is None
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 100))
    left = seconds_left()
    assert left is not None
    assert 95 < left <= 100


def test_two_jobs_of_one_output_take_turns(folder: Path, tmp_path: Path, uninterrupted: Path) -> None:
    output = tmp_path / "conv2_7.h5"
    first = subprocess.Popen(command(folder, output), stdout=subprocess.DEVNULL, text=True)
    after_more(output, 0)(first, 0)
    first.send_signal(signal.SIGSTOP)  # or it may be done before others have started
    refused = subprocess.run(command(folder, output), check=False, capture_output=True, text=True)
    assert refused.returncode == 2
    assert f"is being computed by process {first.pid} on " in refused.stderr
    waiting = subprocess.Popen(
        command(folder, output, "--wait", "5"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert waiting.stdout
    assert f"is being computed by process {first.pid} on " in waiting.stdout.readline()
    first.kill()
    first.wait()
    said, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, said
    assert re.search(r"\d+ of 64 units are there already", said)
    assert_same_datasets(output, uninterrupted, attributes=True)
    again = subprocess.run(command(folder, output), check=True, capture_output=True, text=True)
    assert "is there already, with all 64 units." in again.stdout
