"""Memory: how work is cut, what happens when memory runs out, and that two gigabytes are enough; progress lines."""

import io
import os
import pty
import re
import select
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from featuresharing import Conditionals, lesion, lesion_accuracy, marginalize, random_orders
from featuresharing.computation import Computation
from featuresharing.engine.cost import Cost, cost_of
from featuresharing.engine.engines import make_engine
from featuresharing.engine.interpreter import Interpreter
from featuresharing.engine.memory import MOST_SERIES, BatchSizes, Footprint, choose_batch_sizes, footprint
from featuresharing.engine.one_channel import OneChannelEngine
from featuresharing.engine.plain import PlainEngine
from featuresharing.networks.free_memory import free_memory
from tests.support.commands import run_python

torch.set_num_threads(1)  # more only wait for each other on networks this small

MIB = 2**20
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and relies on Linux's limits")

# --- how work is cut

SIZES = st.tuples(*(st.integers(1, 10**8) for _ in range(4))).map(
    # base values are among those in work while they are computed
    lambda sizes: Footprint(base=sizes[0], slab=sizes[1], dense=sizes[2], forward=sizes[0] + sizes[3])
)
SETTINGS = st.fixed_dictionaries(
    {
        "images": st.integers(1, 2000),
        "parameters": st.integers(0, 10**6),
        "working_set": st.integers(1, 2**32),
        "operations": st.integers(1, 2**42),
        "batch_size": st.none() | st.integers(1, 3000),
    }
)
BUDGETS = st.integers(0, 2**36)
COST = Cost(forward=10**9, variant=10**8)


def taken(sizes: Footprint, batches: BatchSizes, images: int, parameters: int) -> dict[str, int]:
    """Return the bytes of what is in memory at a time: all but ``forward`` while variants are computed."""
    return {
        "base": sizes.base * (images if batches.keep else batches.images),
        "slabs": sizes.slab * batches.variants * batches.images,
        "dense": sizes.dense * batches.dense * batches.images,
        "parameters": parameters * batches.variants,
        "forward": sizes.forward * batches.images,
    }


@settings(max_examples=300, deadline=None)
@given(SIZES, SETTINGS, BUDGETS)
def test_batches_hold_at_least_one_and_no_more_than_there_is(
    sizes: Footprint, given_settings: dict[str, Any], budget: int
) -> None:
    found = choose_batch_sizes(sizes, COST, budget=budget, **given_settings)
    assert 1 <= found.images <= given_settings["images"]
    assert found.images <= (given_settings["batch_size"] or given_settings["images"])
    assert 1 <= found.dense <= found.variants


@settings(max_examples=300, deadline=None)
@given(SIZES, SETTINGS, BUDGETS)
def test_every_kind_of_value_fits_into_the_budget(
    sizes: Footprint, given_settings: dict[str, Any], budget: int
) -> None:
    """Unless there is only one of it; and values in work also fit into the working set."""
    found = choose_batch_sizes(sizes, COST, budget=budget, **given_settings)
    needs = taken(sizes, found, given_settings["images"], given_settings["parameters"])
    working_set = min(given_settings["working_set"], budget)
    assert needs["dense"] <= working_set or found.images * found.dense == 1
    assert needs["slabs"] <= working_set or found.images * found.variants == 1
    assert needs["parameters"] <= working_set or found.variants == 1
    assert needs["base"] <= budget or (found.images == 1 and not found.keep)
    assert needs["forward"] <= budget or found.images == 1


@settings(max_examples=500, deadline=None)
@given(SIZES, SETTINGS, BUDGETS)
def test_all_that_is_in_memory_at_a_time_stays_below_the_budget(
    sizes: Footprint, given_settings: dict[str, Any], budget: int
) -> None:
    """Unless the budget is too short for one image and one variant with some room."""
    least = max(sizes.base, sizes.slab, sizes.dense, sizes.forward, given_settings["parameters"])
    budget = max(budget, 4 * least)
    found = choose_batch_sizes(sizes, COST, budget=budget, **given_settings)
    needs = taken(sizes, found, given_settings["images"], given_settings["parameters"])
    forward = needs.pop("forward") + (needs["base"] if found.keep else 0)
    assert max(forward, sum(needs.values())) <= budget, needs


