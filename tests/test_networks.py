"""Networks: the AlexNet, its training, its checkpoints and the images it gets right."""

import copy
import io
import random
import runpy
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from featuresharing import InputError, load_network
from featuresharing.networks.alexnet.architecture import build_alexnet, fold_batch_norm
from featuresharing.networks.alexnet.batches import MemoryBatches, Order
from featuresharing.networks.alexnet.names import LAYERS
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.networks.alexnet.trainer import Trainer, TrainerSettings
from featuresharing.networks.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from featuresharing.networks.opening import check_fits, open_network
from featuresharing.networks.predictions import Predictions, choose_images, read_predictions, write_predictions
from tests.support.commands import ROOT

torch.set_num_threads(1)  # more only wait for each other on networks this small

SHAPE = AlexNetShape(16, 1, (4, 5, 4, 5, 4), (5, 3, 3, 1, 3), (8, 6), (3, 2))
TASKS = ("word", "basic")
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, size=(10, 3, 16, 16), dtype=np.uint8)
TARGETS = np.column_stack([RNG.integers(0, count, size=10) for count in SHAPE.classes])


def trainer(steps: int = 6, **changes: Any) -> Trainer:
    options = {"batch_size": 4, "learning_rate": 0.01, "weight_decay": 0.05, "dropout": 0.3, "seed": 3, "log_every": 4}
    shift = changes.pop("shift", 2)
    settings = TrainerSettings(steps, **options | changes)
    order = Order(len(IMAGES), settings.batch_size, settings.seed)
    return Trainer(MemoryBatches(IMAGES, TARGETS, order, shift=shift), TASKS, SHAPE, settings)


def advance(training: Trainer, steps: int) -> Trainer:
    for _ in range(steps):
        training.advance()
    return training


def build() -> nn.Sequential:
    torch.manual_seed(1)
    return build_alexnet(SHAPE).eval()


def equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_layers_lie_at_the_module_paths_of_their_names() -> None:
    network = build()
    units = [len(network.get_submodule(path).weight) for path in LAYERS.values()]
    assert units == [*SHAPE.channels, *SHAPE.hidden]
    kinds = [type(network.get_submodule(path)).__name__ for path in LAYERS.values()]
    assert kinds == ["Conv2d"] * 5 + ["Linear"] * 2
    assert [len(network.get_submodule(f"1.7.{task}").weight) for task in range(2)] == [3, 2]
    assert [scores.shape for scores in network(torch.zeros(2, 3, 16, 16))] == [(2, 3), (2, 2)]


@pytest.mark.parametrize(("size", "stride"), [(16, 2), (17, 1), (24, 3), (31, 1), (33, 4)])
def test_every_accepted_size_of_image_passes_through(size: int, stride: int) -> None:
    shape = AlexNetShape(size, stride, (2,) * 5, (3, 5, 1, 3, 3), (3, 3), (2, 2))
    assert len(build_alexnet(shape)(torch.zeros(1, 3, size, size))) == 2


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"channels": (4, 4)}, r"channels: found \[4, 4\]; accepted is five integers from 1 to 65536"),
        ({"kernels": (3,) * 6}, r"kernels: found \[3, 3, 3, 3, 3, 3\]; accepted is five odd integers from 1 to 11"),
        ({"hidden": (8,)}, r"hidden: found \[8\]; accepted is two integers from 1 to 65536"),
        ({"image_size": 7}, "image_size: found 7 pixels; accepted are at least 8"),
        ({"kernels": (3, 3, 4, 4, 4)}, r"kernels\.2: found 4; accepted is an odd integer from 1 to 11"),
    ],
)
def test_sizes_that_make_no_network_are_named(change: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError, match=found):
        AlexNetShape.from_dict(SHAPE.as_dict() | change)


