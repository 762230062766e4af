"""Compare layers of fifty published architectures with a naive loop, in float64, and train them afterwards.

Every network of timm and torchvision below gets random weights and small images. Of its first, a middle and its last
layer, some units are marginalized out and removed; a loop that sets each unit to each draw and runs a copy of the
network has to give the same numbers to 1e-12. Some networks enlarge rounding: where the loop itself changes when images
do in their last bit, a hundred times that change is accepted, and said. A refused layer has to say so in one sentence,
and engine='plain' has to agree in its place. Afterwards the network must be the same, and be copied, saved and trained
by one step.

Needs ``pip install timm torchvision``, which the project itself does not; says so and ends well where they are absent.
"""

import argparse
import copy
import importlib
import io
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from featuresharing import InputError, lesion, marginalize, prior_draws

SAMPLES = 2
CLASSES = 10
CLOSE = 1e-12

ANY_SIZE = (
    *("resnet18", "skresnet18", "resnet26t", "resnetv2_50", "regnetx_002", "regnety_002", "repvgg_a0", "dla46_c"),
    *("hrnet_w18_small", "selecsls42", "mobilenetv3_small_050", "mobilenetv4_conv_small", "mobileone_s0"),
    *("ghostnet_050", "efficientnet_lite0", "tf_efficientnetv2_b0", "rexnet_100", "ese_vovnet19b_dw", "nf_regnet_b0"),
    *("convnext_atto", "convnextv2_atto", "poolformer_s12", "edgenext_xx_small", "fastvit_t8", "mobilevit_xxs"),
    *("mobilevitv2_050", "pvt_v2_b0", "repvit_m0_9", "mambaout_femto", "tiny_vit_5m_224"),
)
"""Names in timm of networks that take images of 64 x 64 as of any other size."""

OF_A_SIZE = (
    *("vit_tiny_patch16_224", "deit_tiny_patch16_224", "mixer_s32_224", "xcit_nano_12_p16_224", "coat_tiny"),
    *("cait_xxs24_224", "gmlp_ti16_224"),
)
"""Those that are made for one size, which may be 64 x 64."""

AS_THEY_ARE = ("levit_128s", "efficientformer_l1", "efficientformerv2_s0")
"""Those that take 224 x 224 and nothing else."""

TORCHVISION = (
    *("alexnet", "squeezenet1_1", "googlenet", "resnet18", "mobilenet_v2", "shufflenet_v2_x0_5", "mnasnet0_5"),
    *("regnet_y_400mf", "densenet121", "convnext_tiny", "swin_t", "efficientnet_b0", "vgg11"),
)
"""Names in torchvision."""

SMALL = ("timm.resnet18", "timm.levit_128s")


@dataclass
class Outcome:
    """What became of one network: ``worst`` difference, largest ``effect`` of a draw, and what went wrong."""

    name: str
    layers: int = 0
    worst: float = 0.0
    effect: float = 0.0
    seconds: float = 0.0
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def main() -> int:
    """Print a table and a summary; return 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="two networks: does it still run?")
    parser.add_argument("--names", nargs="+", help="only these, such as timm.resnet18")
    options = parser.parse_args()
    missing = [name for name in ("timm", "torchvision") if not _is_there(name)]
    if missing:
        print(f"Nothing is compared: {' and '.join(missing)} cannot be imported.")
        return 0
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    chosen = options.names or (SMALL if options.small else None)
    outcomes = []
    print(f"{'network':38} layers  worst    effect   seconds")
    for name, make, size in architectures():
        if chosen and name not in chosen:
            continue
        outcome = examine(name, make, size)
        outcomes.append(outcome)
        print(
            f"{name:38} {outcome.layers:6} {outcome.worst:8.1e} {outcome.effect:8.1e} {outcome.seconds:8.1f}",
            flush=True,
        )
        for line in [*outcome.refusals, *outcome.notes, *(f"FAULT: {fault}" for fault in outcome.faults)]:
            print(f"    {line}", flush=True)
    layers, refused = sum(o.layers for o in outcomes), sum(len(o.refusals) for o in outcomes)
    faults, notes = sum(len(o.faults) for o in outcomes), sum(len(o.notes) for o in outcomes)
    worst = max((o.worst for o in outcomes), default=0.0)
    print(
        f"{len(outcomes)} networks, {layers} layers, worst {worst:.1e}, {refused} refused, {notes} of enlarged "
        f"rounding, {faults} faults"
    )
    return int(faults > 0)


def _is_there(name: str) -> bool:
    try:
        importlib.import_module(name)
    except Exception:  # a package that does not fit the torch that is there, too
        return False
    return True


def architectures() -> Iterator[tuple[str, Callable[[], nn.Module], int]]:
    """Yield names, what makes each network, and the size of its images."""
    timm, models = importlib.import_module("timm"), importlib.import_module("torchvision.models")
    sizes = [(name, 64, {}) for name in ANY_SIZE]
    sizes += [(name, 64, {"img_size": 64}) for name in OF_A_SIZE]
    sizes += [(name, 224, {}) for name in AS_THEY_ARE]
    for name, size, given in sizes:
        yield f"timm.{name}", partial(timm.create_model, name, num_classes=CLASSES, **given), size
    for name in TORCHVISION:
        extra = {"aux_logits": False} if name == "googlenet" else {}
        yield f"torchvision.{name}", partial(models.get_model, name, num_classes=CLASSES, **extra), 64


def examine(name: str, make: Callable[[], nn.Module], size: int) -> Outcome:
    """Compare three layers of a network, then use it as its owner would."""
    outcome, start = Outcome(name), time.perf_counter()
    torch.manual_seed(0)
    network = make()
    enliven(network, size)
    images = torch.randn(2, 3, size, size)
    own = {key: value.clone() for key, value in network.state_dict().items()}
    for path in choose_layers(network):
        try:
            compare(network, path, images, outcome)
        except Exception as error:
            outcome.faults.append(f"{path}: {type(error).__name__}: {str(error)[:300]}")
    if any(not torch.equal(value, own[key]) for key, value in network.state_dict().items()):
        outcome.faults.append("parameters or buffers have changed")
    try:
        use(network, images)
    except Exception as error:
        outcome.faults.append(f"afterwards: {type(error).__name__}: {str(error)[:300]}")
    outcome.seconds = time.perf_counter() - start
    return outcome


def enliven(network: nn.Module, size: int) -> None:
    """Make channels differ, let no scale be zero, let batch norms know what they normalise, and scores stay small."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim < 2:
                parameter.add_(0.3 * torch.randn_like(parameter))
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = None  # the mean of all batches so far
        network.train()
        if norms:
            network(torch.randn(4, 3, size, size))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.eval()
        last: Any = network.get_submodule(choose_layers(network)[-1])
        spread = network(torch.randn(4, 3, size, size)).std()
        for parameter in last.parameters():  # scores at which no prediction is 0 or 1
            parameter.div_(spread)


