"""Networks of torch.export.save: the same numbers, layers by their names, no code run, hostile files."""

import contextlib
import copy
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from featuresharing import InputError, load_network, marginalize, prior_draws
from featuresharing.networks.formats import exported_program
from featuresharing.networks.network_digest import digest_of_network
from featuresharing.networks.opening import open_network
from featuresharing.networks.outputs import task_outputs
from tests.support.exported_files import (
    changed_program,
    decomposed,
    exported,
    members,
    network,
    of_torch_2_6,
    of_torch_2_8,
    packed,
    payloads,
    sample,
    saved,
)
from tests.support.naive import marginalize_naively
from tests.support.torch7_files import corrupted


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def pictures(count: int = 4, size: int = 8) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(count, 3, size, size)).astype(np.float32))


@pytest.mark.parametrize("version", ["2.13", "2.8", "2.6"])
def test_networks_give_what_they_gave_before(version: str, tmp_path: Path) -> None:
    content = {"2.13": lambda it: it, "2.8": of_torch_2_8, "2.6": of_torch_2_6}[version](sample())
    path = put(tmp_path / "x.pt2", content)
    contents = exported_program.read(path)
    assert (contents.tasks, contents.image_shape) == (("shape", "colour"), (3, 8, 8))
    (note,) = contents.notes
    assert note.startswith("operator 'torch.ops.aten.softmax.int' (the ")
    assert note.endswith("at the end of output 'colour' was left out: analysis takes raw scores.")
    for count in (1, 2, 5):
        with torch.no_grad():
            found, wanted = contents.network(pictures(count)), network()(pictures(count))
        torch.testing.assert_close(found["shape"], wanted["shape"], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found["colour"].softmax(dim=-1), wanted["colour"], rtol=1e-5, atol=1e-6)


def test_layers_and_weights_are_called_as_in_the_network(tmp_path: Path) -> None:
    read, own = load_network(put(tmp_path / "x.pt2", sample())), network()
    kinds = (nn.Conv2d, nn.Linear)
    layers = {name: type(each) for name, each in read.named_modules() if isinstance(each, kinds)}
    linear = {
        f"attention.{name}": nn.Linear for name in ("self_attn.in_proj", "self_attn.out_proj", "linear1", "linear2")
    }
    heads = {"layers.shape": nn.Linear, "layers.colour": nn.Linear}
    assert layers == {"conv": nn.Conv2d, "block.0": nn.Conv2d, **linear, **heads}
    names = {"attention.self_attn.in_proj_weight": "attention.self_attn.in_proj.weight"}
    names["attention.self_attn.in_proj_bias"] = "attention.self_attn.in_proj.bias"
    wanted = {names.get(name, name): value for name, value in own.named_parameters()}
    found = dict(read.named_parameters())
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert torch.equal(read.get_buffer("bn.running_mean"), own.get_buffer("bn.running_mean"))


@pytest.mark.parametrize("layer", ["conv", "attention.self_attn.in_proj", "attention.linear1"])
def test_layers_agree_with_a_naive_loop(layer: str, tmp_path: Path) -> None:
    read = load_network(put(tmp_path / "x.pt2", sample()))
    units = [0, 5]
    found = list(marginalize(read, layer, pictures(), samples=10, units=units, tolerance=0))
    draws = [prior_draws(read, layer, unit, samples=10) for unit in units]
    for mine, wanted in zip(found, marginalize_naively(read, layer, pictures(), units, draws), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-5)


def test_networks_can_be_copied_and_told_apart(tmp_path: Path) -> None:
    read = load_network(put(tmp_path / "x.pt2", sample()))
    with torch.no_grad():
        one, other = read(pictures()), copy.deepcopy(read)(pictures())
    assert all(torch.equal(one[task], other[task]) for task in one)
    graph = members(sample())["models/model.json"].replace(b"aten.gelu.default", b"aten.silu.default")
    changed = load_network(put(tmp_path / "x.pt2", packed(members(sample()) | {"models/model.json": graph})))
    assert digest_of_network(read) != digest_of_network(changed)


