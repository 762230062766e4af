"""What a job of a run pays before it computes: CPU time of each command, by phase, in milliseconds.

FOLDER is that of a finished run: it has ``config/`` and ``results/``. Of every command that the workflow's rules call,
the job of the last network, layer and checkpoint is run again in a copy, under job_phases.py; medians of several runs.
*Python* is the interpreter alone, *imports* all modules, *reading* options, lists, tables, networks and images,
*describing* the checks and traces of a network, *ending* what comes after the command's last line. Trainings and
renderings are left out. With ``--against SRC``, another version of the source, its jobs alternate with those of this
one.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]

LONG = ("train", "render-images")
"""Commands that compute for minutes, whatever they pay before."""

SMALL = ("marginalize", "select-images", "show-table")

COLUMNS = ("python", "imports", "reading", "describing", "computing", "writing", "ending", "total")

Job = dict[str, float]


def main() -> None:
    """Print a line for each command, and for each version of the source."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of a finished run")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each job; the median counts")
    parser.add_argument("--against", type=Path, metavar="SRC", help="folder src of another version")
    parser.add_argument("--small", action="store_true", help="three commands, once: does it still run?")
    options = parser.parse_args()
    sources = [*([options.against.resolve()] if options.against else []), ROOT / "src"]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *sources], check=True)
    jobs, counts = jobs_of(options.folder)
    if options.small:
        jobs = {name: jobs[name] for name in SMALL}
    print(f"| command | jobs |{' source |' if options.against else ''} {' | '.join(COLUMNS)} |")
    print("|" + "---|" * (len(COLUMNS) + 2 + (options.against is not None)))
    with tempfile.TemporaryDirectory() as work:
        copy_run(options.folder, Path(work))
        for name, line in jobs.items():
            runs: list[list[Job]] = [[] for _ in sources]
            for _ in range(1 if options.small else options.repeats):
                for source, found in zip(sources, runs, strict=True):
                    found.append(run_job(line, Path(work), source))
            for source, found in zip(sources, runs, strict=True):
                values = " | ".join(f"{1000 * median(job[column] for job in found):.0f}" for column in COLUMNS)
                which = f" {'this' if source == ROOT / 'src' else 'other'} |" if options.against else ""
                print(f"| {name} | {counts[name]} |{which} {values} |", flush=True)


def jobs_of(folder: Path) -> tuple[dict[str, str], Counter[str]]:
    """Return the last job of each command, as bash reads them, and how many jobs each has."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "workflow/Snakefile", "--directory", folder]
    command += ["--configfile", folder / "results/config.yaml", "--workflow-profile", "none", "--cores", "2"]
    command += ["--resources", "gpu=1", "--dry-run", "--forceall", "--printshellcmds"]
    shown = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    lines = sorted(re.findall(r"featuresharing ([a-z-]+ .*?) > \S*results/logs/", shown.stdout + shown.stderr))
    if not lines:
        sys.exit(f"Snakemake names no jobs of {folder}:\n{shown.stdout}{shown.stderr}")
    names = [line.split()[0] for line in lines]
    jobs = dict(zip(names, lines, strict=True))
    return {name: line for name, line in jobs.items() if name not in LONG}, Counter(names)


def copy_run(folder: Path, work: Path) -> None:
    """Copy a run, without the images of its trainings: only trainings read them."""
    shutil.copytree(
        folder / "results",
        work / "results",
        symlinks=True,
        ignore=lambda parent, _: ["train"] if Path(parent).name == "images" else [],
    )


def run_job(line: str, work: Path, source: Path) -> Job:
    """Run a job whose outputs are gone, on one thread; return its seconds by phase."""
    for written in re.findall(r"--output (\S+)", line):
        for path in (work / written).parent.glob(f".{Path(written).name}.*"):
            path.unlink()
        (work / written).unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    child = f"exec {sys.executable} {ROOT}/benchmarks/job_phases.py phases.json {line}"
    before = spent()
    done = subprocess.run(["bash", "-c", child], cwd=work, env=environment, capture_output=True, text=True, check=False)
    total = spent() - before
    if done.returncode:
        sys.exit(f"{line}\n{done.stdout}{done.stderr}")
    phases = json.loads((work / "phases.json").read_text())
    return dict.fromkeys(COLUMNS, 0.0) | phases | {"total": total, "ending": total - phases["end"]}


def spent() -> float:
    """Return the CPU time of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
