"""How long units take, predicted from the description of a network, without torch.

Time is proportional to what is multiplied and written, which :mod:`featuresharing.engine.cost` counts for any network.
docs/scaling.md measures how well this predicts.
"""

from dataclasses import dataclass

from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.settings import JobSettings

SECONDS_PER_MULTIPLY_ADD = 7.6e-12
SECONDS_PER_NUMBER = 1.3e-9
SECONDS_PER_DRAWN_NUMBER = 7.2e-8
SECONDS_PER_WEIGHED_NUMBER = 1.0e-8
SECONDS_PER_RESULT = 3.8e-6
"""Fitted on one core of a server (AMD EPYC with AVX-512); a result is one unit on one image."""

SECONDS_PER_TRAINED_NUMBER = 1.5e-8
"""What training takes for a number that the layers behind the first write of an image: batch norms, pooling, the way
back and the optimiser, from the demo's 45 ms a step on one core, less what is multiplied."""


@dataclass(frozen=True)
class LayerCost:
    """A layer's ``units`` of ``size`` parameters each, and what a variant takes on an image.

    ``variant`` multiply-adds and ``numbers`` written; ``forward`` are the multiply-adds of the whole network.
    """

    units: int
    size: int
    variant: int
    numbers: int
    forward: int


def layer_cost(network: NetworkDescription, path: str) -> LayerCost:
    """Return the cost of the layer at a module path; raises InputError where there is none."""
    layer = network.layer(path)
    return LayerCost(layer.units, layer.size, layer.variant, layer.numbers, network.forward)


def training_seconds(network: NetworkDescription, steps: int, batch_size: int, *, cores: int = 1) -> float:
    """Return how long a training is predicted to take on ``cores``: a pass and twice as much back for every image."""
    numbers = max((layer.numbers for layer in network.layers), default=0)
    image = SECONDS_PER_MULTIPLY_ADD * 3 * network.forward + SECONDS_PER_TRAINED_NUMBER * numbers
    return steps * batch_size * image / cores


def marginalize_seconds(
    cost: LayerCost, units: int, images: int, draws: float, *, weighed: int = 0, threads: int = JobSettings.threads
) -> float:
    """Return how long ``units`` take on ``images`` with ``draws`` variants each, on the machine of the constants.

    ``weighed`` draws of each unit are made only to be weighed.
    """
    variants = units * draws * images
    shared = SECONDS_PER_MULTIPLY_ADD * (variants * cost.variant + images * cost.forward)
    shared += SECONDS_PER_NUMBER * variants * cost.numbers
    alone = SECONDS_PER_DRAWN_NUMBER * units * cost.size + SECONDS_PER_RESULT * units * images
    alone += SECONDS_PER_WEIGHED_NUMBER * units * weighed * cost.size
    return shared / threads + alone