@settings(max_examples=500, deadline=None)
@given(SIZES, SETTINGS, BUDGETS, BUDGETS)
def test_a_smaller_budget_never_gives_larger_batches(
    sizes: Footprint, given_settings: dict[str, Any], one: int, other: int
) -> None:
    short, ample = (choose_batch_sizes(sizes, COST, budget=b, **given_settings) for b in sorted((one, other)))
    assert short.images <= ample.images
    # larger chunks may leave up to half of the rows unused
    assert short.dense * short.images <= 2 * ample.dense * ample.images
    assert short.keep <= ample.keep


@settings(max_examples=300, deadline=None)
@given(SIZES, SETTINGS, st.integers(0, 2**36))
def test_batches_do_not_depend_on_a_budget_that_is_large(
    sizes: Footprint, given_settings: dict[str, Any], more: int
) -> None:
    # the pass itself may take more than other work: a few times the working set
    enough = 20 * (given_settings["working_set"] + sizes.base * given_settings["images"])
    wanted = choose_batch_sizes(sizes, COST, budget=enough, **given_settings)
    assert wanted.keep
    assert choose_batch_sizes(sizes, COST, budget=enough + more, **given_settings) == wanted


@pytest.mark.parametrize(
    ("images", "batch_size", "wanted"), [(10, None, 10), (10, 4, 4), (9, 4, 3), (10, 9, 5), (7, 1, 1), (3, 100, 3)]
)
def test_chunks_of_images_are_as_equal_as_can_be(images: int, batch_size: int | None, wanted: int) -> None:
    sizes = Footprint(base=1, slab=1, dense=1, forward=1)
    settings = {"parameters": 1, "budget": 10**9, "working_set": 10**6, "operations": 1}
    found = choose_batch_sizes(sizes, COST, images=images, batch_size=batch_size, **settings)
    assert found.images == wanted


@settings(max_examples=300, deadline=None)
@given(SIZES, SETTINGS, BUDGETS, st.builds(Cost, st.integers(0, 10**11), st.integers(0, 10**11)))
def test_results_are_small_and_base_values_are_used_often(
    sizes: Footprint, given_settings: dict[str, Any], budget: int, cost: Cost
) -> None:
    found = choose_batch_sizes(sizes, cost, budget=budget, **given_settings)
    operations = found.group * found.images * cost.variant
    assert operations <= given_settings["operations"] or found.group == 1
    assert 1 <= found.group <= found.variants
    shared = found.series * found.group * cost.variant
    assert found.keep or cost.forward <= 0.02 * shared + 1 or found.series == MOST_SERIES
    assert found.series == 1 or not found.keep


# --- the sizes of values


def small_network() -> nn.Sequential:
    """Images 3 x 8 x 8 become 4 x 8 x 8, 5 x 8 x 8, 5 x 4 x 4, then 7 and 3 numbers."""
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(80, 7), nn.ReLU(), nn.Linear(7, 3)),
    ).eval()


def images_of(count: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((count, 3, 8, 8), dtype=np.float32))


def one_channel(path: str, **options: Any) -> OneChannelEngine:
    runner = make_engine(small_network(), path, images_of(6), Computation(**options))
    assert isinstance(runner, OneChannelEngine)
    return runner


SIZES_BY_HAND = {
    # base: images for the layer to be run on, relu1 and conv2 to be corrected, scores.
    # slabs: relu1's channel is kept for conv2, and two channels are in work at a time.
    # dense: conv2 and relu2 at a time, and four times the scores.
    "0": (3 * 64 + 4 * 64 + 5 * 64 + 3, 64 + 2 * 64, 2 * 5 * 64 + 4 * 3),
    # base: relu1, flatten and fc6 to be corrected, scores; slabs: the pooled channel is kept, two whole ones are in
    # work; dense: fc6 and relu6, and four times the scores
    "2": (4 * 64 + 80 + 7 + 3, 16 + 2 * 64, 2 * 7 + 4 * 3),
    # base: flatten, relu6 and scores to be corrected; slabs: one number is kept, two are in work; dense: five scores
    "6": (80 + 7 + 3, 1 + 2, 3 + 4 * 3),
}
"""Numbers an image: base, slab, dense."""

FORWARD_BY_HAND = {
    "0": 3 * 64 + 4 * 64 + 2 * 5 * 64,  # images and relu1, which are kept, conv2 and relu2
    "2": 4 * 64 + 2 * 5 * 64,
    "6": 2 * 5 * 64,
}
"""Numbers an image at a time while base values are computed."""