def test_a_folded_network_computes_what_the_trained_one_does() -> None:
    torch.manual_seed(0)
    network = build_alexnet(SHAPE, dropout=0.5, batch_norm=True).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(5):
        optimiser.zero_grad()
        scores = network(3 * torch.randn(8, 3, 16, 16))
        torch.stack([task.square().mean() for task in scores]).sum().backward()
        optimiser.step()
    before = copy.deepcopy(network)
    folded = fold_batch_norm(network, SHAPE)
    assert equal(network, before)
    assert all(module.training for module in network.modules())
    assert not any(module.training for module in folded.modules())
    assert equal(build_alexnet(SHAPE), build_alexnet(SHAPE)) is False
    assert list(folded.state_dict()) == list(build_alexnet(SHAPE).state_dict())
    images = torch.randn(4, 3, 16, 16)
    for found, wanted in zip(folded(images), network.eval()(images), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stop", [0, 1, 4, 5])
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(stop: int) -> None:
    whole = advance(trainer(), 6)
    buffer = io.BytesIO()
    torch.save(advance(trainer(), stop).state_dict(), buffer)
    buffer.seek(0)
    resumed = trainer()
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    assert resumed.step == stop
    advance(resumed, 6 - stop)
    assert equal(resumed.checkpoint().network, whole.checkpoint().network)
    assert resumed.log == whole.log


def test_training_is_what_a_plain_loop_gives() -> None:
    """No layout in memory, no optimiser in one call: torch's steps, one after the other."""
    steps = 6
    training = trainer(steps, dropout=0, log_every=1)
    network = build_alexnet(SHAPE, batch_norm=True).train()
    network.load_state_dict(training.state_dict()["network"])
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.05, foreach=False)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.01, total_steps=steps)
    wanted: list[float] = []
    batches = MemoryBatches(IMAGES, TARGETS, Order(len(IMAGES), 4, 3), shift=2)
    for step in range(steps):
        images, targets = batches.batch(step)
        scores = network(images.contiguous())
        losses = [nn.functional.cross_entropy(task, targets[:, place]) for place, task in enumerate(scores)]
        wanted += [loss.item() for loss in losses]
        optimiser.zero_grad()
        torch.stack(losses).sum().backward()
        optimiser.step()
        schedule.step()
    assert [row.loss for row in advance(training, steps).log] == pytest.approx(wanted, rel=1e-4)


def test_training_depends_on_its_seed_alone() -> None:
    torch.manual_seed(11)
    first = advance(trainer(), 3)
    torch.manual_seed(12)
    assert equal(first.checkpoint().network, advance(trainer(), 3).checkpoint().network)
    assert not equal(first.checkpoint().network, advance(trainer(seed=4), 3).checkpoint().network)


def test_training_leaves_global_random_states_alone() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    advance(trainer(), 6).checkpoint()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]  # noqa: NPY002


