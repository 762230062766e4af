"""What the command line says: help, what was meant, what is missing; and that it ends quietly when nobody listens."""

import os
import re
import subprocess
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featuresharing.cli import main
from featuresharing.cli.logs import described
from featuresharing.errors import InputError
from featuresharing.files.atomic import replacing
from featuresharing.files.records import record_folder
from featuresharing.networks.predictions import Predictions, write_predictions
from tests.support.commands import PROGRAM


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("featuresharing: ")
    assert err.count("\n") == 1
    assert len(err) < 300
    return err


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verfy"], "there is no command 'verfy'; did you mean 'verify'?"),
        (["Status"], "there is no command 'Status'; did you mean 'status'?"),
        (["marginalise"], "did you mean 'marginalize'?"),
        (["plot_units", "--output", "x.png"], "did you mean 'plot-units'?"),
        (["qqq"], "there is no command 'qqq'; accepted is what --help lists."),
        (["\x1b[31m"], r"there is no command '\x1b[31m'; accepted"),
        (["x" * 10**5], "accepted is what --help lists."),
        ([], "no command is given; accepted is one of those that 'featuresharing --help' lists."),
        (["--verson"], "there is no option '--verson'; did you mean '--version'?"),
        (["plot-units", "--ouput", "x.png"], "plot-units: there is no option '--ouput'; did you mean '--output'?"),
        (["train", "--batchsize=3"], "train: there is no option '--batchsize'; did you mean '--batch-size'?"),
        (["train", "-list", "x"], "train: there is no option '-list'; did you mean '--list'?"),
        (["verify", "--help-me"], "verify: there is no option '--help-me'; did you mean '--help'?"),
        (["verify", "a", "b"], "verify: unrecognized arguments: b."),
        (["plot-units"], "plot-units: the following arguments are required: --conditionals, --output."),
    ],
)
def test_what_was_mistyped_is_said_with_what_was_meant(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal(capsys, *arguments)


def test_values_that_look_like_options_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "found '-3'" in refusal(capsys, "plot-units", "--dpi", "-3")
    assert "results.tables" not in refusal(capsys, "verify", "--", "--verify")


def test_help_begins_with_what_people_type(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "--help")
    assert text.startswith("usage: featuresharing COMMAND")
    names = re.findall(r"^  ([a-z-]+) +[a-z]", text, flags=re.MULTILINE)
    assert names[:4] == ["check", "inspect", "status", "verify"]
    assert len(names) == len(set(names)) > 20
    assert re.findall(r"^([a-z, ]+):$", text, flags=re.MULTILINE) == [
        *("first of all", "results", "images and archives", "networks", "units", "tables, figures and words"),
    ]
    for name in names:
        assert shown(capsys, name, "--help").startswith(f"usage: featuresharing {name}")


def test_help_of_a_command_groups_what_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "train", "--help")
    required, _, optional = text.partition("required options:")[2].partition("\noptions:\n")
    assert set(re.findall(r"^  (--[a-z-]+)", required, flags=re.MULTILINE)) == {
        *("--list", "--classes", "--output-folder"),
    }
    assert "default" not in required
    assert "None" not in text
    assert "--batch-norm BATCH_NORM" in optional
    optional = " ".join(optional.split())
    assert "(default: true)" in optional
    assert "(default: 7 3 3 3 3)" in optional


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tabulate-accuracy", "--predictions", "a.h5", "--output", "x"], "file of predictions a.h5 does not exist"),
        (["tabulate-contributions", "--conditionals", "a.h5", "--output", "x"], "file of conditionals a.h5 does not"),
        (["merge-blocks", "--blocks", "a.h5", "--output", "x.h5"], "file of conditionals a.h5 does not exist"),
        (["plot-units", "--conditionals", "a.h5", "--output", "x.png"], "file of conditionals a.h5 does not exist"),
        (["animate-units", "--conditionals", "a.h5", "--output", "x.gif"], "file of conditionals a.h5 does not exist"),
        (["tabulate-lesions", "--curves", "a.csv", "--output", "x"], "table of curves a.csv does not exist"),
        (["extract", "--archive", "a.tar", "--output-folder", "x"], "archive a.tar does not exist"),
        (
            ["plot-units", "--conditionals", "a.h5", "--output", "x.txt"],
            "found 'x.txt'; accepted is a name that",
        ),
        (
            ["plot-units", "--conditionals", "a.h5", "--output", "x"],
            "found 'x'; accepted is a name that",
        ),
        (
            ["animate-units", "--conditionals", "a.h5", "--output", "x.png"],
            "accepted is a name that ends in .gif",
        ),
    ],
)
def test_paths_are_looked_at_before_any_work(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refusal(capsys, *arguments)
    (tmp_path / "a.h5").symlink_to("nowhere")
    assert said in refusal(capsys, *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def unheard(arguments: list[str], folder: Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command whose standard output nobody reads."""
    read, write = os.pipe()
    os.close(read)
    try:
        return subprocess.run([*PROGRAM, *arguments], cwd=folder, stdout=write, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(write)


@pytest.mark.parametrize("arguments", [["status", "."], ["verify", "."], ["--help"], ["verify", "--help"]])
def test_a_closed_pipe_ends_any_command_quietly(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1\n")
    ended = unheard(arguments, tmp_path)
    assert ended.stderr == b""
    assert ended.returncode in (0, 141)


def test_a_full_disk_behind_standard_output_is_said(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*PROGRAM, "status", "."], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 2
    said = "standard output cannot be written to (No space left on device); accepted is one with room."
    assert ended.stderr == f"featuresharing: {said}\n"


def test_no_message_colours_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "extract", "--archive", tmp_path / "\x1b[31m\udce9.tar", "--output-folder", tmp_path / "x")
    assert r"\x1b[31m\udce9.tar does not exist" in said


TABLE = "task,index,name\nt,0,a\nt,1,b\n"


@pytest.fixture
def predicted(tmp_path: Path) -> list[str | Path]:
    """Options of ``select-images`` on two images, but for its output."""
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "list.txt").write_text("a.png 0\nb.png 1\n")
    (tmp_path / "classes.csv").write_text(TABLE)
    write_predictions(tmp_path / "p.h5", Predictions({"t": np.eye(2, dtype="f4")}, {"t": np.array([0, 1])}, 0))
    names = {"list": "list.txt", "classes": "classes.csv", "predictions": "p.h5"}
    return ["select-images", *(word for name, file in names.items() for word in (f"--{name}", tmp_path / file))]


def test_no_output_replaces_what_is_no_file(
    predicted: list[str | Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "stream").symlink_to("/proc/self/fd/1")
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "folder").mkdir()
    (tmp_path / "list").symlink_to(tmp_path / "folder")
    before = sorted(tmp_path.iterdir())
    for name in ("pipe", "stream", "null"):
        assert "cannot be written: it is no regular file;" in refusal(capsys, *predicted, "--output", tmp_path / name)
    for output in (tmp_path / "folder", tmp_path / "list", ".", "", "/"):
        assert "cannot be written: it is a folder;" in refusal(capsys, *predicted, "--output", output)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("length", [244, 300])
def test_a_name_that_is_too_long_is_said(length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featuresharing.files.atomic.os.getpid", lambda: 1)  # with 244, only that of the record is
    words = "cannot be written: its name is too long; accepted are up to 230 bytes"
    with pytest.raises(InputError, match=words), replacing(tmp_path / ("a" * length)):
        pass
    assert list(tmp_path.iterdir()) == []
    with replacing(tmp_path / ("a" * 230)):
        pass


def test_no_output_replaces_what_it_is_made_of(
    predicted: list[str | Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to("list.txt")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name, called in (("list.txt", "image list"), ("link", "image list"), ("p.h5", "file of predictions")):
        sentence = f"the {called} that is read; accepted is another name."
        assert sentence in refusal(capsys, *predicted, "--output", tmp_path / name)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_tables_without_rows_and_tasks_that_stand_twice_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "s.csv"
    command: list[str | Path] = ["list-images", "--stimuli", table, "--output-folder", tmp_path / "out", "--tasks", "a"]
    table.write_text("image,a\n")
    assert "s.csv: found no row; accepted is at least one." in refusal(capsys, *command)
    table.write_text("image,a\nx.png,1\n")
    assert "tasks: found 'a' twice; accepted are distinct tasks." in refusal(capsys, *command, "a")


def test_a_list_does_not_overwrite_its_own_table(
    predicted: list[str | Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "accepted is another ending" in refusal(capsys, *predicted, "--output", tmp_path / "kept.csv")
    assert main([*map(str, predicted), "--output", str(tmp_path / "kept.txt")]) == 0
    assert (tmp_path / "kept.txt").read_text() == "a.png 0\nb.png 1\n"
    assert (tmp_path / "kept.csv").read_text() == "index,image,t\n0,a.png,a\n1,b.png,b\n"


@pytest.mark.parametrize(
    ("command", "option", "value", "accepted"),
    [
        ("train", "--threads", "1025", "an integer from 1 to 1024"),
        ("train", "--image-size", "100000000", "an integer from 16 to 512 (pixels)"),
        ("train", "--batch-size", "9" * 30, "an integer from 2 to 1000000"),
        ("select-images", "--seed", str(2**63), "an integer from 0, below 2^63"),
        ("marginalize", "--units", "0-99999999999", "an integer from 0 to 65535, or a range such as 0-127"),
        ("marginalize", "--units", "9" * 5000, "an integer from 0 to 65535, or a range such as 0-127"),
        ("render-images", "--wait", "1e300", "a number from 0 to below 1e+06"),
    ],
)
def test_numbers_beyond_any_machine_are_refused(
    command: str, option: str, value: str, accepted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, option, value]) == 2
    assert capsys.readouterr().err.endswith(f"; accepted is {accepted}.\n")


def test_the_log_says_whether_a_folder_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    record_folder_of(output, "one")
    options = Namespace(command="do", output_folder=output)
    with described(options):
        (output / ".progress").mkdir()
        (output / ".lock").touch()
    assert f"do: read no file; left {output} as it was in " in capsys.readouterr().out
    with described(options):
        record_folder_of(output, "another")
    assert f"do: read no file; wrote {output} (now 1 files and folders) in " in capsys.readouterr().out


def record_folder_of(folder: Path, text: str) -> None:
    """Write a file deep in a folder that is recorded as a whole."""
    (folder / "a").mkdir(parents=True, exist_ok=True)
    (folder / "a/b.txt").write_text(text)
    record_folder(folder)
