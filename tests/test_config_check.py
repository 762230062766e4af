"""Configs that are wrong in many places: every mistake is told once, and what is sound is checked further."""

import copy
from pathlib import Path
from typing import Any

import pytest
from snakemake.utils import update_config  # type: ignore[import-untyped]

from featuresharing import InputError
from featuresharing.settings import Config
from featuresharing.settings.checking import check_config
from featuresharing.settings.configfiles import complete_config, read_yaml, write_yaml
from featuresharing.settings.examination import examine_config
from featuresharing.workflow.config_reading import read_config

SOUND: dict[str, Any] = {
    "source": "network",
    "experiments": [
        {
            "name": "reader",
            "network": {"build": "mynet.py:build", "checkpoints": {"last": "last.pt"}},
            "tasks": {"object": {"head": 0}, "word": {"head": "word", "returns": "scores"}},
            "images": "stimuli.csv",
            "preprocessing": {"size": 32},
        }
    ],
    "layers": {"conv1": "conv1"},
}


def test_a_sound_config_is_as_it_is() -> None:
    found = examine_config(SOUND)
    assert found.settings == check_config(SOUND)
    assert (found.sentences, found.unsound, found.positions) == ((), frozenset(), (0,))


def test_every_mistake_is_told_and_what_is_sound_counts() -> None:
    config = copy.deepcopy(SOUND)
    first = config["experiments"][0]
    first["tasks"]["word"]["returns"] = "guesses"
    first["network"] |= {"strip": ["model.", 3], "bild": "x"}
    config["experiments"] += [{"name": "lost"}, copy.deepcopy(SOUND["experiments"][0])]
    config["experiments"][2] |= {"sort_by": "face"}
    config |= {"seed": -1, "marginalization": {"samples": 0, "scale": 2.0}, "sharing": {"resamples": "many"}}
    found = examine_config(config)
    starts = [sentence.partition("'")[2].partition("'")[0] for sentence in found.sentences]
    assert sorted(starts) == [
        "experiments.0.network.bild",
        "experiments.0.network.strip.1",
        "experiments.0.tasks.word.returns",
        "experiments.1.tasks",
        "experiments.2.name",
        "experiments.2.sort_by",
        "marginalization.samples",
        "seed",
        "sharing.resamples",
    ]
    assert found.positions == (0, 2)
    assert found.place(1) == "experiments.2"
    settings = found.settings
    assert (settings.seed, settings.marginalization.samples, settings.marginalization.scale) == (0, 100, 2.0)
    assert settings.experiments[0].network == check_config(SOUND).experiments[0].network


def test_more_than_twenty_mistakes_are_all_told() -> None:
    config = SOUND | {f"key{number}": 1 for number in range(33)}
    assert len(examine_config(config).sentences) == 33


def test_configs_are_read_as_snakemake_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    files = {"config/config.yaml": {"seed": 3, "layers": {"a": "0"}, "sharing": {"resamples": 5}}, "x.yaml": SOUND}
    files["y.yaml"] = {"sharing": {"seed": 4}, "experiments": SOUND["experiments"], "layers": {"b": "1"}}
    for name, values in files.items():
        write_yaml(values, tmp_path / name)
    merged: dict[str, Any] = {}
    for name in files:
        update_config(merged, read_yaml(tmp_path / name))
    demo = Path(__file__).parents[1] / "config/config.yaml"
    below = complete_config(read_yaml(demo), Config.defaults())
    assert read_config([Path("x.yaml"), Path("y.yaml")], demo) == complete_config(merged, below)
    assert read_config([Path("x.yaml")], None)["baseline"] == Config.defaults()["baseline"]
    with pytest.raises(InputError, match=r"config z\.yaml does not exist; accepted is a file of YAML"):
        read_config([Path("z.yaml")], demo)
