"""What a long job has measured, kept one by one: a kill loses none, and damage is noticed."""

import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def damaged_lines(path: Path) -> int:
    """Return how many lines of a file of measurements are damaged."""
    found = re.fullmatch(r"\.(.+)\.([0-9a-f]+)\.measured", path.name, flags=re.DOTALL)
    return Measurements(path.with_name(found[1]), found[2]).read()[1] if found else 0


class Measurements:
    """Arrays of float64 by name, one line each with a checksum; ``key`` names the settings that they are of."""

    def __init__(self, output: Path, key: str) -> None:
        self.path = output.with_name(f".{output.name}.{key}.measured")
        self._key = key

    def read(self) -> tuple[dict[str, NDArray[np.float64]], int]:
        """Return what was measured, and how many lines are damaged and left out."""
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return {}, 0
        found, damaged = {}, 0
        for line in lines:
            try:
                name, values, checksum = json.loads(line)
                sound = checksum == self._checksum(name, values)
            except (ValueError, TypeError, RecursionError):
                sound = False
            damaged += not sound
            if sound:
                found[name] = np.array(values, np.float64)
        return found, damaged

    def add(self, name: str, values: NDArray[np.float64]) -> None:
        """Keep what was measured, on disk."""
        numbers = values.tolist()
        line = json.dumps([name, numbers, self._checksum(name, numbers)])
        with self.path.open("ab") as file:
            if file.tell():  # after a line that a kill has cut
                file.write(b"\n")
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def remove(self) -> None:
        """Remove the file: all that was measured is elsewhere."""
        self.path.unlink(missing_ok=True)

    def _checksum(self, name: str, values: object) -> str:
        return hashlib.sha256(json.dumps([self._key, name, values]).encode()).hexdigest()
