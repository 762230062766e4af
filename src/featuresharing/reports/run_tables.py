"""What a run knows of itself, as the summary and its warnings take it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class RunTables:
    """The tables of a run (:mod:`featuresharing.data.columns`), and what they do not say.

    ``kept`` has by experiment the tables of kept images, one a network. ``chance`` is by experiment and task the
    accuracy on the held-out images of who names the most frequent class throughout. ``layers`` stand in their order,
    ``checkpoint`` is the last. A task is near zero where the average unit contributes less than ``near_zero``
    ``unit``. ``trained`` says whether the run trained its networks.
    """

    accuracy: "DataFrame"
    contributions: "DataFrame"
    sharing: "DataFrame"
    trends: "DataFrame"
    lesions: "DataFrame"
    kept: "Mapping[str, Sequence[DataFrame]]"
    chance: Mapping[tuple[str, str], float]
    layers: Sequence[str]
    checkpoint: str
    near_zero: float
    unit: str
    samples: int
    seed: int
    trained: bool = True

    @property
    def experiments(self) -> list[str]:
        """The experiments, in the order of the table of accuracy."""
        return list(dict.fromkeys(self.accuracy.experiment))

    def tasks(self, experiment: str) -> list[str]:
        """Return the tasks of an experiment."""
        return list(dict.fromkeys(self.accuracy.task[self.accuracy.experiment == experiment]))

    def checkpoints(self, experiment: str) -> list[str]:
        """Return the checkpoints of an experiment, in their order."""
        return list(dict.fromkeys(self.accuracy.checkpoint[self.accuracy.experiment == experiment]))

    def networks(self, experiment: str) -> int:
        """Return how many networks of an experiment there are."""
        return int(self.accuracy.replicate[self.accuracy.experiment == experiment].nunique())

    def last(self, table: "DataFrame", experiment: str | None = None) -> "DataFrame":
        """Return the rows of a table that are of the last checkpoint, and of an experiment."""
        rows = table[table.checkpoint == self.checkpoint]
        return rows if experiment is None else rows[rows.experiment == experiment]

    def in_order(self, layers: Sequence[str]) -> list[str]:
        """Return distinct layers in their order."""
        return [layer for layer in self.layers if layer in set(layers)]
