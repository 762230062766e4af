"""Heads: what outputs of any network return becomes raw scores, one tensor a task."""

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featuresharing import Head, InputError, attach_heads, lesion, marginalize, predict
from featuresharing.networks.heads import head_of
from featuresharing.networks.network_digest import digest_of_network

IMAGES = np.random.default_rng(0).normal(size=(5, 3, 6, 6)).astype(np.float32)


class Many(nn.Module):
    """Raw scores ``whole`` of four classes, what becomes of them, and maps ``spread`` of three classes."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv, self.whole, self.spread = nn.Conv2d(3, 5, 3), nn.Linear(5, 4), nn.Conv2d(5, 3, 1)

    def forward(self, images: Tensor) -> Any:
        maps = F.relu(self.conv(images))
        scores = self.whole(maps.mean((2, 3)))
        one = scores[:, 0]
        return {
            "scores": scores,
            "log": scores.log_softmax(1),
            "soft": scores.softmax(1),
            "one": one,
            "sigmoid": one.sigmoid(),
            "maps": self.spread(maps),
            "soft maps": self.spread(maps).softmax(1),
            "far": one + 5,
            "boxes": torch.ones(2, 3, dtype=torch.int64),
        }


class Only(nn.Module):
    """What ``choose`` makes of the raw scores and maps of :class:`Many`."""

    def __init__(self, choose: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.inside, self.choose = Many(), choose

    def forward(self, images: Tensor) -> Tensor:
        outputs = self.inside(images)
        return self.choose(outputs["scores"], outputs["maps"])


def _sigmoid(column: int) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda scores, _: torch.stack([torch.zeros(len(scores)), scores[:, column]], dim=1)


# heads, and the raw scores that a network would have to return by itself
CASES: dict[str, tuple[Head, Callable[[Tensor, Tensor], Tensor]]] = {
    "scores by name": (Head("scores"), lambda scores, _: scores),
    "scores by place": (Head(0), lambda scores, _: scores),
    "columns": (Head(0, columns=(2, 0)), lambda scores, _: scores[:, [2, 0]]),
    "logarithms": (Head("log", returns="log-probabilities"), lambda scores, _: scores),
    "probabilities": (Head("soft", returns="probabilities"), lambda scores, _: scores),
    "columns of probabilities": (Head(2, columns=(3, 1), returns="probabilities"), lambda s, _: s[:, [3, 1]]),
    "a score": (Head("one", returns="sigmoid-score"), _sigmoid(0)),
    "a column as a score": (Head("scores", columns=(2,), returns="sigmoid-score"), _sigmoid(2)),
    "a sigmoid": (Head("sigmoid", returns="sigmoid"), _sigmoid(0)),
    "maps, averaged": (Head("maps", reduce="mean"), lambda _, maps: maps.mean((2, 3))),
    "maps of probabilities, averaged": (
        Head("soft maps", returns="probabilities", reduce="mean"),
        lambda _, maps: maps.mean((2, 3)),
    ),
    "a position": (Head("maps", reduce=(1, 2)), lambda _, maps: maps[:, :, 1, 2]),
    "columns of a position": (
        Head("soft maps", (1, 2), "probabilities", (3, 0)),
        lambda _, maps: maps[:, 1:, 3, 0],
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("engine", ["one-channel", "plain"])
def test_a_head_gives_what_a_network_of_raw_scores_gives(name: str, engine: str) -> None:
    head, choose = CASES[name]
    network = attach_heads(Many(), {"task": head})
    tasks, (found,) = predict(network, IMAGES)
    _, (wanted,) = predict(Only(choose), IMAGES)
    assert tasks == ("task",)
    np.testing.assert_allclose(found, wanted, atol=2e-7)
    (without,) = lesion(network, "conv", IMAGES, engine=engine)
    (wanted,) = lesion(Only(choose), "inside.conv", IMAGES)
    np.testing.assert_allclose(without, wanted, atol=5e-7)


def test_all_heads_at_once_give_what_each_gives_alone_and_survive_copies() -> None:
    heads = {name: head for name, (head, _) in CASES.items()}
    network = attach_heads(Many(), heads)
    together = predict(network, IMAGES)
    assert together[0] == tuple(heads)
    for name, values in zip(*together, strict=True):
        np.testing.assert_array_equal(predict(attach_heads(Many(), {name: heads[name]}), IMAGES)[1][0], values)
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    for other in (copy.deepcopy(network), torch.load(file, weights_only=False), nn.DataParallel(network)):
        for values, wanted in zip(predict(other, IMAGES)[1], together[1], strict=True):
            np.testing.assert_array_equal(values, wanted)
    assert list(dict(network.named_modules())) == list(dict(Many().named_modules()))


def test_heads_are_replaced_by_others_and_count_for_the_digest() -> None:
    network = Many()
    plain = digest_of_network(network)
    assert attach_heads(network, {"a": Head("scores")}) is network
    first = digest_of_network(network)
    attach_heads(network, {"a": Head("log")})
    assert len({plain, first, digest_of_network(network)}) == 3
    attach_heads(nn.DataParallel(network), {"b": Head("one", returns="sigmoid-score"), "a": Head("scores")})
    assert predict(network, IMAGES)[0] == ("b", "a")


def test_saturated_probabilities_stay_what_they_are() -> None:
    class Sure(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            rows = torch.tensor([[0.0, 1.0, 0.0], [0.25, 0.5, 0.25]])
            return rows[: len(images)] if len(images) > 1 else rows[images[:, 0].long()], images[:, 0]

    heads = {"three": Head(0, returns="probabilities"), "two": Head(1, returns="sigmoid")}
    _, (three, two) = predict(attach_heads(Sure(), heads), np.array([[0.0], [1.0]]))
    np.testing.assert_allclose(three, np.array([[0, 1, 0], [0.25, 0.5, 0.25]]), atol=1e-7)
    np.testing.assert_allclose(two, np.eye(2), atol=1e-37)


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (Head(9), "no output 9; accepted are the places 0 to 8 or the names 'scores', 'log'"),
        (Head("word"), "no output 'word'; accepted are the places"),
        (Head("boxes"), "output 'boxes' is torch.int64"),
        (Head("one"), "returns: sigmoid-score or sigmoid"),
        (Head("scores", returns="sigmoid-score"), "has 4 columns, and a sigmoid-score is one"),
        (Head("scores", columns=(1, 4)), "no column 4; accepted are 0 to 3"),
        (Head("maps"), r"map of scores, at \[4, 4\] positions; accepted is reduce: mean, .* reduce: \[0, 0\]"),
        (Head("maps", reduce=(1, 4)), r"no position \[1, 4\]; accepted are 2 places below \[4, 4\]"),
        (Head("scores", reduce=(1,)), r"no position \[1\]"),
        (
            Head("scores", returns="probabilities"),
            "returns: probabilities: found no probabilities on image 0; .* that sum up to 1",
        ),
        (Head("far", returns="sigmoid"), "returns: sigmoid: found no probabilities on image 0; .* from 0 to 1, or"),
        (Head("soft"), "found probabilities, which sum up to 1 .* returns: probabilities"),
        (Head("scores", columns=(1,)), "found 1 class, .*'sigmoid-score'"),
    ],
)
def test_an_output_that_is_not_what_its_head_says_is_refused(head: Head, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        predict(attach_heads(Many(), {"task": head}), IMAGES)


def test_a_softmax_that_nobody_declared_is_refused_by_every_analysis_but_of_raw_scores() -> None:
    soft = Only(lambda scores, _: scores.softmax(1))
    for analyse in (lambda: predict(soft, IMAGES), lambda: marginalize(soft, "inside.conv", IMAGES, samples=2)):
        with pytest.raises(InputError, match="output '0': found probabilities"):
            analyse()
    assert lesion(soft, "inside.conv", IMAGES, softmax=False).tasks == ("0",)
    assert predict(soft, IMAGES[:1])[0] == ("0",)  # of one image nobody can be sure


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"output": -1}, "output of a head: found -1"),
        ({"output": 1.5}, "found 1.5"),
        ({"returns": "regression"}, "returns of a head: found 'regression'; accepted is one of scores, log-prob"),
        ({"columns": [0, 0]}, r"found \(0, 0\); accepted is a list of distinct"),
        ({"columns": []}, "columns of a head"),
        ({"columns": [0, 1], "returns": "sigmoid-score"}, "one column"),
        ({"reduce": "max"}, "'mean', or a position"),
        ({"collumns": [1]}, "head: found 'collumns'; accepted are output, columns"),
    ],
)
def test_what_is_no_head_is_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        head_of(values)


def test_what_are_no_heads_are_refused() -> None:
    for given in ({}, [Head()], {"a": "scores"}, {1: Head()}):
        with pytest.raises(InputError, match=r"^heads: found"):
            attach_heads(Many(), given)
