"""What a network takes and returns: right in every function, or refused by all of them in the same sentence."""

import copy
import dataclasses
import io
import re
import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import featuresharing as fs
from featuresharing import InputError, lesion, lesion_accuracy, marginalize, maximize_units, predict
from featuresharing.networks.inputs import as_images

IMAGES = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))
TARGETS = np.zeros((4, 1), np.int64)
QUICK = fs.FeatureSettings(2)


class Net(nn.Module):
    """A convolution ``conv`` of four units, then ``last``; ``wrap`` makes the output of its three scores."""

    def __init__(self, wrap: Callable[[Tensor], Any] = lambda scores: scores, classes: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, classes)
        self.wrap = wrap

    def scores(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.conv(x)).mean((2, 3)))

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.scores(x))


ANALYSES: dict[str, Callable[..., Any]] = {
    "predict": lambda network, images, layer="conv", **_: predict(network, images),
    "one-channel": lambda network, images, layer="conv", **o: marginalize(network, layer, images, samples=3, **o),
    "plain": lambda network, images, layer="conv", **o: marginalize(
        network, layer, images, samples=3, engine="plain", **o
    ),
    "lesion": lambda network, images, layer="conv", **o: lesion(network, layer, images, **o),
    "lesion_accuracy": lambda network, images, layer="conv", tasks=1, **_: lesion_accuracy(
        network, layer, images, TARGETS.repeat(tasks, axis=1), [[0, 1], [2, 3]]
    ),
}
CLIMBING = {
    **ANALYSES,
    "maximize_units": lambda network, images, layer="conv", **o: list(
        maximize_units(network, layer, (3, 6, 6), settings=QUICK, **o)
    ),
}


def refusals(network: nn.Module, images: Any = IMAGES, among: Mapping[str, Any] = ANALYSES, **options: Any) -> set[str]:
    """Return the sentences with which the analyses refuse; each has to."""
    found = set()
    for analysis in among.values():
        with pytest.raises(InputError) as error:
            analysis(copy.deepcopy(network), images, **options)
        found.add(str(error.value))
        assert "\n" not in str(error.value)
    return found


def lesions_naively(network: Any, images: Tensor, layer: str = "conv") -> NDArray[Any]:
    """Return the raw scores [units, N, K] of a network of one tensor, with each unit at zero."""
    found = []
    for unit in range(len(network.get_submodule(layer).weight)):
        changed = copy.deepcopy(network).eval()
        with torch.no_grad():
            changed.get_submodule(layer).weight[unit] = 0
            changed.get_submodule(layer).bias[unit] = 0
            found.append(changed(images).numpy())
    return np.stack(found)


def test_lesions_of_every_container_are_those_of_the_tensor_in_it() -> None:
    wanted = torch.from_numpy(lesions_naively(Net(), IMAGES)).softmax(2).numpy()
    for network in (Net(lambda scores: {"a": [scores, None]}), nn.DataParallel(Net())):
        for engine in ("one-channel", "plain"):
            (found,) = lesion(network, "conv", IMAGES, engine=engine)
            np.testing.assert_allclose(found, wanted, atol=1e-6)


# --- units


@pytest.mark.parametrize("name", ["one-channel", "plain", "lesion", "maximize_units"])
def test_units_are_numbers_or_a_mask(name: str) -> None:
    def chosen(units: Any) -> list[int]:
        found: Any = CLIMBING[name](Net(), IMAGES, units=units)
        return [unit for unit, _ in found] if name == "maximize_units" else found.units.tolist()

    mask = [True, False, True, False]
    for units in (mask, np.array(mask), torch.tensor(mask), [0, 2], (0, 2), range(0, 4, 2), np.array([0, 2], np.uint8)):
        assert chosen(units) == [0, 2], units
    assert chosen(torch.tensor([0, 2])) == chosen([np.int64(0), torch.tensor(2)]) == [0, 2]
    assert chosen(None) == [0, 1, 2, 3]
    assert chosen([False] * 4) == chosen([]) == []
    wrong: tuple[Any, ...] = (
        *(3, np.int64(3), torch.tensor(3), True, "01", [0.0, 2.0], np.array([0.5]), torch.tensor([1.0]), {0: 1}),
        *([True, False], [True] * 5, [True, 2, 3, 0], [[0, 1]], np.zeros((1, 2), int), ["0"], [None], object()),
    )
    for units in wrong:
        with pytest.raises(InputError, match=r"units of layer 'conv': found .*; accepted are whole numbers, as in "):
            chosen(units)
    for units in ([-1], [4], [2**70], np.array([-1])):
        with pytest.raises(InputError, match=r"unit .* of layer 'conv' does not exist; accepted are 0 to 3"):
            chosen(units)


