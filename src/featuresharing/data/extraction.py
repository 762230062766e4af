"""Extract archives that anyone may have made: nothing outside the folder, no links out of it, no devices, no floods."""

import lzma
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from featuresharing.errors import DiskFullError, InputError
from featuresharing.files import is_full, sync

DAMAGE = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, UnicodeError, OverflowError)
"""What reading a damaged archive leads to."""


def extract(archive: Path, folder: Path, *, most_bytes: int = 500 * 2**30, most_files: int = 10_000_000) -> int:
    """Extract a tar archive (plain, gz, bz2 or xz) to ``folder``, which appears whole or not at all; return its files.

    Only files and folders are taken; a link is, if its target is a file of the archive, which is copied. Permissions
    and owners are left out. A folder that is there is replaced. Raises InputError for an archive that is damaged, has
    members outside of it, devices, links that lead elsewhere, or more than ``most_bytes`` or ``most_files``.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        with _damage_said(archive), tarfile.open(archive, "r:*") as file:
            count = _Extraction(archive, part, most_bytes, most_files).run(file)
        for path in [*part.rglob("*"), part]:
            if path.is_dir():
                sync(path)
        aside = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(aside, ignore_errors=True)
        if folder.exists():
            folder.rename(aside)
        part.rename(folder)
        sync(folder.parent)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return count


@contextmanager
def _damage_said(archive: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"archive {archive} does not exist; accepted is a tar archive.") from None
    except DAMAGE as error:
        if is_full(error):
            raise DiskFullError(
                f"{archive} cannot be extracted: no space is left on the disk; accepted is a disk with room."
            ) from None
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise InputError(
            f"archive {archive} is damaged or no tar archive ({reason}); accepted is a whole one: delete it and type "
            "the same command again to download it anew."
        ) from None


class _Extraction:
    """One extraction into ``folder``; counts what it writes."""

    def __init__(self, archive: Path, folder: Path, most_bytes: int, most_files: int) -> None:
        self._archive, self._folder = archive, folder
        self._bytes_left, self._files_left = most_bytes, most_files
        self._limits = f"{most_bytes} bytes in {most_files} files"

    def run(self, file: tarfile.TarFile) -> int:
        """Extract every member; return how many files there are."""
        count = 0
        for member in file:
            target = self._place(member)
            self._files_left -= 1
            self._bytes_left -= member.size if member.isfile() else 0
            if self._files_left < 0 or self._bytes_left < 0:
                raise InputError(f"archive {self._archive} holds too much; accepted are at most {self._limits}.")
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            if not member.isfile() and not member.issym() and not member.islnk():
                raise self._refusal(member, "is a device, a pipe or the like")
            target.parent.mkdir(parents=True, exist_ok=True)
            if member.isfile():
                self._write(file, member, target)
            else:
                self._copy(member, target)
            count += 1
        # tarfile ends without a word where the next header is missing or damaged
        assert file.fileobj is not None
        file.fileobj.seek(file.offset)
        if file.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise EOFError("its end is missing")
        return count

    def _place(self, member: tarfile.TarInfo) -> Path:
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts or "\0" in member.name or "\\" in member.name:
            raise self._refusal(member, "leads out of the folder")
        target = self._folder / name
        if target != self._folder and (target.is_file() or any(parent.is_file() for parent in target.parents)):
            raise self._refusal(member, "stands there twice, or below a file")
        return target

    def _write(self, file: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
        source = file.extractfile(member)
        assert source is not None
        with source, target.open("xb") as output:
            shutil.copyfileobj(source, output, 2**20)
            if output.tell() != member.size:
                raise EOFError(f"{member.name} ends after {output.tell()} of {member.size} bytes")
            output.flush()
            os.fsync(output.fileno())

    def _copy(self, member: tarfile.TarInfo, target: Path) -> None:
        """Copy the file that a link leads to; below the folder are no links, so that paths say where they lead."""
        start = target.parent if member.issym() else self._folder
        source = Path(os.path.normpath(start / member.linkname))
        inside = not os.path.isabs(member.linkname) and source.is_relative_to(self._folder)
        if not inside or not source.is_file():
            raise self._refusal(member, f"is a link to {member.linkname}, which is no file before it in the archive")
        self._bytes_left -= source.stat().st_size
        if self._bytes_left < 0:
            raise InputError(f"archive {self._archive} holds too much; accepted are at most {self._limits}.")
        shutil.copyfile(source, target)

    def _refusal(self, member: tarfile.TarInfo, problem: str) -> InputError:
        accepted = "accepted are files and folders inside the archive"
        return InputError(f"archive {self._archive}: member {member.name!r} {problem}; {accepted}.")
