"""The reader of Torch7 files, against files that real Torch7 wrote and against thousands of damaged ones."""

import os
import struct
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from featuresharing import InputError, load_network
from featuresharing.analysis.conditionals import collect
from featuresharing.computation import Computation
from featuresharing.engine.engines import make_engine
from featuresharing.errors import quoted
from featuresharing.estimators.mixing import mix
from featuresharing.estimators.variants import Variants
from featuresharing.files.atomic import file_digest
from featuresharing.networks.formats.torch7_model.torch7_conversion import load_torch7_network
from featuresharing.networks.opening import open_network
from featuresharing.networks.outputs import task_outputs
from featuresharing.torch7 import Table, TorchObject, is_torch7, read_torch7
from tests.support.paper_archives import FIXTURES
from tests.support.torch7_files import (
    changed,
    classifier,
    convolution,
    corrupted,
    every_class,
    module,
    sizes,
    torch7_bytes,
)

ALEXNETS = {
    "alexnet67_flat_dirty": "alexnet67_outputs",
    "alexnet67_ascii": "alexnet67_outputs",
    "alexnet67_cudnn_cuda": "alexnet67_outputs",
    "alexnet67_double": "alexnet67_outputs_double",
}


def read(name: str) -> Any:
    return read_torch7(FIXTURES / f"{name}.t7")


def tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values))


def outputs_by_path(network: nn.Module, images: Tensor) -> dict[str, Any]:
    """Return what every module gives, by its path."""
    found: dict[str, Any] = {}
    for path, part in network.named_modules():
        part.register_forward_hook(lambda _, __, result, path=path: found.update({path: result}))
    with torch.no_grad():
        found[""] = network(images)
    return found


@pytest.mark.parametrize("name", ALEXNETS)
def test_networks_compute_what_torch7_computed(name: str) -> None:
    network = load_torch7_network(FIXTURES / f"{name}.t7")
    double = name == "alexnet67_double"
    images = tensor(read("alexnet67_input")).to(torch.float64 if double else torch.float32)
    with torch.no_grad():
        outputs = network(images)
    for found, wanted in zip(outputs, read(ALEXNETS[name]).sequence(), strict=True):
        torch.testing.assert_close(found, tensor(wanted), rtol=0, atol=1e-12 if double else 1e-5)


def test_the_network_at_full_image_size() -> None:
    network = load_network(FIXTURES / "alexnet224_float.t7")
    with torch.no_grad():
        outputs = network(tensor(read("alexnet224_input")))
    for found, wanted in zip(outputs, read("alexnet224_outputs").sequence(), strict=True):
        torch.testing.assert_close(found[0], tensor(wanted), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "images", "layers"),
    [
        ("alexnet67_cudnn_cuda", read("alexnet67_input"), read("alexnet67_layers")),
        ("zoo_layers", read("zoo_io")["input"], read("zoo_io")["layers"]),
    ],
)
def test_every_layer_by_its_path(name: str, images: Any, layers: Table) -> None:
    found = outputs_by_path(load_torch7_network(FIXTURES / f"{name}.t7"), tensor(images))
    compared = 0
    for path, wanted in layers.entries:
        results = task_outputs(found[path]).values()
        expected = list(wanted.sequence()) if isinstance(wanted, Table) else [wanted]
        for result, values in zip(results, expected, strict=True):
            torch.testing.assert_close(result, tensor(values), rtol=0, atol=1e-5, msg=f"{path} gives other numbers")
            compared += 1
    assert compared >= len(layers)