def test_a_mask_gives_the_numbers_of_its_units() -> None:
    (all_units,) = marginalize(Net(), "conv", IMAGES, samples=3)
    (some,) = marginalize(Net(), "conv", IMAGES, samples=3, units=np.array([False, True, False, True]))
    np.testing.assert_allclose(some, all_units[[1, 3]], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"orders": [0, 1]}, "orders: found [0, 1]; accepted are lists of distinct units, one for each order."),
        ({"orders": [[True, False, False, True]]}, "orders: found True or False; accepted are lists of distinct units"),
        ({"orders": 3}, "orders: found 3; accepted"),
        ({"counts": [0.5]}, "counts: found [0.5]; accepted are numbers from 0 to 2."),
        ({"counts": 2}, "counts: found 2; accepted are numbers from 0 to 2."),
        ({"counts": [True, False]}, "counts: found [True, False]; accepted"),
        ({"targets": TARGETS + 3}, "targets of task '0': found 3 for image 0; accepted are 0 to 2, or -1 for none."),
        ({"targets": TARGETS - 2}, "targets of task '0': found -2 for image 0; accepted are 0 to 2, or -1 for none."),
        ({"targets": TARGETS - 1}, "targets of task '0': found no image with a class; accepted is one at least."),
        ({"targets": TARGETS + 0.5}, "targets: found float64; accepted are the numbers of true classes"),
    ],
)
def test_orders_counts_and_targets_are_whole_numbers(options: dict[str, Any], sentence: str) -> None:
    arguments = {"targets": TARGETS, "orders": [[0, 1], [2, 3]], **options}
    with pytest.raises(InputError) as error:
        lesion_accuracy(Net(), "conv", IMAGES, **arguments)
    assert str(error.value).startswith(sentence)
    with pytest.raises(InputError, match="repeats: found 0; accepted is an integer from 1"):
        fs.random_orders(range(4), 0)
    wanted = lesion_accuracy(Net(), "conv", IMAGES, TARGETS, [[0, 1], [2, 3]])[1]
    given = torch.from_numpy(TARGETS), torch.tensor([[0, 1], [2, 3]])
    assert np.array_equal(lesion_accuracy(Net(), "conv", IMAGES, *given)[1], wanted)


# --- outputs


@dataclasses.dataclass
class Output:
    logits: Tensor | None = None
    hidden: Any = None


