"""Sources of images and networks: what each accepts of the config, and which files are sources."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from featuresharing import InputError
from featuresharing.settings import Block, Config
from featuresharing.settings.block import Problem
from featuresharing.settings.checking import check_block, check_config
from featuresharing.settings.configfiles import complete_config
from featuresharing.settings.fields import needed, setting
from featuresharing.workflow.sources import (
    ARCHIVE_KEYS,
    NAMES,
    STIMULUS_TASKS,
    alexnet_of,
    archive_problems,
    check_source,
    experiment_problems,
    find_source,
    folder_problems,
)
from tests.support.configs import demo_config

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "workflow/rules/sources"
DEFINED: dict[str, Any] = dict.fromkeys(NAMES) | {"NETWORK": "x/{experiment}/{checkpoint}.pt"}


@pytest.fixture
def config() -> dict[str, Any]:
    return demo_config()


def sentences(problems: Iterator[Problem]) -> list[str]:
    return [f"config key '{key}'{text}." for key, text in problems]


def settings(config: dict[str, Any]) -> Config:
    return check_config(config)


def test_a_source_is_a_file_of_the_folder_or_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = sorted(path.stem for path in SOURCES.glob("*.smk"))
    assert {"archives", "drawings", "folders"} <= {*names}
    for name in names:
        assert find_source(name, SOURCES) == SOURCES / f"{name}.smk"
    (tmp_path / "own.smk").touch()
    assert find_source("own.smk", SOURCES) == tmp_path / "own.smk"
    accepted = rf"accepted are {', '.join(names)}, or the path of a file that ends in \.smk"
    for name, found in (
        ("web", "'web'; "),
        ("x/y.smk", "'x/y.smk', which is not there; "),
        ("../config", "'../config'; "),
    ):
        with pytest.raises(InputError, match=f"config key 'source': found {found}{accepted}"):
            find_source(name, SOURCES)
    (tmp_path / "images.smk").touch()
    with pytest.raises(InputError, match=r"'images\.smk', called as the key 'images'; accepted is another name"):
        find_source("images.smk", SOURCES)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_source_does_not_define_is_named(name: str) -> None:
    with pytest.raises(InputError, match=rf"source own\.smk does not define {name}; accepted is .+\."):
        check_source(Path("own.smk"), {each: DEFINED[each] for each in NAMES if each != name})
    check_source(Path("own.smk"), DEFINED)
    found = r"source own\.smk: found NETWORK x/\{experiment\}_\{checkpoint\}\.pt; accepted is a path such as"
    with pytest.raises(InputError, match=found):
        check_source(Path("own.smk"), DEFINED | {"NETWORK": "x/{experiment}_{checkpoint}.pt"})


@dataclass(frozen=True)
class Own(Block):
    """Keys of a source."""

    folder: str = needed("where images are", pattern="[a-z]+", accepted="a folder of small letters")
    size: int = setting(8, "height and width of images", least=4, most=64)


def test_the_block_of_a_users_source_is_checked_by_its_source(config: dict[str, Any]) -> None:
    config |= {"source": "some/where/own.smk", "own": {"folder": "x"}}
    assert check_config(config).source == "some/where/own.smk"
    assert check_block(Own, "own", config["own"]) == Own("x", 8)
    given = {"own": {"folder": "x", "size": "16"}}  # as Snakemake reads --config own='{folder: x, size: 16}'
    assert check_block(Own, "own", complete_config(given, {}, given)["own"]) == Own("x", 16)
    for values, said in (
        ({"folder": "x", "sise": 4}, "config key 'own.sise' is not known; the nearest is 'own.size'."),
        ({"size": 4}, "config key 'own.folder' is missing; accepted is a folder of small letters."),
        ({"folder": "x", "size": 2}, "config key 'own.size': found 2; accepted is an integer from 4 to 64."),
        ([], r"config key 'own': found []; accepted is a block of keys"),
    ):
        with pytest.raises(InputError) as error:
            check_block(Own, "own", values)
        assert str(error.value).startswith(said.rstrip("."))
    with pytest.raises(InputError, match="config key 'own' is not known"):
        check_config(config | {"source": "some/where/other.smk"})


def test_a_network_too_coarse_for_its_images_is_refused(config: dict[str, Any]) -> None:
    config["network"]["stride"] = 8
    found = r"config key 'network': its sizes do not fit images of images\.image_size .*found 48 pixels; accepted"
    with pytest.raises(InputError, match=found):
        alexnet_of(settings(config), "object_text")


def test_tasks_are_those_of_the_source(config: dict[str, Any]) -> None:
    config["experiments"][0]["tasks"] = ["basic", "colour"]
    found = sentences(experiment_problems(settings(config), tasks=STIMULUS_TASKS))
    assert found == ["config key 'experiments.0.tasks': found 'colour'; accepted are subordinate, basic, word."]
    assert not list(experiment_problems(settings(config)))


def test_experiments_on_archives_say_what_they_take(config: dict[str, Any]) -> None:
    config["experiments"][0]["model"] = "x.t7"
    (found,) = sentences(experiment_problems(settings(config), tasks=STIMULUS_TASKS))
    accepted = "accepted with source: drawings are name, tasks, sort_by"
    assert found == f"config key 'experiments.0.model' is there; {accepted}."
    lines = sentences(experiment_problems(settings(config | {"source": "archives"}), keys=ARCHIVE_KEYS))
    accepted = "a path inside the archive of models, such as meta.objectsvstext.t7"
    assert f"config key 'experiments.0.class_map' is missing; accepted with source: archives is {accepted}." in lines
    assert len(lines) == 5


def test_an_archive_that_is_there_is_the_one_of_the_config(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = yaml.safe_load((ROOT / "config/paper.yaml").read_text())
    config |= {"source": "archives", "experiments": paper["experiments"]}
    files = config["archives"]["files"]
    files["models"] |= {"size": 4, "sha256": "A" * 64}
    monkeypatch.chdir(tmp_path)
    assert not list(archive_problems(settings(config)))
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives/models.tar.bz2").write_text("abcd")
    (tmp_path / "archives/models.tar.bz2.sha256").write_text(f"{'a' * 64}  models.tar.bz2\n")
    assert not list(archive_problems(settings(config)))
    files["models"] |= {"size": 5, "sha256": "b" * 64}
    size, digest = sentences(archive_problems(settings(config)))
    there = "that of archives/models.tar.bz2, which is"
    assert size.startswith(f"config key 'archives.files.models.size': found 5; accepted is {there} 4, or null, or a")
    assert digest.startswith(f"config key 'archives.files.models.sha256': found {'b' * 64}; accepted is {there} aaa")


def test_folders_have_to_be_there(config: dict[str, Any], tmp_path: Path) -> None:
    config["source"] = "folders"
    config["folders"] |= {"train": str(tmp_path), "test": str(tmp_path / "x"), "words": str(tmp_path / "w")}
    lines = sentences(folder_problems(settings(config)))
    assert [line.split("'")[1] for line in lines] == ["folders.test", "folders.words", "folders.hierarchy"]
