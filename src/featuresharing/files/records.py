"""One record of what was written: size and SHA-256 of every final file, in a hidden file beside it.

``.NAME.sha256`` says it of the file ``NAME``, ``.FOLDER.sha256`` of every file in a folder that is written as a whole.
Run in the folder where it lies, ``sha256sum --check`` reads either. A file that no record names is taken as it is.
"""

import hashlib
import os
import re
import stat
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from featuresharing.errors import InputError
from featuresharing.files.record_format import (
    KEY,
    ChangedError,
    Entry,
    damaged_record,
    entries_of,
    escape_name,
    no_place,
    open_record,
    open_regular,
    unescape_name,
    write_record,
)

__all__ = [
    "ChangedError",
    "Entry",
    "checked_bytes",
    "described_by",
    "entry_of",
    "entry_of_bytes",
    "files_in",
    "fits",
    "forget",
    "publish",
    "read_record",
    "record",
    "record_folder",
    "record_of",
    "recorded_entry",
    "recorded_key",
    "refuse_changed",
    "settle",
]

IGNORED = frozenset({".snakemake_timestamp"})
"""Names in folders of ours that others wrote."""

ENTRIES_A_BLOCK = 64
"""A folder may hold a million files: of its record, one name in so many is kept in memory."""


def record_of(path: Path) -> Path:
    """Return where the record of a file, or of a folder written as a whole, is."""
    return path.with_name(f".{path.name}.sha256")


def described_by(record: Path) -> Path | None:
    """Return what a record is of, by its name; None if that is no record's."""
    found = re.fullmatch(r"\.(.+)\.sha256", record.name, flags=re.DOTALL)
    return record.with_name(found[1]) if found else None