@dataclasses.dataclass
class ModelOutput(OrderedDict):  # type: ignore[type-arg]
    """A dict that is a dataclass too, and holds only the fields that are there."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Any = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if (value := getattr(self, field.name)) is not None:
                self[field.name] = value


Pair = namedtuple("Pair", ["first", "second"])

CONTAINERS: dict[str, tuple[Callable[[Tensor], Any], tuple[str, ...]]] = {
    "a tensor": (lambda s: s, ("0",)),
    "a tuple": (lambda s: (s, 2 * s), ("0", "1")),
    "none behind": (lambda s: (s, None), ("0",)),
    "none before": (lambda s: [None, s], ("1",)),
    "nested lists": (lambda s: [s, [2 * s, (3 * s,)]], ("0", "1.0", "1.1.0")),
    "dicts": (lambda s: {"a": s, 7: {"b": 2 * s, "c": None}}, ("a", "7.b")),
    "a named tuple": (lambda s: Pair(s, [2 * s]), ("first", "second.0")),
    "a dataclass": (lambda s: Output(s, {"x": 2 * s}), ("logits", "hidden.x")),
    "a model output": (lambda s: ModelOutput(logits=s), ("logits",)),
    "hidden states": (lambda s: ModelOutput(s.mean(), s, hidden_states=(s, s[None])), ("logits",)),
    "no logits": (lambda s: ModelOutput(hidden_states=[s]), ("hidden_states.0",)),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_outputs_in_containers_have_names(name: str) -> None:
    wrap, names = CONTAINERS[name]
    scores = Net().scores(IMAGES).detach()
    wanted = [(factor * scores).softmax(1).numpy() for factor in range(1, len(names) + 1)]
    for analysis in ("predict", "one-channel", "plain", "lesion"):
        found = ANALYSES[analysis](Net(wrap), IMAGES)
        tasks, arrays = found if analysis == "predict" else (found.tasks, tuple(found))
        assert tasks == names, analysis
        assert len(arrays) == len(names)
        if analysis == "predict":
            for array, task in zip(arrays, wanted, strict=True):
                np.testing.assert_allclose(array, task, atol=1e-6)


SPATIAL = nn.Conv2d(3, 4, 3)


@pytest.mark.parametrize(
    ("wrap", "sentence"),
    [
        (
            lambda s: s[:, 0],
            "output '0': found [images], one number an image; accepted are raw scores [images, classes]",
        ),
        (lambda s: s[:, :1], "output '0': found 1 class, whose softmax is always 1; accepted are two classes or more"),
        (lambda s: s[:, :0], "output '0': found [images, 0]; accepted are raw scores [images, classes]."),
        (lambda s: s[:, :, None, None], "output '0': found [images, 3, 1, 1]; accepted are raw scores"),
        (lambda s: (s, (s[None], s)), "output '1.0': found [1, 2, 3] on 2 images; accepted are raw scores"),
        (lambda s: {"a": s, "loss": s.mean()}, "output 'loss': found [] on 2 images; accepted are raw scores"),
        (lambda s: s[:1], "output '0': found [1, 3] on 2 images; accepted are raw scores"),
        (lambda s: torch.cat([s, s]), "output '0': found [4, 3] on 2 images; accepted are raw scores"),
        (
            lambda s: Output(s, (s, s[..., None])),
            "output 'hidden.1': found [images, 3, 1]; accepted are raw scores [images, classes]; attach_heads can",
        ),
        (lambda s: s.argmax(1, keepdim=True), "output '0': found int64 [images, 1]; accepted are raw scores"),
        (lambda s: (s, 0.5), "output '1': found float; accepted are raw scores"),
        (lambda s: (s, "name"), "output '1': found str; accepted are raw scores"),
        (lambda s: s.detach().numpy(), "output '0': found ndarray; accepted are raw scores"),
        (lambda s: {1: s, "1": s}, "output '1': found two of that name; accepted are outputs of different names."),
        (lambda s: {"a.b": s, "a": {"b": s}}, "output 'a.b': found two of that name; accepted"),
        (lambda s: None, "outputs: found none; accepted are raw scores [images, classes], one tensor a task."),
        (lambda s: {}, "outputs: found none; accepted are raw scores"),
        (lambda s: s / 0, "output '0': found scores that are NaN or infinite on image 0; accepted are finite numbers."),
    ],
)
def test_outputs_that_are_no_scores_are_refused_in_one_sentence(wrap: Callable[[Tensor], Any], sentence: str) -> None:
    (found,) = refusals(Net(wrap))
    assert found.startswith(sentence)


def test_raw_scores_of_one_class_have_lesions_and_no_softmax() -> None:
    network = Net(classes=1)
    for engine in ("one-channel", "plain"):
        (found,) = lesion(network, "conv", IMAGES, softmax=False, engine=engine)
        np.testing.assert_allclose(found, lesions_naively(network, IMAGES), atol=1e-6)
    _, (scores,) = predict(network, IMAGES, softmax=False)
    np.testing.assert_allclose(scores, network(IMAGES).detach(), atol=1e-6)


def test_a_score_may_rule_a_class_out_and_none_may_be_nan() -> None:
    masked = Net(lambda s: torch.cat([s, torch.full_like(s[:, :1], -torch.inf)], dim=1))
    _, (found,) = predict(masked, IMAGES)
    np.testing.assert_allclose(found[:, :3], predict(Net(), IMAGES)[1][0], atol=1e-6)
    assert not found[:, 3].any()
    assert not lesion(masked, "conv", IMAGES).probabilities[0][..., 3].any()
    bright = IMAGES.clone()
    bright[2] = 1e30
    square = Net(lambda s: {"a": s, "b": s * s})
    for name, sentence in (
        ("predict", "output 'b': found scores that are NaN or infinite on image 2; accepted are finite numbers."),
        ("lesion_accuracy", "output 'b': found scores that are NaN or infinite on image 2; accepted"),
        (
            "one-channel",
            "layer 'conv': without unit 0, output 'b' is NaN or infinite on image 2; accepted are networks",
        ),
        ("plain", "layer 'conv': without unit 0, output 'b' is NaN or infinite on image 2; accepted are networks"),
        ("lesion", "layer 'conv': without unit 0, output 'b' is NaN or infinite on image 2; accepted are networks"),
    ):
        with pytest.raises(InputError) as error:
            ANALYSES[name](square, bright, **({"tasks": 2} if name == "lesion_accuracy" else {}))
        assert str(error.value).startswith(sentence), name


def test_an_integral_over_what_is_no_number_ends() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), Do(lambda x: x.sqrt().log() * x), nn.Linear(3, 2))
    rows = torch.ones(3, 4)
    with torch.no_grad():
        network[0].bias.fill_(9)
    with pytest.raises(InputError, match="layer '0': without unit 0, output '0' is NaN or infinite on image 0"):
        marginalize(network, "0", rows, estimator="quadrature")


class Do(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


# --- precision


def test_double_precision_stays_double() -> None:
    network, images = Net().double(), IMAGES.double()
    _, (found,) = predict(network, images)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, network(images).softmax(1).detach(), rtol=1e-14)
    assert predict(network, images, softmax=False)[1][0].dtype == np.float64
    assert predict(network, images, dtype="float32")[1][0].dtype == np.float32
    _, (double,) = predict(Net(), images, dtype="float64")
    np.testing.assert_allclose(double, found, rtol=1e-14)
    single = predict(network, IMAGES)[1][0]  # images of float32
    assert single.dtype == np.float64
    with pytest.raises(InputError, match="dtype: found 'float16'; accepted is float32 or float64"):
        predict(network, images, dtype="float16")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_a_dead_unit_contributes_nothing_in_any_precision(dtype: torch.dtype) -> None:
    network, rows = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5)), torch.randn(9, 6)
    with torch.no_grad():
        network[0].bias[3] = -1e4
    network.to(dtype)
    for images in (rows, rows.to(dtype)):
        (p,) = predict(network, images)[1]
        for engine in ("one-channel", "plain"):
            (q,) = lesion(network, "0", images, engine=engine)
            assert p.dtype == q.dtype == (np.float64 if dtype == torch.float64 else np.float32)
            (found,) = fs.contribution(fs.weight_of_evidence(p, q)[:, range(9), p.argmax(1)])[[3]]
            assert found < 1e-5
    upcast = copy.deepcopy(network).to(torch.float32)
    np.testing.assert_allclose(predict(upcast, rows.to(dtype))[1][0], p, atol=1e-6)


# --- other images of a batch, and chance


class Batchwise(Net):
    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(self.change(x))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: x - x.mean(0),
        lambda x: x - x[:1],
        lambda x: x - x[-1:],
        lambda x: x * len(x),
        lambda x: x.flip(0),
        lambda x: x / x.std(),
    ],
)
def test_scores_that_depend_on_other_images_are_refused(change: Callable[[Tensor], Tensor]) -> None:
    (found,) = {
        sentence.replace(sentence.partition("by ")[2].partition(" ")[0], "", 1)
        for sentence in refusals(Batchwise(change))
    }
    assert found.startswith("output '0': scores of an image change by  with the other images of its batch; accepted")
    (double,) = {s.partition(" by ")[0] for s in refusals(Batchwise(change).double())}
    assert double == "output '0': scores of an image change"


def test_outputs_that_depend_on_the_number_of_images_are_refused() -> None:
    network = Net(lambda scores: scores if len(scores) == 1 else {"a": scores, "b": scores})
    (found,) = refusals(network)
    form = "[images, 3]"
    assert found == (
        f"outputs: found 'a' {form}, 'b' {form} on two images and '0' {form} on one; accepted are networks that treat "
        "every image by itself."
    )
    (found,) = refusals(Net(lambda scores: scores[:, : len(scores) + 1]))
    assert found.startswith(f"outputs: found '0' {form} on two images and '0' [images, 2] on one; accepted are")
    partly_single = Net(lambda scores: scores.float().mul(1 / 3).double()).double()
    assert predict(partly_single, IMAGES.double())[1][0].dtype == np.float64


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.SyncBatchNorm])
def test_batch_norm_without_running_statistics_is_named(norm: Any) -> None:
    network = Net()
    network.norm = norm(3, track_running_stats=False)
    for images in (IMAGES, IMAGES[:1]):
        (found,) = refusals(network, images, CLIMBING)
        assert found.startswith(f"{norm.__name__} 'norm' has no running statistics, so that predictions depend on")
    network = Net()
    network.norm = nn.InstanceNorm2d(3)
    network.wrap = lambda scores: network.norm(scores[:, :, None, None].expand(-1, -1, 2, 2))[:, :, 0, 0]
    assert predict(network, IMAGES)[0] == ("0",)


def test_chance_is_refused_and_the_callers_chance_is_left_alone() -> None:
    for count in (1, 4):
        (found,) = refusals(Batchwise(lambda x: F.dropout(x, 0.5, training=True)), IMAGES[:count])
        assert found == (
            "Batchwise draws random numbers at evaluation: the same images give other scores; accepted are none."
        )
    before = torch.random.get_rng_state()
    predict(Net(), IMAGES)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_random_numbers_that_are_the_same_in_every_pass_are_computed_plainly() -> None:
    def add_noise(x: Tensor) -> Tensor:
        return x + torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(3))

    network = Batchwise(add_noise)
    with pytest.raises(InputError) as error:
        lesion(network, "conv", IMAGES)
    assert str(error.value) == (
        "Batchwise cannot be traced: it draws random numbers ('randn'); engine='plain' runs such networks, slowly."
    )
    (found,) = lesion(network, "conv", IMAGES, engine="plain", softmax=False)
    np.testing.assert_allclose(found, lesions_naively(network, IMAGES), rtol=0, atol=1e-6)


# --- images


def test_images_of_any_layout_give_the_same_numbers() -> None:
    flipped = IMAGES.flip(3)
    (wanted,), (lesions,) = predict(Net(), IMAGES)[1], lesion(Net(), "conv", IMAGES)
    frozen = IMAGES.numpy().copy()
    frozen.flags.writeable = False
    with torch.inference_mode():
        inferred = IMAGES * 1
    for images in (
        *(
            IMAGES.numpy(),
            flipped.numpy()[:, :, :, ::-1],
            frozen,
            IMAGES.numpy().astype(">f4"),
            np.asfortranarray(frozen),
        ),
        *(IMAGES.double(), IMAGES.numpy().astype(np.longdouble), IMAGES.clone().requires_grad_(), inferred),
        *(IMAGES.to(memory_format=torch.channels_last), nn.Parameter(IMAGES), IMAGES.repeat_interleave(2, 0)[::2]),
    ):
        for name in ("predict", "one-channel", "plain", "lesion", "lesion_accuracy"):
            found = ANALYSES[name](Net(), images)
            if name == "predict":
                np.testing.assert_allclose(found[1][0], wanted, atol=1e-6)
            if name == "lesion":
                np.testing.assert_allclose(found.probabilities[0], lesions, atol=1e-6)
    assert not frozen.flags.writeable


class Tokens(nn.Module):
    """Embeds tokens int64 [N, T], mixes them in a layer ``conv`` and averages."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.table, self.conv, self.last = nn.Embedding(20, 6), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(torch.tanh(self.conv(self.table(tokens))).mean(1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_tokens_stay_whole_numbers(dtype: str, kind: Any) -> None:
    tokens = np.random.default_rng(0).integers(20, size=(4, 7)).astype(kind)
    wanted = torch.from_numpy(lesions_naively(Tokens(), torch.from_numpy(tokens))).softmax(2).numpy()
    for engine in ("one-channel", "plain"):
        np.testing.assert_allclose(
            lesion(Tokens(), "conv", tokens, dtype=dtype, engine=engine).probabilities[0], wanted, atol=1e-6
        )
    plain, fast = (
        marginalize(Tokens(), "conv", tokens, dtype=dtype, samples=4, engine=e) for e in ("plain", "one-channel")
    )
    np.testing.assert_allclose(*plain, *fast, atol=1e-6)
    _, (p,) = predict(Tokens(), tokens)
    np.testing.assert_allclose(p, Tokens()(torch.from_numpy(tokens)).softmax(1).detach(), atol=1e-6)


