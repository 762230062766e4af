"""Files that appear whole or not at all."""

import errno
import glob
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featuresharing.errors import DiskFullError, InputError
from featuresharing.files.records import entry_of, publish

PROGRESS = ".progress"
"""Name of folders that hold what a command has done so far."""


@contextmanager
def replacing(output: Path, *, room: int = 0, recorded: bool = True, key: str = "") -> Iterator[Path]:
    """Yield a temporary path beside ``output``; rename it to ``output`` if the block succeeds, else delete it.

    Before that, see whether the disk has ``room`` for so many bytes: HDF5 may crash where it has not. What is written
    is recorded beside it (:mod:`featuresharing.files.records`), with the ``key`` of its settings if it has one,
    unless it is not ``recorded``, its name is hidden, or a folder PROGRESS holds it: such files are work in progress.

    What a killed process left of the same output is deleted first; if that process still lives, it is refused.
    Raises InputError if ``output`` is a folder, a device or the like, or too long a name, or if its folder cannot be
    written to; DiskFullError if the disk is full.
    """
    check_place(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary = output.with_name(f".{output.name}.{os.getpid()}.part")
        for left in output.parent.glob(f".{glob.escape(output.name)}.*.part"):
            left.unlink(missing_ok=True)
        temporary.touch()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise _too_long(output) from None
        raise InputError(
            f"{output.parent} cannot be written to ({error.strerror}); accepted is a writable folder."
        ) from None
    try:
        if room:
            reserve(temporary, room)
            os.truncate(temporary, 0)
        yield temporary
        sync(temporary)
        if recorded and not output.name.startswith(".") and PROGRESS not in output.parts:
            publish(temporary, output, key=key)
        else:
            os.replace(temporary, output)
        sync(output.parent)
    except (OSError, RuntimeError) as error:  # HDF5 raises either
        if isinstance(error, FileNotFoundError) and not temporary.exists():
            raise InputError(f"{output} is being written by another process; accepted is one at a time.") from None
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            raise _too_long(output) from None
        if is_full(error):
            raise DiskFullError(
                f"{output} cannot be written: no space is left on the disk; accepted is a disk with room."
            ) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def check_place(output: Path) -> None:
    """Raise InputError if a name is that of something which a file must not replace."""
    try:
        mode = os.stat(output).st_mode
        stream = output.is_symlink() and os.readlink(output).startswith("/proc/")  # /dev/stdout
    except OSError:  # there is nothing yet, or what is named next
        return
    if stream or not stat.S_ISREG(mode):
        found = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise InputError(f"{output} cannot be written: it is {found}; accepted is the name of a file.")


def _too_long(output: Path) -> InputError:
    return InputError(f"{output} cannot be written: its name is too long; accepted are up to 230 bytes.")


def check_free(folder: Path, *, ours: str = "(?!)") -> None:
    """Raise InputError if a ``folder`` that is to be replaced holds names which do not match the pattern ``ours``.

    So no command deletes what it did not make. Raises it also if no folder can be made there.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        other = next((path.name for path in folder.iterdir() if not re.fullmatch(ours, path.name)), None)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error.strerror}); accepted is a writable folder.") from None
    if other is not None:
        raise InputError(f"folder {folder} holds {other} already; accepted is a new folder, or an empty one.")


def reserve(path: Path, size: int) -> None:
    """Give a file room for ``size`` bytes, as far as its system can promise it; raises OSError if there is none."""
    with path.open("r+b") as file:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
                return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_full(error: Exception) -> bool:
    """Return whether an error says that a disk, or a quota, is full."""
    numbers = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in numbers or any(os.strerror(number) in str(error) for number in numbers)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(*paths: Path) -> str:
    """Return the SHA-256 of the files' SHA-256, in the given order, as hexadecimal digits.

    Raises InputError if one cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(bytes.fromhex(content_key(path)))
    return digest.hexdigest()


def content_key(path: Path) -> str:
    """Return the SHA-256 of a file that others depend on; raises InputError if it cannot be read."""
    try:
        return entry_of(path).sha256
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); accepted is a readable file.") from None