def choose_layers(network: nn.Module) -> list[str]:
    """Return the paths of the first, the middle and the last layer that has units."""
    paths = [path for path, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return list(dict.fromkeys([paths[0], paths[len(paths) // 2], paths[-1]]))


def compare(network: nn.Module, path: str, images: Tensor, outcome: Outcome) -> None:
    """Compare draws and lesions of two units with the naive loop; a refused layer is computed plainly instead."""
    count = len(network.get_submodule(path).weight)
    settings: dict[str, Any] = {"units": [count // 3, count - 1], "dtype": "float64"}
    draws = {"estimator": "monte-carlo", "samples": SAMPLES}
    try:
        found = marginalize(network, path, images, **settings, **draws).probabilities[0]
        removed = lesion(network, path, images, **settings).probabilities[0]
    except InputError as error:
        outcome.refusals.append(str(error))
        if "engine='plain'" not in str(error):
            return
        settings |= {"units": [count // 3], "engine": "plain"}
        found = marginalize(network, path, images, **settings, **draws).probabilities[0]
        removed = lesion(network, path, images, **settings).probabilities[0]
    base, *wanted = run_naively(network, path, images, settings["units"])
    for what, mine, reference in zip(("draws", "lesion"), (found, removed), wanted, strict=True):
        difference = float(np.abs(mine - reference).max())
        outcome.effect = max(outcome.effect, float(np.abs(reference - base).max()))
        if difference <= CLOSE:
            outcome.worst = max(outcome.worst, difference)
            continue
        others = run_naively(network, path, images, settings["units"], noise=2**-52)[1 if what == "draws" else 2]
        own = float(np.abs(others - reference).max())
        text = f"{path}, {what}: off by {difference:.1e}; the loop itself by {own:.1e} when images change by one bit"
        (outcome.notes if difference <= 100 * own else outcome.faults).append(text)
    outcome.layers += 1


def run_naively(
    network: nn.Module, path: str, images: Tensor, units: list[int], *, noise: float = 0.0
) -> tuple[np.ndarray, ...]:
    """Return predictions as they are, means over draws, and predictions without each unit, of a copy in float64.

    With ``noise``, images are changed by that share at random: what this changes is rounding that a network enlarges.
    """
    double = copy.deepcopy(network).double().eval()
    layer: Any = double.get_submodule(path)
    given = images.double() * (1 + noise * torch.randn(images.shape, dtype=torch.float64))

    def predict() -> np.ndarray:
        with torch.no_grad():
            return double(given).softmax(dim=-1).numpy()

    means, removed = [], []
    for unit in units:
        parameters = [parameter for parameter in (layer.weight, layer.bias) if parameter is not None]
        own = [parameter[unit].detach().clone() for parameter in parameters]
        drawn = list(zip(*prior_draws(network, path, unit, samples=SAMPLES), strict=True))
        results = []
        for values in [*drawn, (0, 0)]:
            with torch.no_grad():
                for parameter, value in zip(parameters, values, strict=False):
                    parameter[unit] = torch.as_tensor(value)
            results.append(predict())
        with torch.no_grad():
            for parameter, value in zip(parameters, own, strict=True):
                parameter[unit] = value
        means.append(np.mean(results[:-1], axis=0))
        removed.append(results[-1])
    return predict(), np.stack(means), np.stack(removed)


def use(network: nn.Module, images: Tensor) -> None:
    """Copy, save, run and train a network."""
    copy.deepcopy(network)
    torch.save(network, io.BytesIO())
    with torch.no_grad():
        network(images)
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    loss = network(images).square().mean()
    loss.backward()
    optimizer.step()


if __name__ == "__main__":
    sys.exit(main())
