"""What jobs will take: minutes and memory, from the description of a network, without torch.

Time is proportional to what is multiplied and written, which :mod:`featuresharing.engine.cost` counts for any network.
docs/scaling.md measures how well this predicts.
"""

from dataclasses import dataclass
from math import ceil, prod

from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.settings import JobSettings

SECONDS_PER_MULTIPLY_ADD = 7.6e-12
SECONDS_PER_NUMBER = 1.3e-9
SECONDS_PER_DRAWN_NUMBER = 7.2e-8
SECONDS_PER_WEIGHED_NUMBER = 1.0e-8
SECONDS_PER_RESULT = 3.8e-6
"""Fitted on one core of a server (AMD EPYC with AVX-512); a result is one unit on one image."""

START_SECONDS = 5.0
"""What a job takes before it computes: Python, torch, images, the predictions of the intact network."""

SLOWER = 4.0
"""How much slower than predicted a machine may be before a job runs out of time."""

BASE_MB = 1200
"""Memory of Python, torch, values in work, and what is not counted."""


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


def job_minutes(seconds: float, attempt: int = 1) -> int:
    """Return the time limit of a job that is predicted to take ``seconds``, doubled with every attempt."""
    first = 4 + ceil((START_SECONDS + SLOWER * seconds) / 60)
    return int(first * 2 ** (attempt - 1))


def job_mb(network: NetworkDescription, images: int, attempt: int = 1, *, full: bool = False) -> int:
    """Return the memory limit in MB of a marginalize job, doubled with every attempt; ``full`` keeps every class."""
    parameters = 4 * network.parameters
    pictures = 4 * images * prod(network.input_shape)
    written = 16 * 512 * sum(network.heads.values()) * (images if full else 1)
    needed = BASE_MB + (4 * parameters + 3 * pictures + written) / 2**20
    return int(ceil(needed / 500) * 500 * 2 ** (attempt - 1))


def unit_blocks(units: int, most: int) -> list[str]:
    """Cut a layer's units into blocks of at most ``most``, named by their first and last unit."""
    return [f"{first}-{min(first + most, units) - 1}" for first in range(0, units, most)]
