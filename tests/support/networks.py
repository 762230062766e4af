"""Small networks that several test files look at."""

import torch
from torch import nn

from featuresharing.networks.alexnet.architecture import build_alexnet
from featuresharing.networks.alexnet.sizes import AlexNetShape


def small_alexnet() -> nn.Sequential:
    """Return the multi-task AlexNet with a handful of units a layer, for images of 16 pixels and 3 and 4 classes."""
    return build_alexnet(AlexNetShape(16, 1, (4, 5, 4, 5, 4), (5, 3, 3, 1, 3), (7, 6), (3, 4)), dropout=0.5)


def keep_alive(network: nn.Module, *, biases: bool = False) -> None:
    """Draw parameters so that signals stay alive through deep networks; with ``biases``, let channels differ."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter)
            elif biases:
                parameter.add_(0.3 * torch.randn(parameter.shape))