class Plain(nn.Module):
    """A network of elementary operators, as exporters have it after decomposition."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.ConvTranspose2d(3, 4, 3, stride=2)
        self.second = nn.Conv2d(4, 5, 3, padding="same")
        self.head = nn.Linear(5, 3)
        self.register_buffer("scale", torch.tensor([0.5, 1.5, 2.0, 1.0]))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return two heads that share their weights."""
        maps = torch.relu(self.first(images)) * self.scale.view(1, -1, 1, 1)
        parts = torch.split(self.second(maps).mean(dim=(2, 3)), [2, 3], dim=1)
        rows = torch.cat([parts[1], parts[0]], dim=1)
        return self.head(rows), self.head(-rows).log_softmax(dim=1)


def test_decomposed_programs_and_shared_weights(tmp_path: Path) -> None:
    own = Plain().eval()
    program = decomposed(exported(own))
    assert any("addmm" in str(node.target) for node in program.graph.nodes)
    path = put(tmp_path / "x.pt2", saved(program))
    contents = exported_program.read(path)
    assert contents.tasks is None
    with torch.no_grad():
        (first, second), (wanted, other) = contents.network(pictures()), own(pictures())
    torch.testing.assert_close(first, wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(second.log_softmax(dim=1), other, rtol=1e-5, atol=1e-6)
    layers = {name: each for name, each in contents.network.named_modules() if hasattr(each, "weight")}
    assert list(layers) == ["first", "second", "head", "head_2"] or len(layers) == 2
    weights: list[Any] = [each.weight for name, each in layers.items() if name.startswith("head")]
    assert all(weight is weights[0] for weight in weights)


def test_a_program_for_a_fixed_number_of_images(tmp_path: Path) -> None:
    """What does not depend on their number runs with any; else a sentence says how to export it."""
    free = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    path = put(tmp_path / "x.pt2", saved(exported(free, (1, 3, 8, 8), free=False)))
    with torch.no_grad():
        torch.testing.assert_close(load_network(path)(pictures()), free(pictures()))

    class Fixed(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.reshape(images.shape[0], 3, -1).mean(dim=2)

    path = put(tmp_path / "x.pt2", saved(exported(Fixed(), (1, 3, 8, 8), free=False)))
    with pytest.raises(InputError, match=r"it was exported for batches of 1; accepted is what torch\.export\.export\("):
        load_network(path)


def test_training_and_other_kinds_of_programs_are_refused(tmp_path: Path) -> None:
    class TwoInputs(nn.Module):
        def forward(self, images: Tensor, others: Tensor) -> Tensor:
            return images + others

    training = exported(nn.Sequential(nn.Flatten(), nn.Dropout()).train())
    path = put(tmp_path / "x.pt2", saved(training))
    with pytest.raises(InputError, match="'train' is true; accepted are networks that were exported at evaluation"):
        load_network(path)
    batch_norm = decomposed(exported(nn.BatchNorm2d(3).train()))
    with pytest.raises(InputError, match=r"x\.pt2: .*exported at evaluation"):
        load_network(put(path, saved(batch_norm)))
    two = torch.export.export(TwoInputs(), (pictures(2), pictures(2)))
    with pytest.raises(InputError, match="its inputs are 'images', 'others'; accepted"):
        load_network(put(path, saved(two)))
    chance = torch.export.export(nn.RReLU().train(), (pictures(2),))
    with pytest.raises(
        InputError, match=r"operator 'torch\.ops\.aten\.rrelu.*' is not known; accepted|'training' is true"
    ):
        load_network(put(path, saved(chance)))


def test_no_code_is_run(tmp_path: Path) -> None:
    """Wherever torch.export.load would unpickle, evaluate or load something: nothing is run."""
    proof = tmp_path / "proof"
    refused = {}
    for name, content in payloads(sample(), f"touch {proof}").items():
        path = put(tmp_path / "x.pt2", content)
        try:
            open_network(path)
        except InputError as error:
            refused[name] = str(error)
        assert not proof.exists(), name
    said = {
        "weights": "is pickled, so that code would have to be run to read it; accepted are plain tensors.",
        "constants": "is pickled, so that code would have to be run to read it; accepted are plain tensors.",
        "operators": "operator 'os.system' is not known; accepted are the operators of torch's own library",
        "weights of torch 2.8": "whose code would have to be run",
        "constants of torch 2.8": "cannot be read",
    }
    assert refused.keys() == said.keys()  # nobody looks at example inputs, expressions and libraries
    assert all(text in refused[name] for name, text in said.items())
    assert all(text.isprintable() for text in refused.values())


def test_the_payloads_are_dangerous(tmp_path: Path) -> None:
    """Torch itself runs that of the example inputs."""
    proof = tmp_path / "proof"
    path = put(tmp_path / "x.pt2", payloads(sample(), f"touch {proof}")["example inputs"])
    with contextlib.suppress(Exception):  # what it makes of the rest is its own
        torch.export.load(path)
    assert proof.exists()


ABSURD = {
    "view": ("torch.ops.aten.flatten.using_ints", "torch.ops.aten.view.default", "size", [10**6, 10**6]),
    "expand": ("torch.ops.aten.gelu.default", "torch.ops.aten.expand.default", "size", [10**4, 10**4, 8, 6, 6]),
    "full": ("torch.ops.aten.gelu.default", "torch.ops.aten.new_zeros.default", "size", [10**6, 10**6]),
    "repeat": ("torch.ops.aten.gelu.default", "torch.ops.aten.repeat.default", "repeats", [1, 10**4, 10**4, 10]),
    "pad": ("torch.ops.aten.gelu.default", "torch.ops.aten.constant_pad_nd.default", "pad", [10**6] * 4),
}


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_sizes_are_refused_before_memory_is_taken(name: str, tmp_path: Path) -> None:
    before, after, argument, sizes = ABSURD[name]
    program = json.loads(members(sample())["models/model.json"])
    node = next(each for each in program["graph_module"]["graph"]["nodes"] if each["target"] == before)
    node["target"] = after
    node["inputs"] = [node["inputs"][0], {"name": argument, "arg": {"as_ints": sizes}, "kind": 1}]
    files = members(sample()) | {"models/model.json": json.dumps(program).encode()}
    with pytest.raises(
        InputError, match=r"x\.pt2: operator .*(absurdly many numbers|does not take its arguments)"
    ) as error:
        load_network(put(tmp_path / "x.pt2", packed(files)))
    assert after.rpartition(".")[0] in str(error.value)


def test_damaged_and_hostile_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    sentences, read = [], 0
    for case in range(60):
        content = corrupted(sample(), rng) if case % 4 == 0 else changed_program(sample(), rng)
        path = put(tmp_path / "x.pt2", content)
        try:
            stored = open_network(path, image_size=8)
        except InputError as error:
            sentences.append(str(error))
            continue
        with torch.no_grad():
            scores = task_outputs(stored.network(torch.zeros(1, *stored.preprocessing.shape)))
        assert [len(each[0]) for each in scores.values()] == list(stored.classes), case
        read += 1
    assert [text for text in sentences if not text.isprintable() or "; accepted " not in text] == []
    assert min(read, len(sentences)) > 10


def test_compressed_members_and_two_programs_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members(sample()).items():
            archive.writestr(f"x/{name}", content + b" " * 10**6 if name == "models/model.json" else content)
    with pytest.raises(InputError, match=r"'x/models/model\.json' is compressed; accepted"):
        load_network(put(tmp_path / "x.pt2", buffer.getvalue()))
    two = members(sample())
    two["models/other.json"] = two["models/model.json"]
    with pytest.raises(InputError, match="holds 2 exported programs; accepted is one"):
        load_network(put(tmp_path / "x.pt2", packed(two)))
