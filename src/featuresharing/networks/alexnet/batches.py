"""Training batches: which images a step takes and how they are varied, by (seed, step) alone.

A step's images do not depend on how many processes share the step, how many workers read files, or where a run began.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from featuresharing.data.images import read_image
from featuresharing.data.preprocessing import Preprocessing, stimulus_preprocessing
from featuresharing.data.transforming import preprocess
from featuresharing.errors import InputError
from featuresharing.randomness import keyed_generator
from featuresharing.settings import TrainingSettings


@dataclass(frozen=True)
class Share:
    """The part of every batch that one of ``processes`` takes: every ``processes``-th image from ``rank`` on."""

    rank: int = 0
    processes: int = TrainingSettings.processes


class Batches(Protocol):
    """Gives the batches of a training set."""

    preprocessing: Preprocessing

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the images float32 [B, 3, size, size] and the true classes int64 [B, tasks] of a step."""
        ...


@dataclass(frozen=True)
class Order:
    """The order in which ``images`` are shown, ``batch_size`` a step: one permutation after the other, by ``seed``."""

    images: int
    batch_size: int
    seed: int

    def indices(self, step: int) -> NDArray[np.int64]:
        """Return the images of one step: a window on an endless row of permutations, one an epoch."""
        positions = self.positions(step)
        epochs = positions // self.images
        orders = {int(epoch): _epoch_order(self.images, int(epoch), self.seed) for epoch in np.unique(epochs)}
        return np.array(
            [orders[int(e)][p % self.images] for e, p in zip(epochs, positions, strict=True)], dtype=np.int64
        )

    def positions(self, step: int) -> NDArray[np.int64]:
        """Return the numbers of the step's images, counted from the start of the training."""
        return np.arange(step * self.batch_size, (step + 1) * self.batch_size)


@lru_cache(maxsize=4)
def _epoch_order(images: int, epoch: int, seed: int) -> NDArray[np.int64]:
    return keyed_generator(seed, "order", epoch).permutation(images)


class MemoryBatches:
    """Batches of uint8 ``images`` [N, 3, size, size] in memory, each shifted at random by up to ``shift`` pixels."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        targets: NDArray[np.int64],
        order: Order,
        *,
        shift: int = 0,
        share: Share | None = None,
    ) -> None:
        self._images, self._targets = torch.from_numpy(images), torch.from_numpy(targets)
        self._order, self._shift, self._share = order, shift, share or Share()
        self.preprocessing = stimulus_preprocessing(images.shape[-1])

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the images and the true classes of a step."""
        own = slice(self._share.rank, None, self._share.processes)
        indices = self._order.indices(step)
        return self._shifted(torch.from_numpy(indices), step)[own], self._targets[indices[own]]

    def _shifted(self, indices: Tensor, step: int) -> Tensor:
        """Return the images at ``indices`` as the network takes them, each shifted at random, borders repeated."""
        shift, look = self._shift, self.preprocessing
        images = self._images[indices]
        if shift:
            rng = keyed_generator(self._order.seed, "shift", step)
            moves = torch.from_numpy(rng.integers(0, 2 * shift + 1, size=(2, len(indices), 1))) - shift
            rows, columns = (
                (move + torch.arange(side)).clamp_(0, side - 1) for move, side in zip(moves, look.sides, strict=True)
            )
            image = torch.arange(len(indices))[:, None, None]
            # indexing around the full slice puts the channels last
            images = images[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        return (images.float() - look.mean[0]) / look.std[0]


@dataclass(frozen=True)
class Augmentation:
    """How images of files are varied: a crop with a share of the area in ``crop`` (aspect 3/4 to 4/3), and ``flip``."""

    crop: tuple[float, float] = TrainingSettings.crop
    flip: bool = TrainingSettings.flip


class FileBatches:
    """Batches of image files, read and varied by ``workers`` processes ahead of their use."""

    def __init__(
        self,
        paths: Sequence[Path],
        targets: NDArray[np.int64],
        order: Order,
        preprocessing: Preprocessing,
        augmentation: Augmentation,
        *,
        workers: int = TrainingSettings.workers,
        share: Share | None = None,
    ) -> None:
        self._files = _Files([str(path) for path in paths], preprocessing, augmentation, order.seed)
        self._targets, self._order = torch.from_numpy(targets), order
        self._workers, self._share = workers, share or Share()
        self.preprocessing = preprocessing
        self._next = -1
        self._iterator: Iterator[Tensor] = iter(())

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the images and the true classes of a step; steps in their order are read ahead.

        Raises InputError for an image that cannot be decoded, or is not what was written.
        """
        if step != self._next:
            # torch would take the workers' seed from the global generator
            loader: DataLoader[Tensor] = DataLoader(
                self._files,
                batch_sampler=_Sampler(self._order, self._share, step),
                num_workers=self._workers,
                multiprocessing_context="spawn" if self._workers else None,
                generator=torch.Generator(),
            )
            self._iterator = iter(loader)
        self._next = step + 1
        own = slice(self._share.rank, None, self._share.processes)
        try:
            images = next(self._iterator)
        except InputError as error:  # torch puts the traceback of a worker in front of the sentence
            sentence = str(error).rstrip().rpartition("\n")[2]
            raise InputError(re.sub(r"^featuresharing(\.\w+)+: ", "", sentence)) from None
        return images, self._targets[self._order.indices(step)[own]]


class _Sampler:
    """Names the images of one step after the other, without end: (number in the training, index)."""

    def __init__(self, order: Order, share: Share, step: int) -> None:
        self._order, self._share, self._step = order, share, step

    def __iter__(self) -> Iterator[list[Any]]:
        own = slice(self._share.rank, None, self._share.processes)
        step = self._step
        while True:
            positions, indices = self._order.positions(step)[own], self._order.indices(step)[own]
            yield list(zip(positions.tolist(), indices.tolist(), strict=True))
            step += 1


class _Files(Dataset[Tensor]):
    """Reads and varies images; what a worker of a DataLoader gets."""

    def __init__(self, paths: list[str], look: Preprocessing, augmentation: Augmentation, seed: int) -> None:
        self._paths, self._look, self._augmentation, self._seed = paths, look, augmentation, seed

    def __getitem__(self, item: tuple[int, int]) -> Tensor:
        position, index = item
        path = Path(self._paths[index])
        pixels = augment(read_image(path), self._look.sides[0], self._augmentation, self._seed, position)
        return torch.from_numpy(preprocess(path, pixels, self._look))


def augment(
    pixels: NDArray[np.uint8], size: int, augmentation: Augmentation, seed: int, position: int
) -> NDArray[np.uint8]:
    """Return a random crop of an image [H, W, 3], smoothly scaled to [size, size, 3], by (seed, position) alone."""
    rng = keyed_generator(seed, "augment", position)
    height, width = pixels.shape[:2]
    area = rng.uniform(*augmentation.crop) * height * width
    aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))) if augmentation.crop != (1.0, 1.0) else width / height
    across, down, mirrored = rng.random(3)
    crop_width, crop_height = min(width, np.sqrt(area * aspect)), min(height, np.sqrt(area / aspect))
    left, top = across * (width - crop_width), down * (height - crop_height)
    box = (left, top, left + crop_width, top + crop_height)
    image = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR, box=box)
    if augmentation.flip and mirrored < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image)
