"""What Python users bring and take away: batches, several layers in one call, tables of layers, arrays with names."""

import builtins
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray
from scipy.io import loadmat
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from featuresharing import (
    Estimation,
    InputError,
    Marginalization,
    layer_arrays,
    layers,
    lesion,
    lesion_accuracy,
    marginalize,
    marginalize_layers,
    marginalize_to_file,
    predict,
    read_conditionals,
    weight_of_evidence,
)
from featuresharing.analysis.array_export import export_arrays, matlab_names
from featuresharing.cli import main
from featuresharing.engine.describing import describe_network
from featuresharing.estimators.durations import layer_cost, marginalize_seconds
from featuresharing.networks.inputs import as_inputs
from tests.support import stores
from tests.support.two_tasks import IMAGES_GIVEN, TARGETS, pair

IMAGES = torch.from_numpy(np.asarray(IMAGES_GIVEN))


def loader(**settings: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(IMAGES, torch.arange(len(IMAGES))), batch_size=3, **settings)


def batches() -> Iterator[Any]:
    yield IMAGES[:4].numpy()
    yield [IMAGES[4:], "labels of any kind"]


class Stream(IterableDataset[Any]):
    """Gives image after image, and does not say how many."""

    def __iter__(self) -> Iterator[Any]:
        return iter(IMAGES)


# --- batches


@pytest.mark.parametrize("given", [loader, batches, lambda: DataLoader(Stream(), batch_size=2)])
def test_batches_count_as_all_their_images(given: Any) -> None:
    network, (tasks, predictions) = pair(), predict(pair(), IMAGES)
    found = predict(network, given())
    assert found[0] == tasks
    for one, other in zip(found[1], predictions, strict=True):
        np.testing.assert_array_equal(one, other)
    pairs = [
        (marginalize(network, "hidden", given(), samples=5), marginalize(network, "hidden", IMAGES, samples=5)),
        (lesion(network, "hidden", given()), lesion(network, "hidden", IMAGES)),
    ]
    for one, other in pairs:
        for mine, yours in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, yours)
    truth = np.stack([*TARGETS.values()], axis=1)
    curves = [lesion_accuracy(network, "hidden", each, truth, [[0, 1, 2]])[1] for each in (given(), IMAGES)]
    np.testing.assert_array_equal(*curves)


def test_tokens_in_batches_stay_integers() -> None:
    network = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2)).eval()
    tokens = torch.arange(18).reshape(6, 3) % 9
    for one, other in zip(predict(network, iter(tokens.split(4)))[1], predict(network, tokens)[1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_files_of_conditionals_are_the_same_from_batches(tmp_path: Path) -> None:
    files = [tmp_path / "batches.h5", tmp_path / "images.h5"]
    for given, path in zip((loader(), IMAGES), files, strict=True):
        marginalize_to_file(pair(), "hidden", given, TARGETS, path, samples=5)
    one, other = (read_conditionals(path) for path in files)
    assert one.attributes["images_sha256"] == other.attributes["images_sha256"]
    np.testing.assert_array_equal(one.conditionals["word"], other.conditionals["word"])


def used_up() -> Iterator[Any]:
    found = batches()
    list(found)
    return found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            lambda: loader(shuffle=True),
            "found a DataLoader that shuffles, .*; accepted is one with shuffle=False",
        ),
        (lambda: iter([{"pixels": IMAGES, "who": 1}]), r"batch 0 is a dict with 'pixels', 'who'; .*batch\['pixels'\]"),
        (lambda: iter([IMAGES, IMAGES[:, :2]]), r"batch 1 has images float32 \[2\]; accepted are float32 \[4\]"),
        (lambda: iter([(IMAGES,), ("x", 1)]), r"batch 1 is a str; accepted are tensors or arrays \[images"),
        (used_up, "found no batches .an iterator gives them only once."),
        (lambda: {"images": IMAGES}, "found a dict of 1; accepted is one array or tensor"),
        (lambda: [*IMAGES], "found a list of 7; .* such as numpy.stack makes of a list, or batches: iter.batches."),
        (lambda: TensorDataset(IMAGES), "found a TensorDataset; .*or batches of them: DataLoader.dataset, batch_size"),
    ],
)
def test_what_are_no_batches_of_images_is_refused(given: Any, said: str) -> None:
    with pytest.raises(InputError, match=f"^images: {said}"):
        predict(pair(), given())


