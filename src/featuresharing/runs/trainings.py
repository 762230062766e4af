"""How far the trainings of a folder of results are, read from what they leave beside their states, without torch."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from featuresharing.files.record_format import open_regular
from featuresharing.runs.training_progress import REACHED, SUMS
from featuresharing.store.status import SILENT_SECONDS, natural_order


@dataclass(frozen=True)
class TrainingStatus:
    """Of a training into ``folder``, ``step`` of ``steps`` is kept, and was written ``silent`` seconds ago."""

    folder: Path
    step: int
    steps: int
    silent: float

    @property
    def runs(self) -> bool:
        """Whether it wrote so lately that it is taken to run: one that runs writes every few seconds."""
        return self.silent < SILENT_SECONDS


def training_statuses(folder: Path, now: float | None = None) -> list[TrainingStatus]:
    """Return the trainings in a folder or below that are not over, by the names of their folders.

    Of one with states of several settings, the newest counts. ``now`` is a Unix time. What cannot be read is left out:
    the training itself says what is damaged.
    """
    newest: dict[Path, TrainingStatus] = {}
    for found in _statuses(folder, time.time() if now is None else now):
        known = newest.get(found.folder)
        if known is None or found.silent < known.silent:
            newest[found.folder] = found
    return [newest[place] for place in sorted(newest, key=natural_order)]


def _statuses(folder: Path, now: float) -> Iterator[TrainingStatus]:
    for path in folder.rglob(f".progress/*/{REACHED}"):
        if (path.parent / SUMS).exists():
            continue
        try:
            with open_regular(path) as file:
                said = json.load(file)
            step, steps = int(said["step"]), int(said["steps"])
            yield TrainingStatus(path.parents[2], step, steps, now - path.stat().st_mtime)
        except (OSError, ValueError, LookupError, TypeError):  # over by now, or damaged
            continue
