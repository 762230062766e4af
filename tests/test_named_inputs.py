"""Networks that take more than images: tokens with masks, by the names of arguments."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing import (
    InputError,
    lesion,
    lesion_accuracy,
    lesion_curves_to_file,
    marginalize,
    marginalize_to_file,
    maximize_units,
    predict,
    prior_draws,
)
from featuresharing.engine.describing import describe_network
from featuresharing.networks.inputs import as_inputs
from featuresharing.settings import FeatureSettings

torch.set_num_threads(1)

ENGINES = ("one-channel", "plain")
UNITS = [1, 4]
MORE = "Reader takes more than images"
SAMPLES = 3


class Reader(nn.Module):
    """Attention over tokens, of which a mask leaves some out; like transformers it looks whether any are."""

    def __init__(self, *, looks: bool = True) -> None:
        super().__init__()
        self.embedding, self.looks = nn.Embedding(9, 4), looks
        self.query, self.hidden, self.head = nn.Linear(4, 4), nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, *, places: Tensor, scale: float = 1.0, deep: bool = False
    ) -> dict[str, Tensor]:
        values = self.embedding(ids) + places
        scores = scale * self.query(values) @ values.transpose(1, 2)
        if mask is not None and not (self.looks and mask.all()):
            scores = scores.masked_fill(~mask[:, None, :].bool(), -torch.inf)
        values = self.hidden(scores.softmax(dim=-1) @ values).tanh()
        return {"what": self.head(values.mean(dim=1) if deep else values[:, 0])}


def network(*, looks: bool = True) -> Reader:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Reader(looks=looks).double().eval()


IDS = torch.randint(0, 9, (6, 5), generator=torch.Generator().manual_seed(1))
MASK = torch.tensor([[1, 1, 1, 1, 1]] * 2 + [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]] + [[1, 1, 1, 1, 1]] * 2)
PLACES = torch.randn(5, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
GIVEN: dict[str, Any] = {"mask": MASK, "places": PLACES.numpy(), "scale": 2.0, "deep": True}


def predict_by_hand(reader: Reader, mask: Tensor = MASK, scale: float = 2.0) -> NDArray[np.float64]:
    """Return predictions image by image, each of its own tokens alone."""
    found = []
    for ids, kept in zip(IDS, mask.bool(), strict=True):
        with torch.no_grad():
            values = reader.embedding(ids) + PLACES
            weights = (scale * reader.query(values) @ values[kept].T).softmax(dim=-1)
            found.append(reader.head(reader.hidden(weights @ values[kept]).tanh().mean(dim=0)).softmax(dim=-1))
    return torch.stack(found).numpy()


def with_unit(path: str, unit: int | list[int], row: Any, shift: Any) -> NDArray[np.float64]:
    reader = copy.deepcopy(network())
    layer = reader.get_submodule(path)
    with torch.no_grad():
        layer.get_parameter("weight")[unit] = torch.as_tensor(row, dtype=torch.float64)
        layer.get_parameter("bias")[unit] = torch.as_tensor(shift, dtype=torch.float64)
    return predict_by_hand(reader)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("batch_size", [None, 2, 3])
@pytest.mark.parametrize("looks", [True, False])
def test_masks_and_constants_reach_every_pass(engine: str, batch_size: int | None, looks: bool) -> None:
    """Chunks of two images have masks of zeros or not, of which a pass that looks makes different operators."""
    reader = network(looks=looks)
    given: dict[str, Any] = {"inputs": GIVEN, "batch_size": batch_size}
    np.testing.assert_allclose(predict(reader, IDS, **given)[1][0], predict_by_hand(reader), rtol=0, atol=1e-14)
    given["engine"] = engine
    for path in ("hidden", "query"):
        units = [unit % 4 for unit in UNITS[: 1 if path == "query" else 2]]
        drawn = [prior_draws(reader, path, unit, samples=SAMPLES) for unit in units]
        wanted = [
            np.mean([with_unit(path, unit, *each) for each in zip(*draws, strict=True)], axis=0)
            for unit, draws in zip(units, drawn, strict=True)
        ]
        found = marginalize(reader, path, IDS, units=units, estimator="monte-carlo", samples=SAMPLES, **given)
        np.testing.assert_allclose(found.probabilities[0], wanted, rtol=0, atol=1e-13)
        removed = lesion(reader, path, IDS, units=units, **given).probabilities[0]
        np.testing.assert_allclose(removed, [with_unit(path, unit, 0, 0) for unit in units], rtol=0, atol=1e-13)
    right = with_unit("hidden", UNITS, 0, 0).argmax(axis=1)[:, None]
    _, accuracy = lesion_accuracy(reader, "hidden", IDS, right, [[*UNITS, 0]], counts=[0, 2], **given)
    assert accuracy[0, 1, 0] == 1
    assert accuracy[0, 0, 0] == (predict_by_hand(reader).argmax(axis=1) == right[:, 0]).mean()


def test_inputs_are_cut_if_they_have_a_row_for_every_image() -> None:
    found = as_inputs(IDS, GIVEN | {"nothing": None, "few": torch.ones(5), "many": np.ones((6, 2), np.float32)})
    assert set(found.by_image) == {"mask", "many"}
    part = found[2:4]
    assert (len(part), part.by_image["mask"].tolist()) == (2, MASK[2:4].tolist())
    assert isinstance(part.fixed["places"], Tensor)
    assert (part.fixed["nothing"], part.fixed["deep"], len(part.fixed["few"])) == (None, True, 5)


def test_floating_point_inputs_are_in_the_precision_of_the_computation() -> None:
    single = network().float()
    found = predict(single, IDS, inputs=GIVEN | {"mask": MASK}, dtype="float64")[1][0]
    wanted = predict_by_hand(single.double())
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            None,
            f"{MORE}: its forward pass needs ids, places; accepted is one argument, and others that do not change by "
            r"name: inputs=\{'places': \.\.\.\}\.",
        ),
        ([PLACES], rf"{MORE}: .*inputs=\{{'places'"),
        ({3: PLACES}, r"inputs: Reader takes no argument '3'; accepted are mask, places, scale, deep\."),
        (
            {"places": PLACES, "masks": MASK},
            r"inputs: Reader takes no argument 'masks'; accepted are mask, places, scale",
        ),
        ({"places": PLACES, "ids": IDS}, r"inputs: Reader takes no argument 'ids'; accepted are mask, places, scale"),
        ({"places": np.array(["a"])}, r"inputs\['places'\]: found an array of <U1; accepted is one array or tensor"),
        (
            {"places": PLACES[:3]},
            r"images: found int64 \[6, 5\] with places, which Reader does not take \(Reader.*line",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused_in_one_sentence(inputs: Any, message: str) -> None:
    for function in (predict, lambda *given, **named: lesion(given[0], "hidden", *given[1:], **named)):
        with pytest.raises(InputError, match=message):
            function(network(), IDS, inputs=inputs)
    with pytest.raises(InputError, match=r"inputs: found a list; accepted is a dict of inputs by the names of argum"):
        predict(nn.Linear(5, 3), IDS.double(), inputs=[1])

    class Places(nn.Module):
        def forward(self, rows: Tensor, places: Tensor, /) -> Tensor:
            return rows + places

    with pytest.raises(InputError, match=r"accepted is one argument, and others by name; put the .* gives it places\."):
        predict(Places(), IDS.double())


def test_networks_with_named_inputs_are_described() -> None:
    given = {"mask": MASK[2:3], "places": PLACES}
    for looks in (True, False):
        for engine in ENGINES:
            found = describe_network(network(looks=looks), (5,), whole=True, inputs=given, engine=engine)
            layers = {layer.path: (layer.units, layer.size, layer.refused) for layer in found.layers}
            assert layers == {"query": (4, 5, None), "hidden": (6, 5, None), "head": (3, 7, None)}
    with pytest.raises(InputError, match="Reader cannot be traced"):
        describe_network(network(), (5,), whole=True)


def test_python_that_sees_tokens_is_refused_and_goes_plain() -> None:
    class Looking(Reader):
        def forward(self, ids: Tensor, mask: Tensor | None = None, **others: Any) -> dict[str, Tensor]:
            return super().forward(ids, mask if (ids >= 0).all() else None, **others)

    reader = Looking().double().eval()
    reader.load_state_dict(network().state_dict())
    with pytest.raises(InputError, match=r"its Python code sees numbers that depend on the images \('item' in Looking"):
        lesion(reader, "hidden", IDS, inputs=GIVEN)
    found = lesion(reader, "hidden", IDS, inputs=GIVEN, units=[1], engine="plain").probabilities[0]
    np.testing.assert_allclose(found[0], with_unit("hidden", 1, 0, 0), rtol=0, atol=1e-14)


def test_files_are_of_their_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets = predict_by_hand(network()).argmax(axis=1)[:, None]
    output = tmp_path / "hidden.h5"

    def write(inputs: dict[str, Any]) -> NDArray[Any]:
        given: dict[str, Any] = {"inputs": inputs, "samples": SAMPLES}
        return marginalize_to_file(network(), "hidden", IDS, targets, output, **given).conditionals["what"]

    first = write(GIVEN)
    wanted = marginalize(network(), "hidden", IDS, inputs=GIVEN, samples=SAMPLES).probabilities[0]
    np.testing.assert_allclose(first, wanted[:, range(6), targets[:, 0]], rtol=0, atol=1e-7)
    write(dict(reversed(GIVEN.items())))
    assert "is there already, with all 6 units" in capsys.readouterr().out
    for change in ({"mask": MASK.flip(0)}, {"scale": 1.0}, {"places": PLACES + 1}):
        other = write(GIVEN | change)
        assert np.abs(other - first).max() > 1e-4
        assert "is there already" not in capsys.readouterr().out
    with pytest.raises(InputError, match=r"inputs\['deep'\]: found a list, which nothing can be resumed by; accepted"):
        write(GIVEN | {"deep": [1]})
    curves = lesion_curves_to_file(
        *(network(), "hidden", IDS, targets, [np.arange(6.0)], tmp_path / "curves.csv"),
        steps=2,
        random_orders=2,
        inputs=GIVEN,
    )
    assert curves["accuracy"].iloc[0] == 1


def test_constants_reach_what_drives_units() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filters, self.head = nn.Conv2d(3, 2, 3), nn.Linear(2 * 25, 2)

        def forward(self, images: Tensor, *, factor: float) -> Tensor:
            scores: Tensor = self.head(self.filters(factor * images).flatten(1))
            return scores

    with torch.random.fork_rng():
        torch.manual_seed(0)
        scaled = Scaled()
    doubled = copy.deepcopy(scaled)
    with torch.no_grad():
        doubled.filters.weight.mul_(2)
    settings = FeatureSettings(iterations=3)
    found = [
        [image for _, image in maximize_units(net, "filters", (3, 7, 7), settings=settings, inputs={"factor": factor})]
        for net, factor in ((scaled, 2.0), (doubled, 1.0))
    ]
    np.testing.assert_allclose(*found, rtol=0, atol=1e-6)
