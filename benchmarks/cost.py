"""Compare the cost model with measurements, and estimate what whole networks would take.

Predictions are those behind the limits of the workflow's jobs (featuresharing.estimators.durations). Without
``--networks``, units of layers of two networks are timed on one thread and put beside what was predicted. With it,
predictions for all units of all layers of whole networks are added up.
"""

import argparse
import copy
import time

import torch
from marginalize import demo_alexnet, paper_alexnet
from torch import nn

from featuresharing import Estimation, Marginalization
from featuresharing.engine.describing import describe_network
from featuresharing.estimators.durations import layer_cost, marginalize_seconds
from featuresharing.networks.alexnet.names import LAYERS

PAIRS = {
    "demo": {
        "conv1": [(48, 8), (150, 4)],
        "conv2": [(48, 40), (150, 16)],
        "conv3": [(48, 60), (150, 40)],
        "conv4": [(48, 60), (150, 40)],
        "conv5": [(48, 46), (150, 46)],
        "fc6": [(48, 250), (150, 250)],
        "fc7": [(48, 250), (150, 250)],
    },
    "paper": {
        "conv1": [(24, 4), (64, 1)],
        "conv2": [(24, 10), (64, 4)],
        "conv3": [(24, 16), (64, 8)],
        "conv4": [(24, 30), (64, 16)],
        "conv5": [(24, 80), (64, 50)],
        "fc6": [(24, 400), (64, 200)],
        "fc7": [(24, 800), (64, 500)],
    },
}
"""Images, and units that are timed on them, by network and layer."""

ESTIMATION = Estimation()


def main() -> None:
    """Print a line for each pair, or for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", action="store_true", help="estimate whole networks instead")
    parser.add_argument("--images", type=int, default=600, help="images of the estimates")
    parser.add_argument("--small", action="store_true", help="one layer of the demo: does it still run?")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.networks:
        estimate(options.images)
    else:
        compare(small=options.small)


def compare(*, small: bool) -> None:
    """Time units and print the predictions beside."""
    print("network  layer  images  units  predicted [s]  measured [s]  measured / predicted")
    for name, layers in PAIRS.items():
        network, size = networks()["demo" if name == "demo" else "paper's AlexNet"]
        description = describe_network(network, size)
        for alias, pairs in layers.items():
            cost = layer_cost(description, LAYERS[alias])
            for images, units in pairs:
                pictures = torch.randn(images, 3, size, size)
                draws = ESTIMATION.make().kept_draws(cost.size)
                predicted = marginalize_seconds(cost, units, images, draws)
                measured = timed(network, LAYERS[alias], pictures, units + 1) - timed(
                    network, LAYERS[alias], pictures, 1
                )
                print(
                    f"{name:8} {alias:5} {images:7} {units:6} {predicted:14.2f} {measured:13.2f}"
                    f" {measured / predicted:21.2f}",
                    flush=True,
                )
                if small:
                    return


def timed(network: nn.Module, path: str, images: torch.Tensor, units: int) -> float:
    """Return the seconds that the first units of a layer take, tracing left out."""
    run = Marginalization(network, path, images, ESTIMATION, units=range(units))
    start = time.perf_counter()
    for _ in run.pieces():
        pass
    return time.perf_counter() - start


def estimate(images: int) -> None:
    """Print what all units of all layers of some networks take on one core."""
    print("network          layers   units  units' parameters   core-hours")
    for name, (network, pixels) in networks().items():
        hours = units = layers = parameters = 0.0
        description = describe_network(network, pixels)
        for layer in description.layers:
            if layer.refused:  # such as the products within torch's own attention
                continue
            cost = layer_cost(description, layer.path)
            draws = ESTIMATION.make().kept_draws(cost.size)
            hours += marginalize_seconds(cost, cost.units, images, draws) / 3600
            units, layers, parameters = units + cost.units, layers + 1, parameters + cost.units * cost.size
        print(f"{name:15} {layers:7.0f} {units:7.0f} {parameters:18.3g} {hours:12.2f}", flush=True)


def networks() -> dict[str, tuple[nn.Module, int]]:
    """Return networks with random weights, and the size of their images."""
    return {
        "demo": (demo_alexnet().eval(), 48),
        "paper's AlexNet": (paper_alexnet().eval(), 224),
        "ResNet-50": (resnet50().eval(), 224),
        "ViT-B/16": (VisionTransformer().eval(), 224),
    }


class Bottleneck(nn.Module):
    """The block of a ResNet-50: three convolutions and a skip connection."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            *(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)),
        )
        fits = inputs == 4 * width and stride == 1
        skip = nn.Conv2d(inputs, 4 * width, 1, stride, bias=False)
        self.skip = nn.Identity() if fits else nn.Sequential(skip, nn.BatchNorm2d(4 * width))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return maps [N, 4 width, ...]."""
        return torch.relu(self.path(images) + self.skip(images))


def resnet50() -> nn.Sequential:
    """Build a ResNet-50."""
    blocks: list[nn.Module] = []
    inputs = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for index in range(count):
            blocks.append(Bottleneck(inputs, width, stride if index == 0 else 1))
            inputs = 4 * width
    stem = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


class VisionTransformer(nn.Module):
    """A ViT-B/16: patches of 16 pixels, twelve layers of 768 features."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 768, 16, 16)
        self.first = nn.Parameter(torch.zeros(1, 1, 768))
        self.places = nn.Parameter(torch.zeros(1, 197, 768))
        layer = nn.TransformerEncoderLayer(768, 12, 3072, activation="gelu", batch_first=True, norm_first=True)
        self.layers = nn.Sequential(*(copy.deepcopy(layer) for _ in range(12)))
        self.head = nn.Sequential(nn.LayerNorm(768), nn.Linear(768, 1000))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return raw scores [N, 1000]."""
        patches = self.patches(images).flatten(2).mT
        tokens = torch.cat([self.first.expand(len(images), -1, -1), patches], dim=1) + self.places
        return self.head(self.layers(tokens)[:, 0])


if __name__ == "__main__":
    main()
