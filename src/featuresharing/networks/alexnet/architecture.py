"""The multi-task AlexNet: shared convolutions and fully connected layers, one linear head a task.

The module tree is the paper's, so that module paths carry over from its Torch7 models::

    0.0.0 conv1   0.0.3 conv2   0.0.6 conv3   0.0.8 conv4   0.0.10 conv5
    1.2 fc6       1.5 fc7       1.7.0, 1.7.1, ... heads

Training needs batch normalisation at this size; analysis wants units that have one weight and one bias. So a network is
built for training with a batch norm behind every shared layer, and :func:`fold_batch_norm` turns it into the plain
tree above, which computes the same at evaluation: a unit is a filter with its batch norm folded in.
"""

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from featuresharing.networks.alexnet.names import LAYERS
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.networks.formats.torch7_model.torch7_modules import ConcatTable


def build_alexnet(shape: AlexNetShape, *, dropout: float = 0.0, batch_norm: bool = False) -> nn.Sequential:
    """Build a multi-task AlexNet with fresh weights from torch's current random state.

    The network takes float images [N, 3, image_size, image_size] and returns a tuple of raw scores [N, classes], one a
    task. With ``batch_norm`` every shared layer is a pair (linear operator, batch norm) at its module path.
    """
    inputs = (3, *shape.channels[:-1])
    convolutions = [
        _normalised(nn.Conv2d(i, o, k, stride, padding), nn.BatchNorm2d(o), batch_norm)
        for i, o, k, stride, padding in zip(
            inputs, shape.channels, shape.kernels, (shape.stride, 1, 1, 1, 1), shape.paddings, strict=True
        )
    ]
    flat = shape.channels[-1] * shape.maps[-1] ** 2
    fc6, fc7 = (
        _normalised(nn.Linear(i, o), nn.BatchNorm1d(o), batch_norm)
        for i, o in zip((flat, shape.hidden[0]), shape.hidden, strict=True)
    )
    conv1, conv2, conv3, conv4, conv5 = convolutions
    features = nn.Sequential(
        *(conv1, nn.ReLU(), nn.MaxPool2d(shape.pool, 2)),
        *(conv2, nn.ReLU(), nn.MaxPool2d(shape.pool, 2)),
        *(conv3, nn.ReLU()),
        *(conv4, nn.ReLU()),
        *(conv5, nn.ReLU(), nn.MaxPool2d(shape.pool, 2)),
    )
    heads = ConcatTable(nn.Linear(shape.hidden[1], classes) for classes in shape.classes)
    classifier = nn.Sequential(
        nn.Flatten(), nn.Dropout(dropout), fc6, nn.ReLU(), nn.Dropout(dropout), fc7, nn.ReLU(), heads
    )
    return nn.Sequential(nn.Sequential(features), classifier)


def build_from_sizes(**sizes: object) -> nn.Sequential:
    """Build a multi-task AlexNet of sizes as :meth:`.AlexNetShape.as_dict` gives them; raises InputError for others."""
    return build_alexnet(AlexNetShape.from_dict(sizes))


def plain_alexnet(shape: AlexNetShape) -> nn.Sequential:
    """Build the plain tree in evaluation mode, for parameters to be put into; no global random state is changed."""
    with torch.random.fork_rng(devices=[]):
        return build_alexnet(shape).eval()


def fold_batch_norm(network: nn.Sequential, shape: AlexNetShape) -> nn.Sequential:
    """Return the plain network, in evaluation mode, that computes what ``network`` computes at evaluation.

    ``network`` (built with ``batch_norm=True``) is left as it was.
    """
    folded = plain_alexnet(shape)
    for path in LAYERS.values():
        folded.set_submodule(path, _fuse(*copy.deepcopy(network.get_submodule(path)).eval().children()))
    folded.get_submodule("1.7").load_state_dict(network.get_submodule("1.7").state_dict())
    return folded


def _normalised(layer: nn.Module, norm: nn.Module, batch_norm: bool) -> nn.Module:
    return nn.Sequential(layer, norm) if batch_norm else layer


def _fuse(layer: Any, norm: Any) -> nn.Module:
    return fuse_conv_bn_eval(layer, norm) if isinstance(layer, nn.Conv2d) else fuse_linear_bn_eval(layer, norm)
