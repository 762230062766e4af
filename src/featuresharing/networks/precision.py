"""Which precision numbers have; and full precision of float32, with all settings given back.

Whoever calls us may allow less elsewhere (TF32, bfloat16).

torch has settings in two ways. The older (``allow_tf32``) is read by nobody as long as the newer
(``fp32_precision``, torch 2.9) says something; reading it then is an error.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_PARENTS = (("generic", "all"), ("mkldnn", "all"), ("cuda", "all"))
_OPERATORS = tuple((backend, operator) for backend in ("mkldnn", "cuda") for operator in ("matmul", "conv", "rnn"))
"""Settings of the newer way: what an operator has not, it takes from its backend, and that from the generic one."""


def precision_of(values: Iterable[Tensor], otherwise: torch.dtype = torch.float32) -> torch.dtype:
    """Return the precision of the first of ``values`` that is of floating point; ``otherwise`` if none is."""
    return next((value.dtype for value in values if value.is_floating_point()), otherwise)


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep products of float32 from being rounded to fewer bits for a block."""
    newer = hasattr(torch._C, "_set_fp32_precision_setter")
    with _newer() if newer else _older():
        yield


@contextmanager
def _newer() -> Iterator[None]:
    own: list[tuple[tuple[str, str], str]] = []
    try:
        for key in _PARENTS:  # what is not set shows its parent's: so parents are unset before their children are read
            own.append((key, _get(key)))
            _set(key, "none")
        for key in _PARENTS:
            _set(key, "ieee")
        for key in _OPERATORS:
            if _get(key) not in ("none", "ieee"):  # set by itself; one that has never been set cannot be unset again
                own.append((key, _get(key)))
                _set(key, "ieee")
        yield
    finally:
        for key, value in reversed(own):
            _set(key, value)


def _get(key: tuple[str, str]) -> str:
    return str(torch._C._get_fp32_precision_getter(*key))


def _set(key: tuple[str, str], value: str) -> None:
    torch._C._set_fp32_precision_setter(*key, value)


@contextmanager
def _older() -> Iterator[None]:
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    own = [backend.allow_tf32 for backend in backends]
    precision = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("highest")
        for backend in backends:
            backend.allow_tf32 = False
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        for backend, allowed in zip(backends, own, strict=True):
            backend.allow_tf32 = allowed
