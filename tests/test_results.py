"""The commands that look at results: ``status`` while jobs write, and ``verify`` afterwards."""

import os
import re
import runpy
import shutil
import socket
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from featuresharing.cli import main
from featuresharing.data.images import load_images
from featuresharing.data.lists import read_classes, read_image_list, write_classes, write_image_list
from featuresharing.data.sharing_columns import SHARING
from featuresharing.data.table_files import frame_of, write_table
from featuresharing.errors import InputError
from featuresharing.files.atomic import file_digest, replacing
from featuresharing.files.records import ChangedError, record, record_folder, record_of
from featuresharing.hdf5.attributes import replicate_attribute
from featuresharing.networks.predictions import Predictions, write_predictions
from featuresharing.runs import verification
from featuresharing.runs.kinds import KINDS, UNKNOWN, kind_of
from featuresharing.store import Layout, TaskData, UnitStore
from featuresharing.store.status import layer_statuses, status_table
from tests.support.commands import ROOT
from tests.support.files import flip_bit
from tests.support.sharing_rows import CHANCE

TARGETS = np.array([0, 1, 1, 0])
BLOCKS = {"3-5": range(3, 6), "6-7": range(6, 8)}
HEAD = ["experiment", "checkpoint", "layer", "units", "done", "a second", "left", "state"]


def layout() -> Layout:
    return Layout([TaskData(name, 2, TARGETS, np.full((4, 2), 0.5, np.float32)) for name in ("basic", "word")])


def store(
    folder: Path,
    name: str,
    units: range,
    *,
    layer: str = "conv5",
    checkpoint: str = "10",
    replicate: int = 1,
    seed: int = 0,
) -> UnitStore:
    network = folder / f"networks/demo/{checkpoint}.pt"
    attributes: dict[str, Any] = {"experiment": "demo", "alias": layer, "checkpoint": checkpoint}
    attributes |= {"tasks": ["basic", "word"], **replicate_attribute(replicate)}
    if network.exists():
        attributes["network_sha256"] = file_digest(network)
    given: dict[str, Any] = {"layer_units": 8, "settings": {"seed": seed}, "say": lambda _: None}
    return UnitStore(folder / name, layout(), units=units, attributes=attributes, **given)


def write(opened: UnitStore, rows: slice, images: slice = slice(0, 4)) -> None:
    count = rows.stop - rows.start
    even = np.full((count, images.stop - images.start, 2), 0.5)
    opened.write(rows, images, [even, even], {"effective_samples": np.ones(count), "skipped_mass": np.zeros(count)})


def complete(folder: Path, name: str, units: range = range(8), **changes: Any) -> Path:
    with store(folder, name, units, **changes) as opened:
        opened.begin(step=4, conditions={})
        write(opened, slice(0, len(units)))
        opened.finish()
    return folder / name


