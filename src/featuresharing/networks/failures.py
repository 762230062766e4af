"""Where a network's forward pass failed, in words: the module, and the line of its author's code."""

import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from torch import nn

_OTHERS = {Path(__file__).resolve().parents[1], *(Path(package.__path__[0]).resolve() for package in (torch, np))}
"""Folders of code that is not the author's; Python's own library is another, which may hold the author's packages."""

_PYTHON = Path(sysconfig.get_paths()["stdlib"]).resolve()


def place_of(error: BaseException, network: nn.Module) -> str:
    """Return the innermost module of ``network`` in which ``error`` was raised, and its line if it is no torch module.

    Such as ``Conv2d 'features.0'`` or ``Block 'blocks.3', model.py line 12``; without any module, the network's class.
    """
    return _place(traceback.walk_tb(error.__traceback__), network)


def place_now(network: nn.Module) -> str:
    """Return where ``network`` is in its forward pass, as :func:`place_of` does for an error raised there."""
    return _place(reversed(list(traceback.walk_stack(None))), network)


def _place(frames: Iterable[tuple[FrameType, int]], network: nn.Module) -> str:
    names = {id(module): name for name, module in network.named_modules()}
    module, line = "", ""
    for frame, number in frames:
        found = frame.f_locals.get("self")
        if isinstance(found, nn.Module) and id(found) in names:
            name = names[id(found)]
            module, line = f"{type(found).__name__}{f' {name!r}' if name else ''}", ""
        path = Path(frame.f_code.co_filename)
        if module and _is_of_author(path):
            line = f", {path.name} line {number}"
    return f"{module or type(network).__name__}{line}"


def _is_of_author(path: Path) -> bool:
    parents = set(path.resolve().parents)
    return not _OTHERS & parents and (_PYTHON not in parents or "site-packages" in path.parts)


def reason_of(error: BaseException) -> str:
    """Return the first line of an error's text without its full stop; its kind if it has none, or is a key alone."""
    lines = str(error).splitlines()
    if isinstance(error, KeyError):  # its text is the key alone
        return f"KeyError: {error}"
    return lines[0].rstrip(". ") if lines and lines[0] else type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
