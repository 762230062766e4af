"""Extract archives that anyone may have made: nothing outside the folder, no links out of it, no devices, no floods."""

import ctypes
import errno
import lzma
import os
import shutil
import sys
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, Self

from featuresharing.errors import DiskFullError, InputError, quoted
from featuresharing.files.atomic import is_full, sync
from featuresharing.files.records import entry_of, files_in, record_folder
from featuresharing.settings import ExtractionSettings

LIMITS = ExtractionSettings()
"""What an archive may hold, unless a caller says otherwise."""

DAMAGE = (
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    UnicodeError,
    OverflowError,
    RecursionError,
    MemoryError,
)
"""What reading a damaged archive leads to."""

MOST_HEADER = 2**20
"""Bytes of a long name or of pax fields, which are read into memory."""

DEEPEST = 64
"""Names in the path of a member."""

LONGEST_NAME, LONGEST_PATH = 255, 4096
"""Bytes of a name and of a path, which file systems limit."""

SWELLING, SMALL = 100, 2**30
"""How many times its own size an archive may hold, or so many bytes: what holds more was made to fill disks."""

MOST_REMEMBERED = 10_000
"""Folders of an extraction that are kept in memory."""

TWICE = "stands there twice, or below a file"

PADDING = 2**20
"""Bytes that may follow the end of an archive in any case."""