class Clock:
    """A clock that tests set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000.0
        monkeypatch.setattr("featuresharing.store.progress_file.time.time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_status_says_what_is_done_how_fast_and_how_long_it_will_take(tmp_path: Path, clock: Clock) -> None:
    with store(tmp_path, "demo/conv5_10.h5", range(8)) as opened:
        opened.begin(step=2, conditions={})
        (found,) = layer_statuses(tmp_path, clock.now)
        assert (found.done, found.units, found.jobs, found.rate, found.seconds_left) == (0, 8, 1, 0, None)
        for rows in (slice(0, 2), slice(2, 4)):
            for images in (slice(0, 2), slice(2, 4)):
                clock.now += 5
                write(opened, rows, images)
        clock.now += 1
        (found,) = layer_statuses(tmp_path, clock.now)
        assert (found.experiment, found.replicate, found.checkpoint, found.layer) == ("demo", 1, "10", "conv5")
        assert (found.done, found.units, found.jobs) == (4, 8, 1)
        assert found.rate == pytest.approx(0.2)
        assert found.seconds_left == pytest.approx(20)
    clock.now += 300
    (found,) = layer_statuses(tmp_path, clock.now)
    assert (found.jobs, found.rate, found.silent, found.seconds_left) == (0, 0, 301, None)
    with store(tmp_path, "demo/conv5_10.h5", range(8)) as opened:  # the rate is that of the present run
        opened.begin(step=2, conditions={})
        clock.now += 1
        write(opened, slice(4, 6), slice(0, 2))
        (found,) = layer_statuses(tmp_path, clock.now)
        assert (found.done, found.rate) == (5, pytest.approx(1))


def test_status_adds_up_blocks(tmp_path: Path, clock: Clock) -> None:
    complete(tmp_path, "demo/conv5_10/0-2.h5", range(3))
    blocks = [store(tmp_path, f"demo/conv5_10/{name}.h5", units) for name, units in BLOCKS.items()]
    with blocks[0], blocks[1]:
        for block in blocks:
            block.begin(step=4, conditions={})
        clock.now += 4
        for block in blocks:
            write(block, slice(0, 1))
        (found,) = layer_statuses(tmp_path, clock.now)
    assert (found.done, found.units, found.jobs) == (5, 8, 2)
    assert found.rate == pytest.approx(0.5)
    assert found.seconds_left == pytest.approx(6)


def test_status_takes_the_settings_that_were_written_last(tmp_path: Path, clock: Clock) -> None:
    for seed, rows in ((0, 6), (1, 2)):
        with store(tmp_path, "demo/conv5_10.h5", range(8), seed=seed) as opened:
            opened.begin(step=4, conditions={})
            clock.now += 10
            write(opened, slice(0, rows))
    (found,) = layer_statuses(tmp_path, clock.now)
    assert (found.done, found.jobs) == (2, 1)


def test_status_is_a_table(tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    complete(tmp_path, "demo/conv5_9.h5", checkpoint="9")
    complete(tmp_path, "demo/conv1_10.h5", layer="conv1")
    complete(tmp_path, "demo/3/conv1_10.h5", layer="conv1", replicate=3)
    with store(tmp_path, "demo/conv5_10.h5", range(8)) as opened:
        opened.begin(step=4, conditions={})

        write(opened, slice(0, 6))
    clock.now += 100_000
    assert main(["status", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.split(r"  +", lines[0]) == [
        "experiment",
        "checkpoint",
        "layer",
        "units",
        "done",
        "a second",
        "left",
        "state",
    ]
    assert re.split(r"  +", lines[1]) == ["demo", "10", "conv1", "8 of 8", "100.0 %", "complete"]
    assert re.split(r"  +", lines[2]) == ["demo", "9", "conv5", "8 of 8", "100.0 %", "complete"]
    assert re.fullmatch(r"demo +10 +conv5 +6 of 8 +75\.0 % +stopped \d+ d \d+ h ago", lines[3])
    assert re.split(r"  +", lines[4]) == ["demo/3", "10", "conv1", "8 of 8", "100.0 %", "complete"]
    assert lines[5] == "3 of 4 layers that were started are complete, 30 of 32 units; 0 jobs run."


def test_status_is_a_frame_in_python(tmp_path: Path, clock: Clock) -> None:
    complete(tmp_path, "demo/conv5_9.h5", checkpoint="9")
    with store(tmp_path, "demo/conv5_10.h5", range(8)) as opened:
        opened.begin(step=4, conditions={})
        write(opened, slice(0, 6))
    clock.now += 100_000
    complete(tmp_path, "demo/2/conv5_9.h5", checkpoint="9", replicate=2)
    frame = status_table(tmp_path)
    assert frame[["experiment", "replicate", "checkpoint", "layer"]].to_numpy().tolist() == [
        ["demo", 1, "9", "conv5"],
        ["demo", 1, "10", "conv5"],
        ["demo", 2, "9", "conv5"],
    ]
    assert frame["done"].tolist() == [8, 6, 8]
    assert frame["units"].tolist() == [8, 8, 8]
    assert frame["seconds_left"].isna().tolist() == [False, True, False]
    assert frame.dtypes["silent"] == frame.dtypes["seconds_left"] == np.float64
    (tmp_path / "demo/conv4_10.h5").write_text("x")
    with pytest.raises(InputError, match=r"conv4_10\.h5 is no complete file of conditionals"):
        status_table(tmp_path)
    (tmp_path / "new").mkdir()
    assert status_table(tmp_path / "new").empty
    with pytest.raises(InputError, match="nowhere does not exist; accepted is a folder of results"):
        status_table(tmp_path / "nowhere")


def test_status_of_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(tmp_path)]) == 0
    assert "No layer has been started" in capsys.readouterr().out
    (tmp_path / "damaged.h5").write_bytes(b"x")
    (tmp_path / ".damaged.h5.0.progress").write_bytes(b"x")
    assert layer_statuses(tmp_path) == []
    assert main(["status", str(tmp_path / "nowhere")]) == 2
    assert "nowhere does not exist; accepted is a folder of results" in capsys.readouterr().err
    assert main(["status", str(tmp_path / "damaged.h5")]) == 2
    assert "damaged.h5 is no folder; accepted is a folder of results" in capsys.readouterr().err


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return results in which all is well."""
    folder = tmp_path / "results"
    (folder / "networks/demo").mkdir(parents=True)
    for name in ("10", "20"):
        torch.save({"weights": torch.full((1000,), float(name))}, folder / f"networks/demo/{name}.pt")
    complete(folder, "marginal/demo/conv5_10.h5")
    complete(folder, "marginal/demo/conv5_20/0-3.h5", range(4), checkpoint="20")
    with store(folder, "marginal/demo/conv5_20/4-7.h5", range(4, 8), checkpoint="20") as opened:
        opened.begin(step=4, conditions={})
        write(opened, slice(0, 2))
    probabilities = {"basic": np.full((4, 2), 0.5, np.float32)}
    write_predictions(folder / "baseline/demo/10.h5", Predictions(probabilities, {"basic": TARGETS}, 10))
    (folder / "images").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "images/a.png")
    (folder / "table.csv").write_text("a,b\n1,2\n")
    return folder


