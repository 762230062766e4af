"""Checkpoints of trainings, which hold the plain network with the sizes that rebuild it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from featuresharing.data.preprocessing import Preprocessing
from featuresharing.errors import InputError
from featuresharing.files.records import refuse_changed
from featuresharing.networks.alexnet.architecture import build_alexnet, plain_alexnet
from featuresharing.networks.alexnet.names import ARCHITECTURE, CHECKPOINTS, LAYERS
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.networks.finite import refuse_non_finite
from featuresharing.networks.sealing import DamagedFileError, read_sealed, write_sealed

REQUIRED = {"architecture", "shape", "tasks", "step", "state"}


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


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, recorded: bool = True) -> str:
    """Write a checkpoint whole or not at all; equal checkpoints give equal bytes. Return the file's SHA-256.

    One of a training in progress is not ``recorded`` (:mod:`featuresharing.files.records`).

    Raises InputError for parameters that are not finite, and for a folder that cannot be written to.
    """
    refuse_non_finite(f"checkpoint {path}", checkpoint.network, LAYERS)
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
    refuse_changed(path)
    return read_checkpoint(path)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint as :func:`load_checkpoint` does, whatever its record says."""
    accepted = f"accepted are {CHECKPOINTS}"
    try:
        content = read_sealed(path, unsealed=True)
        if not isinstance(content, dict) or not set(content) >= REQUIRED:
            raise DamagedFileError("it holds no checkpoint")
    except FileNotFoundError:
        raise InputError(f"checkpoint {path} does not exist; accepted is one that does.") from None
    except DamagedFileError as error:
        raise InputError(f"checkpoint {path} cannot be read: {error}; {accepted}.") from None
    if content["architecture"] != ARCHITECTURE:
        found = str(content["architecture"])[:40]
        raise InputError(f"checkpoint {path} holds a network of architecture '{found}'; {accepted}.")
    try:
        checkpoint = _rebuild(content)
    except _UnfitError as error:
        raise InputError(
            f"checkpoint {path}: its parameters do not fit its stated sizes ({error}); {accepted}."
        ) from None
    refuse_non_finite(f"checkpoint {path}", checkpoint.network, LAYERS)
    return checkpoint


class _UnfitError(Exception):
    """What is stored contradicts itself; the text says where."""


def _rebuild(content: Mapping[str, Any]) -> Checkpoint:
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
        size, resize = stored["size"], stored["resize"]
        found = Preprocessing(size, tuple(stored["mean"]), tuple(stored["std"]), resize)
        numbers = [*found.mean, *found.std]
        right = all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
        right = right and len(found.mean) == len(found.std) == 3 and min(found.std) > 0
        if not right or (type(size), type(resize)) != (int, bool) or size != shape.image_size:
            raise _UnfitError("how it takes images is not told in numbers of such images")
    except (KeyError, TypeError):
        raise _UnfitError("how it takes images is not told") from None
    return found
