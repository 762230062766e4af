"""The model of the config: every key once, and what is made of it."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from featuresharing import InputError, cli
from featuresharing.cli.options import CommandParser
from featuresharing.cli.setting_options import add_settings, read_settings
from featuresharing.files.records import recorded_entry
from featuresharing.settings import (
    ArchiveFiles,
    Config,
    FigureSettings,
    ImageSettings,
    JobSettings,
    MarginalizationSettings,
    NetworkSettings,
    SharingSettings,
    TrainingSettings,
    check,
    checking,
    documentation,
    schema,
)
from featuresharing.settings.__main__ import main
from featuresharing.settings.block import _problems, plain
from featuresharing.settings.configfiles import read_yaml, write_yaml
from featuresharing.settings.fields import keys_of, setting
from tests.support.configs import ROOT, demo_config

EXPERIMENT = {"name": "object_text", "tasks": ["basic", "word"], "sort_by": "word"}


def blocks(block: type = Config) -> list[type]:
    """Return a class of blocks and those within it."""
    inner = [key.kind for key in keys_of(block).values() if key.is_block]
    return [block, *(each for kind in inner for each in blocks(kind))]


def test_every_key_has_help_in_one_line() -> None:
    keys = [key for block in blocks() for key in keys_of(block).values()]
    assert len(keys) > 100
    for key in keys:
        assert 5 < len(key.limits.help) < 110, key.name
        assert "\n" not in key.limits.help
        assert not key.limits.help.endswith(".")


def test_a_default_is_an_attribute_of_the_class() -> None:
    assert MarginalizationSettings.samples == 100
    assert TrainingSettings.checkpoints == (0, 50, 200, 500, 800, 1200, 2000, 3400)
    assert Config.network.hidden == (256, 256)


def test_every_default_is_accepted() -> None:
    for block in blocks():
        if not any(key.required for key in keys_of(block).values()):
            block()


def test_a_config_becomes_settings_and_a_config_again() -> None:
    given = {"experiments": [EXPERIMENT], "training": {"checkpoints": [0, 5], "crop": [0.5, 1]}, "layers": {"a": "0.0"}}
    config = Config.unchecked(given)
    assert config.training == TrainingSettings(checkpoints=(0, 5), crop=(0.5, 1))
    assert config.experiments[0].tasks == ("basic", "word")
    assert config.seed == 0
    resolved = config.as_config()
    assert list(resolved) == [field.name for field in fields(Config)]
    assert resolved["experiments"] == [EXPERIMENT]
    assert resolved["layers"] == {"a": "0.0"}
    assert resolved["training"]["checkpoints"] == [0, 5]
    assert resolved["training"]["batch_size"] == 64
    assert Config.unchecked(resolved) == config


@pytest.mark.parametrize(
    ("block", "name", "value"),
    [
        (MarginalizationSettings, "samples", np.int64(5)),
        (MarginalizationSettings, "scale", np.float32(0.5)),
        (MarginalizationSettings, "seed", None),
        (ImageSettings, "scale", [0.5, 0.5]),
        (NetworkSettings, "padding", None),
        (JobSettings, "units", {"conv1": 5}),
    ],
)
def test_what_a_key_accepts(block: type, name: str, value: Any) -> None:
    check(block, name, value)


@pytest.mark.parametrize(
    ("block", "name", "value", "sentence"),
    [
        (MarginalizationSettings, "samples", 0, "samples: found 0; accepted is an integer from 1 to 100000."),
        (MarginalizationSettings, "samples", True, "samples: found true; accepted is an integer from 1 to 100000."),
        (MarginalizationSettings, "samples", 2.0, "samples: found 2.0; accepted is an integer from 1 to 100000."),
        (MarginalizationSettings, "tolerance", 1, "tolerance: found 1; accepted is a number from 0 to below 1."),
        (MarginalizationSettings, "scale", np.nan, "scale: found nan; accepted is a number above 0 and at most"),
        (MarginalizationSettings, "dtype", "half", "dtype: found 'half'; accepted is float32 or float64."),
        (ImageSettings, "scale", (1, 0.5), "scale: found [1, 0.5]; accepted are a smaller number and a larger one."),
        (NetworkSettings, "hidden", (3,), "hidden: found [3]; accepted is two integers from 1 to 65536."),
        (NetworkSettings, "kernels", (1, 2, 1, 1, 1), "kernels.1: found 2; accepted is an odd integer from 1 to 11."),
        (JobSettings, "units", {"conv1": 0}, "units: found {'conv1': 0}; accepted is an integer from 1, numbers by"),
        (FigureSettings, "milliseconds", 25, "milliseconds: found 25; accepted is a multiple of 10, from 20 to 60000."),
    ],
)
def test_what_a_key_does_not_accept_is_said_in_one_form(block: type, name: str, value: Any, sentence: str) -> None:
    for refuse in (lambda: check(block, name, value), lambda: block(**{name: value})):
        with pytest.raises(InputError) as error:
            refuse()
        assert str(error.value).startswith(sentence)


def test_keys_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InputError, match=r"^limits: found \[0, 8\]; accepted are a number below 1 and one above"):
        FigureSettings(limits=(0, 8))
    FigureSettings(limits=(0, 8), colour_scale="linear")
    with pytest.raises(InputError, match=r"^checkpoints: found \[0, 0\]; accepted are rising steps"):
        TrainingSettings(checkpoints=(0, 0))


VALUES: list[Any] = [
    *(None, True, 0, 1, 2, 7, 10, 100, 335, -1, 2**63 - 1, 2**63, 10**400, 0.0, 0.5, 1.0, 2.5, -0.1, float("nan")),
    *("", "auto", "cuda:1", "cuda:1000", "a b", "a\nb", "x" * 201, "0" * 64, "sgd", "http://a/b", "a{b}", "0.0.10"),
    *([], [1], [1, 2], [2, 1], [0.5, 1], [1] * 5, [2] * 5, ["bird", "bird"], ["bird", "car"], ["a", 1], [0, 300]),
    *({}, {"conv1": 1}, {"conv1": 0}, {"conv1": "0.0"}, {"-a": "b"}, {"a\n": 1}),
]


@pytest.mark.parametrize(
    "block", [block for block in blocks() if block is not Config], ids=lambda block: block.__name__
)
def test_schema_and_arguments_accept_the_same(block: type) -> None:
    """The config is checked by jsonschema, arguments of functions by the settings themselves."""
    validator, accepted = checking._Validator(schema.block_schema(block, block.__new__(block))), 0
    for key in keys_of(block).values():
        for value in () if key.is_block or key.limits.optional else [plain(key.default), *VALUES]:
            wrong = list(validator.iter_errors({key.name: value}))
            problems = list(_problems(key, value))
            falls = any("a smaller number and a larger one" in problem.text for problem in problems)
            assert bool(wrong) == (bool(problems) and not falls), (key.name, value)
            accepted += not wrong
    assert accepted or block is ArchiveFiles


def test_a_new_key_is_in_schema_table_and_config_at_once() -> None:
    """Whoever adds a key writes it once; what is generated follows."""

    @dataclass(frozen=True)
    class Wider(SharingSettings):
        spread: float = setting(0.25, "how wide it is", least=0, most=4, unit="bits")

    assert schema.block_schema(Wider)["properties"]["spread"] == {
        "type": "number",
        "minimum": 0,
        "maximum": 4,
        "description": "a number from 0 to 4 (bits)",
        "default": 0.25,
    }
    assert documentation._table(Wider).splitlines()[-1] == (
        "| `spread` | `0.25` | a number from 0 to 4 (bits) | how wide it is |"
    )
    parser = CommandParser(prog="featuresharing share")
    add_settings(parser, Wider)
    assert "--spread SPREAD how wide it is (bits) (default: 0.25)" in " ".join(parser.format_help().split())
    assert read_settings(parser.parse_args(["--spread", "2"]), Wider) == Wider(spread=2.0)
    with pytest.raises(InputError, match=r"--spread: found '5'; accepted is a number from 0 to 4 \(bits\)\.$"):
        parser.parse_args(["--spread", "5"])
    assert Wider.defaults() == SharingSettings.defaults() | {"spread": 0.25}
    assert Wider.unchecked({"spread": 3}).as_config() == SharingSettings.defaults() | {"spread": 3}
    with pytest.raises(InputError, match=r"^spread: found 5; accepted is a number from 0 to 4 \(bits\)\.$"):
        Wider(spread=5)


def test_generated_files_are_those_of_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(ROOT)]) == 0, capsys.readouterr().err


def test_a_file_that_drifts_is_named_with_the_command_that_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (documentation.README, documentation.SCHEMA):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    page = tmp_path / documentation.README
    right = page.read_text()
    page.write_text(right.replace("| `1000` |", "| `999` |"))
    assert main(["--check", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{page} differs from the settings; mend it with: {documentation.COMMAND}\n"
    assert main([str(tmp_path)]) == 0
    assert page.read_text() == right
    assert main(["--check", str(tmp_path)]) == 0
    page.write_text(right.replace("<!-- settings: sharing -->", ""))
    assert main(["--check", str(tmp_path)]) == 2
    assert "accepted are one mark of each block" in capsys.readouterr().err


def test_the_demo_says_little_and_nothing_that_is_not_known() -> None:
    said = read_yaml(ROOT / "config/config.yaml")
    assert len(yaml.safe_dump(said).splitlines()) < 40
    assert {"experiments", "training", "source", "seed"} <= set(said) <= {field.name for field in fields(Config)}


def test_a_config_is_written_whole_and_only_when_it_changed(tmp_path: Path) -> None:
    path, config = tmp_path / "results/config.yaml", demo_config()
    write_yaml(config, path)
    assert read_yaml(path) == config
    assert list(read_yaml(path)) == list(config)
    assert recorded_entry(path) is not None
    before = path.stat()
    write_yaml(config, path)
    assert path.stat() == before
    write_yaml(config | {"seed": 1}, path)
    assert read_yaml(path) == config | {"seed": 1}


def defaults_in(tree: ast.AST) -> Iterator[tuple[str, str, ast.expr]]:
    """Yield where, the name and the value of every default of an argument or of a field that a module has."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            positional = [*node.args.posonlyargs, *node.args.args]
            pairs = [
                *zip(reversed(positional), reversed(node.args.defaults), strict=False),
                *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
            ]
            yield from ((node.name, argument.arg, value) for argument, value in pairs if value is not None)
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value is not None:
                    yield node.name, line.target.id, line.value


