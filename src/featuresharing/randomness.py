"""Random generators that depend on what they are for, never on the order in which they are asked for."""

import hashlib

import numpy as np


def keyed_generator(seed: int, *key: str | int) -> np.random.Generator:
    """Return the generator that belongs to ``(seed, *key)``.

    Every key part becomes one 64-bit word of a ``SeedSequence`` spawn key; the generator is the counter-based Philox,
    so that equal keys give bit-identical draws on every machine and different keys give independent ones.
    """
    words = tuple(_word(part) for part in key)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=words)))


def _word(part: str | int) -> int:
    """Hash one key part; the type goes into the hash, so that 1 and "1" differ."""
    text = f"{type(part).__name__}:{part}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")
