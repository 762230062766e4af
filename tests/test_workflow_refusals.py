"""What the workflow refuses before anything runs, and what reaches its commands."""

import re
import shlex
from pathlib import Path

import pytest

from tests.support.workflows import NASTY, Change, changed_config, new_folder, run_snakemake

pytestmark = pytest.mark.end_to_end


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"training": {"drop_out": 0}},
            "config key 'training.drop_out' is not known; the nearest is 'training.dropout'.",
        ),
        ({"layers": {"conv9": "0.0.99"}}, "config key 'layers.conv9': the network has no layer '0.0.99'"),
        ({"device": "tpu"}, "config key 'device': found 'tpu'; accepted is auto, cpu, mps, cuda or cuda:N."),
    ],
)
def test_a_wrong_config_is_refused_before_anything_runs(
    tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    result = run_snakemake(new_folder(tmp_path), configs=changed_config(tmp_path, change))
    assert result.returncode != 0
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["results/figures/object_text/conv9.gif"], "there is no layer 'conv9'; accepted are conv1, conv2,"),
        (
            ["results/marginal/object_text/conv1_120.h5", "--config", "marginalization={samples: 100000000000}"],
            "config key 'marginalization.samples': found 100000000000; accepted is an integer from 1 to 100000.",
        ),
    ],
)
def test_what_the_command_line_asks_for_in_vain_is_said_in_one_sentence(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    result = run_snakemake(new_folder(tmp_path), "--dry-run", *arguments)
    assert result.returncode != 0
    assert sentence in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def commands_planned(folder: Path, change: Change) -> dict[str, list[str]]:
    """Return the words of each command that a dry run prints, by command; of several alike, the last."""
    result = run_snakemake(folder, "--dry-run", "--printshellcmds", configs=changed_config(folder, change))
    assert result.returncode == 0, result.stderr
    lines = re.findall(r"^Shell command: featuresharing (.*)$", result.stdout + result.stderr, re.MULTILINE)
    return {words[0]: words[: words.index(">")] for words in map(shlex.split, lines)}


def test_every_path_of_the_config_reaches_its_command_as_one_word(tmp_path: Path) -> None:
    nasty, flat = f"-x {NASTY}", f"-x {NASTY}".translate(str.maketrans("{}", "()"))
    new_folder(tmp_path)
    for name in ("train", "test"):
        (tmp_path / f"{nasty}{name}").mkdir()
    files = {key: f"{nasty}{key}" for key in ("words", "font", "hierarchy")}
    for name in files.values():
        (tmp_path / name).write_text("x")
    folders = files | {key: f"{nasty}{key}" for key in ("train", "test")}
    overlay = commands_planned(tmp_path, {"source": "folders", "folders": folders})["overlay-words"]
    assert {f"--{key}={name}" for key, name in files.items()} < set(overlay)
    assert {f"--folder={nasty}train", f"--folder={nasty}test"} & set(overlay)

    experiment = {"name": "one", "tasks": ["A", "B"], "sort_by": "B"}
    experiment |= {key: f"{nasty}{key}" for key in ("model", "class_map", "image_list")}
    url = "https://example.org/'$(touch_hacked)\"{a}"
    change = {"source": "archives", "archives": {"folder": flat, "urls": [url]}, "experiments": [experiment]}
    commands = commands_planned(tmp_path, change)
    name = commands["download"][-1].rpartition("/")[2]
    assert commands["download"][1:] == ["--urls", f"{url}/{name}", f"--output={flat}/{name}"]
    assert commands["extract"][1].startswith(f"--archive={flat}/")
    assert f"results/archives/images/{nasty}image_list" in commands["import-list"]
    assert f"results/archives/models/{nasty}class_map" in commands["import-list"]
    assert f"results/archives/models/{nasty}model" in commands["import-model"]


def test_results_that_cannot_be_written_are_refused_before_anything_runs(tmp_path: Path) -> None:
    (new_folder(tmp_path) / "results").write_text("a file")
    result = run_snakemake(tmp_path)
    assert result.returncode != 0
    assert "results cannot hold results" in result.stderr
    assert "Traceback" not in result.stderr
