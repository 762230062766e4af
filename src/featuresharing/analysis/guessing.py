"""Whether as many right answers are no more than guessing gives."""

GUESSED = 0.05
"""What guessing reaches with this probability is taken for chance."""


def guessing_probability(hits: int, images: int, share: float) -> float:
    """Return how probable ``hits`` or more of ``images`` are where each is guessed right with probability ``share``.

    >>> round(guessing_probability(4, 4, 0.5), 4)
    0.0625
    """
    from scipy.stats import binom

    return float(binom.sf(hits - 1, images, share))
