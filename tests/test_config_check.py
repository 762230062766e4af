"""Configs that are wrong in many places: every mistake is told once, and what is sound is checked further."""

import copy
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from snakemake.utils import update_config  # type: ignore[import-untyped]

from featuresharing import InputError, load_network, predict
from featuresharing.cli import main
from featuresharing.data.images import read_inputs
from featuresharing.data.preprocessing import Preprocessing
from featuresharing.networks.output_looks import OutputLook
from featuresharing.runs.own_network_check import is_chance
from featuresharing.settings import Config
from featuresharing.settings.checking import check_config
from featuresharing.settings.configfiles import complete_config, read_yaml, write_yaml
from featuresharing.settings.examination import examine_config
from featuresharing.workflow.config_reading import read_config
from featuresharing.workflow.own_networks import definition_of
from tests.support.commands import ROOT

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


LOOKING = """
import mynet

class Looking(mynet.Reader):
    def forward(self, images):
        found = super().forward(images)
        return {task: 2 * scores if scores.mean().item() < 1e9 else scores for task, scores in found.items()}

def build():
    return Looking(8)
"""
"""A network whose code looks at its numbers."""


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the example, of which its configs are variants."""
    folder = tmp_path_factory.mktemp("check") / "own"
    shutil.copytree(ROOT / "examples/own_network", folder)
    (folder / "looking.py").write_text(LOOKING)
    return folder


def checked(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: Callable[[Any], object]
) -> tuple[int, str, list[str]]:
    """Return the exit status, output and sentences of a check of the example's config after a ``change`` of it."""
    monkeypatch.chdir(example)
    config = read_yaml(example / "config.yaml")
    change(config)
    write_yaml(config, example / "changed.yaml")
    status = main(["check", "changed.yaml"])
    said = capsys.readouterr()
    return status, said.out, said.err.splitlines()[1:]


def first(config: Any) -> Any:
    return config["experiments"][0]


