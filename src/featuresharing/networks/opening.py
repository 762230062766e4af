"""Networks out of files of any format, and whether they fit the tasks of images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from featuresharing.arguments import as_path
from featuresharing.data.preprocessing import (
    AnyPreprocessing,
    ImageSize,
    image_shape,
    shape_in_words,
    usual_preprocessing,
)
from featuresharing.errors import InputError
from featuresharing.files.records import refuse_changed
from featuresharing.networks.failures import is_out_of_memory, reason_of
from featuresharing.networks.finite import refuse_non_finite
from featuresharing.networks.formats import Contents, files_of, format_of
from featuresharing.networks.trial import trial_pass

USUAL_SIZE = 224
"""Pixels of the images of networks that do not say it."""


@dataclass(frozen=True)
class StoredNetwork:
    """What analysis needs of a file: a network in evaluation mode, how it takes images, and its heads' classes.

    ``tasks`` are the names of the heads (None: the file does not say them), ``notes`` what was changed in reading it.
    ``told_shape`` is the shape of images where neither the file says it nor it is the usual one: results depend on it.
    """

    network: nn.Module
    preprocessing: AnyPreprocessing
    classes: tuple[int, ...]
    step: int
    tasks: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    told_shape: tuple[int, ...] | None = None


def load_network(path: str | Path) -> nn.Module:
    """Return the network of a file in evaluation mode, on the CPU: a checkpoint, a Torch7 model or of another format.

    Networks take images such as [N, 3, size, size], prepared as :mod:`featuresharing.data.preprocessing` says, and
    return a tuple of raw class scores [N, classes], one a task. Checkpoints are float32; a Torch7 network keeps its
    precision and returns what its file says. Raises InputError for a file that no format knows, or that is damaged, or
    holds numbers that are not finite.

    >>> import torch
    >>> network = load_network("4500.pt")
    >>> [tuple(scores.shape) for scores in network(torch.zeros(1, 3, 16, 16))]
    [(1, 3), (1, 4)]
    """
    return _read(as_path("path", path)).network


def open_network(path: Path, *, image_size: ImageSize | None = None, heads: bool = True) -> StoredNetwork:
    """Open a network for analysis; ``image_size`` is that of a network whose file does not say it (None: 224).

    Without ``heads``, what it returns does not matter, and its classes are not found out. An image size is the pixels
    of square RGB images, or the shape of an image. What files do not say of preprocessing is as usual:
    :func:`.usual_preprocessing`.

    Raises InputError as :func:`load_network`, and for a network that does not take such images.
    """
    found = _read(path)
    preprocessing = preprocessing_of(found, image_size)
    classes = found.classes or (_heads(path, found.network, preprocessing) if heads else ())
    says = found.preprocessing is not None or found.image_shape is not None
    told = None if says or preprocessing.shape == image_shape(USUAL_SIZE) else preprocessing.shape
    return StoredNetwork(found.network, preprocessing, classes, found.step, found.tasks, found.notes, told)


def preprocessing_of(found: Contents, image_size: ImageSize | None = None) -> AnyPreprocessing:
    """Return how a network takes images: as its file says, else as usual for the shape that it or its file has."""
    return found.preprocessing or usual_preprocessing(found.image_shape or image_shape(image_size or USUAL_SIZE))


def check_fits(path: Path, stored: StoredNetwork, classes: Mapping[str, Sequence[str]]) -> None:
    """Raise InputError unless the heads of the network at ``path`` are those of the tasks, in their order.

    ``classes`` are the names of the classes by task. Where a file does not name its heads, their sizes have to do.
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


def _read(path: Path) -> Contents:
    refuse_changed(path)
    own = format_of(path)
    for other in files_of(path)[1:]:
        refuse_changed(other)
    try:
        found = own.read(path)
    except Exception as error:
        if isinstance(error, InputError) or is_out_of_memory(error):
            raise
        raise InputError(f"checkpoint {path} cannot be read ({reason_of(error)}); accepted are {own.NAME}.") from error
    refuse_non_finite(f"checkpoint {path}", found.network.eval())
    return found


def _heads(path: Path, network: nn.Module, preprocessing: AnyPreprocessing) -> tuple[int, ...]:
    """Return the classes of each head, found by a pass of sizes alone."""
    try:
        outputs = list(trial_pass(network, preprocessing.shape, whole=preprocessing.whole).values())
        if any(len(sizes) != 2 or sizes[0] != 1 for sizes in outputs):
            # a view [-1, d] takes any number of values
            raise ValueError(f"one image gives outputs of sizes {outputs}")
        return tuple(sizes[1] for sizes in outputs)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(
            f"model {path} does not take {shape_in_words(preprocessing.shape)} ({reason}); accepted is one that does."
        ) from None


def _numbers(values: Sequence[int]) -> str:
    return " and ".join(str(value) for value in values)
