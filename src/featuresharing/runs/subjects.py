"""What a run analyses: a network and images with their true classes, from files or from memory, and what names them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.analysis.true_classes import check_targets, name_tasks
from featuresharing.arguments import kind_of
from featuresharing.computation import Computation
from featuresharing.data.array_files import digest_of_images
from featuresharing.data.images import read_inputs
from featuresharing.data.lists import ListFiles
from featuresharing.data.preprocessing import ImageSize
from featuresharing.errors import InputError
from featuresharing.files.identity import digest_of, digest_of_array
from featuresharing.networks.formats import UNKNOWN_STEP, digest_of_file
from featuresharing.networks.inputs import as_fixed, as_images
from featuresharing.networks.layers import Units, choose_units, find_layer, unit_count
from featuresharing.networks.network_digest import digest_of_network
from featuresharing.networks.opening import check_fits, open_network
from featuresharing.networks.preparation import prepare
from featuresharing.replicates import FIRST, check_replicate

Network = nn.Module | Path | str
"""A network in memory, or the file of one."""


@dataclass(frozen=True, eq=False)
class NamedNetwork:
    """A network, the digest that stands for it in identities, and its training step, where that is known."""

    network: nn.Module
    sha256: str
    step: int = UNKNOWN_STEP


@dataclass(frozen=True, eq=False)
class Subject:
    """A ``network``, ``images`` [N, ...] that it takes, which are read when they are asked for, and their true classes.

    ``classes`` are the numbers of classes by task, in the order of the outputs; ``targets`` int64 [N, tasks]. The two
    digests stand for network and images in identities, that of images for other ``inputs`` by name as well. ``step`` is
    the training step of the network, where it is known.
    """

    network: nn.Module
    read: Callable[[], Any]
    classes: Mapping[str, int]
    targets: NDArray[np.int64]
    network_sha256: str
    images_sha256: str
    step: int = UNKNOWN_STEP
    inputs: Mapping[str, Any] | None = None

    @cached_property
    def images(self) -> Any:
        """The images, as an array or a tensor."""
        return self.read()


@dataclass(frozen=True)
class Origin:
    """Where numbers are from, for tables and figures: an experiment, a checkpoint, and which of several networks.

    >>> Origin("object_text", "4500", replicate=2)
    Origin(experiment='object_text', checkpoint='4500', replicate=2)
    """

    experiment: str = "experiment"
    checkpoint: str = "checkpoint"
    replicate: int = FIRST


def check_origin(origin: Any) -> Origin:
    """Return the argument ``origin``; raises InputError for what is none, for names that are no texts,
    and for a replicate that is none."""
    if not isinstance(origin, Origin):
        raise InputError(f"origin: found {kind_of(origin)}; accepted is Origin(experiment, checkpoint, replicate).")
    for name in (origin.experiment, origin.checkpoint):
        if not isinstance(name, str):
            raise InputError(f"origin: found {kind_of(name)} for a name; accepted are two texts.")
    check_replicate(origin.replicate)
    return origin


@dataclass(frozen=True)
class ChosenLayer:
    """Some ``units`` of a layer of ``size`` units: its ``name`` as it was given, and its module ``path``."""

    name: str
    path: str
    units: list[int]
    size: int


def choose_layer(
    network: nn.Module, name: str, units: Units | None = None, aliases: Mapping[str, str] | None = None
) -> ChosenLayer:
    """Return a layer and units of it; raises InputError for those that are not there."""
    path, module = find_layer(network, name, aliases)
    return ChosenLayer(name, path, choose_units(module, name, units), unit_count(module))


def subject_of_files(checkpoint: Path, listed: ListFiles, *, image_size: ImageSize | None = None) -> Subject:
    """Return the network of a file, and listed images with their classes.

    Raises InputError for a network that cannot be opened or has other heads, and for a task without images or an image
    without tasks; images are read later.
    """
    classes, images = listed.read()
    try:
        check_targets(images.targets, list(classes), [len(names) for names in classes.values()], len(images.paths))
    except InputError as error:
        raise InputError(f"{listed.images}: {error}") from None
    stored = open_network(checkpoint, image_size=image_size)
    check_fits(checkpoint, stored, classes)
    read = digest_of_images(*images.paths)
    return Subject(
        stored.network,
        partial(read_inputs, images.paths, stored.preprocessing),
        {task: len(names) for task, names in classes.items()},
        images.targets,
        digest_of_file(checkpoint),
        read if stored.told_shape is None else digest_of([read, stored.told_shape]),
        stored.step,
    )


def subject_of_arrays(
    network: Network,
    images: NDArray[Any] | Tensor | Iterable[Any],
    targets: Any,
    *,
    inputs: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Subject:
    """Return a network, or that of a file, and images in memory; ``targets`` as :func:`.name_tasks` takes them.

    ``inputs`` are other arguments of the forward pass by name; the digest of images is that of both together.

    Raises InputError for what cannot be analysed, and for targets that are none.
    """
    tensor = as_images(images)
    named = named_network(network, image_size=tuple(tensor.shape[1:]))
    ready = prepare(named.network, tensor, Computation(device=device), inputs=inputs, softmax=False)
    tasks, given = name_tasks(targets, ready.tasks)
    truth = check_targets(given, tasks, ready.classes, len(tensor))
    classes = dict(zip(tasks, ready.classes, strict=True))
    digest = _digest_of_images(tensor)
    if inputs:
        digest = digest_of([digest, {name: _digest_of_input(name, value) for name, value in as_fixed(inputs).items()}])
    return Subject(named.network, lambda: tensor, classes, truth, named.sha256, digest, named.step, inputs)


def origin_of(network: Network) -> Origin:
    """Return where the numbers of a network are from unless that is said: of a file, the checkpoint is its name."""
    return Origin(checkpoint=Path(network).stem) if isinstance(network, str | Path) else Origin()


def named_network(network: Network, *, image_size: ImageSize) -> NamedNetwork:
    """Return a network in memory, or that of a file, with what names it; raises InputError for what is neither.

    ``image_size`` is the shape of an image, or the pixels of square RGB images, which files do not all say.
    """
    if not isinstance(network, str | Path):
        return NamedNetwork(network, digest_of_network(network))
    stored = open_network(Path(network), image_size=image_size)
    return NamedNetwork(stored.network, digest_of_file(Path(network)), stored.step)


def _digest_of_images(images: Tensor) -> str:
    kept = images.cpu()
    small = kept.is_floating_point() and kept.dtype.itemsize < 4  # numpy lacks some of these
    return digest_of_array((kept.float() if small else kept).numpy())


def _digest_of_input(name: str, value: Any) -> str:
    if isinstance(value, Tensor):
        return _digest_of_images(value)
    if isinstance(value, bool | int | float | str | None):
        return repr(value)
    raise InputError(
        f"inputs['{name}']: found {kind_of(value)}, which nothing can be resumed by; accepted are arrays, tensors, "
        "numbers, texts, True, False and None."
    )
