"""Checkpoint files: the plain (batch norms folded) network with the sizes that rebuild it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from featuresharing.errors import InputError
from featuresharing.files import replacing
from featuresharing.networks.alexnet import AlexNetShape, plain_alexnet

ARCHITECTURE = "multitask-alexnet"


@dataclass(frozen=True)
class Checkpoint:
    """A network in evaluation mode, its sizes, the names of its tasks (one a head) and its training step."""

    network: nn.Sequential
    shape: AlexNetShape
    tasks: tuple[str, ...]
    step: int


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all; equal checkpoints give equal bytes."""
    content = {
        "architecture": ARCHITECTURE,
        "shape": checkpoint.shape.as_dict(),
        "tasks": list(checkpoint.tasks),
        "step": checkpoint.step,
        "state": checkpoint.network.state_dict(),
    }
    # torch stores the file's name inside the file; a buffer has none
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; raises InputError for a file that is none or holds another architecture."""
    accepted = f"accepted are checkpoints of a {ARCHITECTURE}, as 'featuresharing train' writes them"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found, stored = content["architecture"], content["shape"]
    except FileNotFoundError:
        raise InputError(f"checkpoint {path} does not exist.") from None
    except Exception:  # whatever arbitrary bytes lead an unpickler to
        raise InputError(f"checkpoint {path} cannot be read; {accepted}.") from None
    if found != ARCHITECTURE:
        raise InputError(f"checkpoint {path} holds a network of architecture '{found}'; {accepted}.")
    try:
        shape = AlexNetShape.from_dict(stored)
        network = plain_alexnet(shape)
        network.load_state_dict(content["state"])
        return Checkpoint(network, shape, tuple(content["tasks"]), int(content["step"]))
    except (RuntimeError, TypeError, AttributeError, KeyError, ValueError):
        raise InputError(
            f"checkpoint {path}: its parameters do not fit its stated sizes {stored}; {accepted}."
        ) from None


def load_network(path: str | Path) -> nn.Sequential:
    """Return the network of a checkpoint file in evaluation mode, float32 on the CPU.

    It takes float32 images [N, 3, size, size], normalised as :func:`featuresharing.data.images.normalise` does, and
    returns a tuple of raw class scores [N, classes], one a task. Raises InputError as :func:`load_checkpoint`.
    """
    return load_checkpoint(Path(path)).network


def check_fits(path: Path, checkpoint: Checkpoint, classes: Sequence[Sequence[str]]) -> None:
    """Raise InputError unless the heads of the checkpoint at ``path`` have as many classes as the tasks."""
    wanted = tuple(len(names) for names in classes)
    if checkpoint.shape.classes != wanted:
        raise InputError(
            f"checkpoint {path} is of another architecture: "
            f"found heads of {_numbers(checkpoint.shape.classes)} classes; "
            f"accepted are heads of {_numbers(wanted)}, as the image list's tasks have."
        )


def _numbers(values: Sequence[int]) -> str:
    return " and ".join(str(value) for value in values)
