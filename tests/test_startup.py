"""What commands load: torch, scipy, matplotlib and the like take longer to start than many a job computes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from featuresharing.cli import GROUPS, _Commands
from tests.support.workflows import CHECKPOINTS, EXPERIMENTS

HEAVY = ("torch", "pandas", "scipy", "matplotlib", "h5py", "bokeh", "onnx", "sklearn", "snakemake", "PIL", "psutil")

TABLES = {"pandas"}
STORED = {"h5py"}
NETWORKS = {"torch", "h5py", "PIL"}
FIGURES = {"matplotlib", "PIL"}

LOADS: dict[str, set[str]] = {
    "check": {*NETWORKS, "pandas"},
    "inspect": {*NETWORKS, "pandas", "onnx"},
    "status": STORED,
    "verify": STORED,
    "unit": {"h5py", "pandas", "PIL"},
    "render-images": {"PIL"},
    "overlay-words": {"PIL"},
    "list-images": {"pandas", "PIL"},
    "import-stimuli": {"pandas", "PIL"},
    "download": set(),
    "extract": set(),
    "import-list": set(),
    "import-model": NETWORKS,
    "train": NETWORKS,
    "predict": NETWORKS,
    "define-network": NETWORKS,
    "select-images": {"h5py", "pandas"},
    "train-probes": {*NETWORKS, "pandas"},
    "split-list": set(),
    "marginalize": NETWORKS,
    "merge-blocks": STORED,
    "lesion-curves": {*NETWORKS, "pandas"},
    "tabulate-lesions": TABLES,
    "plot-lesions": FIGURES | TABLES,
    "visualize-units": NETWORKS | FIGURES,
    "tabulate-accuracy": TABLES | STORED,
    "tabulate-contributions": TABLES | STORED,
    "tabulate-sharing": {*TABLES, *STORED, "scipy"},
    "tabulate-images": TABLES | STORED,
    "export": STORED,
    "plot-units": FIGURES | STORED,
    "animate-units": FIGURES | STORED,
    "plot-layers": FIGURES | STORED,
    "animate-layers": FIGURES | STORED,
    "plot-tasks": FIGURES | STORED,
    "plot-sharing": FIGURES | TABLES,
    "plot-excess-sharing": FIGURES | TABLES,
    "plot-training": FIGURES | TABLES,
    "build-explorer": {"bokeh", "pandas", "PIL"},
    "summarize": {*TABLES, *STORED, "scipy"},
    "show-table": TABLES,
}
"""What a command may load of HEAVY."""

ALWAYS_TORCH = {"train", "predict", "train-probes", "marginalize", "lesion-curves", "visualize-units", "import-model"}
"""Commands that load torch whatever they are given, all at once and out of the sight of the garbage collector."""

LOADED = """
import gc, json, os, sys, traceback
from featuresharing import cli

