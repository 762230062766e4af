"""A network is the same after every call, whatever its forward pass keeps, changes or deletes."""

import copy
import functools
import io
from collections import OrderedDict, deque
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from featuresharing import InputError, lesion, lesion_accuracy, marginalize, predict
from featuresharing.networks.unchanged import unchanged

torch.set_num_threads(1)


class Slotted:
    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last: Any = None


class Keeping(nn.Module):
    """Keeps tensors in every place that Python has, and changes or deletes what is there."""

    shared: ClassVar[dict[str, Any]] = {"own": 1}
    latest: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 3)
        self.register_buffer("calls", torch.zeros(()))
        self.plain = torch.zeros(4)
        self.last: Any = None
        self.gone = "here"
        self.table: dict[str, Any] = {"a": [1]}
        self.ordered = OrderedDict(x=1, y=2)
        self.rows: list[Any] = [1, 2]
        self.names, self.recent = {"n"}, deque[Any]([1], maxlen=2)
        self.array = np.zeros(3)
        self.notes, self.slotted = SimpleNamespace(deep={"k": []}), Slotted()
        memory: dict[str, Any] = {}
        count = 0

        def remember(x: Tensor) -> Tensor:
            nonlocal count
            count += 1
            memory["x"] = x
            return x * count

        self.remember = remember

    @functools.lru_cache  # noqa: B019
    def grid(self, kind: torch.dtype) -> Tensor:
        return torch.ones(4, dtype=kind)

    def forward(self, x: Tensor) -> Tensor:
        x = self.remember(self.layer(x)) * self.grid(x.dtype)
        self.last, self.new, self.mode_of_mine = x, x, True
        if hasattr(self, "gone"):
            del self.gone
        self.table["a"].append(x)
        self.table["b"] = x
        self.ordered.move_to_end("x")
        self.rows[:] = [x]
        self.names.add("m")
        self.recent.extend([x, x])
        self.array += 1
        self.notes.deep["k"].append(x)
        self.notes.more = x
        self.slotted.last = x
        self.calls.add_(1)
        self.plain.copy_(x[0].detach())
        with torch.no_grad():
            self.layer.weight.mul_(0.5)
            self.head.bias.data[1:] = 7.0
            self.head.weight.data = self.head.weight.data / 2
        self.head.requires_grad_(False)
        self.layer.weight.grad = torch.ones_like(self.layer.weight)
        self.extra = nn.Linear(2, 2)
        self.register_buffer("late", x.detach())
        self.train()
        self.register_forward_hook(lambda *_: None)
        Keeping.shared["x"], Keeping.latest = x, x
        return self.head(x)


def describe(value: Any) -> Any:
    """Return all that a network holds, as values that can be compared."""
    if isinstance(value, Tensor):
        gradient = describe(value.grad) if value.is_leaf else None
        return value.tolist(), value.dtype, value.requires_grad, gradient, value.data_ptr()
    if isinstance(value, dict):
        return [(key, describe(part)) for key, part in value.items()]
    parts: Any = value
    if isinstance(value, np.ndarray):
        parts = value.tolist()
    elif isinstance(value, list | tuple | set | deque):
        parts = [describe(part) for part in value]
    elif isinstance(value, nn.Module | SimpleNamespace):
        parts = describe(vars(value))
    elif isinstance(value, Slotted):
        parts = describe(value.last)
    elif isinstance(value, FunctionType):
        parts = [describe(cell.cell_contents) for cell in value.__closure__ or ()]
    return type(value), parts


@pytest.fixture
def network() -> Keeping:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Keeping()


def run(network: nn.Module) -> None:
    network(torch.ones(2, 4))


def run_twice_and_fail(network: nn.Module) -> None:
    run(network)
    network(torch.ones(2, 4))
    raise KeyError


@pytest.mark.parametrize("block", [run, run_twice_and_fail])
def test_what_a_forward_pass_keeps_changes_or_deletes_is_put_back(
    network: Keeping, block: Callable[[nn.Module], None]
) -> None:
    network.layer.eval()
    own, of_class = describe(network), dict(Keeping.shared)
    try:
        with unchanged(network):
            block(network)
            assert describe(network) != own
    except KeyError:
        assert block is run_twice_and_fail
    assert describe(network) == own
    assert Keeping.shared == of_class
    assert Keeping.latest is None
    assert network.grid.cache_info().currsize == 0
    assert not network.layer.training
    assert network.training


