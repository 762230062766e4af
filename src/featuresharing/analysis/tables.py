"""Tidy frames of what units contribute and networks get right; what tasks share is in :mod:`.sharing_tables`.

:mod:`featuresharing.data.columns` says what their columns mean. Texts have the dtype of pandas for texts, counts are
int64, other numbers float64. :func:`featuresharing.data.table_files.write_table` writes a frame.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.evidence import METHODS, Array, contribution
from featuresharing.analysis.sharing import few_images_of_tasks
from featuresharing.data.columns import ACCURACY, CONTRIBUTIONS, LESIONS
from featuresharing.data.table_files import frame_of
from featuresharing.errors import InputError
from featuresharing.replicates import check_replicate, network_label
from featuresharing.settings import EvidenceSettings, check

if TYPE_CHECKING:
    from pandas import DataFrame

    from featuresharing.networks.predictions import Predictions
    from featuresharing.store import LayerConditionals

Say = Callable[[str], object]
"""What is told a sentence."""

ROUNDING = 1e-6
"""By how much a conditional may differ from a prediction that its unit does not change, in float32."""


def layer_evidence(layer: "LayerConditionals", *, method: str, laplace: str) -> dict[str, Array]:
    """Return by task the evidence [F, N] at the true class, with one of :data:`.evidence.METHODS`.

    It is NaN on images that are not of the task, which are NaN in the layer. Raises InputError that names experiment,
    checkpoint, layer and task for values that have none.
    """
    check(EvidenceSettings, "method", method)
    found: dict[str, Array] = {}
    for task, conditionals in layer.conditionals.items():
        settings: dict[str, Any] = {"laplace": laplace, "classes": layer.classes[task]}
        try:
            found[task] = _evidence(METHODS[method], layer.predictions[task], conditionals, settings)
        except InputError as error:
            raise InputError(f"{place_in_words(*layer.place)}, task '{task}', {error}") from None
    return found


def _evidence(method: Callable[..., Array], predictions: Array, conditionals: Array, settings: dict[str, Any]) -> Array:
    present = ~np.isnan(predictions)
    if present.all() or not present.any():
        return method(predictions, conditionals, **settings)
    found = np.full(conditionals.shape, np.nan)
    found[:, present] = method(predictions[present], conditionals[:, present], **settings)
    return found


def layer_contributions(layer: "LayerConditionals", *, method: str, laplace: str) -> dict[str, Array]:
    """Return by task the contribution [F] of every unit."""
    return {
        task: contribution(values) for task, values in layer_evidence(layer, method=method, laplace=laplace).items()
    }


def layer_errors(
    layer: "LayerConditionals", evidence: Mapping[str, Array], *, method: str, laplace: str
) -> dict[str, Array]:
    """Return by task by how much at most the contribution [F] of a unit is off, since draws were left out.

    ``evidence`` is the layer's. A conditional lies in [q, q + m], where m is the mass left out, and evidence falls with
    it: the mean over images is off by the mean of these differences at most.
    """
    skipped = layer.skipped
    if not skipped.any():
        return {task: np.zeros(len(layer.units)) for task in evidence}
    raised = {task: np.minimum(values + skipped, 1) for task, values in layer.conditionals.items()}
    least = layer_evidence(replace(layer, conditionals=raised), method=method, laplace=laplace)
    return {
        task: np.maximum(np.nanmean(values - least[task], axis=1, dtype=np.float64), 0)
        for task, values in evidence.items()
    }


def contribution_table(
    layers: "Iterable[LayerConditionals]",
    *,
    method: str = EvidenceSettings.method,
    laplace: str = EvidenceSettings.laplace,
    say: Say = warnings.warn,
) -> "DataFrame":
    """Return what every unit of the layers contributes to every task: a row a unit and task.

    Columns are ``experiment``, ``replicate``, ``checkpoint``, ``layer``, ``unit``, ``task``, ``contribution`` (bits),
    ``effective_samples``, ``skipped_mass`` and ``error`` (:func:`layer_errors`). ``say`` is told which experiments have
    few images. Raises InputError for conditionals that have no evidence.

    >>> from featuresharing import contribution_table, read_conditionals
    >>> frame = contribution_table(map(read_conditionals, paths))  # such as results/marginal/object_text/conv5_*.h5
    >>> frame.groupby(["layer", "task"])["contribution"].mean().round(2).to_dict()
    {('conv5', 'basic'): 0.63, ('conv5', 'word'): 0.42}
    """

    def rows() -> Iterator[tuple[Any, ...]]:
        for layer in warned(layers, say):
            evidence = layer_evidence(layer, method=method, laplace=laplace)
            contributions = {task: contribution(values) for task, values in evidence.items()}
            errors = layer_errors(layer, evidence, method=method, laplace=laplace)
            for row, unit in enumerate(layer.units):
                said = layer.effective_samples[row], layer.skipped_mass[row]
                for task, values in contributions.items():
                    yield *layer.place, unit, task, values[row], *said, errors[task][row]

    return frame_of(CONTRIBUTIONS, rows())


def accuracy_table(predictions: "Iterable[Predictions]") -> "DataFrame":
    """Return how many images networks get right: a row a network and task.

    Columns are ``experiment``, ``replicate``, ``checkpoint``, ``step``, ``task``, ``accuracy`` (a share)
    and ``images``, both of the images that are of the task. Raises InputError for a task without images.

    >>> from featuresharing.networks.predictions import Predictions
    >>> probabilities = {"word": np.array([[0.2, 0.8], [0.6, 0.4]])}
    >>> found = Predictions(probabilities, {"word": np.array([1, 1])}, 10, experiment="demo", checkpoint="010")
    >>> accuracy_table([found])["accuracy"].tolist()
    [0.5]
    """
    rows = (
        (each.experiment, each.replicate, each.checkpoint, each.step, task, float(right.mean()), len(right))
        for each in predictions
        for task, right in _right(each)
    )
    return frame_of(ACCURACY, rows)


def _right(predictions: "Predictions") -> "Iterator[tuple[str, NDArray[np.bool_]]]":
    """Yield each task, and which of its images are right; raises InputError for a task without images."""
    for task, present in predictions.present().items():
        if not present.any():
            place = (
                place_in_words(predictions.experiment, predictions.replicate, predictions.checkpoint) or "predictions"
            )
            raise InputError(f"{place}: found no image of task '{task}'; accepted is one at least.")
        yield task, predictions.right()[task][present]


def lesion_table(
    place: tuple[str, int, str, str],
    orders: Sequence[str],
    tasks: Sequence[str],
    removed: NDArray[np.int64],
    accuracy: NDArray[np.float64],
    random: NDArray[np.float64],
    chance: Sequence[float] | NDArray[np.float64] | None = None,
) -> "DataFrame":
    """Return how the accuracy of every task falls as a layer's units are removed in several orders.

    ``place`` is experiment, replicate, checkpoint and layer. ``removed`` [C] are numbers of removed units, of which the
    last is all; ``accuracy`` [orders, C, tasks] are the accuracies after ``orders``, each named after the task whose
    strongest units go first; ``random`` [R, C, tasks] those after random orders; ``chance`` [tasks] the accuracies
    without any unit's help (:func:`.guessing.chance_accuracy`). Columns are ``experiment``, ``replicate``,
    ``checkpoint``, ``layer``, ``order``, ``task``, ``removed``, ``fraction``, ``accuracy``, ``random_mean``,
    ``random_low`` and ``random_high`` (2.5 and 97.5 % quantiles), ``chance``, ``p`` (:func:`.deviation.rank_p_values`)
    and ``p_corrected`` (:func:`.deviation.corrected_p_values`). Raises InputError for fewer than two random orders.

    >>> place, removed = ("demo", 1, "010", "conv5"), np.array([0, 2])
    >>> accuracy, random = np.array([[[1.0], [0.25]]]), np.array([[[1.0], [0.5]], [[1.0], [1.0]]])
    >>> frame = lesion_table(place, ["word"], ["word"], removed, accuracy, random)
    >>> frame[["removed", "fraction", "accuracy", "random_mean"]].to_dict("list")
    {'removed': [0, 2], 'fraction': [0.0, 1.0], 'accuracy': [1.0, 0.25], 'random_mean': [1.0, 0.75]}
    """
    from featuresharing.analysis.deviation import corrected_p_values, rank_p_values

    removed, accuracy, random = np.asarray(removed), np.asarray(accuracy), np.asarray(random)
    guessed = np.full(len(tasks), np.nan) if chance is None else np.asarray(chance, np.float64)
    if len(place) != 4 or isinstance(place, str):
        raise InputError(f"place: found {place!r}; accepted are experiment, replicate, checkpoint and layer.")
    check_replicate(place[1])
    for name, array, orders_of in (("accuracy", accuracy, [len(orders)]), ("random", random, [*random.shape[:1]])):
        wanted = [*orders_of, len(removed), len(tasks)]
        if list(array.shape) != wanted:
            raise InputError(f"{name}: found {list(array.shape)}; accepted is [orders, counts, tasks]: {wanted}.")
    if guessed.shape != (len(tasks),):
        raise InputError(f"chance: found {list(guessed.shape)}; accepted is [tasks]: {[len(tasks)]}.")

    def rows() -> Iterator[tuple[Any, ...]]:
        low, high = np.quantile(random, [0.025, 0.975], axis=0)
        for order, found in zip(orders, accuracy, strict=True):
            p, corrected = rank_p_values(found, random), corrected_p_values(found, random)
            for column, task in enumerate(tasks):
                for row, count in enumerate(removed):
                    at = row, column
                    # one column at a time: sums of strided numbers are rounded differently
                    band = random[:, row, column].mean(), low[at], high[at], guessed[column]
                    yield *place, order, task, count, count / removed[-1], found[at], *band, p[at], corrected[at]

    return frame_of(LESIONS, rows())


def warned(layers: "Iterable[LayerConditionals]", say: Say) -> "Iterator[LayerConditionals]":
    """Yield the layers; in the end, say which experiments have few images, or which of their tasks if these differ."""
    sentences: dict[str, list[str]] = {}
    for layer in layers:
        yield layer
        network = network_label(*layer.place[:2])
        sentences[network] = few_images_of_tasks(network, layer.image_counts())
    for few in sentences.values():
        for sentence in few:
            say(sentence)


def unmoved_tasks(layer: "LayerConditionals") -> list[str]:
    """Return the tasks of which no unit changes a prediction by more than draws that are left out, and rounding."""
    least = layer.skipped + ROUNDING
    return [
        task
        for task, conditionals in layer.conditionals.items()
        if not (np.abs(conditionals - layer.predictions[task]) > least).any()
    ]


def place_in_words(experiment: str, replicate: int, *rest: str) -> str:
    """Return a place in words."""
    return " ".join((network_label(experiment, replicate), *rest)).strip()