class Bytes(Net):
    """Takes pixels as bytes and scales them itself."""

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x / 255)


def test_bytes_reach_the_network_as_bytes() -> None:
    pixels = np.random.default_rng(0).integers(256, size=(4, 3, 6, 6)).astype(np.uint8)
    wanted = predict(Net(), pixels.astype(np.float32) / 255)[1][0]
    np.testing.assert_allclose(predict(Bytes(), pixels)[1][0], wanted, atol=1e-6)
    assert marginalize(Bytes(), "conv", pixels, samples=2).probabilities[0].shape == (4, 4, 3)
    (found,) = refusals(Net(), pixels)
    assert found.startswith("images: found uint8 [4, 3, 6, 6], which Net does not take (Conv2d 'conv': ")
    assert found.endswith("of what it takes, and floating-point numbers where it takes no integers.")


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ([IMAGES[0], IMAGES[1]], "images: found a list of 2; accepted is one array or tensor [images, ...], such as"),
        ((IMAGES, IMAGES), "images: found a tuple of 2; accepted is one array or tensor [images, ...], such as"),
        ({"x": IMAGES}, "images: found a dict of 1; accepted is one array or tensor [images, ...]."),
        ("images.npy", "images: found a str; accepted is one array or tensor"),
        (None, "images: found None; accepted is one array or tensor"),
        (np.array(["a"]), "images: found an array of <U1; accepted is one array or tensor [images, ...] of numbers."),
        (np.ones((2, 3), complex), "images: found an array of complex128; accepted"),
        (IMAGES.to_sparse(), "images: found a tensor (torch.float32, torch.sparse_coo); accepted"),
        (IMAGES.to("meta"), "images: found a tensor (on the meta device); accepted"),
        (torch.tensor(1.0), "images: found a single number; accepted"),
        (IMAGES[:0], "images: found none; accepted is at least one."),
        (
            IMAGES * torch.tensor([1, 1, torch.nan, 1])[:, None, None, None],
            "images: found values that are NaN or infinite in image 2",
        ),
        (IMAGES[0, 0, 0], "images: found float32 [6], which Net does not take (Conv2d 'conv': "),
        (IMAGES[0], "images: found float32 [3, 6, 6], which Net does not take (Conv2d 'conv': "),
        (IMAGES[:, :2], "images: found float32 [4, 2, 6, 6], which Net does not take (Conv2d 'conv': "),
        (IMAGES[:, :, :2], "images: found float32 [4, 3, 2, 6], which Net does not take (Conv2d 'conv': "),
    ],
)
def test_what_is_no_batch_of_images_is_refused_in_one_sentence(images: Any, sentence: str) -> None:
    (found,) = refusals(Net(), images)
    assert found.startswith(sentence)
    if sentence.startswith(("images: found float32 [3,", "images: found float32 [6]")):
        assert found.endswith("and of a single image images[None].")


