"""Small networks in float64 with fixed weights, and images for them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import erf
from torch import Tensor, nn

from featuresharing.networks.alexnet.architecture import build_alexnet
from featuresharing.networks.alexnet.sizes import AlexNetShape

Array = NDArray[np.floating[Any]]

ACTIVATIONS: dict[str, tuple[type[nn.Module], Callable[[Array], Array]]] = {
    "relu": (nn.ReLU, lambda x: np.maximum(x, 0)),
    "tanh": (nn.Tanh, np.tanh),
    "gelu": (nn.GELU, lambda x: x * (1 + erf(x / np.sqrt(2))) / 2),
}


def perceptron(activation: str = "relu", *, bias: bool = True, inputs: int = 4, seed: int = 1) -> nn.Sequential:
    act = ACTIVATIONS[activation][0]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hidden = nn.Linear(inputs, 6, bias=bias), act(), nn.Linear(6, 5, bias=bias), act(), nn.Linear(5, 3, bias=bias)
        network = nn.Sequential(*hidden).double()
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.8)
    return network


def different_images(inputs: int = 4) -> Tensor:
    """Return images of length 0, 0.1, about 2, and 30."""
    images = np.random.default_rng(3).standard_normal((4, inputs))
    images[0] = 0
    images[1] *= 0.1 / np.linalg.norm(images[1])
    images[3] *= 30 / np.linalg.norm(images[3])
    return torch.from_numpy(images)


SMALL_SHAPE = AlexNetShape(16, 1, (4, 5, 4, 5, 4), (5, 3, 3, 1, 3), (7, 6), (3, 4))


def small_alexnet() -> nn.Sequential:
    """Return the multi-task AlexNet with a handful of units a layer, for images of 16 pixels and 3 and 4 classes."""
    return build_alexnet(SMALL_SHAPE, dropout=0.5)


def keep_alive(network: nn.Module, *, biases: bool = False) -> None:
    """Draw parameters so that signals stay alive through deep networks; with ``biases``, let channels differ."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter)
            elif biases:
                parameter.add_(0.3 * torch.randn(parameter.shape))


def alexnet(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """Return the same with weights that keep signals alive, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = small_alexnet()
        keep_alive(network)
    return network.eval().to(dtype)


def pictures(count: int = 3) -> Tensor:
    return torch.from_numpy(np.random.default_rng(5).standard_normal((count, 3, 16, 16)))


class Gaps(nn.Module):
    """A layer whose rows have gaps in memory, so that torch adds its bias in a step of its own."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.hidden, self.head, self.step = nn.Linear(4, 6), nn.Linear(6, 3), step

    def forward(self, x: Tensor) -> Tensor:
        rows = x.unsqueeze(1)
        rows = rows[..., :: self.step] if self.step > 1 else rows[..., :4]
        return self.head(torch.relu(self.hidden(rows)).flatten(1))


def gaps(step: int) -> tuple[Gaps, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return Gaps(step).double(), torch.randn(3, 8, dtype=torch.float64)


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.embed(x)).mean(dim=1))
