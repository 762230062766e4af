"""Networks that ``torch.export.save`` wrote: a graph of operators as JSON, and weights. Nothing is unpickled."""

from pathlib import Path
from zipfile import BadZipFile

from featuresharing.networks.formats import Contents
from featuresharing.networks.formats.exported_program.exported_archive import names_of_programs

NAME = "networks that torch.export.save wrote"


def sniff(path: Path) -> bool:
    """Return whether a file is a zip archive with an exported program in it."""
    try:
        return bool(names_of_programs(path))
    except (BadZipFile, ValueError, NotImplementedError, RuntimeError):
        return False


def read(path: Path) -> Contents:
    """Return the network of a file, names of its outputs where they have some, and the shape of an image.

    Raises InputError that names the operator and its place, for what is not known or makes no sense.
    """
    from featuresharing.networks.formats.exported_program.exported_conversion import convert_program

    return convert_program(path)
