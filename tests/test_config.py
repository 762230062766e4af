"""The config: the shipped one is accepted, and every problem is named by the path of its key."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from featuresharing import InputError
from featuresharing.settings.checking import check_config, check_writable
from tests.support.commands import ROOT
from tests.support.configs import demo_config

SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"


@pytest.fixture
def config() -> dict[str, Any]:
    return demo_config()


def parent(config: Any, path: str) -> tuple[Any, Any]:
    """Return what holds the key at ``path``, and the key."""
    *places, key = (int(part) if part.isdigit() else part for part in path.split("."))
    for place in places:
        config = config[place]
    return config, key


def problem(config: dict[str, Any]) -> str:
    with pytest.raises(InputError) as error:
        check_config(config)
    return str(error.value)


def test_the_shipped_config_is_accepted(config: dict[str, Any]) -> None:
    check_config(config)


def test_a_key_that_names_its_block_too_is_told_how_blocks_are_written(config: dict[str, Any]) -> None:
    config["figures.dpi"] = 300
    assert problem(config) == "config key 'figures.dpi' is not known; a block is written figures: {dpi: ...}."


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
        ("samples", "marginalization.samples'."),
        ("scale", "images.scale' or 'marginalization.scale'."),
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
        ("figures", "dpi=300", "a block of keys, on the command line figures='{layout: ...}'."),
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
        ("images.seed", 1.5, "an integer from 0, below 2^63, or null for the seed of the whole config"),
        ("experiments", [], "a list of experiments"),
        ("experiments.0.name", "a b", "a name of letters, digits, - and _"),
        ("experiments.0.tasks", [], "a list of distinct tasks"),
        ("experiments.0.tasks", ["basic", "basic"], "a list of distinct tasks"),
        ("experiments.1.sort_by", "colour", "a task: basic or word"),
        ("source", 1, "the name of a source, or the path of its file, which ends in .smk"),
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
        ("marginalization.samples", 10**11, "an integer from 1 to 100000"),
        ("marginalization.scale", 10**400, "a number above 0 and at most 1000000"),
        ("seed", 2**63, "an integer from 0, below 2^63"),
        ("experiments.0.name", "one\n", "a name of letters, digits, - and _"),
        ("experiments.0.name", "a" * 101, "a name of letters, digits, - and _"),
        ("device", "cpu\n", "auto, cpu, mps, cuda or cuda:N"),
        ("archives.files.full.file", "a.tar\n", "a name of a file without folders"),
        ("archives.files.full.sha256", "0" * 64 + "\n", "64 hexadecimal digits in quotes"),
        ("archives.folder", "a\nb", "a path without line breaks and braces"),
        ("archives.folder", "a{b}", "a path without line breaks and braces"),
        ("folders.words", "a\nb", "a path without line breaks, or null"),
        ("images.rotation", [[["x"] * 99] * 2], "found [[[...], [...]]]; accepted is a number from 0 to 180"),
        ("figures.sort", None, "found null; accepted is none, first, last or each (once false was none"),
        (
            "figures.sort",
            True,
            "found true; accepted is none, first, last or each (once false was none and true was each)",
        ),
        ("training.crop", [1, 0.5], "a smaller number and a larger one"),
        ("training.learning_rate", 0, "a number above 0"),
        ("training.learning_rate", "3e-3", "at most 1000000; write 1.0e-3, not 1e-3"),
        ("replicates", "1e9", "an integer from 1 to 100; write digits alone."),
        ("seed", "1e-3", "an integer from 0, below 2^63; write digits alone."),
        ("seed", "7", "this is a text, the number is written 7"),
        ("jobs.units", "1e2", "write digits alone"),
        ("training.learning_rate", float("nan"), "a number above 0"),
        ("training.weight_decay", float("inf"), "a number from 0"),
        ("training.dropout", 1.0, "a number from 0 to below 1"),
        ("training.threads", None, "an integer from 1"),
        ("baseline.max_images", 0, "an integer from 1"),
        ("layers", {}, "aliases and their module paths"),
        ("layers.conv5", 1.2, "a module path in quotes"),
        ("marginalization.estimator", "psychic", "prior-weighted"),
        ("marginalization.tolerance", 1, "a number from 0 to below 1"),
        ("marginalization.storage", "none", "true-class or full"),
        ("jobs.units", 0, "an integer from 1, numbers by layer"),
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
        ("jobs.units", {"conv1": 0}, "jobs.units.conv1", "an integer from 1, numbers by layer"),
        ("experiments.0.tasks", ["basic", "a b"], "experiments.0.tasks.1", "a name of letters, digits, - and _"),
        ("archives.urls", ["http://a b"], "archives.urls.0", "an address that starts with http:// or https://"),
        ("experiments.1.tasks", ["basic", "word\n"], "experiments.1.tasks.1", "a name of letters, digits, - and _"),
        ("layers.a\n", "0.0.0", "layers", "names of letters, digits, . and -"),
        ("network.kernels", [3, 3, 4, 3, 3], "network.kernels.2", "an odd integer from 1 to 11"),
        ("training.checkpoints", [-1, 5], "training.checkpoints.0", "an integer from 0"),
        ("layers.-a", "0.0.0", "layers", "names of letters, digits, . and -, which do not start with -"),
        ("layers.a_b", "0.0.0", "layers", "names of letters, digits, . and -"),
    ],
)
def test_a_wrong_item_is_named_by_its_place(
    config: dict[str, Any], path: str, value: Any, place: str, accepted: str
) -> None:
    block, key = parent(config, path)
    block[key] = value
    assert re.search(f"config key '{re.escape(place)}': found .*; accepted is {re.escape(accepted)}", problem(config))


def test_raw_scores_have_differences_only(config: dict[str, Any]) -> None:
    config["method"] = "lesion"
    config["lesions"]["softmax"] = False
    assert "config key 'evidence.method': found we; accepted is probdiff for raw scores" in problem(config)
    config["evidence"]["method"] = "probdiff"
    check_config(config)


@pytest.mark.parametrize("name", ["paper", "paper-training"])
def test_the_configs_of_the_paper_are_accepted(config: dict[str, Any], name: str, tmp_path: Path) -> None:
    changes = yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())
    merged = {
        key: value | changes.get(key, {}) if isinstance(value, dict) else changes.get(key, value)
        for key, value in config.items()
    }
    if name == "paper-training":
        merged["folders"] |= {"train": str(tmp_path), "test": str(tmp_path)}
    check_config(merged)
    assert set(changes) <= set(config)


@pytest.mark.parametrize("path", ["experiments", "experiments.0.tasks", "experiments.1.name"])
def test_a_missing_key_without_a_default_is_named(config: dict[str, Any], path: str) -> None:
    block, key = parent(config, path)
    del block[key]
    assert f"config key '{path}' is missing; accepted is" in problem(config)


def test_names_of_layers_are_texts(config: dict[str, Any]) -> None:
    config["layers"] = {6: "1.2"}
    accepted = "names of letters, digits, . and -, which do not start with -, in quotes where YAML reads"
    found = f"config key 'layers': found 6; accepted is {accepted} something else than a text."
    assert problem(config).startswith(found)


def test_a_missing_key_with_a_default_has_it(config: dict[str, Any]) -> None:
    del config["seed"], config["figures"], config["training"]["threads"], config["archives"]["files"]["full"]["file"]
    assert check_config(config) == check_config(demo_config())


def test_a_missing_key_of_an_experiment_is_explained(config: dict[str, Any]) -> None:
    del config["experiments"][1]["name"]
    accepted = "a name of letters, digits, - and _, such as object_text"
    assert problem(config) == f"config key 'experiments.1.name' is missing; accepted is {accepted}."


def test_keys_that_are_no_texts_are_not_known(config: dict[str, Any]) -> None:
    others: dict[Any, Any] = {1: 2, None: 3, "a\nb": 4}
    config |= others
    lines = problem(config).splitlines()
    assert [line.partition(" is not known")[0] for line in lines] == [
        "config key ''a\\nb''",
        "config key '1'",
        "config key 'null'",
    ]


def test_of_many_problems_the_first_are_told(config: dict[str, Any]) -> None:
    config["training"]["checkpoints"] = [-1] * 900
    lines = problem(config).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "There are 880 problems more."


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema within a schema."""
    if isinstance(schema, dict):
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from parts(part)


def test_every_number_and_list_and_text_has_a_bound() -> None:
    bounds = {
        "integer": {"maximum", "enum"},
        "number": {"maximum", "exclusiveMaximum"},
        "array": {"maxItems", "uniqueItems"},
        "string": {"pattern", "maxLength", "enum"},
    }
    found = 0
    for part in parts(yaml.safe_load(SCHEMA.read_text())):
        kinds = part.get("type", [])
        for kind in [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []:
            if kind in bounds and "sorts the units" not in part.get("description", ""):
                assert bounds[kind] & set(part), part
                found += 1
    assert found > 60


def test_every_problem_has_a_line_of_its_own(config: dict[str, Any]) -> None:
    config["sede"] = config.pop("seed")
    config["images"]["flip"] = 2
    del config["experiments"][0]["name"], config["experiments"][1]["tasks"]
    config["training"]["threads"] = 0
    lines = problem(config).splitlines()
    assert len(lines) == 5
    for path in ("sede", "images.flip", "experiments.0.name", "experiments.1.tasks", "training.threads"):
        assert any(f"config key '{path}'" in line for line in lines), path


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
