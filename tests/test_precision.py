"""Products are computed in full precision, and the caller's settings of torch come back as they were."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from featuresharing import marginalize, predict
from featuresharing.networks.precision import full_precision

torch.set_num_threads(1)

BACKENDS: Any = torch.backends  # of which torch's types know a part

if not hasattr(BACKENDS, "fp32_precision"):
    pytest.skip("torch has the newer settings from 2.9 on", allow_module_level=True)

PLACES = {
    "all": BACKENDS,
    "CUDA": BACKENDS.cudnn,
    "products on CUDA": BACKENDS.cuda.matmul,
    "convolutions on CUDA": BACKENDS.cudnn.conv,
    "recurrence on CUDA": BACKENDS.cudnn.rnn,
    "CPU": BACKENDS.mkldnn,
    "products on CPU": BACKENDS.mkldnn.matmul,
    "convolutions on CPU": BACKENDS.mkldnn.conv,
}


def older() -> list[Any]:
    """Return the settings of the older way, or that torch refuses to tell them beside those of the newer."""
    found: list[Any] = []
    reads: list[Callable[[], Any]] = [
        lambda: BACKENDS.cuda.matmul.allow_tf32,
        lambda: BACKENDS.cudnn.allow_tf32,
        torch.get_float32_matmul_precision,
    ]
    for read in reads:
        try:
            found.append(read())
        except RuntimeError:
            found.append("a mix")
    return found


def settings() -> list[Any]:
    return [place.fp32_precision for place in PLACES.values()] + older()


def settings_behind() -> list[Any]:
    """Return what shows when parents change: what was set by itself stays, what was not follows its parent."""
    found = [settings()]
    for value in ("ieee", "tf32", "none"):
        for place in (BACKENDS.cudnn, BACKENDS.mkldnn, BACKENDS):
            place.fp32_precision = value
            found.append(settings())
    return found


@pytest.fixture(autouse=True)
def _give_back() -> Iterator[None]:
    yield
    reset()


def reset() -> None:
    torch.set_float32_matmul_precision("highest")
    for place in PLACES.values():
        place.fp32_precision = "none"
    BACKENDS.cudnn.allow_tf32 = True


def mixed() -> None:
    BACKENDS.cuda.matmul.allow_tf32 = True
    BACKENDS.fp32_precision = "ieee"
    BACKENDS.cudnn.conv.fp32_precision = "tf32"


STATES: dict[str, Callable[[], Any]] = {
    "as it is": lambda: None,
    "all": lambda: setattr(BACKENDS, "fp32_precision", "tf32"),
    "products": lambda: setattr(BACKENDS.cuda.matmul, "fp32_precision", "tf32"),
    "on CUDA": lambda: setattr(BACKENDS.cudnn, "fp32_precision", "tf32"),
    "on CPU": lambda: setattr(BACKENDS.mkldnn.matmul, "fp32_precision", "bf16"),
    "older, products": lambda: setattr(BACKENDS.cuda.matmul, "allow_tf32", True),
    "older, convolutions": lambda: setattr(BACKENDS.cudnn, "allow_tf32", False),
    "older, high": lambda: torch.set_float32_matmul_precision("high"),
    "older, medium": lambda: torch.set_float32_matmul_precision("medium"),
    "a mix of both": mixed,
}


@pytest.mark.parametrize("state", STATES)
def test_settings_come_back_as_they_were(state: str) -> None:
    reset()
    STATES[state]()
    wanted = settings_behind()
    reset()
    STATES[state]()
    with full_precision():
        assert {place.fp32_precision for place in PLACES.values()} <= {"none", "ieee"}
    with pytest.raises(KeyError), full_precision():
        raise KeyError
    assert settings_behind() == wanted


@pytest.mark.parametrize("state", STATES)
def test_numbers_do_not_depend_on_what_the_caller_allows(state: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
        images = torch.randn(2, 3, 8, 8)

    def compute() -> list[Any]:
        return [predict(network, images)[1][0], *marginalize(network, "0", images, units=[0], samples=3)]

    wanted = compute()
    STATES[state]()
    own = settings()
    for found, expected in zip(compute(), wanted, strict=True):
        assert np.array_equal(found, expected)
    assert settings() == own
