"""Which tasks a layer contributes next to nothing to: what they share there says little."""

from collections.abc import Mapping

BITS, PROBABILITY = 0.05, 0.005
"""Contributions of a layer's average unit under which sharing says little, by default."""


def near_zero_limit(chosen: float | None, *, method: str, softmax: bool = True) -> float:
    """Return under which contribution of its average unit a layer is near zero for a task.

    It is as ``chosen``, else 0.05 bits, 0.005 in probability (``method`` probdiff), and 0 for raw scores (without
    ``softmax``), whose unit nobody knows.

    >>> near_zero_limit(None, method="we"), near_zero_limit(None, method="probdiff", softmax=False)
    (0.05, 0.0)
    """
    if chosen is not None:
        return float(chosen)
    if method != "probdiff":
        return BITS
    return PROBABILITY if softmax else 0.0


def said_below(value: float, limit: float) -> str:
    """Return a number under a limit in two digits, or in as many as show that it is under the limit.

    >>> said_below(0.0123, 0.05), said_below(0.04996, 0.05), said_below(0.7, 0.05)
    ('0.012', '0.04996', '0.7')
    """
    if value >= limit:
        return f"{value:.2g}"
    return next(text for digits in range(2, 18) if float(text := f"{value:.{digits}g}") < limit)


def tasks_near_zero(means: Mapping[str, float], limit: float) -> str:
    """Return the names of the tasks whose ``means`` are under the limit, joined by +; blank if there are none."""
    return " + ".join(low_tasks(means, limit))


def low_tasks(means: Mapping[str, float], limit: float) -> tuple[str, ...]:
    """Return the names of the tasks whose ``means`` are under the limit."""
    return tuple(task for task, mean in means.items() if mean < limit)
