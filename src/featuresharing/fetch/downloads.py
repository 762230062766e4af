"""Download large files from mirrors: resumed after any interruption, checked, and whole under their names."""

import gzip
import json
import os
import random
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import urlsplit

import requests

from featuresharing.errors import DiskFullError, InputError
from featuresharing.fetch.checksums import accepted_digest, check_archive, forget_record
from featuresharing.fetch.recognition import is_gzip
from featuresharing.files.atomic import is_full, sync
from featuresharing.progress_bar import progress_bar
from featuresharing.settings import DownloadSettings

CHUNK = 2**16
"""Bytes that are read at a time; a break loses less than one chunk."""

LONGEST_PAUSE = 60.0
"""Seconds that are waited at most, whatever a server asks for."""


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
    :func:`check_archive` says; what it recorded of a file that is gone counts no more. Raises InputError if no url
    gives the right file or the folder of ``output`` cannot be written to, DiskFullError if there is no room for it.
    """
    if output.exists():
        return check_archive(output, size=size, sha256=sha256)
    forget_record(output)
    # what would refuse any file is said before a long download
    accepted_digest(output, sha256)
    _check_writable(output.parent)
    problems = []
    for url in urls:
        transfer = _Transfer(url, output, size, settings or DownloadSettings(), show=show)
        try:
            digest = _fetch(transfer, partial(check_archive, size=size, sha256=sha256, name=output))
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


def _fetch(transfer: "_Transfer", check: Callable[[Path], str]) -> str:
    """Return the digest of the whole file; what was left whole is only checked, and fetched again if it is wrong."""
    if transfer.whole():
        try:
            return transfer.settle(check)
        except DiskFullError:
            raise
        except InputError:
            transfer.forget()
    transfer.run()
    return transfer.settle(check)


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error.strerror}); accepted is a writable folder.") from None


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
    """Which version of a file bytes are of: its ETag or Last-Modified (none: unknown), its size if known, if packed."""

    validator: str | None
    size: int | None
    packed: bool = False


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

    def settle(self, check: Callable[[Path], str]) -> str:
        """Leave in ``part`` what ``check`` takes, and return what it says; raises its InputError if that is nothing.

        Servers say of files that are gzip that they were packed for the transfer, and others pack them though they
        were asked not to: where it says so, the file is what came or what is in that.
        """
        version = self._version()
        if version is None or not version.packed:
            return check(self.part)
        problem: InputError | None = None
        for candidate in self._candidates():
            try:
                found = check(candidate)
            except DiskFullError:
                raise
            except InputError as error:
                problem = problem or error
                continue
            os.replace(candidate, self.part)
            return found
        raise problem or InputError(f"{self._output} came packed and damaged; accepted is the file itself.")

    def _candidates(self) -> Iterator[Path]:
        """Yield what came and what is in it, what the file's name says first."""
        if is_gzip(self._output):
            yield self.part
        if self._unpack():
            yield self._aside
        if not is_gzip(self._output):
            yield self.part

    def _unpack(self) -> bool:
        try:
            with gzip.open(self.part) as packed, self._aside.open("wb") as file:
                shutil.copyfileobj(packed, file, CHUNK)
        except (zlib.error, EOFError, gzip.BadGzipFile):
            return False
        return True

    def run(self) -> None:
        """Raise _UnavailableError unless the whole file is there at the end."""
        failures, trusted = 0, True
        while True:
            before = self._there()
            try:
                version = self._version() if before and trusted else None
                return self._continue(before, version if version and version.validator else None)
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
            packed = bool(note.get("packed"))
            size = note.get("size") if self._size is None or packed else self._size
            return _Version(note["version"], size, packed) if note["url"] == self._url else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _continue(self, start: int, version: _Version | None) -> None:
        """Ask once, for the rest of ``version`` or for the whole file."""
        headers = {"Accept-Encoding": "identity"}
        if version and version.validator:
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
                raise _UnavailableError(f"{error}{_proxy_of(self._url)}") from None
            raise _BrokenError(f"{_reason(error)}{_proxy_of(self._url)}") from None

    def _receive(self, response: requests.Response, start: int, version: _Version | None) -> None:
        status = response.status_code
        if status in (408, 425, 429) or status >= 500:
            said = f"status {status}{_proxy_of(self._url)}"
            raise _BrokenError(said, _seconds(response.headers.get("Retry-After", "")))
        if version and status in (206, 416):
            self._append(response, start, version)
        elif status == 200:
            self._begin(response, start)
        else:
            raise _UnavailableError(f"status {status}{_proxy_of(self._url)}")

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
        packed = response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip")
        if total is None and start and self._size is not None and not packed:
            self._begin_aside(response)
            return
        if total is not None and not packed:
            self._check_size(total)
        etag, modified = (response.headers.get(name) for name in _VALIDATORS)
        self.part.unlink(missing_ok=True)
        validator = etag if etag and not etag.startswith("W/") else modified
        self._note.write_text(json.dumps({"url": self._url, "version": validator, "size": total, "packed": packed}))
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
        response.raw.headers.pop("Content-Encoding", None)  # or what is gzip itself would be unpacked
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


def _proxy_of(url: str) -> str:
    """Return words about the proxy that the environment names for a url, without its password; empty without one."""
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    if not proxy:
        return ""
    names = [each for kind in (urlsplit(url).scheme, "all") for each in (f"{kind}_proxy", f"{kind}_proxy".upper())]
    said = next((name for name in names if os.environ.get(name) == proxy), "the system")
    scheme, _, rest = proxy.rpartition("://")
    return f" through the proxy {scheme and f'{scheme}://'}{rest.rpartition('@')[2]} that {said} names"


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
