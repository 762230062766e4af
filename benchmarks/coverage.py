"""Measure the statistics of sharing on data made with known sharing.

Do 95 % intervals hold the truth in 95 % of cases, and do tests at 5 % find something in 5 % of cases where there is
nothing? Layers are made like those of the demo: how uneven contributions are over units, how much the evidence of an
image differs from its mean, with heavy tails, and how much units, tasks and layers have in common (KINDS). ``--small``
makes few of them.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from featuresharing import permutation_null
from featuresharing.analysis.chance import unit_orders
from featuresharing.analysis.image_resampling import PairEvidence
from featuresharing.analysis.over_networks import Networks, interval_over_networks, mean_p
from featuresharing.analysis.overlap import MEASURES, SHARING
from featuresharing.analysis.pair_overlap import PairOverlap, overlap_of_pair
from featuresharing.analysis.trends import Chances, Row, excess_difference, slope_difference, slope_of
from featuresharing.randomness import keyed_generator

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Kind:
    """A layer of ``units``.

    ``uneven`` is the deviation of log contributions over units, ``alike`` their correlation between tasks; ``noise`` is
    the deviation of a unit's evidence over images, in multiples of its mean, and ``together`` its correlation between
    tasks.
    """

    units: int
    uneven: float
    alike: float
    noise: float
    together: float


KINDS = {
    "conv1, related": Kind(32, 0.3, 0.9, 0.8, 0.8),
    "conv5, related": Kind(48, 0.7, 0.85, 1.3, 0.7),
    "fc6, related": Kind(256, 1.2, 0.85, 3.5, 0.6),
    "fc7, related (near zero)": Kind(256, 1.2, 0.85, 6, 0.3),
    "conv1, unrelated": Kind(32, 0.4, 0, 1, 0),
    "conv5, unrelated": Kind(48, 0.9, 0, 1.65, 0),
    "fc6, unrelated": Kind(256, 1.2, 0, 3.5, 0.15),
}
"""Layers as in a run of the demo."""

UNITS, UNEVEN, NOISE = (
    (32, 48, 64, 64, 48, 64, 64),
    (0.3, 0.5, 0.7, 0.8, 0.9, 1.1, 1.1),
    (0.8, 1, 1, 1.2, 1.5, 2.5, 2.5),
)
"""Seven layers of a network."""


def line(alike: float, slope: float, together: float) -> list[Kind]:
    """Return the layers of a network whose tasks are ``alike``, and more so by ``slope`` a layer."""
    kinds = zip(UNITS, UNEVEN, NOISE, strict=True)
    return [
        Kind(units, uneven, alike + slope * place, noise, together)
        for place, (units, uneven, noise) in enumerate(kinds)
    ]


RELATED, UNRELATED = line(0.9, -0.03, 0.7), line(0.3, -0.1, 0.1)
EVEN = [replace(RELATED[3], alike=0.5)] * 7
"""Seven layers of one kind: there is no trend."""


class Made(NamedTuple):
    """Evidence [U, N] of two tasks, and their true contributions [U]."""

    evidence: Pair
    contributions: Pair


def make(kind: Kind, images: int, rng: np.random.Generator, common: NDArray[np.float64] | None = None) -> Made:
    """Make a layer; ``common`` [N, 2] is what all layers of a network have in common, by image and task."""
    logs = rng.standard_normal((2, kind.units))
    second = kind.alike * logs[0] + math.sqrt(1 - kind.alike**2) * logs[1]
    contributions = np.exp(kind.uneven * logs[0]), np.exp(kind.uneven * second)
    shared = _noise(images, kind.units, rng, None)
    share = math.sqrt(kind.together), math.sqrt(1 - kind.together)
    noises = [
        share[0] * shared + share[1] * _noise(images, kind.units, rng, None if common is None else common[:, task])
        for task in (0, 1)
    ]
    evidence = [own * (1 + kind.noise * _heavy(noise)) for own, noise in zip(contributions, noises, strict=True)]
    return Made((evidence[0].T, evidence[1].T), contributions)


def _noise(
    images: int, units: int, rng: np.random.Generator, common: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return normal noise [N, U], a tenth of which all units have in common."""
    factor = rng.standard_normal(images) if common is None else common
    return math.sqrt(0.1) * factor[:, None] + math.sqrt(0.9) * rng.standard_normal((images, units))


