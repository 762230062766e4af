"""The model of the config: every key once, and what is made of it."""

import subprocess
import sys
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from featuresharing import InputError
from featuresharing.settings import (
    Config,
    FigureSettings,
    ImageSettings,
    JobSettings,
    MarginalizationSettings,
    NetworkSettings,
    TrainingSettings,
    check,
)
from featuresharing.settings.fields import keys_of

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
    assert TrainingSettings.checkpoints == (0, 50, 200, 500, 800, 1200, 2200, 4500)
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


def test_settings_load_nothing_slow() -> None:
    slow = "{'numpy', 'torch', 'yaml', 'jsonschema'}"
    code = f"import sys, featuresharing.settings; print(sorted({slow} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
