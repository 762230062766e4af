"""What stands for settings, arrays and networks: the same for the same, another for whatever changes a number."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing import InputError
from featuresharing.analysis.true_classes import check_targets, name_tasks
from featuresharing.files.identity import Identity, differing_names, digest_of_array, key_of_units
from featuresharing.networks.network_digest import digest_of_network
from featuresharing.version import NUMERICS


def test_names_of_what_earlier_versions_wrote_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Computed with the code of version 0.1.0: with other names, whatever is finished would be made again."""
    monkeypatch.setitem(NUMERICS, "features", 2)
    identity = Identity("features", {"step": 1.0, "layer": "0.0.10", "sizes": (1, 2)})
    assert identity.key == "dccbcdaa29e3ab68"
    assert identity.fingerprint == "daeee889256298b88d764f9c72414a16a7e4d6aa27bffe40c83c4ac25b56d7af"
    assert identity.values == {"step": 1.0, "layer": "0.0.10", "sizes": [1, 2], "numerics": 2}
    assert key_of_units("ab12", [0, 3]) == "2bda2a98cebe"


def test_the_version_of_the_code_is_part_of_an_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Identity("lesions", {"steps": 20})
    monkeypatch.setitem(NUMERICS, "lesions", NUMERICS["lesions"] + 1)
    after = Identity("lesions", {"steps": 20})
    assert after.key != before.key
    assert after.fingerprint != before.fingerprint
    assert differing_names(before.values, after.values) == ["numerics"]
    assert differing_names({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 2, "c": 2}}) == ["b", "d"]


def test_an_array_is_its_shape_type_and_numbers() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    same = [array.copy(order="F"), array.astype(">f4"), np.repeat(array, 2, axis=1)[:, ::2]]
    others: list[NDArray[Any]] = [array.T, array.astype(np.float64), array.reshape(3, 2), array + 1]
    assert {digest_of_array(each) for each in same} == {digest_of_array(array)}
    assert len({digest_of_array(each) for each in [array, *others]}) == 5


class Scaled(nn.Module):
    """A network with a buffer, a number that is no parameter, and a forward pass of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3)
        self.factor = 2.0

    def forward(self, images: Tensor) -> Tensor:
        return self.factor * self.norm(self.layer(images))


def add(network: Scaled, images: Tensor) -> Tensor:
    return network.factor + network.norm(network.layer(images))


def scaled(kind: type[Scaled] = Scaled) -> Scaled:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind()


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a weight": lambda network: network.layer.weight.data[0, 0].add_(1e-7),
    "a buffer": lambda network: network.norm.running_var.mul_(2),
    "a number": lambda network: setattr(network, "factor", 3.0),
    "a setting of a module": lambda network: setattr(network.norm, "eps", 1e-3),
    "the precision": lambda network: network.double(),
    "a module": lambda network: setattr(network, "norm", nn.Identity()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_scores_changes_a_networks_digest(change: str) -> None:
    network = scaled()
    before = digest_of_network(network)
    CHANGES[change](network)
    assert digest_of_network(network) != before


def test_a_network_is_the_same_wherever_and_however_it_runs() -> None:
    network = scaled()
    digest = digest_of_network(network)
    assert digest_of_network(copy.deepcopy(network).eval()) == digest
    assert digest_of_network(nn.DataParallel(network)) == digest
    network.layer.weight.grad = torch.ones(3, 4)
    assert digest_of_network(network.requires_grad_(False)) == digest
    names = {"__module__": Scaled.__module__, "__qualname__": Scaled.__qualname__}
    assert digest_of_network(scaled(type("Scaled", (Scaled,), {**names, "forward": Scaled.forward}))) == digest
    assert digest_of_network(scaled(type("Scaled", (Scaled,), {**names, "forward": add}))) != digest
    half = nn.Linear(2, 2).to(torch.bfloat16)
    assert digest_of_network(half) != digest_of_network(copy.deepcopy(half).float())
    with pytest.raises(InputError, match=r"network: found a list; accepted is a torch\.nn\.Module"):
        digest_of_network([network])  # type: ignore[arg-type]


def test_true_classes_come_as_a_dict_a_list_or_an_array() -> None:
    table = np.array([[0, 1], [2, 0], [1, 1]])
    numbers, named = ("0", "1"), ("word", "basic")
    for given, tasks, wanted in (
        (table, numbers, numbers),
        ([table[:, 0], torch.from_numpy(table[:, 1])], numbers, numbers),
        ({"a": table[:, 0], "b": table[:, 1].tolist()}, numbers, ("a", "b")),
        ({"basic": table[:, 1], "word": table[:, 0]}, named, named),
    ):
        names, found = name_tasks(given, tasks)
        assert names == wanted
        checked = check_targets(found, names, (3, 2), 3)
        assert checked.dtype == np.int64
        assert checked.tolist() == table.tolist()


@pytest.mark.parametrize(
    ("targets", "tasks", "sentence"),
    [
        (
            {"a": [0], "b": [0]},
            ("word", "basic"),
            "found the tasks a, b; accepted are those of the outputs: word, basic",
        ),
        ({"a": [0]}, ("0", "1"), "found the tasks a; accepted are those of the outputs: 0, 1"),
        ([[0, 1]], ("0", "1"), "found 1 arrays; accepted is one for each of 2 outputs"),
        ([[0, 1], [0]], ("0", "1"), r"found arrays \[1\] and \[2\]; accepted are arrays \[images\] of one length"),
    ],
)
def test_targets_of_other_tasks_or_lengths_are_refused(targets: Any, tasks: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(InputError, match=f"targets: {sentence}"):
        name_tasks(targets, tasks)