def test_the_whole_zoo() -> None:
    example = read("zoo_io")
    with torch.no_grad():
        found = load_torch7_network(FIXTURES / "zoo_layers.t7")(tensor(example["input"]))
    torch.testing.assert_close(found, tensor(example["output"]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", ["0.0.0", "0.0.6", "1.2"])
def test_marginalization_from_the_samples_of_torch7(layer: str) -> None:
    example = read("alexnet67_marginalization")[layer]
    weights, biases, log_priors = (
        np.array(example[f"{name}"]) for name in ("weight_samples", "bias_samples", "log_priors")
    )
    network = load_torch7_network(FIXTURES / "alexnet67_double.t7")
    module = network.get_submodule(layer)
    assert isinstance(module, nn.Conv2d | nn.Linear)

    def variants() -> Iterator[Variants]:
        for unit in range(len(weights)):
            own = weights[unit].reshape(-1, *module.weight.shape[1:])
            shares = np.exp(log_priors[unit])
            yield Variants(unit, shares, lambda part, w=own, b=biases[unit]: (w[part], b[part]), 1.0, 0.0)  # type: ignore[misc]

    engine = make_engine(network, layer, tensor(read("alexnet67_input")).double(), Computation(dtype="float64"))
    found = collect(mix(engine, variants()), engine, list(range(len(weights))))
    for conditionals, wanted in zip(found, example["conditionals"].sequence(), strict=True):
        assert conditionals.dtype == np.float64
        np.testing.assert_allclose(conditionals, wanted, rtol=0, atol=1e-6)


def test_class_maps() -> None:
    expected = [line.split() for line in (FIXTURES / "meta_expected.txt").read_text().splitlines()]
    maps = list(read("meta")[1]["train"]["classToIdx"].sequence())
    found = {(task, int(key), int(value)) for task, table in enumerate(maps, 1) for key, value in table.entries}
    assert found == {tuple(map(int, words)) for words in expected}


def test_every_type_of_value() -> None:
    found = read("primitives")
    kinds = {"Byte": "u1", "Char": "i1", "Short": "i2", "Int": "i4", "Long": "i8"}
    kinds |= {"Half": "f2", "Float": "f4", "Double": "f8"}
    for name, kind in kinds.items():
        assert (found[name].dtype, found[name].shape) == (np.dtype(kind), (3, 4))
        if name != "Half":
            assert found[f"{name}_storage"].tolist() == found[name].ravel().tolist()
    assert np.isnan(found["num"]["nan"])
    assert (found["num"]["inf"], found["num"]["ninf"], found["num"]["big"]) == (np.inf, -np.inf, 2.0**53)
    assert found["cycle"]["me"] is found["cycle"]
    assert found["same1"] is found["list"]
    assert (found["str"]["nul"], found["str"]["utf8"], found["str"]["empty"]) == ("a\0b", "ü", "")
    assert (found["mixed"][1], found["mixed"][True], found["mixed"][2.5], found["mixed"][-3]) == (
        10,
        "bool",
        "frac",
        "neg",
    )
    ((key, value),) = found["keytable"].entries
    assert key is found["list"]
    assert value == "list as key"
    assert found["func"].code.startswith(b"\x1bLJ")
    assert found["empty"].size == found["resized0"].size == len(found["emptytable"]) == 0


def test_tensors_of_one_storage_share_it() -> None:
    shared = read("primitives")["shared"]
    base = shared["base"]
    assert np.shares_memory(base, shared["narrow"])
    np.testing.assert_array_equal(shared["t"], base.T)
    assert (shared["narrow"].shape, shared["select"].shape, shared["expanded"].strides[1]) == ((2, 3, 2), (2, 4), 0)


def number(value: float) -> bytes:
    return struct.pack("<id", 1, value)


def text(value: str) -> bytes:
    return struct.pack("<i", len(value)) + value.encode()


def torch_object(index: int, name: str) -> bytes:
    return struct.pack("<ii", 4, index) + text("V 1") + text(name)


def long_tensor(long: str, values: list[int]) -> bytes:
    tensor_head = torch_object(1, "torch.LongTensor") + struct.pack(f"<i3{long}", 1, len(values), 1, 1)
    storage = torch_object(2, "torch.LongStorage") + struct.pack(f"<{long}", len(values))
    return tensor_head + storage + struct.pack(f"<{len(values)}{long}", *values)


@pytest.mark.parametrize("long", ["i", "q"])
def test_longs_of_either_size(long: str, tmp_path: Path) -> None:
    path = tmp_path / "longs.t7"
    path.write_bytes(long_tensor(long, [5, -7, 2**31 - 1]))
    assert read_torch7(path).tolist() == [5, -7, 2**31 - 1]


def test_checkpoint_tables_hold_a_network_at_model(tmp_path: Path) -> None:
    network = (FIXTURES / "alexnet67_double.t7").read_bytes()
    path = tmp_path / "checkpoint.t7"
    # the table's index is one that the network's own objects do not have
    entries = struct.pack("<i", 2) + text("epoch") + number(55) + struct.pack("<i", 2) + text("model") + network
    path.write_bytes(struct.pack("<iii", 3, 10**6, 2) + entries)
    assert is_torch7(path)
    assert load_torch7_network(path).get_submodule("1.7.1").weight.dtype == torch.float64


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "number"),
        (b"\x03\0\0\0", "number"),
        (struct.pack("<ii", 2, 10**9), "1000000000 characters are declared"),
        (struct.pack("<ii", 2, -5), "-5 characters are declared"),
        (struct.pack("<iii", 3, 1, 2**31 - 1), "a table of 2147483647 entries"),
        (torch_object(1, "torch.FloatStorage") + struct.pack("<q", 10**12), "1000000000000 numbers are declared"),
        (torch_object(1, "torch.FloatTensor") + struct.pack("<i", 60), "60 dimensions"),
        (
            torch_object(1, "torch.FloatTensor")
            + struct.pack("<i3q", 1, 10**12, 1, 1)
            + torch_object(2, "torch.FloatStorage")
            + struct.pack("<qf", 1, 1.0),
            "sizes [1000000000000]",
        ),
        (b"".join(struct.pack("<iiiid", 3, index, 1, 1, 0) for index in range(300)), "nested more than 200 deep"),
        (torch_object(1, "nn.Linear") + struct.pack("<i", 0), "'nn.Linear' has no table of fields"),
        (b"3\n1\n1\n1\nabc\n", "no float64 numbers"),
        (b"4\n1\n3\nV 1\n17\ntorch.FloatTensor\n1\n2\n999999999999\n", "numbers are declared"),
        (b"hello", "no int64 numbers"),
    ],
)
def test_impossible_files_are_refused_with_a_sentence(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.t7"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.t7 is no complete Torch7 file: at byte [0-9]+, .*; acce") as error:
        read_torch7(path)
    assert said in str(error.value)