def test_errors_of_a_network_name_its_module_and_line() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, 99]

    network = Net()
    network.wrap = nn.Sequential(nn.Identity(), Broken())
    line = Broken.forward.__code__.co_firstlineno + 1
    (found,) = refusals(network)
    assert f"(Broken 'wrap.1', test_preparation.py line {line}: index 99 is out of bounds" in found
    (found,) = refusals(Net(lambda scores: {"a": scores}["b"]))
    assert re.search(r"\(Net, test_preparation\.py line \d+: KeyError: 'b'\)", found)


class Two(Net):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return self.scores(x + y)


class Named(Net):
    def forward(self, x: Tensor, *, mask: Tensor) -> Tensor:  # type: ignore[override]
        return self.scores(x * mask)


class Nothing(Net):
    def forward(self) -> Tensor:  # type: ignore[override]
        return self.scores(IMAGES)


def test_networks_that_take_something_else_are_refused() -> None:
    for network, sentence in (
        (Two(), "Two takes more than images: its forward pass needs x, y; accepted is one argument"),
        (Named(), "Named takes more than images: its forward pass needs x, mask; accepted is one argument"),
        (Nothing(), "Nothing takes no images: its forward pass has no arguments; accepted"),
    ):
        (found,) = refusals(network, among=CLIMBING)
        assert found.startswith(sentence)
    for value, kind in (
        (Net, "a class Net"),
        (Net().state_dict(), "an OrderedDict"),
        (Net().forward, "a method"),
        (None, "None"),
    ):
        for analysis in CLIMBING.values():
            with pytest.raises(InputError, match=f"network: found {kind}; accepted is a torch.nn.Module"):
                analysis(value, IMAGES)


