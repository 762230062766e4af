"""Trainings that are killed, doubled, damaged or short of disk: nothing is lost, and the bytes stay the same."""

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from featuresharing.cli import main
from featuresharing.data.columns import TABLES
from featuresharing.data.table_files import read_table
from featuresharing.files.locks import OutputLock
from featuresharing.files.records import record_of
from featuresharing.networks.alexnet.trainer import Trainer
from featuresharing.networks.checkpoints import load_checkpoint
from featuresharing.runs.status_report import training_lines
from featuresharing.runs.trainings import training_statuses
from tests.support.files import flip_bit

CLASSES = "task,index,name\nshape,0,a\nshape,1,b\nhue,0,c\nhue,1,d\nhue,2,e\n"
NAMES = ("0.pt", "2.pt", "5.pt", "training.csv")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    lines = []
    for index in range(8):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path / f"{index}.png")
        lines.append(f"{path}/{index}.png {index % 2},{index % 3}\n")
    (path / "list.txt").write_text("".join(lines))
    (path / "classes.csv").write_text(CLASSES)
    return path


def arguments(data: Path, output: Path, *more: str) -> list[str]:
    sizes = ["--image-size", "16", "--stride", "1", "--channels", *"22222", "--kernels", *"33333", "--hidden", "3", "3"]
    settings = ["--batch-size", "4", "--checkpoints", "0", "2", "5", "--device", "cpu", "--log-every", "2"]
    settings += ["--batch-norm", "false"]
    lists = ["--list", str(data / "list.txt"), "--classes", str(data / "classes.csv")]
    return ["train", *lists, *sizes, *settings, "--output-folder", str(output), *more]


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The outputs of a training that nothing happened to."""
    output = tmp_path_factory.mktemp("whole")
    assert main(arguments(data, output)) == 0
    return {name: (output / name).read_bytes() for name in NAMES}


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it."""


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Callable[[], None]:
    """End trainings at ``step``, their states written at each; return how to let them go on."""
    advance = Trainer.advance

    def stopping(trainer: Trainer) -> None:
        if trainer.step == step:
            raise Killed
        advance(trainer)

    monkeypatch.setattr("featuresharing.runs.training.SAVE_SECONDS", -1)
    monkeypatch.setattr(Trainer, "advance", stopping)
    return lambda: monkeypatch.setattr(Trainer, "advance", advance)


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def progress(folder: Path) -> Path:
    (found,) = (folder / ".progress").iterdir()
    return found


