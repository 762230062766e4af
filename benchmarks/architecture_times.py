"""Time layers of networks of today against what a user would write instead, and lesions against captum, in one run.

Of ResNet-50, ConvNeXt-T, MobileNetV3-L, ViT-B/16 and Swin-T with random weights, an early, a middle and a late layer:

``naive``  sets the unit to one draw after the other and runs the whole network each time.
``vmap``   ``torch.func.functional_call`` under ``torch.func.vmap``: several draws of a unit in one call.
``plain``  ``engine="plain"`` of ours, which runs the whole network too, but only for the draws that are kept.
``ours``   the engine that computes what changes.

Each is timed on a few draws of a unit, in turns, in CPU-seconds; those for a unit follow by proportion, of the naive
loop and vmap for all draws, of ours for those that are kept. ``--lesions`` times :func:`featuresharing.lesion` beside
captum's LayerFeatureAblation on the same units, with the best of some numbers of ablations at a time, and compares the
numbers.

Needs ``pip install torchvision captum``, which the project itself does not; says so and ends well where they are
absent.
"""

import argparse
import importlib
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from architectures import is_there
from torch import Tensor, nn
from torch.func import functional_call, vmap

from featuresharing import lesion
from featuresharing.computation import Computation
from featuresharing.engine.engines import make_engine, retried
from featuresharing.engine.protocol import Engine
from featuresharing.estimators.draw_weights import expected_draws
from featuresharing.networks.layers import find_layer, unit_size

NETWORKS = {
    "resnet50": ("conv1", "layer3.0.conv2", "layer4.2.conv2"),
    "convnext_tiny": ("features.0.0", "features.3.1.block.3", "features.7.2.block.3"),
    "mobilenet_v3_large": ("features.0.0", "features.7.block.0.0", "features.16.0"),
    "vit_b_16": ("conv_proj", "encoder.layers.encoder_layer_5.mlp.0", "encoder.layers.encoder_layer_11.mlp.3"),
    "swin_t": ("features.0.0", "features.3.1.mlp.0", "features.7.1.mlp.3"),
}
"""Names in torchvision, and layers."""

DRAWS = 2
"""Draws that whole passes are timed on."""

MOST = 8
"""Draws of ours that are timed together, at most."""

ABLATIONS = (1, 4, 16)
"""Ablations that captum makes at a time."""