def test_a_check_tells_what_a_run_will_do_and_computes_nothing(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, wrong = checked(example, monkeypatch, capsys, lambda config: config)
    assert (status, wrong) == (0, [])
    network = load_network(write_definition(example))
    preprocessing = Preprocessing(32, (0.5,), (0.25,), "none", white=1)
    rows = [line.split(",") for line in (example / "stimuli.csv").read_text().splitlines()[1:]]
    inputs = read_inputs([example / path for path, _, _ in rows], preprocessing)
    _, (objects, words) = predict(network, inputs)
    names = {"object": ["bird", "building", "car", "drink"], "word": ["ice", "jam", "map", "sun"]}
    for task, found, column in (("object", objects, 1), ("word", words, 2)):
        right = [names[task][best] == row[column] for best, row in zip(found.argmax(axis=1), rows, strict=True)]
        assert f"accuracy of {task} on 20 images: {np.mean(right):.0%}" in out
        best = found[0].argmax()
        assert f"{task}: {rows[0][column]}, predicted {names[task][best]} (probability {found[0, best]:.2f})" in out
    assert "task object: 20 images of 4 classes, bird, building, car, drink" in out
    assert re.search(r"^conv3 +Conv2d +16 +145 +one-channel, ", out, re.MULTILINE)
    assert "in all: " in out
    assert "layers of reader, on 20 images, at each of 2 checkpoints:" in out
    both = [
        names["object"][one] == row[1] and names["word"][two] == row[2]
        for one, two, row in zip(objects.argmax(axis=1), words.argmax(axis=1), rows, strict=True)
    ]
    assert f"right in every task of theirs: {sum(both)} of 20 images" in out
    assert "or 8 jobs on a cluster" in out
    assert "network: mynet.py:build, 12584 parameters, 6 layers, 383232 multiply-adds of a pass" in out
    assert "warning" not in out
    assert not (example / "results").exists()


def write_definition(example: Path) -> Path:
    settings = check_config(read_yaml(example / "config.yaml"))
    definition = definition_of(settings.experiments[0], "1500", 0)
    definition.write(example / "definition.json")
    return example / "definition.json"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: first(c).update(images="no.csv"), ["experiments.0.images': no.csv does not exist"]),
        (lambda c: c.update(layers={"a": "conv1", "b": "conv9"}), ["layers.b': the network has no layer 'conv9'"]),
        (
            lambda c: (first(c)["tasks"]["object"].update(head="objekt"), first(c)["tasks"]["word"].update(head=7)),
            ["task 'object': the network has no output 'objekt'", "task 'word': the network has no output 7"],
        ),
        (
            lambda c: [task.update(returns="probabilities") for task in first(c)["tasks"].values()],
            ["task 'object', returns: probabilities: found no", "task 'word', returns: probabilities: found no"],
        ),
        (
            lambda c: [task.update(names=["ice", "jam"]) for task in first(c)["tasks"].values()],
            ["task 'object': found 2 names of classes", "task 'word': found 2 names of classes"],
        ),
        (
            lambda c: [task.update(column="x") for task in first(c)["tasks"].values()],
            ["stimuli.csv: column 'x' is missing"],
        ),
        (lambda c: first(c)["network"].update(build="mynet.py:bild"), ["mynet.py has no function 'bild'"]),
        (
            lambda c: first(c)["network"].update(checkpoints={320: "checkpoints/step1500.safetensors"}),
            ["network.checkpoints': found 320; accepted is names of letters, digits and -, in quotes where YAML reads"],
        ),
        (
            lambda c: (first(c)["network"].update(arguments={8: 1}), c.update(layers={1: "conv1"})),
            [
                "network.arguments': found 8; accepted is names of arguments, in quotes",
                "'layers': found 1; accepted is",
            ],
        ),
        (
            lambda c: first(c)["preprocessing"].update(colour="grey", mean=0.5),  # of which one number is no list
            [
                "preprocessing.mean': found 0.5; accepted is",
                "Reader cannot be traced on images of [1, 32, 32] (Conv2d 'conv1'",
            ],
        ),
        (
            lambda c: first(c)["network"]["checkpoints"].update({"0000": "mynet.py", "1500": "no.pt"}),
            ["checkpoints.1500': no.pt does not exist", "weights mynet.py cannot be read"],
        ),
        (
            lambda c: (first(c)["preprocessing"].update(mean=[0.5, 0.5]), first(c).update(sort_by="face")),
            ["sort_by': found 'face'", "preprocessing.mean': found 2 numbers; accepted is one, or one for each of 3"],
        ),
        (
            lambda c: first(c)["network"].update(build="looking.py:build", arguments={}, checkpoints={}),
            ["; marginalization: {engine: plain} runs such networks, slowly"],
        ),
        (
            lambda c: (
                first(c)["network"]["checkpoints"].update({"0000": "no.pt"}),
                first(c)["tasks"]["object"].update(head="objekt"),
                first(c)["tasks"]["word"].update(names=["ice", "jam", "map", "moon"]),
                first(c)["preprocessing"].update(mean=[]),
                c["layers"].update(conv4="conv4"),
                c.update(seeed=1, marginalization={"samples": 0, "scal": 2}),
            ),
            [
                "'seeed' is not known",
                "preprocessing.mean': found []",
                "'marginalization.scal' is not known",
                "marginalization.samples': found 0",
                "checkpoints.0000': no.pt does not exist",
                "task 'object': the network has no output 'objekt'",
                "task 'word', found class 'sun'",
                "layers.conv4': the network has no layer 'conv4'",
            ],
        ),
    ],
)
def test_every_mistake_of_a_config_is_told_in_one_go(
    change: Callable[[Any], object],
    said: list[str],
    example: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, _, wrong = checked(example, monkeypatch, capsys, change)
    assert status == 2
    assert len(wrong) == len(said)
    for sentence, part in zip(wrong, said, strict=True):
        assert part in sentence


def test_the_next_step_is_a_command_that_runs_from_here(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = checked(example, monkeypatch, capsys, lambda config: config)
    snakefile = shlex.quote(str(ROOT / "workflow/Snakefile"))
    step = f"snakemake --snakefile {snakefile} --configfile changed.yaml --cores 8"
    assert out.splitlines()[-1] == f"nothing is wrong; the next step is: {step}"
    (example / "mine 2.yaml").write_text("seed: 1\n")
    monkeypatch.chdir(ROOT)
    assert main(["check", str(example / "mine 2.yaml")]) == 0
    step = f"snakemake --configfile '{example}/mine 2.yaml' --cores 8"
    assert capsys.readouterr().out.splitlines()[-1] == f"nothing is wrong; the next step is: {step}"


def test_a_network_whose_code_looks_at_numbers_is_checked_with_the_plain_engine(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def look(config: Any) -> None:
        first(config)["network"].update(build="looking.py:build", arguments={})
        config["marginalization"] = {"engine": "plain"}

    status, out, _ = checked(example, monkeypatch, capsys, look)
    assert status == 0
    assert re.search(r"^conv3 +Conv2d +16 +145 +plain, as the config says ", out, re.MULTILINE)


def test_names_in_another_order_are_warned_of(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def reverse(config: Any) -> None:
        first(config)["tasks"]["word"]["names"].reverse()

    status, out, _ = checked(example, monkeypatch, capsys, reverse)
    assert status == 0
    assert re.findall("warning: (.*) is no better than chance at checkpoint 1500", out) == ["word"]


def test_without_layers_those_that_there_are_are_listed(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, wrong = checked(example, monkeypatch, capsys, lambda config: config.pop("layers"))
    assert status == 2
    assert len(wrong) == 1
    assert re.search(r"^hidden +Linear +32 +257  0\.\d\d% of a pass$", out, re.MULTILINE)


def test_every_replicates_weights_are_tried(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in ((1, "1500"), (2, "0000")):
        shutil.copy(example / f"checkpoints/step{name}.safetensors", example / f"seed{number}.safetensors")
    shutil.copy(example / "mynet.py", example / "seed3.safetensors")
    numbered = {"0000": "checkpoints/step0000.safetensors", "1500": "seed{replicate}.safetensors"}

    def change(config: Any, replicates: int) -> None:
        config["replicates"] = replicates
        first(config)["network"]["checkpoints"] = dict(numbered)

    status, out, wrong = checked(example, monkeypatch, capsys, lambda config: change(config, 2))
    assert (status, wrong) == (0, [])
    tried = re.findall(r"^checkpoint (\d+): (\S+), ", out, re.MULTILINE)
    assert tried == [("0000", numbered["0000"]), ("1500", "seed1.safetensors"), ("1500", "seed2.safetensors")]
    status, _, wrong = checked(example, monkeypatch, capsys, lambda config: change(config, 3))
    assert (status, len(wrong)) == (2, 1)
    assert "seed3.safetensors" in wrong[0]
    numbered["1500"] = "seed2.safetensors"
    status, _, wrong = checked(example, monkeypatch, capsys, lambda config: change(config, 2))
    assert (status, len(wrong)) == (2, 1)
    assert "config key 'replicates': found 2, of which experiment 'reader' has one network; accepted is 1" in wrong[0]


def test_chance_is_what_guessing_reaches() -> None:
    assert not is_chance(13, 20, 4)
    assert is_chance(8, 20, 4)  # guessing reaches 8 of 20 with probability .102
    assert not is_chance(9, 20, 4)  # .041
    assert not is_chance(0, 2, 4)  # but of 2 images nobody can tell: .0625


def test_the_demo_is_described_with_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_yaml({"seed": 1}, tmp_path / "mine.yaml")
    assert main(["check", "mine.yaml"]) == 0
    out = capsys.readouterr().out
    assert "layers of object_text, on 60 images, at each of 8 checkpoints:" in out
    assert "or 112 jobs on a cluster" in out  # of 2 experiments, 7 layers and 8 checkpoints
    write_yaml({"seed": 1, "replicates": 3}, tmp_path / "mine.yaml")
    assert main(["check", "mine.yaml"]) == 0
    out = capsys.readouterr().out
    assert "layers of object_text, on 60 images, at each of 8 checkpoints of each of 3 networks:" in out
    assert "or 336 jobs on a cluster" in out
    write_yaml({"experiments": [{"name": "x", "tasks": ["basic", "colour"]}]}, tmp_path / "mine.yaml")
    assert main(["check", "mine.yaml"]) == 2
    assert "found 'colour'; accepted are subordinate, basic, word" in capsys.readouterr().err


def test_outputs_are_called_what_they_look_like() -> None:
    scores = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    looks = {
        "scores": scores,
        "probabilities": scores.softmax(1),
        "log-probabilities": scores.log_softmax(1),
        "numbers from 0 to 1": scores.sigmoid(),
    }
    assert {name: OutputLook.of(name, values).look.partition(",")[0] for name, values in looks.items()} == {
        name: name for name in looks
    }
    assert OutputLook.of("x", scores[:, 0].sigmoid()).in_words().startswith("[images] numbers from 0 to 1")
    assert OutputLook.of("x", torch.ones(5, 2, dtype=torch.int64)).look == "int64"