def test_a_repeated_number_can_declare_a_huge_tensor(tmp_path: Path) -> None:
    path = tmp_path / "expanded.t7"
    huge = torch_object(1, "torch.FloatTensor") + struct.pack("<i3q", 1, 10**12, 0, 1)
    huge += torch_object(2, "torch.FloatStorage") + struct.pack("<qf", 1, 1.0)
    path.write_bytes(huge)
    assert read_torch7(path).shape == (10**12,)
    linear = torch_object(9, "nn.Linear") + struct.pack("<iii", 3, 10, 1) + struct.pack("<i", 2) + text("weight") + huge
    path.write_bytes(linear)
    with pytest.raises(InputError, match=r"nn.Linear.*sizes \[1000000000000\]; accepted is one that the file"):
        load_torch7_network(path)


def patched(name: str, old: bytes, new: bytes, path: Path) -> Path:
    content = (FIXTURES / f"{name}.t7").read_bytes()
    assert old in content
    assert len(old) == len(new)
    path.write_bytes(content.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            b"nn.CAddTable",
            b"nn.CMulTable",
            r"module 5\.1 \('nn\.CMulTable'\): this class is not known; accepted are nn\.",
        ),
        (b"nn.JoinTable", b"my.JoinTable", r"module 12\.1 \('my\.JoinTable'\): this class is not known"),
        (
            b"nInputPlane",
            b"nOutputPlan",
            r"module 0 \('nn.SpatialConvolution'\): field 'nInputPlane' is None; accepted is a n",
        ),
        (b"running_mean", b"running_mode", r"module 1 .*field 'running_mean' is None; accepted is a tensor"),
        (b"modules", b"modulos", r"the network itself .*field 'modules' is None; accepted is a table of modules"),
    ],
)
def test_networks_that_cannot_be_converted(old: bytes, new: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        load_torch7_network(patched("zoo_layers", old, new, tmp_path / "other.t7"))


def test_files_without_a_network() -> None:
    with pytest.raises(InputError, match=r"meta\.t7 holds no network; accepted is a Torch7 module"):
        load_torch7_network(FIXTURES / "meta.t7")
    with pytest.raises(InputError, match=r"nowhere\.t7 cannot be read \(No such file"):
        read_torch7(FIXTURES / "nowhere.t7")


@pytest.mark.slow
def test_damaged_files_give_one_error_and_no_gigabytes(tmp_path: Path) -> None:
    """More cases: benchmarks/fuzz_torch7.py."""
    rng = np.random.default_rng(0)
    names = ["meta", "primitives", "alexnet67_outputs", "zoo_layers", "alexnet67_cudnn_cuda", "alexnet67_ascii"]
    path = tmp_path / "damaged.t7"
    read_well, sentences = 0, []
    # networks are slow to convert and ascii is slow to read, so that their share is small
    turns = [0, 1, 2] * 200 + [3, 4] * 30 + [5] * 10 + [6] * 60
    open_network(saved(every_class(), tmp_path), image_size=16)  # loads what torch loads late
    tracemalloc.start()
    for turn in turns:
        if turn == 6:
            path.write_bytes(torch7_bytes(changed(every_class(), rng)))
        else:
            path.write_bytes(corrupted((FIXTURES / f"{names[turn]}.t7").read_bytes(), rng))
        try:
            value = read_torch7(path)
            if isinstance(value, TorchObject):
                open_network(path, image_size=16)
            read_well += 1
        except InputError as error:
            sentences.append(str(error))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(sentences) > 300
    assert all(sentence.isprintable() for sentence in sentences)
    assert read_well > 50
    assert peak < 50e6


def saved(network: TorchObject, folder: Path) -> Path:
    path = folder / "made.t7"
    path.write_bytes(torch7_bytes(network))
    return path


def nested(class_name: str, depth: int, **fields: Any) -> TorchObject:
    """Return pairs of pairs of pairs, each of them one object."""
    found = module("nn.ReLU")
    for _ in range(depth):
        found = module(class_name, found, found, **fields)
    return found


def crossed(depth: int) -> TorchObject:
    """Return two modules that both hold the two of the level below, in either order."""
    pair = [module("nn.ReLU"), module("nn.Tanh")]
    for _ in range(depth):
        pair = [module("nn.Sequential", *pair), module("nn.Sequential", *pair[::-1])]
    return module("nn.Sequential", *pair)


def added(depth: int) -> TorchObject:
    found = module("nn.ReLU")
    for _ in range(depth):
        found = module("nn.Sequential", module("nn.ConcatTable", found, found), module("nn.CAddTable"))
    return found


def repeated(*shape: int) -> Any:
    """Return a tensor of one number."""
    return np.broadcast_to(np.ones(1, np.float32), shape)


def itself() -> TorchObject:
    found = module("nn.Sequential", module("nn.ReLU"))
    found.fields.add("modules", [found])
    return found


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (nested("nn.Sequential", 25), "it runs 16383 modules; accepted are at most 10000"),
        (nested("nn.ConcatTable", 40), "it runs 16383 modules"),
        (nested("nn.Concat", 25, dimension=2), "it runs 16383 modules"),
        (crossed(25), "it runs 16383 modules"),
        (added(25), "it runs [0-9]{5} modules"),
        (module("nn.Sequential", *[module("nn.Identity")] * 20_000), "it runs 20001 modules"),
        (itself(), "it contains itself"),
        (module("nn.SpatialCrossMapLRN", size=10**6 + 1), "'size' is 1000001; accepted is an odd number from 1 to 255"),
        (module("nn.SpatialMaxPooling", kH=10**6, kW=2), "'kH' is 1000000; accepted is an integer from 1 to 1024"),
        (convolution(3, 4, 3, padH=10**9), "'padH' is 1000000000; accepted is an integer from 0 to 1024"),
        (convolution(3, 4, 3, dW=0), "'dW' is 0; accepted is an integer from 1 to 1024"),
        (convolution(3, 4, 3, dH=1, groups=2), "3 and 4 planes in 2 groups; accepted are positive sizes"),
        (
            convolution(3, 4, 3, weight=repeated(4, 3, 3, 3, 10**9)),
            r"sizes \[4, 3, 3, 3, 1000000000\]; accepted is one",
        ),
        (
            convolution(3, 4, 3, weight=repeated(4, 3, 3, 3) * np.float32("nan")),
            r"holds nan at \[0, 0, 0, 0\]; accepted",
        ),
        (module("nn.View", size=sizes(*[1] * 99)), r"int64 of sizes \[99\]; accepted are 1 to 32 integers"),
        (module("nn.View", size=repeated(3)), "holds float32 of sizes"),
        (module("nn.Concat", dimension=2**31 - 1), "field 'modules' is None"),
        (module("nn.JoinTable", dimension=10**6), "'dimension' is 1000000; accepted is an axis, counted from 1"),
        (module("nn.SpatialUpSamplingNearest", scale_factor=10**6), "this class is not known"),
        (module("nn.Replicate", nfeatures=10**9), "this class is not known"),
        (
            module("nn.BatchNormalization", running_mean=repeated(2, 2), eps=1),
            r"'running_mean' has sizes \[2, 2\]; accepted is one axis",
        ),
        (
            module("nn.Sequential", *[module("nn.Linear", weight=repeated(40, 40)) for _ in range(60)]),
            "with it, modules have more than [0-9]+ parameters; accepted is what a file of [0-9]+ bytes holds",
        ),
    ],
)
def test_small_files_cannot_ask_for_much(network: TorchObject, said: str, tmp_path: Path) -> None:
    path = saved(network, tmp_path)
    with pytest.raises(InputError, match=rf"made\.t7, module .*: .*{said}") as error:
        load_network(path)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("network", "what"),
    [
        (classifier(*[module("nn.Concat", *[module("nn.Identity")] * 2, dimension=2)] * 20, inputs=3), "numbers"),
        (classifier(convolution(3, 4, 3, padH=1024, padW=1024), inputs=3), "numbers"),
        (classifier(*[convolution(3, 3, 67, padH=33, padW=33)] * 800, inputs=768), "products"),
    ],
)
def test_values_that_grow_are_not_computed(network: TorchObject, what: str, tmp_path: Path) -> None:
    path = saved(network, tmp_path)
    load_network(path)
    with pytest.raises(InputError, match=rf"made\.t7 does not take RGB .*with module 0.*one image takes .* {what}"):
        open_network(path, image_size=16)


