"""What a changed config runs anew: dry runs of the real Snakemake in the finished demo."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import ROOT
from tests.support.workflows import (
    CHECKPOINTS,
    EXPERIMENTS,
    LAYERS,
    NASTY,
    changed_config,
    copy_run,
    new_folder,
    planned_jobs,
    run_snakemake,
)

pytestmark = pytest.mark.end_to_end

PLACES = len(EXPERIMENTS) * len(LAYERS)
MAPS = PLACES * len(CHECKPOINTS)
ANIMATIONS = {"animate_units": PLACES, "animate_layers": len(EXPERIMENTS)}
SHARING = {"tabulate_sharing": 1, "plot_sharing": 1, "plot_sharing_over_training": 1}
SHOWN = {"summarize": 1, "build_explorer": 1, "all": 1}
"""What tells of any number."""


def test_a_second_run_has_nothing_to_do_wherever_it_is_and_whenever_it_was_copied(demo: Path, tmp_path: Path) -> None:
    """Times are those of a copy that wrote files in any order."""
    folder, clone = copy_run(demo, tmp_path / "moved"), tmp_path / NASTY
    for part in ("workflow", "resources", "config"):
        shutil.copytree(ROOT / part, clone / part)
    files = sorted(path for place in (folder, clone) for path in place.rglob("*"))
    times = np.random.default_rng(0).permutation(len(files))
    for path, seconds in zip(files, times, strict=True):
        os.utime(path, (1.7e9 + int(seconds),) * 2)
    assert planned_jobs(folder, clone=clone) == {}


def test_keys_that_change_no_number_rerun_nothing(demo: Path, tmp_path: Path) -> None:
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
    assert planned_jobs(demo, configs=changed_config(tmp_path, change)) == {}


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"figures": {"colour_scale": "linear"}}, ANIMATIONS | {"build_explorer": 1, "all": 1}),
        ({"figures": {"milliseconds": 500}}, ANIMATIONS | {"all": 1}),
        ({"figures": {"numbers": True}}, {"animate_units": PLACES, "all": 1}),
        ({"sharing": {"resamples": 60}}, SHARING | SHOWN | {"show_table": 4}),
        (
            {"marginalization": {"seed": 1}},
            {"marginalize_layer": MAPS, "plot_tasks": 2, "tabulate_contributions": 1, "tabulate_images": 1}
            | ANIMATIONS
            | SHARING
            | SHOWN
            | {"show_table": 5, "measure_lesions": PLACES, "plot_lesions": 2, "tabulate_lesions": 1},
        ),
    ],
)
def test_a_change_reruns_what_depends_on_it(
    demo: Path, tmp_path: Path, change: dict[str, object], rules: dict[str, int]
) -> None:
    assert planned_jobs(demo, configs=changed_config(tmp_path, change)) == rules


def test_another_cut_leaves_finished_layers_alone_if_only_times_count(demo: Path, tmp_path: Path) -> None:
    assert (
        planned_jobs(demo, "--rerun-triggers", "mtime", configs=changed_config(tmp_path, {"jobs": {"units": 2}})) == {}
    )


def test_another_training_seed_trains_anew_on_the_same_images(demo: Path, tmp_path: Path) -> None:
    jobs = planned_jobs(demo, configs=changed_config(tmp_path, {"training": {"seed": 1}}))
    assert jobs["train_network"] == 2
    assert jobs["marginalize_layer"] == MAPS
    assert "render_images" not in jobs
    assert planned_jobs(demo, configs=changed_config(tmp_path, {"seed": 1}))["render_images"] == 1


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
    folder = new_folder(tmp_path / "run")
    result = run_snakemake(folder, "--dry-run", configs=changed_config(tmp_path, PAPER))
    assert result.returncode == 0, result.stderr
    total = re.search(r"^total +(\d+)$", result.stdout + result.stderr, re.MULTILINE)
    assert total
    assert 900 < int(total[1]) < 2000
    whole = planned_jobs(folder, configs=changed_config(tmp_path, PAPER | {"jobs": {"units": None}}))
    assert whole["marginalize_layer"] == 2 * 20 * 7
    assert sum(whole.values()) < 1000


def test_one_figure_needs_only_its_layer_and_experiment_whatever_the_command_line_sets(tmp_path: Path) -> None:
    nested = ["--config", 'figures={"dpi": 300, "limits": [0.5, 2]}', "network={padding: null}"]
    jobs = planned_jobs(new_folder(tmp_path), "results/figures/object_text/conv5.gif", *nested)
    assert jobs["marginalize_layer"] == len(CHECKPOINTS)
    assert jobs["train_network"] == jobs["select_images"] == jobs["predict_images"] == jobs["animate_units"] == 1
    assert not {"tabulate_sharing", "plot_units"} & set(jobs)
    assert not (tmp_path / "results/config.yaml").exists(), "a dry run writes nothing"
