"""Weights out of files of others: found wherever they are, named where they do not fit, and never run."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from featuresharing.errors import InputError
from featuresharing.networks.weights import load_weights, read_weights


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def other() -> nn.Sequential:
    made = network()
    for value in made.state_dict().values():
        value.copy_(torch.full_like(value, 3))
    return made


def hold_same(first: nn.Module, second: nn.Module) -> None:
    for name, value in first.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, second.state_dict()[name]), name


class Settings:
    """Hyperparameters of a class of the user's own, which Lightning keeps beside the weights."""

    def __init__(self) -> None:
        self.width = 64


SAVED: dict[str, Any] = {
    "a state dict": lambda state: state,
    "Lightning": lambda state: {
        "epoch": 3,
        "state_dict": state,
        "hyper_parameters": Settings(),
        "pytorch-lightning_version": "2",
    },
    "a training": lambda state: {"step": 5, "model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
    "nested": lambda state: {"checkpoint": None, "model": {"state_dict": state}},
}


@pytest.mark.parametrize("form", SAVED)
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_found_wherever_a_checkpoint_keeps_them(tmp_path: Path, form: str, zipped: bool) -> None:
    if form == "Lightning" and not zipped:
        pytest.skip("Lightning writes zip archives")
    path = tmp_path / "weights.ckpt"
    torch.save(SAVED[form](other().state_dict()), path, _use_new_zipfile_serialization=zipped)
    loaded = network()
    load_weights(loaded, path)
    hold_same(loaded, other())


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(other().state_dict(), tmp_path / "weights.safetensors")
    loaded = network()
    load_weights(loaded, tmp_path / "weights.safetensors")
    hold_same(loaded, other())


def test_prefixes_come_off_in_turn(tmp_path: Path) -> None:
    torch.save({f"module.model.{name}": value for name, value in other().state_dict().items()}, tmp_path / "w.pt")
    loaded = network()
    load_weights(loaded, tmp_path / "w.pt", ["module.", "model."])
    hold_same(loaded, other())
    hint = r"without the prefix 'module\.model\.' they fit: strip: \['module\.model\.'\]; accepted"
    with pytest.raises(InputError, match=hint):
        load_weights(network(), tmp_path / "w.pt")


def test_missing_and_unexpected_weights_are_named(tmp_path: Path) -> None:
    state = other().state_dict()
    del state["0.bias"]
    state["9.weight"] = torch.zeros(2)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"missing are 0\.bias and the network does not have 9\.weight; accepted"):
        load_weights(network(), tmp_path / "w.pt")
    state = other().state_dict()
    state["3.weight"] = torch.zeros(5, 4)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"found \[5, 4\] for 3\.weight; accepted is \[2, 4\]"):
        load_weights(network(), tmp_path / "w.pt")


def test_batch_counts_of_older_files_may_be_missing(tmp_path: Path) -> None:
    state = {name: value for name, value in other().state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "w.pt")
    loaded = network()
    load_weights(loaded, tmp_path / "w.pt")
    hold_same(loaded, other())


def test_a_pickled_network_is_refused_with_how_to_save_its_state(tmp_path: Path) -> None:
    for zipped in (True, False):
        torch.save(network(), tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
        with pytest.raises(InputError) as caught:
            read_weights(tmp_path / "w.pt")
        assert "torch.save(network.state_dict(), 'weights.pt')" in str(caught.value)
        assert "found a pickled " in str(caught.value)
        assert "Sequential, whose code would have to be run" in str(caught.value)
    torch.save({"model": network()}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"found a pickled Sequential, whose code .*network\.state_dict"):
        read_weights(tmp_path / "w.pt")


class Payload:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("form", ["plain", "zip", "legacy", "inside"])
def test_a_payload_is_not_run(tmp_path: Path, form: str) -> None:
    path, mark = tmp_path / "w.pt", tmp_path / "ran"
    content: Any = Payload(mark) if form != "inside" else {"state_dict": other().state_dict(), "more": Payload(mark)}
    if form == "plain":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form != "legacy")
    with pytest.raises(InputError, match=r"mkdir, whose code would have to be run" if form != "plain" else "accepted"):
        read_weights(path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x02}q\x00.", b"PK\x03\x04" + b"\0" * 100, b"not a checkpoint"])
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_other_files_are_refused_in_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"^weights .*{name}.*; accepted [^\n]*\.$"):
        load_weights(network(), tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.pt do not exist; accepted are state dicts"):
        read_weights(tmp_path / "no.pt")


def test_a_checkpoint_that_holds_itself_is_refused_or_read_as_any_other(tmp_path: Path) -> None:
    path, content = tmp_path / "weights.pt", dict[str, Any]()
    content["state_dict"] = content
    torch.save(content, path)
    with pytest.raises(InputError, match=r"weights\.pt: found the keys 'state_dict' and no tensors; accepted are "):
        read_weights(path)
    content["network"] = network().state_dict()
    torch.save(content, path)
    assert read_weights(path).keys() == network().state_dict().keys()
