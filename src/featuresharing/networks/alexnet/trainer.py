"""Train a multi-task AlexNet; every step depends on (settings, seed, step) alone: a resumed run is the same run.

The images of a step, how they are varied and the dropout masks come from generators keyed by (seed, epoch), (seed,
step) or (seed, image). The state that a resume needs is therefore only the network, the optimiser and the step.
Floating point sums depend on how many threads and processes share them: those numbers are settings too. On one kind of
machine and one version of torch the weights are equal bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from featuresharing.errors import InputError
from featuresharing.networks.alexnet.architecture import build_alexnet, fold_batch_norm, plain_alexnet
from featuresharing.networks.alexnet.batches import Batches, Share
from featuresharing.networks.alexnet.names import LAYERS
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.networks.checkpoints import Checkpoint
from featuresharing.networks.finite import refuse_non_finite
from featuresharing.randomness import keyed_generator
from featuresharing.settings import NetworkSettings, TrainingSettings, check
from featuresharing.settings.fields import keys_of


@dataclass(frozen=True)
class TrainerSettings:
    """``steps`` on batches of ``batch_size`` images.

    ``optimiser`` is ``adamw`` with a one-cycle learning rate whose peak is ``learning_rate``, or ``sgd`` with
    ``momentum`` and a learning rate that is multiplied by ``decay`` after each step in ``decay_at``. ``log_every`` is
    the number of steps that a row of the log averages over. ``precision`` below float32 is that of matrix products
    (torch.autocast); weights and the rest stay float32.
    """

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    dropout: float
    log_every: int
    seed: int
    optimiser: str = TrainingSettings.optimiser
    decay_at: tuple[int, ...] = TrainingSettings.decay_at
    decay: float = TrainingSettings.decay
    momentum: float = TrainingSettings.momentum
    batch_norm: bool = NetworkSettings.batch_norm
    precision: str = TrainingSettings.precision

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name in keys_of(TrainingSettings):
                check(TrainingSettings, field.name, getattr(self, field.name))


@dataclass(frozen=True)
class LogRow:
    """Mean loss (nats) and accuracy of one task over the training batches of the last steps up to ``step``."""

    step: int
    task: str
    loss: float
    accuracy: float


class Trainer:
    """A network under training on ``batches``, for ``tasks`` with the heads of ``shape``.

    The loss is the sum of the tasks' cross entropies. No global random state is read or left changed. With a ``share``
    of several processes, gradients are averaged over their group, which exists (torch's DistributedDataParallel).
    """

    def __init__(
        self,
        batches: Batches,
        tasks: Sequence[str],
        shape: AlexNetShape,
        settings: TrainerSettings,
        *,
        device: str = "cpu",
        share: Share | None = None,
    ) -> None:
        self._batches, self._tasks, self._shape, self._settings = batches, tuple(tasks), shape, settings
        self._device, self._share = device, share or Share()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_torch_seed(settings.seed, "weights"))
            network = build_alexnet(shape, dropout=settings.dropout, batch_norm=settings.batch_norm)
        # the layout in which convolutions, pooling and batch norms are fastest on a CPU
        self._layout = torch.channels_last if device == "cpu" else torch.contiguous_format
        self._network = network.to(device, memory_format=self._layout).train()  # type: ignore[call-overload]
        self._parallel: nn.Module = self._network
        if self._share.processes > 1:
            devices = [device] if device.startswith("cuda") else None
            self._parallel = DistributedDataParallel(self._network, device_ids=devices)
        self._optimiser, self._schedule = _make_optimiser(self._network, settings)
        self._scaler = torch.amp.GradScaler(device.partition(":")[0], enabled=settings.precision == "float16")
        self.step = 0
        self.log: list[LogRow] = []
        self._sums = torch.zeros(2, len(self._tasks), dtype=torch.float64)
        self._summed = 0

    def advance(self) -> None:
        """Take one step; raises InputError if a loss is no finite number any more.

        At the end of each interval of ``log_every`` steps, the interval's rows are appended to the log.
        """
        images, targets = self._batches.batch(self.step)
        inputs = images.to(self._device, non_blocking=True, memory_format=self._layout)
        targets = targets.to(self._device, non_blocking=True)
        key = ("dropout", self.step) if self._share.rank == 0 else ("dropout", self.step, self._share.rank)
        with torch.random.fork_rng(devices=[self._device] if self._device.startswith("cuda") else []):
            torch.manual_seed(_torch_seed(self._settings.seed, *key))
            precision = getattr(torch, self._settings.precision)
            kind = self._device.partition(":")[0]
            with torch.autocast(kind, precision, enabled=precision != torch.float32):
                outputs = self._parallel(inputs)
        losses = [F.cross_entropy(scores.float(), targets[:, task]) for task, scores in enumerate(outputs)]
        self._optimiser.zero_grad()
        torch.autograd.backward(self._scaler.scale(torch.stack(losses).sum()))
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._schedule.step()
        self.step += 1
        self._record(losses, outputs, targets)

    def checkpoint(self) -> Checkpoint:
        """Return the network as it is now, its batch norms folded in; raises InputError if it is not finite."""
        if self._settings.batch_norm:
            network = fold_batch_norm(self._network, self._shape)
            network.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        else:
            network = plain_alexnet(self._shape)
            network.load_state_dict(self._network.state_dict())
        refuse_non_finite(f"training diverged at step {self.step}", network, LAYERS)
        return Checkpoint(network, self._shape, self._tasks, self.step, self._batches.preprocessing)

    def state_dict(self) -> dict[str, Any]:
        """Return all that :meth:`load_state_dict` needs to go on from here."""
        return {
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
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
        self._scaler.load_state_dict(state["scaler"])
        self.step = state["step"]
        self.log = [LogRow(*row) for row in state["log"]]
        self._sums, self._summed = state["sums"], state["summed"]

    @torch.no_grad()
    def _record(self, losses: list[Tensor], outputs: tuple[Tensor, ...], targets: Tensor) -> None:
        hits = [(scores.argmax(dim=1) == targets[:, task]).double().mean() for task, scores in enumerate(outputs)]
        means = torch.stack([torch.stack(losses).double(), torch.stack(hits)])
        if self._share.processes > 1:
            distributed.all_reduce(means)
            means /= self._share.processes
        means = means.cpu()
        for task, loss in enumerate(means[0].tolist()):
            if loss != loss or loss in (float("inf"), float("-inf")):  # noqa: PLR0124 NaN is not itself
                raise InputError(
                    f"training diverged: the loss of task '{self._tasks[task]}' is {loss} at step {self.step}; "
                    f"accepted is a lower learning rate than {self._settings.learning_rate:g}."
                )
        self._sums += means
        self._summed += 1
        if self.step % self._settings.log_every == 0 or self.step == self._settings.steps:
            average = (self._sums / self._summed).tolist()
            self.log += [
                LogRow(self.step, task, *row) for task, row in zip(self._tasks, zip(*average, strict=True), strict=True)
            ]
            self._sums, self._summed = torch.zeros_like(self._sums), 0


def _make_optimiser(
    network: nn.Module, settings: TrainerSettings
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimiser == "adamw":
        adamw = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay, fused=True)
        return adamw, torch.optim.lr_scheduler.OneCycleLR(adamw, rate, total_steps=settings.steps)
    sgd = torch.optim.SGD(network.parameters(), lr=rate, momentum=settings.momentum, weight_decay=decay)
    return sgd, torch.optim.lr_scheduler.MultiStepLR(sgd, list(settings.decay_at), settings.decay)


def _torch_seed(seed: int, *key: str | int) -> int:
    return int(keyed_generator(seed, *key).integers(2**62))
