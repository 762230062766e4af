"""What jobs are predicted to take agrees with what the plans of the networks say."""

import pytest
import torch

from featuresharing.engine.cost import cost_of
from featuresharing.engine.engines import make_engine
from featuresharing.engine.one_channel import OneChannelEngine
from featuresharing.networks.alexnet.architecture import build_alexnet
from featuresharing.networks.alexnet.names import LAYERS
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.networks.layers import unit_size
from featuresharing.workflow.limits import (
    alexnet_costs,
    job_mb,
    job_minutes,
    marginalize_seconds,
    unit_blocks,
)

SHAPES = {
    "demo": AlexNetShape(48, 2, (32, 64, 64, 64, 48), (7, 5, 3, 3, 3), (256, 256), (100, 20)),
    "odd": AlexNetShape(37, 1, (5, 6, 7, 8, 9), (3, 5, 3, 1, 3), (11, 12), (4, 3, 2)),
    "paper": AlexNetShape(224, 4, (96, 256, 384, 384, 256), (11, 5, 3, 3, 3), (4096, 4096), (600, 600), 3, 2),
}


@pytest.mark.parametrize("name", SHAPES)
def test_costs_are_those_of_the_plans(name: str) -> None:
    shape = SHAPES[name]
    costs = alexnet_costs(shape)
    network = build_alexnet(shape).eval()
    for alias, path in LAYERS.items():
        engine = make_engine(network, path, torch.zeros(1, 3, shape.image_size, shape.image_size))
        assert isinstance(engine, OneChannelEngine)
        counted, predicted = cost_of(engine.plan), costs[alias]
        assert (predicted.forward, predicted.numbers) == (counted.forward, counted.numbers)
        assert predicted.variant == counted.variant
        layer = network.get_submodule(path)
        assert (predicted.units, predicted.size) == (len(layer.weight), unit_size(layer))  # type: ignore[arg-type]


def test_time_grows_with_units_images_and_draws_and_shrinks_with_threads() -> None:
    cost = alexnet_costs(SHAPES["demo"])["conv2"]
    whole = marginalize_seconds(cost, 64, 60, 10)
    for other in ((32, 60, 10), (64, 30, 10), (64, 60, 5)):
        assert marginalize_seconds(cost, *other) == pytest.approx(whole / 2, rel=0.05)
    assert whole / 2 < marginalize_seconds(cost, 64, 60, 10, threads=2) < whole


def test_draws_that_are_only_weighed_take_time() -> None:
    cost = alexnet_costs(SHAPES["paper"])["fc6"]
    more = marginalize_seconds(cost, 10, 60, 2, weighed=100) - marginalize_seconds(cost, 10, 60, 2)
    assert more == pytest.approx(10 * 100 * 9217 * 1e-8)


def test_limits_double_with_every_attempt() -> None:
    assert [job_minutes(600, attempt) for attempt in (1, 2, 3)] == [45, 90, 180]
    small, large = (job_mb(SHAPES[name], 600) for name in ("demo", "paper"))
    assert small < large
    assert [job_mb(SHAPES["paper"], 600, attempt) for attempt in (1, 2)] == [large, 2 * large]
    assert job_mb(SHAPES["paper"], 600, full=True) > large


def test_blocks_cover_the_units_of_a_layer() -> None:
    assert unit_blocks(96, 32) == ["0-31", "32-63", "64-95"]
    assert unit_blocks(96, 50) == ["0-49", "50-95"]
    assert unit_blocks(96, 96) == unit_blocks(96, 500) == ["0-95"]
