"""Time marginalization of the demo's network: a naive loop that runs the whole network against ``marginalize``.

The naive loop is timed on a few (unit, draw) pairs of each layer, and its time for all units and draws follows by
proportion. Both are measured in the same run, in turn; the ratio is what to quote.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn

from featuresharing import marginalize, prior_draws
from featuresharing.networks.alexnet import AlexNetShape, build_alexnet
from featuresharing.networks.names import LAYERS

PAIRS = 10
"""(Unit, draw) pairs that the naive loop is timed on."""


def main() -> None:
    """Print a line for each layer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60, help="images")
    parser.add_argument("--samples", type=int, default=100, help="draws from the prior of each unit")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="largest weight of draws left out")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--small", action="store_true", help="a few images and draws: does it still run?")
    options = parser.parse_args()
    if options.small:
        options.images, options.samples = 4, 5
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    shape = AlexNetShape(48, 2, (32, 64, 64, 64, 48), (7, 5, 3, 3, 3), (256, 256), (20, 20))
    network = build_alexnet(shape).eval()
    images = torch.randn(options.images, 3, shape.image_size, shape.image_size)
    print(f"{options.images} images, {options.samples} draws, tolerance {options.tolerance}, {options.threads} threads")
    print("layer  units  naive [s]  marginalize [s]  ratio")
    for alias, path in LAYERS.items():
        layer = network.get_submodule(path)
        units = len(layer.weight)
        draws = prior_draws(network, path, 0, samples=options.samples)
        once = timed(lambda path=path, draws=draws: naive_passes(network, path, images, draws))
        naive = once / PAIRS * units * options.samples
        ours = timed(
            lambda path=path: marginalize(network, path, images, samples=options.samples, tolerance=options.tolerance)
        )
        print(f"{alias:5}  {units:5}  {naive:9.1f}  {ours:15.2f}  {naive / ours:5.0f}", flush=True)


@torch.inference_mode()
def naive_passes(network: nn.Module, path: str, images: torch.Tensor, draws: tuple[object, object]) -> None:
    """Set unit 0 to one draw after the other and run the whole network each time."""
    layer = network.get_submodule(path)
    weight, bias = layer.weight[0].clone(), layer.bias[0].clone()
    for sample in range(PAIRS):
        layer.weight[0] = torch.as_tensor(draws[0][sample % len(draws[0])])
        layer.bias[0] = float(draws[1][sample % len(draws[1])])
        [torch.softmax(scores, dim=-1) for scores in network(images)]
    layer.weight[0], layer.bias[0] = weight, bias


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
