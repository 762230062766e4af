"""Settings of networks that the workflow trains: the sizes of the multi-task AlexNet, and how it is trained."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from featuresharing.settings.block import Block, Problem
from featuresharing.settings.fields import SEED, setting
from featuresharing.settings.sentences import shown

MOST_STEPS = 10**9

MOST_UNITS = 2**16
"""Units that a layer may have."""

MOST_PROCESSORS = 1024

UNITS: dict[str, Any] = {"least": 1, "most": MOST_UNITS}

PROCESSORS: dict[str, Any] = {"least": 1, "most": MOST_PROCESSORS}

LAYERS = {
    "conv1": "0.0.0",
    "conv2": "0.0.3",
    "conv3": "0.0.6",
    "conv4": "0.0.8",
    "conv5": "0.0.10",
    "fc6": "1.2",
    "fc7": "1.5",
}
"""Aliases of the multi-task AlexNet's shared layers and their module paths, which are those of the paper's models."""


@dataclass(frozen=True)
class NetworkSettings(Block):
    """Sizes of the multi-task AlexNet; with ``source: archives``, those that the models are to have."""

    stride: int = setting(
        2, "stride of conv1, at most an eighth of `image_size`; maps are halved after conv1, 2 and 5", least=1, most=8
    )
    channels: tuple[int, ...] = setting(
        (24, 64, 64, 64, 48), "units of conv1 to conv5", fewest=5, longest_list=5, **UNITS
    )
    kernels: tuple[int, ...] = setting(
        (7, 3, 3, 3, 3),
        "kernel sizes of conv1 to conv5",
        fewest=5,
        longest_list=5,
        choices=(1, 3, 5, 7, 9, 11),
        each="an odd integer from 1 to 11",
    )
    hidden: tuple[int, ...] = setting((256, 256), "units of fc6 and fc7", fewest=2, longest_list=2, **UNITS)
    pool: int = setting(2, "width of the poolings, of stride 2", choices=(2, 3), unit="pixels")
    padding: int | None = setting(None, "padding of conv1", least=0, most=512, null="half its kernel")
    batch_norm: bool = setting(True, "train with a batch norm behind every layer, folded in afterwards")

    def sizes(self) -> dict[str, Any]:
        """Return the sizes of the network by their names, without how it is trained."""
        return {name: value for name, value in vars(self).items() if name != "batch_norm"}


@dataclass(frozen=True)
class TrainingSettings(Block):
    """How networks are trained."""

    checkpoints: tuple[int, ...] = setting(
        (0, 50, 200, 500, 800, 1200, 2000, 3400),
        "steps at which the network is saved: 0 is the untrained network, the last ends the training",
        fewest=1,
        longest_list=1000,
        least=0,
        most=MOST_STEPS,
        accepted="a list of rising training steps",
    )
    batch_size: int = setting(64, "images a step, of all processes together", least=2, most=10**6)
    optimiser: str = setting(
        "adamw", "AdamW with a one-cycle learning rate, or SGD whose rate falls in steps", choices=("adamw", "sgd")
    )
    learning_rate: float = setting(0.003, "peak of the cycle, or rate of `sgd` at first", above=0, most=10**6)
    decay_at: tuple[int, ...] = setting(
        (),
        "steps at which the rate of `sgd` falls",
        longest_list=1000,
        least=1,
        most=MOST_STEPS,
        accepted="a list of training steps",
    )
    decay: float = setting(0.1, "factor by which it falls", above=0, most=1)
    momentum: float = setting(0.9, "momentum of `sgd`", least=0, below=1)
    weight_decay: float = setting(0.05, "weight decay, of both optimisers", least=0, most=10**6)
    dropout: float = setting(0.3, "share of inputs of fc6 and fc7 that are dropped", least=0, below=1)
    shift: int = setting(
        3, "largest random shift of an image when it is shown; of drawings only", least=0, most=512, unit="pixels"
    )
    crop: tuple[float, float] = setting(
        (1, 1), "range of the share of an image's area that random crops show; of folders only",
        above=0, most=1, rising=True,
    )  # fmt: skip
    flip: bool = setting(False, "mirror half of the images, and with them their words; of folders only")
    precision: str = setting(
        "float32",
        "precision of matrix products while training; weights are float32",
        choices=("float32", "bfloat16", "float16"),
    )
    workers: int = setting(0, "processes that read images ahead; of folders only", least=0, most=MOST_PROCESSORS)
    processes: int = setting(1, "processes that share each batch, one a GPU", **PROCESSORS)
    log_every: int = setting(20, "steps that a row of the log averages over", least=1, most=10**6)
    threads: int = setting(
        1, "threads of torch; trained weights depend on it, since the order of sums does", **PROCESSORS
    )
    seed: int | None = setting(None, "seed of weights, order, shifts and dropout", **SEED)

    def contradictions(self) -> Iterator[Problem]:
        """Steps rise, and some training is done."""
        steps = list(self.checkpoints)
        if steps != sorted(set(steps)) or steps[-1] < 1:
            yield Problem("checkpoints", f": found {shown(steps)}; accepted are rising steps, the last at least 1")
