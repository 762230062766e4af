"""What a run analyses: a network and images with their true classes, from files or from memory, and what names them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.analysis.true_classes import check_targets, name_tasks
from featuresharing.data.images import read_inputs
from featuresharing.data.lists import ImageList
from featuresharing.files.atomic import file_digest
from featuresharing.files.identity import digest_of_array
from featuresharing.networks.checkpoints import UNKNOWN_STEP, check_fits, open_network
from featuresharing.networks.inputs import as_images
from featuresharing.networks.network_digest import digest_of_network
from featuresharing.networks.preparation import prepare

Network = nn.Module | Path | str
"""A network in memory, or the file of one."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A ``network``, ``images`` [N, ...] that it takes, which are read when they are asked for, and their true classes.

    ``classes`` are the numbers of classes by task, in the order of the outputs; ``targets`` int64 [N, tasks]. The two
    digests stand for network and images in identities. ``step`` is the training step of the network, where it is known.
    """

    network: nn.Module
    read: Callable[[], Any]
    classes: Mapping[str, int]
    targets: NDArray[np.int64]
    network_sha256: str
    images_sha256: str
    step: int = UNKNOWN_STEP


def subject_of_files(
    checkpoint: Path, classes: Mapping[str, Sequence[str]], images: ImageList, *, image_size: int | None = None
) -> Subject:
    """Return the network of a file and listed images; ``classes`` are the names of classes by task.

    Raises InputError for a network that cannot be opened or has other heads; images are read later.
    """
    stored = open_network(checkpoint, image_size=image_size)
    check_fits(checkpoint, stored, classes)
    return Subject(
        stored.network,
        partial(read_inputs, images.paths, stored.preprocessing),
        {task: len(names) for task, names in classes.items()},
        images.targets,
        file_digest(checkpoint),
        file_digest(*images.paths),
        stored.step,
    )


def subject_of_arrays(network: Network, images: NDArray[Any] | Tensor, targets: Any, *, device: str = "cpu") -> Subject:
    """Return a network, or that of a file, and images in memory; ``targets`` as :func:`.name_tasks` takes them.

    Raises InputError for what cannot be analysed, and for targets that are none.
    """
    found, digest, step = named_network(network)
    tensor = as_images(images)
    ready = prepare(found, tensor, device=device, softmax=False)
    tasks, given = name_tasks(targets, ready.tasks)
    truth = check_targets(given, tasks, ready.classes, len(tensor))
    classes = dict(zip(tasks, ready.classes, strict=True))
    return Subject(found, lambda: tensor, classes, truth, digest, _digest_of_images(tensor), step)


def named_network(network: Network) -> tuple[nn.Module, str, int]:
    """Return a network, its digest (that of its file, if it is given so) and its training step."""
    if not isinstance(network, str | Path):
        return network, digest_of_network(network), UNKNOWN_STEP
    stored = open_network(Path(network))
    return stored.network, file_digest(Path(network)), stored.step


def _digest_of_images(images: Tensor) -> str:
    kept = images.cpu()
    small = kept.is_floating_point() and kept.dtype.itemsize < 4  # numpy lacks some of these
    return digest_of_array((kept.float() if small else kept).numpy())
