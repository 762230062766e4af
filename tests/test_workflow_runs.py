"""Runs of the real workflow that are cut, forced, imported, damaged and interrupted."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featuresharing import lesion, load_network, read_conditionals
from featuresharing.data.images import read_inputs
from featuresharing.data.lists import read_classes, read_image_list
from featuresharing.data.preprocessing import stimulus_preprocessing
from tests.support.commands import ROOT
from tests.support.files import rows
from tests.support.workflows import (
    LAYERS,
    changed_config,
    copy_run,
    environment_with_gpu,
    new_folder,
    planned_jobs,
    run_snakemake,
    snakemake,
)

pytestmark = pytest.mark.end_to_end


def test_blocks_of_units_give_the_numbers_of_whole_layers(demo: Path, tmp_path: Path) -> None:
    folder = copy_run(demo, tmp_path / "run")
    shutil.rmtree(folder / "results/marginal")
    configs = changed_config(folder, {"jobs": {"units": {"conv1": 4, "fc7": 5}}})
    targets = ["results/marginal/object_text/conv1_005.h5", "results/marginal/object_text/fc7_005.h5"]
    jobs = planned_jobs(folder, *targets, configs=configs)
    assert (jobs["marginalize_block"], jobs["merge_blocks"]) == (2 + 3, 2)
    assert "marginalize_layer" not in jobs
    result = run_snakemake(folder, *targets, configs=configs)
    assert result.returncode == 0, result.stderr
    for target in targets:
        found, wanted = (read_conditionals(place / target) for place in (folder, demo))
        assert found.units.tolist() == wanted.units.tolist()
        assert np.array_equal(found.effective_samples, wanted.effective_samples)
        for task, values in wanted.conditionals.items():
            np.testing.assert_allclose(found.conditionals[task], values, rtol=0, atol=1e-6)
    found = (folder / "results/marginal/object_text").rglob("*")
    files = [path for path in found if path.is_file() and path.suffix != ".sha256"]
    assert sorted(path.name for path in files if path.suffix != ".done") == ["conv1_005.h5", "fc7_005.h5"]
    assert len(files) == 4
    assert planned_jobs(folder, *targets, configs=configs) == {}


def test_jobs_with_a_gpu_run_one_at_a_time(demo: Path, tmp_path: Path) -> None:
    """On a machine where nvidia-smi lists a GPU; Snakemake's own log says when jobs begin and end."""
    folder = copy_run(demo, tmp_path / "run")
    targets = [f"results/marginal/object_text/{name}.h5" for name in ("conv1_120", "fc7_005", "fc7_120")]
    arguments = ["--forcerun", "marginalize_layer", "--resources", "gpu=1"]
    result = run_snakemake(folder, *targets, *arguments, environment=environment_with_gpu(tmp_path))
    assert result.returncode == 0, result.stderr
    events = re.findall(r"^(Job \d+: Marginalizing|Finished jobid: \d+)", result.stderr, re.MULTILINE)
    kinds = [event.split()[0] for event in events]
    assert kinds == ["Job", "Finished"] * len(targets)


def test_lesions_of_raw_scores_and_pictures_of_units_on_request(demo: Path, tmp_path: Path) -> None:
    folder = copy_run(demo, tmp_path / "run")
    change = {"method": "lesion", "lesions": {"softmax": False}, "evidence": {"method": "probdiff"}}
    configs = changed_config(folder, change | {"features": {"iterations": 20}})
    names = ("figures/object_text/fc7_120.png", "lesion_curves/object_text/fc7_120.csv")
    targets = [f"results/{name}" for name in (*names, "features/object_text/conv1_120.png")]
    result = run_snakemake(folder, *targets, configs=configs)
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
    assert planned_jobs(folder, "features", configs=configs)["visualize_units"] == 2 * len(LAYERS) - 1


def test_a_wrong_list_is_said_in_one_sentence(demo: Path, tmp_path: Path) -> None:
    folder = copy_run(demo, tmp_path / "run")
    kept = folder / "results/baseline/object_text/kept.txt"
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join([*lines, f"{lines[0].rsplit(' ', 1)[0]} 0,99"]) + "\n")
    kept.with_name(".kept.txt.sha256").unlink()  # as for a change that is meant
    result = run_snakemake(folder, "results/marginal/object_text/fc7_120.h5", "--forcerun", "marginalize_layer")
    assert result.returncode != 0
    assert f"kept.txt, line {len(lines) + 1}: class index 99 of task 1 is out of range" in result.stdout + result.stderr


def test_few_images_are_told_to_whoever_runs_the_workflow(demo: Path, tmp_path: Path) -> None:
    folder = copy_run(demo, tmp_path / "run")
    result = run_snakemake(folder, "results/baseline/object_text/kept.txt", "--forcerun", "select_images")
    assert result.returncode == 0, result.stderr
    count = len(rows(folder / "results/baseline/object_text/kept.csv"))
    warning = f"warning: results/lists/object_text/test.txt: only {count} images are analysed: contributions and shar"
    log = (folder / "results/logs/select_images/object_text.log").read_text()
    for text in (result.stderr, log):
        assert text.count(warning) == 1
    assert "select-images: read " in log


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
    assert not (tmp_path / "sub/results/config.yaml").exists()
    planned = [*command[:-1], "sub/results/tables/contributions.csv", "--dry-run", "--printshellcmds"]
    result = subprocess.run(planned, capture_output=True, text=True, check=False)
    assert " --conditionals sub/results/marginal/{" in result.stdout, result.stderr


@pytest.mark.parametrize(("chosen", "kept"), [((), "None"), (("--max-jobs-per-timespan", "7/1m"), "7")])
def test_looking_for_jobs_does_not_grow_with_those_that_are_done(
    chosen: tuple[str, ...], kept: str, demo: Path, tmp_path: Path
) -> None:
    """Snakemake's limit of starts a second makes it look again and again; one that a person chose stays."""
    folder, told = copy_run(demo, tmp_path / "run"), tmp_path / "limit.txt"
    limit = "getattr(workflow.scheduler.job_rate_limiter, 'max_jobs', None)"
    written = f"onsuccess:\n    Path({str(told)!r}).write_text(str({limit}))\n"
    (tmp_path / "Snakefile").write_text(f"include: {str(ROOT / 'workflow/Snakefile')!r}\n{written}")
    command = snakemake(folder, "results/figures/training.png", "--forcerun", "plot_training", *chosen)
    command[command.index("--snakefile") + 1] = str(tmp_path / "Snakefile")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert told.read_text() == kept


def test_an_interrupted_run_goes_on_to_the_same_numbers(demo: Path, tmp_path: Path) -> None:
    """Interrupt at every stage, in every way: the whole process group, but that a training lives on as an orphan."""
    folder = new_folder(tmp_path, ["fc7"])
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
            snakemake(folder, *targets),
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
        found, wanted = (rows(place / table) for place in (folder, demo))
        assert found == [row for row in wanted if row.get("layer", "fc7") == "fc7"]
    assert not list((folder / "results").rglob("*.part"))
