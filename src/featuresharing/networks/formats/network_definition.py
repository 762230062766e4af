"""Definitions of networks, which the workflow writes for a network of one's own."""

from pathlib import Path

from featuresharing.files.record_format import open_regular
from featuresharing.networks.definitions import START, NetworkDefinition
from featuresharing.networks.formats import Contents

NAME = "definitions of networks"


def sniff(path: Path) -> bool:
    """Return whether a file begins as definitions do."""
    with open_regular(path) as file:
        return file.read(len(START)) == START


def files(path: Path) -> tuple[Path, ...]:
    """Return the definition, and the files of code and weights that it names; raises InputError for a damaged one."""
    return (path, *NetworkDefinition.read_unchecked(path).files())


def read(path: Path) -> Contents:
    """Return the network that a definition makes, with its tasks; raises InputError as the parts of it do."""
    from featuresharing.networks.defining import open_definition

    return open_definition(NetworkDefinition.read(path))
