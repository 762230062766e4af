"""The config: the shipped one is accepted, and every problem is named by the path of its key."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from featuresharing import InputError
from featuresharing.config import check_config, check_writable

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"


@pytest.fixture
def config() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


def parent(config: Any, path: str) -> tuple[Any, Any]:
    """Return what holds the key at ``path``, and the key."""
    *places, key = (int(part) if part.isdigit() else part for part in path.split("."))
    for place in places:
        config = config[place]
    return config, key


def problem(config: dict[str, Any]) -> str:
    with pytest.raises(InputError) as error:
        check_config(config, SCHEMA)
    return str(error.value)


def test_the_shipped_config_is_accepted(config: dict[str, Any]) -> None:
    check_config(config, SCHEMA)


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("sede", "seed"),
        ("image", "images"),
        ("images.image_sise", "images.image_size"),
        ("training.learningrate", "training.learning_rate"),
        ("experiments.1.sort", "experiments.1.sort_by"),
        ("marginalization.xyz", "marginalization."),
        ("jobs.unit", "jobs.units"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(config: dict[str, Any], path: str, nearest: str) -> None:
    block, key = parent(config, path)
    block[key] = 1
    assert f"config key '{path}' is not known; the nearest is '{nearest}" in problem(config)


@pytest.mark.parametrize(
    ("path", "value", "accepted"),
    [
        ("seed", -1, "an integer from 0"),
        ("seed", "0", "an integer from 0"),
        ("seed", True, "an integer from 0"),
        ("device", "gpu", "auto, cpu, mps, cuda or cuda:N"),
        ("images", [], "a block of keys"),
        ("images.basic_classes", ["bird", "bird"], "a list of distinct basic classes"),
        ("images.basic_classes", ["bird"], "at least two, or none for all"),
        ("images.image_size", 15, "an integer from 16 to 512"),
        ("images.rotation", 181, "a number from 0 to 180"),
        ("images.scale", [1.0], "two numbers"),
        ("images.scale", [1.0, 0.5], "a smaller number and a larger one"),
        ("images.shift", 1, "a number from 0 to below 1"),
        ("images.flip", "true", "true or false"),
        ("images.word_sizes", [9, 8], "a smaller number and a larger one"),
        ("images.word_colours", [255, 0], "a smaller number and a larger one"),
        ("images.seed", 1.5, "an integer from 0, or null for the seed above"),
        ("experiments", [], "a list of experiments"),
        ("experiments.0.name", "a b", "a name of letters, digits, - and _"),
        ("experiments.0.tasks", ["basic"], "a list of two or more distinct tasks"),
        ("experiments.0.tasks", ["basic", "basic"], "a list of two or more distinct tasks"),
        ("experiments.1.sort_by", "colour", "a task: basic or word"),
        ("source", "web", "drawings, archives or folders"),
        ("archives.urls", [], "a list of addresses"),
        ("archives.files.models.sha256", "12", "64 hexadecimal digits in quotes"),
        ("method", "remove", "marginalize or lesion"),
        ("baseline.undecodable", "ignore", "stop or skip"),
        ("training.optimiser", "adam", "adamw or sgd"),
        ("lesions.random_orders", 1, "an integer from 2"),
        ("experiments.1.sort_by", "subordinate", "a task: basic or word"),
        ("experiments.1.name", "subordinate_basic", "distinct names"),
        ("network.stride", 0, "an integer from 1 to 8"),
        ("network.channels", [4] * 4, "five integers from 1"),
        ("training.checkpoints", [], "a list of rising training steps"),
        ("training.checkpoints", [0, 50, 20], "rising steps, the last at least 1"),
        ("training.checkpoints", [0, 50, 50], "rising steps, the last at least 1"),
        ("training.checkpoints", [0], "rising steps, the last at least 1"),
        ("training.batch_size", 1, "an integer from 2"),
        ("training.batch_size", 64.0, "an integer from 2"),
        ("training.learning_rate", 0, "a number above 0"),
        ("training.learning_rate", "3e-3", "at most 1000000; write 1.0e-3, not 1e-3"),
        ("training.learning_rate", float("nan"), "a number above 0"),
        ("training.weight_decay", float("inf"), "a number from 0"),
        ("training.dropout", 1.0, "a number from 0 to below 1"),
        ("training.threads", None, "an integer from 1"),
        ("baseline.max_images", 0, "an integer from 1"),
        ("layers", {}, "aliases and their module paths"),
        ("layers.conv5", 1.2, "a module path in quotes"),
        ("layers.conv5", "0.0.11", "0.0.10 (conv5), 1.2 (fc6)"),
        ("marginalization.estimator", "psychic", "prior-weighted"),
        ("marginalization.tolerance", 1, "a number from 0 to below 1"),
        ("marginalization.storage", "none", "true-class or full"),
        ("jobs.units", 0, "an integer from 1, numbers by layer"),
        ("jobs.units", {"conv1": 0}, "an integer from 1, numbers by layer"),
        ("jobs.units", {"conv1": 1, "conv9": 3}, "found layer 'conv9'; accepted are conv1, conv2"),
        ("jobs.threads", 0, "an integer from 1"),
        ("evidence.method", "bits", "we, probdiff or infdiff"),
        ("evidence.laplace", "none", "paper or standard"),
        ("sharing.resamples", 0, "an integer from 1"),
        ("figures.layout", "round", "rectangle or sunflower"),
        ("figures.limits", [16, 0.0625], "accepted"),
        ("figures.milliseconds", 335, "a multiple of 10, from 20"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_accepted(
    config: dict[str, Any], path: str, value: Any, accepted: str
) -> None:
    block, key = parent(config, path)
    block[key] = value
    found = problem(config)
    assert f"config key '{path}'" in found
    assert "accepted" in found
    assert accepted in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("path", "value", "place", "accepted"),
    [
        ("images.basic_classes", ["bird", "brid"], "images.basic_classes.1", "one of animal-face, ball"),
        ("images.word_colours", [0, 256], "images.word_colours.1", "an integer from 0 to 255"),
        ("experiments.0.tasks", ["basic", "a b"], "experiments.0.tasks.1", "a name of letters, digits, - and _"),
        ("network.kernels", [3, 3, 4, 3, 3], "network.kernels.2", "an odd integer from 1 to 11"),
        ("training.checkpoints", [-1, 5], "training.checkpoints.0", "an integer from 0"),
        ("layers.a_b", "0.0.0", "layers", "names of letters, digits, . and -"),
    ],
)
def test_a_wrong_item_is_named_by_its_place(
    config: dict[str, Any], path: str, value: Any, place: str, accepted: str
) -> None:
    block, key = parent(config, path)
    block[key] = value
    assert re.search(f"config key '{re.escape(place)}': found .*; accepted is {re.escape(accepted)}", problem(config))


def test_a_network_too_coarse_for_its_images_is_refused(config: dict[str, Any]) -> None:
    config["network"]["stride"] = 8
    found = problem(config)
    assert "config key 'network': its sizes do not fit images of images.image_size" in found
    assert "found 48 pixels; accepted are at least" in found


def test_tasks_are_those_of_the_source(config: dict[str, Any]) -> None:
    config["experiments"][0]["tasks"] = ["basic", "colour"]
    assert "config key 'experiments.0.tasks': found 'colour'; accepted are subordinate, basic, word." in problem(config)


def test_experiments_on_archives_say_what_they_take(config: dict[str, Any]) -> None:
    config["experiments"][0]["model"] = "x.t7"
    assert "config key 'experiments.0.model' is there; accepted is it with source: archives only." in problem(config)
    config["source"] = "archives"
    lines = problem(config).splitlines()
    assert "config key 'experiments.0.class_map' is not there; accepted is a config that has it." in lines
    assert len(lines) == 5


def test_folders_have_to_be_there(config: dict[str, Any], tmp_path: Path) -> None:
    config["source"] = "folders"
    config["folders"] |= {"train": str(tmp_path), "test": str(tmp_path / "x"), "words": str(tmp_path / "w")}
    lines = problem(config).splitlines()
    assert [line.split("'")[1] for line in lines] == ["folders.test", "folders.words", "folders.hierarchy"]


def test_raw_scores_have_differences_only(config: dict[str, Any]) -> None:
    config["method"] = "lesion"
    config["lesions"]["softmax"] = False
    assert "config key 'evidence.method': found we; accepted is probdiff for raw scores" in problem(config)
    config["evidence"]["method"] = "probdiff"
    check_config(config, SCHEMA)


@pytest.mark.parametrize("name", ["paper", "paper-training"])
def test_the_configs_of_the_paper_are_accepted(config: dict[str, Any], name: str, tmp_path: Path) -> None:
    changes = yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())
    merged = {
        key: value | changes.get(key, {}) if isinstance(value, dict) else changes.get(key, value)
        for key, value in config.items()
    }
    if name == "paper-training":
        merged["folders"] |= {"train": str(tmp_path), "test": str(tmp_path)}
    check_config(merged, SCHEMA)
    assert set(changes) <= set(config)


@pytest.mark.parametrize("path", ["seed", "figures", "training.threads", "experiments.0.tasks", "images.seed"])
def test_a_missing_key_is_named(config: dict[str, Any], path: str) -> None:
    block, key = parent(config, path)
    del block[key]
    assert f"config key '{path}' is missing; accepted is" in problem(config)


def test_every_problem_has_a_line_of_its_own(config: dict[str, Any]) -> None:
    config["sede"] = config.pop("seed")
    config["images"]["flip"] = 2
    del config["training"]["shift"], config["training"]["threads"]
    lines = problem(config).splitlines()
    assert len(lines) == 5
    for path in ("sede", "seed", "images.flip", "training.shift", "training.threads"):
        assert any(f"config key '{path}'" in line for line in lines), path


def leaves(schema: dict[str, Any], block: str = "") -> Iterator[tuple[str, str]]:
    """Yield (block, key) for every key that holds a value."""
    for key, value in schema.get("properties", {}).items():
        inner = value.get("items", value) if value.get("type") == "array" else value
        if "properties" in inner:
            yield from leaves(inner, block or key)
        else:
            yield block, key


def test_every_key_is_documented_in_the_section_of_its_block() -> None:
    readme = (ROOT / "config/README.md").read_text()
    sections = {
        name: text for text in readme.split("\n## ")[1:] for name in re.findall(r"`(\w+)`", text.splitlines()[0])
    }
    keys = list(leaves(yaml.safe_load(SCHEMA.read_text())))
    assert len(keys) > 40
    for block, key in keys:
        assert f"`{key}`" in (sections[block] if block else readme), f"{block}.{key}"


def test_a_folder_below_a_file_cannot_hold_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file/below", tmp_path / "file/far/below"):
        with pytest.raises(
            InputError, match=rf"{folder} cannot hold results: {tmp_path}/file is a file; accepted is a"
        ):
            check_writable(folder)
    check_writable(tmp_path / "new/deep")
    monkeypatch.chdir(tmp_path)
    check_writable(Path("results"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
