"""The two files of a Caffe network: which is which and which belong together, without torch and protobuf."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from featuresharing.errors import InputError, quoted
from featuresharing.files.record_format import open_regular

DEFINITION, WEIGHTS = ".prototxt", ".caffemodel"

START = 2**16
"""Bytes of a file within which its first layer is."""

MOST_LISTED = 5
"""Files that a sentence names."""

_SETTING = rb"(?:name|input|input_dim|input_shape|force_backward|state|debug_info|layers?)"
_BEGINS = re.compile(rb"\s*" + _SETTING + rb"\s*[:{]")
_LAYER = re.compile(rb"(?<![\w.])layers?\s*:?\s*\{\s*(?:name|type|bottom|top|include|exclude)\s*[:{]")
_TYPE = re.compile(rb"""(?<!\w)type\s*:\s*(?:"\w+"|'\w+'|[A-Z][A-Z0-9_]*(?!\w))""")
_COMMENT = re.compile(rb"#[^\n]*")

_TOP_LEVEL = {1: 2, 2: 2, 3: 2, 4: 0, 5: 0, 6: 2, 7: 0, 8: 2, 100: 2}
"""The fields of a network and how they are written: 0 is a number, 2 a text or a message."""

LAYER_FIELDS = (2, 100)
"""The fields of a network that are layers, of the first version and of the second."""

_LAST_TYPE = 39
"""The largest number of a layer's type in the first version."""


class Field(NamedTuple):
    """A field of a message in a binary file: its number, how it is written, and from where to where its content is."""

    number: int
    kind: int
    start: int
    stop: int


def kind_of(path: Path) -> str | None:
    """Return whether a file begins as the definition or as the weights of a Caffe network; None for another one."""
    with open_regular(path) as file:
        start = file.read(START)
    if _is_definition(start):
        return DEFINITION
    return WEIGHTS if _is_weights(start) else None


def _is_definition(start: bytes) -> bool:
    if b"\0" in start:
        return False
    text = _COMMENT.sub(b"", start)
    return bool(_BEGINS.match(text) and _LAYER.search(text) and _TYPE.search(text))


def _is_weights(start: bytes) -> bool:
    """Return whether the first layer has a name and a type, before it any fields of a network alone."""
    try:
        for field in fields_of(start, 0, len(start)):
            if _TOP_LEVEL.get(field.number) != field.kind:
                return False
            content = start[field.start : field.stop]
            if field.number in LAYER_FIELDS:
                return _is_layer(content, first_version=field.number == LAYER_FIELDS[0])
            if field.number == 1 and not content.decode().isprintable():
                return False
    except ValueError:
        pass
    return False


def _is_layer(content: bytes, *, first_version: bool) -> bool:
    name, kind = (4, 5) if first_version else (1, 2)
    found = set()
    for field in fields_of(content, 0, len(content)):
        text = content[field.start : field.stop]
        if field.number == name and field.kind == 2 and text.decode().isprintable():
            found.add(name)
        elif first_version and field.number == kind and field.kind == 0:
            found |= {kind} if number_at(content, field.start)[0] <= _LAST_TYPE else set()
        elif not first_version and field.number == kind and field.kind == 2 and text.isalnum():
            found.add(kind)
        elif field.kind != 2:
            return False
        if len(found) == 2:
            return True
    return False


def fields_of(data: bytes | memoryview, start: int, stop: int) -> Iterator[Field]:
    """Yield the fields of the message in ``data`` from ``start`` to ``stop``; the last may end behind it.

    Raises ValueError for what is no message.
    """
    while start < stop:
        tag, start = number_at(data, start)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            end = number_at(data, start)[1]
        elif kind == 2:
            size, start = number_at(data, start)
            end = start + size
        elif kind in (1, 5):
            end = start + (8 if kind == 1 else 4)
        else:
            raise ValueError(f"a field is written in a way that is not known ({kind})")
        yield Field(number, kind, start, end)
        start = end


def number_at(data: bytes | memoryview, start: int) -> tuple[int, int]:
    """Return the number that stands at ``start``, in seven bits a byte, and where it ends.

    Raises ValueError for none.
    """
    value = 0
    for place, byte in enumerate(data[start : start + 10]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, start + place + 1
    raise ValueError("a number has no end")


def pair_of(path: Path) -> tuple[Path, Path]:
    """Return the definition and the weights of the network to which a file belongs, which is one of them.

    The other is the file of the same name, else the only one of its kind in the folder. Raises InputError where there
    is none, or more than one.
    """
    is_definition = kind_of(path) == DEFINITION
    wanted = WEIGHTS if is_definition else DEFINITION
    other = path.with_suffix(wanted)
    if not other.exists():
        candidates = [each for each in sorted(path.parent.glob(f"*{wanted}")) if each != path and _is(each, wanted)]
        if len(candidates) != 1:
            names = ", ".join(quoted(each.name) for each in candidates[:MOST_LISTED])
            found = f"{len(candidates)} files ({names})" if candidates else "none"
            what = "weights" if is_definition else "definition"
            raise InputError(
                f"{path} is half of a Caffe network: of its {what}, found {found} of *{wanted} beside it; accepted is "
                f"{other.name}, or a folder with one."
            )
        (other,) = candidates
    return (path, other) if is_definition else (other, path)


def _is(path: Path, wanted: str) -> bool:
    try:
        return kind_of(path) == wanted
    except OSError:
        return False
