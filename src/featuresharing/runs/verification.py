"""Whether every file of results is as it was written: against its record, and by what it holds."""

import os
import re
import stat
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from featuresharing.errors import InputError
from featuresharing.files.records import Entry, described_by, fits, read_record, settle
from featuresharing.runs.kinds import KINDS, UNKNOWN, Check, kind_of

LISTED = 10
"""Of so many files in a folder that no record names, each is named; of more, the folder is."""


WRONG, COMPARED, SOUND, RECORD = "wrong", "compared", "sound", "record"
"""What was found of a file: a problem; it is as its record says; it holds what it should; it is a sound record."""


@dataclass
class Verification:
    """What was found of every file that is or was there, by its path: WRONG, COMPARED, SOUND, RECORD, or its kind.

    Files have the name of their :class:`.kinds.Kind` where they were not checked. ``unrecorded`` are results that no
    record names.
    """

    found: dict[str, str] = field(default_factory=dict)
    unrecorded: list[Path] = field(default_factory=list)

    @property
    def wrong(self) -> set[str]:
        """The paths of files of which something is wrong."""
        return {path for path, state in self.found.items() if state == WRONG}

    @property
    def unchecked(self) -> dict[str, int]:
        """How many files of each kind were not checked, by the name of the kind."""
        counts = Counter(self.found.values())
        return {kind.name: counts[kind.name] for kind in (*KINDS, UNKNOWN) if counts[kind.name]}

    def count(self, state: str) -> int:
        """Return how many files were found to be so."""
        return sum(found == state for found in self.found.values())


def verify(folder: Path, say: Callable[[str], None]) -> Verification:
    """Check every file in a folder of results and tell ``say`` what is wrong, a sentence each, and what is not checked.

    Whatever a file, a record or a name is, the others are checked too; one that vanishes meanwhile is no matter.
    :data:`.kinds.KINDS` says how files are checked.
    """
    result = Verification()

    def name(path: Path, problem: str) -> None:
        result.found[str(path)] = WRONG
        say(_shown(problem))

    recorded: set[str] = set()
    paths: list[Path] = []
    for path, problem in _settled(folder):
        if problem:
            name(path, problem)
        elif described_by(path) and str(path) not in recorded:  # an archive may hold such names
            result.found[str(path)] = RECORD
            recorded |= _check_record(path, name)
        else:
            paths.append(path)
    for named in recorded:
        result.found.setdefault(named, COMPARED)
    for path in paths:
        kind = kind_of(path, folder)
        is_recorded = str(path) in recorded
        if kind.check and (kind.always or not is_recorded):
            _check_contents(path, folder, kind.check, name)
        if not is_recorded:
            result.found.setdefault(str(path), SOUND if kind.check else kind.name)
            result.unrecorded += [path] if kind.final else []
    _name_unrecorded(result.unrecorded, say)
    for kind in (*KINDS, UNKNOWN):
        if count := result.unchecked.get(kind.name):
            say(f"{kind.name[0].upper()}{kind.name[1:]} are not checked ({count}): {kind.reason}.")
    return result


def _settled(folder: Path) -> list[tuple[Path, str]]:
    """Return what :func:`_walk` yields, once what killed writers left of records is finished."""
    there = list(_walk(folder))
    pending = [path for path, _ in there if path.name.endswith(".sha256.new")]
    for path in pending:
        settle(path)
    return list(_walk(folder)) if pending else there


def summary(result: Verification, folder: Path) -> str:
    """Return what was found of how many files of a folder; the numbers add up."""
    counts = (
        (result.count(COMPARED), "as their records say"),
        (result.count(SOUND), "sound by what they hold"),
        (result.count(RECORD), "records" if result.count(RECORD) > 1 else "record"),
        (sum(result.unchecked.values()), "not checked"),
    )
    parts = ", ".join(f"{count} {what}" for count, what in counts if count)
    return f"All {len(result.found)} files in {folder}: {parts or 'none is there'}; none is wrong."


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


def _check_contents(path: Path, folder: Path, check: Check, name: Name) -> None:
    """Look at what a file holds."""
    try:
        problems = list(check(path, folder))
    except Exception as error:  # a damaged file makes libraries raise nearly anything
        problems = [f"{path} cannot be read ({type(error).__name__}: {error})."]
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
            try:
                mode = path.stat().st_mode
            except OSError as error:
                if path.is_symlink():
                    yield path, f"{path} is a link that leads nowhere ({error.strerror})."
                continue
            if stat.S_ISDIR(mode) and described_by(path):
                yield path, f"{path} is a folder where a record belongs; delete it."
            elif stat.S_ISDIR(mode):
                folders.append((path, above | {here}))
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
