"""Compare layers of fifty published architectures with a naive loop, in float64, and train them afterwards.

Every network of timm and torchvision below gets random weights and small images. Of its first, a middle and its last
layer, some units are marginalized out and removed; a loop that sets each unit to each draw and runs a copy of the
network has to give the same numbers to 1e-12. Some networks enlarge rounding: where the loop itself changes when images
do in their last bit, a hundred times that change is accepted, and said. A refused layer has to say so in one sentence,
and engine='plain' has to agree in its place. Afterwards the network must be the same, and be copied, saved and trained
by one step.

Further networks have layers whose operator takes another weight than the module's own (standardised filters, biases put
together from parts, transposed convolutions, the Conv1D of GPT-2, LoRA, projections of attention, gates), and some take
tokens with masks. The loop has the effective weight put in by hand.

Needs ``pip install timm torchvision transformers peft``, which the project itself does not; says so and ends well where
they are absent.
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
from featuresharing.networks.layers import find_layer

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

SMALL = ("timm.resnet18", "timm.levit_128s", "torch.decoder", "transformers.gpt2")

Setter = Callable[[int, Any, Any], None]
"""Sets a unit's effective filter and bias in a network."""


@dataclass(frozen=True)
class Architecture:
    """How a network is made, the ``images`` that it takes with other ``inputs``, and which ``layers`` are compared.

    ``by_hand`` puts the effective weights of a layer into a copy of the network, and returns what sets its units.
    """

    name: str
    make: Callable[[], nn.Module]
    images: Callable[[int], Tensor]
    layers: tuple[str, ...] = ()
    inputs: Callable[[int], dict[str, Any]] = lambda _: {}
    by_hand: Callable[[Any, str], Setter] | None = None


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
    missing = [name for name in ("timm", "torchvision", "transformers", "peft") if not is_there(name)]
    if missing:
        print(f"Nothing is compared: {' and '.join(missing)} cannot be imported.")
        return 0
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    chosen = options.names or (SMALL if options.small else None)
    outcomes = []
    print(f"{'network':38} layers  worst    effect   seconds")
    for one in architectures():
        if chosen and one.name not in chosen:
            continue
        outcome = examine(one)
        outcomes.append(outcome)
        print(
            f"{one.name:38} {outcome.layers:6} {outcome.worst:8.1e} {outcome.effect:8.1e} {outcome.seconds:8.1f}",
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


def is_there(name: str) -> bool:
    """Whether a package can be imported."""
    try:
        importlib.import_module(name)
    except Exception:  # a package that does not fit the torch that is there, too
        return False
    return True


def architectures() -> Iterator[Architecture]:
    """Yield all networks."""
    timm, models = importlib.import_module("timm"), importlib.import_module("torchvision.models")
    sizes = [(name, 64, {}) for name in ANY_SIZE]
    sizes += [(name, 64, {"img_size": 64}) for name in OF_A_SIZE]
    sizes += [(name, 224, {}) for name in AS_THEY_ARE]
    for name, size, given in sizes:
        make = partial(timm.create_model, name, num_classes=CLASSES, **given)
        yield Architecture(f"timm.{name}", make, partial(pictures, size))
    for name in TORCHVISION:
        extra = {"aux_logits": False} if name == "googlenet" else {}
        make = partial(models.get_model, name, num_classes=CLASSES, **extra)
        yield Architecture(f"torchvision.{name}", make, partial(pictures, 64))
    yield from effective_timm(timm)
    yield from effective_torch()
    yield from effective_transformers()


def pictures(size: int, count: int) -> Tensor:
    """Return random images."""
    return torch.randn(count, 3, size, size)


def sequences(count: int) -> Tensor:
    """Return random rows of features."""
    return torch.randn(count, 7, 12)


def tokens(count: int) -> Tensor:
    """Return random numbers of tokens."""
    return torch.randint(1, 60, (count, 9))


def masks(count: int) -> dict[str, Tensor]:
    """Return masks that leave out the last tokens, of every image some others."""
    return {"attention_mask": (torch.arange(9) < 9 - torch.arange(count)[:, None] % 4).long()}


def effective_timm(timm: Any) -> Iterator[Architecture]:
    """Yield networks of timm with standardised filters, and with biases put together from parts."""
    make = partial(timm.create_model, num_classes=CLASSES)
    yield Architecture(
        "timm.nf_resnet26",
        partial(make, "nf_resnet26"),
        partial(pictures, 64),
        ("stem.conv", "stages.2.0.conv2"),
    )
    yield Architecture(
        "timm.swinv2_tiny_window8_256",
        partial(make, "swinv2_tiny_window8_256", img_size=64, window_size=4),
        partial(pictures, 64),
        ("layers.0.blocks.1.attn.qkv", "layers.3.blocks.0.attn.qkv"),
        by_hand=bias_in_parts,
    )
    yield Architecture(
        "timm.eva02_tiny_patch14_224",
        lambda: livelier(make("eva02_tiny_patch14_224", img_size=56), 4),
        partial(pictures, 56),
        ("blocks.0.attn.qkv", "blocks.11.attn.qkv"),
        by_hand=bias_in_parts,
    )


def effective_torch() -> Iterator[Architecture]:
    """Yield a decoder of transposed convolutions, attention, and a recurrent network."""
    yield Architecture("torch.decoder", Decoder, partial(pictures, 16), ("up.0", "up.2", "up.4"), by_hand=transposed)
    names = ("in_proj_weight", "in_proj_bias")
    yield Architecture(
        "torch.attention",
        Encoder,
        sequences,
        ("body.0.self_attn.in_proj", "body.1.self_attn.in_proj"),
        by_hand=partial(own, names),
    )
    for part in ("ih_l0", "hh_l1_reverse"):
        by_hand = partial(own, (f"weight_{part}", f"bias_{part}"))
        yield Architecture(f"torch.lstm.{part}", Recurrent, sequences, (f"cells.{part}",), by_hand=by_hand)


def effective_transformers() -> Iterator[Architecture]:
    """Yield networks of Hugging Face that take tokens with masks: GPT-2, BERT, and BERT with adapters."""
    transformers, peft = importlib.import_module("transformers"), importlib.import_module("peft")
    sizes = {"vocab_size": 60, "num_labels": CLASSES, "pad_token_id": 0}

    def gpt2() -> nn.Module:
        config = transformers.GPT2Config(
            n_positions=16, n_embd=24, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0, **sizes
        )
        return livelier(transformers.GPT2ForSequenceClassification(config))

    def bert() -> nn.Module:
        config = transformers.BertConfig(
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=36,
            max_position_embeddings=16,
            **sizes,
        )
        return livelier(transformers.BertForSequenceClassification(config))

    def adapted() -> nn.Module:
        config = peft.LoraConfig(r=3, target_modules=["query", "value"], init_lora_weights=False)
        return peft.get_peft_model(bert(), config)

    matrices = ("transformer.h.0.attn.c_attn", "transformer.h.1.mlp.c_fc", "transformer.h.1.mlp.c_proj")
    yield Architecture("transformers.gpt2", gpt2, tokens, matrices, masks, matrix)
    layer = "bert.encoder.layer"
    rows = (f"{layer}.0.attention.self.query", f"{layer}.1.intermediate.dense", "bert.pooler.dense")
    yield Architecture("transformers.bert", bert, tokens, rows, masks)
    start = f"base_model.model.{layer}"
    within = (f"{start}.0.attention.self.query", f"{start}.1.attention.self.value")
    yield Architecture("peft.lora", adapted, tokens, within, masks, adapters)


def livelier(network: nn.Module, factor: float = 8) -> nn.Module:
    """Make random weights as large as those of a trained network."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(factor)
    return network


class Decoder(nn.Module):
    """Three transposed convolutions with strides, groups and dilation, and scores at every place, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, stride=4)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(8, 12, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(12, 8, 3, groups=4, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(8, CLASSES, 2, dilation=2),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return scores."""
        return self.up(self.down(images).relu()).mean(dim=(2, 3))


class Encoder(nn.Module):
    """Two layers of torch's transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*(nn.TransformerEncoderLayer(12, 3, 20, batch_first=True) for _ in range(2)))
        self.head = nn.Linear(12, CLASSES)

    def forward(self, rows: Tensor) -> Tensor:
        """Return scores."""
        return self.head(self.body(rows).mean(dim=1))


class Recurrent(nn.Module):
    """A bidirectional LSTM of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(12, 8, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, rows: Tensor) -> Tensor:
        """Return scores."""
        return self.head(self.cells(rows)[0].mean(dim=1))


def put(tensors: tuple[Any, Any], index: Callable[[int], Any]) -> Setter:
    """Return what sets a unit in a weight, at ``index``, and in a bias."""

    def set_unit(unit: int, weight: Any, bias: Any) -> None:
        with torch.no_grad():
            tensors[0][index(unit)] = torch.as_tensor(weight, dtype=torch.float64)
            if tensors[1] is not None:
                tensors[1][unit] = torch.as_tensor(bias, dtype=torch.float64)

    return set_unit


def plain(network: nn.Module, path: str) -> Setter:
    """Set rows of a module's own weight, once that is standardised where the module's own pass does it."""
    if type(network.get_submodule(path)).__name__.startswith("ScaledStdConv2d"):
        standardise(network, path)
    layer: Any = network.get_submodule(path)
    return put((layer.weight, layer.bias), lambda unit: unit)


def own(names: tuple[str, str], network: nn.Module, path: str) -> Setter:
    """Set rows of a module's parameters of these names."""
    module = network.get_submodule(path.rpartition(".")[0])
    weight, bias = (module.get_parameter(name) for name in names)
    return put((weight, bias), lambda unit: unit)


def matrix(network: nn.Module, path: str) -> Setter:
    """Set columns."""
    layer: Any = network.get_submodule(path)
    return put((layer.weight, layer.bias), lambda unit: (slice(None), unit))


def transposed(network: nn.Module, path: str) -> Setter:
    """Set what leads from the inputs of a group to one output."""
    layer: Any = network.get_submodule(path)
    inputs, outputs = layer.weight.shape[0] // layer.groups, layer.weight.shape[1]

    def index(unit: int) -> Any:
        group = unit // outputs
        return slice(group * inputs, (group + 1) * inputs), unit % outputs

    return put((layer.weight, layer.bias), index)


def standardise(network: nn.Module, path: str) -> None:
    """Replace a convolution by a plain one with the standardised weight."""
    layer: Any = network.get_submodule(path)
    found = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        bias=layer.bias is not None,
    ).double()
    rows = layer.weight.detach().flatten(1)
    centred = rows - rows.mean(dim=1, keepdim=True)
    rows = centred / (rows.var(dim=1, unbiased=False, keepdim=True) + layer.eps).sqrt()
    with torch.no_grad():
        found.weight.copy_((rows * (layer.gain.detach().flatten(1) * layer.scale)).view_as(found.weight))
        if found.bias is not None:
            found.bias.copy_(layer.bias)
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, found)


