"""What names a network that is no file: a digest of its modules, what they hold, and the code of their passes."""

import hashlib
import inspect
from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor, nn

from featuresharing.networks.task_scores import attached_to
from featuresharing.networks.wrappers import unwrap

PLAIN = (bool, int, float, str, bytes, type(None), torch.dtype)
"""Types of attributes of modules that count, alone or in lists and tuples."""

UNHEEDED = ("training", "_is_full_backward_hook")
"""Attributes of every module that change no score at evaluation."""


def digest_of_network(network: nn.Module) -> str:
    """Return the SHA-256 of a network, as hexadecimal digits.

    It is that of the names and classes of all modules, their settings (attributes that are numbers, texts, and lists of
    them), the source of forward passes written outside of torch, every parameter and buffer, by name, type, shape and
    bytes, and heads that are attached; not of where these are, of gradients, and of the mode. Wrappers such as
    DataParallel are looked through. What a pass calls outside of its modules is not looked at. Raises InputError for
    what is no torch.nn.Module.
    """
    inside, _ = unwrap(network)
    digest = hashlib.sha256()
    for part in _described(inside):
        digest.update(part.encode(errors="backslashreplace") + b"\n")
    for name, value in chain(inside.named_parameters(), inside.named_buffers()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode(errors="backslashreplace"))
        digest.update(_bytes_of(value))
    return digest.hexdigest()


def _described(network: nn.Module) -> Iterator[str]:
    for name, module in network.named_modules(remove_duplicate=False):
        kind = type(module)
        yield f"{name} {kind.__module__}.{kind.__qualname__}"
        if not kind.__module__.startswith("torch."):
            yield _source_of(kind)
        for attribute, value in sorted(vars(module).items()):
            if attribute not in UNHEEDED and _is_plain(value):
                yield f"{name}.{attribute} {value!r}"
    if tasks := attached_to(network):
        yield tasks.described()


def _source_of(kind: type[nn.Module]) -> str:
    """Return the source of a class's forward pass; its code where there is no source."""
    try:
        return inspect.getsource(kind.forward)
    except (OSError, TypeError):
        code = getattr(kind.forward, "__code__", None)
        return repr((code.co_code.hex(), code.co_names)) if code else ""


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(each) for each in value)
    return isinstance(value, PLAIN)


def _bytes_of(value: Tensor) -> bytes:
    plain = value.detach()
    plain = plain.dequantize() if plain.is_quantized else plain
    plain = plain if plain.layout == torch.strided else plain.to_dense()
    return plain.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
