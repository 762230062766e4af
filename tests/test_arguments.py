"""Arguments that are no numbers, or none that a function accepts, are refused in one sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from featuresharing import (
    Estimation,
    FeatureSettings,
    InputError,
    Origin,
    describe_network,
    estimate_sharing,
    lesion,
    lesion_accuracy,
    lesion_curves_to_file,
    lesion_table,
    load_network,
    marginalize,
    marginalize_to_file,
    maximize_units,
    merge_conditionals,
    picture_units,
    predict,
    random_orders,
    read_conditionals,
    read_table,
    status_table,
)

NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
IMAGES = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
TARGETS: Any = np.zeros((2, 1), np.int64)
EVIDENCE = np.ones((3, 30))

WRONG: dict[str, Callable[[Any], Any]] = {
    "batch_size": lambda value: predict(NETWORK, IMAGES, batch_size=value),
    "samples": lambda value: Estimation(samples=value),
    "scale": lambda value: Estimation(scale=value),
    "tolerance": lambda value: Estimation(tolerance=value),
    "seed": lambda value: marginalize(NETWORK, "1", IMAGES, seed=value),
    "memory": lambda value: lesion(NETWORK, "1", IMAGES, memory=value),
    "iterations": lambda value: FeatureSettings(iterations=value),
    "blur_every": lambda value: FeatureSettings(blur_every=value),
    "step": lambda value: FeatureSettings(step=value),
    "decay": lambda value: FeatureSettings(decay=value),
    "repeats": lambda value: random_orders([0, 1], value),
    "resamples": lambda value: estimate_sharing(EVIDENCE, EVIDENCE, resamples=value),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("value", ["2", True, -1, float("nan"), [1]])
def test_what_is_no_number_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^{name}: found .*; accepted is .*\\.$"):
        WRONG[name](value)


@pytest.mark.parametrize("seed", ["2", 1.5, -1, None])
def test_a_seed_is_a_whole_number_from_0(seed: Any) -> None:
    for call in (
        lambda: Estimation(seed=seed),
        lambda: list(maximize_units(nn.Sequential(nn.Conv2d(3, 2, 1)), "0", (3, 2, 2), seed=seed)),
        lambda: random_orders([0, 1], 2, seed=seed),
        lambda: estimate_sharing(EVIDENCE, EVIDENCE, seed=seed),
    ):
        with pytest.raises(InputError, match=r"^seed: found .*; accepted is an integer from 0"):
            call()


def test_numbers_of_numpy_are_numbers() -> None:
    settings: dict[str, Any] = {"samples": np.int64(3), "scale": np.float32(1), "seed": np.int32(0), "memory": 1e6}
    (found,) = marginalize(NETWORK, "1", IMAGES, batch_size=np.int64(1), **settings)
    (wanted,) = marginalize(NETWORK, "1", IMAGES, samples=3, scale=1.0)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"memmory": 1},
            "argument 'memmory' is not known; the nearest is 'memory'; "
            "accepted are {own}device, dtype, memory, batch_size, engine.",
        ),
        ({"gpu": 1}, "argument 'gpu' is not known; accepted are {own}device, dtype, memory, batch_size, engine."),
        ({"engine": "steam"}, "engine 'steam' is not known; accepted are one-channel and plain."),
    ],
)
def test_settings_of_a_computation_that_are_not_known_are_named(given: dict[str, Any], sentence: str) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "estimator, samples, scale, tolerance, seed, tolerance_bits, laplace, units, inputs, progress, aliases, ": (
            lambda: marginalize(NETWORK, "1", IMAGES, **given)
        ),
        "softmax, units, inputs, progress, aliases, ": lambda: lesion(NETWORK, "1", IMAGES, **given),
        "counts, inputs, progress, aliases, ": lambda: lesion_accuracy(NETWORK, "1", IMAGES, TARGETS, [[0]], **given),
    }
    for own, call in calls.items():
        with pytest.raises(InputError) as error:
            call()
        assert str(error.value) == sentence.format(own=own)


def test_a_misspelt_argument_of_a_function_is_found_among_all_that_it_takes() -> None:
    given: dict[str, Any] = {"sample": 3}
    with pytest.raises(InputError, match=r"argument 'sample' is not known; the nearest is 'samples'; accepted are "):
        marginalize(NETWORK, "1", IMAGES, **given)


def wrong(value: Any) -> Any:
    """Return a value whose type the function does not take."""
    return value


def curves(contributions: Any) -> Any:
    return lesion_curves_to_file(NETWORK, "1", IMAGES, [[0, 0]], contributions, "unused.csv")


def to_file(**given: Any) -> Any:
    return marginalize_to_file(NETWORK, "1", IMAGES, [[0, 0]], **({"output": "unused.h5", "samples": 2} | given))


TABLE: Any = {"removed": [0, 3], "accuracy": np.zeros((1, 2, 1)), "random": np.zeros((2, 2, 1))}

REFUSED: dict[str, Callable[[], Any]] = {
    "output: found None; accepted is a path": lambda: to_file(output=None),
    r"output: found 'a\x00b'; accepted is a path": lambda: to_file(output="a\0b"),
    ". cannot be written: it is a folder; accepted is the name of a file": lambda: to_file(output=""),
    "wait: found '1'; accepted is a number of seconds from 0": lambda: to_file(wait="1"),
    "wait: found nan; accepted is a number of seconds from 0": lambda: to_file(wait=float("nan")),
    "say: found an int; accepted is a function that takes a text": lambda: to_file(say=3),
    "origin: found a str; accepted is Origin(experiment, checkpoint, replicate)": lambda: to_file(origin="mine"),
    "replicate: found 0; accepted is a whole number from 1 to 100": lambda: to_file(origin=Origin(replicate=0)),
    "origin: found an int for a name; accepted are two texts": lambda: to_file(origin=Origin(checkpoint=wrong(3))),
    "task: found the name 'a/b'; accepted are texts without '/'": lambda: marginalize_to_file(
        NETWORK, "1", IMAGES, {"a/b": [0, 0]}, "unused.h5"
    ),
    "path: found None; accepted is a path": lambda: read_conditionals(wrong(None)),
    "path: found an int; accepted is a path": lambda: load_network(wrong(3)),
    "none does not exist; accepted is a folder of results, as a run of the workflow makes it": lambda: status_table(
        "none"
    ),
    "table: found 'sharing'; accepted is a value of TABLES, such as TABLES['sharing']": lambda: read_table(
        "unused.csv", wrong("sharing")
    ),
    "settings: found an int; accepted are FeatureSettings": lambda: picture_units(
        NETWORK, "1", 2, "units", "units.png", settings=wrong(3)
    ),
    "contributions: found the tasks shape; accepted are 0": lambda: curves({"shape": [1, 2, 3]}),
    "contributions: found an int; accepted is an array [units] for each task": lambda: curves(3),
    "contributions: found 2 arrays; accepted is one for each task: 0": lambda: curves([[1, 2, 3]] * 2),
    "contributions: found <U1; accepted is a finite number for each unit, [units] a task": lambda: curves([[*"abc"]]),
    "units: found one twice; accepted are distinct units": lambda: random_orders([0, 0], 2),
    "image_shape: found 'a'; accepted are the pixels of square RGB images, or the shape of one image, "
    "such as (1, 28, 28)": lambda: describe_network(NETWORK, wrong("a")),
    "layer: found None; accepted is one name: 1": lambda: lesion(NETWORK, wrong(None), IMAGES),
    "place: found ('a', 'b'); accepted are experiment, replicate, checkpoint and layer": lambda: lesion_table(
        wrong(("a", "b")), ["t"], ["t"], **TABLE
    ),
    "accuracy: found [1, 1]; accepted is [orders, counts, tasks]: [1, 2, 1]": lambda: lesion_table(
        ("a", 1, "b", "c"), ["t"], ["t"], **TABLE | {"accuracy": [[0.5]]}
    ),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_arguments_of_a_wrong_kind_are_refused_in_one_sentence(
    sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        REFUSED[sentence]()
    assert str(error.value) == sentence + "."
    assert capsys.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".h5"] == []


def test_devices_targets_and_blocks_that_are_none_are_refused(tmp_path: Path) -> None:
    device: Any = None
    with pytest.raises(InputError, match="device 'None' cannot be used"):
        predict(NETWORK, IMAGES, device=device)
    targets: Any = [[0], [0, 1]]
    with pytest.raises(InputError, match=r"targets: found rows of different lengths; accepted are true classes"):
        lesion_accuracy(NETWORK, "1", IMAGES, targets, [[0]])
    with pytest.raises(InputError, match="found no blocks"):
        merge_conditionals([], str(tmp_path / "merged.h5"))
    with pytest.raises(InputError, match="there is no such file"):
        read_conditionals(str(tmp_path / "none.h5"))
