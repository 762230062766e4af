"""The real workflow, run by the real Snakemake on a small config."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featuresharing import lesion, load_network, read_conditionals
from featuresharing.data.images import read_inputs, stimulus_preprocessing
from featuresharing.data.lists import read_classes, read_image_list
from support.tables_of_runs import check_tables

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parent.parent
EXPERIMENTS = ("subordinate_basic", "object_text")
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
CHECKPOINTS = ("000", "005", "120")
NASTY = """it's a "run" {of} $(touch hacked) `id` ${HOME} ; é"""
"""What a shell, Snakemake and Python would each take for something else than a name."""


def snakemake_command(folder: Path, *arguments: str, clone: Path = ROOT) -> list[str]:
    """Return a command; a file ``change.yaml`` in the folder comes on top of the small config."""
    change = [str(path) for path in folder.glob("change.yaml")]
    return [
        *(str(Path(sys.executable).parent / "snakemake"), "--snakefile", str(clone / "workflow/Snakefile")),
        *("--workflow-profile", str(clone / "workflow/profiles/default"), "--directory", str(folder)),
        *("--configfile", str(ROOT / "tests/small.yaml"), *change, "--cores", "2"),
        *arguments,
    ]


def run_snakemake(folder: Path, *arguments: str, clone: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        snakemake_command(folder, *arguments, clone=clone), capture_output=True, text=True, check=False, timeout=600
    )


