"""The settings of an estimate, and which estimator has them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from featuresharing.errors import InputError
from featuresharing.estimators.registry import find_estimator
from featuresharing.settings import Config, EvidenceSettings, MarginalizationSettings, check

if TYPE_CHECKING:
    from featuresharing.estimators.estimator import Estimator


@dataclass(frozen=True)
class Estimation:
    """Settings of an estimate, as in :func:`featuresharing.marginalize`.

    ``tolerance_bits`` is the largest error of evidence after the Laplace correction ``laplace`` (None: ``tolerance``
    alone says which draws are left out, and ``laplace`` says nothing).
    Raises InputError for an estimator that is not known, and for values that no estimator or not this one accepts.

    >>> Estimation("monte-carlo", samples=10)
    Estimation(estimator='monte-carlo', samples=10, scale=1.0, tolerance=1e-06, seed=0, tolerance_bits=None, \
laplace='paper')
    """

    estimator: str = MarginalizationSettings.estimator
    samples: int = MarginalizationSettings.samples
    scale: float = MarginalizationSettings.scale
    tolerance: float = MarginalizationSettings.tolerance
    seed: int = Config.seed
    tolerance_bits: float | None = MarginalizationSettings.tolerance_bits
    laplace: str = EvidenceSettings.laplace

    def __post_init__(self) -> None:
        kind = find_estimator(self.estimator)
        for name in ("samples", "scale", "tolerance", "tolerance_bits"):
            check(MarginalizationSettings, name, getattr(self, name))
        check(Config, "seed", self.seed)
        check(EvidenceSettings, "laplace", self.laplace)
        for problem in kind.problems(self):
            raise InputError(f"{problem.key}{problem.text}.")

    def make(self) -> "Estimator":
        """Return the estimator with these settings."""
        return find_estimator(self.estimator)(self)