# --- wrappers


def cannot_be_called(*_: Any) -> Any:
    raise AssertionError("compiled code must not run")


class OptimizedModule(nn.Module):
    """What torch.compile makes, whose import takes seconds: a class of this name with the network in an attribute."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._orig_mod = network
        self.forward = cannot_be_called


def test_wrappers_are_looked_through() -> None:
    (wanted,) = marginalize(Net(), "conv", IMAGES, samples=3)
    inner = Net()
    inner.add_module("last", nn.DataParallel(inner.last))
    compiled = OptimizedModule(Net())
    in_place = Net()
    in_place._compiled_call_impl = cannot_be_called
    for network, names in (
        (nn.DataParallel(Net()), ("conv", "module.conv")),
        (nn.DataParallel(nn.DataParallel(Net())), ("conv", "module.module.conv")),
        (compiled, ("conv", "_orig_mod.conv")),
        (nn.DataParallel(compiled), ("conv", "module._orig_mod.conv")),
        (inner, ("conv",)),
        (in_place, ("conv",)),
    ):
        for layer in names:
            for engine in ("one-channel", "plain"):
                (found,) = marginalize(network, layer, IMAGES, samples=3, engine=engine)
                np.testing.assert_allclose(found, wanted, atol=1e-6)
        np.testing.assert_allclose(predict(network, IMAGES)[1][0], predict(Net(), IMAGES)[1][0], atol=1e-6)
        ((_, image),) = maximize_units(network, names[-1], (3, 6, 6), settings=QUICK, units=[1])
        ((_, same),) = maximize_units(Net(), "conv", (3, 6, 6), settings=QUICK, units=[1])
        np.testing.assert_allclose(image, same, atol=1e-6)
        assert np.array_equal(fs.prior_draws(network, names[-1], 0)[0], fs.prior_draws(Net(), "conv", 0)[0])
    assert "forward" not in vars(inner.last)
    assert in_place._compiled_call_impl is cannot_be_called
    assert compiled.forward is cannot_be_called


# --- layers, devices and other arguments


def test_a_layer_is_one_name() -> None:
    network = Net()
    listed = r"accepted is one name: conv \(first\), last\."
    for layer, found in (
        (["conv", "last"], "a list"),
        (None, "None"),
        (0, "an int"),
        (network.conv, r"a Conv2d \('conv' of this network\)"),
        (nn.Conv2d(1, 1, 1), "a Conv2d"),
    ):
        for name, analysis in CLIMBING.items():
            if name in ("one-channel", "plain", "lesion", "maximize_units"):
                with pytest.raises(InputError, match=rf"layer: found {found}; {listed}"):
                    analysis(network, IMAGES, layer=layer, aliases={"first": "conv"})
    with pytest.raises(InputError, match=r"layer 'first' \(conv9\) does not exist; accepted are .*: conv, last"):
        marginalize(network, "first", IMAGES, aliases={"first": "conv9"})
    many = nn.Sequential(*(nn.Linear(2, 2) for _ in range(45)))
    with pytest.raises(InputError, match=r"layer 'x' does not exist; accepted are .*: 0, 1, .*, 38, 39 and 5 more"):
        marginalize(many, "x", torch.ones(1, 2))
    with pytest.raises(InputError, match="aliases: found a list; accepted is a dict of module paths by alias"):
        marginalize(network, "conv", IMAGES, aliases=["conv"])
    with pytest.raises(InputError, match=r"layer '0' is a ReLU; accepted are .*: this network has none"):
        marginalize(nn.Sequential(nn.ReLU()), "0", IMAGES)
    with pytest.raises(InputError, match=r"layer 'conv9' does not exist; accepted are .*: '' \(the network itself\)"):
        marginalize(nn.Linear(6, 2), "conv9", IMAGES)
    assert marginalize(nn.Linear(6, 2), "", torch.ones(1, 6), samples=2).probabilities[0].shape == (2, 1, 2)
    with pytest.raises(InputError, match="unit: found True; accepted is the number of a unit of layer 'conv'"):
        fs.prior_draws(network, "conv", True)


def test_a_module_with_several_names_is_one_layer() -> None:
    network = Net()
    network.again = network.conv
    network.part = nn.Sequential(network.conv)
    for engine in ("one-channel", "plain"):
        (wanted,) = marginalize(network, "conv", IMAGES, samples=3, engine=engine)
        for name in ("again", "part.0"):
            (found,) = marginalize(network, name, IMAGES, samples=3, engine=engine)
            np.testing.assert_array_equal(found, wanted)


def test_devices_that_are_not_there_are_named() -> None:
    absent = ["tpu", "cuda:99", "meta", *([] if torch.cuda.is_available() else ["cuda"])]
    for device in absent:
        for call in (
            lambda device: predict(Net(), IMAGES, device=device),
            lambda device: marginalize(Net(), "conv", IMAGES, device=device),
            lambda device: marginalize(Net(), "conv", IMAGES, device=device, engine="plain"),
            lambda device: lesion(Net(), "conv", IMAGES, device=device),
            lambda device: lesion_accuracy(Net(), "conv", IMAGES, TARGETS, [[0]], device=device),
            lambda device: list(maximize_units(Net(), "conv", (3, 6, 6), device=device)),
        ):
            with pytest.raises(
                InputError, match=rf"device '{device}' cannot be used \(.*\); accepted are cpu, and cuda"
            ):
                call(device)
    cpu: Any = torch.device("cpu")
    np.testing.assert_array_equal(predict(Net(), IMAGES, device=cpu)[1][0], predict(Net(), IMAGES)[1][0])
    assert marginalize(Net(), "conv", IMAGES, device=cpu, samples=2).probabilities[0].shape == (4, 4, 3)
    for size in (0, -1):
        for call in (
            lambda size: predict(Net(), IMAGES, batch_size=size),
            lambda size: lesion(Net(), "conv", IMAGES, batch_size=size),
        ):
            with pytest.raises(InputError, match=f"batch_size: found {size}; accepted is an integer from 1"):
                call(size)


# --- parameters


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_parameters_that_are_not_finite_are_named_with_their_unit(value: float) -> None:
    found = "NaN" if np.isnan(value) else "an infinite number"
    for name, unit in (("conv.weight", 2), ("conv.bias", 3), ("last.weight", 1)):
        network = Net()
        with torch.no_grad():
            network.get_parameter(name).reshape(len(network.get_parameter(name)), -1)[unit, -1] = value
        (sentence,) = refusals(network, among=CLIMBING)
        assert sentence == f"parameter '{name}': found {found} at unit {unit}; accepted are finite numbers."
    network = Net()
    network.norm = nn.BatchNorm2d(4)
    network.norm.running_var[3] = value
    (sentence,) = refusals(network, among=CLIMBING)
    assert sentence == f"buffer 'norm.running_var': found {found} at unit 3; accepted are finite numbers."


def test_numbers_whose_sum_is_too_large_are_finite() -> None:
    network = Net()
    network.unused = nn.Parameter(torch.tensor([3e38, 3e38, 1.0]))
    assert predict(network, IMAGES)[0] == ("0",)
    assert len(as_images(torch.full((2, 3, 6, 6), 3e38))) == 2
    network.unused.data[2] = -torch.inf
    (sentence,) = refusals(network, among=CLIMBING)
    assert sentence == "parameter 'unused': found an infinite number at unit 2; accepted are finite numbers."


def test_parameters_without_values_and_torchscript_are_named() -> None:
    lazy = Net()
    lazy.last = nn.LazyLinear(3)
    (found,) = refusals(lazy, among=CLIMBING)
    assert found.startswith("parameter 'last.weight' has no shape yet; accepted are networks that have seen images")
    (found,) = refusals(Net().to("meta"), among=CLIMBING)
    assert found == "parameter 'conv.weight' is on the meta device; accepted are networks whose weights have values."
    scripted = Net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this way to make TorchScript is an old one
        whole = torch.jit.trace(Net().eval(), IMAGES)
        scripted.last = torch.jit.trace(nn.Linear(4, 3), torch.ones(1, 4))
    for analysis in CLIMBING.values():
        for network, sentence in (
            (whole, "TopLevelTracedModule: found TorchScript; accepted is the"),
            (scripted, "Net: found TorchScript 'last'; accepted is the torch.nn.Module that it was made from."),
        ):
            with pytest.raises(InputError, match=sentence):
                analysis(network, IMAGES)
    mask = Net()
    mask.register_buffer("mask", torch.full((2, 2), -torch.inf))
    assert predict(mask, IMAGES)[0] == ("0",)


# --- the caller's modes


def test_the_callers_modes_change_nothing() -> None:
    network = Net()
    (p,), (q,) = predict(network, IMAGES)[1], marginalize(network, "conv", IMAGES, samples=3)
    (lesions,), accuracy = (
        lesion(network, "conv", IMAGES, engine="plain"),
        ANALYSES["lesion_accuracy"](network, IMAGES)[1],
    )
    climbed = list(maximize_units(network, "conv", (3, 6, 6), settings=QUICK))
    for mode in (torch.inference_mode, torch.no_grad, torch.enable_grad, lambda: torch.autocast("cpu")):
        with mode():
            made = Net()
            assert np.array_equal(predict(made, IMAGES)[1][0], p)
            run = fs.Marginalization(made, "conv", IMAGES, fs.Estimation(samples=3))
            (piece,) = run.pieces()
            assert np.array_equal(piece.probabilities[0], q)
            assert np.array_equal(lesion(made, "conv", IMAGES, engine="plain").probabilities[0], lesions)
            assert np.array_equal(ANALYSES["lesion_accuracy"](made, IMAGES)[1], accuracy)
            for (unit, image), (same, wanted) in zip(
                maximize_units(made, "conv", (3, 6, 6), settings=QUICK), climbed, strict=True
            ):
                assert unit == same
                assert np.array_equal(image, wanted)
                assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
                assert torch.is_grad_enabled() == (mode not in (torch.inference_mode, torch.no_grad))


class InPlace(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x.sub_(0.5).div_(0.2))


class Outside(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.scores((x - 0.5) / 0.2)


class Frozen(Net):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.conv(x)
        return self.last(features.mean((2, 3)))


class Rounded(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x.detach() + 1)


def test_gradients_reach_images_that_a_network_writes_into() -> None:
    found = list(maximize_units(InPlace(), "conv", (3, 6, 6), settings=QUICK))
    for (_, image), (_, wanted) in zip(
        found, maximize_units(Outside(), "conv", (3, 6, 6), settings=QUICK), strict=True
    ):
        np.testing.assert_allclose(image, wanted, rtol=1e-5, atol=1e-5)
    for network in (Frozen(), Rounded()):
        with pytest.raises(InputError, match="layer 'conv': no gradient leads from it to the images, as where"):
            list(maximize_units(network, "conv", (3, 6, 6), settings=QUICK))
        assert lesion(network, "conv", IMAGES).probabilities[0].shape == (4, 4, 3)
    for shape in ((3, 0, 6), (3, 6.0, 6), 3, (3, 6)):
        with pytest.raises(InputError, match=r"image_shape: found .*; accepted are the three numbers of an image"):
            list(maximize_units(Net(), "conv", shape, settings=QUICK))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_climbs_in_single(dtype: torch.dtype) -> None:
    network = Net().to(dtype)
    found = dict(maximize_units(network, "conv", (3, 6, 6), settings=QUICK))
    wanted = dict(maximize_units(copy.deepcopy(network).float(), "conv", (3, 6, 6), settings=QUICK))
    assert all(np.array_equal(found[unit], wanted[unit]) for unit in range(4))
    assert network.conv.weight.dtype == dtype


@pytest.mark.parametrize("name", CLIMBING)
def test_a_network_that_keeps_what_it_sees_can_be_copied_and_saved_afterwards(name: str) -> None:
    class Keeping(Net):
        last_seen: Any = None

        def forward(self, x: Tensor) -> Tensor:
            self.last_seen = x
            self.scale = self.conv.weight.std()
            self.count = getattr(self, "count", 0) + 1
            return self.scores(x)

    network = Keeping()
    network.wrap = None  # type: ignore[assignment]
    CLIMBING[name](network, IMAGES)
    assert network.last_seen is None
    assert not hasattr(network, "count")
    copy.deepcopy(network)
    torch.save(network.state_dict(), io.BytesIO())
    network(IMAGES).sum().backward()
