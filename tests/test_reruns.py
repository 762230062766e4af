"""Which rules record which keys of the config: Snakemake reruns a job when what is recorded of it has changed."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.commands import ROOT
from tests.support.configs import demo_config

RECORDED = """
import inspect, json, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.iocontainers import Wildcards
from snakemake.settings.types import ConfigSettings, OutputSettings, ResourceSettings

names = {"experiment": "one", "layer": "fc6", "part": "test", "file": "a.tar", "checkpoint": "5", "nth": ""}
wildcards = Wildcards(fromdict=names)

def recorded(files):
    # Snakemake records params that take nothing but wildcards
    with SnakemakeApi(OutputSettings()) as api:
        settings = ConfigSettings(configfiles=[Path(file) for file in files])
        made = api.workflow(ResourceSettings(cores=1), settings, snakefile=Path(sys.argv[1]), workdir=Path.cwd())
        found = {}
        for rule in made._workflow.rules:
            found[rule.name] = {}
            for name, value in rule.params._allitems():
                if not callable(value):
                    found[rule.name][name] = value
                elif len(inspect.signature(value).parameters) == 1:
                    found[rule.name][name] = value(wildcards)
        return found

print(json.dumps([recorded(files.split(",")) for files in sys.argv[2:]]))
"""

EXPERIMENT = {"name": "one", "tasks": ["subordinate", "word"], "sort_by": "word"}

BASE: dict[str, dict[str, Any]] = {
    "drawings": {"experiments": [EXPERIMENT]},
    "folders": {
        "source": "folders",
        "experiments": [EXPERIMENT],
        "training": {"optimiser": "sgd"},
        "marginalization": {"estimator": "monte-carlo"},
        "evidence": {"method": "probdiff"},
        "figures": {"layout": "sunflower"},
    },
    "archives": {
        "source": "archives",
        "method": "lesion",
        "evidence": {"method": "probdiff"},
        "experiments": [EXPERIMENT | {"model": "m.t7", "class_map": "c.t7", "image_list": "l.txt"}],
    },
}

CHANGE: dict[str, Any] = yaml.safe_load("""
seed: 1
device: cpu
archives:
  folder: other
  urls: ["https://example.org"]
  files:
    models: {file: a.tar, size: 5, sha256: "1111111111111111111111111111111111111111111111111111111111111111"}
    images: {file: b.tar, size: 6, sha256: "2222222222222222222222222222222222222222222222222222222222222222"}
    full: {file: c.tar, size: 7, sha256: "3333333333333333333333333333333333333333333333333333333333333333"}
folders: {font_sizes: [10, 20], colours: [1, 2], outline: 1, undecodable: skip}
images:
  {basic_classes: [bird, car], image_size: 56, test_designers: 3, train_renderings: 2, test_renderings: 5, rotation: 10,
  scale: [0.5, 0.9], shift: 0.2, colour: 0.1, flip: false, word_sizes: [8, 9], word_colours: [1, 2], word_outline: 2,
  seed: 2}
network:
  {stride: 1, channels: [8, 8, 8, 8, 8], kernels: [3, 3, 5, 5, 5], hidden: [9, 9], pool: 3, padding: 1,
  batch_norm: false}
training:
  {checkpoints: [0, 7], batch_size: 8, learning_rate: 0.1, decay_at: [3], decay: 0.2, momentum: 0.5, weight_decay: 0.1,
  dropout: 0.1, shift: 1, crop: [0.5, 1], flip: true, precision: bfloat16, workers: 2, processes: 2, log_every: 5,
  threads: 2, seed: 3}
baseline: {max_images: 9, undecodable: skip}
marginalization:
  {samples: 9, scale: 0.5, tolerance: 0.1, tolerance_bits: 0.01, dtype: float64, engine: plain, storage: full, seed: 4}
lesions: {softmax: false, steps: 3, random_orders: 4, threshold: 0.01}
features: {iterations: 9, step: 2.0, decay: 0.1, blur_every: 2}
jobs: {threads: 2, units: {conv1: 4}}
evidence: {laplace: standard}
sharing: {resamples: 9, permutations: 90, near_zero: 0.2}
figures:
  {colour_scale: linear, limits: [0.5, 2], sort: first, palette: yellow-blue, numbers: true, hold: 100, grid: false,
  columns: 4, dpi: 60, milliseconds: 40, width: 89, font_size: 6}
