"""What the command line says: help, what was meant, what is missing; and that it ends quietly when nobody listens."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from featuresharing.cli import main

PROGRAM = [sys.executable, "-m", "featuresharing"]


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
    assert names[:2] == ["status", "verify"]
    assert len(names) == len(set(names)) > 20
    assert re.findall(r"^([a-z ]+):$", text, flags=re.MULTILINE) == [
        *("results", "images and archives", "networks", "units", "tables and figures"),
    ]
    for name in names:
        assert shown(capsys, name, "--help").startswith(f"usage: featuresharing {name}")


def test_help_of_a_command_groups_what_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "train", "--help")
    required, _, optional = text.partition("required options:")[2].partition("\noptions:\n")
    assert set(re.findall(r"^  (--[a-z-]+)", required, flags=re.MULTILINE)) == {
        *("--list", "--classes", "--checkpoints", "--output-folder"),
    }
    assert "default" not in required
    assert "None" not in text
    assert "--batch-norm BATCH_NORM" in optional
    optional = " ".join(optional.split())
    assert "(default: true)" in optional
    assert "(default: 7 5 3 3 3)" in optional


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tabulate-accuracy", "--predictions", "a.h5", "--output", "x"], "file of predictions a.h5 does not exist"),
        (["tabulate-contributions", "--conditionals", "a.h5", "--output", "x"], "file of conditionals a.h5 does not"),
        (["merge-blocks", "--blocks", "a.h5", "--output", "x.h5"], "file of conditionals a.h5 does not exist"),
        (["plot-units", "--conditionals", "a.h5", "--output", "x.png"], "file of conditionals a.h5 does not exist"),
        (["animate-units", "--frames", "a.png", "--output", "x.gif"], "frame a.png does not exist"),
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
            ["animate-units", "--frames", "a.png", "--output", "x.png"],
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
    assert ended.stderr == "featuresharing: standard output cannot be written to (No space left on device).\n"


def test_no_message_colours_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "extract", "--archive", tmp_path / "\x1b[31m\udce9.tar", "--output-folder", tmp_path / "x")
    assert r"\x1b[31m\udce9.tar does not exist" in said
