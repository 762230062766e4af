"""Tell a file from what servers send in its place: login pages, messages, nothing."""

import re
from pathlib import Path

from featuresharing.errors import InputError
from featuresharing.fetch.extraction import holds_member

STARTS = {
    ".gz": b"\x1f\x8b",
    ".tgz": b"\x1f\x8b",
    ".bz2": b"BZh",
    ".tbz2": b"BZh",
    ".xz": b"\xfd7zXZ\0",
    ".txz": b"\xfd7zXZ\0",
    ".zst": b"\x28\xb5\x2f\xfd",
    ".tzst": b"\x28\xb5\x2f\xfd",
    ".zip": b"PK",
    ".7z": b"7z\xbc\xaf\x27\x1c",
}
"""How compressed files begin, by the ends of their names."""

TAR = re.compile(r"\.(tar(\.(gz|bz2|xz))?|tgz|tbz2|txz)", re.IGNORECASE)
"""Ends of the names of archives that can be extracted."""

PAGE = re.compile(
    rb"\s*<(!doctype|!--|\?xml|html|head|body|title|meta|script|style|div|p|h[1-6]|error)\b", re.IGNORECASE
)
"""How web pages begin, and the messages of servers."""

PAGES = (".html", ".htm", ".xhtml", ".xml", ".svg")


def check_recognised(path: Path, name: Path) -> None:
    """Raise InputError unless the file at ``path`` is what one called ``name`` may be.

    A tar archive has to have a member, other compressed files have to begin as such; no file is empty or a web page.
    """
    with path.open("rb") as file:
        start = file.read(512)
    accepted = f"a whole {kind}" if (kind := kind_of(name)) else "the file itself"
    if not start:
        raise InputError(f"{name} is empty; accepted is {accepted}.")
    if name.suffix.lower() not in PAGES and is_page(start):
        raise InputError(
            f"{name} is a web page, such as one to log in; accepted is {accepted}: get it with a browser and put it "
            "there yourself."
        )
    wrong = not holds_member(path) if TAR.fullmatch(_end(name)) else not start.startswith(_start_of(name))
    if wrong:
        raise InputError(f"{name} is no {kind}: it begins with {start[:16]!r}; accepted is {accepted}.")


def kind_of(name: Path) -> str | None:
    """Return what a file is by its name, if it is an archive or compressed."""
    if TAR.fullmatch(_end(name)):
        return "tar archive"
    return f"{name.suffix.lower()} file" if _start_of(name) else None


def is_gzip(name: Path) -> bool:
    """Return whether a file is gzip by its name."""
    return STARTS.get(name.suffix.lower()) == STARTS[".gz"]


def is_page(start: bytes) -> bool:
    """Return whether a file that begins with ``start`` is a web page, in any encoding."""
    return PAGE.match(start.lstrip(b"\xef\xbb\xbf\xff\xfe").replace(b"\0", b"")) is not None


def _start_of(name: Path) -> bytes:
    return STARTS.get(name.suffix.lower(), b"")


def _end(name: Path) -> str:
    first = name.with_suffix("").suffix if name.suffix.lower() != ".tar" else ""
    return f"{first}{name.suffix}" if first.lower() == ".tar" else name.suffix