@pytest.mark.parametrize("path", FORWARD_BY_HAND)
def test_a_footprint_counts_the_values_of_the_pass_itself(path: str) -> None:
    assert footprint(one_channel(path).plan).forward == 4 * FORWARD_BY_HAND[path]


PASS = 4 * 27 * 64 + 5 * 36 * 64 + 80 * 7 + 7 * 3
COST_BY_HAND = {
    # the unit, one channel of conv2, and all behind; conv2, relu2, pooled, fc6, relu6, scores
    "0": (27 * 64 + 5 * 9 * 64 + 80 * 7 + 7 * 3, 2 * 5 * 64 + 80 + 7 + 7 + 3),
    # the unit, its pooled channel's columns of fc6, the scores
    "2": (36 * 64 + 16 * 7 + 7 * 3, 7 + 7 + 3),
    "6": (80 + 3, 3),
}
"""Multiply-adds of a variant on an image, and the numbers that it writes."""


@pytest.mark.parametrize("path", COST_BY_HAND)
def test_a_cost_counts_what_a_plan_multiplies(path: str) -> None:
    assert cost_of(one_channel(path).plan) == Cost(PASS, *COST_BY_HAND[path])


def test_a_cost_counts_what_torch_counts() -> None:
    network = nn.Sequential(
        *(nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), nn.ConvTranspose2d(6, 4, 2, stride=2), nn.Flatten(2)),
        *(nn.TransformerEncoderLayer(144, 4, 32, batch_first=True), nn.Flatten(), nn.Linear(576, 3)),
    ).eval()
    images = torch.randn(2, 4, 8, 8)
    engine = make_engine(network, "0", images)
    assert isinstance(engine, OneChannelEngine)
    with FlopCounterMode(display=False) as counter:  # with gradients, or attention is one operator that hides its work
        network(images)
    attention = 2 * 4 * 4 * 144  # which torch does not count on a CPU
    assert cost_of(engine.plan).forward == counter.get_total_flops() // 2 // len(images) + attention


def test_without_memory_for_all_base_values_they_are_computed_once_a_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featuresharing.engine.one_channel.CPU_OPERATIONS", 1)  # a result for each unit
    # base values are computed to check fused operators, too
    monkeypatch.setattr("featuresharing.engine.one_channel.is_available", lambda *_: False)
    network, images = small_network_fixed(), images_of(6)
    wanted = marginalize(network, "0", images, samples=5)
    runs: list[int] = []
    real = Interpreter.base
    monkeypatch.setattr(Interpreter, "base", lambda self, part: runs.append(len(part)) or real(self, part))
    for memory, series, passes in ((None, 1, 2), (20_000, 1, 2 * 4), (20_000, 3, 2 * 2)):
        runs.clear()
        monkeypatch.setattr("featuresharing.engine.memory.MOST_SERIES", series)
        found = marginalize(network, "0", images, samples=5, memory=memory, batch_size=3)
        assert len(runs) * runs[0] == passes * 3
        np.testing.assert_allclose(found.probabilities[0], wanted.probabilities[0], rtol=0, atol=1e-6)


def test_a_footprint_does_not_depend_on_the_number_of_images() -> None:
    one, six = (make_engine(small_network(), "0", images_of(count)) for count in (1, 6))
    assert isinstance(one, OneChannelEngine)
    assert isinstance(six, OneChannelEngine)
    assert footprint(one.plan) == footprint(six.plan)


def test_less_memory_means_smaller_batches_and_the_same_numbers() -> None:
    assert one_channel("0").batches.images == 6
    tight = one_channel("0", memory=10_000).batches
    assert (tight.images, tight.dense, tight.keep) == (1, 1, False)
    wanted = marginalize(small_network_fixed(), "0", images_of(6), samples=5)
    found = marginalize(small_network_fixed(), "0", images_of(6), samples=5, memory=10_000)
    np.testing.assert_allclose(found.probabilities[0], wanted.probabilities[0], rtol=0, atol=1e-6)


# --- how much is free

LIMITED = """
import resource
import psutil
from featuresharing.networks.free_memory import free_memory

used = psutil.Process().memory_info()
kind, taken = {"RLIMIT_DATA": (resource.RLIMIT_DATA, used.data), "RLIMIT_AS": (resource.RLIMIT_AS, used.vms)}["KIND"]
resource.setrlimit(kind, (taken + 2**28, resource.RLIM_INFINITY))
print(free_memory("cpu"))
resource.setrlimit(kind, (2**20, resource.RLIM_INFINITY))
print(free_memory("cpu"))
"""


