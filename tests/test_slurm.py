"""The workflow on a real SLURM cluster with the shipped profile, and everything that happens to jobs there."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from featuresharing import read_conditionals
from tests.support.commands import PROGRAM, ROOT
from tests.support.files import assert_same_datasets
from tests.support.slurm import Cluster, missing
from tests.support.workflows import SMALL, environment_with_gpu, new_folder, snakemake

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(bool(missing()), reason=missing() or "a cluster can run here"),
]

CONFIG = {
    "experiments": [{"name": "object_text", "tasks": ["basic", "word"], "sort_by": "word"}],
    "network": {"hidden": [100, 80]},
    "training": {"checkpoints": [0, 60]},
    "jobs": {"units": {"conv1": 3}},
}
LAYERS = ("conv1", "conv5", "fc6", "fc7")
LONG = {"marginalization": {"estimator": "monte-carlo", "samples": 2500}}
"""With it, fc6 takes some seconds."""

TABLES = [f"results/tables/{name}.csv" for name in ("accuracy", "contributions", "sharing", "lesions")]
TARGETS = [f"results/marginal/object_text/{name}.h5" for name in ("fc6_60", "fc6_00", "fc7_60")]

SITE = """
slurm-init-seconds-before-status-checks: 2
seconds-between-status-checks: 1
slurm-status-command: squeue
slurm-partition-config: {folder}/partitions.yaml
"""
"""What is particular to this cluster: it keeps no accounts, and answers fast."""

PARTITIONS = """
partitions:
  cpu: {max_runtime: 1440, max_mem_mb: 16000, max_threads: 4}
  gpu: {max_runtime: 1440, max_mem_mb: 16000, max_threads: 4, max_gpu: 1}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    yield running
    running.stop()


def folder_for_jobs(path: Path) -> Path:
    """Make a folder to run in, with what is particular to this cluster."""
    new_folder(path, LAYERS)
    (path / "change.yaml").write_text(json.dumps(CONFIG))
    (path / "long.yaml").write_text(json.dumps(LONG))
    return with_site(path)


def with_site(path: Path) -> Path:
    """Put what is particular to this cluster into a folder."""
    (path / "site").mkdir()
    (path / "site/config.yaml").write_text(SITE.format(folder=path))
    (path / "partitions.yaml").write_text(PARTITIONS)
    return path


def command(folder: Path, profile: str, *arguments: str, long: bool = False) -> list[str]:
    configs = [SMALL, folder / "change.yaml", *([folder / "long.yaml"] if long else [])]
    site = ["--profile", str(folder / "site")] if profile == "slurm" else []
    return snakemake(folder, *arguments, *site, configs=configs, profile=profile)


