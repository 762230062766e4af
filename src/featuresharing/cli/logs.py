"""What every command that writes something says at its end: what it read, what it wrote, and how long it took."""

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from featuresharing.cli.options import say
from featuresharing.files.records import record_of

OUTPUTS = ("output", "output_folder")
"""Options that name what a command writes."""

BASES = ("reuse",)
"""Options that name files only in part, which may be there or not."""

NAMED = 4
"""Files that are named; of more, the others are counted."""


@contextmanager
def described(options: argparse.Namespace) -> Iterator[None]:
    """Say after the block what the command that has these ``options`` read and wrote; nothing where it writes none."""
    values = vars(options)
    outputs = [values[name] for name in OUTPUTS if isinstance(values.get(name), Path)]
    inputs = [path for name, value in values.items() if name not in OUTPUTS + BASES for path in _paths(value)]
    before = [_state(path) for path in outputs]
    start = time.monotonic()
    yield
    if not outputs:
        return
    seconds = time.monotonic() - start
    written = [path for path, state in zip(outputs, before, strict=True) if _state(path) != state]
    found = f"wrote {_join([_sized(path) for path in written])}" if written else f"left {_join(outputs)} as it was"
    say(f"{options.command}: read {_join(inputs) or 'no file'}; {found} in {seconds:.1f} s.")


def _paths(value: object) -> list[Path]:
    values = value if isinstance(value, list | tuple) else [value]
    given = [each[1] if isinstance(each, tuple) and len(each) == 2 else each for each in values]  # a named path
    return [path for path in given if isinstance(path, Path)]


def _state(path: Path) -> object:
    """Return what changes whenever a file is written anew, or one in a folder; locks and progress come and go there."""
    try:
        if path.is_dir():
            with os.scandir(path) as entries:
                inside = [Path(entry.path) for entry in entries if not entry.name.startswith(".")]
            records = [record_of(path)] if path.name else []
            return {each: _state_of_file(each) for each in records + inside}
    except OSError:
        return None
    return _state_of_file(path)


def _state_of_file(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _sized(path: Path) -> str:
    if not path.is_dir():
        return f"{path} ({path.stat().st_size:,} bytes)" if path.exists() else str(path)
    with os.scandir(path) as entries:
        count = sum(not entry.name.startswith(".") for entry in entries)
    return f"{path} (now {count:,} files and folders)"


def _join(parts: Sequence[object]) -> str:
    names = [str(part) for part in parts]
    if len(names) > NAMED:
        names = [*names[: NAMED - 1], f"{len(names) - NAMED + 1} other files"]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
