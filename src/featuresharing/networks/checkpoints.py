"""Files of networks: checkpoints, which hold the plain network with the sizes that rebuild it, and Torch7 models."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from featuresharing.data.images import Preprocessing, imagenet_preprocessing, stimulus_preprocessing
from featuresharing.errors import InputError
from featuresharing.files.records import refuse_changed
from featuresharing.networks.alexnet.architecture import build_alexnet, plain_alexnet
from featuresharing.networks.alexnet.names import LAYERS
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.networks.finite import first_not_finite
from featuresharing.networks.sealing import DamagedFileError, read_sealed, write_sealed
from featuresharing.networks.torch7_conversion import load_torch7_network
from featuresharing.networks.trial import trial_pass
from featuresharing.torch7 import is_torch7

ARCHITECTURE = "multitask-alexnet"

REQUIRED = {"architecture", "shape", "tasks", "step", "state"}

UNKNOWN_STEP = -1
"""The training step of networks whose files do not say it."""


@dataclass(frozen=True)
class Checkpoint:
    """A network in evaluation mode, its sizes, the names of its tasks (one a head) and its training step.

    ``preprocessing`` is that of its training images (None: that of the embedded stimuli).
    """

    network: nn.Sequential
    shape: AlexNetShape
    tasks: tuple[str, ...]
    step: int
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class StoredNetwork:
    """What analysis needs of a file: a network in evaluation mode, how it takes images, and its heads' classes.

    ``tasks`` are the names of the heads (None: the file does not say them).
    """

    network: nn.Module
    preprocessing: Preprocessing
    classes: tuple[int, ...]
    step: int
    tasks: tuple[str, ...] | None = None


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, recorded: bool = True) -> str:
    """Write a checkpoint whole or not at all; equal checkpoints give equal bytes. Return the file's SHA-256.

    One of a training in progress is not ``recorded`` (:mod:`featuresharing.files.records`).

    Raises InputError for parameters that are not finite, and for a folder that cannot be written to.
    """
    refuse_non_finite(f"checkpoint {path}", checkpoint.network)
    content: dict[str, Any] = {
        "architecture": ARCHITECTURE,
        "shape": checkpoint.shape.as_dict(),
        "tasks": list(checkpoint.tasks),
        "step": checkpoint.step,
        "state": checkpoint.network.state_dict(),
    }
    if checkpoint.preprocessing:
        content["preprocessing"] = checkpoint.preprocessing.as_dict()
    return write_sealed(path, content, recorded=recorded)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; raises InputError for a file that is none, is damaged or holds another architecture.

    One of an earlier version, without a digest, is read if the checksums of its parts fit.
    """
    accepted = f"accepted are checkpoints of a {ARCHITECTURE}, as 'featuresharing train' writes them"
    refuse_changed(path)
    try:
        content = read_sealed(path, unsealed=True)
        if not isinstance(content, dict) or not set(content) >= REQUIRED:
            raise DamagedFileError("it holds no checkpoint")
    except FileNotFoundError:
        raise InputError(f"checkpoint {path} does not exist.") from None
    except DamagedFileError as error:
        raise InputError(f"checkpoint {path} cannot be read: {error}; {accepted}.") from None
    if content["architecture"] != ARCHITECTURE:
        found = str(content["architecture"])[:40]
        raise InputError(f"checkpoint {path} holds a network of architecture '{found}'; {accepted}.")
    try:
        return _rebuild(path, content)
    except _UnfitError as error:
        raise InputError(
            f"checkpoint {path}: its parameters do not fit its stated sizes ({error}); {accepted}."
        ) from None


class _UnfitError(Exception):
    """What is stored contradicts itself; the text says where."""


def _rebuild(path: Path, content: Mapping[str, Any]) -> Checkpoint:
    """Return the checkpoint that a file describes; nothing of its size is made before it is known to fit."""
    try:
        shape = AlexNetShape.from_dict(content["shape"])
    except InputError as error:
        raise _UnfitError(str(error).rstrip(".").replace("; ", ", ")) from None
    tasks, step, state = content["tasks"], content["step"], content["state"]
    named = isinstance(tasks, list) and all(type(task) is str for task in tasks)
    if not named or len(set(tasks)) != len(tasks) or len(tasks) != len(shape.classes):
        raise _UnfitError(f"{len(shape.classes)} heads are not those of tasks with names of their own")
    if type(step) is not int or step < 0:
        raise _UnfitError("its training step is none")
    _check_parameters(state, shape)
    preprocessing = _read_preprocessing(content.get("preprocessing"), shape)
    network = plain_alexnet(shape)
    network.load_state_dict(state)
    refuse_non_finite(f"checkpoint {path}", network)
    return Checkpoint(network, shape, tuple(tasks), step, preprocessing)