def test_more_than_memory_holds_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featuresharing.networks.image_batches.free_memory", lambda device: 100)
    read = []

    def endless() -> Iterator[Any]:
        while True:
            read.append(1)
            yield IMAGES

    with pytest.raises(InputError, match=r"^images: batches so far take .* GiB, more than is free; accepted are fewer"):
        predict(pair(), endless())
    assert len(read) < 3
    with pytest.raises(InputError, match=r"^images: batches take 0\.0 GiB, more than is free"):
        predict(pair(), loader())


# --- several layers


def test_layers_in_one_call_have_the_bits_of_single_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    network = pair()
    wanted = {name: marginalize(network, name, IMAGES, samples=7, seed=3) for name in ("hidden", "word")}
    asked = []
    monkeypatch.setattr(
        "featuresharing.networks.preparation.as_inputs", lambda *given: asked.append(given) or as_inputs(*given)
    )
    found = marginalize_layers(network, ["word", "hidden", "word"], IMAGES, samples=7, seed=3)
    assert len(asked) == 1
    assert list(found) == ["word", "hidden"]
    for name, conditionals in found.items():
        for one, other in zip(conditionals, wanted[name], strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(conditionals.skipped_mass, wanted[name].skipped_mass)
    with pytest.raises(InputError, match="layers: found 'word'; accepted is a list of layers"):
        marginalize_layers(network, "word", IMAGES)
    with pytest.raises(InputError, match="layer 'nowhere' does not exist"):
        marginalize_layers(network, ["word", "nowhere"], IMAGES)
    with pytest.raises(InputError, match="argument 'memori' is not known"):
        marginalize_layers(network, ["word"], IMAGES, memori=3)


# --- tables of layers


def test_layers_are_listed_with_what_is_special_about_them() -> None:
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 5))
    twice = nn.Linear(5, 5)
    network = nn.Sequential(normed, twice, nn.ReLU(), twice, nn.Linear(5, 3)).eval()
    table = layers(network, torch.zeros(20, 4))
    assert table[["path", "units", "parameters"]].values.tolist() == [["0", 5, 5], ["1", 5, 6], ["4", 3, 6]]
    assert table["special"].tolist() == ["its weight or bias is computed: units are the effective ones", "", ""]
    refused = table["refused"].tolist()
    assert "used 2 times" in refused[1]
    assert (refused[0], refused[2]) == ("", "")
    cost = layer_cost(describe_network(network, (4,)), "4")
    draws = Estimation().make().kept_draws(6)
    assert table["seconds"][2] == marginalize_seconds(cost, 1, 20, draws)
    one = layers(network, (4,))
    assert one["seconds"][2] == marginalize_seconds(cost, 1, 1, draws)
    assert layers(network, (4,), engine="plain")["seconds"][2] > one["seconds"][2]
    assert "its weight" in layers(network, (4,), engine="plain")["special"][0]


# --- arrays with names


def test_conditionals_become_a_dataset() -> None:
    run = Marginalization(pair(), "hidden", IMAGES, Estimation("monte-carlo", samples=4), units=[4, 1])
    found = run.collect()
    names = [f"picture {number}" for number in range(7)]
    dataset = found.to_xarray(images=names, classes={"word": ["ice", "jam", "map"]})
    assert dict(dataset.sizes) == {"unit": 2, "image": 7, "class_word": 3, "class_basic": 2}
    one = dataset["conditional_word"].sel(unit=1, image="picture 5", class_word="map")
    assert float(one) == found.probabilities[0][1, 5, 2]
    assert (
        float(dataset["conditional_basic"].sel(unit=4, image="picture 0", class_basic=1))
        == found.probabilities[1][0, 0, 1]
    )
    np.testing.assert_array_equal(dataset["effective_samples"].sel(unit=[4, 1]), found.effective_samples)
    assert found.standard_error is not None
    np.testing.assert_array_equal(dataset["standard_error_word"], found.standard_error[0])
    with pytest.raises(InputError, match="images: found 2 names; accepted are 7"):
        found.to_xarray(images=["a", "b"])
    with pytest.raises(InputError, match="classes of word: found 1 names; accepted are 3"):
        found.to_xarray(classes={"word": ["a"]})
    with pytest.raises(InputError, match="classes: found task 'colour'; accepted are word, basic"):
        found.to_xarray(classes={"colour": ["a"]})


