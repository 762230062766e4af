"""Download large files from mirrors: resumed after any interruption, checked, and whole under their names."""

import hashlib
import json
import os
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

import requests

from featuresharing.errors import DiskFullError, InputError
from featuresharing.files import is_full, replacing, sync
from featuresharing.progress import progress_bar

CHUNK = 2**16
"""Bytes that are read at a time, of which less than one is lost when a connection breaks."""

LONGEST_PAUSE = 60.0
"""Seconds that are waited at most, whatever a server asks for."""


@dataclass(frozen=True)
class DownloadSettings:
    """How stubborn a download is: ``attempts`` without any progress, ``pause`` in seconds that doubles, ``timeout``."""

    attempts: int = 5
    pause: float = 1.0
    timeout: float = 30.0


def download(
    urls: Sequence[str],
    output: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    settings: DownloadSettings | None = None,
    show: bool = False,
) -> str:
    """Get a file from the first of ``urls`` that gives it, and return its SHA-256; one that is there is only checked.

    What an interrupted download left is continued, if the server says that its file is the same, and taken if it is
    whole. Connections that break are tried again, with growing pauses. ``size`` in bytes and ``sha256`` are compared as
    :func:`check_archive` says. Raises InputError if no url gives the right file or the folder of ``output`` cannot be
    written to, DiskFullError if there is no room for it.
    """
    if output.exists():
        return check_archive(output, size=size, sha256=sha256)
    # what would refuse any file is said before a long download
    _accepted(output, sha256)
    _check_writable(output.parent)
    problems = []
    for url in urls:
        transfer = _Transfer(url, output, size, settings or DownloadSettings(), show=show)
        try:
            digest = _fetch(transfer, partial(check_archive, transfer.part, size=size, sha256=sha256, name=output))
        except _UnavailableError as error:
            problems.append(f"{url}: {error}")
            continue
        except DiskFullError:
            raise
        except InputError as error:
            transfer.forget()
            problems.append(f"{url}: {error}".rstrip("."))
            continue
        sync(transfer.part)  # an earlier command may have left it
        os.replace(transfer.part, output)
        sync(output.parent)
        transfer.forget()
        return digest
    raise InputError(
        f"{output} cannot be downloaded ({'; '.join(problems)}); without a network, put {output.name} into "
        f"{output.parent} yourself and type the same command again."
    )


def _fetch(transfer: "_Transfer", check: Callable[[], str]) -> str:
    """Return the digest of the whole file; what was left whole is only checked, and fetched again if it is wrong."""
    if transfer.whole():
        try:
            return check()
        except DiskFullError:
            raise
        except InputError:
            transfer.forget()
    transfer.run()
    return check()


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error.strerror}); accepted is a writable folder.") from None


def check_archive(path: Path, *, size: int | None = None, sha256: str | None = None, name: Path | None = None) -> str:
    """Compare a file with its ``size`` and ``sha256``, and return the latter.

    Where ``sha256`` is not known, the file's is recorded at first use in ``{name}.sha256`` (as sha256sum does), and
    insisted on from then on. ``name`` is what the file will be called. Raises InputError for another file.
    """
    called = name or path
    if not path.is_file():
        raise InputError(f"{called} does not exist; accepted is a file of this name, downloaded or put there by you.")
    found = path.stat().st_size
    if size is not None and found != size:
        raise InputError(f"{called} has {found} bytes; accepted are {size}: {_REMEDY}.")
    accepted = _accepted(called, sha256)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if accepted is None:
        with replacing(_record(called), recorded=False) as temporary:
            temporary.write_text(f"{digest}  {called.name}\n")
    elif digest != accepted[0]:
        raise InputError(f"{called} has SHA-256 {digest}; accepted is {accepted[0]}, by {accepted[1]}: {_REMEDY}.")
    return digest


def _record(called: Path) -> Path:
    return called.with_name(f"{called.name}.sha256")


def _accepted(called: Path, sha256: str | None) -> tuple[str, str] | None:
    """Return the SHA-256 that a file has to have and what says so; None before its first use."""
    if sha256 is not None:
        return sha256.lower(), "the config"
    record = _record(called)
    if not record.exists():
        return None
    try:
        text = record.read_text(errors="replace")
    except OSError as error:
        raise InputError(f"{record} cannot be read ({error.strerror}); accepted is a file of sha256sum.") from None
    if not (found := re.match(r"\s*([0-9a-fA-F]{64})(\s|$)", text)):
        raise InputError(
            f"{record} begins with {text[:70]!r}; accepted are the 64 hexadecimal digits of a SHA-256: mend it, or "
            f"delete it to record that of {called.name} anew."
        )
    return found[1].lower(), str(record)


_REMEDY = "delete the file to download it again, or mend what is accepted"


class _UnavailableError(Exception):
    """A url does not give its file, for the reason in words."""