@on_linux
@pytest.mark.parametrize("kind", ["RLIMIT_DATA", "RLIMIT_AS"])
def test_limits_of_the_process_are_honoured(kind: str) -> None:
    printed = run_python(LIMITED.replace("KIND", kind)).split()
    left, none = (int(number) for number in printed)
    assert 200 * MIB < left <= 256 * MIB
    assert none == 0


def test_free_memory_is_within_what_the_machine_has() -> None:
    import psutil

    assert 0 < free_memory("cpu") <= psutil.virtual_memory().total


# --- memory that runs out


def small_network_fixed() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = small_network()
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.3)
    return network


def out_of_memory(kind: str) -> Exception:
    return {
        "torch": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        "cpu": RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory:"
            " you tried to allocate 8 bytes. Error code 12 (Cannot allocate memory)"
        ),
        "numpy": MemoryError("Unable to allocate 1.00 TiB for an array"),
    }[kind]


class Failing:
    """Stands before a method and raises ``error`` whenever ``too_much`` says so."""

    def __init__(self, method: Callable[..., Any], error: Exception, too_much: Callable[..., bool]) -> None:
        self.method, self.error, self.too_much = method, error, too_much
        self.failures = self.successes = 0

    def __get__(self, instance: Any, owner: type) -> Callable[..., Any]:
        return lambda *args, **kwargs: self.run(instance, *args, **kwargs)

    def run(self, instance: Any, *args: Any, **kwargs: Any) -> Any:
        if self.too_much(self, *args, **kwargs):
            self.failures += 1
            raise self.error
        self.successes += 1
        return self.method(instance, *args, **kwargs)


def more_rows_than(most: int) -> Callable[..., bool]:
    """Say whether the interpreter's batches hold more than so many rows: variants times images."""
    return lambda _, base, units, new, *, batch: min(batch, len(new)) * new.shape[1] > most


def install(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, error: Exception, when: Any) -> Failing:
    failing = Failing(getattr(owner, name), error, when)
    monkeypatch.setattr(owner, name, failing)
    return failing


