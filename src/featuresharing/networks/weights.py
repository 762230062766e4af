"""Weights of networks out of files: state dicts, checkpoints of Lightning and of trainings, safetensors.

No code of a file is run: of a pickle, torch builds tensors and plain values, and whatever else it names becomes a
placeholder that does nothing.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import Tensor, nn

from featuresharing.errors import InputError, first_names
from featuresharing.networks.failures import is_out_of_memory, reason_of
from featuresharing.settings import OwnNetworkSettings

WITHIN = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
"""Keys under which checkpoints of trainings keep a state dict, Lightning's the first."""

ACCEPTED = "accepted are state dicts, checkpoints that hold one, and safetensors"

SAVE = "accepted is its state dict: torch.save(network.state_dict(), 'weights.pt')"

UNNEEDED = "num_batches_tracked"
"""What batch norms count while they are trained; older files lack it."""

MOST_NAMED = 5
"""Names of weights that a sentence names."""


class Placeholder:
    """Stands for what a pickle names that is neither a tensor nor a plain value; it takes all and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, _: Any) -> None:
        """Take a state."""


def load_weights(network: nn.Module, path: Path, strip: Sequence[str] = OwnNetworkSettings.strip) -> None:
    """Load the weights of a file into a network; raises InputError as :func:`fitting_weights`."""
    network.load_state_dict(fitting_weights(network, path, strip), strict=False)


def fitting_weights(
    network: nn.Module, path: Path, strip: Sequence[str] = OwnNetworkSettings.strip
) -> dict[str, Tensor]:
    """Return the weights of a file that are those of a network, by the network's names.

    ``strip`` are prefixes that come off names in the file, in this order. Raises InputError for a file without weights,
    which names those that are missing, that the network does not have, or that are of another shape.
    """
    found = stripped(read_weights(path), strip)
    wanted = network.state_dict()
    given = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    missing = [name for name in wanted if name not in given and isinstance(wanted[name], Tensor)]
    missing = [name for name in missing if not name.endswith(UNNEEDED)]
    unexpected = [name for name in given if name not in wanted and not name.endswith(UNNEEDED)]
    if missing or unexpected:
        raise InputError(_misfit(path, missing, unexpected, given, wanted))
    for name, value in given.items():
        if name in wanted and value.shape != wanted[name].shape:
            shapes = f"found {list(value.shape)} for {name}"
            accepted = f"accepted is {list(wanted[name].shape)}, as the network has"
            raise InputError(f"weights {path} are of another network: {shapes}; {accepted}.")
    return {name: value for name, value in given.items() if name in wanted}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights of a file by name, on the CPU.

    Raises InputError for a file that is not there, is damaged or holds none, and for a pickled network.
    """
    if not path.is_file():
        raise InputError(f"weights {path} do not exist; {ACCEPTED}.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = _read_pickle(path)
    found = _state_in(content)
    if found is None:
        within = [content[key] for key in WITHIN if key in content] if isinstance(content, Mapping) else []
        if pickled := next((each for each in (content, *within) if isinstance(each, Placeholder)), None):
            kind = type(pickled).__name__
            raise InputError(f"weights {path}: found a pickled {kind}, whose code would have to be run; {SAVE}.")
        raise InputError(f"weights {path}: found {_told(content)}; {ACCEPTED}.")
    if odd := next((name for name, value in found.items() if not _is_plain(value)), None):
        raise InputError(f"weights {path}: found {found[odd].layout} numbers in {odd}; accepted are dense tensors.")
    return found


def stripped(weights: Mapping[str, Tensor], prefixes: Sequence[str]) -> dict[str, Tensor]:
    """Return weights without prefixes of their names; raises InputError where two would have one name."""
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        short = name
        for prefix in prefixes:
            short = short.removeprefix(prefix)
        if short in found:
            raise InputError(f"strip: two weights would be called {short}; accepted are prefixes that keep them apart.")
        found[short] = value
    return found


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, ValueError, KeyError, RuntimeError, OSError) as error:
        raise InputError(f"weights {path} cannot be read ({reason_of(error)}); accepted are safetensors.") from None


def _read_pickle(path: Path) -> Any:
    """Return what a file of torch holds; whatever its pickle names that torch does not build is a placeholder."""
    try:
        zipped = is_zipfile(path)
        others = torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipped else []
        kinds: list[Any] = [(type(name.rpartition(".")[2], (Placeholder,), {}), name) for name in others]
        with torch.serialization.safe_globals(kinds):
            # mapped, since torch bounds what it reads by the size of the file then
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # whatever arbitrary bytes lead readers of zip archives and pickles to
        if is_out_of_memory(error):
            raise
        if named := re.search(r"[Uu]nsupported (?:global: )?GLOBAL (\S+)", str(error)):
            raise InputError(
                f"weights {path}: found a pickled {named[1][:99]}, whose code would have to be run; {SAVE}."
            ) from None
        reason = "it is no file of torch" if "weights_only" in str(error) else reason_of(error)[:200]
        raise InputError(f"weights {path} cannot be read ({reason}); {ACCEPTED}.") from None


def _state_in(content: Any) -> dict[str, Tensor] | None:
    """Return the weights that a checkpoint holds, at its top or under one of the usual keys; None where it has none."""
    waiting, seen = [content], set()
    while waiting:
        each = waiting.pop()
        if not isinstance(each, Mapping) or id(each) in seen:  # a dict may hold itself
            continue
        seen.add(id(each))
        if tensors := {str(name): value for name, value in each.items() if isinstance(value, Tensor)}:
            return tensors
        waiting += [each[key] for key in reversed(WITHIN) if key in each]
    return None


def _told(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"the keys {', '.join(map(repr, list(content)[:MOST_NAMED]))} and no tensors" if content else "nothing"
    return "a single tensor" if isinstance(content, Tensor) else f"a {type(content).__name__}"


def _is_plain(value: Tensor) -> bool:
    return value.layout == torch.strided and not value.is_quantized and not value.is_meta


def _misfit(
    path: Path,
    missing: Sequence[str],
    unexpected: Sequence[str],
    given: Collection[str],
    wanted: Collection[str],
) -> str:
    said = [
        f"{what} {first_names(names, MOST_NAMED)}"
        for what, names in (("missing are", missing), ("the network does not have", unexpected))
        if names
    ]
    hint = next(
        (f"; without the prefix {prefix!r} they fit: strip: [{prefix!r}]" for prefix in _prefixes(given, wanted)), ""
    )
    accepted = "accepted are all weights of the network and no others"
    return f"weights {path} are of another network: {' and '.join(said)}{hint}; {accepted}."


def _prefixes(given: Collection[str], wanted: Collection[str]) -> Iterator[str]:
    """Yield the prefix without which the given names are the wanted ones, if there is one."""
    known = {name for name in wanted if not name.endswith(UNNEEDED)}
    first = next(iter(known), "")
    for name in given:
        if first and name.endswith(first) and name != first:
            prefix = name.removesuffix(first)
            short = {each.removeprefix(prefix) for each in given if not each.endswith(UNNEEDED)}
            if prefix and short == known:
                yield prefix
