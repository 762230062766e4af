"""Networks whose Python looks at numbers: refused with the line where it does, or right."""

import copy
import ctypes
import functools
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing import InputError, lesion, lesion_accuracy, marginalize
from featuresharing.engine.probing import check_trace
from featuresharing.engine.tracing import make_trace, record
from featuresharing.networks.inputs import Inputs

torch.set_num_threads(1)

Change = Callable[["Looking", Tensor], Tensor]


class Looking(nn.Module):
    """Does something to the maps [1, 8, 10, 10] of each image between a convolution and a linear layer."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.conv, self.head, self.change = nn.Conv2d(3, 8, 3), nn.Linear(8, 4), change
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.register_buffer("gains", torch.tensor([2.0, 3.0]))
        self.kept: dict[str, Any] = {}

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.change(self, maps[None]) for maps in self.conv(x)])
        return self.head(y.flatten(2).mean(2))


def build(change: Change) -> tuple[Looking, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        images = torch.randn(4, 3, 12, 12) * torch.tensor([0.3, 0.5, 1, 2])[:, None, None, None]
        return Looking(change).double().eval(), images.double()


def lesion_naively(network: Looking, images: Tensor) -> NDArray[np.float64]:
    found = []
    for unit in range(8):
        lesioned = copy.deepcopy(network)
        with torch.no_grad():
            lesioned.conv.weight[unit] = 0
            lesioned.conv.bias[unit] = 0
            found.append(lesioned(images.clone()).softmax(1).numpy())
    return np.stack(found)


def hide_in_try(network: Looking, y: Tensor) -> Tensor:
    try:
        return y * float(y.max())
    except Exception:
        return y


def write_through_a_view(network: Looking, y: Tensor) -> Tensor:
    whole = torch.zeros(4).to(y)
    whole[1:].copy_(y[0, 0, 0, :3])
    return y * whole.sum().item()


def double_if_positive(y: Tensor) -> Tensor:
    if bool(y.sum() > 0):
        return y * 2
    return y


def run_script(network: Looking, y: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script: Tensor = torch.jit.script(double_if_positive)(y)
    return script


def read_memory(network: Looking, y: Tensor) -> Tensor:
    return y * ctypes.c_double.from_address(y.data_ptr()).value


LOOKS: dict[str, tuple[str, Change]] = {
    "sizes of nonzero": ("nonzero", lambda _, y: y * (900 / max(1, len(torch.nonzero(y > 0))))),
    "sizes of where": ("nonzero", lambda _, y: y * 1e-3 * len(torch.where(y > 0)[0])),
    "sizes of unique": ("_unique2", lambda _, y: y * torch.unique(y.round()).numel()),
    "boolean masks": ("index", lambda _, y: y * y[y > 0].mean()),
    "selection by mask": ("masked_select", lambda _, y: y * 0.01 * y.masked_select(y > 0).numel()),
    "counts": ("bincount", lambda _, y: y * torch.bincount((y > 0).flatten().long()).numel()),
    "item": ("item", lambda _, y: y * y.max().item()),
    "float": ("item", lambda _, y: y * float(y.max())),
    "range": ("item", lambda _, y: y * sum(range(1 + y.abs().max().long()))),
    "branch": ("item", lambda _, y: y * 2 if y.mean() > 0 else y),
    "check": ("item", lambda _, y: y if torch.isfinite(y).all() else y * 0),
    "order": ("item", lambda _, y: torch.stack(sorted(y.unbind(1), key=torch.mean), 1)),
    "membership": ("item", lambda _, y: y * (1.0 if 0.5 in y else 2.0)),
    "equality": ("equal", lambda _, y: y * 2 if torch.equal(y.mean() * 0, y.sum()) else y),
    "closeness": ("allclose", lambda _, y: y if torch.allclose(y, y * 0) else y * 3),
    "numpy": ("numpy", lambda _, y: y * torch.from_numpy(np.sort(y.detach().cpu().numpy()))),
    "array": ("numpy", lambda _, y: y * float(np.asarray(y).max())),
    "norm of an array": ("numpy", lambda _, y: y * float(np.linalg.norm(y))),
    "lists": ("tolist", lambda _, y: y * max(y.flatten().tolist())),
    "tensors of lists": ("tensor", lambda _, y: y * torch.tensor([y.max(), 1.0]).sum().to(y)),
    "dlpack": ("__dlpack__", lambda _, y: y * torch.utils.dlpack.from_dlpack(y).max()),
    "memory": ("data_ptr", read_memory),
    "storage": ("storage", lambda _, y: (torch.save(y, io.BytesIO()), y)[1]),
    "places to split": (
        "tensor_split",
        lambda _, y: y * len(torch.tensor_split(y.flatten(), y.flatten()[:1].abs().long() + 1)[0]),
    ),
    "repeats": ("repeat_interleave", lambda _, y: y * len(torch.repeat_interleave(y.flatten()[:3].abs().long()))),
    "within try": ("item", hide_in_try),
    "through a view": ("item", write_through_a_view),
    "in TorchScript": ("item", run_script),
}
"""What Python is shown that depends on the images, and the operator that shows it."""


@pytest.mark.parametrize("name", LOOKS)
def test_python_that_sees_numbers_of_images_is_refused_with_its_line(name: str) -> None:
    operator, change = LOOKS[name]
    network, images = build(change)
    with pytest.raises(InputError) as caught:
        lesion(network, "conv", images)
    start = (
        f"Looking cannot be traced: its Python code sees numbers that depend on the images ('{operator}' in Looking, "
    )
    assert str(caught.value).startswith(f"{start}test_tracing.py line ")
    assert str(caught.value).endswith("); engine='plain' runs such networks, slowly.")
    (found,) = lesion(network, "conv", images, engine="plain")
    np.testing.assert_allclose(found, lesion_naively(network, images), rtol=0, atol=1e-14)


@functools.lru_cache
def grid(size: int, dtype: torch.dtype) -> Tensor:
    return torch.linspace(0, 1, size, dtype=dtype)


CACHE: dict[str, Tensor] = {}


def weigh_by_what_is_cached(network: Looking, y: Tensor) -> Tensor:
    if "ramp" not in CACHE:
        CACHE["ramp"] = torch.linspace(-1, 1, 8, dtype=y.dtype)
    return y * CACHE["ramp"][:, None, None]


def pick_by_a_mask_of_its_own(network: Looking, y: Tensor) -> Tensor:
    mask = torch.ones(8, dtype=torch.bool)
    mask[2] = False
    if not mask.all():
        y = F.pad(y[:, torch.nonzero(mask)[:, 0]], (0, 0, 0, 0, 0, 1))
    return y * y[:, :, torch.ones(10, 10, dtype=torch.bool)].mean(2)[..., None, None]


def write_into_numbers_of_its_own(network: Looking, y: Tensor) -> Tensor:
    numbers = torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8]).to(y)
    numbers.mul_(2)[2] = 0
    return y * numbers[:, None, None]


def set_data(network: Looking, y: Tensor) -> Tensor:
    other = torch.zeros(1).to(y)
    other.data = y.tanh()
    return other * y.data.mean()


def keep(network: Looking, y: Tensor) -> Tensor:
    network.last, network.kept["maps"] = y, [y]
    return y * 2


def fill_diagonal(network: Looking, y: Tensor) -> Tensor:
    y = y.clone()
    y[0, 0].fill_diagonal_(0.0)
    return y


def one_hot(network: Looking, y: Tensor) -> Tensor:
    return y * (0.1 + F.one_hot(y.flatten(2).mean(2).argmax(1), 8).to(y)[:, :, None, None])


HARMLESS: dict[str, Change] = {
    "numbers of buffers": lambda network, y: y * network.gains.max().item() * float(network.gains.numpy()[0]),
    "numbers of parameters": lambda network, y: y * network.scale.item(),
    "numbers of other layers": lambda network, y: y * float(network.head.weight.detach().numpy().max()),
    "numbers of shapes": lambda _, y: y * torch.tensor(y.shape[1]).item() * (1 + torch.zeros_like(y).sum().item()),
    "printing": lambda _, y: (repr(y), f"{y.sum():.2f}", str(y.max()), y)[-1],
    "copies": lambda _, y: y * copy.deepcopy(y).mean() * torch.tensor(2.0).to(y),
    "largest index": lambda _, y: y[:, y.flatten(2).mean(2).argmax(1)].expand(-1, 8, -1, -1),
    "cache of a function": lambda _, y: y * grid(8, y.dtype)[:, None, None],
    "cache of a file": weigh_by_what_is_cached,
    "mask of its own": pick_by_a_mask_of_its_own,
    "writing into numbers of its own": write_into_numbers_of_its_own,
    "other data": set_data,
    "keeping": keep,
    "diagonal": fill_diagonal,
    "classes as vectors": one_hot,
    "squares in place": lambda _, y: y.square_().negative_().absolute_(),
    "random slopes in place": lambda _, y: F.rrelu(y, inplace=True),
    "scaled exponentials in place": lambda _, y: torch.celu_(torch.selu_(y)),
    "all at once in place": lambda _, y: (torch._foreach_mul_([y], 2.0), y)[1],
    "into a given place": lambda _, y: torch.mul(y, 2, out=torch.empty_like(y)),
    "another shape in place": lambda _, y: y.unsqueeze_(2).squeeze_(2).transpose_(2, 3),
    "like the layer's weight": lambda network, y: y * (network.conv.weight.new_ones(8, 1, 1) + y.new_zeros(1)),
    "written where negative": lambda _, y: (y.__setitem__(y < 0, 0), y)[1],
}
"""What Python may see, keep and do."""


@pytest.mark.parametrize("name", HARMLESS)
def test_numbers_that_do_not_come_from_images_may_be_seen(name: str) -> None:
    network, images = build(HARMLESS[name])
    (found,) = lesion(network, "conv", images)
    np.testing.assert_allclose(found, lesion_naively(network, images), rtol=0, atol=1e-14)


@pytest.mark.parametrize("layer", ["conv", "head"])
def test_a_pass_in_inference_mode_is_one_of_elementary_operators(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = build(lambda _, y: F.layer_norm(F.relu_(y), y.shape[2:]).add_(y.std()))
    plain = lesion(network, layer, images).probabilities[0]
    monkeypatch.setattr(network, "forward", torch.inference_mode()(network.forward))
    (found,) = lesion(network, layer, images)
    np.testing.assert_array_equal(found, plain)


def read_memory_behind_torch(network: Looking, y: Tensor) -> Tensor:
    point = ctypes.pythonapi.PyCapsule_GetPointer
    point.restype, point.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsule = torch._C._to_dlpack(y)
    address = ctypes.c_void_p.from_address(point(capsule, b"dltensor")).value or 0
    return y * ctypes.c_double.from_address(address).value


UNSEEN: dict[str, Change] = {
    "parameter": lambda _, y: y * nn.Parameter(y.mean((2, 3), keepdim=True) + 1).detach(),
    "memory": read_memory_behind_torch,
}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_no_list_of_operators_knows_is_found_on_other_images(name: str) -> None:
    network, images = build(UNSEEN[name])
    with pytest.raises(
        InputError, match=r"Looking cannot be traced: its Python code depends on numbers \(.*not the same"
    ):
        lesion(network, "conv", images)
    (found,) = lesion(network, "conv", images, engine="plain")
    np.testing.assert_allclose(found, lesion_naively(network, images), rtol=0, atol=1e-14)


@pytest.mark.parametrize("read", [lambda w: float(w.abs().max()), lambda w: float(w.detach().numpy().max())])
def test_python_that_sees_the_layers_own_weights_is_refused(read: Callable[[Tensor], float]) -> None:
    network, images = build(lambda network, y: y * read(network.conv.weight))
    with pytest.raises(
        InputError, match=r"layer 'conv': Python code sees numbers that depend on its weights \('.*line"
    ):
        lesion(network, "conv", images)
    (found,) = lesion(network, "conv", images, engine="plain")
    np.testing.assert_allclose(found, lesion_naively(network, images), rtol=0, atol=1e-14)
    lesion(network, "head", images)  # another layer's numbers stay as they are


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_trace_that_gives_other_scores_is_refused(dtype: torch.dtype) -> None:
    network, images = build(lambda _, y: y + 1)
    network, images = network.to(dtype), images.to(dtype)
    values = {name: value.detach() for name, value in (*network.named_parameters(), *network.named_buffers())}
    recording = record(network, values, Inputs(images.clone()))
    trace = make_trace(network, recording, Inputs(images.clone()))
    others = Inputs(images.flip(0))
    arguments = (network, values, Inputs(images), others, ["conv.weight", "conv.bias"], recording)
    check_trace(*arguments, trace)
    convolution = next(node for node in trace.graph.nodes if "convolution" in str(node.target))
    convolution.update_arg(2, None)  # as if the bias were lost
    with pytest.raises(InputError, match="its scores are not those of the operators that it ran"):
        check_trace(*arguments, trace)


class Packing(nn.Module):
    """Reads tokens up to the first zero."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.reader = nn.Embedding(9, 5), nn.GRU(5, 6, batch_first=True)
        self.hidden, self.head = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        lengths = (x != 0).sum(1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(self.words(x), lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.hidden(self.reader(packed)[1][-1]).tanh())


def test_lengths_of_sequences_are_numbers_that_are_seen() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Packing().double().eval()
    tokens = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0], [7, 8, 1, 0]])
    with pytest.raises(InputError, match=r"numbers that depend on the images .'_pack_padded_sequence' in Packing"):
        lesion(network, "hidden", tokens)
    (found,) = lesion(network, "hidden", tokens, engine="plain")
    (alone,) = lesion(network, "hidden", tokens, engine="plain", batch_size=1)
    np.testing.assert_allclose(found, alone, rtol=0, atol=1e-14)