def test_a_stored_layer_becomes_the_dataset_that_its_file_is(tmp_path: Path) -> None:
    path = tmp_path / "conv5_7.h5"
    stores.compute(path, tasks=stores.tasks(24))
    found = read_conditionals(path).to_xarray()
    with xarray.open_dataset(path, engine="h5netcdf") as stored:
        shared = [name for name in stored.data_vars if not str(name).startswith("target_")]
        assert set(shared) == set(found.data_vars)
        for name in shared:
            assert stored[name].dims == found[name].dims
            np.testing.assert_array_equal(stored[name], found[name])
    assert found.attrs["alias"] == "conv5"


def test_a_missing_xarray_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *given: Any, **named: Any) -> Any:
        if name == "xarray":
            raise ImportError("No module named 'xarray'")
        return real(name, *given, **named)

    found = lesion(pair(), "hidden", IMAGES)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"to_xarray needs the package xarray .*pip install xarray\.$"):
        found.to_xarray()


# --- arrays for other tools


def test_layers_are_exported_in_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "conv5_7.h5"
    stores.compute(path, tasks=stores.tasks(24))
    layer = read_conditionals(path)
    wanted = weight_of_evidence(
        layer.predictions["word"], layer.conditionals["word"], laplace="paper", classes=layer.classes["word"]
    )
    for name in ("x.npz", "x.mat", "folder", "folder"):
        assert main(["export", "--conditionals", str(path), "--output", str(tmp_path / name)]) == 0
    with np.load(tmp_path / "x.npz") as stored:
        np.testing.assert_array_equal(stored["conv5_word"], wanted)
        np.testing.assert_array_equal(stored["conv5_units"], layer.units)
        assert sorted(stored) == ["conv5_basic", "conv5_units", "conv5_word"]
    np.testing.assert_array_equal(loadmat(tmp_path / "x.mat")["conv5_word"], wanted)
    np.testing.assert_array_equal(np.load(tmp_path / "folder/conv5_word.npy"), wanted)
    for what, values in (("contributions", np.abs(wanted.mean(axis=1))), ("conditionals", layer.conditionals["word"])):
        given = ["--what", what, "--output", str(tmp_path / f"{what}.npz")]
        assert main(["export", "--conditionals", str(path), *given]) == 0
        with np.load(tmp_path / f"{what}.npz") as stored:
            np.testing.assert_allclose(stored["conv5_word"], values)
    capsys.readouterr()
    assert main(["export", "--conditionals", str(path), "--what", "all", "--output", str(tmp_path / "y.npz")]) == 2
    assert "what: found 'all'; accepted are evidence, contributions, conditionals" in capsys.readouterr().err
    with pytest.raises(InputError, match="found two of conv5_word"):
        layer_arrays([layer, layer])


def test_names_become_those_that_matlab_takes(tmp_path: Path) -> None:
    names = matlab_names(["conv5_word", "0.0.10_word", "layer4.1-conv2_word", "a" * 70])
    assert list(names.values()) == ["conv5_word", "x_0_0_10_word", "layer4_1_conv2_word", "a" * 63]
    with pytest.raises(InputError, match=r"a\.b and a-b would both be called a_b"):
        matlab_names(["a-b", "a.b"])
    export_arrays({"0.1_word": np.arange(3)}, tmp_path / "x.mat")
    assert loadmat(tmp_path / "x.mat")["x_0_1_word"].ravel().tolist() == [0, 1, 2]


def test_a_table_of_layers_needs_no_run_of_the_network() -> None:
    code = """
import torch
from featuresharing import layers
with torch.device("meta"):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(288, 4))
print(layers(network.eval(), 8)["units"].tolist())
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[8, 4]\n"
