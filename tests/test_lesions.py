"""Lesions: the same numbers as zeroing parameters and running the network."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing import InputError, lesion, lesion_accuracy, random_orders
from featuresharing.networks.alexnet.names import LAYERS
from tests.support.naive import predict_naively
from tests.support.small_networks import keep_alive, small_alexnet

torch.set_num_threads(1)  # more only wait for each other on networks this small

Array = NDArray[np.floating[Any]]


class Outputs(nn.Module):
    """Hidden units and heads of 3, 2 and 5 classes, named out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, 6)
        self.heads = nn.ModuleList(nn.Linear(6, count) for count in (3, 2, 5))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = torch.tanh(self.hidden(x))
        return {name: head(x) for name, head in zip("bac", self.heads, strict=True)}


class Gaps(nn.Module):
    """A layer whose rows have gaps in memory, so that torch adds its bias in a step of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(x.unsqueeze(1)[..., :4])).flatten(1))


class Strided(Gaps):
    """The same with gaps even within the only row of one image."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(x.unsqueeze(1)[..., ::2])).flatten(1))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.sigmoid(self.embed(x)).mean(dim=1))


class Residual(nn.Module):
    """A skip connection with batch norm behind the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv, self.head = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        return self.head(torch.relu(x + self.conv(x)).mean(dim=(2, 3)))


class Aside(nn.Module):
    """A layer that no output depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.aside, self.head = nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.aside(x)
        return self.head(x)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[str, ...]]] = {
    "alexnet": (small_alexnet, (3, 16, 16), (*LAYERS.values(), "1.7.1")),
    "perceptron": (lambda: nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3)), (4,), ("0", "2")),
    "no bias": (
        lambda: nn.Sequential(nn.Linear(4, 6, bias=False), nn.Tanh(), nn.Linear(6, 3, bias=False)),
        (4,),
        ("0", "2"),
    ),
    "several heads": (Outputs, (4,), ("hidden", "heads.1")),
    "rows with gaps": (Gaps, (8,), ("hidden",)),
    "rows in strides": (Strided, (8,), ("hidden",)),
    "tokens": (Tokens, (5, 4), ("embed",)),
    "skip connection": (Residual, (3, 8, 8), ("stem", "conv")),
    "groups": (
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 6, 3, groups=3), nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2), nn.Flatten(), nn.LazyLinear(3))
        ),
        (3, 6, 6),
        ("0", "2"),
    ),
    "no effect": (Aside, (4,), ("aside",)),
}
CASES = [(name, path) for name, (_, _, paths) in NETWORKS.items() for path in paths]


def build(name: str, dtype: torch.dtype = torch.float64, *, count: int = 3) -> tuple[nn.Module, Tensor]:
    """Return a network whose batch norms have seen images and whose biases matter, and images for it."""
    make, shape, _ = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = make().train()
        with torch.no_grad():
            network(torch.randn(8, *shape))
            keep_alive(network, biases=True)
            network(torch.randn(8, *shape))
        return network.eval().to(dtype), torch.randn(count, *shape).to(dtype)


def without(network: nn.Module, path: str, units: Sequence[int]) -> nn.Module:
    """Return a copy of the network with weights and biases of units set to zero."""
    network = copy.deepcopy(network).eval()
    layer = network.get_submodule(path)
    with torch.no_grad():
        for unit in units:
            layer.weight[unit] = 0
            if layer.bias is not None:
                layer.bias[unit] = 0
    return network


def raw_scores(network: nn.Module, images: Tensor) -> list[Array]:
    with torch.no_grad():
        outputs = network(images.clone())
    outputs = [outputs] if isinstance(outputs, Tensor) else outputs
    return [scores.numpy() for scores in (outputs.values() if isinstance(outputs, dict) else outputs)]


def accuracies_naively(
    network: nn.Module, path: str, images: Tensor, targets: NDArray[np.int64], order: Sequence[int], counts: Any
) -> Array:
    """Return [counts, tasks]: remove the first units, run the network, count what is right."""
    rows = []
    for count in counts:
        outputs = raw_scores(without(network, path, list(order)[:count]), images)
        for scores in outputs:
            two = np.sort(scores, axis=1)[:, -2:]
            assert (two[:, 1] - two[:, 0]).min() > 1e-9, "ties are nobody's"
        rows.append(
            [
                sum(int(np.argmax(row)) == target for row, target in zip(scores, truth, strict=True)) / len(images)
                for scores, truth in zip(outputs, targets.T, strict=True)
            ]
        )
    return np.array(rows)


