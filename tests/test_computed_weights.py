"""Layers whose weights are computed from other parameters: the computed weight is the layer's."""

import copy
import io
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from featuresharing import InputError, lesion, marginalize, maximize_units, prior_draws
from featuresharing.networks.layers import find_layer
from featuresharing.settings import FeatureSettings
from tests.support.naive import marginalize_naively

torch.set_num_threads(1)

SAMPLES = 3


class Squash(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight.tanh()


def squash(layer: nn.Module) -> nn.Module:
    parametrizations.weight_norm(layer)
    parametrize.register_parametrization(layer, "bias", Squash())
    return layer


def prune_both(layer: nn.Module) -> nn.Module:
    prune.l1_unstructured(layer, "weight", 0.4)
    prune.random_unstructured(layer, "bias", 0.4)
    return layer


def older(function: Callable[[nn.Module], nn.Module]) -> Callable[[nn.Module], nn.Module]:
    def wrap(layer: nn.Module) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return function(layer)

    return wrap


def replace_by_tensor(layer: nn.Module) -> nn.Module:
    weight = layer.weight.detach() * 2
    del layer.weight
    layer.weight = weight
    return layer


WAYS = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "weight and bias": squash,
    "weight norm by a hook": older(nn.utils.weight_norm),
    "spectral norm by a hook": older(nn.utils.spectral_norm),
    "pruning": prune_both,
}


@pytest.fixture(params=WAYS)
def network(request: pytest.FixtureRequest) -> Iterator[nn.Sequential]:
    """A network in training mode, whose computed attributes are not those of evaluation."""
    way = WAYS[request.param]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = way(nn.Conv2d(4, 5, 3)), way(nn.Linear(5 * 16, 6))
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), first, nn.ReLU(), nn.Flatten(), second, nn.Tanh())
        network.append(nn.Linear(6, 3)).double()
        with torch.no_grad():
            for _ in range(3):
                network(torch.randn(2, 3, 8, 8).double())
        yield network.train()


def made_plain(network: nn.Sequential) -> nn.Sequential:
    """Return a network of plain layers with the weights that are computed at evaluation, found by running it."""
    found = copy.deepcopy(network).eval()
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    for path in ("2", "5"):
        found.get_submodule(path).register_forward_hook(
            lambda module, *_, path=path: seen.update({path: (module.weight.clone(), module.bias.clone())})
        )
    with torch.no_grad():
        found(torch.zeros(1, 3, 8, 8).double())
    layers = list(found)
    for path, kind in (("2", nn.Conv2d(4, 5, 3)), ("5", nn.Linear(5 * 16, 6))):
        layers[int(path)] = kind.double()
        with torch.no_grad():
            kind.weight.copy_(seen[path][0])
            kind.bias.copy_(seen[path][1])
    return nn.Sequential(*layers)


@pytest.mark.parametrize("engine", ["one-channel", "plain"])
def test_computed_weights_are_those_of_a_plain_layer(network: nn.Sequential, engine: str) -> None:
    images = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    own = copy.deepcopy(network.state_dict())
    plain = made_plain(network)
    for path in ("0", "2", "5"):
        draws = [prior_draws(network, path, unit, samples=SAMPLES) for unit in (0, 3)]
        for mine, yours in zip(
            draws, [prior_draws(plain, path, unit, samples=SAMPLES) for unit in (0, 3)], strict=True
        ):
            np.testing.assert_allclose(mine[0], yours[0], rtol=0, atol=1e-14)
        wanted = marginalize_naively(plain, path, images, [0, 3], draws)
        found = marginalize(network, path, images, units=[0, 3], samples=SAMPLES, tolerance=0, engine=engine)
        np.testing.assert_allclose(found.probabilities[0], wanted[0], rtol=0, atol=1e-13)
        np.testing.assert_allclose(
            *(lesion(net, path, images).probabilities[0] for net in (network, plain)), atol=1e-13
        )
    assert all(torch.equal(value, own[name]) for name, value in network.state_dict().items())
    assert network.training
    torch.save(network.state_dict(), io.BytesIO())
    network(images).sum().backward()


def test_images_that_drive_units_are_those_of_a_plain_layer(network: nn.Sequential) -> None:
    settings = FeatureSettings(iterations=4)
    pairs = (maximize_units(net.float(), "2", (3, 8, 8), settings=settings) for net in (network, made_plain(network)))
    for (unit, mine), (other, yours) in zip(*pairs, strict=True):
        assert unit == other
        np.testing.assert_allclose(mine, yours, rtol=1e-3, atol=1e-4)


def test_the_precision_asked_for_is_that_of_the_computation() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = parametrizations.weight_norm(nn.Linear(6, 5))
        network, images = nn.Sequential(layer, nn.Tanh(), nn.Linear(5, 3)).eval(), torch.randn(4, 6)
    double = copy.deepcopy(network).double()
    for engine in ("one-channel", "plain"):
        found = lesion(network, "0", images, dtype="float64", engine=engine).probabilities[0]
        wanted = lesion(double, "0", images.double(), engine="plain").probabilities[0]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


def test_a_tensor_in_the_place_of_a_parameter_is_a_weight() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(replace_by_tensor(nn.Linear(6, 5)), nn.Tanh(), nn.Linear(5, 3)).eval()
        images = torch.randn(4, 6)
    plain = copy.deepcopy(network)
    weight = plain[0].weight
    del plain[0].weight
    plain[0].weight = nn.Parameter(weight)
    for engine in ("one-channel", "plain"):
        pair = [lesion(net, "0", images, engine=engine).probabilities[0] for net in (network, plain)]
        np.testing.assert_allclose(*pair, rtol=0, atol=1e-7)


def test_a_computed_weight_that_is_used_twice_is_refused() -> None:
    network = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)), nn.Tanh())
    network.append(network[0])
    with pytest.raises(InputError, match="layer '0' is used 2 times in one pass"):
        lesion(network, "0", torch.ones(2, 4))


def test_a_plain_layer_stands_for_itself() -> None:
    network = nn.Sequential(nn.Linear(4, 4))
    layer = find_layer(network, "0")[1]
    assert layer.weight.data_ptr() == network[0].weight.data_ptr()
    assert layer.bias is network[0].bias
