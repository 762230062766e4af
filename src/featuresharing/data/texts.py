"""The one reader of texts that people write: in UTF-8, with any line ends, checked line by line."""

import codecs
import os
import re
from collections.abc import Iterator
from pathlib import Path

from featuresharing.errors import InputError
from featuresharing.files.records import refuse_changed

ACCEPTED = "accepted is text saved as UTF-8 (Excel: 'CSV UTF-8'; Notepad: encoding UTF-8)"

UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters but for tabulators and line ends."""

UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ufeff]")
"""Characters that a name in a list or a value in a table cannot hold."""

SNIFFED = 4096
"""Bytes that are looked at before a file is read: one that is no text may be large."""


def read_text(path: Path, what: str = "text", *, names: bool = False) -> str:
    """Read a text in UTF-8, with or without a byte order mark, its line ends as in the file.

    With ``names``, bytes that are not UTF-8 are kept as surrogate escapes: names of files may hold any. ``what`` is
    what errors call the file. Raises InputError for a file that is missing or cannot be read, and, with the number of
    the line, for UTF-16, other bytes that are not UTF-8, control characters and a byte order mark behind the start.
    """
    data = _read_bytes(path, what)
    if data.startswith(UTF_16_MARKS):
        raise InputError(f"{what} {path}, line 1: found UTF-16 or UTF-32; {ACCEPTED}.")
    if b"\0" in data:
        line = _line(data[: data.index(b"\0")])
        raise InputError(f"{what} {path}, line {line}: found a NUL byte, as UTF-16 has; {ACCEPTED}.")
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape" if names else "strict")
    except UnicodeDecodeError as error:
        start = error.start + len(data) - len(error.object)
        found = f"the byte 0x{data[start]:02X}, which is not UTF-8"
        raise InputError(f"{what} {path}, line {_line(data[:start])}: found {found}; {ACCEPTED}.") from None
    if wrong := CONTROL.search(text):
        found = f"the control character U+{ord(wrong[0]):04X}"
    elif "\ufeff" in text:
        found = "a byte order mark, as between texts that were joined"
    else:
        return text
    start = wrong.start() if wrong else text.index("\ufeff")
    line = _line(text[:start].encode(errors="surrogateescape"))
    raise InputError(f"{what} {path}, line {line}: found {found}; accepted are letters, signs and blanks.")


def _read_bytes(path: Path, what: str) -> bytes:
    if not os.path.exists(path):
        raise InputError(f"{what} {path} does not exist; accepted is one that does.")
    if not os.path.isfile(path):
        raise InputError(f"{what} {path} cannot be read: it is no regular file; accepted is a text file.")
    try:
        with path.open("rb") as file:
            data = file.read(SNIFFED)
            if b"\0" not in data:
                data += file.read()
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read ({error.strerror}); accepted is a readable file.") from None
    refuse_changed(path, None if b"\0" in data else data)
    return data


def _line(before: bytes) -> int:
    """Return the number of the line that follows these bytes."""
    return 1 + before.replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n")


def read_lines(path: Path, what: str, *, names: bool = False) -> Iterator[tuple[int, str]]:
    """Yield the number and text of every line that is not blank, without blanks around it.

    Lines end in LF, CR LF or CR. Arguments and errors are those of :func:`read_text`.
    """
    text = read_text(path, what, names=names).replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(text.split("\n"), start=1):
        if stripped := line.strip():
            yield number, stripped
