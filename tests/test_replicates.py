"""Replicates: seeds and names of several networks an experiment, and what configs, paths and networks make of them."""

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from featuresharing import InputError, layer_arrays, merge_conditionals, read_conditionals
from featuresharing.data.columns import tables_of
from featuresharing.data.lists import write_classes, write_image_list
from featuresharing.files.atomic import file_digest
from featuresharing.replicates import MOST_REPLICATES, check_replicate, network_label, seed_of_replicate
from featuresharing.runs.contents import problems_of_hdf5, problems_of_list
from featuresharing.runs.kinds import kind_of
from featuresharing.settings import Config
from featuresharing.settings.checking import check_config
from featuresharing.settings.configfiles import complete_config
from featuresharing.workflow.own_networks import definition_of, own_problems
from featuresharing.workflow.sources import NAMES, archives_problems, check_source
from featuresharing.workflow.targets import describe_target
from tests.support import stores
from tests.support.commands import run


def test_seeds_of_replicates_are_drawn_from_that_of_the_first() -> None:
    """Against numpy alone: a Philox generator of the seed and of the words of ("replicate", number)."""

    def word(text: str) -> int:
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")

    for seed in (0, 7, 2**31):
        for number in (2, 5, MOST_REPLICATES):
            key = np.random.SeedSequence(seed, spawn_key=(word("str:replicate"), word(f"int:{number}")))
            wanted = np.random.Generator(np.random.Philox(key)).integers(2**31)
            assert seed_of_replicate(seed, number) == wanted
        assert seed_of_replicate(seed, 1) == seed
    seeds = [seed_of_replicate(0, number) for number in range(1, MOST_REPLICATES + 1)]
    assert seeds[:5] == [0, 157752100, 1086712333, 2091323614, 221088719]
    assert len(set(seeds)) == MOST_REPLICATES


@pytest.mark.parametrize("wrong", [0, -1, 101, 1.0, True, "2", None])
def test_what_is_no_replicate_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"replicate: found .*; accepted is a whole number from 1 to 100\."):
        check_replicate(wrong)
    with pytest.raises(InputError, match="replicate: found"):
        seed_of_replicate(0, wrong)


def test_the_first_replicate_is_called_as_the_only_one() -> None:
    assert [network_label("object_text", number) for number in (1, 2, 10)] == [
        *("object_text", "object_text/2", "object_text/10")
    ]


def own_config(**network: Any) -> Config:
    experiment = {"name": "reader", "tasks": ["object"], "images": "stimuli.csv", "preprocessing": {"size": 8}}
    config = {"source": "network", "layers": {"fc": "fc"}, "experiments": [experiment | {"network": network}]}
    return check_config(complete_config(config | {"replicates": 3}, Config.defaults()))


def said(config: Config) -> list[str]:
    return [f"{key}{text}" for key, text in own_problems(config)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text("def build(fold=0, names=()): ...\n")
    Path("stimuli.csv").touch()
    for number in (1, 2, 3):
        Path(f"seed{number}").mkdir()
        Path(f"seed{number}/last.pt").touch()
    return tmp_path


def test_each_replicate_of_an_own_network_has_files_and_arguments_of_its_own(folder: Path) -> None:
    arguments = {"fold": "{replicate}", "names": ["fold {replicate} of 3", {"part": "{replicate}"}], "width": 8}
    config = own_config(build="net.py:build", checkpoints={"7": "seed{replicate}/last.pt"}, arguments=arguments)
    assert said(config) == []
    for number in (1, 2, 3):
        found = definition_of(config.experiments[0], "7", 5, number)
        assert found.weights == Path(f"seed{number}/last.pt")
        assert found.arguments == {"fold": number, "names": [f"fold {number} of 3", {"part": number}], "width": 8}
        assert found.seed == seed_of_replicate(5, number)
        assert found.step == 7
    assert definition_of(config.experiments[0], "7", 5) == definition_of(config.experiments[0], "7", 5, 1)


def test_replicates_of_own_networks_that_are_all_one_or_not_there_are_refused(folder: Path) -> None:
    found = "replicates: found 3, of which experiment 'reader' has one network; accepted is 1, or {replicate} in the "
    for network in ({"checkpoints": {"7": "seed1/last.pt"}}, {"build": "net.py:build", "arguments": {"width": 8}}):
        assert said(own_config(**network)) == [f"{found}paths of network.checkpoints or in network.arguments"]
    assert said(own_config(build="net.py:build", arguments={"fold": "{replicate}"})) == []
    Path("seed2/last.pt").unlink()
    assert said(own_config(checkpoints={"7": "seed{replicate}/last.pt"})) == [
        "experiments.0.network.checkpoints.7: seed2/last.pt does not exist; accepted is a file"
    ]
    Path("seed2/last.pt").touch()
    assert any("braces" in each for each in said(own_config(checkpoints={"7": "seed{replicate}/{last}.pt"})))


def test_sources_with_one_network_an_experiment_refuse_more(tmp_path: Path) -> None:
    config = check_config({"source": "archives", "replicates": 3, "experiments": [{"name": "x", "tasks": ["a"]}]})
    assert ("replicates", ": found 3; accepted with source: archives is 1") in [*archives_problems(config)]
    defined = dict.fromkeys(NAMES) | {"NETWORK": "x/{experiment}/{checkpoint}.pt"}
    check_source(tmp_path / "own.smk", defined)
    check_source(tmp_path / "own.smk", defined | {"NETWORK": "x/{experiment}{nth}/{checkpoint}.pt"}, replicates=2)
    with pytest.raises(InputError, match=r"'replicates': found 2; accepted is 1 for source .*own\.smk, whose NETWORK"):
        check_source(tmp_path / "own.smk", defined, replicates=2)


@pytest.mark.parametrize("value", [0, 101, "many", 2.5])
def test_other_numbers_of_replicates_are_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"config key 'replicates': found .*; accepted is an integer from 1 to 100"):
        check_config({"replicates": value, "experiments": [{"name": "x", "tasks": ["a"]}]})


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("results/marginal/one/3/fc_9.h5", None),
        ("results/networks/one/2/9.pt", None),
        ("results/figures/one/2/fc.gif", None),
        ("results/marginal/one/fc_9/0-3.h5", None),
        ("results/marginal/one/4/fc_9.h5", "there is no replicate with a number '4'; accepted are 2, 3."),
        ("results/marginal/one/1/fc_9.h5", "there is no replicate with a number '1'; accepted are 2, 3."),
        ("results/marginal/two/2/fc_9.h5", "there is no experiment 'two'; accepted are one."),
        ("results/lesion_curves/one/2/fd_9.csv", "there is no layer 'fd'; accepted are fc."),
        ("results/networks/one/2/8.pt", "there is no checkpoint '8'; accepted are 9."),
    ],
)
def test_targets_of_replicates_are_known(target: str, sentence: str | None) -> None:
    found = describe_target(target, ["one"], ["fc"], ["9"], replicates=3)
    assert found == (sentence and f"{target}: {sentence}")


