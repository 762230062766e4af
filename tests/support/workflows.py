"""Runs of the real workflow by the real Snakemake, and the small demo that tests share."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from featuresharing.networks.alexnet.names import LAYERS as PATHS
from tests.support.commands import ROOT

SMALL = ROOT / "tests/small.yaml"
EXPERIMENTS = ("subordinate_basic", "object_text")
LAYERS = ("conv1", "fc7")
CHECKPOINTS = ("000", "005", "120")
NASTY = """it's a "run" {of} $(touch hacked) `id` ${HOME} ; é"""
"""What a shell, Snakemake and Python would each take for something else than a name."""

Change = Mapping[str, Any]


def new_folder(path: Path, layers: Sequence[str] = tuple(PATHS)) -> Path:
    """Make a folder to run in, with the shipped configs, of which that of the demo has some of the layers."""
    shutil.copytree(ROOT / "config", path / "config")
    shipped = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    chosen = shipped | {"layers": {name: PATHS[name] for name in layers}}
    (path / "config/config.yaml").write_text(yaml.safe_dump(chosen, sort_keys=False))
    return path


def changed_config(place: Path, change: Change) -> list[Path]:
    """Write keys of a config into a file of a folder; return the small config and this file, which comes on top."""
    path = place / "change.yaml"
    path.write_text(json.dumps(change))
    return [SMALL, path]


def snakemake(
    folder: Path, *arguments: str, configs: Sequence[Path] = (SMALL,), profile: str = "default", clone: Path = ROOT
) -> list[str]:
    """Return a command of Snakemake for a folder, with targets and options, and configs that come one over another."""
    return [
        *(str(Path(sys.executable).parent / "snakemake"), *arguments),
        *("--snakefile", str(clone / "workflow/Snakefile")),
        *("--workflow-profile", str(clone / "workflow/profiles" / profile), "--directory", str(folder)),
        *([] if profile == "slurm" else ["--cores", "2"]),
        *(["--configfile", *map(str, configs)] if configs else []),
    ]


def run_snakemake(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run :func:`snakemake` to its end, with the given environment, if any."""
    environment = options.pop("environment", None)
    command = snakemake(folder, *arguments, **options)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=environment)


def planned_jobs(folder: Path, *arguments: str, **options: Any) -> dict[str, int]:
    """Return how often a dry run would run each rule."""
    result = run_snakemake(folder, *arguments, "--dry-run", **options)
    assert result.returncode == 0, result.stderr
    output = result.stdout + result.stderr
    if "Nothing to be done" in output:
        return {}
    table = output.split("Job stats:")[1].split("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def environment_with_gpu(folder: Path) -> dict[str, str]:
    """Return the environment of a machine whose nvidia-smi lists a GPU."""
    (folder / "bin").mkdir()
    (folder / "bin/nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: made up (UUID: GPU-0)'\n")
    (folder / "bin/nvidia-smi").chmod(0o755)
    return {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


def finished_demo(shared: Path) -> Path:
    """Return a folder in which the small demo ran to its end; of all processes that ask for it the first makes it."""
    folder = shared / "demo" / NASTY
    with (shared / "demo.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not (shared / "demo/finished").exists():
            shutil.rmtree(shared / "demo", ignore_errors=True)
            result = run_snakemake(new_folder(folder, LAYERS))
            assert result.returncode == 0, result.stderr
            (shared / "demo/finished").touch()
    return folder


def copy_run(finished: Path, folder: Path) -> Path:
    """Copy a run with the times of its files and all that Snakemake knows of it; return the copy."""
    shutil.copytree(finished, folder, symlinks=True)
    return folder