def entry_of(path: Path) -> Entry:
    """Return what a regular file is now; raises OSError for another kind, and if it cannot be read."""
    with open_regular(path) as file:
        return Entry(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


def entry_of_bytes(content: bytes) -> Entry:
    """Return what a file of this content is."""
    return Entry(len(content), hashlib.sha256(content).hexdigest())


def publish(part: Path, output: Path, *, key: str = "") -> None:
    """Rename the whole file ``part`` to ``output`` and record it; ``key`` names the settings that made it.

    Wherever this is killed, the file under the name ``output`` is the one of its record, or of the record to come.
    """
    pending = _pending(output)
    write_record(pending, key, [(output.name, entry_of(part))])
    os.replace(part, output)
    _promote(pending, record_of(output))


def record(path: Path, *, key: str = "") -> None:
    """Record a final file as it is now."""
    pending = _pending(path)
    write_record(pending, key, [(path.name, entry_of(path))])
    _promote(pending, record_of(path))


def forget(path: Path) -> None:
    """Remove the record of a file or folder."""
    _pending(path).unlink(missing_ok=True)
    record_of(path).unlink(missing_ok=True)


def record_folder(folder: Path, entries: Iterable[tuple[str, Entry]] | None = None, *, key: str = "") -> None:
    """Record every file of a folder; ``entries`` are those that are known, by their paths in it (none: all are read).

    A folder may be recorded before it gets its name: then it is missing at worst, never another one.
    """
    if entries is None:
        entries = [(path.relative_to(folder).as_posix(), entry_of(path)) for path in files_in(folder)]
    named = [(f"{folder.name}/{name}", entry) for name, entry in entries]
    if not named:
        forget(folder)
        return
    write_record(_pending(folder), key, named)
    _promote(_pending(folder), record_of(folder))


def settle(record: Path) -> None:
    """Finish what a killed writer left of a file's record, if the file is there as it was to be."""
    path = described_by(record.with_name(record.name.removesuffix(".new")))
    with suppress(InputError):
        if path is not None and not ((wanted := _own_entry(path)) and fits(path, wanted)):
            _fits_pending(path, None)


def files_in(folder: Path) -> list[Path]:
    """Return the regular files in a folder and those below it, but for what Snakemake puts there."""
    found = []
    for parent, _, names in os.walk(folder):
        paths = (Path(parent, name) for name in names if name not in IGNORED)
        found += [path for path in paths if path.is_file()]
    return found


def read_record(record: Path) -> Iterator[tuple[str, Entry]]:
    """Yield the names that a record holds and what each is; raises InputError if the record is damaged.

    Names are relative to the folder where the record lies.
    """
    with open_record(record) as file:
        for _, name, entry in entries_of(record, file):
            yield os.fsdecode(unescape_name(name)), entry


def recorded_key(path: Path) -> str:
    """Return the key of the settings that made a file or folder, as its record has it; empty if it has none."""
    with suppress(InputError, FileNotFoundError), open_record(record_of(path)) as file:
        found = KEY.fullmatch(file.readline(256))
        return found[1].decode() if found else ""
    return ""


def recorded_entry(path: Path) -> Entry | None:
    """Return what a file was when it was written; None if no record names it.

    Raises InputError if its record is damaged.
    """
    if (own := _own_entry(path)) is not None:
        return own
    return _entry_in_folder(path)[0]


def refuse_changed(path: Path, content: bytes | None = None) -> None:
    """Raise ChangedError if a file is not what its record says; ``content`` is that of the file, if it is in memory.

    A file that no record names passes, and so does one that is not there: its reader says so.
    """
    found = entry_of_bytes(content) if content is not None else None
    in_folder, folder = _entry_in_folder(path)
    if in_folder is not None and _fits(path, in_folder, found):
        return
    before = None
    while (wanted := _own_entry(path)) is not None and wanted != before:
        if _fits(path, wanted, found) or _fits_pending(path, found):
            return
        before = wanted  # another process may have renamed both while this one looked
    if wanted is not None:
        raise _changed(path, wanted, record_of(path))
    if _fits_pending(path, found) or folder is None:
        return
    if in_folder is None:
        accepted = "accepted are those that were written"
        raise ChangedError(f"{path} is not among the files that {record_of(folder)} names; {accepted}.")
    raise _changed(path, in_folder, record_of(folder))


def checked_bytes(path: Path) -> bytes | None:
    """Return the content of a file in a recorded folder, which is read once and checked.

    Return None for another file; one that has a record of its own is checked. Raises ChangedError if a file is not what
    its record says, and OSError if it cannot be read.
    """
    wanted, _ = _entry_in_folder(path)
    if wanted is not None and os.stat(path).st_size == wanted.size:
        content = path.read_bytes()
        if entry_of_bytes(content) == wanted:
            return content
    refuse_changed(path)
    return None


def _changed(path: Path, wanted: Entry, record: Path) -> ChangedError:
    said = f"its record says {wanted.size} bytes and SHA-256 {wanted.sha256[:12]}"
    return ChangedError(
        f"{path} is not what was written ({said}); accepted is the file as it was: make it again, "
        f"or delete {record} if the change is meant."
    )


def fits(path: Path, wanted: Entry) -> bool:
    """Return whether a file is there, can be read, and is what was written."""
    try:
        now = path.stat()
        return stat.S_ISREG(now.st_mode) and now.st_size == wanted.size and entry_of(path) == wanted
    except OSError:
        return False


def _fits(path: Path, wanted: Entry, found: Entry | None) -> bool:
    """Return whether a file, or its content, is what was written; one that cannot be read is its reader's to name."""
    if found is not None:
        return found == wanted
    return fits(path, wanted) or not os.access(path, os.R_OK)


def _fits_pending(path: Path, found: Entry | None) -> bool:
    """Return whether a file is what a writer, killed before it renamed its record, said; then rename that."""
    pending = _pending(path)
    if not os.path.lexists(pending):
        return False
    try:
        (wanted,) = [entry for _, entry in read_record(pending)]
    except (OSError, ValueError):
        return False
    if not _fits(path, wanted, found):
        return False
    with suppress(OSError):  # in a folder that cannot be written to, it stays pending
        os.replace(pending, record_of(path))
    return True


def _own_entry(path: Path) -> Entry | None:
    """Return what the record beside a file says of it; None if there is none."""
    record = record_of(path)
    if not os.path.lexists(record):  # thousands of images have none
        return None
    try:
        with open_record(record) as file:
            found = [(unescape_name(name), entry) for _, name, entry in entries_of(record, file)]
    except FileNotFoundError:
        return None
    if len(found) != 1 or found[0][0] != os.fsencode(path.name):
        raise damaged_record(record)
    return found[0][1]


def _entry_in_folder(path: Path) -> tuple[Entry | None, Path | None]:
    """Return the nearest folder above a file that has a record, and what this says of the file; None for neither."""
    directory, name = os.path.split(os.path.abspath(path))
    found = _recorded_folder(directory)
    if found is None:
        return None, None
    folder, index = found
    return index.entry(f"{directory[len(os.path.dirname(folder).rstrip('/')) + 1 :]}/{name}"), Path(folder)


def _recorded_folder(directory: str) -> "tuple[str, _FolderRecord] | None":
    """Return the nearest recorded folder, of a directory and those above it, with its record."""
    folder = directory
    while (parent := os.path.dirname(folder)) != folder:
        record = f"{parent}/.{os.path.basename(folder)}.sha256"
        try:
            now = os.stat(record)
        except OSError:
            folder = parent
        else:
            return folder, _folder_record(record, now.st_mtime_ns, now.st_size, now.st_ino)
    return None


class _FolderRecord:
    """The record of a folder, with one name in :data:`ENTRIES_A_BLOCK` in memory; names in it are sorted."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._names: list[bytes] = []
        self._starts: list[int] = []
        self._last = -1, b""
        with open_record(record) as file:
            for number, (start, name, _) in enumerate(entries_of(record, file)):
                if number % ENTRIES_A_BLOCK == 0:
                    self._names.append(name)
                    self._starts.append(start)
            self._starts.append(file.tell())

    def entry(self, name: str) -> Entry | None:
        """Return what the file of a name was when it was written; None if it is not there."""
        escaped = escape_name(os.fsencode(name))
        block = bisect_right(self._names, escaped) - 1
        if block < 0:
            return None
        content = self._read(block)
        place = content.find(b"  " + escaped + b"\n")
        found = re.search(rb"# size ([0-9]{1,18})\n\\?([0-9a-f]{64})\Z", content[max(0, place - 100) : max(0, place)])
        return Entry(int(found[1]), found[2].decode()) if found else None

    def _read(self, block: int) -> bytes:
        """Return the lines of a block; images are mostly read in the order of their names."""
        if self._last[0] != block:
            with open_record(self._record) as file:
                file.seek(self._starts[block])
                self._last = block, file.read(self._starts[block + 1] - self._starts[block])
        return self._last[1]


@lru_cache(maxsize=8)
def _folder_record(record: str, mtime: int, size: int, inode: int) -> _FolderRecord:
    """Return a record of a folder; it is read again when it was changed."""
    return _FolderRecord(Path(record))


def _promote(pending: Path, record: Path) -> None:
    try:
        os.replace(pending, record)
    except FileNotFoundError:
        return  # a reader, or another writer of the same file, was faster
    except (IsADirectoryError, PermissionError) as error:
        raise no_place(record, error) from None


def _pending(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256.new")
