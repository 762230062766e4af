"""A second, hidden name of a file that took long: Snakemake removes outputs of a job stopped in its last moments."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from featuresharing.errors import InputError
from featuresharing.files.atomic import replacing
from featuresharing.files.records import Entry, fits, recorded_entry, recorded_key


def second_name(output: Path, key: str) -> Path:
    """Return the hidden name that an output, made with the settings that ``key`` names, has beside its own."""
    return output.with_name(f".{output.name}.{key}.done")


def keep_second_name(output: Path, key: str) -> None:
    """Give an output its hidden name, where the file system has hard links; those of other settings go."""
    for path in list(output.parent.iterdir()):
        if re.fullmatch(rf"\.{re.escape(output.name)}\.[0-9a-f]+\.done", path.name):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        os.link(output, second_name(output, key))


def give_name(output: Path, second: Path, *, key: str = "") -> None:
    """Give a file that has a hidden name its own, and record it; raises what :func:`.atomic.replacing` raises."""
    with replacing(output, key=key) as temporary:
        temporary.unlink()
        try:
            os.link(second, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(second, temporary)
        os.utime(temporary)  # Snakemake compares times with those of inputs


def is_there(output: Path, key: str) -> bool:
    """Return whether an output is there as it was written, with the settings that ``key`` names."""
    entry = _entry(output, key)
    return entry is not None and fits(output, entry)


def put_back(output: Path, key: str) -> bool:
    """Give an output that was removed its name again; return whether it is there, as it was written, with this key.

    Raises InputError if something else has its name.
    """
    if is_there(output, key):
        return True
    entry, second = _entry(output, key), second_name(output, key)
    if entry is None or not fits(second, entry):
        return False
    give_name(output, second, key=key)
    return fits(output, entry)


def _entry(output: Path, key: str) -> Entry | None:
    """Return what an output was when it was written with the settings that ``key`` names; None if it was not."""
    try:
        return recorded_entry(output) if recorded_key(output) == key else None
    except InputError:
        return None
