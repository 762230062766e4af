"""The format of records: texts that sha256sum reads, with the size of every file and an end."""

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BufferedReader, FileIO
from pathlib import Path
from typing import NamedTuple

from featuresharing.errors import InputError

LONGEST = 2**16
"""Bytes of the longest line of a record."""

KEY = re.compile(rb"# key ([0-9a-f]+)\n")
_SIZE = re.compile(rb"# size ([0-9]{1,18})\n")
_LINE = re.compile(rb"\\?([0-9a-f]{64})  ([^\n]+)\n")
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}


class ChangedError(InputError):
    """A file is not what was written; it is no file of another kind that a reader might leave out."""


class Entry(NamedTuple):
    """What was written: the ``size`` of a file in bytes and its ``sha256`` in hexadecimal digits."""

    size: int
    sha256: str


def entries_of(record: Path, file: BufferedReader) -> Iterator[tuple[int, bytes, Entry]]:
    """Yield where an entry starts, its escaped name and what it says; raises ChangedError for another form."""
    folder = escape_name(os.fsencode(record.name.removesuffix(".new")[1 : -len(".sha256")]))
    place, count, last = 0, 0, b""
    line = file.readline(LONGEST)
    if KEY.fullmatch(line):
        place, line = len(line), file.readline(LONGEST)
    while size := _SIZE.fullmatch(line):
        second = file.readline(LONGEST)
        digest = _LINE.fullmatch(second)
        name = digest[2] if digest else b""
        inside = name == folder or (name.startswith(folder + b"/") and b".." not in name.split(b"/"))
        if digest is None or not inside or name <= last or second.startswith(b"\\") != (b"\\" in name):
            raise damaged_record(record)
        yield place, name, Entry(int(size[1]), digest[1].decode())
        place, count, last = place + len(line) + len(second), count + 1, name
        line = file.readline(LONGEST)
    if line != b"# files %d\n" % count or not count or file.read(1):
        raise damaged_record(record)


def write_record(record: Path, key: str, entries: Iterable[tuple[str, Entry]]) -> None:
    """Write a record, names sorted, and bring it to disk."""
    lines = sorted((escape_name(os.fsencode(name)), entry) for name, entry in entries)
    try:
        with record.open("wb") as file:
            if key:
                file.write(f"# key {key}\n".encode())
            for name, entry in lines:
                escape = b"\\" if b"\\" in name else b""
                file.write(f"# size {entry.size}\n".encode())
                file.write(escape + entry.sha256.encode() + b"  " + name + b"\n")
            file.write(b"# files %d\n" % len(lines))
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        with suppress(OSError):
            record.unlink()
        if isinstance(error, IsADirectoryError | PermissionError):
            raise no_place(record, error) from None
        raise


def escape_name(name: bytes) -> bytes:
    """Return a name as sha256sum writes it."""
    return re.sub(rb"[\\\n\r]", lambda found: _ESCAPES[found[0]], name)


def unescape_name(name: bytes) -> bytes:
    """Return the name that sha256sum writes like this."""
    whole = {written: meant for meant, written in _ESCAPES.items()}
    return re.sub(rb"\\[\\nr]", lambda found: whole[found[0]], name)


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file; a pipe, say, would be waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return BufferedReader(FileIO(descriptor))


def open_record(record: Path) -> BufferedReader:
    """Open a record; raises FileNotFoundError if there is none, and InputError if it is none or cannot be read."""
    try:
        return open_regular(record)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(record) from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise FileNotFoundError(record) from None
        raise InputError(f"{record} cannot be read ({error.strerror or error}); accepted is a record.") from None


def no_place(record: Path, error: OSError) -> InputError:
    """Return the error that a record cannot be written."""
    return InputError(f"{record} cannot be written ({error.strerror}); accepted is that nothing else has this name.")


def damaged_record(record: Path) -> ChangedError:
    """Return the error that a record is damaged."""
    return ChangedError(
        f"{record} is no record as it was written; accepted is one: make what it is of again, or delete it."
    )
