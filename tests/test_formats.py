"""Formats of networks: tests that every format inherits, and one that is installed from outside of the package."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from featuresharing import InputError, load_network, predict, read_conditionals
from featuresharing.cli import main
from featuresharing.engine.describing import describe_file
from featuresharing.files.atomic import file_digest, replacing
from featuresharing.networks.alexnet.architecture import build_alexnet
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.networks.checkpoints import Checkpoint, save_checkpoint
from featuresharing.networks.definitions import NetworkDefinition
from featuresharing.networks.formats import Format, digest_of_file, formats
from featuresharing.networks.layers import find_layer, unit_count, unit_size
from featuresharing.networks.opening import open_network
from featuresharing.runs.defining_networks import define_to_file
from featuresharing.runs.subjects import subject_of_arrays
from featuresharing.settings import PreprocessingSettings
from tests.support.caffe_files import write_definition_sample, write_weights_sample
from tests.support.exported_files import write_exported
from tests.support.onnx_files import every_kind
from tests.support.onnx_files import write as write_model
from tests.support.plugins import examples, forget_format, install_format, write_toy_images, write_toy_network

ROOT = Path(__file__).parents[1]
FIXTURES = Path(__file__).parent / "fixtures/torch7"


def write_checkpoint(path: Path) -> Path:
    torch.manual_seed(0)
    shape = AlexNetShape(16, 1, (4, 5, 4, 5, 4), (5, 3, 3, 1, 3), (8, 6), (3, 2))
    save_checkpoint(path, Checkpoint(build_alexnet(shape).eval(), shape, ("word", "basic"), 7), recorded=False)
    return path


OWN = """
from torch import nn

def build(width):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))
"""


def write_definition(path: Path) -> Path:
    (path.parent / "own.py").write_text(OWN)
    looks = {"size": 12, "mean": [0.5], "std": [0.5], "resize": "stretch"}
    made = {
        "build": f"{path.parent}/own.py:build",
        "arguments": {"width": 4},
        "tasks": ["shape"],
        "heads": {"shape": {}},
    }
    define_to_file(NetworkDefinition.from_values(made), path, preprocessing=PreprocessingSettings.unchecked(looks))
    return path


def copied(fixture: str) -> Callable[[Path], Path]:
    def copy(path: Path) -> Path:
        path.write_bytes((FIXTURES / fixture).read_bytes())
        return path

    return copy


def write_onnx(path: Path) -> Path:
    return write_model(path, every_kind())


SAMPLES: dict[str, tuple[Callable[[Path], Path], int | None]] = {
    "caffe_model": (write_weights_sample, None),
    "caffe_model, definition": (write_definition_sample, None),
    "exported_program": (write_exported, None),
    "onnx_model": (write_onnx, None),
    "own_checkpoint": (write_checkpoint, None),
    "torch7_model": (copied("alexnet67_double.t7"), 67),
    "torch7_model, ascii": (copied("alexnet67_ascii.t7"), 67),
    "toy_format": (write_toy_network, None),
    "network_definition": (write_definition, None),
}
"""For each format, a sample of its files: what writes one, and the image size where the file does not say it."""


def name_of(each: Format) -> str:
    return str(each.__name__).rpartition(".")[2]  # type: ignore[attr-defined]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on Python's path with a distribution that names a format."""
    (tmp_path / "installed").mkdir()
    folder = install_format(tmp_path / "installed")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    importlib.invalidate_caches()
    yield folder
    forget_format()


@pytest.fixture
def files(toy: Path, tmp_path: Path) -> dict[str, Path]:
    return {name: write(tmp_path / f"sample{number}") for number, (name, (write, _)) in enumerate(SAMPLES.items())}


def test_every_format_has_a_sample(toy: Path) -> None:
    assert {name_of(each) for each in formats()} == {name.partition(",")[0] for name in SAMPLES}