def _heavy(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return noise with heavier tails (excess kurtosis of 4), of variance 1."""
    return np.sinh(0.6 * noise) / math.sqrt((math.exp(0.72) - 1) / 2)


@dataclass(frozen=True)
class Study:
    """How much is made and drawn."""

    sets: int
    images: int = 60
    resamples: int = 500
    permutations: int = 500

    def measured(self, made: Made, seed: int, *, measures: tuple[str, ...] = (SHARING,)) -> PairOverlap:
        """Return what is computed of a layer."""
        pair = PairEvidence(*made.evidence)
        orders, exact = unit_orders(len(pair.means[0]), permutations=self.permutations, seed=seed)
        rng = keyed_generator(seed, "coverage")
        return overlap_of_pair(pair, orders, exact=exact, resamples=self.resamples, rng=rng, measures=measures)

    def network(self, kinds: list[Kind], rng: np.random.Generator, seed: int) -> tuple[list[float], Row]:
        """Return the true excess sharing of a network's layers, and the row of what is computed of them."""
        common = rng.standard_normal((self.images, 2))
        made = [make(kind, self.images, rng, common) for kind in kinds]
        found = [self.measured(each, seed) for each in made]
        values = np.array([[each.excess for each in found]])
        samples = np.array([[each.excess_samples for each in found]])
        return [self.excess(each.contributions) for each in made], Row("", (1,), values, samples)

    def excess(self, contributions: Pair) -> float:
        """Return the true excess sharing."""
        return permutation_null(*contributions, permutations=self.permutations).excess

    def experiment(self, kinds: list[Kind], networks: int, rng: np.random.Generator, seed: int, name: str) -> Row:
        """Return the row of several networks of an experiment."""
        rows = [self.network(kinds, rng, 1000 * seed + number)[1] for number in range(networks)]
        values, samples = (np.concatenate([getattr(row, each) for row in rows]) for each in ("values", "samples"))
        return Row(name, tuple(range(networks)), values, samples)

    def population(self, kinds: list[Kind], rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the mean true excess sharing of each layer over very many networks."""
        count = 4 * self.sets
        return np.array(
            [np.mean([self.excess(make(kind, 2, rng).contributions) for _ in range(count)]) for kind in kinds]
        )


Outcome = dict[str, tuple[bool, float]]
"""By the name of a number, whether its interval holds the truth (or its test finds something), and its error."""


def holds(interval: tuple[float, float], truth: float, value: float) -> tuple[bool, float]:
    """Return whether an interval holds the truth, and how far the value is above it."""
    return interval[0] <= truth <= interval[1], value - truth


def one_layer(kind: Kind, study: Study, rng: np.random.Generator, seed: int) -> Outcome:
    """Return the outcome of a layer: all measures, and the excess."""
    made = make(kind, study.images, rng)
    found = study.measured(made, seed, measures=tuple(MEASURES))
    outcome = {}
    for name, measure in MEASURES.items():
        truth = float(measure.of(*map(measure.prepare, made.contributions)))
        outcome[name] = holds(found.intervals[name], truth, found.chances[name].value)
    outcome["excess"] = holds(found.excess_interval, study.excess(made.contributions), found.excess)
    if kind.alike == 0:
        outcome |= {f"test: {name}": (chance.p < 0.05, 0.0) for name, chance in found.chances.items()}
    return outcome


PLACES = np.arange(7.0)


def slope(values: Any) -> float:
    """Return the slope of values [7] over layers."""
    return float(np.polyfit(PLACES, values, 1)[0])


def at_layer(row: Row) -> Row:
    """Return the row of the fifth layer alone."""
    return Row(row.experiment, row.replicates, row.values[:, 4:5], row.samples[:, 4:5])


def one_network(study: Study, rng: np.random.Generator, seed: int) -> Outcome:
    """Return the outcome of trends with one network an experiment."""
    chances = Chances(study.permutations, seed)
    (first_truth, first), (second_truth, second) = (
        study.network(kinds, rng, 2 * seed + number) for number, kinds in enumerate((UNRELATED, RELATED))
    )
    first, second = replace(first, experiment="a"), replace(second, experiment="b")
    trend, difference = slope_of(first, PLACES, chances), slope_difference(first, second, PLACES, chances)
    layer = excess_difference(at_layer(first), at_layer(second), chances)
    outcome = {
        "slope": holds((trend.low, trend.high), slope(first_truth), trend.value),
        "difference of slopes": holds(
            (difference.low, difference.high), slope(first_truth) - slope(second_truth), difference.value
        ),
        "difference in a layer": holds((layer.low, layer.high), first_truth[4] - second_truth[4], layer.value),
    }
    even = [replace(study.network(EVEN, rng, 5 * seed + number)[1], experiment=str(number)) for number in (2, 3)]
    same = [replace(study.network(RELATED, rng, 7 * seed + number)[1], experiment=str(number)) for number in (2, 3)]
    return outcome | {
        "test: slope": (slope_of(even[0], PLACES, chances).p < 0.05, 0.0),
        "test: difference of slopes": (slope_difference(*same, PLACES, chances).p < 0.05, 0.0),
    }


def several_networks(
    networks: int, truths: dict[str, NDArray[np.float64]], study: Study, rng: np.random.Generator, seed: int
) -> Outcome:
    """Return the outcome of several networks an experiment, whose populations have the ``truths``."""
    chances = Chances(study.permutations, seed)
    first = study.experiment(UNRELATED, networks, rng, 2 * seed, "a")
    second = study.experiment(RELATED, networks, rng, 2 * seed + 1, "b")
    again = study.experiment(RELATED, networks, rng, 2 * seed + 10**6, "c")
    trend, difference = slope_of(first, PLACES, chances), slope_difference(first, second, PLACES, chances)
    true = slope(truths["unrelated"]), slope(truths["related"])
    layer = Networks(first.values[:, 4], first.samples[:, 4], "a")
    at = [at_layer(row) for row in (first, second, again)]
    gap = excess_difference(at[0], at[1], chances)
    apart = truths["unrelated"][4] - truths["related"][4]
    even = study.experiment(EVEN, networks, rng, 2 * seed + 2 * 10**6, "d")
    return {
        "excess in a layer": holds(interval_over_networks([layer], seed=seed), truths["unrelated"][4], layer.mean),
        "slope": holds((trend.low, trend.high), true[0], trend.value),
        "difference of slopes": holds((difference.low, difference.high), true[0] - true[1], difference.value),
        "difference in a layer": holds((gap.low, gap.high), apart, gap.value),
        "test: slope": (slope_of(even, PLACES, chances).p < 0.05, 0.0),
        "test: difference of slopes": (slope_difference(second, again, PLACES, chances).p < 0.05, 0.0),
        "test: difference in a layer": (excess_difference(at[1], at[2], chances).p < 0.05, 0.0),
        "test: mean excess": (mean_p(layer.values - truths["unrelated"][4]) < 0.05, 0.0),
    }


def scenarios(study: Study, small: bool) -> Iterator[tuple[str, Study, Callable[..., Outcome]]]:
    """Yield the scenarios by name, those of few images last."""
    fewer = replace(study, resamples=200, permutations=199)
    for name, kind in KINDS.items():
        yield f"{name}, 60 images", study, partial(one_layer, kind)
    yield "one network an experiment", fewer, one_network
    rng = keyed_generator(0, "population")
    truths = {"unrelated": fewer.population(UNRELATED, rng), "related": fewer.population(RELATED, rng)}
    for networks in (2,) if small else (5, 3, 2):
        yield f"{networks} networks an experiment", fewer, partial(several_networks, networks, truths)
    for images in () if small else (20, 240):
        for name, kind in KINDS.items():
            yield f"{name}, {images} images", replace(study, images=images), partial(one_layer, kind)


def report(name: str, study: Study, outcome: Callable[..., Outcome]) -> Iterator[str]:
    """Yield a row of the table for every number of a scenario."""
    rng = keyed_generator(study.images, name)
    found = [outcome(study, rng, number) for number in range(study.sets)]
    for key in found[0]:
        share = float(np.mean([each[key][0] for each in found]))
        error = 1.96 * math.sqrt(max(share * (1 - share), 0.01) / study.sets)
        bias = float(np.mean([each[key][1] for each in found]))
        yield f"| {name} | {key} | {share:.3f} ± {error:.3f} | {'' if key.startswith('test') else f'{bias:+.3f}'} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=500, help="made data sets of every scenario")
    parser.add_argument("--only", default="", help="scenarios whose name has this")
    parser.add_argument("--small", action="store_true", help="few, to see that it runs")
    options = parser.parse_args()
    study = Study(4 if options.small else options.sets)
    print("| scenario | number | interval holds the truth, or test finds something | mean error |\n|---|---|---|---|")
    for name, of, outcome in scenarios(study, options.small):
        if options.only in name:
            for row in report(name, of, outcome):
                print(row, flush=True)


if __name__ == "__main__":
    main()