def same_numbers(found: Conditionals, wanted: Conditionals) -> None:
    assert found.units.tolist() == wanted.units.tolist()
    for one, other in zip(
        (*found, *(found.standard_error or ())), (*wanted, *(wanted.standard_error or ())), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


WORK: dict[str, tuple[str, dict[str, Any]]] = {
    "prior-weighted": ("0", {"samples": 20, "tolerance": 0}),
    "prior-weighted, draws left out": ("2", {"samples": 40}),
    "monte-carlo": ("0", {"samples": 20, "estimator": "monte-carlo"}),
    "quadrature": ("6", {"estimator": "quadrature"}),
}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("kind", ["torch", "cpu", "numpy"])
def test_work_goes_on_with_less_at_a_time_where_large_batches_run_out_of_memory(
    work: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, options = WORK[work]
    network, images = small_network_fixed(), images_of(6)
    wanted = marginalize(network, path, images, **options)
    failing = install(monkeypatch, Interpreter, "scores", out_of_memory(kind), more_rows_than(3))
    found = marginalize(network, path, images, **options)
    assert failing.failures > 0
    assert failing.successes > 0
    same_numbers(found, wanted)


@pytest.mark.parametrize("times", [1, 2, 5])
def test_work_goes_on_after_memory_ran_out_a_few_times(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = small_network_fixed(), images_of(6)
    wanted = marginalize(network, "2", images, samples=20, tolerance=0)
    # not at once: some sums have been taken by then
    failing = install(
        monkeypatch,
        Interpreter,
        "scores",
        out_of_memory("torch"),
        lambda state, *_, **__: state.successes >= 1 and state.failures < times,
    )
    found = marginalize(network, "2", images, samples=20, tolerance=0, batch_size=2)
    assert failing.failures == times
    same_numbers(found, wanted)


def test_work_goes_on_where_the_pass_itself_runs_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = small_network_fixed(), images_of(6)
    wanted = marginalize(network, "6", images, samples=5)
    failing = install(monkeypatch, Interpreter, "base", out_of_memory("cpu"), lambda _, images: len(images) > 2)
    same_numbers(marginalize(network, "6", images, samples=5), wanted)
    assert failing.failures > 0


def test_the_plain_engine_goes_on_with_fewer_images(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = small_network_fixed(), images_of(6)
    wanted = marginalize(network, "2", images, samples=4, engine="plain")
    failing = install(monkeypatch, PlainEngine, "_run", out_of_memory("cpu"), lambda _, images: len(images) > 2)
    same_numbers(marginalize(network, "2", images, samples=4, engine="plain"), wanted)
    assert failing.failures > 0


def test_lesions_go_on_with_less_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = small_network_fixed(), images_of(6)
    targets, orders = np.zeros((6, 1), np.int64), random_orders(range(5), 3)
    wanted = lesion(network, "2", images)
    accuracies = lesion_accuracy(network, "2", images, targets, orders)
    failing = install(monkeypatch, Interpreter, "scores", out_of_memory("torch"), more_rows_than(2))
    same_numbers(lesion(network, "2", images), wanted)
    failures = failing.failures
    assert failures > 0
    found = lesion_accuracy(network, "2", images, targets, orders)
    assert failing.failures > failures
    assert np.array_equal(found[1], accuracies[1])


@pytest.mark.parametrize("kind", ["torch", "cpu", "numpy"])
@pytest.mark.parametrize(
    ("engine", "owner", "name"), [("one-channel", Interpreter, "scores"), ("plain", PlainEngine, "_run")]
)
def test_memory_that_never_suffices_is_an_error_in_the_end(
    engine: str, owner: type, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = out_of_memory(kind)
    # the plain engine runs the network once to learn its tasks
    failing = install(
        monkeypatch, owner, name, error, lambda state, *_, **__: state.successes > 0 or engine == "one-channel"
    )
    with pytest.raises(type(error)) as raised:
        marginalize(small_network_fixed(), "0", images_of(6), samples=20, engine=engine)
    assert raised.value is error
    assert 2 <= failing.failures < 200


def test_quadrature_without_enough_memory_is_an_error_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = install(monkeypatch, Interpreter, "scores", out_of_memory("torch"), lambda *_, **__: True)
    with pytest.raises(torch.OutOfMemoryError):
        marginalize(small_network_fixed(), "6", images_of(6), estimator="quadrature")
    assert 2 <= failing.failures < 200


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("boom"), KeyError("boom")]
)
@pytest.mark.parametrize(
    ("engine", "owner", "name"), [("one-channel", Interpreter, "scores"), ("plain", PlainEngine, "_run")]
)
def test_other_errors_are_raised_at_once(
    engine: str, owner: type, name: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = install(
        monkeypatch, owner, name, error, lambda state, *_, **__: state.successes > 0 or engine == "one-channel"
    )
    with pytest.raises(type(error)) as raised:
        marginalize(small_network_fixed(), "0", images_of(6), samples=20, engine=engine)
    assert raised.value is error
    assert failing.failures == 1


# --- memory that is really taken

BOUNDED = """
import sys

import numpy as np
import torch
from torch import nn
from featuresharing import marginalize

layer, count, samples = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def mebibytes(key: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) // 1024 for line in file if line.startswith(key + ":"))


network = nn.Sequential(
    *(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(8)),
    *(nn.Flatten(), nn.Linear(4096, 32), nn.ReLU(), nn.Linear(32, 5)),
).eval()
images = np.random.default_rng(0).standard_normal((count, 3, 64, 64), dtype=np.float32)
marginalize(network, layer, images[:2], units=[0], samples=2)  # loads what torch loads when it is first used
before = mebibytes("VmRSS")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # forgets the peak
marginalize(network, layer, images, units=[0, 1], samples=samples, tolerance=0, memory=64 * 2**20)
print(mebibytes("VmHWM") - before)
"""


@pytest.mark.slow
@on_linux
@pytest.mark.parametrize(
    ("layer", "images", "samples"), [("0", 200, 3), ("4", 200, 3), ("6", 200, 3), ("0", 30, 1000), ("4", 30, 3000)]
)
def test_no_more_memory_is_taken_than_was_given(layer: str, images: int, samples: int) -> None:
    """The first layer's outputs take 200 MiB on 200 images, and one unit's 15 MiB for 1000 draws and one image.

    64 MiB are given; torch may take some for itself. The C library returns what is freed at once, or else how it reuses
    memory decides the peak.
    """
    environment = {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    assert int(run_python(BOUNDED, layer, images, samples, **environment)) < 64 + 64


PAPER = """
import resource
import sys

limit, count, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if limit:
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

import numpy as np
import torch
from torch import nn
from featuresharing import marginalize


class Heads(nn.ModuleList):
    def forward(self, x):
        return tuple(head(x) for head in self)


def stage(name):
    with open("/proc/self/status") as file:
        values = dict(line.split(":", 1) for line in file)
    numbers = {key: int(values[key].split()[0]) // 1024 for key in ("VmRSS", "VmHWM", "VmData")}
    print(name, numbers, flush=True)
    return numbers["VmHWM"]


torch.manual_seed(0)
network = nn.Sequential(
    *(nn.Conv2d(3, 96, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
    *(nn.Conv2d(96, 256, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
    *(nn.Conv2d(256, 384, 3, 1, 1), nn.ReLU()),
    *(nn.Conv2d(384, 384, 3, 1, 1), nn.ReLU()),
    *(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    *(nn.Flatten(), nn.Linear(9216, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU()),
    Heads([nn.Linear(4096, 500), nn.Linear(4096, 100)]),
).eval()
with torch.no_grad():
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and not name.startswith("18."):  # larger scores would round by more
            parameter.mul_(2)
stage("network")
images = np.random.default_rng(0).standard_normal((count, 3, 224, 224), dtype=np.float32)
stage("images")
results = {}
for name, layer, units in (("conv1", "0", [5]), ("fc6", "14", [0, 4000])):
    found = marginalize(network, layer, images, units=units, samples=2)
    results |= {f"{name}, task {task}": values[:, :4] for task, values in zip(found.tasks, found)}
    peak = stage(name)
np.savez(path, peak=peak, **results)
"""


@pytest.mark.slow
@on_linux
def test_two_gigabytes_are_enough_for_600_images_and_the_papers_network(tmp_path: Path) -> None:
    """Whether all finishes, in the resident memory allowed, with the numbers of a few images without a limit."""
    printed = run_python(PAPER, 2**31, 600, tmp_path / "limited.npz", OMP_NUM_THREADS="2")
    run_python(PAPER, 0, 4, tmp_path / "free.npz", OMP_NUM_THREADS="2")
    limited, free = np.load(tmp_path / "limited.npz"), np.load(tmp_path / "free.npz")
    assert limited["peak"] < 2048, printed
    assert len(limited.files) == 1 + 2 * 2
    for name in set(limited.files) - {"peak"}:
        assert limited[name].shape[1] == 4
        assert np.ptp(limited[name], axis=1).max() > 1e-4, "images look alike"
        np.testing.assert_allclose(limited[name], free[name], rtol=0, atol=1e-6, err_msg=name)


# --- progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


LINE = r"0: (\d+) of (\d+), \d+\.\d a second, \d+ s left "


def work_in_progress(progress: bool) -> Iterator[Callable[[], Any]]:
    network, images = small_network_fixed(), images_of(2)
    yield lambda: marginalize(network, "0", images, samples=2, progress=progress)
    yield lambda: lesion(network, "0", images, progress=progress)
    yield lambda: lesion_accuracy(
        network, "0", images, np.zeros((2, 1), np.int64), random_orders(range(4), 40), progress=progress
    )


@pytest.mark.parametrize("which", range(3))
def test_a_terminal_sees_one_line_with_what_is_done_and_left(which: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featuresharing.engine.one_channel.CPU_OPERATIONS", 1)  # a result for each unit
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    list(work_in_progress(progress=True))[which]()
    monkeypatch.undo()
    written = terminal.getvalue()
    assert re.fullmatch(rf"(\r{LINE})+\n", written)
    # units, units, and blocks of 64 of 40 x 5 sets of units
    assert re.findall(LINE, written) == [(str(done), "4") for done in range(1, 5)]
    assert written.rstrip().endswith("0 s left")


def test_a_real_terminal_sees_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        next(work_in_progress(progress=True))()
        terminal.flush()
        monkeypatch.undo()
        written = ""
        while not written.endswith("\n") and select.select([reader], [], [], 5)[0]:  # what is written may take a moment
            written += os.read(reader, 10_000).decode()
    os.close(reader)
    assert "0: 4 of 4, " in written
    assert written.count("\n") == 1


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize(("progress", "stream"), [(True, io.StringIO), (False, io.StringIO), (False, Terminal)])
def test_nothing_is_written_unless_asked_for_and_on_a_terminal(
    which: int, progress: bool, stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, output = stream(), stream()
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setattr(sys, "stdout", output)
    list(work_in_progress(progress))[which]()
    monkeypatch.undo()
    assert errors.getvalue() == output.getvalue() == ""