def _check_parameters(state: Any, shape: AlexNetShape) -> None:
    """Compare parameters with those of a network of the stated sizes, which takes no memory."""
    count = 2 * (len(LAYERS) + len(shape.classes))
    if not isinstance(state, Mapping) or len(state) != count:
        raise _UnfitError(f"accepted are {count} parameters by name")
    try:
        with torch.device("meta"):
            wanted = build_alexnet(shape).state_dict()
    except (RuntimeError, OverflowError, TypeError):
        raise _UnfitError("no network has such sizes") from None
    for name, parameter in wanted.items():
        found = state.get(name)
        if not isinstance(found, Tensor):
            raise _UnfitError(f"{name} is missing")
        if found.shape != parameter.shape:
            raise _UnfitError(f"{name} is of shape {list(found.shape)} instead of {list(parameter.shape)}")
        if found.dtype != parameter.dtype or not found.is_contiguous():
            raise _UnfitError(f"{name} is not stored in float32, one number after the other")


def _read_preprocessing(stored: Any, shape: AlexNetShape) -> Preprocessing | None:
    if not stored:
        return None
    try:
        found = Preprocessing.from_dict(stored)
        numbers = [*found.mean, *found.std]
        right = all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
        right = right and len(found.mean) == len(found.std) == 3 and min(found.std) > 0
        if not right or (type(found.size), type(found.resize)) != (int, bool) or found.size != shape.image_size:
            raise _UnfitError("how it takes images is not told in numbers of such images")
    except (KeyError, TypeError):
        raise _UnfitError("how it takes images is not told") from None
    return found


def refuse_non_finite(place: str, network: nn.Module) -> None:
    """Raise InputError, which begins with ``place``, if a parameter or buffer holds a number that is not finite."""
    aliases = {path: alias for alias, path in LAYERS.items()}
    for name, values in chain(network.named_parameters(), network.named_buffers()):
        if (first := first_not_finite(values)) is not None:
            layer, _, kind = name.rpartition(".")
            unit = f" of unit {first[0]}" if first else ""
            place += f": the {kind}{unit}" + (f" of layer {layer}" if layer else "")
            place += f" ({aliases[layer]})" if layer in aliases else ""
            found = values[first].item()
            raise InputError(f"{place} holds {found}; accepted are finite numbers.")


def load_network(path: str | Path) -> nn.Module:
    """Return the network of a checkpoint or of a Torch7 file in evaluation mode, on the CPU.

    Networks take images [N, 3, size, size], prepared as :class:`featuresharing.data.images.Preprocessing` says, and
    return a tuple of raw class scores [N, classes], one a task. Checkpoints are float32; a Torch7 network keeps its
    precision and returns what its file says. Raises InputError for a file that is neither, or that is
    damaged, or holds numbers that are not finite.
    """
    if _holds_torch7(Path(path)):
        return _load_torch7(Path(path))
    return load_checkpoint(Path(path)).network


def open_network(path: Path, *, image_size: int | None = None) -> StoredNetwork:
    """Open a network for analysis; ``image_size`` is that of a Torch7 network, whose file does not say it (None: 224).

    Raises InputError as :func:`load_network`, and for a Torch7 network that does not take such images.
    """
    if not _holds_torch7(path):
        found = load_checkpoint(path)
        preprocessing = found.preprocessing or stimulus_preprocessing(found.shape.image_size)
        return StoredNetwork(found.network, preprocessing, found.shape.classes, found.step, found.tasks)
    network, size = _load_torch7(path), image_size or 224
    try:
        outputs = list(trial_pass(network, size).values())
        if any(len(sizes) != 2 or sizes[0] != 1 for sizes in outputs):
            # a view [-1, d] takes any number of values
            raise ValueError(f"one image gives outputs of sizes {outputs}")
        classes = tuple(sizes[1] for sizes in outputs)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(
            f"model {path} does not take RGB images of {size} x {size} pixels ({reason}); accepted is one that does."
        ) from None
    return StoredNetwork(network, imagenet_preprocessing(size), classes, UNKNOWN_STEP)


def check_fits(path: Path, stored: StoredNetwork, classes: Mapping[str, Sequence[str]]) -> None:
    """Raise InputError unless the heads of the network at ``path`` are those of the tasks, in their order.

    ``classes`` are the names of the classes by task. Heads of a Torch7 model have no names: their sizes have to do.
    """
    wanted = tuple(len(names) for names in classes.values())
    if tuple(stored.classes) != wanted:
        raise InputError(
            f"checkpoint {path} is of another architecture: found heads of {_numbers(stored.classes)} classes; "
            f"accepted are heads of {_numbers(wanted)}, as the image list's tasks have."
        )
    if stored.tasks is not None and list(stored.tasks) != list(classes):
        raise InputError(
            f"checkpoint {path} was trained for the tasks {', '.join(stored.tasks)}; "
            f"accepted are {', '.join(classes)}, in the order of the image list."
        )


def _load_torch7(path: Path) -> nn.Module:
    refuse_changed(path)
    network = load_torch7_network(path)
    refuse_non_finite(f"model {path}", network)
    return network


def _holds_torch7(path: Path) -> bool:
    try:
        return is_torch7(path)
    except OSError:
        return False  # whoever reads it next says why


def _numbers(values: Sequence[int]) -> str:
    return " and ".join(str(value) for value in values)
