"""Where a network's forward pass failed, in words: the module, and the line of its author's code."""

import traceback
from pathlib import Path

import torch
from torch import nn

_OWN = Path(__file__).resolve().parents[1]
_TORCH = Path(torch.__file__).resolve().parent


def place_of(error: BaseException, network: nn.Module) -> str:
    """Return the innermost module of ``network`` in which ``error`` was raised, and its line if it is no torch module.

    Such as ``Conv2d 'features.0'`` or ``Block 'blocks.3', model.py line 12``; without any module, the network's class.
    """
    names = {id(module): name for name, module in network.named_modules()}
    module, line = "", ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        found = frame.f_locals.get("self")
        if isinstance(found, nn.Module) and id(found) in names:
            name = names[id(found)]
            module, line = f"{type(found).__name__}{f' {name!r}' if name else ''}", ""
        path = Path(frame.f_code.co_filename)
        if module and not {_OWN, _TORCH} & set(path.parents):
            line = f", {path.name} line {number}"
    return f"{module or type(network).__name__}{line}"


def reason_of(error: BaseException) -> str:
    """Return the first line of an error's text without its full stop, or its kind if it has none."""
    lines = str(error).splitlines()
    return lines[0].rstrip(". ") if lines and lines[0] else type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