class _BrokenError(Exception):
    """A connection broke; trying again may help, after ``pause`` seconds if the server says so."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


class _ChangedError(Exception):
    """A server did not send the rest of what is here."""


@dataclass(frozen=True)
class _Version:
    """Which version of a file bytes are of: its ETag or Last-Modified, and its size if known."""

    validator: str
    size: int | None


class _Transfer:
    """Brings the file of one url into ``part``; a note beside it says of which version of the file its bytes are."""

    def __init__(self, url: str, output: Path, size: int | None, settings: DownloadSettings, *, show: bool) -> None:
        self._url, self._output, self._size, self._settings, self._show = url, output, size, settings, show
        self.part = output.with_name(f".{output.name}.download")
        self._note = output.with_name(f".{output.name}.download.json")
        self._aside = output.with_name(f".{output.name}.download.new")

    def forget(self) -> None:
        """Remove what is there."""
        for path in (self.part, self._note, self._aside):
            path.unlink(missing_ok=True)

    def whole(self) -> bool:
        """Return whether all bytes are there, as far as is known how many there should be."""
        version = self._version()
        return self.part.exists() and self._there() == (version.size if version else self._size)

    def run(self) -> None:
        """Raise _UnavailableError unless the whole file is there at the end."""
        failures, trusted = 0, True
        while True:
            before = self._there()
            try:
                return self._continue(before, self._version() if before and trusted else None)
            except _ChangedError:
                # asked for the whole file from now on, as what this server sends of a part cannot be relied on
                trusted = False
            except _BrokenError as broken:
                failures = 0 if self._there() > before else failures + 1
                if failures >= self._settings.attempts:
                    raise _UnavailableError(str(broken)) from None
                # several clients that were cut off together should not come back together
                wait = self._settings.pause * 2**failures * random.uniform(0.5, 1)
                time.sleep(min(LONGEST_PAUSE, max(wait, broken.pause)))

    def _there(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _version(self) -> _Version | None:
        """Return the version of the file that ``part`` is the beginning of, if it can be continued."""
        try:
            note = json.loads(self._note.read_text())
            size = note.get("size") if self._size is None else self._size
            return _Version(str(note["version"]), size) if note["url"] == self._url and note["version"] else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _continue(self, start: int, version: _Version | None) -> None:
        """Ask once, for the rest of ``version`` or for the whole file."""
        headers = {"Accept-Encoding": "identity"}
        if version:
            headers |= {"Range": f"bytes={start}-", "If-Range": version.validator}
        try:
            with requests.get(self._url, headers=headers, stream=True, timeout=self._settings.timeout) as response:
                self._receive(response, start, version)
        except (requests.RequestException, OSError) as error:
            if isinstance(error, OSError) and is_full(error):
                raise DiskFullError(
                    f"{self._output} cannot be downloaded: no space is left on the disk; accepted is a disk with room."
                ) from None
            if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
                raise _UnavailableError(str(error)) from None
            raise _BrokenError(_reason(error)) from None

    def _receive(self, response: requests.Response, start: int, version: _Version | None) -> None:
        status = response.status_code
        if status in (408, 425, 429) or status >= 500:
            raise _BrokenError(f"status {status}", _seconds(response.headers.get("Retry-After", "")))
        if version and status in (206, 416):
            self._append(response, start, version)
        elif status == 200:
            self._begin(response, start)
        else:
            raise _UnavailableError(f"status {status}")

    def _append(self, response: requests.Response, start: int, version: _Version) -> None:
        """Take the rest of the file; raise _ChangedError if it is not that of ``version``, from ``start`` on."""
        content_range = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (?:([0-9]+)-[0-9]+|\*)/([0-9]+|\*)", content_range)
        first, total = (_number(each or "") for each in found.groups()) if found else (None, None)
        total = version.size if total is None else total
        if version.size not in (None, total):
            raise _ChangedError
        if response.status_code == 416 and total == start:
            return
        # servers that ignore If-Range send the rest of another version, with another validator
        if first != start or version.validator not in (response.headers.get(name) for name in _VALIDATORS):
            raise _ChangedError
        self._store(response, self.part, total)

    def _begin(self, response: requests.Response, start: int) -> None:
        """Take the whole file in place of what is here, unless it has the wrong size."""
        total = _number(response.headers.get("Content-Length", ""))
        if total is None and start and self._size is not None:
            self._begin_aside(response)
            return
        if total is not None:
            self._check_size(total)
        etag, modified = (response.headers.get(name) for name in _VALIDATORS)
        self.part.unlink(missing_ok=True)
        validator = etag if etag and not etag.startswith("W/") else modified
        self._note.write_text(json.dumps({"url": self._url, "version": validator, "size": total}))
        self._store(response, self.part, total)

    def _begin_aside(self, response: requests.Response) -> None:
        """Take a file of unknown size, such as a login page, in place of what is here only if it turns out right."""
        self._aside.unlink(missing_ok=True)
        try:
            self._store(response, self._aside, None)
            self._check_size(self._aside.stat().st_size)
            self._note.unlink(missing_ok=True)
            os.replace(self._aside, self.part)
        finally:
            self._aside.unlink(missing_ok=True)

    def _check_size(self, found: int) -> None:
        if self._size not in (None, found):
            raise _UnavailableError(f"its file has {found} bytes; accepted are {self._size}")

    def _store(self, response: requests.Response, path: Path, total: int | None) -> None:
        chunks = response.iter_content(CHUNK)
        with path.open("ab") as file:
            for chunk in progress_bar(chunks, total=total or 0, label=self._output.name, show=self._show, size=len):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        found = path.stat().st_size
        if total is not None and found != total:
            raise _BrokenError(f"the connection ended after {found} of {total} bytes")


_VALIDATORS = ("ETag", "Last-Modified")


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _seconds(text: str) -> float:
    """Return the pause that a Retry-After means, which holds seconds or a date; none if it holds neither."""
    if (seconds := _number(text)) is not None:
        return seconds
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0


def _reason(error: Exception) -> str:
    """Return the innermost reason of an error of a connection, in one line."""
    while (inner := error.__cause__ or error.__context__) and isinstance(inner, Exception):
        error = inner
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__
