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
    estimate_sharing,
    lesion,
    lesion_accuracy,
    marginalize,
    maximize_units,
    merge_conditionals,
    predict,
    random_orders,
    read_conditionals,
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
            "accepted are device, dtype, memory, batch_size, engine.",
        ),
        ({"gpu": 1}, "argument 'gpu' is not known; accepted are device, dtype, memory, batch_size, engine."),
        ({"engine": "steam"}, "engine 'steam' is not known; accepted are one-channel and plain."),
    ],
)
def test_settings_of_a_computation_that_are_not_known_are_named(given: dict[str, Any], sentence: str) -> None:
    for call in (
        lambda: marginalize(NETWORK, "1", IMAGES, **given),
        lambda: lesion(NETWORK, "1", IMAGES, **given),
        lambda: lesion_accuracy(NETWORK, "1", IMAGES, TARGETS, [[0]], **given),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert str(error.value) == sentence


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