def test_it_can_be_copied_saved_and_trained_afterwards(network: Keeping) -> None:
    with unchanged(network):
        run(network)
    del network.remember  # functions within functions cannot be saved
    copy.deepcopy(network)
    torch.save(network, io.BytesIO())
    loss = network.head(network.layer(torch.ones(2, 4))).sum()
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_what_hooks_keep_outside_is_theirs(network: Keeping) -> None:
    seen = []
    network.layer.register_forward_hook(lambda *given: seen.append(given[-1]))
    with unchanged(network):
        run(network)
    assert len(seen) == 1
    assert len(network.layer._forward_hooks) == 1
    assert not network._forward_hooks


def test_running_statistics_written_by_force_are_put_back() -> None:
    norm = nn.BatchNorm2d(3)
    own = copy.deepcopy(norm.state_dict())
    with unchanged(norm), torch.no_grad():
        norm.train()(torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0)))
        assert not torch.equal(norm.running_mean, own["running_mean"])
    assert all(torch.equal(value, own[name]) for name, value in norm.state_dict().items())


def test_shared_containers_keep_their_identity() -> None:
    network: Any = nn.Linear(2, 2)
    shared: list[Any] = []
    network.first, network.second = shared, {"same": shared}
    with unchanged(network):
        network.first.append(1)
        network.first, network.second = [], {}
    assert network.first is shared
    assert network.second["same"] is shared
    assert shared == []


CALLS: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "marginalize": lambda network, images: marginalize(network, "layer", images, samples=2),
    "marginalize in float64": lambda network, images: marginalize(network, "layer", images, samples=2, dtype="float64"),
    "plain": lambda network, images: marginalize(network, "layer", images, samples=2, engine="plain"),
    "lesion": lambda network, images: lesion(network, "layer", images),
    "accuracy": lambda network, images: lesion_accuracy(network, "layer", images, np.zeros((3, 1), int), [[0, 1]]),
    "predict": predict,
    "no layer": lambda network, images: marginalize(network, "nothing", images),
    "other images": lambda network, images: predict(network, images[:, :2]),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_function_leaves_anything_behind(network: Keeping, name: str) -> None:
    own, images = describe(network), torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    try:
        CALLS[name](network, images)
    except InputError:
        assert name in ("no layer", "other images")
    assert describe(network) == own
    assert Keeping.shared == {"own": 1}


class Caching(nn.Module):
    """Picks biases from a table at its first pass, as LeViT and TinyViT do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 3)
        self.table = nn.Parameter(torch.tensor([0.1, -0.7, 0.3]))
        self.cache: dict[Any, Any] = {}

    def forward(self, x: Tensor) -> Tensor:
        if str(x.device) not in self.cache:
            self.cache[str(x.device)] = self.table[[0, 2, 1, 0]].sin()
        return self.head((self.layer(x) + self.cache[str(x.device)]).tanh() @ torch.diag(self.cache[str(x.device)]))


@pytest.mark.parametrize("filled", [False, True])
def test_a_cache_is_that_of_the_networks_own_precision(filled: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, images = Caching().eval(), torch.randn(3, 4)
    double = copy.deepcopy(network).double()
    if filled:
        with torch.no_grad():
            network(images)
    for engine in ("one-channel", "plain"):
        if filled:  # what was picked in single precision stays so, and does not multiply numbers in double precision
            with pytest.raises(InputError, match="which Caching does not take"):
                lesion(network, "layer", images, dtype="float64", engine=engine)
        else:
            (found,) = lesion(network, "layer", images, dtype="float64", engine=engine)
            (wanted,) = lesion(double, "layer", images.double(), engine="plain")
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)
        assert {value.dtype for value in network.cache.values()} == ({torch.float32} if filled else set())
        lesion(network, "layer", images, engine=engine)
        network(images).sum().backward()
        network.cache.clear()
        filled = False