_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def extract(
    archive: Path, folder: Path, *, most_bytes: int = LIMITS.most_bytes, most_files: int = LIMITS.most_files
) -> int:
    """Extract a tar archive (plain, gz, bz2 or xz) to ``folder``, which appears whole or not at all; return its files.

    Only files and folders are taken; a link is, if its target is a file of the archive, which is copied. Permissions
    and owners are left out. A folder that is there is replaced. Raises DamagedArchiveError for an archive that is
    damaged, InputError for one that has members outside of it, devices, links that lead elsewhere, sparse files, paths
    of more than 64 names, or more than ``most_bytes`` (or 100 times its own size), or ``most_files`` members or
    folders; also for a ``folder`` that cannot be written.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with _damage_said(archive):
            with _writing(folder):
                if folder.exists() and not folder.is_dir():
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
                part.mkdir(parents=True)
            with tarfile.open(archive, "r:*", tarinfo=_Member) as file:
                most = min(most_bytes, max(SMALL, SWELLING * archive.stat().st_size))
                count = _Extraction(part, most, most_files).run(file)
            with _writing(folder):
                _put(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return count


def holds_member(archive: Path) -> bool:
    """Return whether a file is a tar archive, compressed or not, whose first member can be read."""
    try:
        with tarfile.open(archive, "r:*", tarinfo=_Member) as file:
            return file.next() is not None
    except (_RefusedError, *DAMAGE):
        return False


def _put(part: Path, folder: Path) -> None:
    """Let ``part`` take the place of ``folder``."""
    _sync_disk(part)
    aside = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        folder.rename(aside)
    record_folder(folder, [(path.relative_to(part).as_posix(), entry_of(path)) for path in files_in(part)])
    part.rename(folder)
    sync(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _sync_disk(folder: Path) -> None:
    """Bring everything on the disk of a folder there, at once: file by file, 100,000 of them take minutes."""
    sync(folder)
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:  # it is Linux that has it
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


class DamagedArchiveError(InputError):
    """An archive is damaged, or none."""


class _RefusedError(Exception):
    """What an archive holds is refused, for what was found and what is accepted, in words."""


def _refusal(member: tarfile.TarInfo, problem: str) -> _RefusedError:
    return _RefusedError(f"member {quoted(member.name)} {problem}; accepted are files and folders inside the archive")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise
        raise InputError(f"{folder} cannot be written to ({error.strerror}); accepted is a writable folder.") from None


@contextmanager
def _damage_said(archive: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except _RefusedError as error:
        raise InputError(f"archive {archive}: {error}.") from None
    except FileNotFoundError:
        raise InputError(f"archive {archive} does not exist; accepted is a tar archive.") from None
    except DAMAGE as error:
        if is_full(error):
            raise DiskFullError(
                f"{archive} cannot be extracted: no space is left on the disk; accepted is a disk with room."
            ) from None
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = said.partition("\n")[0].rstrip(".") or type(error).__name__
        raise DamagedArchiveError(
            f"archive {archive} is damaged or no tar archive ({reason}); accepted is a whole one: delete it and type "
            "the same command again to download it anew."
        ) from None


class _Member(tarfile.TarInfo):
    """A member whose declared size is checked before it is read."""

    @classmethod
    def fromtarfile(cls, file: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(file)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            # tarfile would take this for the end, without a word
            raise tarfile.ReadError(f"a header is missing or damaged: {error}") from None

    def _proc_member(self, file: tarfile.TarFile) -> Self:
        most = MOST_HEADER if self.type in _HEADERS else sys.maxsize
        if self.type == tarfile.XGLTYPE:
            most -= len(str(file.pax_headers))  # global ones stay in memory
        if not 0 <= self.size <= most:
            raise _RefusedError(f"header {quoted(self.name)} declares {self.size} bytes; accepted are 0 to {most}")
        return super()._proc_member(file)  # type: ignore[misc, no-any-return]

    def _refuse_sparse(self, other: object, *_: Any) -> NoReturn:
        raise _refusal(other if isinstance(other, tarfile.TarInfo) else self, "is sparse")

    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse


class _Extraction:
    """One extraction into ``folder``; counts what it writes."""

    def __init__(self, folder: Path, most_bytes: int, most_files: int) -> None:
        self._folder = folder
        self._bytes_left, self._members_left, self._folders_left = most_bytes, most_files, most_files
        self._made: set[Path] = set()  # folders that are known to be there, some of them
        self._limits = f"{most_bytes} bytes in {most_files} files and as many folders"

    def run(self, file: tarfile.TarFile) -> int:
        """Extract every member; return how many files there are."""
        count = 0
        while member := file.next():
            file.members.clear()  # type: ignore[attr-defined]  # millions of them would fill the memory
            target = self._place(member)
            self._spend(members=1, size=member.size if member.isfile() else 0)
            if member.isdir():
                self._make(target)
                continue
            if not member.isfile() and not member.issym() and not member.islnk():
                raise _refusal(member, "is a device, a pipe or the like")
            self._make(target.parent)
            if member.isfile():
                self._write(file, member, target)
            else:
                self._copy(member, target)
            count += 1
        self._finish(file)
        return count

    def _finish(self, file: tarfile.TarFile) -> None:
        """Read what follows the last member: at its end, compressed archives have their checksums."""
        assert file.fileobj is not None
        self._bytes_left += PADDING
        while chunk := file.fileobj.read(2**20):
            self._spend(size=len(chunk))

    def _spend(self, *, size: int = 0, members: int = 0, folders: int = 0) -> None:
        self._bytes_left -= size
        self._members_left -= members
        self._folders_left -= folders
        if min(self._bytes_left, self._members_left, self._folders_left) < 0:
            raise _RefusedError(f"it holds too much; accepted are at most {self._limits}")

    def _make(self, folder: Path) -> None:
        if folder in self._made:
            return
        if not folder.is_dir():
            self._spend(folders=sum(not each.exists() for each in (folder, *folder.parents)))
            folder.mkdir(parents=True)
        if len(self._made) >= MOST_REMEMBERED:
            self._made.clear()
        self._made.add(folder)

    def _place(self, member: tarfile.TarInfo) -> Path:
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts or "\0" in member.name or "\\" in member.name:
            raise _refusal(member, "leads out of the folder")
        if len(name.parts) > DEEPEST:
            raise _refusal(member, f"has a path of more than {DEEPEST} names")
        target = self._folder / name
        longest = max(len(os.fsencode(part)) for part in ("", *name.parts))
        if longest > LONGEST_NAME or len(os.fsencode(target)) > LONGEST_PATH:
            raise _refusal(member, f"has a name of over {LONGEST_NAME} bytes, or a path of over {LONGEST_PATH}")
        below_file = target.parent not in self._made and any(parent.is_file() for parent in target.parents)
        # a file is opened as a new one
        if below_file or (not member.isfile() and target.exists() and not (member.isdir() and target.is_dir())):
            raise _refusal(member, TWICE)
        return target

    def _write(self, file: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
        source = file.extractfile(member)
        assert source is not None
        try:
            output = target.open("xb")
        except FileExistsError:
            raise _refusal(member, TWICE) from None
        with source, output:
            shutil.copyfileobj(source, output, 2**20)
            if output.tell() != member.size:
                raise EOFError(f"{quoted(member.name)} ends after {output.tell()} of {member.size} bytes")

    def _copy(self, member: tarfile.TarInfo, target: Path) -> None:
        """Copy the file that a link leads to; below the folder are no links, so that paths say where they lead."""
        start = target.parent if member.issym() else self._folder
        source = Path(os.path.normpath(start / member.linkname))
        inside = not os.path.isabs(member.linkname) and source.is_relative_to(self._folder)
        if not inside or not source.is_file():
            raise _refusal(member, f"is a link to {quoted(member.linkname)}, which is no file before it in the archive")
        self._spend(size=source.stat().st_size)
        shutil.copyfile(source, target)
