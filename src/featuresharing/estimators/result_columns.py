"""The numbers that stand beside conditionals: how many draws count, and what is known of the error."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Column:
    """Numbers from 0 to ``most``: ``per`` unit, for every unit and image, or for every unit, image and class of a task.

    ``kind`` is their type in files. Arrays are float64 [units], float64 [units, images], or of the precision of the
    conditionals [units, images, classes] for each task.
    """

    name: str
    per: Literal["unit", "image", "class"]
    kind: str
    meaning: str
    most: float = inf


EFFECTIVE_SAMPLES = Column("effective_samples", "unit", "<f8", "how many draws count (infinite if none are made)")
SKIPPED_MASS = Column(
    "skipped_mass", "unit", "<f8", "by how much at most a conditional is too low because light draws were left out", 1
)
SKIPPED_BY_IMAGE = Column(
    "skipped_mass_by_image", "image", "<f8", "the same for an image, where every image has draws of its own", 1
)
STANDARD_ERROR = Column("standard_error", "class", "<f4", "of the mean over draws")
ERROR_ESTIMATE = Column("error_estimate", "image", "<f8", "of any class's number, for an integral")

COLUMNS = (EFFECTIVE_SAMPLES, SKIPPED_MASS, SKIPPED_BY_IMAGE, STANDARD_ERROR, ERROR_ESTIMATE)
"""All that files know."""

ALWAYS = (EFFECTIVE_SAMPLES, SKIPPED_MASS)
"""Those that every estimator gives."""

BY_UNIT = tuple(column.name for column in COLUMNS if column.per == "unit")
"""Names of those with one number for every unit."""


def column_of(dataset: str) -> Column | None:
    """Return the column that a dataset of a file belongs to; those by class have one dataset for every task."""
    for column in COLUMNS:
        if dataset == column.name or (column.per == "class" and dataset.startswith(f"{column.name}_")):
            return column
    return None


class Columned:
    """What has ``columns`` by name: an array, or for those by class a tuple of one array a task."""

    columns: Mapping[str, Any]

    @property
    def effective_samples(self) -> "NDArray[np.float64]":
        """Float64 [units]: how many draws count; infinite for an estimator that makes none."""
        found: NDArray[np.float64] = self.columns[EFFECTIVE_SAMPLES.name]
        return found

    @property
    def skipped_mass(self) -> "NDArray[np.float64]":
        """Float64 [units]: by how much at most a conditional is too low because light draws were left out."""
        found: NDArray[np.float64] = self.columns[SKIPPED_MASS.name]
        return found

    @property
    def skipped_mass_by_image(self) -> "NDArray[np.float64] | None":
        """Float64 [units, images]: the same for an image, where every image has draws of its own; else None."""
        return self.columns.get(SKIPPED_BY_IMAGE.name)

    @property
    def standard_error(self) -> "tuple[NDArray[Any], ...] | None":
        """Of every number in ``probabilities``, in the same layout; None for estimators without."""
        return self.columns.get(STANDARD_ERROR.name)

    @property
    def error_estimate(self) -> "NDArray[np.float64] | None":
        """Float64 [units, images]: of any class's number; None for estimators without."""
        return self.columns.get(ERROR_ESTIMATE.name)
