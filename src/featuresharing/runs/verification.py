"""Whether every file of results is as it was written: against its record, and by what it holds."""

import os
import re
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from featuresharing.errors import InputError
from featuresharing.files.atomic import PROGRESS
from featuresharing.files.records import (
    IGNORED,
    Entry,
    described_by,
    fits,
    read_record,
    settle,
)
from featuresharing.runs import contents

FOREIGN = re.compile(r"logs|benchmarks|[^/]*report[^/]*\.(zip|html)")
"""What Snakemake puts into a folder of results."""

WORK = (".part", ".done")
"""Ends of hidden names of folders: work in progress and second names, of which nothing has to be checked."""

LISTED = 10
"""Of so many files in a folder that no record names, each is named; of more, the folder is."""


@dataclass
class Verification:
    """What was found: the ``files`` that are or were there, the ``wrong`` ones, and those that no record names."""

    files: set[str] = field(default_factory=set)
    wrong: set[str] = field(default_factory=set)
    unrecorded: list[Path] = field(default_factory=list)


def verify(folder: Path, say: Callable[[str], None]) -> Verification:
    """Check every file in a folder of results and tell ``say`` what is wrong, a sentence each.

    Whatever a file, a record or a name is, the others are checked too; one that vanishes meanwhile is no matter.
    """
    found = Verification()

    def name(path: Path, problem: str) -> None:
        found.files.add(str(path))
        found.wrong.add(str(path))
        say(_shown(problem))

    there = list(_walk(folder))
    pending = [path for path, _ in there if path.name.endswith(".sha256.new")]
    if pending:
        for path in pending:
            settle(path)
        there = list(_walk(folder))
    recorded: set[str] = set()
    paths: list[Path] = []
    for path, problem in there:
        if problem:
            name(path, problem)
        elif described_by(path) and str(path) not in recorded:  # an archive may hold such names
            recorded |= _check_record(path, name)
        else:
            paths.append(path)
    for path in paths:
        if not path.name.startswith(".") and str(path) not in recorded:
            found.unrecorded.append(path)
        _check_contents(path, folder, recorded, name)
    found.files |= recorded | {str(path) for path in found.unrecorded}
    _name_unrecorded(found.unrecorded, say)
    return found


Name = Callable[[Path, str], None]
"""What is told the path of a file and what is wrong with it."""


def _check_record(record: Path, name: Name) -> set[str]:
    """Compare what a record names with what is there; return the paths of the files that it names."""
    named: set[str] = set()
    missing: list[Path] = []
    try:
        for relative, entry in read_record(record):
            path = record.parent / relative
            named.add(str(path))
            if not os.path.lexists(path):
                missing.append(path)
            elif problem := _compare(path, entry):
                name(path, problem)
    except (InputError, OSError) as error:
        name(record, str(error))
    described = described_by(record)
    if described and len(missing) == len(named) > 1 and not described.exists():
        name(
            described, f"{described} is missing, though it was written, with {len(missing)} files; {_accepted(record)}."
        )
        return set()
    for path in missing:
        name(path, f"{path} is missing, though it was written; {_accepted(record)}.")
    return named


def _accepted(record: Path) -> str:
    return f"make it again, or delete {record} if that is meant"


def _compare(path: Path, entry: Entry) -> str:
    """Return what is wrong with a recorded file; nothing if it is as it was written, or gone by now."""
    if fits(path, entry):
        return ""
    try:
        now = path.stat()
        if not os.access(path, os.R_OK):
            return f"{path} cannot be read (Permission denied)."
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})." if os.path.lexists(path) else ""
    found = f"{now.st_size} bytes" if now.st_size != entry.size else "other bytes"
    wanted = f"{entry.size} bytes with SHA-256 {entry.sha256[:12]}"
    return f"{path} is not what was written: found are {found}; its record says {wanted}."


def _check_contents(path: Path, folder: Path, recorded: set[str], name: Name) -> None:
    """Look at what a file holds."""
    problems: list[str] = []
    try:
        if path.name.startswith("."):
            problems += contents.problems_of_work(path)
        else:
            problems += contents.problems_of(path, folder, recorded=str(path) in recorded)
    except Exception as error:  # a damaged file makes libraries raise nearly anything
        problems.append(f"{path} cannot be read ({type(error).__name__}: {error}).")
    if os.path.exists(path):  # else it vanished while it was read
        for problem in problems:
            name(path, problem)


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield every regular file in a folder in the order of names, or what is wrong with what is there instead."""
    waiting = [(folder, frozenset[tuple[int, int]]())]
    while waiting:
        current, above = waiting.pop()
        try:
            status = current.stat()
            names = sorted(os.listdir(current))
        except FileNotFoundError:
            continue
        except OSError as error:
            yield current, f"{current} cannot be read ({error.strerror})."
            continue
        here = (status.st_dev, status.st_ino)
        if here in above:
            yield current, f"{current} is a link to a folder that it is in."
            continue
        folders = []
        for name in names:
            path = current / name
            if name in IGNORED or (current == folder and FOREIGN.fullmatch(name)):
                continue
            try:
                mode = path.stat().st_mode
            except OSError as error:
                if path.is_symlink():
                    yield path, f"{path} is a link that leads nowhere ({error.strerror})."
                continue
            if stat.S_ISDIR(mode) and described_by(path):
                yield path, f"{path} is a folder where a record belongs; delete it."
            elif stat.S_ISDIR(mode):
                hidden = name == PROGRESS or (name.startswith(".") and name.endswith(WORK))
                folders += [] if hidden else [(path, above | {here})]
            elif stat.S_ISREG(mode):
                yield path, ""
            else:
                yield path, f"{path} is no regular file."
        waiting += reversed(folders)


def _name_unrecorded(paths: list[Path], say: Callable[[str], None]) -> None:
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        by_folder[path.parent].append(path)
    for folder, files in by_folder.items():
        if len(files) > LISTED:
            say(_shown(f"No record names {len(files)} files in {folder}, such as {files[0].name}."))
        else:
            for path in files:
                say(_shown(f"No record names {path}."))


def _shown(sentence: str) -> str:
    """Return a sentence in one line: names, and what libraries say, may hold line ends and other control characters."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: f"\\x{ord(found[0]):02x}", sentence)