def test_no_default_of_a_key_is_written_a_second_time() -> None:
    """Arguments and fields that are called as a key refer to it; where they have another default, that is their own."""
    known = {
        (name, repr(key.default)) for block in blocks() for name, key in keys_of(block).items() if not key.is_block
    }
    # whether any network gives predictions or raw scores; the key says it of lesions
    known -= {("softmax", "True")}
    found = []
    for path in sorted((ROOT / "src/featuresharing").rglob("*.py")):
        if path.parent.name != "settings":
            for place, name, value in defaults_in(ast.parse(path.read_text())):
                with suppress(ValueError):
                    literal = ast.literal_eval(value)
                    if literal is not None and (name, repr(literal)) in known:
                        found.append(f"{path.name}: {place}({name}={literal!r})")
    assert found == []


def test_options_that_are_called_as_a_key_are_made_of_it() -> None:
    keys = {key.name: key for block in blocks() for key in keys_of(block).values() if not key.is_block}
    commands = cli._Commands()
    for modules in cli.GROUPS.values():
        for module in modules:
            module.add_commands(commands)
    own, found = set(), 0
    for name, parser in commands.items():
        for action in parser._actions:
            key = keys.get(action.dest)
            if key and (key.kind is not str or key.limits.choices):
                made = getattr(action.type, "__module__", "") == add_settings.__module__
                found += made
                own |= set() if made else {(name, action.dest)}
    assert found > 80
    # units by their numbers, images in one pass, pixels of networks whose files do not say them, any size in training
    running = ("inspect", "predict", "marginalize", "lesion-curves", "visualize-units", "train-probes")
    passes = {(name, "image_size") for name in running}
    units = {(name, "units") for name in ("marginalize", "visualize-units")}
    assert own == passes | units | {("marginalize", "batch_size"), ("import-model", "image_size"), ("train", "resize")}


