"""What jobs will take: minutes, memory and units, from the description of a network, without torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, prod

import numpy as np

from featuresharing.estimators.durations import SECONDS_PER_MULTIPLY_ADD, LayerCost, layer_cost, marginalize_seconds
from featuresharing.estimators.estimator import Estimator
from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.settings import Config

START_SECONDS = 2.0
"""What a job takes before it computes: Python, torch, images, the predictions of the intact network."""

SLOWER = 4.0
"""How much slower than predicted a machine may be before a job runs out of time."""

BASE_MB = 1200
"""Memory of Python, torch, values in work, and what is not counted."""


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


def predict_mb(network: NetworkDescription, attempt: int = 1) -> int:
    """Return the memory limit in MB of a job that predicts images, some hundreds at a time, doubled with every attempt.

    The first convolutions of usual networks write some sixteen numbers for each of an image.
    """
    needed = BASE_MB + 4 * (2 * network.parameters + 256 * 16 * prod(network.input_shape)) / 2**20
    return int(max(2000, ceil(needed / 500) * 500) * 2 ** (attempt - 1))


def unit_blocks(units: int, most: int) -> list[str]:
    """Cut a layer's units into blocks of at most ``most``, named by their first and last unit."""
    return [f"{first}-{min(first + most, units) - 1}" for first in range(0, units, most)]


@dataclass(frozen=True)
class LayerJobs:
    """The jobs of the layer ``alias``, at a module ``path`` of a ``network``, under a ``config`` and its estimator."""

    config: Config
    estimator: Estimator
    network: NetworkDescription
    alias: str
    path: str

    @property
    def cost(self) -> LayerCost:
        """What the layer costs."""
        return layer_cost(self.network, self.path)

    @property
    def units(self) -> int:
        """How many units one job computes at most."""
        units = self.config.jobs.units
        return (units if isinstance(units, int) else (units or {}).get(self.alias)) or self.cost.units

    @property
    def blocks(self) -> list[str]:
        """The blocks of units, one a job."""
        return unit_blocks(self.cost.units, self.units)

    def seconds(self, units: int) -> float:
        """Return how long so many units are predicted to take."""
        cost, images, threads = self.cost, self.config.baseline.max_images, self.config.jobs.threads
        draws, weighed = self.estimator.kept_draws(cost.size), self.estimator.weighed_draws()
        return marginalize_seconds(cost, units, images, draws, weighed=weighed, threads=threads)

    def mb(self, attempt: int = 1) -> int:
        """Return the memory limit of a marginalize job in MB."""
        full = self.config.marginalization.storage == "full"
        return job_mb(self.network, self.config.baseline.max_images, attempt, full=full)

    def disk(self) -> int:
        """Return how many bytes the layer's file has at most; that of every class is compressed."""
        images, heads = self.config.baseline.max_images, self.network.heads.values()
        full = self.config.marginalization.storage == "full"
        scores = sum(heads) if full else len(heads)
        columns = self.estimator.gives()
        by_image = 4 * scores + sum(
            np.dtype(column.kind).itemsize * (scores if column.per == "class" else 1)
            for column in columns
            if column.per != "unit"
        )
        by_unit = 8 * (1 + sum(column.per == "unit" for column in columns))
        return self.cost.units * (images * by_image + by_unit) + images * (4 * scores + 8 * len(heads) + 8)

    def lesion_seconds(self) -> float:
        """Return how long it is predicted to take at most to remove units in every order."""
        lesions = self.config.lesions
        passes = (lesions.random_orders + 3) * (lesions.steps + 1)
        # a pass through the network behind the layer is no more than one through all of it
        seconds = SECONDS_PER_MULTIPLY_ADD * self.cost.forward * self.config.baseline.max_images * passes
        return seconds / self.config.jobs.threads

    def lesion_minutes(self, attempt: int = 1) -> int:
        """Return the time limit of a job that removes units in every order."""
        return job_minutes(self.lesion_seconds(), attempt)

    def feature_minutes(self, attempt: int = 1) -> int:
        """Return the time limit of a job that finds the images that drive units."""
        # a gradient takes two passes back for each forward; behind the layer there is nothing to do
        passes = 3 * self.cost.units * self.config.features.iterations
        return job_minutes(SECONDS_PER_MULTIPLY_ADD * self.cost.forward * passes / self.config.jobs.threads, attempt)


def marginalize_minutes(jobs: Iterable[LayerJobs], attempt: int = 1) -> int:
    """Return the time limit of marginalize jobs: one for all, since blocks of an array share that of the first."""
    return job_minutes(max(each.seconds(min(each.units, each.cost.units)) for each in jobs), attempt)
