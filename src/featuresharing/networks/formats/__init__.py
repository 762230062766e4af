"""Formats of files of networks: which file is whose, and what is in it.

A format is a module of this package, or one that an installed distribution names under the entry points
``featuresharing.formats`` (docs/plugins.md). It has

* ``NAME``, which completes "accepted are ...", such as "models of Torch7",
* ``sniff(path)``, which says whether a file is of the format, from its first bytes and without torch,
* ``read(path)``, which returns :class:`Contents` or raises InputError in one sentence,
* where networks are more than one file, ``files(path)``: all that belong to the network at ``path``, itself the first.

Nobody else asks which format a file is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Protocol, cast

from featuresharing.data.preprocessing import AnyPreprocessing
from featuresharing.errors import InputError
from featuresharing.files.atomic import file_digest

if TYPE_CHECKING:
    from torch import nn

GROUP = "featuresharing.formats"
"""The entry points under which distributions name their formats."""

PARTS = ("NAME", "sniff", "read")
"""What a module of a format has; it may have ``files`` as well."""

UNKNOWN_STEP = -1
"""The training step of networks whose files do not say it."""


@dataclass(frozen=True)
class Contents:
    """What a file of a network holds, as far as it says so.

    ``network`` is in evaluation mode, on the CPU, and returns raw class scores [N, classes], one a task. ``tasks`` are
    the names of its heads, ``classes`` their sizes, ``step`` is its training step, ``preprocessing`` says how it takes
    images, ``image_shape`` of which shape one is, such as (3, 224, 224). ``notes`` are sentences on what was changed
    when the file was read, such as a softmax that was left out.
    """

    network: "nn.Module"
    tasks: tuple[str, ...] | None = None
    classes: tuple[int, ...] | None = None
    step: int = UNKNOWN_STEP
    preprocessing: AnyPreprocessing | None = None
    image_shape: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()


class Format(Protocol):
    """What a module of a format has."""

    @property
    def NAME(self) -> str:  # noqa: N802
        """What its files are called, in the plural."""
        ...

    def sniff(self, path: Path) -> bool:
        """Return whether a file is of this format; OSError stands for no."""
        ...

    def read(self, path: Path) -> Contents:
        """Return what a file of this format holds; raises InputError for a damaged one."""
        ...


def formats() -> Iterator[Format]:
    """Yield the formats of this package, then those that are installed, each in the order of their names.

    Raises InputError for an installed one that cannot be loaded.
    """
    for module in sorted(iter_modules(__path__), key=lambda module: module.name):
        yield cast(Format, import_module(f"{__name__}.{module.name}"))
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        yield _installed(point)


def _installed(point: EntryPoint) -> Format:
    place = f"format '{point.name}' ({point.value})"
    try:
        found = point.load()
    except Exception as error:  # whatever the code of others does when it is imported
        reason = f"cannot be loaded ({type(error).__name__}: {error})"
        raise InputError(f"{place} {reason}; accepted is a module that can.") from error
    if lacks := next((part for part in PARTS if not hasattr(found, part)), None):
        raise InputError(f"{place} has no {lacks}; accepted are modules with {', '.join(PARTS)}.")
    return cast(Format, found)


def format_of(path: Path) -> Format:
    """Return the first format that takes a file for one of its own.

    Raises InputError for a file that is not there or that no format knows.
    """
    names = []
    if not path.exists():
        raise InputError(f"checkpoint {path} does not exist; accepted is one that does.")
    for each in formats():
        try:
            if each.sniff(path):
                return each
        except OSError:
            pass
        names.append(each.NAME)
    found = "its format is not known" if path.is_file() else "it is no file"
    raise InputError(f"checkpoint {path} cannot be read: {found}; accepted are {', and '.join(names)}.")


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that a network consists of, that at ``path`` the first.

    Raises InputError as :func:`format_of`, and as its format does for files that are not there.
    """
    own = format_of(path)
    files: tuple[Path, ...] = own.files(path) if hasattr(own, "files") else (path,)
    return files


def digest_of_file(path: Path) -> str:
    """Return the digest that stands for the network at ``path`` in identities: that of all its files.

    It is the same whichever of them is named. Raises InputError as :func:`files_of`.
    """
    return file_digest(*sorted(files_of(path)))