def test_options_that_contradict_each_other_are_named() -> None:
    parser = CommandParser(prog="featuresharing train")
    add_settings(parser, TrainingSettings)
    with pytest.raises(
        InputError, match=r"^--crop: found \[1.0, 0.5\]; accepted are a smaller number and a larger one"
    ):
        read_settings(parser.parse_args(["--crop", "1", "0.5"]), TrainingSettings)
    with pytest.raises(InputError, match=r"^--checkpoints: found \[5, 0\]; accepted are rising steps"):
        read_settings(parser.parse_args(["--checkpoints", "5", "0"]), TrainingSettings)
    read = read_settings(parser.parse_args([]), TrainingSettings)
    assert read == TrainingSettings(seed=0)
    assert read_settings(parser.parse_args(["--batch-size", "9"]), TrainingSettings, "shift") == TrainingSettings()


def test_settings_load_nothing_slow() -> None:
    slow = "{'numpy', 'torch', 'yaml', 'jsonschema'}"
    code = f"import sys, featuresharing.settings; print(sorted({slow} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(("command", "block"), [("animate-units", FigureSettings), ("train", TrainingSettings)])
def test_commands_have_options_for_every_key_of_a_block_but_those_that_others_take(
    command: str, block: type, capsys: pytest.CaptureFixture[str]
) -> None:
    with suppress(SystemExit):
        cli.main([command, "--help"])
    shown = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert {f"--{name.replace('_', '-')}" for name in keys_of(block)} - shown <= {"--threads"}
