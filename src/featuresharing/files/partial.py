"""Folders that appear whole or not at all, and whose files, once written, survive whatever interrupts the rest.

Files are written under a hidden name beside the folder and noted there one by one with their digests, so that a damaged
one is noticed and made again. When all are there, the folder gets its record and its name.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from featuresharing.errors import InputError
from featuresharing.files.records import (
    IGNORED,
    Entry,
    entry_of,
    entry_of_bytes,
    fits,
    read_record,
    record_folder,
    record_of,
    recorded_key,
)


def write_piece(target: Path, content: bytes) -> Entry:
    """Write a file of a partial folder whole or not at all; return what it is."""
    temporary = target.with_name(f".{target.name}.part")
    temporary.write_bytes(content)
    temporary.replace(target)
    return entry_of_bytes(content)


class PartialFolder:
    """The files of ``folder`` that are there; ``key`` names the settings that they depend on.

    Files are written to :attr:`path`, whole or not at all, and then told to :meth:`note`.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.path = folder.with_name(f".{folder.name}.{key}.part")
        self._notes, self._done = self.path.with_suffix(".written"), self.path.with_suffix(".done")
        self._noted: dict[str, Entry] = {}

    def is_complete(self, names: Iterable[str]) -> bool:
        """Return whether the folder is there, of these settings, with files ``names`` as they were written."""
        if recorded_key(self.folder) != self.key or not self.folder.is_dir():
            return False
        entries = self._recorded()
        return entries.keys() == set(names) and all(fits(self.folder / name, entry) for name, entry in entries.items())

    def begin(self) -> None:
        """Make the hidden folder, or go on with the one that is there; a folder of these settings is taken back.

        Raises InputError if it cannot be made.
        """
        try:
            if not self.path.exists() and self._done.is_dir():
                self._done.rename(self.path)
            elif not self.path.exists() and self.folder.is_dir() and recorded_key(self.folder) == self.key:
                there = ((name, entry) for name, entry in self._recorded().items() if (self.folder / name).exists())
                self._notes.write_text("".join(_line(name, entry) for name, entry in there))
                self.folder.rename(self.path)
            elif not self.path.exists():
                self._notes.unlink(missing_ok=True)
            self.path.mkdir(parents=True, exist_ok=True)
            self._noted = dict(_read_notes(self._notes))
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be written to ({error.strerror}); accepted is a writable folder."
            ) from None

    def noted(self, name: str) -> Entry | None:
        """Return what a file was when it was written; None if it was not."""
        return self._noted.get(name)

    def is_sound(self, name: str) -> bool:
        """Return whether a file is there as it was written."""
        entry = self._noted.get(name)
        return entry is not None and fits(self.path / name, entry)

    def note(self, name: str, entry: Entry | None = None) -> None:
        """Say that a file is there; ``entry`` is what it is (none: it is read)."""
        found = entry or entry_of(self.path / name)
        if self._noted.get(name) == found:
            return
        self._noted[name] = found
        with self._notes.open("a") as notes:
            notes.write(_line(name, found))

    def finish(self, names: Iterable[str], *, keep: bool = False) -> None:
        """Give the folder its name, with the noted files ``names`` alone, in place of one that has it.

        With ``keep``, the hidden folder stays as a second name of the files, where the file system has hard links, and
        one of other settings goes: Snakemake removes the outputs of a job that is stopped in its last moments.
        """
        entries = {name: self._noted[name] for name in names}
        whole = self._linked(entries) if keep else None
        if whole is None:
            whole = self.path
            for path in _files(whole):
                if path.relative_to(whole).as_posix() not in entries:
                    path.unlink()
        os.sync()  # once for all files: one by one would take longer than making them
        old = self.folder.with_name(f".{self.folder.name}.old.part")
        shutil.rmtree(old, ignore_errors=True)
        if self.folder.exists():
            self.folder.rename(old)
        record_folder(self.folder, entries.items(), key=self.key)
        whole.rename(self.folder)
        shutil.rmtree(old, ignore_errors=True)
        if whole is self.path:
            self._notes.unlink(missing_ok=True)
        elif keep:
            self._keep()

    def _linked(self, names: Iterable[str]) -> Path | None:
        """Return a new folder with second names of the files; None where the file system has none."""
        made = self.path.with_suffix(".new.part")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        try:
            for name in names:
                os.link(self.path / name, made / name)
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
            return None
        return made

    def _keep(self) -> None:
        """Give the hidden folder the name of one that is complete, and take away those of other settings."""
        for path in list(self.folder.parent.iterdir()):
            other = re.fullmatch(rf"\.{re.escape(self.folder.name)}\.([0-9a-f]+)\.done", path.name)
            if other and other[1] != self.key:
                shutil.rmtree(path, ignore_errors=True)
                path.with_suffix(".written").unlink(missing_ok=True)
        self.path.rename(self._done)

    def _recorded(self) -> dict[str, Entry]:
        start = f"{self.folder.name}/"
        with suppress(FileNotFoundError, InputError):
            return {name.removeprefix(start): entry for name, entry in read_record(record_of(self.folder))}
        return {}


def _line(name: str, entry: Entry) -> str:
    return f"\n{json.dumps([name, entry.size, entry.sha256])}"  # the line before may have been cut by a kill


def _read_notes(notes: Path) -> Iterable[tuple[str, Entry]]:
    """Yield what was noted; a line that a kill or damage has spoilt says nothing."""
    with suppress(FileNotFoundError):
        for line in notes.read_text(errors="replace").splitlines():
            with suppress(ValueError, TypeError, RecursionError):
                name, size, digest = json.loads(line)
                if isinstance(name, str):
                    yield name, Entry(size, digest)


def _files(folder: Path) -> Iterable[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names if name not in IGNORED)
