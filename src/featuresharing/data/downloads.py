"""Download large files from mirrors: resumed after any interruption, checked, and whole under their names."""

import hashlib
import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from featuresharing.errors import DiskFullError, InputError
from featuresharing.files import is_full, replacing, sync
from featuresharing.progress import progress_bar

CHUNK = 2**16
"""Bytes that are read at a time, of which less than one is lost when a connection breaks."""

LONGEST_PAUSE = 60.0


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

    What an interrupted download left is continued, if the server says that its file is the same. Connections that break
    are tried again, with growing pauses. ``size`` in bytes and ``sha256`` are compared as :func:`check_archive` says.
    Raises InputError if no url gives the right file, DiskFullError if there is no room for it.
    """
    if output.exists():
        return check_archive(output, size=size, sha256=sha256)
    problems = []
    for url in urls:
        transfer = _Transfer(url, output, settings or DownloadSettings(), show=show)
        try:
            transfer.run()
            digest = check_archive(transfer.part, size=size, sha256=sha256, name=output)
        except _UnavailableError as error:
            problems.append(f"{url}: {error}")
            continue
        except DiskFullError:
            raise
        except InputError as error:
            transfer.forget()
            problems.append(f"{url}: {error}".rstrip("."))
            continue
        os.replace(transfer.part, output)
        sync(output.parent)
        transfer.forget()
        return digest
    raise InputError(
        f"{output} cannot be downloaded ({'; '.join(problems)}); without a network, put {output.name} into "
        f"{output.parent} yourself and type the same command again."
    )


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
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = called.with_name(f"{called.name}.sha256")
    if sha256 is not None:
        wanted, source = sha256.lower(), "the config"
    elif record.exists():
        wanted, source = record.read_text().split(maxsplit=1)[0], str(record)
    else:
        with replacing(record) as temporary:
            temporary.write_text(f"{digest}  {called.name}\n")
        return digest
    if digest != wanted:
        raise InputError(f"{called} has SHA-256 {digest}; accepted is {wanted}, by {source}: {_REMEDY}.")
    return digest


_REMEDY = "delete the file to download it again, or mend what is accepted"


class _UnavailableError(Exception):
    """A url does not give its file, for the reason in words."""


class _BrokenError(Exception):
    """A connection broke; trying again may help, after ``pause`` seconds if the server says so."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


class _Transfer:
    """Brings the file of one url into ``part``; a note beside it says of which version of the file its bytes are."""

    def __init__(self, url: str, output: Path, settings: DownloadSettings, *, show: bool) -> None:
        self._url, self._output, self._settings, self._show = url, output, settings, show
        self.part = output.with_name(f".{output.name}.download")
        self._note = output.with_name(f".{output.name}.download.json")

    def forget(self) -> None:
        """Remove what is there."""
        self.part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def run(self) -> None:
        """Raise _UnavailableError unless the whole file is there at the end."""
        failures = 0
        while True:
            before = self._there()
            try:
                return self._continue()
            except _BrokenError as broken:
                failures = 0 if self._there() > before else failures + 1
                if failures >= self._settings.attempts:
                    raise _UnavailableError(str(broken)) from None
                # several clients that were cut off together should not come back together
                wait = self._settings.pause * 2**failures * random.uniform(0.5, 1)
                time.sleep(min(LONGEST_PAUSE, max(wait, broken.pause)))

    def _there(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _validator(self) -> str | None:
        """Return what names the version of the file that ``part`` is the beginning of."""
        try:
            note = json.loads(self._note.read_text())
            return str(note["version"]) if note["url"] == self._url and note["version"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _continue(self) -> None:
        start, validator = self._there(), self._validator()
        headers = {"Accept-Encoding": "identity"}
        if start and validator:
            headers |= {"Range": f"bytes={start}-", "If-Range": validator}
        try:
            with requests.get(self._url, headers=headers, stream=True, timeout=self._settings.timeout) as response:
                self._receive(response, start)
        except (requests.RequestException, OSError) as error:
            if isinstance(error, OSError) and is_full(error):
                raise DiskFullError(
                    f"{self._output} cannot be downloaded: no space is left on the disk; accepted is a disk with room."
                ) from None
            if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
                raise _UnavailableError(str(error)) from None
            raise _BrokenError(_reason(error)) from None

    def _receive(self, response: requests.Response, start: int) -> None:
        if response.status_code == 416:
            self.forget()
            raise _BrokenError("the server has fewer bytes than are here")
        if response.status_code in (408, 425, 429) or response.status_code >= 500:
            wait = response.headers.get("Retry-After", "")
            raise _BrokenError(f"status {response.status_code}", float(wait) if wait.isdecimal() else 0.0)
        if response.status_code not in (200, 206):
            raise _UnavailableError(f"status {response.status_code}")
        continued = response.status_code == 206
        if continued and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            self.forget()
            raise _BrokenError("the server sent another part than was asked for")
        if not continued:
            start = 0
            etag = response.headers.get("ETag", "")
            version = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
            self.part.parent.mkdir(parents=True, exist_ok=True)
            self.part.unlink(missing_ok=True)
            self._note.write_text(json.dumps({"url": self._url, "version": version}))
        self._store(response, start)

    def _store(self, response: requests.Response, start: int) -> None:
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        chunks = response.iter_content(CHUNK)
        with self.part.open("ab") as file:
            for chunk in progress_bar(chunks, total=total or 0, label=self._output.name, show=self._show, size=len):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        found = self._there()
        if total is not None and found != total:
            raise _BrokenError(f"the connection ended after {found} of {total} bytes")


def _reason(error: Exception) -> str:
    """Return the innermost reason of an error of a connection, in one line."""
    while (inner := error.__cause__ or error.__context__) and isinstance(inner, Exception):
        error = inner
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__
