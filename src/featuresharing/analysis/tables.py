"""Tables of contributions and sharing, from the conditionals of layers."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from featuresharing.analysis.evidence import METHODS, Array, contribution
from featuresharing.analysis.sharing import bootstrap_sharing
from featuresharing.errors import InputError
from featuresharing.store import LayerConditionals

CONTRIBUTION_COLUMNS = (
    "experiment",
    "checkpoint",
    "layer",
    "unit",
    "task",
    "contribution",
    "effective_samples",
    "skipped_mass",
)
SHARING_COLUMNS = ("experiment", "checkpoint", "layer", "task_a", "task_b", "sharing", "low", "high", "spearman")


def layer_evidence(layer: LayerConditionals, *, method: str, laplace: str) -> dict[str, Array]:
    """Return by task the evidence [F, N] at the true class, with one of :data:`.evidence.METHODS`.

    Raises InputError that names experiment, checkpoint, layer and task for values that have none.
    """
    found: dict[str, Array] = {}
    for task, conditionals in layer.conditionals.items():
        settings: dict[str, Any] = {"laplace": laplace, "classes": layer.classes[task]}
        try:
            found[task] = METHODS[method](layer.predictions[task], conditionals, **settings)
        except InputError as error:
            raise InputError(f"{' '.join(_place(layer))}, task '{task}', {error}") from None
    return found


def layer_contributions(layer: LayerConditionals, *, method: str, laplace: str) -> dict[str, Array]:
    """Return by task the contribution [F] of every unit."""
    return {
        task: contribution(values) for task, values in layer_evidence(layer, method=method, laplace=laplace).items()
    }


def contribution_rows(layer: LayerConditionals, *, method: str, laplace: str) -> Iterator[tuple[Any, ...]]:
    """Yield a row of :data:`CONTRIBUTION_COLUMNS` for every unit and task."""
    contributions = layer_contributions(layer, method=method, laplace=laplace)
    for row, unit in enumerate(layer.units):
        for task, values in contributions.items():
            yield (
                *_place(layer),
                int(unit),
                task,
                float(values[row]),
                float(layer.effective_samples[row]),
                float(layer.skipped_mass[row]),
            )


def sharing_rows(
    layer: LayerConditionals, *, method: str, laplace: str, resamples: int, seed: int
) -> Iterator[tuple[Any, ...]]:
    """Yield a row of :data:`SHARING_COLUMNS` for every pair of tasks."""
    evidence = layer_evidence(layer, method=method, laplace=laplace)
    for first, second in combinations(evidence, 2):
        result = bootstrap_sharing(evidence[first], evidence[second], resamples=resamples, seed=seed)
        yield (*_place(layer), first, second, result.sharing, result.low, result.high, result.spearman)


def _place(layer: LayerConditionals) -> tuple[str, str, str]:
    return tuple(str(layer.attributes[name]) for name in ("experiment", "checkpoint", "alias"))  # type: ignore[return-value]
