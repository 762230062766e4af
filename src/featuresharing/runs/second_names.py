"""A second, hidden name of a file that took long: Snakemake removes outputs of a job stopped in its last moments."""

import os
import re
from contextlib import suppress
from pathlib import Path

from featuresharing.errors import InputError
from featuresharing.records import fits, publish, recorded_entry, recorded_key


def keep_second_name(output: Path, key: str) -> None:
    """Give an output, made with the settings that ``key`` names, its hidden name; those of other settings go."""
    for path in list(output.parent.iterdir()):
        if re.fullmatch(rf"\.{re.escape(output.name)}\.[0-9a-f]+\.done", path.name):
            path.unlink(missing_ok=True)
    with suppress(OSError):  # a file system without hard links
        os.link(output, _second_name(output, key))


def put_back(output: Path, key: str) -> bool:
    """Give an output that was removed its name again; return whether it is there, as it was written, with this key."""
    try:
        entry = recorded_entry(output)
    except InputError:
        return False
    if entry is None or recorded_key(output) != key:
        return False
    if fits(output, entry):
        return True
    second, spare = _second_name(output, key), output.with_name(f".{output.name}.{os.getpid()}.part")
    if not fits(second, entry):
        return False
    with suppress(OSError):
        spare.unlink(missing_ok=True)
        os.link(second, spare)
        publish(spare, output, key=key)
    return fits(output, entry)


def _second_name(output: Path, key: str) -> Path:
    return output.with_name(f".{output.name}.{key}.done")