def test_what_else_can_be_done_is_said_only_where_it_is_true() -> None:
    network, images = build(LOOKS["item"][1])
    for arguments, end in (
        ({"estimator": "quadrature"}, "engine='plain' runs such networks with other estimators, slowly."),
        ({"estimator": "monte-carlo"}, "engine='plain' runs such networks, slowly."),
    ):
        with pytest.raises(InputError) as caught:
            marginalize(network, "head", images, **arguments)
        assert str(caught.value).endswith(f"; {end}")
    targets = np.zeros((4, 1), int)
    with pytest.raises(InputError, match="; engine='plain' runs such networks, slowly"):
        lesion_accuracy(network, "conv", images, targets, [[0, 1]])
    counts, (found,) = lesion_accuracy(network, "conv", images, targets, [[3, 1]], engine="plain", batch_size=3)
    for count, (accuracy,) in zip(counts, found, strict=True):
        removed = copy.deepcopy(network)
        with torch.no_grad():
            for parameter in removed.conv.parameters():
                parameter[[3, 1][:count]] = 0
            hits = [int(removed(image).argmax()) == 0 for image in images.split(1)]
        assert accuracy == np.mean(hits)


def test_a_layer_that_is_used_twice_is_computed_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = build(lambda network, y: y)
    once = network.conv.forward
    monkeypatch.setattr(network.conv, "forward", lambda x: once(once(x).tanh()[:, :3]))
    with pytest.raises(
        InputError, match=r"layer 'conv' is used 2 times in one pass.*; engine='plain' runs such networks"
    ):
        lesion(network, "conv", images)
    (found,) = lesion(network, "conv", images, engine="plain")
    zeroed, wanted = network.conv, []
    for unit in range(8):
        own = {name: value.clone() for name, value in zeroed.state_dict().items()}
        with torch.no_grad():
            zeroed.weight[unit], zeroed.bias[unit] = 0, 0
            wanted.append(network(images).softmax(1).numpy())
        zeroed.load_state_dict(own)
    np.testing.assert_allclose(found, np.stack(wanted), rtol=0, atol=1e-14)