def test_modules_that_are_shared_compute_what_copies_do(tmp_path: Path) -> None:
    network = load_network(saved(module("nn.Sequential", convolution(3, 3, 1), *[added(5)] * 2), tmp_path))
    images = torch.rand(2, 3, 4, 4, generator=torch.manual_seed(0))
    torch.testing.assert_close(network(images), images.sum(dim=1, keepdim=True).expand(-1, 3, -1, -1) * 2**10)


def test_a_network_of_every_class_opens_and_tells_its_heads(tmp_path: Path) -> None:
    path = saved(every_class(), tmp_path)
    stored = open_network(path, image_size=16)
    assert stored.classes == (2, 3)
    assert [scores.shape[1] for scores in stored.network(torch.zeros(1, 3, 16, 16))] == [2, 3]
    with pytest.raises(InputError, match="does not take RGB images of 8 x 8 pixels"):
        open_network(path, image_size=8)


def test_names_in_messages_are_quoted_and_cannot_colour_a_terminal(tmp_path: Path) -> None:
    names = {
        "nn.\x1b[31mred\x07": r"'nn.\x1b[31mred\x07'",
        "nn.\u202egnp.lua": r"'nn.\u202egnp.lua'",
        "nn.\udce9": r"'nn.\udce9'",
        "a\nb": r"'a\nb'",
        "x" * 10**6: f"'{'x' * 57}...'",
    }
    for name, shown in names.items():
        assert quoted(name) == shown
        with pytest.raises(InputError, match="this class is not known") as error:
            load_network(saved(module(name), tmp_path))
        assert f"({shown})" in str(error.value)
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 600 + len(str(tmp_path))