@pytest.mark.parametrize(("precision", "near"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_fewer_bits_give_nearly_the_same_network_and_resume(precision: str, near: float) -> None:
    plain = {"batch_norm": False, "dropout": 0, "optimiser": "sgd"}

    def parameters(training: Trainer) -> torch.Tensor:
        state = training.checkpoint().network.state_dict()
        assert all(value.dtype == torch.float32 for value in state.values())
        return torch.cat([value.flatten() for value in state.values()])

    start, exact = parameters(trainer(**plain)), parameters(advance(trainer(**plain), 6))
    rounded = advance(trainer(**plain, precision=precision), 6)
    difference = (parameters(rounded) - exact).abs().max() / (exact - start).abs().max()
    assert 0 < difference < near
    half = advance(trainer(**plain, precision=precision), 3)
    resumed = trainer(**plain, precision=precision)
    resumed.load_state_dict(half.state_dict())
    assert equal(advance(resumed, 3).checkpoint().network, rounded.checkpoint().network)


def test_training_that_diverges_stops_with_its_step() -> None:
    with pytest.raises(
        InputError, match=r"diverged: the loss of task '\w+' is .* at step \d+; accepted is a lower learning"
    ):
        advance(trainer(60, learning_rate=1e6), 60)


def test_the_log_has_a_row_for_each_interval_and_task() -> None:
    training = advance(trainer(), 6)
    assert [(row.step, row.task) for row in training.log] == [(4, "word"), (4, "basic"), (6, "word"), (6, "basic")]
    assert all(row.loss > 0 and 0 <= row.accuracy <= 1 for row in training.log)


def test_checkpoints_do_not_disturb_training() -> None:
    plain, watched = trainer(), trainer()
    for _ in range(4):
        plain.advance()
        watched.advance()
        watched.checkpoint()
    assert equal(plain.checkpoint().network, watched.checkpoint().network)
    assert watched.checkpoint().step == 4


def test_training_learns() -> None:
    training = trainer(60, dropout=0.0, shift=0, batch_size=10, log_every=1)
    advance(training, 60)
    for first, last in zip(training.log[:2], training.log[-2:], strict=True):
        assert last.accuracy >= 0.8
        assert last.loss < first.loss / 2


@pytest.mark.parametrize("steps", range(1, 9))
def test_training_may_have_any_number_of_steps(steps: int) -> None:
    assert advance(trainer(steps), steps).log[-1].step == steps


@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_checkpoint_of_a_training_is_read_again(batch_norm: bool, tmp_path: Path) -> None:
    checkpoint = advance(trainer(batch_norm=batch_norm), 1).checkpoint()
    save_checkpoint(tmp_path / "1.pt", checkpoint)
    assert equal(load_checkpoint(tmp_path / "1.pt").network, checkpoint.network)


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    checkpoint = Checkpoint(build(), SHAPE, TASKS, 400)
    save_checkpoint(tmp_path / "new" / "0400.pt", checkpoint)
    found = load_checkpoint(tmp_path / "new" / "0400.pt")
    assert (found.shape, found.tasks, found.step) == (SHAPE, TASKS, 400)
    network = load_network(str(tmp_path / "new" / "0400.pt"))
    for loaded in (found.network, network):
        assert equal(loaded, checkpoint.network)
        assert not any(module.training for module in loaded.modules())


def test_equal_networks_are_saved_as_equal_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / "a.pt", tmp_path / "other name.pt", tmp_path / "c.pt"]
    for path, step in zip(paths, (7, 7, 8), strict=True):
        save_checkpoint(path, Checkpoint(build(), SHAPE, TASKS, step))
    assert paths[0].read_bytes() == paths[1].read_bytes() != paths[2].read_bytes()
    save_checkpoint(tmp_path / "again.pt", load_checkpoint(paths[0]))
    assert (tmp_path / "again.pt").read_bytes() == paths[0].read_bytes()


def test_files_that_hold_no_checkpoint_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    refused = r"x\.pt cannot be read: .*; accepted are checkpoints of a multitask-alexnet"
    with pytest.raises(InputError, match=r"x\.pt does not exist"):
        load_checkpoint(path)
    save_checkpoint(path, Checkpoint(build(), SHAPE, TASKS, 7), recorded=False)
    whole = path.read_bytes()
    content = torch.load(path, weights_only=True)
    damaged = whole.replace(b"multitask-alexnet", b"\xff" * 17)
    for garbage in (b"", b"no network\n", bytes(100), b".", whole[:500], whole[:-30], damaged, whole + b"x", whole * 2):
        path.write_bytes(garbage)
        with pytest.raises(InputError, match=refused):
            load_checkpoint(path)
    others: list[Any] = [{"state": {}}, [1, 2], nn.Linear(2, 2), "text", torch.ones(2)]
    for other in others:
        torch.save(other, path)
        with pytest.raises(InputError, match=refused):
            load_checkpoint(path)
    with pytest.raises(InputError, match="cannot be read: it is no file; accepted are"):
        load_checkpoint(tmp_path)
    torch.save(content | {"architecture": "resnet"}, path)
    with pytest.raises(InputError, match=r"x\.pt holds a network of architecture 'resnet'; accepted are"):
        load_checkpoint(path)


def stored(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint, for changes that keep no digest."""
    save_checkpoint(path, Checkpoint(build(), SHAPE, TASKS, 7), recorded=False)
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"shape": SHAPE.as_dict() | {"hidden": [8, 7]}}, r"1\.5\.weight is of shape \[6, 8\] instead of \[7, 8\]"),
        ({"shape": SHAPE.as_dict() | {"hidden": [2**16, 2**16]}}, r"1\.2\.weight is of shape \[8, 16\] instead of"),
        ({"shape": SHAPE.as_dict() | {"classes": [3, 2**31 - 1]}}, r"1\.7\.1\.weight is of shape"),
        ({"shape": SHAPE.as_dict() | {"hidden": [2**40, 6]}}, r"hidden: found \[1099511627776, 6\]"),
        ({"shape": SHAPE.as_dict() | {"stride": 0}}, "stride: found 0"),
        (
            {"shape": SHAPE.as_dict() | {"stride": 2**30}},
            "stride: found 1073741824, accepted is an integer from 1 to 8",
        ),
        ({"shape": SHAPE.as_dict() | {"stride": 1.0}}, "stride: found 1.0"),
        ({"shape": SHAPE.as_dict() | {"channels": 4}}, "channels: found 4"),
        ({"shape": {"size": 4}}, "found other names"),
        ({"shape": None}, "found other names"),
        ({"tasks": ["word", "word"]}, "2 heads are not those of tasks with names of their own"),
        ({"tasks": ["word"]}, "2 heads are not those of tasks"),
        ({"tasks": "ab"}, "2 heads are not those of tasks"),
        ({"step": 7.5}, "its training step is none"),
        ({"state": {"0.0.0.weight": torch.ones(1)}}, "accepted are 18 parameters by name"),
        ({"state": None}, "accepted are 18 parameters by name"),
        ({"preprocessing": {"size": 16}}, "how it takes images is not told"),
        (
            {"preprocessing": {"size": 16, "mean": [0, 0, 0], "std": [1, 0, 1], "resize": True}},
            "how it takes images is not told in numbers",
        ),
    ],
)
def test_a_checkpoint_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, Any], found: str) -> None:
    path = tmp_path / "x.pt"
    torch.save(stored(path) | change, path)
    with pytest.raises(InputError, match=rf"x\.pt: its parameters do not fit its stated sizes \(.*{found}"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "values",
    [torch.ones(4, 3, 5, 5).double(), torch.ones(1).expand(4, 3, 5, 5), torch.ones(4, 3, 5, 5).int(), "text", None],
)
def test_parameters_of_another_kind_are_refused(tmp_path: Path, values: Any) -> None:
    path = tmp_path / "x.pt"
    content = stored(path)
    content["state"]["0.0.0.weight"] = values
    torch.save(content, path)
    with pytest.raises(InputError, match=r"x\.pt: its parameters do not fit its stated sizes \(0\.0\.0\.weight is"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "place", "value", "found"),
    [
        ("0.0.0.weight", (3, 0, 1, 1), float("nan"), r"weight of unit 3 of layer 0\.0\.0 \(conv1\) holds nan"),
        ("1.5.bias", (2,), float("inf"), r"bias of unit 2 of layer 1\.5 \(fc7\) holds inf"),
        ("1.7.1.weight", (1, 0), float("-inf"), r"weight of unit 1 of layer 1\.7\.1 holds -inf"),
    ],
)
def test_numbers_that_are_not_finite_are_named(
    tmp_path: Path, name: str, place: tuple[int, ...], value: float, found: str
) -> None:
    path = tmp_path / "x.pt"
    content = stored(path)
    content["state"][name][place] = value
    torch.save(content, path)
    for read in (load_checkpoint, load_network, open_network):
        with pytest.raises(InputError, match=rf"checkpoint .*x\.pt: the {found}; accepted are finite numbers"):
            read(path)
    network = build()
    with torch.no_grad():
        network.get_parameter(name)[place] = value
    with pytest.raises(InputError, match=rf"checkpoint .*y\.pt: the {found}"):
        save_checkpoint(tmp_path / "y.pt", Checkpoint(network, SHAPE, TASKS, 7))
    assert not (tmp_path / "y.pt").exists()


def test_a_changed_checkpoint_is_refused_by_its_record_and_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    save_checkpoint(path, Checkpoint(build(), SHAPE, TASKS, 7))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"x\.pt is not what was written"):
        load_checkpoint(path)
    alone = tmp_path / "moved/x.pt"
    alone.parent.mkdir()
    alone.write_bytes(whole)
    with pytest.raises(InputError, match=r"x\.pt cannot be read: its content is not what its digest says"):
        load_checkpoint(alone)


def test_a_checkpoint_of_an_earlier_version_is_read_if_its_checksums_fit(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(stored(path), path)  # as it was written before files had a digest
    assert equal(load_checkpoint(path).network, build())
    whole = path.read_bytes()
    start = whole.index(build().state_dict()["1.2.weight"].numpy().tobytes())
    for change in range(0, 256, 5):
        damaged = bytearray(whole)
        damaged[start + change] ^= 1 << change % 8
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"x\.pt cannot be read: its member 'x/data/\d+' is not what its checksum"):
            load_checkpoint(path)


def rewritten(path: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]], compression: int = 0) -> None:
    """Write an archive anew, with what ``change`` gives for the name and the content of every member."""
    with zipfile.ZipFile(path) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, content in members:
            for member in change(name, content):
                archive.writestr(*member)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda name, content: [(name, content)] * 2, "it holds a member twice"),
        (lambda name, content: [(name, content[:-4] if name.endswith("data/0") else content)], "not of the sizes"),
        (lambda name, content: [] if name.endswith("data/3") else [(name, content)], "as it was written"),
        (lambda name, content: [] if name.endswith("data.pkl") else [(name, content)], "as it was written"),
        (
            lambda name, content: [(name, b"cos\nsystem\n." if name.endswith("data.pkl") else content)],
            "it holds 'os system', which no network is made of",
        ),
        (
            lambda name, content: [(name, content.replace(b"FloatStorage", b"DoubleStorage"))],
            "not of the sizes",
        ),
    ],
)
def test_archives_of_another_make_are_refused(
    tmp_path: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]], found: str
) -> None:
    path = tmp_path / "x.pt"
    torch.save(stored(path), path)
    rewritten(path, change)
    with pytest.raises(InputError, match=rf"x\.pt.*({found})"):
        load_checkpoint(path)


def test_packed_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(stored(path), path)
    rewritten(path, lambda name, content: [(name, content)], zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="is not stored as torch stores it"):
        load_checkpoint(path)


def test_damaged_checkpoints_and_states_are_refused_or_the_same() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks/fuzz_checkpoints.py"))
    found = script["fuzz"](60, 5)
    assert found["refused"] + found["same"] + found["forged"] == 60
    assert found["refused"] > 30
    assert found["slowest"] < 20
    assert found["memory"] < 500


def test_a_checkpoint_with_other_heads_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    save_checkpoint(path, Checkpoint(build(), SHAPE, TASKS, 7))
    found = open_network(path)
    check_fits(path, found, {"word": ["a", "b", "c"], "basic": ["d", "e"]})
    for classes in ({"word": ["a", "b"], "basic": ["c", "d", "e"]}, {"word": ["a", "b", "c"]}):
        wanted = " and ".join(str(len(names)) for names in classes.values())
        with pytest.raises(
            InputError, match=rf"x\.pt is of another architecture: found heads of 3 and 2 .* heads of {wanted}"
        ):
            check_fits(path, found, classes)
    with pytest.raises(
        InputError, match=r"x\.pt was trained for the tasks word, basic; accepted are colour, basic, in the order"
    ):
        check_fits(path, found, {"colour": ["a", "b", "c"], "basic": ["d", "e"]})
    check_fits(path, replace(found, tasks=None), {"colour": ["a", "b", "c"], "basic": ["d", "e"]})  # a Torch7 model


def predictions(right: list[list[bool]]) -> Predictions:
    """Return predictions of two classes whose likeliest is right where ``right`` [tasks, images] says so."""
    targets = np.arange(len(right[0])) % 2
    probabilities = [
        np.where(np.eye(2, dtype=bool)[targets] == np.array(task)[:, None], 0.75, 0.25).astype(np.float32)
        for task in right
    ]
    return Predictions(dict(zip(TASKS, probabilities, strict=True)), dict.fromkeys(TASKS, targets), 7)


def test_chosen_images_are_right_in_every_task() -> None:
    made = predictions([[True, True, False, True, True], [True, False, True, True, True]])
    assert {task: right.tolist() for task, right in made.right().items()} == {
        "word": [True, True, False, True, True],
        "basic": [True, False, True, True, True],
    }
    assert choose_images(made, most=9, seed=0).tolist() == [0, 3, 4]
    with pytest.raises(InputError, match=r"none of 2 images is right in every task \(word, basic\); accepted is"):
        choose_images(predictions([[True, False], [False, True]]), most=9, seed=0)


def test_the_choice_among_more_images_depends_on_its_seed_alone() -> None:
    many = predictions([[True] * 40, [i % 4 > 0 for i in range(40)]])
    chosen = choose_images(many, most=10, seed=0).tolist()
    assert chosen == choose_images(many, most=10, seed=0).tolist()
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 10
    assert all(image % 4 for image in chosen)
    assert len({tuple(choose_images(many, most=10, seed=seed)) for seed in range(5)}) == 5
    assert set(chosen) < set(choose_images(many, most=15, seed=0))


def test_predictions_come_back_as_they_were_written(tmp_path: Path) -> None:
    made = predictions([[True, False, True], [True, True, False]])
    write_predictions(tmp_path / "new" / "7.h5", made)
    found = read_predictions(tmp_path / "new" / "7.h5")
    assert found.step == 7
    for stored, original in ((found.probabilities, made.probabilities), (found.targets, made.targets)):
        assert list(stored) == list(TASKS)
        for task in TASKS:
            assert stored[task].dtype == original[task].dtype
            assert np.array_equal(stored[task], original[task])


def test_files_that_hold_no_predictions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    write_predictions(path, predictions([[True], [True]]))
    whole = path.read_bytes()
    for garbage in (b"", b"no predictions", whole[:1000], whole[:-8]):
        path.write_bytes(garbage)
        with pytest.raises(InputError, match=r"x\.h5 is no complete file of predictions"):
            read_predictions(path)
    with h5py.File(path, "w") as file:
        file["unit"] = 1
    with pytest.raises(InputError, match=r"x\.h5 is no complete file of predictions"):
        read_predictions(path)
    with pytest.raises(InputError, match=r"nowhere\.h5 is no complete file of predictions"):
        read_predictions(tmp_path / "nowhere.h5")