def run(folder: Path, profile: str, *arguments: str, long: bool = False) -> str:
    result = subprocess.run(
        command(folder, profile, *arguments, long=long), capture_output=True, text=True, check=False, timeout=400
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which all tables were made here, with a long marginalization in ``long``."""
    folder = folder_for_jobs(tmp_path_factory.mktemp("local") / "run")
    run(folder, "default", *TABLES)
    shutil.copytree(folder, folder / "long", ignore=shutil.ignore_patterns("long", "marginal"), symlinks=True)
    run(folder / "long", "default", *TARGETS, long=True)
    return folder


def test_three_nodes_give_the_numbers_of_one_machine(local: Path, cluster: Cluster, tmp_path: Path) -> None:
    folder = folder_for_jobs(tmp_path / "run")
    said = run(folder, "slurm", *TABLES)
    assert "Submitted array job" in said
    files = sorted(path.relative_to(local) for path in local.glob("results/marginal/**/*.h5"))
    assert len(files) == 2 * len(LAYERS)
    for file in files:
        assert_same_datasets(folder / file, local / file)
    for table in TABLES:
        assert (folder / table).read_text() == (local / table).read_text()
    assert {job["state"] for job in cluster.jobs()} == {"COMPLETED"}
    assert {job["node"] for job in cluster.jobs()} == {"n1", "n2", "n3"}
    assert "Nothing to be done" in run(folder, "slurm", *TABLES)


def test_jobs_with_a_gpu_go_where_gpus_are(local: Path, cluster: Cluster, tmp_path: Path) -> None:
    folder = started(local, tmp_path)
    target = "results/marginal/object_text/fc7_60.h5"
    done = subprocess.run(
        command(folder, "slurm", target),
        env=environment_with_gpu(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    job = max(cluster.jobs(), key=lambda job: int(job["number"].partition("_")[0]))
    assert (job["partition"], job["node"]) == ("gpu", "n1")
    assert "gres:gpu:1" in cluster.run("scontrol", "show", "job", job["number"])
    assert_same_datasets(folder / target, local / target)


def test_a_network_of_ones_own_runs_on_the_nodes(cluster: Cluster, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples/own_network", tmp_path / "run")
    folder, target = with_site(tmp_path / "run"), "results/marginal/reader/conv1_1500.h5"
    arguments = (target, "--profile", str(folder / "site"))
    before = len(cluster.jobs())
    done = subprocess.run(
        snakemake(folder, *arguments, configs=[folder / "config.yaml"], profile="slurm"),
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(cluster.jobs()) == before + 2  # what is predicted, and what is marginalized
    assert {job["state"] for job in cluster.jobs()} == {"COMPLETED"}
    assert read_conditionals(folder / target).units.tolist() == list(range(8))


def started(local: Path, tmp_path: Path) -> Path:
    """Return a folder in which all is done but marginalization."""
    folder = tmp_path / "run"
    shutil.copytree(local, folder, ignore=shutil.ignore_patterns("long", "marginal", "locks"), symlinks=True)
    (folder / "long.yaml").write_text(json.dumps(LONG))
    return folder


def jobs_in_the_middle(folder: Path, cluster: Cluster, targets: list[str]) -> dict[str, dict[str, str]]:
    """Return by target the SLURM jobs that marginalize, each stopped when it had done some units more than at first.

    What is stopped stays in the middle, however fast the machine is; SLURM wakes it before it ends it.
    """

    def counts() -> dict[str, int]:
        shown = subprocess.run(
            [*PROGRAM, "status", str(folder / "results")], capture_output=True, text=True, check=True
        ).stdout
        return {f"{layer}_{step}": int(n) for step, layer, n in re.findall(r"(\d+) +(fc\d) +(\d+) of", shown)}

    before = counts()
    stopped: dict[str, dict[str, str]] = {}

    def all_are_stopped() -> bool:
        now = counts()
        for target in set(targets) - set(stopped):
            name = Path(target).stem
            if now.get(name, 0) >= before.get(name, 0) + 3:
                (job,) = (
                    each for each in cluster.jobs() if each["state"] == "RUNNING" and each["comment"].endswith(name)
                )
                cluster.signal_job(job["number"], signal.SIGSTOP)
                stopped[target] = job
        return len(stopped) == len(targets)

    cluster.wait_for(all_are_stopped, "jobs in the middle")
    return stopped


def said_by_last_try(folder: Path, target: str) -> str:
    log = folder / f"results/logs/marginalize_layer/object_text/{Path(target).stem}.log"
    try:
        return log.read_text()
    except FileNotFoundError:  # Snakemake removes that of the try before
        return ""


def check_resumed(folder: Path, local: Path, target: str) -> None:
    said = said_by_last_try(folder, target)
    found = re.search(r"(\d+) of \d+ units are there already|is there already, with all (\d+) units", said)
    assert found, said
    assert int(found[1] or found[2]) >= 3
    assert_same_datasets(folder / target, local / "long" / target)


def state(cluster: Cluster, number: str) -> str:
    return next(job["state"] for job in cluster.jobs() if job["number"] == number)


def test_jobs_that_are_stopped_go_on_where_they_were(local: Path, cluster: Cluster, tmp_path: Path) -> None:
    """One is cancelled, one requeued, one runs out of time; then the node of the first loses power."""
    folder = started(local, tmp_path)
    with subprocess.Popen(
        command(folder, "slurm", *TARGETS, long=True), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as main:
        jobs = jobs_in_the_middle(folder, cluster, TARGETS)
        cancelled, requeued, late = (jobs[target]["number"] for target in TARGETS)
        cluster.run("scontrol", "update", f"JobId={late}", "EndTime=now")  # at which SLURM looks twice a minute
        cluster.run("scancel", cancelled)
        cluster.run("scontrol", "requeue", requeued)
        again = jobs_in_the_middle(folder, cluster, TARGETS[:1])[TARGETS[0]]
        assert again["number"] != cancelled
        assert state(cluster, cancelled) == "CANCELLED"
        cluster.wait_for(lambda: state(cluster, late) == "TIMEOUT", "end of a job that ran out of time")
        cluster.kill_node(again["node"])
        cluster.wait_for(lambda: state(cluster, again["number"]) != "RUNNING", "notice of a node that is gone")
        cluster.start_node(again["node"])
        said, _ = main.communicate(timeout=240)
    assert main.returncode == 0, said
    for target in TARGETS:
        check_resumed(folder, local, target)
    assert not [path for path in folder.rglob("*.progress") if path.is_file()]


def test_after_the_main_process_was_killed_its_job_is_waited_for(local: Path, cluster: Cluster, tmp_path: Path) -> None:
    """The job lives on while a second run starts one of its own: that waits until the first is done."""
    folder, (target, *_) = started(local, tmp_path), TARGETS
    with subprocess.Popen(
        command(folder, "slurm", target, long=True), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as main:
        orphan = jobs_in_the_middle(folder, cluster, [target])[target]["number"]
        main.send_signal(signal.SIGKILL)
    time.sleep(0.5)
    assert state(cluster, orphan) == "RUNNING"
    run(folder, "slurm", "--unlock")
    with subprocess.Popen(
        command(folder, "slurm", target, long=True), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as second:
        waits = re.compile(rf"is being computed by process \d+ on \S+, job {orphan} since .*: waiting\.")
        cluster.wait_for(lambda: waits.search(said_by_last_try(folder, target)), "word that the second waits")
        cluster.signal_job(orphan, signal.SIGCONT)
        said, _ = second.communicate(timeout=240)
    assert second.returncode == 0, said
    assert_same_datasets(folder / target, local / "long" / target)
    assert not [path for path in folder.rglob("*.progress") if path.is_file()]