def bias_in_parts(network: nn.Module, path: str) -> Setter:
    """Set rows of the weight, and the part of the bias that is the unit's."""
    attention: Any = network.get_submodule(path.rpartition(".")[0])
    parts = [attention.q_bias, attention.k_bias, attention.v_bias]

    def set_unit(unit: int, weight: Any, bias: Any) -> None:
        part, place = divmod(unit, len(parts[0]))
        with torch.no_grad():
            attention.qkv.weight[unit] = torch.as_tensor(weight, dtype=torch.float64)
            parts[part][place] = torch.as_tensor(bias, dtype=torch.float64)

    return set_unit


def adapters(network: nn.Module, path: str) -> Setter:
    """Add the adapters' share to the weight for good."""
    layer: Any = network.get_submodule(path)
    with torch.no_grad():
        scale = layer.scaling["default"]
        layer.base_layer.weight += scale * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
        layer.lora_B["default"].weight.zero_()
    return plain(network, f"{path}.base_layer")


def scores_of(network: nn.Module, images: Tensor, inputs: dict[str, Any]) -> Tensor:
    """Return raw scores."""
    found = network(images, **inputs)
    return getattr(found, "logits", found)


def examine(one: Architecture) -> Outcome:
    """Compare layers of a network, then use it as its owner would."""
    outcome, start = Outcome(one.name), time.perf_counter()
    torch.manual_seed(0)
    network = one.make()
    enliven(network, one)
    images = one.images(2)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    for path in one.layers or choose_layers(network):
        try:
            compare(network, path, images, one, outcome)
        except Exception as error:
            outcome.faults.append(f"{path}: {type(error).__name__}: {str(error)[:300]}")
    if any(not torch.equal(value, state[key]) for key, value in network.state_dict().items()):
        outcome.faults.append("parameters or buffers have changed")
    try:
        use(network, images, one.inputs(2))
    except Exception as error:
        outcome.faults.append(f"afterwards: {type(error).__name__}: {str(error)[:300]}")
    outcome.seconds = time.perf_counter() - start
    return outcome


