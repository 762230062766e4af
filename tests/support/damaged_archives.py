"""Tar archives made to order, and damage that an extraction has to survive."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Members = Sequence[tuple[tarfile.TarInfo, bytes]]

PACKINGS: tuple[Callable[[bytes], bytes], ...] = (bytes, gzip.compress, bz2.compress, lzma.compress)


def member(name: str, content: bytes = b"", **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member of an archive, a file unless the changes say otherwise."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def archive(path: Path, members: Members, mode: str = "w") -> Path:
    """Write an archive."""
    with tarfile.open(path, mode) as file:
        for info, content in members:
            file.addfile(info, io.BytesIO(content))
    return path


def tar_bytes(members: Members) -> bytes:
    """Return an archive that is not compressed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for info, content in members:
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


NAMES = (
    *("a.txt", "A.TXT", "d/b.txt", "d/../b.txt", "../evil", "/evil", ".", "", "./", "d//", "a.txt/below", "~/x", "-rf"),
    *("caf\udce9.png", "new\nline", "\x1b[31mred", "tab\t", " ", "C:evil", "..\\evil", "n" * 300, "d/" * 70 + "x"),
    *("d/" * 60 + "n" * 250, "\u202egnp.exe", "CON", "nul\0byte", "x" * 200 + "/" + "y" * 200),
)
KINDS = (
    *(tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE),
    *(tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, tarfile.XHDTYPE, b"?"),
)
LINKS = ("a.txt", "../a.txt", "/etc/passwd", "d", ".", "", "a.txt\n", "../../../../etc/passwd", "d/../a.txt")
PAX: tuple[dict[str, str], ...] = (
    *({}, {"path": "pax/../../evil"}, {"path": "p" * 5000}, {"size": "-5"}, {"size": "x"}, {"linkpath": "/etc/passwd"}),
    *({"GNU.sparse.map": "0,512", "GNU.sparse.size": "9999999999"}, {"hdrcharset": "BINARY", "path": "caf\udce9"}),
    *({"mtime": "nan"}, {"uid": "99999999999999999999"}, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
)


def random_archive(rng: np.random.Generator) -> bytes:
    """Return an archive of members that nobody sane packs, now and then damaged."""
    buffer = io.BytesIO()
    kind = (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)[int(rng.integers(3))]
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as file:
        for _ in range(int(rng.integers(1, 8))):
            sane = rng.random() < 0.7
            info, content = member(f"d/{rng.integers(10)}.txt" if sane else _one(NAMES, rng), rng.bytes(700))
            if rng.random() < 0.25:
                info.type = _one(KINDS, rng)
                info.linkname = _one(LINKS, rng)
            if rng.random() < 0.15:
                info.pax_headers = dict(_one(PAX, rng))
            if rng.random() < 0.05:
                info.size = int(rng.choice([10**12, 2**33, 701, 699, 0]))
            try:
                file.addfile(info, io.BytesIO(content.ljust(min(info.size, 2000), b"\0")))
            except (ValueError, OSError):  # what the format cannot hold, or sizes that lie
                buffer.write(info.tobuf(tarfile.GNU_FORMAT, errors="replace") if len(info.name) < 5000 else b"")
    damaged = bytearray(_one(PACKINGS, rng)(buffer.getvalue()))
    if rng.random() < 0.5:
        for place in rng.integers(len(damaged), size=int(rng.integers(1, 6))):
            damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged[: int(rng.integers(len(damaged)))] if rng.random() < 0.15 else damaged)


def random_record(digest: str, name: str, rng: np.random.Generator) -> bytes:
    """Return a record of a SHA-256, right or damaged."""
    text = f"{digest}  {name}\n"
    kind = rng.integers(6)
    if kind == 0:
        return rng.bytes(int(rng.integers(200)))
    if kind == 1:
        return text.encode(("utf-16", "utf-8-sig", "utf-32")[int(rng.integers(3))])
    if kind == 2:
        return (f"{'0' * 64}  other\n" * int(rng.integers(5)) + text * int(rng.integers(3))).encode()
    damaged = bytearray(text.encode())
    for place in rng.integers(len(damaged), size=int(rng.integers(1, 4))):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def _one(choices: Sequence[Any], rng: np.random.Generator) -> Any:
    return choices[int(rng.integers(len(choices)))]
