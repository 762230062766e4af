"""Files of torch.export.save: a small network, archives of older versions of torch, and hostile ones."""

import functools
import io
import json
import os
import pickle
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Exported(nn.Module):
    """Convolutions, attention, and two heads, of which one ends with a softmax; for images of 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.block = nn.Sequential(nn.Conv2d(6, 8, 3, groups=2, bias=False), nn.GELU(), nn.AvgPool2d(2))
        self.attention = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.layers = nn.ModuleDict({"shape": nn.Linear(8, 3), "colour": nn.Linear(8, 4)})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return scores of one head, and probabilities of the other."""
        maps = self.block(self.relu(self.bn(self.conv(images)))).flatten(2).transpose(1, 2)
        tokens = self.attention(torch.cat([self.token.expand(images.shape[0], -1, -1), maps], dim=1)).mean(dim=1)
        return {"shape": self.layers["shape"](tokens), "colour": self.layers["colour"](tokens).softmax(dim=-1)}


def network() -> Exported:
    """Return the network with weights that are always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = Exported().eval()
        with torch.no_grad():
            for value in [*made.parameters(), made.bn.running_mean]:
                if value is not None:
                    value.add_(0.1 * torch.randn(value.shape))
    return made


def exported(module: nn.Module, shape: tuple[int, ...] = (2, 3, 8, 8), *, free: bool = True) -> Any:
    """Return the exported program of a module, for any number of images if it is ``free``."""
    dynamic = ({0: torch.export.Dim.AUTO},) if free else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(module, (torch.randn(shape),), dynamic_shapes=dynamic)


def decomposed(program: Any) -> Any:
    """Return the program in elementary operators."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return program.run_decompositions()


def saved(program: Any) -> bytes:
    """Return what torch.export.save writes."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, Path(folder) / "x.pt2")
        return (Path(folder) / "x.pt2").read_bytes()


@functools.cache
def sample() -> bytes:
    """Return the file of the network."""
    return saved(exported(network()))


def write_exported(path: Path) -> Path:
    """Write the file of the network."""
    path.write_bytes(sample())
    return path


def members(content: bytes) -> dict[str, bytes]:
    """Return what is in an archive, without the folder in which all of it lies."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def packed(files: Mapping[str, bytes], folder: str = "x/") -> bytes:
    """Return an archive of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{folder}{name}", content)
    return buffer.getvalue()


def _weights(content: bytes) -> dict[str, Tensor]:
    config = json.loads(members(content)["data/weights/model_weights_config.json"])["config"]
    state = {**dict(network().named_parameters()), **dict(network().named_buffers())}
    return {name: state[name].detach() for name in config}


def _torch_file(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def of_torch_2_6(content: bytes) -> bytes:
    """Return the same program as torch 2.6 and 2.7 write it: weights are a file of torch in a plain archive."""
    files = {
        "serialized_exported_program.json": members(content)["models/model.json"],
        "serialized_state_dict.pt": _torch_file(_weights(content)),
        "serialized_constants.pt": _torch_file({}),
        "serialized_example_inputs.pt": b"nobody reads them",
        "version": b"8.5",
    }
    return packed(files, "")


def of_torch_2_8(content: bytes) -> bytes:
    """Return the same program as torch 2.8 writes it: weights are a file of torch beside the graph."""
    files = {name: each for name, each in members(content).items() if not name.startswith(("data/weights", "data/con"))}
    files |= {"data/weights/model.pt": _torch_file(_weights(content)), "data/constants/model.pt": _torch_file({})}
    return packed(files)


class Payload:
    """What runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def payloads(content: bytes, command: str) -> dict[str, bytes]:
    """Return archives with code to be run in every place that torch.export.load unpickles, evaluates or loads."""
    whole = members(content)
    bomb = pickle.dumps(Payload(command))
    unsafe = _torch_file({"x": Payload(command)})
    config = json.loads(whole["data/weights/model_weights_config.json"])
    first = next(iter(config["config"].values()))
    first["use_pickle"], first["tensor_meta"] = True, None
    pickled = {"data/weights/model_weights_config.json": json.dumps(config).encode()}
    constant = {
        "config": {"c": {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}}
    }
    hostile_graph = whole["models/model.json"].replace(b"s77", f"__import__('os').system('{command}')".encode())
    operator = whole["models/model.json"].replace(b"torch.ops.aten.gelu.default", b"os.system")
    return {
        "weights": packed(whole | pickled | {f"data/weights/{first['path_name']}": unsafe}),
        "constants": packed(
            whole
            | {
                "data/constants/model_constants_config.json": json.dumps(constant).encode(),
                "data/constants/opaque_obj_0": bomb,
            }
        ),
        "example inputs": packed(whole | {"data/sample_inputs/model.pt": unsafe}),
        "expressions": packed(whole | {"models/model.json": hostile_graph}),
        "operators": packed(whole | {"models/model.json": operator}),
        "libraries": packed(whole | {"data/aotinductor/model/x.so": b"\x7fELF", "data/aotinductor/model/x.cpp": b""}),
        "weights of torch 2.8": packed(members(of_torch_2_8(content)) | {"data/weights/model.pt": unsafe}),
        "constants of torch 2.8": packed(members(of_torch_2_8(content)) | {"data/constants/model.pt": bomb}),
    }


def changed_program(content: bytes, rng: np.random.Generator) -> bytes:
    """Return an archive with one to three changes of its graph or its lists that a writer could make."""
    files = members(content)
    name = "models/model.json" if rng.random() < 0.7 else "data/weights/model_weights_config.json"
    program = json.loads(files[name])
    for _ in range(int(rng.integers(1, 4))):
        _change(program, rng)
    return packed(files | {name: json.dumps(program).encode()})


VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    3,
    7,
    255,
    10**6,
    2**31,
    2**62,
    0.5,
    "x",
    "Infinity",
    [],
    {},
    [0, 10**9],
    {"as_int": 10**12},
)


def _change(value: Any, rng: np.random.Generator) -> None:
    """Walk to a random place in JSON and put something else there."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = keys[int(rng.integers(len(keys)))]
        inside = value[key]
        if isinstance(inside, dict | list) and inside and rng.random() < 0.9:
            value = inside
            continue
        if isinstance(inside, str) and rng.random() < 0.3:
            value[key] = ("torch.ops.aten.view.default", "x", "images", "torch.ops.aten.expand.default")[
                int(rng.integers(4))
            ]
        else:
            value[key] = VALUES[int(rng.integers(len(VALUES)))]
        return