def enliven(network: nn.Module, one: Architecture) -> None:
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
            network(one.images(4))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.eval()
        spread = scores_of(network, one.images(4), one.inputs(4)).std()
        for parameter in last_layer(network).parameters():  # scores at which no prediction is 0 or 1
            parameter.div_(spread)


def last_layer(network: nn.Module) -> nn.Module:
    """Return the last layer, which gives the scores."""
    kinds = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
    return [module for module in network.modules() if isinstance(module, kinds)][-1]


def choose_layers(network: nn.Module) -> list[str]:
    """Return the paths of the first, the middle and the last layer that has units."""
    paths = [path for path, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return list(dict.fromkeys([paths[0], paths[len(paths) // 2], paths[-1]]))


def compare(network: nn.Module, path: str, images: Tensor, one: Architecture, outcome: Outcome) -> None:
    """Compare draws and lesions of two units with the naive loop; a refused layer is computed plainly instead."""
    count, inputs = len(find_layer(network, path)[1].weight), one.inputs(len(images))
    settings: dict[str, Any] = {"units": [count // 3, count - 1], "dtype": "float64", "inputs": inputs}
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
    base, *wanted = run_naively(network, path, images, one, settings["units"])
    for what, mine, reference in zip(("draws", "lesion"), (found, removed), wanted, strict=True):
        difference = float(np.abs(mine - reference).max())
        outcome.effect = max(outcome.effect, float(np.abs(reference - base).max()))
        if difference <= CLOSE:
            outcome.worst = max(outcome.worst, difference)
            continue
        others = run_naively(network, path, images, one, settings["units"], noise=2**-52)[1 if what == "draws" else 2]
        noise = float(np.abs(others - reference).max())
        text = f"{path}, {what}: off by {difference:.1e}; the loop itself by {noise:.1e} when images change by one bit"
        (outcome.notes if difference <= 100 * noise else outcome.faults).append(text)
    outcome.layers += 1


def run_naively(
    network: nn.Module, path: str, images: Tensor, one: Architecture, units: list[int], *, noise: float = 0.0
) -> tuple[np.ndarray, ...]:
    """Return predictions as they are, means over draws, and predictions without each unit, of a copy in float64.

    With ``noise``, images are changed by that share at random: what this changes is rounding that a network enlarges.
    """
    double, inputs = copy.deepcopy(network).double().eval(), one.inputs(len(images))
    given = images
    if images.is_floating_point():
        given = images.double() * (1 + noise * torch.randn(images.shape, dtype=torch.float64))

    def predict() -> np.ndarray:
        with torch.no_grad():
            return scores_of(double, given, inputs).softmax(dim=-1).numpy()

    base = predict()
    set_unit = (one.by_hand or plain)(double, path)
    state = copy.deepcopy(double.state_dict())
    means, removed = [], []
    for unit in units:
        drawn = prior_draws(network, path, unit, samples=SAMPLES, images=images, inputs=inputs)
        results = []
        for weight, bias in [*zip(*drawn, strict=True), (0, 0)]:
            set_unit(unit, weight, bias)
            results.append(predict())
            double.load_state_dict(state)
        means.append(np.mean(results[:-1], axis=0))
        removed.append(results[-1])
    return base, np.stack(means), np.stack(removed)


def use(network: nn.Module, images: Tensor, inputs: dict[str, Any]) -> None:
    """Copy, save, run and train a network."""
    copy.deepcopy(network)
    torch.save(network, io.BytesIO())
    with torch.no_grad():
        scores_of(network, images, inputs)
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    loss = scores_of(network, images, inputs).square().mean()
    loss.backward()
    optimizer.step()


if __name__ == "__main__":
    sys.exit(main())
