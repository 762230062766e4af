"""Files of networks: checkpoints, which hold the plain network with the sizes that rebuild it, and Torch7 models."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from featuresharing.data.images import Preprocessing, imagenet_preprocessing, stimulus_preprocessing
from featuresharing.errors import InputError
from featuresharing.files import replacing
from featuresharing.networks.alexnet import plain_alexnet
from featuresharing.networks.shapes import AlexNetShape
from featuresharing.networks.torch7_conversion import load_torch7_network
from featuresharing.networks.trial import trial_pass
from featuresharing.torch7 import is_torch7

ARCHITECTURE = "multitask-alexnet"

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
    """What analysis needs of a file: a network in evaluation mode, how it takes images, and its heads' classes."""

    network: nn.Module
    preprocessing: Preprocessing
    classes: tuple[int, ...]
    step: int


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all; equal checkpoints give equal bytes."""
    content: dict[str, Any] = {
        "architecture": ARCHITECTURE,
        "shape": checkpoint.shape.as_dict(),
        "tasks": list(checkpoint.tasks),
        "step": checkpoint.step,
        "state": checkpoint.network.state_dict(),
    }
    if checkpoint.preprocessing:
        content["preprocessing"] = checkpoint.preprocessing.as_dict()
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
        images = content.get("preprocessing")
        preprocessing = Preprocessing.from_dict(images) if images else None
        return Checkpoint(network, shape, tuple(content["tasks"]), int(content["step"]), preprocessing)
    except (RuntimeError, TypeError, AttributeError, KeyError, ValueError):
        raise InputError(
            f"checkpoint {path}: its parameters do not fit its stated sizes {stored}; {accepted}."
        ) from None


def load_network(path: str | Path) -> nn.Module:
    """Return the network of a checkpoint or of a Torch7 file in evaluation mode, on the CPU.

    Networks take images [N, 3, size, size], prepared as :class:`featuresharing.data.images.Preprocessing` says, and
    return a tuple of raw class scores [N, classes], one a task. Checkpoints are float32; a Torch7 network keeps its
    precision and returns what its file says. Raises InputError for a file that is neither.
    """
    if _holds_torch7(Path(path)):
        return load_torch7_network(Path(path))
    return load_checkpoint(Path(path)).network


def open_network(path: Path, *, image_size: int | None = None) -> StoredNetwork:
    """Open a network for analysis; ``image_size`` is that of a Torch7 network, whose file does not say it (None: 224).

    Raises InputError as :func:`load_network`, and for a Torch7 network that does not take such images.
    """
    if not _holds_torch7(path):
        found = load_checkpoint(path)
        preprocessing = found.preprocessing or stimulus_preprocessing(found.shape.image_size)
        return StoredNetwork(found.network, preprocessing, found.shape.classes, found.step)
    network, size = load_torch7_network(path), image_size or 224
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


def check_fits(path: Path, found: Sequence[int], classes: Sequence[Sequence[str]]) -> None:
    """Raise InputError unless the heads of the network at ``path`` have as many classes as the tasks."""
    wanted = tuple(len(names) for names in classes)
    if tuple(found) != wanted:
        raise InputError(
            f"checkpoint {path} is of another architecture: found heads of {_numbers(found)} classes; "
            f"accepted are heads of {_numbers(wanted)}, as the image list's tasks have."
        )


def _holds_torch7(path: Path) -> bool:
    try:
        return is_torch7(path)
    except OSError:
        return False  # whoever reads it next says why


def _numbers(values: Sequence[int]) -> str:
    return " and ".join(str(value) for value in values)