# --- one unit at a time


@pytest.mark.parametrize(("name", "path"), CASES)
@pytest.mark.parametrize("engine", ["one-channel", "plain"])
@pytest.mark.parametrize("softmax", [True, False])
def test_a_lesion_is_the_network_with_zeros_for_the_unit(name: str, path: str, engine: str, softmax: bool) -> None:
    network, images = build(name)
    units = [len(network.get_submodule(path).weight) - 1, 0]
    found = lesion(network, path, images, units=units, engine=engine, softmax=softmax)
    run = predict_naively if softmax else raw_scores
    by_unit = [run(without(network, path, [unit]), images) for unit in units]
    wanted = [np.stack(task) for task in zip(*by_unit, strict=True)]
    assert len(found.probabilities) == len(wanted)
    for task, reference in zip(found, wanted, strict=True):
        assert task.dtype == np.float64
        np.testing.assert_allclose(task, reference, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "path"), [("alexnet", "0.0.3"), ("alexnet", "1.2"), ("rows with gaps", "hidden"), ("tokens", "embed")]
)
@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 2}, {"memory": 1}])
@pytest.mark.parametrize("engine", ["one-channel", "plain"])
def test_batches_change_no_lesion(name: str, path: str, options: dict[str, int], engine: str) -> None:
    network, images = build(name, count=5)
    found = lesion(network, path, images, engine=engine, softmax=False, **options)
    for unit in found.units:
        wanted = raw_scores(without(network, path, [int(unit)]), images)
        for task, reference in zip(found, wanted, strict=True):
            np.testing.assert_allclose(task[unit], reference, rtol=1e-12, atol=1e-13)


def test_lesions_say_what_they_hold() -> None:
    network, images = build("several heads")
    found = lesion(network, "hidden", images, units=[4, 1, 4])
    assert found.tasks == ("b", "a", "c")
    assert found.units.tolist() == [4, 1, 4]
    assert [task.shape for task in found] == [(3, 3, 3), (3, 3, 2), (3, 3, 5)]
    assert found.effective_samples.tolist() == [1, 1, 1]
    assert found.skipped_mass.tolist() == [0, 0, 0]
    assert found.standard_error is None
    assert found.error_estimate is None
    assert lesion(network, "hidden", images).units.tolist() == list(range(6))
    assert [task.shape for task in lesion(network, "hidden", images, units=[])] == [(0, 3, 3), (0, 3, 2), (0, 3, 5)]