def of_replicate(folder: Path, number: Any) -> Path:
    """Compute the small layer of tests as one of a replicate."""
    stores.compute(folder / f"{number}.h5", attributes=stores.ATTRIBUTES | {"replicate": number})
    return folder / f"{number}.h5"


def test_files_say_which_replicate_they_are_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = [read_conditionals(of_replicate(tmp_path, number)) for number in (2, 3)]
    stores.compute(tmp_path / "first.h5")
    layers.append(read_conditionals(tmp_path / "first.h5"))
    assert [layer.replicate for layer in layers] == [2, 3, 1]
    assert len({layer.attributes["fingerprint"] for layer in layers}) == 1
    assert list(layer_arrays(layers[:1], "contributions")) == ["conv5_word", "conv5_basic", "conv5_units"]
    names = list(layer_arrays(layers, "contributions"))
    assert names[::3] == ["object_text_2_7_conv5_word", "object_text_3_7_conv5_word", "object_text_1_7_conv5_word"]
    assert run("inspect", tmp_path / "2.h5") == 0
    assert "of 9 of object_text/2, checkpoint 7" in capsys.readouterr().out


def test_blocks_of_a_replicate_are_put_together_to_its_layer(tmp_path: Path) -> None:
    blocks = [tmp_path / "0-3.h5", tmp_path / "4-8.h5"]
    for path, units in zip(blocks, (range(4), range(4, 9)), strict=True):
        stores.compute(path, units=units, attributes=stores.ATTRIBUTES | {"replicate": 4})
    merge_conditionals(blocks, tmp_path / "whole.h5")
    assert read_conditionals(tmp_path / "whole.h5").place == ("object_text", 4, "7", "conv5")


@pytest.mark.parametrize("wrong", [0, 101, "two"])
def test_files_of_no_replicate_are_refused(tmp_path: Path, wrong: Any) -> None:
    path = of_replicate(tmp_path, wrong)
    with pytest.raises(InputError, match=f"attribute 'replicate' is .*{wrong}"):
        read_conditionals(path)


def test_files_of_replicates_are_of_known_kinds_and_checked(tmp_path: Path) -> None:
    for name, path in (
        ("networks", "networks/a/2/5.pt"),
        ("tables", "networks/a/2/training.csv"),
        ("image lists", "baseline/a/12/kept.txt"),
        ("probes", "probes/a/2/last.npz"),
        ("networks of other formats", "networks/a/2/last.json"),
        ("files of no known kind", "networks/a/b/last.json"),
    ):
        assert kind_of(tmp_path / path, tmp_path).name == name, path
    for name, path in (
        ("lesions", "lesion_curves/a/2/fc_5.csv"),
        ("training", "networks/a/2/training.csv"),
        ("kept", "baseline/a/2/kept.csv"),
    ):
        assert [table.name for table in tables_of(PurePosixPath("results", path))] == [name]
    image = tmp_path / "images/0.png"
    image.parent.mkdir()
    image.touch()
    write_classes(tmp_path / "lists/a/classes.csv", {"word": ["map", "sun"]})
    kept = tmp_path / "baseline/a/2/kept.txt"
    write_image_list(kept, [image], np.array([[1]]))
    assert list(problems_of_list(kept, tmp_path)) == []
    kept.with_name(".kept.txt.sha256").unlink()
    kept.write_text(kept.read_text().replace(" 1", " 2"))
    assert ["class index 2" in each for each in problems_of_list(kept, tmp_path)] == [True]


def test_conditionals_are_compared_with_the_network_of_their_replicate(tmp_path: Path) -> None:
    for number, content in ((1, b"first"), (2, b"second")):
        path = tmp_path / "networks" / network_label("object_text", number) / "7.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    attributes = stores.ATTRIBUTES | {"network_sha256": file_digest(tmp_path / "networks/object_text/2/7.pt")}
    for number in (1, 2):
        changed = {"replicate": 2} if number == 2 else {}
        stores.compute(tmp_path / f"{number}.h5", units=range(9), attributes=attributes | changed)
    assert list(problems_of_hdf5(tmp_path / "2.h5", tmp_path)) == []
    (problem,) = problems_of_hdf5(tmp_path / "1.h5", tmp_path)
    assert problem.endswith(f"was computed from another network than {tmp_path}/networks/object_text/7.pt is now.")
