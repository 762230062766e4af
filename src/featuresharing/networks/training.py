"""Train a multi-task AlexNet; every step depends on (settings, seed, step) alone: a resumed run is the same run.

The order of images, their shifts and the dropout masks of a step come from generators keyed by (seed, epoch) or
(seed, step). The state that a resume needs is therefore only the network, the optimiser and the step. Floating point
sums depend on how many threads share them: the number of threads is a setting too. On one kind of machine and one
version of torch the weights are equal bit for bit.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from featuresharing.data.images import MEAN, SCALE
from featuresharing.errors import InputError
from featuresharing.networks.alexnet import AlexNetShape, build_alexnet, fold_batch_norm
from featuresharing.networks.checkpoints import Checkpoint
from featuresharing.randomness import keyed_generator


@dataclass(frozen=True)
class TrainingSettings:
    """``steps`` of AdamW with a one-cycle learning rate on batches of ``batch_size`` images.

    ``learning_rate`` is the cycle's peak; ``shift`` the largest random shift of an image in pixels; ``log_every`` the
    number of steps that a row of the log averages over.
    """

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    dropout: float
    shift: int
    log_every: int
    seed: int


@dataclass(frozen=True)
class LogRow:
    """Mean loss (nats) and accuracy of one task over the training batches of the last steps up to ``step``."""

    step: int
    task: str
    loss: float
    accuracy: float


class Trainer:
    """A network under training on uint8 ``images`` [N, 3, size, size] with int64 ``targets`` [N, tasks].

    The loss is the sum of the tasks' cross entropies. No global random state is read or left changed.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        targets: NDArray[np.int64],
        tasks: tuple[str, ...],
        shape: AlexNetShape,
        settings: TrainingSettings,
        *,
        device: str = "cpu",
    ) -> None:
        self._images, self._targets = torch.from_numpy(images), torch.from_numpy(targets)
        self._tasks, self._shape, self._settings, self._device = tasks, shape, settings, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_torch_seed(settings.seed, "weights"))
            network = build_alexnet(shape, dropout=settings.dropout, batch_norm=True)
        self._network = network.to(device).train()
        self._optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, settings.learning_rate, total_steps=settings.steps
        )
        self.step = 0
        self.log: list[LogRow] = []
        self._sums = torch.zeros(2, len(tasks), dtype=torch.float64)
        self._summed = 0

    def advance(self) -> None:
        """Take one step; raises InputError if a loss is no finite number any more.

        At the end of each interval of ``log_every`` steps, the interval's rows are appended to the log.
        """
        indices = _batch_indices(len(self._images), self._settings.batch_size, self.step, self._settings.seed)
        inputs = self._shifted(torch.from_numpy(indices)).to(self._device)
        targets = self._targets[indices].to(self._device)
        with torch.random.fork_rng(devices=[self._device] if self._device.startswith("cuda") else []):
            torch.manual_seed(_torch_seed(self._settings.seed, "dropout", self.step))
            outputs = self._network(inputs)
        losses = [F.cross_entropy(scores, targets[:, task]) for task, scores in enumerate(outputs)]
        self._optimiser.zero_grad()
        torch.autograd.backward(torch.stack(losses).sum())
        self._optimiser.step()
        self._schedule.step()
        self.step += 1
        self._record(losses, outputs, targets)

    def checkpoint(self) -> Checkpoint:
        """Return the network as it is now, its batch norms folded in."""
        return Checkpoint(fold_batch_norm(self._network, self._shape).to("cpu"), self._shape, self._tasks, self.step)

    def state_dict(self) -> dict[str, Any]:
        """Return all that :meth:`load_state_dict` needs to go on from here."""
        return {
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "step": self.step,
            "log": [(row.step, row.task, row.loss, row.accuracy) for row in self.log],
            "sums": self._sums,
            "summed": self._summed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to the step at which :meth:`state_dict` was taken."""
        self._network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        self.step = state["step"]
        self.log = [LogRow(*row) for row in state["log"]]
        self._sums, self._summed = state["sums"], state["summed"]

    def _shifted(self, indices: Tensor) -> Tensor:
        """Return the images at ``indices`` as the network takes them, each shifted at random, borders repeated."""
        shift, size = self._settings.shift, self._shape.image_size
        images = (self._images[indices].float() - MEAN) / SCALE
        if shift == 0:
            return images
        rng = keyed_generator(self._settings.seed, "shift", self.step)
        down, across = torch.from_numpy(rng.integers(0, 2 * shift + 1, size=(2, len(indices), 1)))
        positions = torch.arange(size)
        padded = F.pad(images, (shift,) * 4, mode="replicate")
        image = torch.arange(len(indices))[:, None, None]
        # indexing around the full slice puts the channels last
        moved = padded[image, :, (down + positions)[:, :, None], (across + positions)[:, None, :]]
        return moved.permute(0, 3, 1, 2).contiguous()

    @torch.no_grad()
    def _record(self, losses: list[Tensor], outputs: tuple[Tensor, ...], targets: Tensor) -> None:
        for task, (loss, scores) in enumerate(zip(losses, outputs, strict=True)):
            if not torch.isfinite(loss):
                raise InputError(
                    f"training diverged: the loss of task '{self._tasks[task]}' is {loss.item()} at step {self.step}; "
                    f"accepted is a lower learning rate than {self._settings.learning_rate:g}."
                )
            self._sums[0, task] += loss.item()
            self._sums[1, task] += (scores.argmax(dim=1) == targets[:, task]).double().mean().item()
        self._summed += 1
        if self.step % self._settings.log_every == 0 or self.step == self._settings.steps:
            means = (self._sums / self._summed).tolist()
            self.log += [
                LogRow(self.step, task, *row) for task, row in zip(self._tasks, zip(*means, strict=True), strict=True)
            ]
            self._sums, self._summed = torch.zeros_like(self._sums), 0


def _batch_indices(images: int, batch_size: int, step: int, seed: int) -> NDArray[np.int64]:
    """Return the images of one step: a window on an endless row of permutations, one an epoch."""
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = positions // images
    orders = {int(epoch): _epoch_order(images, int(epoch), seed) for epoch in np.unique(epochs)}
    return np.array([orders[int(e)][p % images] for e, p in zip(epochs, positions, strict=True)], dtype=np.int64)


@lru_cache(maxsize=4)
def _epoch_order(images: int, epoch: int, seed: int) -> NDArray[np.int64]:
    return keyed_generator(seed, "order", epoch).permutation(images)


def _torch_seed(seed: int, *key: str | int) -> int:
    return int(keyed_generator(seed, *key).integers(2**62))