@pytest.mark.parametrize(("name", "path"), [("alexnet", "0.0.0"), ("alexnet", "1.2"), ("skip connection", "conv")])
def test_lesions_in_single_precision_differ_by_rounding(name: str, path: str) -> None:
    network, images = build(name, torch.float32)
    found = lesion(network, path, images.numpy(), units=[1])
    exact = lesion(network, path, images.numpy(), units=[1], dtype="float64")
    wanted = predict_naively(without(network, path, [1]), images)
    for task, fine, reference in zip(found, exact, wanted, strict=True):
        assert (task.dtype, fine.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(task[0], reference, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(fine[0], reference, rtol=1e-5, atol=1e-7)


def test_an_alias_names_the_layer() -> None:
    network, images = build("alexnet")
    by_alias = lesion(network, "conv2", images, units=[2], aliases=LAYERS)
    by_path = lesion(network, "0.0.3", images, units=[2])
    for one, other in zip(by_alias, by_path, strict=True):
        assert np.array_equal(one, other)


# --- more and more units

ACCURACY_CASES: list[tuple[str, str, Sequence[int] | None]] = [
    ("alexnet", "0.0.0", None),
    ("alexnet", "0.0.8", [5, 0, 2, 2]),
    ("alexnet", "1.2", None),
    ("alexnet", "1.5", [0, 3, 6]),
    ("perceptron", "0", None),
    ("several heads", "hidden", None),
    ("several heads", "heads.2", [1, 0]),
    ("no bias", "0", [0, 1, 5]),
    ("rows with gaps", "hidden", None),
    ("rows in strides", "hidden", None),
    ("tokens", "embed", None),
    ("skip connection", "stem", None),
    ("groups", "2", None),
    ("no effect", "aside", None),
]


@pytest.mark.parametrize(("name", "path", "counts"), ACCURACY_CASES)
@pytest.mark.parametrize(("batch_size", "engine"), [(None, "one-channel"), (1, "one-channel"), (7, "plain")])
def test_accuracies_are_those_of_networks_with_zeros(
    name: str, path: str, counts: Sequence[int] | None, batch_size: int | None, engine: str
) -> None:
    network, images = build(name, count=22)
    size = len(network.get_submodule(path).weight)
    rng = np.random.default_rng(0)
    targets = np.column_stack([rng.integers(0, s.shape[1], 22) for s in raw_scores(network, images)])
    orders = [list(range(size)), list(range(size))[::-1], rng.permutation(size).tolist()]
    options: dict[str, Any] = {"counts": counts, "batch_size": batch_size, "engine": engine}
    removed, found = lesion_accuracy(network, path, images, targets, orders, **options)
    assert removed.dtype == np.int64
    assert removed.tolist() == (list(range(size + 1)) if counts is None else list(counts))
    assert found.dtype == np.float64
    assert found.shape == (3, len(removed), targets.shape[1])
    for order, accuracies in zip(orders, found, strict=True):
        wanted = accuracies_naively(network, path, images, targets, order, removed)
        np.testing.assert_allclose(accuracies, wanted, rtol=0, atol=1e-12)


def test_many_orders_fill_more_than_one_block() -> None:
    """More sets of units than are worked on together, so that some orders span two blocks."""
    network, images = build("perceptron", count=30)
    targets = np.random.default_rng(1).integers(0, 3, (30, 1))
    orders = random_orders(range(6), 31, seed=2)
    counts, found = lesion_accuracy(network, "0", images, targets, orders)
    assert found.size > 200
    for order, accuracies in zip(orders.tolist(), found, strict=True):
        np.testing.assert_allclose(
            accuracies, accuracies_naively(network, "0", images, targets, order, counts), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize(("name", "path"), [("alexnet", "0.0.3"), ("alexnet", "1.5"), ("several heads", "hidden")])
def test_none_removed_is_the_plain_accuracy_and_all_removed_leaves_biases(name: str, path: str) -> None:
    network, images = build(name, count=20)
    plain = raw_scores(network, images)
    targets = np.column_stack([scores.argmax(axis=1) for scores in plain])
    targets[:5] = (targets[:5] + 1) % [scores.shape[1] for scores in plain]
    units = list(range(len(network.get_submodule(path).weight)))
    counts, found = lesion_accuracy(network, path, images, targets, [units, units[::-1]], counts=[0, len(units)])
    assert counts.tolist() == [0, len(units)]
    np.testing.assert_allclose(found[:, 0], 0.75, atol=1e-12)
    np.testing.assert_allclose(found[0, 1], found[1, 1], atol=1e-12)
    # without the layer all images look alike: one class is predicted
    for task, scores in enumerate(raw_scores(without(network, path, units), images)):
        assert (scores.argmax(axis=1) == scores[0].argmax()).all()
        assert found[0, 1, task] == pytest.approx((targets[:, task] == scores[0].argmax()).mean())


def test_orders_may_hold_some_of_the_units() -> None:
    network, images = build("alexnet", count=12)
    targets = np.random.default_rng(3).integers(0, 3, (12, 2))
    counts, found = lesion_accuracy(network, "1.2", images, targets, np.array([[6, 2], [0, 6]]))
    assert counts.tolist() == [0, 1, 2]
    for order, accuracies in zip(([6, 2], [0, 6]), found, strict=True):
        np.testing.assert_allclose(
            accuracies, accuracies_naively(network, "1.2", images, targets, order, counts), rtol=0, atol=1e-12
        )


@pytest.mark.slow
def test_accuracies_in_single_precision_are_those_in_double() -> None:
    network, images = build("alexnet", torch.float32, count=20)
    targets = np.random.default_rng(4).integers(0, 3, (20, 2))
    orders = random_orders(range(5), 4)
    single = lesion_accuracy(network, "conv2", images, targets, orders, aliases=LAYERS)
    double = lesion_accuracy(network, "0.0.3", images, targets, orders, dtype="float64", memory=1)
    assert np.array_equal(single[0], double[0])
    np.testing.assert_allclose(single[1], double[1], rtol=0, atol=1e-12)


# --- orders at random


def test_random_orders_are_permutations_of_the_units() -> None:
    units = [9, 3, 7, 1, 20]
    orders = random_orders(units, 50)
    assert orders.shape == (50, 5)
    assert orders.dtype == np.int64
    assert all(sorted(order) == sorted(units) for order in orders.tolist())
    firsts = [orders[:, place].tolist().count(unit) for place in range(5) for unit in units]
    assert min(firsts) >= 2
    assert max(firsts) <= 20


def test_random_orders_depend_on_the_seed_and_their_number_alone() -> None:
    ten = random_orders(range(30), 10, seed=4)
    assert np.array_equal(random_orders(range(30), 10, seed=4), ten)
    assert np.array_equal(random_orders(range(30), 3, seed=4), ten[:3])
    np.random.default_rng(0).random(5)
    assert np.array_equal(random_orders(list(range(30)), 25, seed=4)[:10], ten)
    assert len({tuple(order) for order in ten.tolist()}) == 10
    assert not any(np.array_equal(one, other) for one, other in zip(ten, random_orders(range(30), 10), strict=True))


def test_random_orders_are_the_same_everywhere() -> None:
    recorded = [[4, 0, 1, 5, 3, 2, 7, 6], [4, 3, 6, 0, 1, 2, 5, 7]]
    assert random_orders(range(8), 2, seed=1).tolist() == recorded


# --- refusals

LONG = "orders: found different lengths or a unit twice; accepted are lists of distinct units."


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"orders": [[0, 1], [2]]}, LONG),
        ({"orders": [[0, 1, 0]]}, LONG),
        ({"orders": []}, LONG),
        ({"orders": [[0, 6]]}, "unit 6 of layer '0' does not exist; accepted are 0 to 5."),
        ({"orders": [[-1, 2]]}, "unit -1 of layer '0' does not exist; accepted are 0 to 5."),
        ({"counts": [0, 3]}, "counts: found [0, 3]; accepted are numbers from 0 to 2."),
        ({"counts": [-1]}, "counts: found [-1]; accepted are numbers from 0 to 2."),
        ({"counts": []}, "counts: found []; accepted are numbers from 0 to 2."),
        (
            {"targets": np.zeros(4, np.int64)},
            "targets: found [4]; accepted are true classes [images, tasks]: [4, 1].",
        ),
        (
            {"targets": np.zeros((4, 2), np.int64)},
            "targets: found [4, 2]; accepted are true classes [images, tasks]: [4, 1].",
        ),
        (
            {"targets": np.zeros((3, 1), np.int64)},
            "targets: found [3, 1]; accepted are true classes [images, tasks]: [4, 1].",
        ),
        ({"dtype": "float16"}, "dtype: found 'float16'; accepted is float32 or float64."),
    ],
)
def test_what_lesion_accuracy_cannot_do_is_named(changes: dict[str, Any], sentence: str) -> None:
    network, images = build("perceptron", count=4)
    arguments = {"images": images, "targets": np.zeros((4, 1), np.int64), "orders": [[0, 1], [2, 3]], **changes}
    with pytest.raises(InputError) as error:
        lesion_accuracy(network, "0", **arguments)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer": "9"}, ["layer '9' does not exist", "accepted"]),
        ({"layer": "1"}, ["layer '1' is a GELU", "accepted"]),
        ({"units": [6]}, ["unit 6", "accepted are 0 to 5"]),
        ({"engine": "steam"}, ["engine 'steam'", "accepted are one-channel and plain"]),
        ({"dtype": "float16"}, ["dtype: found 'float16'", "accepted is float32 or float64"]),
        ({"images": np.zeros((0, 4))}, ["images", "none", "accepted"]),
        ({"images": np.full((1, 4), np.inf)}, ["images", "infinite", "accepted"]),
    ],
)
def test_what_lesion_cannot_do_is_named(changes: dict[str, Any], words: list[str]) -> None:
    network, images = build("perceptron")
    with pytest.raises(InputError) as error:
        lesion(network, **{"layer": "0", "images": images, **changes})
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


# --- side effects


@pytest.mark.parametrize("engine", ["one-channel", "plain"])
def test_network_and_images_are_left_as_they_were(engine: str) -> None:
    network, images = build("skip connection", torch.float32, count=6)
    network.train()
    network.get_submodule("norm").eval()
    before, pixels = copy.deepcopy(network.state_dict()), images.clone()
    modes = [module.training for module in network.modules()]
    lesion(network, "conv", images, engine=engine)
    lesion_accuracy(network, "conv", images, np.zeros((6, 1), np.int64), random_orders(range(4), 2))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(images, pixels)