def refuse_to_train(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(_: Trainer) -> None:
        raise AssertionError("it trains again")

    monkeypatch.setattr(Trainer, "advance", trained)


@pytest.mark.slow
def test_a_kill_before_any_renaming_is_resumed_to_the_same_bytes(
    data: Path, tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace
    kills = 0
    while True:
        output = tmp_path / str(kills)
        counted: list[int] = []

        def killed(source: Any, target: Any, counted: list[Any] = counted, kills: int = kills) -> None:
            counted.append(target)
            if len(counted) > kills:
                raise Killed
            replace(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killed)
            try:
                assert main(arguments(data, output)) == 0
                break
            except Killed:
                pass
        before = outputs(output)
        assert before.items() <= whole.items()
        assert main(arguments(data, output)) == 0
        assert outputs(output) == whole
        kills += 1
    assert kills >= 13  # states, checkpoints, the log, the sums, and four outputs


def test_any_outputs_that_are_missing_are_put_back_without_training(
    data: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(arguments(data, tmp_path)) == 0
    kept = {path.name for path in progress(tmp_path).iterdir()}
    assert not any(name.startswith("state") for name in kept)
    refuse_to_train(monkeypatch)
    for chosen in range(2 ** len(NAMES)):
        for index, name in enumerate(NAMES):
            if chosen >> index & 1:
                (tmp_path / name).unlink()
        assert main(arguments(data, tmp_path)) == 0
        assert outputs(tmp_path) == whole
        assert "has all that is trained with these settings already" in capsys.readouterr().out
    for content in (b"something else", whole["2.pt"]):  # another file, as a copy of the folder has
        (tmp_path / "2.pt").unlink()
        (tmp_path / "2.pt").write_bytes(content)
        assert main(arguments(data, tmp_path)) == 0
        assert outputs(tmp_path) == whole
        assert (tmp_path / "2.pt").samefile(progress(tmp_path) / "2.pt")


def test_damaged_and_deleted_records_of_outputs_are_written_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(arguments(data, tmp_path)) == 0
    refuse_to_train(monkeypatch)
    output = tmp_path / "2.pt"
    sound = record_of(output).read_bytes()
    for damage in (b"", b"garbage", sound.replace(b"  2.pt", b"  3.pt"), sound[:30] + b"0" + sound[31:], None):
        record_of(output).unlink()
        if damage is not None:
            record_of(output).write_bytes(damage)
        assert main(arguments(data, tmp_path)) == 0
        assert record_of(output).read_bytes() == sound


def test_how_often_the_log_is_written_starts_nothing_afresh(
    data: Path, tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = stop_at(monkeypatch, 3)
    with pytest.raises(Killed):
        main(arguments(data, tmp_path))
    go_on()
    assert main(arguments(data, tmp_path, "--log-every", "1")) == 0
    assert {name: content for name, content in outputs(tmp_path).items() if name.endswith(".pt")} == {
        name: content for name, content in whole.items() if name.endswith(".pt")
    }
    rows = (tmp_path / "training.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1::2]] == ["2", "4", "5"]
    assert main(arguments(data, tmp_path)) == 0
    assert (tmp_path / "training.csv").read_text().splitlines() == rows


def test_a_file_system_without_hard_links_does(
    data: Path, tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    assert main(arguments(data, tmp_path)) == 0
    assert outputs(tmp_path) == whole
    assert not list(progress(tmp_path).glob("*.pt"))  # no second copies
    refuse_to_train(monkeypatch)
    assert main(arguments(data, tmp_path)) == 0


def test_another_training_at_the_same_time_is_refused_in_one_sentence(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = OutputLock(tmp_path / "training.csv")
    lock.acquire()
    assert main(arguments(data, tmp_path)) == 2
    lock.release()
    said = capsys.readouterr().err
    assert f"is being computed by process {os.getpid()} on " in said
    assert said.count("\n") == 1
    assert not outputs(tmp_path)


def test_a_training_waits_for_an_orphan_that_finishes(
    data: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    orphan = OutputLock(tmp_path / "training.csv")
    orphan.acquire()

    def finish(_: float) -> None:
        orphan.release()
        assert main(arguments(data, tmp_path)) == 0
        refuse_to_train(monkeypatch)

    monkeypatch.setattr("featuresharing.files.locks.time.sleep", finish)
    assert main(arguments(data, tmp_path, "--wait", "5")) == 0
    said = capsys.readouterr().out
    assert f"is being computed by process {os.getpid()} on " in said
    assert f"{tmp_path} has all that is trained with these settings already.\n" in said
    assert outputs(tmp_path) == whole


@pytest.mark.slow
def test_a_training_takes_over_from_an_orphan_that_is_killed(
    data: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    entry = (
        "import signal, sys; from featuresharing.cli import main;"
        "from featuresharing.networks.alexnet.trainer import Trainer;"
        "advance = Trainer.advance;"
        "hold = lambda trainer: trainer.step == 3 and print('held', flush=True) or trainer.step == 3 and signal.pause()"
        " or advance(trainer);"
        "Trainer.advance = hold; sys.exit(main(sys.argv[1:]))"
    )
    orphan = subprocess.Popen(
        [sys.executable, "-c", entry, *arguments(data, tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert orphan.stdout
    assert "held\n" in iter(orphan.stdout.readline, "")
    orphan.stdout.close()

    def kill(_: float) -> None:
        orphan.kill()
        orphan.wait()

    monkeypatch.setattr("featuresharing.files.locks.time.sleep", kill)
    assert main(arguments(data, tmp_path, "--wait", "5")) == 0
    assert orphan.returncode == -signal.SIGKILL
    said = capsys.readouterr().out
    assert f"is being computed by process {orphan.pid} on " in said
    assert "resumed at step 2" in said
    assert outputs(tmp_path) == whole


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "flipped": flip_bit,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "garbage": lambda path: path.write_bytes(b"nothing of ours" * 100),
    "without a digest": lambda path: torch.save(torch.load(path, weights_only=True), path),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_state_is_said_and_the_other_goes_on(
    data: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], Any],
) -> None:
    go_on = stop_at(monkeypatch, 4)
    with pytest.raises(Killed):
        main(arguments(data, tmp_path / "a"))
    go_on()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    states = sorted(progress(tmp_path / "a").glob("state-*"), key=lambda path: torch.load(path)["step"])
    assert [torch.load(path)["step"] for path in states] == [3, 4]
    damage(states[1])
    capsys.readouterr()
    assert main(arguments(data, tmp_path / "a")) == 0
    said = capsys.readouterr().out
    assert f"{states[1]} is damaged (" in said
    assert "): training goes on from step 3.\n" in said
    assert outputs(tmp_path / "a") == whole
    for path in progress(tmp_path / "b").glob("state-*"):
        damage(path)
    assert main(arguments(data, tmp_path / "b")) == 0
    assert capsys.readouterr().out.count("): training starts again.\n") == 2
    assert outputs(tmp_path / "b") == whole


@pytest.mark.parametrize("damage", [flip_bit, lambda path: os.truncate(path, 1000), Path.unlink])
def test_a_damaged_checkpoint_is_never_published(
    data: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], Any],
) -> None:
    go_on = stop_at(monkeypatch, 3)
    with pytest.raises(Killed):
        main(arguments(data, tmp_path))
    damage(progress(tmp_path) / "2.pt")  # one state is of step 2, at which it is saved again
    go_on()
    assert main(arguments(data, tmp_path)) == 0
    assert "2.pt is not as it was saved: training goes on from step 2." in capsys.readouterr().out
    assert outputs(tmp_path) == whole
    shutil.rmtree(tmp_path / ".progress")
    go_on = stop_at(monkeypatch, 3)
    with pytest.raises(Killed):
        main(arguments(data, tmp_path))
    damage(progress(tmp_path) / "0.pt")
    go_on()
    assert main(arguments(data, tmp_path)) == 0
    assert "0.pt is not as it was saved: training starts again." in capsys.readouterr().out
    assert outputs(tmp_path) == whole


def test_a_checkpoint_that_the_disk_spoils_while_it_trains_is_refused(
    data: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    advance = Trainer.advance

    def spoiling(trainer: Trainer) -> None:
        if trainer.step == 4:
            flip_bit(progress(tmp_path) / "2.pt")
        advance(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", spoiling)
        assert main(arguments(data, tmp_path)) == 2
    assert "2.pt is not as it was saved; accepted is a disk that gives back what is written" in capsys.readouterr().err
    assert not outputs(tmp_path)
    assert main(arguments(data, tmp_path)) == 0
    assert outputs(tmp_path) == whole


@pytest.mark.parametrize("name", ["2.pt", "training.csv", "SHA256SUMS"])
def test_damage_of_what_was_finished_is_said_and_trained_again(
    data: Path, tmp_path: Path, whole: dict[str, bytes], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(arguments(data, tmp_path)) == 0
    flip_bit(progress(tmp_path) / name)  # and with it the output, which is the same file
    assert main(arguments(data, tmp_path)) == 0
    assert "is not as it was written: it is made again." in capsys.readouterr().out
    assert outputs(tmp_path) == whole


def test_progress_of_other_settings_is_kept_and_named(
    data: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    go_on = stop_at(monkeypatch, 4)
    with pytest.raises(Killed):
        main(arguments(data, tmp_path))
    first = progress(tmp_path)
    with pytest.raises(Killed):
        main(arguments(data, tmp_path, "--seed", "7", "--learning-rate", "0.01"))
    assert f"{first} is of other settings (learning_rate, seed): it is kept." in capsys.readouterr().out
    go_on()
    assert main(arguments(data, tmp_path)) == 0
    assert "resumed at step 4" in capsys.readouterr().out
    assert outputs(tmp_path) == whole
    other = ("--seed", "7", "--learning-rate", "0.01")
    assert main(arguments(data, tmp_path, *other)) == 0
    assert "resumed at step 4" in capsys.readouterr().out
    assert outputs(tmp_path)["5.pt"] != whole["5.pt"]
    assert not first.exists()  # its outputs have been replaced


@pytest.mark.parametrize("failing", range(0, 14, 3))
def test_a_full_disk_loses_nothing(
    data: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failing: int,
) -> None:
    from featuresharing.files import atomic

    synced = atomic.sync
    calls: list[Path] = []

    def full(path: Path) -> None:
        calls.extend([path] if path.is_file() else [])
        if len(calls) > failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synced(path)

    monkeypatch.setattr("featuresharing.runs.training.SAVE_SECONDS", -1)
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "sync", full)
        assert main(arguments(data, tmp_path)) == 2
    said = capsys.readouterr().err
    assert "cannot be written: no space is left on the disk" in said
    assert said.count("\n") == 1
    assert main(arguments(data, tmp_path)) == 0
    said = capsys.readouterr().out
    assert failing < 3 or "resumed at step" in said or "has all that is trained" in said
    assert outputs(tmp_path) == whole


def test_a_training_that_diverges_saves_no_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    advance = Trainer.advance

    def diverging(trainer: Trainer) -> None:
        advance(trainer)
        if trainer.step == 2:
            with torch.no_grad():
                trainer._network.get_parameter("1.2.weight")[1, 0] = float("nan")

    monkeypatch.setattr(Trainer, "advance", diverging)
    assert main(arguments(data, tmp_path)) == 2
    found = capsys.readouterr().err
    assert "training diverged at step 2: the weight of unit 1 of layer 1.2 (fc6) holds nan; accepted are" in found
    assert not outputs(tmp_path)


def test_what_a_folder_of_progress_is_of_can_be_read(data: Path, tmp_path: Path) -> None:
    assert main(arguments(data, tmp_path)) == 0
    run = json.loads((progress(tmp_path) / "run.json").read_text())
    assert (run["settings"]["seed"], run["tasks"], run["device"]) == (0, ["shape", "hue"], "cpu")
    check = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=progress(tmp_path), capture_output=True, check=False)
    assert check.returncode == 0
    assert load_checkpoint(tmp_path / "5.pt").step == 5
    assert io.BytesIO((tmp_path / "5.pt").read_bytes()).getvalue() == (progress(tmp_path) / "5.pt").read_bytes()


def test_a_training_says_at_each_checkpoint_how_far_it_is(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = stop_at(monkeypatch, 4)
    monkeypatch.setattr("featuresharing.runs.training.SAVE_SECONDS", 1e6)
    with pytest.raises(Killed):
        main(arguments(data, tmp_path / "networks/x"))
    first, second = capsys.readouterr().out.splitlines()
    assert first == "step 0 of 5."
    assert main(["status", str(tmp_path)]) == 0
    kept, *_ = capsys.readouterr().out.splitlines()
    assert kept == f"training in {tmp_path / 'networks/x'}: step 2 of 5 is kept, 40.0 %; running"
    (found,) = training_statuses(tmp_path, now=time.time() + 4000)
    assert (found.step, found.steps, found.runs) == (2, 5, False)
    (line,) = training_lines([replace(found, silent=4000.0)])
    assert line.endswith("step 2 of 5 is kept, 40.0 %; stopped 1 h 6 min ago")
    (progress(tmp_path / "networks/x") / "reached.json").write_text("{")
    assert training_statuses(tmp_path) == []
    go_on()
    assert main(arguments(data, tmp_path / "networks/x")) == 0
    *_, last = (line for line in capsys.readouterr().out.splitlines() if line.startswith("step "))
    assert training_statuses(tmp_path) == []
    # the table of the log, which the training writes itself, has the same numbers
    log = read_table(tmp_path / "networks/x/training.csv", TABLES["training"])
    for said, step, at in ((second, 2, 2), (last, 5, 5)):
        rows = log[log["step"] == at].itertuples()
        tasks = "; ".join(f"{row.task} loss {row.loss:.3f} nats, accuracy {row.accuracy:.1%}" for row in rows)
        assert said == f"step {step} of 5: {tasks} (on training batches before step {at})."