def check_sum(summary: str, folder: Path) -> None:
    """Add up what a summary says of the files of a folder."""
    pattern = r"(\d+)(?= files in | as their records say| sound by what| records?\b| not checked)"
    said, *parts = map(int, re.findall(pattern, summary))
    links = [Path(parent, name) for parent, _, names in os.walk(folder, followlinks=True) for name in names]
    assert said == sum(parts) == len(links), summary


def verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    status = main(["verify", str(folder)])
    out, err = capsys.readouterr()
    problems = out.splitlines()
    if status == 0:
        assert problems[-1].endswith("; none is wrong.")
        check_sum(problems[-1], folder)
        return [problem for problem in problems[:-1] if not problem.startswith("No record names ")]
    assert re.fullmatch(r"featuresharing: \d+ of \d+ files in .* (is|are) wrong; the lines above say how\.\n", err)
    return problems


def test_status_counts_files_that_cannot_be_read(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "marginal/demo/conv4_10.h5").write_text("x")
    assert main(["status", str(results)]) == 0
    *_, problem, last = capsys.readouterr().out.splitlines()
    assert "conv4_10.h5 is no complete file of conditionals" in problem
    assert last.endswith(" 1 job runs; 1 file cannot be read.")


def test_a_damaged_network_is_named_alone(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was computed from it is as it was."""
    record(results / "networks/demo/10.pt")
    flip_bit(results / "networks/demo/10.pt", 600)
    problems = verify(results, capsys)
    assert any("networks/demo/10.pt is not what was written" in problem for problem in problems)
    assert not any("another network" in problem for problem in problems)


def test_verify_finds_nothing_wrong_with_what_is_right(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(results, capsys) == []


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def flip_number(path: Path, dataset: str) -> None:
    with h5py.File(path) as file:
        place = file[dataset].id.get_offset()
    flip_bit(path, place + 3)  # the exponent of a number in four bytes


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: flip_number(f / "marginal/demo/conv5_10.h5", "conditional_basic"), "conv5_10.h5: conditional_basic"),
        (lambda f: shutil.copy(f / "marginal/demo/conv5_20/0-3.h5", f / "marginal/demo/conv5_30.h5"), "4 of 8 units"),
        (
            lambda f: flip_number(next(f.glob("marginal/demo/conv5_20/.*.progress")), "conditional_word"),
            "1 of 4 units are damaged; the next run computes them again",
        ),
        (lambda f: (f / "marginal/demo/.x.h5.12.part").write_text("x"), "was left behind by a process that was killed"),
        (lambda f: (f / "marginal/demo/broken.h5").write_text("x"), "broken.h5 is no complete file of conditionals"),
        (lambda f: flip_number(f / "baseline/demo/10.h5", "probability_basic"), "(probability_basic was changed"),
        (
            lambda f: (f / "baseline/demo/10.h5").write_bytes(b""),
            "baseline/demo/10.h5 is no complete file of conditionals or predictions",
        ),
        (lambda f: (f / "baseline/demo/.a.csv.sha256").mkdir(), ".a.csv.sha256 is a folder where a record belongs"),
        (lambda f: (f / "images/a.png").write_bytes((f / "images/a.png").read_bytes()[:40]), "no complete picture"),
        (lambda f: (f / "table.csv").write_text("a,b\n1,2\n3\n"), "table.csv, line 3: found 1 values; accepted are 2"),
        (lambda f: (f / "table.csv").write_bytes(b"a,b\n1,\xe9\n"), "line 2: found the byte 0xE9, which is not UTF-8"),
        (
            lambda f: put(f / "networks/demo/training.csv", "step,task,loss,accuracy\n1,t,1,2\n"),
            "training.csv, line 2, column 'accuracy': found '2'; accepted is a finite number from 0 to 1",
        ),
        (lambda f: put(f / "lists/demo/classes.csv", "task,name\nt,a\n"), "classes.csv: column 'index' is missing"),
        (lambda f: put(f / "lists/demo/test.txt", "../../images/a.png 0\n"), "lists/demo/classes.csv does not exist"),
        (lambda f: put(f / "config.yaml", "seed: [\n"), "config.yaml"),
        (lambda f: put(f / "networks/demo/10.t7", "4\n"), "10.t7 is no complete Torch7 file"),
        (lambda f: put(f / "features/demo/.conv1_10.0ab.done/0001.png", "x"), "0001.png is no complete picture"),
        (lambda f: put(f / "networks/demo/.progress/0ab/30.pt", "x"), ".progress/0ab/30.pt is no complete checkpoint"),
        (
            lambda f: put(f / "lesion_curves/demo/.a.csv.0ab.done", "a,b\n1\n"),
            ".a.csv.0ab.done, line 2: found 1 values",
        ),
        (lambda f: put(f / "marginal/demo/.a.h5.0ab.done", "x"), ".a.h5.0ab.done is no complete file of conditionals"),
        (lambda f: flip_bit(f / "networks/demo/20.pt", 1500), "20.pt is"),
        (lambda f: (f / "networks/demo/30.pt").write_bytes(b"x"), "30.pt is no complete checkpoint"),
        (lambda f: shutil.copy(f / "networks/demo/20.pt", f / "networks/demo/10.pt"), "from another network than"),
    ],
)
def test_verify_says_what_is_wrong(results: Path, spoil: Any, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(results)
    problems = verify(results, capsys)
    assert any(words in problem for problem in problems), problems


def write_lists(folder: Path) -> None:
    """Write lists, tables and pictures as the commands do."""
    names = [f"{number:03d}.png" for number in range(60)]
    (folder / "images/test").mkdir()
    for number, name in enumerate(names):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(folder / "images/test" / name)
    record_folder(folder / "images/test")
    classes = {"basic": ["bird", "boat"], "word": ["map", "sun"]}
    write_classes(folder / "lists/demo/classes.csv", classes)
    paths = [folder / "images/test" / name for name in names]
    for output in ("lists/demo/train.txt", "baseline/demo/kept.txt"):
        write_image_list(folder / output, paths, np.zeros((60, 2), np.int64))
    rows = [("demo", 1, "10", f"conv{number}", "basic", "word", 0.5, 0.4, 0.6, *CHANCE) for number in range(40)]
    write_table(folder / "tables/sharing.csv", frame_of(SHARING, rows), SHARING)
    record(folder / "networks/demo/20.pt")


def write_text(path: Path, text: str) -> None:
    """Write a file as commands do."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def cut(path: Path, lines: int) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))


def test_verify_names_what_is_not_as_it_was_written(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lists(results)
    assert verify(results, capsys) == []
    cut(results / "lists/demo/train.txt", 30)
    cut(results / "baseline/demo/kept.txt", 2)
    cut(results / "tables/sharing.csv", 20)
    (results / "networks/demo/20.pt").unlink()
    text = (results / "lists/demo/classes.csv").read_text()
    (results / "lists/demo/classes.csv").write_text(text.replace("boat", "boa"))
    flip_bit(results / "images/test/007.png", 60)
    (results / "images/test/new.png").write_bytes((results / "images/test/008.png").read_bytes())
    (results / "images/test/009.png").unlink()
    problems = verify(results, capsys)
    for words in (
        "train.txt is not what was written: found are ",
        "kept.txt is not what was written",
        "sharing.csv is not what was written",
        "20.pt is missing, though it was written; make it again, or delete",
        "classes.csv is not what was written: found are ",
        "007.png is not what was written: found are other bytes",
        "009.png is missing, though it was written; make it again, or delete",
    ):
        assert sum(words in problem for problem in problems) == 1, words
    assert len([problem for problem in problems if "No record names" not in problem]) == 7
    assert any(problem.endswith("images/test/new.png.") for problem in problems)


def test_commands_refuse_what_is_not_as_it_was_written(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lists(results)
    classes = read_classes(results / "lists/demo/classes.csv")
    images = read_image_list(results / "lists/demo/train.txt", list(classes.values()))
    assert len(load_images(images.paths, size=4)) == 60
    flip_bit(images.paths[7], 60)
    with pytest.raises(ChangedError, match=r"007\.png is not what was written"):
        load_images(images.paths, size=4)
    cut(results / "lists/demo/train.txt", 30)
    with pytest.raises(ChangedError, match=r"train\.txt is not what was written"):
        read_image_list(results / "lists/demo/train.txt", list(classes.values()))
    text = (results / "lists/demo/classes.csv").read_text()
    (results / "lists/demo/classes.csv").write_text(text.replace("boat", "boa"))
    with pytest.raises(ChangedError, match=r"classes\.csv is not what was written"):
        read_classes(results / "lists/demo/classes.csv")
    cut(results / "tables/sharing.csv", 20)
    plot = ["plot-sharing", "--sharing", str(results / "tables/sharing.csv"), "--layers", "conv1", "--checkpoint", "10"]
    assert main([*plot, "--output", str(results / "sharing.png")]) == 2
    assert "sharing.csv is not what was written" in capsys.readouterr().err
    assert not (results / "sharing.png").exists()


def test_verify_names_what_no_record_names_and_what_is_not_checked(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "logs").mkdir()
    for name in ("train.log", "plot.log"):
        (results / "logs" / name).write_text("x")
    (results / "images/.snakemake_timestamp").touch()
    for number in range(20):
        (results / f"images/{number}.txt").touch()
    before = sum(path.is_file() for path in results.rglob("*"))
    assert main(["verify", str(results)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"No record names 21 files in {results}/images, such as 0.txt." in lines
    assert f"No record names {results}/table.csv." in lines
    assert lines[-4:] == [
        "Logs are not checked (2): they hold what jobs said.",
        "Marks of Snakemake are not checked (1): they are Snakemake's own.",
        "Files of no known kind are not checked (20): their names say nothing of what they hold.",
        f"All {before} files in {results}: 3 as their records say, 7 sound by what they hold, 3 records, "
        "23 not checked; none is wrong.",
    ]


KINDS_OF_FILES = {
    "logs": "logs/train_network/object_text.log logs/slurm/rule_x/12.log",
    "benchmarks": "benchmarks/tabulate_sharing.tsv benchmarks/marginalize_block/a/conv1_5/0-3.tsv",
    "reports": "report.zip my-report.html",
    "marks of Snakemake": "images/train/.snakemake_timestamp archives/models/.snakemake_timestamp",
    "locks": "marginal/a/.conv1_5.h5.lock networks/a/.training.csv.lock images/.train.lock",
    "records": ".config.yaml.sha256 images/.train.sha256 tables/.sharing.csv.sha256",
    "records to come": "tables/.sharing.csv.sha256.new",
    "second names": "marginal/a/.conv1_5.h5.0ab.done lesion_curves/a/.conv1_5.csv.0ab.done"
    " features/a/.conv1_5.0ab.done/0001.png networks/a/.progress/0ab/5.pt networks/a/.progress/0ab/training.csv",
    "working files of trainings": "networks/a/.progress/0ab/state-0.pt networks/a/.progress/0ab/SHA256SUMS"
    " networks/a/.progress/0ab/run.json networks/a/.progress/0ab/.5.pt.12.part",
    "working files of folders": "images/.train.0ab.part/a.png images/.train.0ab.written",
    "files left behind": "tables/.sharing.csv.12.part",
    "progress of units": "marginal/a/.conv1_5.h5.0ab.progress marginal/a/conv1_5/.0-3.h5.0ab.progress",
    "measured orders": "lesion_curves/a/.conv1_5.csv.0ab.measured",
    "conditionals and predictions": "marginal/a/conv1_5.h5 lesion/a/conv1_5/0-3.h5 baseline/a/5.h5",
    "pictures": "figures/a/conv1.gif figures/sharing.png images/test/n01/a.JPEG features/a/conv1_5/0001.png"
    " archives/images/images/test/a.JPEG",
    "networks": "networks/a/5.pt",
    "files of Torch7": "networks/a/pretrained.t7 archives/models/meta.objectsvstext.t7",
    "tables": "tables/sharing.csv networks/a/training.csv baseline/a/kept.csv lists/a/classes.csv images/train.csv",
    "image lists": "lists/a/train.txt baseline/a/kept.txt",
    "configs": "config.yaml",
    "vector figures": "figures/sharing.svg figures/a/conv1_5.pdf",
    "summaries and pages": "summary.md summary.html tables/sharing.html",
    "probes": "probes/a/final.npz",
    "networks of other formats": "networks/a/final.toy",
    "extracted files": "archives/images/labels/Object+Text/test.txt archives/models/readme",
    "files of no known kind": "notes.txt tables/notes.odt .DS_Store",
}


def test_every_kind_of_file_is_told_by_its_path() -> None:
    assert list(KINDS_OF_FILES) == [kind.name for kind in (*KINDS, UNKNOWN)]
    for name, paths in KINDS_OF_FILES.items():
        for path in paths.split():
            assert kind_of(Path("results", path), Path("results")).name == name, path


def test_every_kind_is_checked_or_says_why_not() -> None:
    for kind in (*KINDS, UNKNOWN):
        assert bool(kind.check) + bool(kind.reason) == (kind.name != "records"), kind.name


@pytest.mark.parametrize("command", ["verify", "status"])
def test_a_folder_of_results_is_named_as_unit_takes_it(
    command: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for given in ([str(results)], ["--results", str(results)]):
        assert main([command, *given]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert main([command, str(results), "--results", str(results)]) == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_verify_finishes_what_a_killed_writer_left(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_text(results / "a.csv", "a\n1\n")
    record_of(results / "a.csv").rename(results / ".a.csv.sha256.new")
    assert verify(results, capsys) == []
    assert record_of(results / "a.csv").exists()


def garbage(folder: Path) -> Path:
    """Return a folder of files that are not what their names say, and of odd names."""
    folder.mkdir()
    contents = (b"", b"x", b"\xff\xfe\0" * 50, b'"' * 200_000, b"[" * 100_000, b"\x89HDF\r\n\x1a\n" + bytes(600))
    for number, content in enumerate(contents):
        for kind in ("h5", "png", "gif", "jpg", "pt", "csv", "txt"):
            (folder / f"{number}.{kind}").write_bytes(content)
        for hidden in (".a.h5.0.progress", ".a.csv.ab.measured", ".a.h5.ab.done", ".b.csv.sha256", ".c.sha256.new"):
            path = folder / f"{number}" / hidden
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
    (folder / os.fsdecode(b"latin\xe9.csv")).write_text("a,b\n1\n")
    (folder / "line\nend.csv").write_text("a,b\n1\n")
    os.mkfifo(folder / "pipe.h5")
    os.mkfifo(folder / ".pipe.csv.sha256")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "socket.png"))
    (folder / "nowhere.csv").symlink_to("nothing")
    (folder / "loop.csv").symlink_to("loop.csv")
    (folder / "back").symlink_to("..")
    (folder / "folder.h5").mkdir()
    write_text(folder / "last.csv", "a\n1\n")
    cut(folder / "last.csv", 1)
    return folder


def test_verify_survives_whatever_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = garbage(tmp_path / "results")
    problems = verify(folder, capsys)
    for words in (
        *("pipe.h5 is no regular file", "socket.png is no regular file", "nowhere.csv is a link that leads nowhere"),
        *(
            "loop.csv is a link that leads nowhere",
            "results is a link to a folder that it is in",
            "last.csv is not what",
        ),
        *("latin\\udce9.csv, line 2: found 1 values", "line\\x0aend.csv, line 2: found 1 values"),
        *("2.png is no complete picture", "4.pt is no complete checkpoint", "5.h5 is no complete file"),
        *(".b.csv.sha256 is no record", "1/.a.h5.0.progress is damaged", "0.csv: found no row"),
    ):
        assert any(words in problem for problem in problems), words


def test_verify_does_not_mind_what_vanishes(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lists(results)
    (results / "more.csv").write_text("a\n")
    read = verification._check_contents

    def vanishing(path: Path, *rest: Any) -> None:
        if path.name in ("more.csv", "10.h5", "table.csv", "a.png"):
            path.unlink()
        read(path, *rest)

    monkeypatch.setattr(verification, "_check_contents", vanishing)
    said: list[str] = []
    assert verification.verify(results, said.append).wrong == set()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_verify_names_folders_that_cannot_be_read(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "images").chmod(0)
    try:
        assert any("images cannot be read (Permission denied)" in problem for problem in verify(results, capsys))
    finally:
        (results / "images").chmod(0o755)


def test_damage_is_refused_or_mended_and_named(tmp_path: Path) -> None:
    fuzz = runpy.run_path(str(ROOT / "benchmarks/fuzz_results.py"))["fuzz"]
    counts, wrong, _ = fuzz(tmp_path / "results", cases=60, seed=7)
    assert wrong == []
    assert counts["refused"] >= 30
    assert counts["mended"] >= 5


def test_merged_blocks_may_go(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results / "marginal/demo/conv5_20"
    complete(results, "marginal/demo/conv5_20/4-7.h5", range(4, 8), checkpoint="20")
    blocks = [folder / "0-3.h5", folder / "4-7.h5"]
    assert all(record_of(block).exists() for block in blocks)
    assert main(["merge-blocks", "--blocks", *map(str, blocks), "--output", f"{folder}.h5"]) == 0
    for block in blocks:
        block.unlink()
    capsys.readouterr()
    assert verify(results, capsys) == []