class Renormed(nn.Conv2d):
    """Bounds the length of its filters in every pass, as EEGNet does."""

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data = torch.renorm(self.weight.data, 2, 0, 0.5)
        return super().forward(x)


def test_a_weight_that_is_taken_otherwise_is_refused_with_the_line_and_computed_plainly() -> None:
    network, images = build(lambda _, y: y)
    renormed = Renormed(3, 8, 3).double()
    renormed.load_state_dict(network.conv.state_dict())
    network.conv = renormed
    own = copy.deepcopy(network.state_dict())
    with pytest.raises(InputError) as caught:
        lesion(network, "conv", images)
    assert str(caught.value).startswith("layer 'conv': 'renorm' takes its weight; accepted are plain convolutions and")
    assert "taken by 'renorm' in Renormed 'conv', test_tracing.py line" in str(caught.value)
    (found,) = lesion(network, "conv", images, engine="plain")
    np.testing.assert_allclose(found, lesion_naively(network, images), rtol=0, atol=1e-14)
    np.testing.assert_allclose(
        *(lesion(network, "head", images, engine=engine).probabilities[0] for engine in ("one-channel", "plain")),
        atol=1e-14,
    )
    assert all(torch.equal(value, own[name]) for name, value in network.state_dict().items())


def test_parts_in_eight_bits_are_computed() -> None:
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
        network = torch.ao.quantization.quantize_dynamic(network, {nn.Linear})
        images = torch.randn(1, 3, 8, 8)  # alone: these parts depend on the other images of a batch
        pair = [lesion(network, "0", images, engine=engine).probabilities[0] for engine in ("one-channel", "plain")]
    np.testing.assert_allclose(*pair, rtol=0, atol=1e-2)
    assert np.ptp(pair[0], axis=0).max() > 0.02