def planned_jobs(folder: Path, *arguments: str, clone: Path = ROOT) -> dict[str, int]:
    """Return how often a dry run would run each rule."""
    result = run_snakemake(folder, "--dry-run", *arguments, clone=clone)
    assert result.returncode == 0, result.stderr
    output = result.stdout + result.stderr
    if "Nothing to be done" in output:
        return {}
    table = output.split("Job stats:")[1].split("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def write_change(folder: Path, change: dict[str, object]) -> Path:
    (folder / "change.yaml").write_text(json.dumps(change))
    return folder


def new_folder(path: Path) -> Path:
    shutil.copytree(ROOT / "config", path / "config")
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the workflow ran to its end; tests must not change it."""
    folder = new_folder(tmp_path_factory.mktemp("finished") / NASTY)
    result = run_snakemake(folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_all_figures_and_tables_are_there(finished: Path) -> None:
    results = finished / "results"
    for experiment in EXPERIMENTS:
        for layer in LAYERS:
            with Image.open(results / f"figures/{experiment}/{layer}.gif") as animation:
                assert animation.n_frames == len(CHECKPOINTS)
                assert animation.info["duration"] == 330
                assert animation.info["loop"] == 0
            for checkpoint in CHECKPOINTS:
                Image.open(results / f"figures/{experiment}/{layer}_{checkpoint}.png").verify()
    for name in ("sharing", "training"):
        Image.open(results / f"figures/{name}.png").verify()
    accuracy = rows(results / "tables/accuracy.csv")
    assert len(accuracy) == 2 * 2 * len(CHECKPOINTS)
    assert {row["images"] for row in accuracy} == {str(len(rows(results / "images/test.csv")))}


def test_tables_have_the_columns_of_the_dictionary(finished: Path) -> None:
    kinds = {"contributions", "sharing", "accuracy", "lesions", "training", "kept", "classes", "stimuli"}
    assert check_tables(finished) == kinds


def test_experiments_have_the_same_images_and_other_labels(finished: Path) -> None:
    first, second = ((finished / f"results/lists/{name}/train.txt").read_text().splitlines() for name in EXPERIMENTS)
    assert [line.split(" ")[0] for line in first] == [line.split(" ")[0] for line in second]
    assert [line.split(" ")[1] for line in first] != [line.split(" ")[1] for line in second]


def test_no_drawing_is_on_both_sides_of_the_split(finished: Path) -> None:
    train, test = (
        {row["drawing"] for row in rows(finished / f"results/images/{part}.csv")} for part in ("train", "test")
    )
    assert train
    assert test
    assert not train & test


def test_tables_hold_what_the_conditionals_say(finished: Path) -> None:
    contributions = rows(finished / "results/tables/contributions.csv")
    for experiment in EXPERIMENTS:
        layer = read_conditionals(finished / f"results/marginal/{experiment}/conv3_120.h5")
        for task, conditionals in layer.conditionals.items():

            def log_odds(p, k=layer.classes[task]):
                corrected = (p.astype(float) * 1e6 + 1) / (1e6 * k)
                return np.log2(corrected / (1 - corrected))

            expected = np.abs((log_odds(layer.predictions[task]) - log_odds(conditionals)).mean(axis=1))
            place = {"experiment": experiment, "checkpoint": "120", "layer": "conv3", "task": task}
            found = [float(row["contribution"]) for row in contributions if place.items() <= row.items()]
            np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_kept_images_are_right_in_every_task_at_the_last_checkpoint(finished: Path) -> None:
    for experiment in EXPERIMENTS:
        kept = rows(finished / f"results/baseline/{experiment}/kept.csv")
        listed = (finished / f"results/lists/{experiment}/test.txt").read_text().splitlines()
        chosen = (finished / f"results/baseline/{experiment}/kept.txt").read_text().splitlines()
        assert 0 < len(kept) == len(chosen) <= 6
        for row, line in zip(kept, chosen, strict=True):
            full = listed[int(row["index"])]
            assert Path(full.rsplit(" ", 1)[0]).name == row["image"] == Path(line.rsplit(" ", 1)[0]).name
            assert full.rsplit(" ", 1)[1] == line.rsplit(" ", 1)[1]


def test_nothing_in_a_name_is_run(finished: Path) -> None:
    assert not list(finished.parent.rglob("hacked"))


def test_a_second_run_has_nothing_to_do_wherever_it_is_and_whenever_it_was_copied(
    finished: Path, tmp_path: Path
) -> None:
    """Times are those of a copy that wrote files in any order."""
    folder, clone = tmp_path / "moved", tmp_path / NASTY
    shutil.copytree(finished, folder, symlinks=True)
    for part in ("workflow", "resources", "config"):
        shutil.copytree(ROOT / part, clone / part)
    files = sorted(path for place in (folder, clone) for path in place.rglob("*"))
    times = np.random.default_rng(0).permutation(len(files))
    for path, seconds in zip(files, times, strict=True):
        os.utime(path, (1.7e9 + int(seconds),) * 2)
    assert planned_jobs(folder, clone=clone) == {}


def test_every_log_says_what_its_job_did(finished: Path) -> None:
    logs = [path for path in (finished / "results/logs").rglob("*.log") if "slurm" not in path.parts]
    assert len(logs) == 133
    for path in logs:
        assert re.search(
            r"^[a-z-]+: read results/.*; wrote results/.* in \d+\.\d s\.$|^render-images", path.read_text(), re.M
        )
    text = (finished / "results/logs/tabulate_accuracy.log").read_text()
    named = ", ".join(f"results/baseline/subordinate_basic/{name}.h5" for name in CHECKPOINTS)
    assert text.startswith(f"tabulate-accuracy: read {named} and 3 other files; wrote results/tables/accuracy.csv (")


@pytest.fixture
def changed(finished: Path) -> Iterator[Path]:
    """The finished folder, for a config that changes for one test."""
    yield finished
    (finished / "change.yaml").unlink()


def test_keys_that_change_no_number_rerun_nothing(changed: Path) -> None:
    change = {
        "device": "cpu",
        "archives": {"urls": ["https://example.org"]},
        "folders": {"outline": 2},
        "images": {"seed": 0},
        "training": {"workers": 1, "log_every": 7, "crop": [0.5, 1], "flip": True, "decay_at": [9], "momentum": 0.1},
        "baseline": {"undecodable": "skip"},
        "lesions": {"softmax": False},
        "jobs": {"threads": 2},
    }
    assert planned_jobs(write_change(changed, change)) == {}


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"figures": {"colour_scale": "linear"}}, {"plot_units": 42, "animate_units": 14, "all": 1}),
        ({"figures": {"milliseconds": 500}}, {"animate_units": 14, "all": 1}),
        (
            {"sharing": {"resamples": 60}},
            {"tabulate_sharing": 1, "plot_sharing": 1, "all": 1},
        ),
        (
            {"marginalization": {"seed": 1}},
            {"marginalize_layer": 42, "plot_units": 42, "animate_units": 14, "tabulate_contributions": 1}
            | {"tabulate_sharing": 1, "plot_sharing": 1, "all": 1}
            | {"measure_lesions": 14, "plot_lesions": 2, "tabulate_lesions": 1},
        ),
    ],
)
def test_a_change_reruns_what_depends_on_it(changed: Path, change: dict[str, object], rules: dict[str, int]) -> None:
    assert planned_jobs(write_change(changed, change)) == rules


def test_blocks_of_units_give_the_numbers_of_whole_layers(finished: Path, tmp_path: Path) -> None:
    folder = write_change(new_folder(tmp_path), {"jobs": {"units": {"conv1": 4, "fc6": 5}}})
    targets = ["results/marginal/object_text/conv1_005.h5", "results/marginal/object_text/fc6_005.h5"]
    jobs = planned_jobs(folder, *targets)
    assert (jobs["marginalize_block"], jobs["merge_blocks"]) == (2 + 3, 2)
    assert "marginalize_layer" not in jobs
    result = run_snakemake(folder, *targets)
    assert result.returncode == 0, result.stderr
    for target in targets:
        found, wanted = (read_conditionals(place / target) for place in (folder, finished))
        assert found.units.tolist() == wanted.units.tolist()
        assert np.array_equal(found.effective_samples, wanted.effective_samples)
        for task, values in wanted.conditionals.items():
            np.testing.assert_allclose(found.conditionals[task], values, rtol=0, atol=1e-6)
    found = (folder / "results/marginal/object_text").rglob("*")
    files = [path for path in found if path.is_file() and path.suffix != ".sha256"]
    assert sorted(path.name for path in files if path.suffix != ".done") == ["conv1_005.h5", "fc6_005.h5"]
    assert len(files) == 4
    assert planned_jobs(folder, *targets) == {}


def test_another_cut_leaves_finished_layers_alone_if_only_times_count(changed: Path) -> None:
    assert planned_jobs(write_change(changed, {"jobs": {"units": 2}}), "--rerun-triggers", "mtime") == {}


PAPER = {
    "images": {"image_size": 224},
    "network": {"stride": 4, "channels": [96, 256, 384, 384, 256], "kernels": [11, 5, 3, 3, 3], "hidden": [4096, 4096]},
    "training": {"checkpoints": list(range(20))},
    "baseline": {"max_images": 600},
    "marginalization": {"samples": 100},
    "jobs": {"units": {"conv1": 16, "conv2": 64, "conv3": 128, "conv4": 384, "fc6": 2048}},
}


def test_the_papers_series_stays_below_two_thousand_jobs(tmp_path: Path) -> None:
    """With blocks of an hour or less; ``--quiet`` would hide the limits of jobs."""
    folder = write_change(new_folder(tmp_path), PAPER)
    result = run_snakemake(folder, "--dry-run")
    assert result.returncode == 0, result.stderr
    total = re.search(r"^total +(\d+)$", result.stdout + result.stderr, re.MULTILINE)
    assert total
    assert 1000 < int(total[1]) < 2000
    whole = planned_jobs(write_change(folder, PAPER | {"jobs": {"units": None}}))
    assert whole["marginalize_layer"] == 2 * 20 * 7
    assert sum(whole.values()) < 1000


def test_jobs_with_a_gpu_run_one_at_a_time(finished: Path, tmp_path: Path) -> None:
    """On a machine where nvidia-smi lists a GPU; Snakemake's own log says when jobs begin and end."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder, symlinks=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: made up (UUID: GPU-0)'\n")
    (tmp_path / "bin/nvidia-smi").chmod(0o755)
    targets = [f"results/marginal/{name}/{layer}_120.h5" for name in EXPERIMENTS for layer in ("conv5", "fc6", "fc7")]
    arguments = [*targets, "--forcerun", "marginalize_layer", "--cores", "4", "--resources", "gpu=1"]
    result = subprocess.run(
        snakemake_command(folder, *arguments),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
    )
    assert result.returncode == 0, result.stderr
    events = re.findall(r"^(Job \d+: Marginalizing|Finished jobid: \d+)", result.stderr, re.MULTILINE)
    kinds = [event.split()[0] for event in events]
    assert kinds == ["Job", "Finished"] * len(targets)


def test_lesions_of_raw_scores_and_pictures_of_units_on_request(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder, symlinks=True)
    change = {"method": "lesion", "lesions": {"softmax": False}, "evidence": {"method": "probdiff"}}
    write_change(folder, change | {"features": {"iterations": 20}})
    names = ("figures/object_text/fc7_120.png", "lesion_curves/object_text/fc7_120.csv")
    targets = [f"results/{name}" for name in (*names, "features/object_text/conv1_120.png")]
    result = run_snakemake(folder, *targets)
    assert result.returncode == 0, result.stderr

    layer = read_conditionals(folder / "results/lesion/object_text/fc7_120.h5")
    assert (layer.attributes["estimator"], bool(layer.attributes["softmax"])) == ("lesion", False)
    classes = read_classes(folder / "results/lists/object_text/classes.csv")
    images = read_image_list(folder / "results/baseline/object_text/kept.txt", list(classes.values()))
    pixels = read_inputs(images.paths, stimulus_preprocessing(24))
    network = load_network(folder / "results/networks/object_text/120.pt")
    for scores, kept, truth in zip(
        lesion(network, "1.5", pixels, softmax=False), layer.conditionals.values(), images.targets.T, strict=True
    ):
        np.testing.assert_allclose(kept, scores[:, range(len(truth)), truth], rtol=0, atol=1e-5)
    curves = rows(folder / "results/lesion_curves/object_text/fc7_120.csv")
    assert {float(row["accuracy"]) for row in curves if row["removed"] == "0"} == {1.0}

    pictures = sorted(path.name for path in (folder / "results/features/object_text/conv1_120").glob("*.png"))
    assert pictures == [f"{unit:04d}.png" for unit in range(6)]
    Image.open(folder / "results/features/object_text/conv1_120.png").verify()
    assert planned_jobs(folder, "features")["visualize_units"] == 2 * len(LAYERS) - 1


def test_another_training_seed_trains_anew_on_the_same_images(changed: Path) -> None:
    jobs = planned_jobs(write_change(changed, {"training": {"seed": 1}}))
    assert jobs["train_network"] == 2
    assert jobs["marginalize_layer"] == 42
    assert "render_images" not in jobs
    assert planned_jobs(write_change(changed, {"seed": 1}))["render_images"] == 1


def test_one_figure_needs_only_its_layer_and_experiment(tmp_path: Path) -> None:
    jobs = planned_jobs(new_folder(tmp_path), "results/figures/object_text/conv5.gif")
    assert jobs["marginalize_layer"] == jobs["plot_units"] == len(CHECKPOINTS)
    assert jobs["train_network"] == jobs["select_images"] == jobs["predict_images"] == jobs["animate_units"] == 1
    assert "tabulate_sharing" not in jobs


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
    result = run_snakemake(write_change(new_folder(tmp_path), change))
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


def commands_planned(folder: Path) -> dict[str, list[str]]:
    """Return the words of each command that a dry run prints, by command; of several alike, the last."""
    result = run_snakemake(folder, "--dry-run", "--printshellcmds")
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
    overlay = commands_planned(write_change(tmp_path, {"source": "folders", "folders": folders}))["overlay-words"]
    assert {f"--{key}={name}" for key, name in files.items()} < set(overlay)
    assert {f"--folder={nasty}train", f"--folder={nasty}test"} & set(overlay)

    experiment = {"name": "one", "tasks": ["A", "B"], "sort_by": "B"}
    experiment |= {key: f"{nasty}{key}" for key in ("model", "class_map", "image_list")}
    url = "https://example.org/'$(touch_hacked)\"{a}"
    change = {"source": "archives", "archives": {"folder": flat, "urls": [url]}, "experiments": [experiment]}
    commands = commands_planned(write_change(tmp_path, change))
    name = commands["download"][-1].rpartition("/")[2]
    assert commands["download"][1:] == ["--urls", f"{url}/{name}", f"--output={flat}/{name}"]
    assert commands["extract"][1].startswith(f"--archive={flat}/")
    assert f"results/archives/images/{nasty}image_list" in commands["import-list"]
    assert f"results/archives/models/{nasty}class_map" in commands["import-list"]
    assert f"results/archives/models/{nasty}model" in commands["import-model"]


def test_another_workflow_imports_this_one_below_a_folder_of_its_own(tmp_path: Path) -> None:
    """Its config may lack keys, and its rules go by other names."""
    module = (
        f"module sharing:\n    snakefile: {str(ROOT / 'workflow/Snakefile')!r}\n    config: config\n    prefix: 'sub'\n"
    )
    (tmp_path / "Snakefile").write_text(f"configfile: 'own.yaml'\n{module}use rule * from sharing as own_*\n")
    change = {"images": {"basic_classes": ["bird", "car"], "image_size": 24, "train_renderings": 1}}
    (tmp_path / "own.yaml").write_text(json.dumps(change | {"network": {"stride": 1}}))
    command = [str(Path(sys.executable).parent / "snakemake"), "--cores", "2", "--directory", str(tmp_path)]
    command += ["--snakefile", str(tmp_path / "Snakefile"), "sub/results/lists/object_text/train.txt"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    lines = (tmp_path / "sub/results/lists/object_text/train.txt").read_text().splitlines()
    assert len(lines) == len(list((tmp_path / "sub/results/images/train").rglob("*.png"))) > 0
    assert not (tmp_path / "results").exists()


def test_results_that_cannot_be_written_are_refused_before_anything_runs(tmp_path: Path) -> None:
    (new_folder(tmp_path) / "results").write_text("a file")
    result = run_snakemake(tmp_path)
    assert result.returncode != 0
    assert "results cannot hold results" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_list_is_said_in_one_sentence(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder, symlinks=True)
    kept = folder / "results/baseline/object_text/kept.txt"
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join([*lines, f"{lines[0].rsplit(' ', 1)[0]} 0,99"]) + "\n")
    kept.with_name(".kept.txt.sha256").unlink()  # as for a change that is meant
    result = run_snakemake(folder, "results/marginal/object_text/fc7_120.h5", "--forcerun", "marginalize_layer")
    assert result.returncode != 0
    assert f"kept.txt, line {len(lines) + 1}: class index 99 of task 1 is out of range" in result.stdout + result.stderr


def test_an_interrupted_run_goes_on_to_the_same_numbers(finished: Path, tmp_path: Path) -> None:
    """Interrupt at every stage, in every way: the whole process group, but that a training lives on as an orphan."""
    folder = new_folder(tmp_path)
    tables = [f"results/tables/{name}.csv" for name in ("accuracy", "contributions", "sharing")]
    targets = [*tables, "results/figures/object_text/fc7.gif"]
    moments = {
        "results/images/train": signal.SIGTERM,
        "results/networks/object_text/.progress/*/005.pt": signal.SIGKILL,
        "results/baseline/subordinate_basic": signal.SIGINT,
        "results/marginal/object_text": signal.SIGKILL,
        "results/figures/object_text": signal.SIGINT,
    }
    for stage, number in moments.items():
        process = subprocess.Popen(
            snakemake_command(folder, *targets),
            start_new_session=True,
            # a test run in the background of a shell ignores SIGINT and would hand that down
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while not any(folder.glob(stage)) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if ".progress" in stage:
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)
        assert process.wait(timeout=120) != 0
        if number == signal.SIGKILL:
            assert run_snakemake(folder, "--unlock").returncode == 0
    result = run_snakemake(folder, *targets)
    assert result.returncode == 0, result.stderr
    for table in tables:
        assert (folder / table).read_text() == (finished / table).read_text()
    assert not list((folder / "results").rglob("*.part"))
