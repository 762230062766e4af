"""Replicates: the networks of an experiment that differ by their seeds alone, counted from 1."""

from featuresharing.errors import InputError

FIRST = 1
"""The replicate of a run with one network, of which files need not say so."""

MOST_REPLICATES = 100


def seed_of_replicate(seed: int, replicate: int) -> int:
    """Return the seed of a replicate: ``seed`` of the first, and one derived from it of any other.

    >>> [seed_of_replicate(0, replicate) for replicate in (1, 2, 3)]
    [0, 157752100, 1086712333]
    """
    from featuresharing.randomness import keyed_generator

    check_replicate(replicate)
    return seed if replicate == FIRST else int(keyed_generator(seed, "replicate", replicate).integers(2**31))


def network_label(experiment: str, replicate: int) -> str:
    """Return what a network is called in sentences and paths: its experiment, with its replicate but for the first.

    >>> network_label("object_text", 1), network_label("object_text", 3)
    ('object_text', 'object_text/3')
    """
    return experiment if replicate == FIRST else f"{experiment}/{replicate}"


def check_replicate(replicate: object) -> None:
    """Raise InputError for what is no replicate."""
    from featuresharing.arguments import is_whole

    if not is_whole(replicate) or not FIRST <= int(replicate) <= MOST_REPLICATES:  # type: ignore[call-overload]
        raise InputError(
            f"replicate: found {replicate!r}; accepted is a whole number from {FIRST} to {MOST_REPLICATES}."
        )
