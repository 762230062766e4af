"""Data sets with one folder a class, such as ImageNet: their files, and the basic class of every folder."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from featuresharing.data.columns import HIERARCHY
from featuresharing.data.table_files import read_texts
from featuresharing.data.texts import UNFIT
from featuresharing.errors import InputError

IGNORED = frozenset(
    {
        "@eadir",  # thumbnails of Synology
        "@tmp",
        "@recycle",  # QNAP
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
        "$recycle.bin",  # Windows
        "system volume information",
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "__macosx",  # archives made on a Mac
        "icon\r",
        "lost+found",
    }
)
"""Names in small letters that systems leave in folders; with those that begin with a dot, they are left out."""


def list_class_folders(folder: Path) -> dict[str, list[str]]:
    """Return the files of every class: names of the folders in ``folder``, and paths of files relative to it, sorted.

    Names that begin with a dot and those of IGNORED are left out, with all that is in them; links are followed. Raises
    InputError if there are fewer than two folders, one without files, a name that lists cannot hold, or a link that
    leads nowhere or back to where it is in.
    """
    classes = {}
    for entry in _entries(folder):
        if not _leads_to(entry, os.DirEntry.is_dir):
            continue
        check_name(entry.name, f"folder {folder}")
        if entry.name != entry.name.strip():
            raise InputError(
                f"folder {folder}: class '{entry.name}' begins or ends with a blank; accepted are names without."
            )
        inside = _walk(folder / entry.name, folder)
        files = sorted(path.relative_to(folder).as_posix() for path in inside)
        if not files:
            raise InputError(
                f"folder {folder / entry.name} has no images; accepted is one folder a class, with images."
            )
        classes[entry.name] = files
    if len(classes) < 2:
        raise InputError(f"folder {folder} has {len(classes)} folders; accepted are two or more, one a class.")
    return classes


def check_name(name: str, place: str) -> None:
    """Raise InputError for the name of a file or folder that tables and lists cannot hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(name).decode(errors="backslashreplace")
        raise InputError(f"{place}: the name '{shown}' is not UTF-8; accepted are names in UTF-8.") from None
    if UNFIT.search(name):
        raise InputError(
            f"{place}: the name {name!a} holds a line end or another control character; accepted are names without."
        )


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    """Return what is in a folder, without what is left out, in the order of names."""
    try:
        with os.scandir(folder) as found:
            kept = [entry for entry in found if not entry.name.startswith(".") and entry.name.lower() not in IGNORED]
    except OSError as error:
        raise InputError(
            f"folder {folder} cannot be read ({error.strerror}); accepted is one folder a class."
        ) from None
    return sorted(kept, key=lambda entry: entry.name)


def _walk(folder: Path, root: Path) -> Iterator[Path]:
    """Yield the files in a folder of ``root`` and below, links followed."""
    # with every folder go those that it is in: a link to one of them would never end
    waiting: list[tuple[Path, tuple[tuple[int, int], ...]]] = [(folder, (_identity(root),))]
    while waiting:
        current, above = waiting.pop()
        here = _identity(current)
        if here in above:
            raise InputError(f"folder {current} is a link to a folder that it is in; accepted are links elsewhere.")
        for entry in _entries(current):
            check_name(entry.name, f"folder {current}")
            path = current / entry.name
            if _leads_to(entry, os.DirEntry.is_dir):
                waiting.append((path, (*above, here)))
            elif _leads_to(entry, os.DirEntry.is_file):
                yield path
            else:
                raise InputError(f"{path} is no file, or a link that leads nowhere; accepted are files and folders.")


def _leads_to(entry: "os.DirEntry[str]", kind: Callable[["os.DirEntry[str]"], bool]) -> bool:
    """Return whether an entry is of a kind, also by a link; unlike Path, this asks the disk about links alone."""
    try:
        return kind(entry)
    except OSError:  # links that lead to each other
        return False


def _identity(folder: Path) -> tuple[int, int]:
    try:
        found = folder.stat()
    except OSError as error:
        raise InputError(
            f"folder {folder} cannot be read ({error.strerror}); accepted is one folder a class."
        ) from None
    return found.st_dev, found.st_ino


def check_distinct(folder: Path, written: Mapping[str, str]) -> None:
    """Raise InputError if a file of ``folder`` would be written under the name of another file or folder there.

    ``written`` holds, by the path of every file, the path of what it becomes.
    """
    folders = {file.rpartition("/")[0] for file in written}
    taken = folders.union(written, (str(parent) for name in folders for parent in PurePosixPath(name).parents))
    for file, name in written.items():
        if name != file and name in taken:
            raise InputError(
                f"image {folder / file} would be written as {name}, which is there too; "
                f"accepted are names that differ in more than '{PurePosixPath(name).suffix}'."
            )


def read_hierarchy(path: Path, classes: Iterable[str]) -> dict[str, str]:
    """Read the basic class of every class folder from a table :data:`.columns.HIERARCHY`.

    Raises InputError for a class without a row, and, naming its line, a row without a class or one that contradicts
    another.
    """
    found: dict[str, str] = {}
    rows = read_texts(path, HIERARCHY.names)[list(HIERARCHY.names)]
    for line, name, basic in rows.itertuples(name=None):
        if found.setdefault(name, basic) != basic:
            raise InputError(
                f"table {path}, line {line}: class '{name}' is '{basic}' here and '{found[name]}' above; "
                "accepted is one basic class of each."
            )
    for name in classes:
        if name not in found:
            raise InputError(f"table {path}: class '{name}' is missing; accepted is a row for every folder.")
    return found