def main() -> int:
    """Print a line for each layer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--images", type=int, default=8, help="images")
    parser.add_argument("--pixels", type=int, default=224, help="their size")
    parser.add_argument("--samples", type=int, default=100, help="draws of a unit")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="largest weight of draws left out")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is timed; medians are printed")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--lesions", action="store_true", help="time lesions instead")
    parser.add_argument("--small", action="store_true", help="one network on small images: does it still run?")
    options = parser.parse_args()
    missing = [name for name in ("torchvision", "captum") if not is_there(name)]
    if missing:
        print(f"Nothing is timed: {' and '.join(missing)} cannot be imported.")
        return 0
    if options.small:
        options.networks, options.images, options.pixels, options.repeats = ["mobilenet_v3_large"], 2, 64, 1
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", message="There is a performance drop")  # of vmap
    measure = measure_lesions if options.lesions else measure_draws
    for name in options.networks:
        network = build(name)
        images = torch.randn(options.images, 3, options.pixels, options.pixels)
        for path in NETWORKS[name]:
            print(f"{name:18} {path:38} {measure(network, path, images, options)}", flush=True)
    return 0


def build(name: str) -> nn.Module:
    """Return a network of torchvision with random weights, whose predictions differ from image to image."""
    torch.manual_seed(0)
    network: nn.Module = getattr(importlib.import_module("torchvision.models"), name)()
    images = torch.randn(4, 3, 224, 224)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    head = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    nn.init.normal_(head.weight)
    with torch.no_grad():
        for norm in norms:
            norm.momentum = None  # what they know of images is the mean over all so far
        network(images) if norms else None
        head.weight /= network.eval()(images).std() / 3
    return network


def measure_draws(network: nn.Module, path: str, images: Tensor, options: argparse.Namespace) -> str:
    """Time marginalization of a unit."""
    _, layer = find_layer(network, path)
    size, engines = (
        unit_size(layer),
        [make_engine(network, path, images, Computation(engine=e)) for e in ("plain", "one-channel")],
    )
    contestants: dict[str, tuple[Callable[[], object], int]] = {
        "naive": (lambda: naive_passes(network, path, images), DRAWS),
        "vmap": (lambda: vmap_passes(network, path, images), DRAWS),
        "plain": (lambda: run_engine(engines[0], DRAWS), DRAWS),
        "ours": (lambda: run_engine(engines[1], MOST), MOST),
    }
    kept = expected_draws(size, options.samples, options.tolerance)
    seconds = {}
    for _ in range(options.repeats + 1):  # the first is not counted
        for name, (work, draws) in contestants.items():
            draws_of = options.samples if name in ("naive", "vmap") else kept
            seconds.setdefault(name, []).append(timed(work) / draws * draws_of)
    found = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    times = "  ".join(f"{name} {value:8.3f} s" for name, value in found.items())
    ratios = "  ".join(f"{name}/ours {found[name] / found['ours']:7.1f}" for name in ("naive", "vmap", "plain"))
    return f"{size:5} parameters a unit, {kept:5.1f} draws kept: {times}  {ratios}"


def timed(work: Callable[[], object]) -> float:
    """Return the CPU-seconds that ``work`` takes: what else the machine does counts little."""
    start = time.process_time()
    work()
    return time.process_time() - start


def run_engine(engine: Engine, draws: int) -> None:
    """Compute scores of some draws of the first unit."""
    weights = engine.layer.weight[:1].detach() + 0.01 * torch.randn(draws, *engine.layer.weight.shape[1:])
    units, biases = np.zeros(draws, dtype=np.int64), torch.zeros(draws)
    retried(engine, lambda: list(engine.scores(slice(0, engine.images), units, weights, biases)))


@torch.inference_mode()
def naive_passes(network: nn.Module, path: str, images: Tensor) -> None:
    """Set unit 0 to one draw after the other and run the whole network each time."""
    layer: Any = network.get_submodule(path)
    weight = layer.weight[0].clone()
    for _ in range(DRAWS):
        layer.weight[0] = weight + 0.01 * torch.randn_like(weight)
        torch.softmax(network(images), dim=-1)
    layer.weight[0] = weight


@torch.inference_mode()
def vmap_passes(network: nn.Module, path: str, images: Tensor) -> None:
    """Run the network with all draws of unit 0 in one call."""
    layer: Any = network.get_submodule(path)
    values = {name: value.detach() for name, value in [*network.named_parameters(), *network.named_buffers()]}

    def run(weight: Tensor) -> Any:
        return torch.softmax(functional_call(network, values | {f"{path}.weight": weight}, (images,)), dim=-1)

    weights = layer.weight.detach().expand(DRAWS, *layer.weight.shape).clone()
    weights[:, 0] += 0.01 * torch.randn_like(weights[:, 0])
    vmap(run)(weights)


def measure_lesions(network: nn.Module, path: str, images: Tensor, options: argparse.Namespace) -> str:
    """Time lesions of some units, and compare what they change with captum's numbers."""
    _, layer = find_layer(network, path)
    count, few, more = len(layer.weight), list(range(8)), list(range(min(32, len(layer.weight))))
    found = lesion(network, path, images, units=few).probabilities[0]
    once = statistics.median(timed(lambda: lesion(network, path, images, units=[0])) for _ in range(options.repeats))
    most = statistics.median(timed(lambda: lesion(network, path, images, units=more)) for _ in range(options.repeats))
    ours = once + max(0.0, most - once) / (len(more) - 1) * (count - 1)
    theirs = {}  # a ViT of torchvision looks at how many images there are: one ablation at a time
    for together in ABLATIONS[: 1 if type(network).__name__ == "VisionTransformer" else None]:
        changes = ablate(network, path, images, few, together)
        passes = [timed(lambda n=together: ablate(network, path, images, few, n)) for _ in range(options.repeats)]
        theirs[together] = statistics.median(passes) / (len(few) + 1) * count
    best = min(theirs, key=theirs.__getitem__)
    with torch.inference_mode():
        before = torch.softmax(network(images), dim=-1).numpy()
    target, rows = before.argmax(axis=1), np.arange(len(images))
    mine = before[rows, target] - found[:, rows, target]
    return (
        f"{count} units: captum {theirs[best]:8.1f} s ({best} at a time), ours {ours:7.1f} s, "
        f"captum/ours {theirs[best] / ours:6.1f}; changes up to {np.abs(mine).max():.1e}, "
        f"which differ by {np.abs(mine - changes).max():.1e}"
    )


@torch.no_grad()
def ablate(network: nn.Module, path: str, images: Tensor, units: list[int], at_a_time: int) -> np.ndarray:
    """Return by how much captum lets the best class's prediction fall without each unit [units, images].

    It takes out the other units together, as one more: that is how it can be asked for some.
    """
    attr = importlib.import_module("captum.attr")
    layer: Any = network.get_submodule(path)
    shapes: list[tuple[int, ...]] = []
    hook = layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape)))
    target = network(images).argmax(dim=1)
    hook.remove()
    axis = 1 if isinstance(layer, nn.Conv2d) else len(shapes[0]) - 1
    count = shapes[0][axis]
    mask = torch.full((count,), len(units))
    mask[units] = torch.arange(len(units))
    mask = mask.view(*(count if place == axis else 1 for place in range(len(shapes[0]))))

    def predict(x: Tensor) -> Tensor:
        predictions = torch.softmax(network(x), dim=-1)  # several ablations of all images, one after the other
        return predictions.gather(1, target.repeat(len(predictions) // len(target))[:, None])[:, 0]

    ablation = attr.LayerFeatureAblation(predict, layer)
    found = ablation.attribute(images, layer_mask=mask, perturbations_per_eval=at_a_time)
    found = found.movedim(axis, 0)[units]
    return found.flatten(2)[..., 0].numpy() if found.ndim > 2 else found.numpy()


if __name__ == "__main__":
    sys.exit(main())
