"""Networks described for the plain engine: by a pass as their code runs it."""

import pytest
import torch
from torch import Tensor, nn

from featuresharing import InputError, describe_network


class Looking(nn.Module):
    """Looks at a number of the images to decide what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.maps(images)
        if float(maps.mean()) > 0:
            maps = maps.relu()
        return self.head(maps.mean(dim=(2, 3)))


def test_a_network_that_looks_at_numbers_is_described_for_the_plain_engine_alone() -> None:
    network = Looking()
    with pytest.raises(InputError):
        describe_network(network, 8)
    found = describe_network(network, 8, engine="plain")
    assert [(layer.path, layer.kind, layer.units, layer.size) for layer in found.layers] == [
        ("maps", "Conv2d", 4, 28),
        ("head", "Linear", 2, 5),
    ]
    assert (found.heads, found.input_shape, found.parameters) == ({"0": 2}, (3, 8, 8), 4 * 28 + 10)
    assert found.forward == 6 * 6 * 4 * 27 + 2 * 4
    assert {layer.variant for layer in found.layers} == {found.forward}


def test_both_ways_say_the_same_of_a_network_that_can_be_traced() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5))
    plain, traced = (describe_network(network, (1, 8, 8), engine=name) for name in ("plain", "one-channel"))
    assert [(each.path, each.units, each.size, each.refused) for each in plain.layers] == [
        (each.path, each.units, each.size, each.refused) for each in traced.layers
    ]
    assert (plain.heads, plain.parameters, plain.forward) == (traced.heads, traced.parameters, traced.forward)
    assert plain.layers[0].variant > traced.layers[0].variant
    assert torch.is_grad_enabled()