""")
"""Another value for every key that does not choose what is computed at all."""

CHOICES = {"source", "method", "experiments", "layers", "estimator", "optimiser", "layout", "replicates"}
FILES = {"train", "test", "hierarchy", "words", "font"}

DRAWN = set(CHANGE["images"])
OVERLAID = {"font_sizes", "colours", "outline", "seed", "content"}
NETWORK = set(CHANGE["network"]) | {"image_size"}
TRAINED = {"checkpoints", "batch_size", "learning_rate", "weight_decay", "dropout", "precision", "processes", "threads"}
MARGINALIZED = {"samples", "scale", "tolerance", "tolerance_bits", "laplace", "dtype", "engine", "storage", "seed"}
SHARING = {"resamples", "permutations", "near_zero"}
PAGE = {"width", "dpi", "font_size"}
LAYERS_STYLE = {"colour_scale", "limits", "sort", "grid", "palette", "near_zero"} | PAGE
STYLE = {"columns", "numbers"} | LAYERS_STYLE
TIMES = {"milliseconds", "hold"}

WANTED: dict[str, dict[str, set[str]]] = {
    "drawings": {
        "render_images": DRAWN,
        "train_network": DRAWN | NETWORK | TRAINED | {"seed", "shift"},
        "predict_images": DRAWN,
        "select_images": DRAWN | {"max_images", "seed"},
        "marginalize_layer": DRAWN | MARGINALIZED,
        "measure_lesions": DRAWN | {"engine", "steps", "random_orders", "laplace", "seed"},
        "tabulate_contributions": {"laplace"},
        "tabulate_images": {"laplace"},
        "tabulate_sharing": {"laplace", "checkpoints", "seed"} | SHARING,
        "summarize": {"checkpoint", "near_zero", "samples", "seed"},
        "build_explorer": {"colour_scale", "limits", "near_zero", "palette"},
        "plot_units": {"laplace"} | STYLE,
        "animate_units": {"laplace"} | STYLE | TIMES,
        "plot_layers": {"laplace"} | LAYERS_STYLE,
        "animate_layers": {"laplace"} | LAYERS_STYLE | TIMES,
        "plot_tasks": {"laplace"} | PAGE | {"near_zero"},
        "plot_sharing": {"checkpoint"} | PAGE,
        "plot_sharing_over_training": {"checkpoints"} | PAGE,
        "plot_training": PAGE,
        "plot_lesions": PAGE | {"threshold"},
        "visualize_units": {"iterations", "step", "decay", "blur_every", "seed"},
    },
    "folders": {
        "overlay_words": OVERLAID,
        "train_network": OVERLAID | NETWORK | TRAINED | {"seed", "crop", "flip", "decay_at", "decay", "momentum"},
        "predict_images": OVERLAID,
        "select_images": OVERLAID | {"max_images", "seed"},
        "marginalize_layer": OVERLAID | {"samples", "scale", "dtype", "engine", "storage", "seed"},
        "measure_lesions": OVERLAID | {"engine", "steps", "random_orders", "seed"},
        "tabulate_sharing": {"checkpoints", "seed"} | SHARING,
        "summarize": {"checkpoint", "near_zero", "samples", "seed"},
        "build_explorer": {"colour_scale", "limits", "near_zero", "palette"},
        "plot_units": STYLE - {"grid", "columns"},
        "animate_units": STYLE - {"grid", "columns"} | TIMES,
        "plot_layers": LAYERS_STYLE,
        "animate_layers": LAYERS_STYLE | TIMES,
        "plot_tasks": PAGE | {"near_zero"},
        "plot_sharing": {"checkpoint"} | PAGE,
        "plot_sharing_over_training": {"checkpoints"} | PAGE,
        "plot_training": PAGE,
        "plot_lesions": PAGE | {"threshold"},
        "visualize_units": {"iterations", "step", "decay", "blur_every", "seed"},
    },
    "archives": {
        "import_model": {"image_size", "layers"},
        "predict_images": {"image_size"},
        "select_images": {"max_images", "seed"},
        "marginalize_layer": {"image_size", "softmax", "dtype", "engine", "storage"},
        "measure_lesions": {"engine", "image_size", "steps", "random_orders", "seed"},
        "tabulate_sharing": {"seed"} | SHARING,
        "summarize": {"near_zero", "seed", "softmax"},
        "build_explorer": {"colour_scale", "limits", "near_zero", "palette", "softmax"},
        "plot_units": STYLE,
        "animate_units": STYLE | TIMES,
        "plot_layers": LAYERS_STYLE,
        "animate_layers": LAYERS_STYLE | TIMES,
        "plot_tasks": PAGE | {"near_zero"},
        "plot_sharing": PAGE,
        "plot_sharing_over_training": PAGE,
        "plot_lesions": PAGE | {"threshold"},
        "visualize_units": {"image_size", "iterations", "step", "decay", "blur_every", "seed"},
    },
}
"""The keys that each rule is to rerun for."""


def leaves(block: Any, path: str = "") -> Iterator[str]:
    for key, value in block.items():
        place = f"{path}.{key}".lstrip(".")
        inner = isinstance(value, dict) and place != "jobs.units"
        yield from leaves(value, place) if inner else [place]


def options(params: dict[str, Any]) -> dict[str, list[str]]:
    """Return the words of each option among recorded params by its name, and others by the name of the param."""
    found: dict[str, list[str]] = {}
    for param, value in params.items():
        name = param
        for word in map(str, value if isinstance(value, list) else [value]):
            if option := re.match(r"--([a-z-]+)=?", word):
                name = option[1].replace("-", "_")
            elif len(word) == 64:
                name = "content"
            found.setdefault(name, []).append(word)
    return found


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, dict[str, Any]]]]:
    """What rules record under each base, and with every key changed."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "change.yaml").write_text(json.dumps(CHANGE))
    (folder / "images").mkdir()
    for name, text in {"words": "one", "same_words": "one", "font": "two", "other_font": "three"}.items():
        (folder / name).write_text(text)
    data = {"train": "images", "test": "images", "words": "words", "font": "font"}
    (folder / "data.yaml").write_text(json.dumps({"folders": data}))
    (folder / "other.yaml").write_text(json.dumps({"folders": data | {"words": "same_words", "font": "other_font"}}))
    configs = []
    shipped = str(ROOT / "config/config.yaml")
    for name, base in BASE.items():
        (folder / f"{name}.yaml").write_text(json.dumps(base))
        configs += [f"{shipped},data.yaml,{name}.yaml", f"{shipped},other.yaml,change.yaml,{name}.yaml"]
    shipped_config = demo_config()
    backwards = {
        key: dict(reversed(block.items())) if isinstance(block, dict) else block
        for key, block in shipped_config.items()
    }
    (folder / "backwards.yaml").write_text(json.dumps(backwards | {"layers": shipped_config["layers"]}))
    configs += ["drawings.yaml", "backwards.yaml,drawings.yaml"]
    command = [sys.executable, "-c", RECORDED, str(ROOT / "workflow/Snakefile"), *configs]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: found[2 * index : 2 * index + 2] for index, name in enumerate([*BASE, "reversed"])}


def test_every_key_is_changed() -> None:
    shipped = demo_config()
    assert {path for path in leaves(shipped) if not {path.split(".")[0], path.split(".")[-1]} & CHOICES} - set(
        leaves(CHANGE)
    ) == {f"folders.{key}" for key in FILES}


@pytest.mark.parametrize("source", BASE)
def test_rules_record_the_keys_that_change_their_numbers_and_no_others(
    recorded: dict[str, list[dict[str, dict[str, Any]]]], source: str
) -> None:
    before, after = recorded[source]
    found = {}
    for rule in before:
        old, new = options(before[rule]), options(after[rule])
        found[rule] = {name for name in old | new if old.get(name) != new.get(name)}
    listed = {rule: WANTED[source].get(rule, set()) for rule in before}
    listed["marginalize_block"] = listed["marginalize_layer"]
    assert found == listed


def test_the_order_of_keys_reruns_nothing(recorded: dict[str, list[dict[str, dict[str, Any]]]]) -> None:
    before, after = recorded["reversed"]
    assert before == after