def loaded(words):
    "What a command loads in a process of its own, forked from this one, which has loaded nothing."
    reader, writer = os.pipe()
    if process := os.fork():
        os.close(writer)
        with os.fdopen(reader) as found:
            return json.load(found) | {"ended": os.waitpid(process, 0)[1]}
    commands, said, places = cli._Commands(), "", []
    sys.stdout = sys.stderr
    try:
        for modules in cli.GROUPS.values():
            for module in modules:
                module.add_commands(commands)
        options = commands[words[0]].parse_args(words[1:])
        options.run(options)
    except BaseException as error:
        said, places = repr(error), [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    begun = not said or any(place.endswith("_commands.py") for place in places)
    modules = [name for name in HEAVY if name in sys.modules]
    frozen = gc.get_freeze_count() > 0 and gc.isenabled()
    os.write(writer, json.dumps({"said": said, "begun": begun, "modules": modules, "frozen": frozen}).encode())
    os._exit(0)
"""


def loads_of(jobs: dict[str, list[str]], folder: Path, *, before: str = "sys") -> dict[str, Any]:
    """Return what each of some commands loads and whether it began, in processes that have a module ``before``."""
    code = f"HEAVY = {HEAVY}\n{LOADED}\nimport {before}\njobs = json.loads(sys.argv[1])\n"
    code += "print(json.dumps({name: loaded(words) for name, words in jobs.items()}))"
    command = [sys.executable, "-c", code, json.dumps(jobs)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def words_of(name: str, parser: Any) -> list[str]:
    """Return options that a command takes: files that are there and empty, so that it begins, and ends soon."""
    words = [name]
    for action in parser._actions:
        if not action.required and action.option_strings:
            continue
        words += action.option_strings[:1]
        candidates = (
            ["new.png", "new.gif", "new.html"] if action.dest == "output" else ["given", "a=given", "a=1", "a=.5"]
        )
        candidates = [*(action.choices or ()), *candidates, "1"]
        words.append(next(word for word in candidates if _is_taken(action, word)))
    return words


def _is_taken(action: Any, word: str) -> bool:
    try:
        if action.type:
            action.type(word)
    except Exception:
        return False
    return True


def test_no_command_loads_more_than_it_needs(tmp_path: Path) -> None:
    commands = _Commands()
    for modules in GROUPS.values():
        for module in modules:
            module.add_commands(commands)
    assert set(LOADS) == set(commands)
    (tmp_path / "given").touch()
    (tmp_path / "results").mkdir()
    jobs = {name: words_of(name, parser) for name, parser in commands.items()}
    found = loads_of({name: words for name, words in jobs.items() if name not in ALWAYS_TORCH}, tmp_path)
    assert [name for name, each in found.items() if "torch" in each["modules"]] == []
    found |= loads_of({name: jobs[name] for name in ALWAYS_TORCH}, tmp_path, before="torch")  # a second each, else
    assert {name: each["said"] for name, each in found.items() if not each["begun"]} == {}
    assert {name: more for name, each in found.items() if (more := set(each["modules"]) - LOADS[name])} == {}
    assert {name for name, each in found.items() if each["frozen"]} == ALWAYS_TORCH


@pytest.mark.end_to_end
def test_jobs_of_a_run_load_no_more_than_they_need(demo: Path, tmp_path: Path) -> None:
    results, experiment, last = demo / "results", EXPERIMENTS[0], CHECKPOINTS[-1]
    listed = ["--classes", results / f"lists/{experiment}/classes.csv", "--list"]
    network = ["--checkpoint", results / f"networks/{experiment}/{last}.pt", "--device", "cpu", *listed]
    kept = results / f"baseline/{experiment}/kept.txt"
    layer = results / f"marginal/{experiment}/fc7_{last}.h5"
    predictions = results / f"baseline/{experiment}/{last}.h5"
    given: dict[str, list[Any]] = {
        "select-images": [*listed, results / f"lists/{experiment}/test.txt", "--predictions", predictions],
        "tabulate-contributions": ["--conditionals", layer],
        "animate-units": ["--conditionals", layer, "--dpi", 60],
        "show-table": ["--table", results / "tables/lesions.csv"],
        "predict": [*network, kept],
        "marginalize": [*network, kept, "--experiment", experiment, "--layer", "1.5", "--memory", 99],
        "lesion-curves": [*network, kept, "--conditionals", layer, "--random-orders", 2, "--memory", 99],
    }
    ends = {"select-images": "txt", "animate-units": "gif", "show-table": "html", "predict": "h5", "marginalize": "h5"}
    jobs = {
        name: [name, *map(str, words), "--output", str(tmp_path / f"{name}.{ends.get(name, 'csv')}")]
        for name, words in given.items()
    }
    found = loads_of({name: words for name, words in jobs.items() if name not in ALWAYS_TORCH}, demo)
    found |= loads_of({name: words for name, words in jobs.items() if name in ALWAYS_TORCH}, demo, before="torch")
    assert {name: each["said"] for name, each in found.items()} == dict.fromkeys(jobs, "")
    assert {name: set(each["modules"]) for name, each in found.items()} == {name: LOADS[name] for name in jobs}
