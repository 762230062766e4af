"""Files of torch that say whether they are as they were written: a zip archive whose comment is its SHA-256.

torch checks no checksum when it reads a file: a flipped bit gives other weights, and a wrong size reads memory that is
not the file's. So the seal, the archive's form, the CRC-32 of its members and what its pickle names are checked first.
Any reader of torch's files reads sealed ones; files without a seal are those of earlier versions.
"""

import hashlib
import io
import os
import pickletools
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, ZipFile

import torch

from featuresharing.files.atomic import replacing

SEAL = b"sha256:"
SEAL_SIZE = len(SEAL) + 64

END_SIZE = 22
"""Bytes of the last record of a zip archive, which ends with the length of its comment in two bytes."""

GLOBALS = frozenset(
    {
        "collections Counter",
        "collections OrderedDict",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_tensor_v2",
        *(f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Bool", "Byte")),
    }
)
"""What networks and states of trainings are made of, as pickles name it: nothing else is built."""


class DamagedFileError(Exception):
    """A file is not as it was written, or none of torch's; the text says what is wrong."""


def write_sealed(path: Path, content: Any, *, recorded: bool = True) -> str:
    """Write what torch can save, whole or not at all; return the file's SHA-256. Equal contents give equal bytes.

    Files of work in progress are not ``recorded`` (:mod:`featuresharing.files.records`).

    Raises InputError for a folder that cannot be written to, DiskFullError if the disk is full.
    """
    # torch stores the file's name inside the file; a buffer has none
    buffer = io.BytesIO()
    torch.save(content, buffer)
    archive = buffer.getbuffer()[:-2]
    digest = hashlib.sha256(archive)
    seal = SEAL + digest.hexdigest().encode()
    end = len(seal).to_bytes(2, "little") + seal
    digest.update(end)
    with replacing(path, recorded=recorded) as temporary, temporary.open("wb") as file:
        file.write(archive)
        file.write(end)
    return digest.hexdigest()


def read_sealed(path: Path, *, unsealed: bool = False) -> Any:
    """Return what :func:`write_sealed` wrote, tensors on the CPU; ``unsealed`` files are read as well if asked for.

    Memory stays within a small multiple of the file's size. Tensors are private views of the file.
    Raises FileNotFoundError, and DamagedFileError for any other file than that which was written.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DamagedFileError("it is no file")
        with path.open("rb") as file:
            _check_seal(file, unsealed=unsealed)
            sizes = _check_archive(file)
        # mapped, since torch bounds what it reads by the size of the file then
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if sorted(_storage_sizes(content).values()) != sizes:
            raise DamagedFileError("its tensors are not of the sizes of its members")
        return content
    except (FileNotFoundError, DamagedFileError):
        raise
    except OSError as error:
        raise DamagedFileError(str(error.strerror or "it cannot be read")) from None
    except Exception:  # whatever arbitrary bytes lead readers of zip archives and pickles to
        raise DamagedFileError("it is no file of torch as it was written") from None


def _check_seal(file: BinaryIO, *, unsealed: bool) -> None:
    size = file.seek(0, os.SEEK_END)
    if size < END_SIZE:
        raise DamagedFileError("it is cut short" if size else "it is empty")
    length = max(0, size - SEAL_SIZE - 2)
    file.seek(length)
    comment, seal = file.read(2), file.read(SEAL_SIZE)
    if comment == SEAL_SIZE.to_bytes(2, "little") and seal.startswith(SEAL):
        if _digest(file, length) != seal.removeprefix(SEAL).decode("ascii", "replace"):
            raise DamagedFileError("its content is not what its digest says")
        return
    file.seek(size - END_SIZE)
    end = file.read(END_SIZE)
    if not (end.startswith(b"PK\x05\x06") and end.endswith(b"\0\0")):
        raise DamagedFileError("its end is missing or damaged")
    if not unsealed:
        raise DamagedFileError("it has no digest")


def _digest(file: BinaryIO, length: int) -> str:
    """Return the SHA-256 of the first ``length`` bytes."""
    file.seek(0)
    digest = hashlib.sha256()
    while length and (block := file.read(min(length, 2**20))):
        digest.update(block)
        length -= len(block)
    return digest.hexdigest()


def _check_archive(file: BinaryIO) -> list[int]:
    """Check that an archive holds members as torch stores them, one after the other, and that each is sound.

    Return the sizes of those that hold tensors in rising order, but for empty ones.
    """
    with ZipFile(file) as archive:
        members = sorted(archive.infolist(), key=lambda member: member.header_offset)
        names = {member.filename for member in members}
        end = 0
        for member in members:
            plain = member.compress_type == ZIP_STORED and member.file_size == member.compress_size
            if not plain or member.header_offset < end:
                raise DamagedFileError(f"its member {member.filename[:40]!a} is not stored as torch stores it")
            end = member.header_offset + member.file_size
        if members and members[0].header_offset:
            raise DamagedFileError("it does not begin with a member")
        if len(names) < len(members):
            raise DamagedFileError("it holds a member twice")
        if end > archive.start_dir:
            raise DamagedFileError("its members are larger than it is")
        if (spoilt := archive.testzip()) is not None:
            raise DamagedFileError(f"its member {spoilt[:40]!a} is not what its checksum says")
        _check_pickle(archive.read(next(name for name in names if name.endswith("/data.pkl"))))
        return sorted(member.file_size for member in members if "/data/" in member.filename and member.file_size)


def _check_pickle(pickle: bytes) -> None:
    """Check what a pickle builds: tensors, mappings and plain values alone."""
    for operation, argument, _ in pickletools.genops(pickle):
        if operation.name == "GLOBAL" and argument not in GLOBALS:
            raise DamagedFileError(f"it holds '{str(argument)[:60]}', which no network is made of")


def _storage_sizes(content: Any) -> dict[int, int]:
    """Return the sizes in bytes of what tensors in mappings and sequences are stored in, by their addresses."""
    sizes: dict[int, int] = {}
    seen: set[int] = set()
    left = [content]
    while left:
        value = left.pop()
        if isinstance(value, torch.Tensor):
            storage = value.untyped_storage()
            sizes |= {storage.data_ptr(): storage.nbytes()} if storage.nbytes() else {}
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))  # a list may hold another many times, and so on
            left += value.values() if isinstance(value, Mapping) else value
    return sizes