@pytest.mark.parametrize("shape", [[70_000] * 6 + [0], [0, 2**31], [-1, 0], [0, 2**40]])
def test_empty_tensors_of_impossible_sizes_are_refused(shape: list[int], tmp_path: Path) -> None:
    path = tmp_path / "empty.t7"
    lines = (f"{len(shape)}", " ".join(map(str, shape)), " ".join("1" for _ in shape), "1", "0")
    path.write_text("\n".join(("4\n1\n3\nV 1\n17\ntorch.FloatTensor", *lines, "")))
    with pytest.raises(InputError, match=rf"a tensor of sizes \[{shape[0]}, .* is declared"):
        read_torch7(path)


def test_numbers_that_float32_lacks_are_refused_as_parameters(tmp_path: Path) -> None:
    path = tmp_path / "large.t7"
    tensor_head = (
        "4\n3\n3\nV 1\n17\ntorch.FloatTensor\n2\n1 1\n1 1\n1\n4\n4\n3\nV 1\n18\ntorch.FloatStorage\n1\n1e300\n"
    )
    path.write_text(f"4\n1\n3\nV 1\n9\nnn.Linear\n3\n2\n1\n2\n6\nweight\n{tensor_head}")
    with pytest.raises(InputError, match=r"field 'weight' holds inf at \[0, 0\]; accepted are finite numbers"):
        load_network(path)


def test_large_files_load_at_once(tmp_path: Path) -> None:
    """Not a timed test: a reader that touches every number in Python would take minutes."""
    weight = torch_object(3, "torch.FloatTensor") + struct.pack("<i5q", 2, 4096, 9216, 9216, 1, 1)
    weight += torch_object(4, "torch.FloatStorage") + struct.pack("<q", 4096 * 9216)
    path = tmp_path / "large.t7"
    with path.open("wb") as file:
        file.write(torch_object(1, "nn.Linear") + struct.pack("<iii", 3, 2, 1) + struct.pack("<i", 2) + text("weight"))
        file.write(weight)
        file.write(np.ones(4096 * 9216, np.float32).data)
    start = time.monotonic()
    network = load_torch7_network(path)
    assert isinstance(network, nn.Linear)
    assert network.weight.shape == (4096, 9216)
    assert time.monotonic() - start < 60


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is no regular file"):
        is_torch7(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"pipe cannot be read .*it is no regular file"):
        read_torch7(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe cannot be read: it is no file"):
        load_network(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"pipe cannot be read .*it is no regular file"):
        file_digest(tmp_path / "pipe")