def test_formats_know_their_own_files_and_no_others_without_torch(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no network\n" * 99)
    torch.save({"state": torch.ones(3)}, tmp_path / "state.pt")
    others = [tmp_path / name for name in ("empty", "text", "state.pt")]
    script = (
        "import json, sys; from pathlib import Path; from featuresharing.networks.formats import formats\n"
        "found = [[each.__name__ for each in formats() if each.sniff(Path(path))] for path in sys.argv[1:]]\n"
        "print(json.dumps([found, 'torch' in sys.modules]))"
    )
    command = [sys.executable, "-c", script, *map(str, [*files.values(), *others])]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    found, torch_there = json.loads(result.stdout)
    assert [[name.rpartition(".")[2] for name in names] for names in found] == [
        *([name.partition(",")[0]] for name in files),
        *([] for _ in others),
    ]
    assert not torch_there


@pytest.mark.parametrize("name", SAMPLES)
class TestEveryFormat:
    def test_opening_twice_gives_the_same_numbers(self, name: str, files: dict[str, Path]) -> None:
        first, second = (open_network(files[name], image_size=SAMPLES[name][1]) for _ in range(2))
        images = np.random.default_rng(0).normal(size=(3, *first.preprocessing.shape)).astype(np.float32)
        (tasks, scores), (_, again) = (predict(stored.network, images) for stored in (first, second))
        assert not any(module.training for module in first.network.modules())
        assert tuple(each.shape[1] for each in scores) == first.classes
        assert len(tasks) == len(first.classes) == len(first.tasks or first.classes)
        assert all(np.array_equal(*pair) for pair in zip(scores, again, strict=True))
        loaded = predict(load_network(files[name]), images)[1]
        assert all(np.array_equal(*pair) for pair in zip(scores, loaded, strict=True))

    def test_descriptions_agree_with_the_network(self, name: str, files: dict[str, Path]) -> None:
        stored = open_network(files[name], image_size=SAMPLES[name][1])
        found = describe_file(files[name], image_size=SAMPLES[name][1])
        assert tuple(found.heads.values()) == stored.classes
        assert stored.tasks is None or tuple(found.heads) == stored.tasks
        assert (found.input_shape, found.preprocessing) == (stored.preprocessing.shape, stored.preprocessing)
        held = [*stored.network.parameters(), *stored.network.buffers()]
        assert found.parameters == sum(value.numel() for value in held)
        assert found.layers
        for layer in found.layers:
            module = find_layer(stored.network, layer.path)[1]
            assert (layer.kind, layer.units, layer.size) == (
                type(stored.network.get_submodule(layer.path)).__name__,
                unit_count(module),
                unit_size(module),
            )
            assert layer.refused is None
            assert 0 < layer.variant < found.forward

    def test_damaged_files_are_refused_in_one_sentence(self, name: str, files: dict[str, Path]) -> None:
        whole = files[name].read_bytes()
        for part in (whole[:0], whole[:3], whole[:20], whole[: len(whole) // 2], whole[:-30]):
            files[name].write_bytes(part)
            for read in (load_network, open_network):
                with pytest.raises(InputError) as error:
                    read(files[name])
                assert str(files[name]) in str(error.value)
                assert "; accepted " in str(error.value)
                assert str(error.value).isprintable()


def test_a_file_that_no_format_knows_is_refused_with_all_of_them(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no network")
    accepted = "accepted are networks of Caffe .*, and .*, and models of Torch7, .*, and toy networks in JSON"
    with pytest.raises(InputError, match=rf"checkpoint .*/x cannot be read: its format is not known; {accepted}\."):
        load_network(tmp_path / "x")
    with pytest.raises(InputError, match="checkpoint nowhere does not exist"):
        load_network("nowhere")


def test_numbers_that_are_not_finite_are_refused_in_any_format(toy: Path, tmp_path: Path) -> None:
    path = write_toy_network(tmp_path / "x.toy", change=float("nan"))
    with pytest.raises(InputError, match=r"x\.toy: the weight of unit 1 of layer heads\.shape holds nan; accepted"):
        load_network(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_module", "cannot be loaded (ModuleNotFoundError: No module named 'no_such_module'); accepted"),
        ("NAME = 'x'\nsniff = bool", "has no read; accepted are modules with NAME, sniff, read."),
    ],
)
def test_an_installed_format_that_is_none_is_named(toy: Path, tmp_path: Path, text: str, said: str) -> None:
    (toy / "toy_format.py").write_text(f"{text}\n")
    assert load_network(write_checkpoint(tmp_path / "x.pt")) is not None
    with pytest.raises(InputError) as error:
        load_network(write_toy_network(tmp_path / "x.toy"))
    assert f"format 'toy' (toy_format) {said}" in str(error.value)


def test_results_are_of_all_files_of_a_network(toy: Path, tmp_path: Path) -> None:
    path, other = write_toy_network(tmp_path / "x.toy"), tmp_path / "x.more"
    images, targets = np.ones((2, 3, 8, 8), np.float32), {"shape": [0, 1], "colour": [0, 1]}
    assert digest_of_file(path) == file_digest(path)
    files = "\n\ndef files(path):\n    return path, path.with_suffix('.more')\n"
    (toy / "toy_format.py").write_text((toy / "toy_format.py").read_text() + files)
    forget_format()
    digests = []
    for content in ("one", "another"):
        other.write_text(content)
        assert digest_of_file(path) == file_digest(other, path)  # in the order of their names
        digests.append(subject_of_arrays(path, images, targets).network_sha256)
    assert digests[0] != digests[1]
    with replacing(other) as temporary:
        temporary.write_text("recorded")
    other.write_text("changed")
    with pytest.raises(InputError, match=r"x\.more"):
        load_network(path)


def test_an_installed_format_runs_in_commands(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = write_toy_network(tmp_path / "x.toy")
    folder = write_toy_images(tmp_path / "images", network)
    given = ["--checkpoint", network, "--list", folder / "test.txt", "--classes", folder / "classes.csv"]
    layer = ["--experiment", "toys", "--layer", "filters", "--samples", "20"]
    for command in (["predict", *given], ["marginalize", *given, *layer]):
        assert main([*map(str, command), "--output", str(tmp_path / f"{command[0]}.h5")]) == 0
    assert main(["inspect", str(network)]) == 0
    said = capsys.readouterr().out
    assert "takes: RGB images of 8 x 8 pixels\ntasks: shape (3 classes), colour (2 classes)\nparameters: 160\n" in said
    assert re.search(r"^filters +Conv2d +5 +27  20\.\d\d% of a pass$", said, re.MULTILINE)
    found = read_conditionals(tmp_path / "marginalize.h5")
    assert (found.units.tolist(), list(found.conditionals)) == ([0, 1, 2, 3, 4], ["shape", "colour"])


def test_an_installed_format_is_verified(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_toy_network(tmp_path / "results/networks/toys/final.toy")
    assert main(["verify", str(tmp_path / "results")]) == 0
    path.write_bytes(path.read_bytes()[:-9])
    assert main(["verify", str(tmp_path / "results")]) == 2
    assert re.search(r"final\.toy cannot be read \(.*\); accepted are toy networks in JSON\.", capsys.readouterr().out)


@pytest.mark.end_to_end
def test_an_installed_format_and_a_source_outside_of_the_clone_run_in_the_workflow(toy: Path, tmp_path: Path) -> None:
    """Those of docs/plugins.md; once its network is described, parsing the workflow takes no torch."""
    run = tmp_path / "run"
    write_toy_images(run, write_toy_network(tmp_path / "run/networks/toys/final.toy"))
    source, config = examples("A source of images, lists and networks")
    (run / "mine.smk").write_text(source)
    (run / "mine.yaml").write_text(f"{config}marginalization: {{samples: 20}}\n")
    (run / "config").mkdir()
    (run / "config/config.yaml").write_bytes((ROOT / "config/config.yaml").read_bytes())
    target = "results/marginal/toys/filters_final.h5"
    command = [str(Path(sys.executable).parent / "snakemake"), target, "--snakefile", str(ROOT / "workflow/Snakefile")]
    command += ["--directory", str(run), "--cores", "2", "--configfile", str(run / "mine.yaml")]

    def snakemake(*arguments: str) -> str:
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, cwd=run)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    planned = snakemake("--dry-run", "--config", "jobs={units: 3}")
    assert "Marginalizing units 3-4 of filters in toys, checkpoint final." in planned  # before anything ran
    snakemake()
    found = read_conditionals(run / target)
    assert (found.units.tolist(), list(found.conditionals)) == ([0, 1, 2, 3, 4], ["shape", "colour"])
    assert (found.attributes["experiment"], found.attributes["checkpoint"]) == ("toys", "final")
    (toy / "torch.py").write_text("raise ImportError('it is not needed')\n")
    assert "Nothing to be done" in snakemake("--dry-run")
