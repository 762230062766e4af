"""What a training has done so far, in a hidden folder beside its outputs that a kill at any instant leaves usable.

``.progress/KEY`` is of one training: the key stands for everything that its numbers depend on, so that those of other
settings lie beside each other. It holds

- two states, of which the older is replaced by the next, so that a damaged or half-written one loses some seconds;
- the checkpoints so far, whose digests are in the states: only what is as it was saved is published;
- how far the newest state is, in a line of JSON for who looks on;
- at the end the log and ``SHA256SUMS``, the digests of all outputs. Outputs are second names (hard links) of these
  files, which stay: Snakemake deletes the outputs of a job that is killed in its last moments.
"""

import copy
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featuresharing.data.columns import TRAINING
from featuresharing.data.table_files import frame_of, write_table
from featuresharing.errors import DiskFullError, InputError
from featuresharing.files.atomic import replacing
from featuresharing.files.identity import Identity, differing_names
from featuresharing.files.record_format import open_regular
from featuresharing.files.records import entry_of, record, recorded_entry
from featuresharing.files.second_names import give_name
from featuresharing.runs.stopping import Say

if TYPE_CHECKING:
    from featuresharing.networks.alexnet.trainer import LogRow, Trainer
    from featuresharing.networks.checkpoints import Checkpoint

STATES = ("state-0.pt", "state-1.pt")
LOG = "training.csv"
SUMS = "SHA256SUMS"
RUN = "run.json"
REACHED = "reached.json"


class TrainingProgress:
    """The progress of a training into the folder ``output``, which has an ``identity``.

    ``checkpoints`` are the names of the files of checkpoints by their steps; ``say`` is told what a user should know.
    Whoever writes here holds the lock on the outputs.
    """

    def __init__(self, output: Path, identity: Identity, checkpoints: Mapping[int, str], say: Say) -> None:
        self.output, self._run, self._checkpoints, self._say = output, identity.values, checkpoints, say
        self._fingerprint = identity.fingerprint
        self.folder = output / ".progress" / self._fingerprint[:12]
        self._digests: dict[str, str] = {}
        self._current: str | None = None

    def publish_finished(self) -> bool:
        """Give all outputs their names if the training is over; return whether it is.

        If one of them is damaged, or the list of their digests, it is not, and the user is told so.
        """
        try:
            with open_regular(self.folder / SUMS) as file:
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return False
        found = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines]
        sums = {match[2]: match[1] for match in found if match}
        if set(sums) == {*self._checkpoints.values(), LOG} and len(found) == len(sums):
            lost = [name for name in sums if not self._is_there(name, sums[name])]
        else:
            lost = [SUMS]
        if lost:
            self._say(f"{self.folder / lost[0]} is not as it was written: it is made again.")
            (self.folder / SUMS).unlink(missing_ok=True)
            return False
        for name, digest in sums.items():
            self._publish(name, digest)
        for path in list(self.folder.iterdir()):
            if path.name not in (*sums, SUMS, RUN) and path.is_file():  # states, and what a kill left
                path.unlink(missing_ok=True)
        for other in self._others():
            if (other / SUMS).exists():
                shutil.rmtree(other)  # its outputs have been replaced
        return True

    def begin(self) -> None:
        """Say in the folder what it is of, and tell the user what is kept of other settings."""
        described = self.folder / RUN
        if _read_json(described) != self._run:
            with replacing(described, recorded=False) as temporary:
                temporary.write_text(json.dumps(self._run, indent=1, sort_keys=True) + "\n")
        for other in self._others():
            if not (other / SUMS).exists():
                found = _read_json(other / RUN)
                changed = ", ".join(differing_names(found, self._run)) if isinstance(found, dict) else ""
                self._say(f"{other} is of other settings{f' ({changed})' if changed else ''}: it is kept.")

    def newest_state(self) -> str | None:
        """Return the name of the newest sound state with all checkpoints before its step; None to start afresh.

        What is damaged is said.
        """
        found, damaged = self._sound_states()
        chosen = None
        for name in sorted(found, key=lambda name: found[name]["step"], reverse=True):
            step, digests = found[name]["step"], found[name]["checkpoints"]
            before = [file for at, file in self._checkpoints.items() if at < step]
            lost = [file for file in before if _digest(self.folder / file) != digests.get(file)]
            if not lost:
                chosen = name
                break
            damaged.append(f"{self.folder / lost[0]} is not as it was saved")
        then = f"training goes on from step {found[chosen]['step']}" if chosen else "training starts again"
        for sentence in dict.fromkeys(damaged):
            self._say(f"{sentence}: {then}.")
        return chosen

    def load(self, name: str, trainer: "Trainer") -> None:
        """Bring ``trainer`` to a state that :meth:`newest_state` returned."""
        content = self._read_state(name)
        trainer.load_state_dict(copy.deepcopy(content["trainer"]))  # which is a view of the file so far
        self._digests, self._current = dict(content["checkpoints"]), name

    def save(self, trainer: "Trainer") -> None:
        """Store the trainer's step, whole or not at all, in place of the older state.

        Raises InputError if the disk is full; the other state is as it was.
        """
        from featuresharing.networks.sealing import write_sealed

        name = STATES[1] if self._current == STATES[0] else STATES[0]
        content = {
            "fingerprint": self._fingerprint,
            "step": trainer.step,
            "checkpoints": self._digests,
            "trainer": trainer.state_dict(),
        }
        with self._said_if_full():
            write_sealed(self.folder / name, content, recorded=False)
            with replacing(self.folder / REACHED, recorded=False) as temporary:
                temporary.write_text(json.dumps({"step": trainer.step, "steps": max(self._checkpoints)}) + "\n")
        self._current = name

    def save_checkpoint(self, step: int, checkpoint: "Checkpoint") -> None:
        """Store the checkpoint of a step; raises InputError if the disk is full."""
        from featuresharing.networks.checkpoints import save_checkpoint

        name = self._checkpoints[step]
        with self._said_if_full():
            self._digests[name] = save_checkpoint(self.folder / name, checkpoint, recorded=False)

    def finish(self, log: "Sequence[LogRow]") -> None:
        """Write the log and give all outputs their names; what was trained is there from now on, whatever happens.

        Raises InputError if a checkpoint is not as it was saved, or the disk is full.
        """
        for name in self._checkpoints.values():
            if _digest(self.folder / name) != self._digests.get(name):
                raise self._changed_on_disk(name)
        table = frame_of(TRAINING, ((row.step, row.task, row.loss, row.accuracy) for row in log))
        with self._said_if_full():
            write_table(self.folder / LOG, table, TRAINING)
            sums = self._digests | {LOG: _digest(self.folder / LOG)}
            with replacing(self.folder / SUMS, recorded=False) as temporary:
                temporary.write_text("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))
        if not self.publish_finished():
            raise self._changed_on_disk(SUMS)

    def _changed_on_disk(self, name: str) -> InputError:
        return InputError(
            f"{self.folder / name} is not as it was saved; accepted is a disk that gives back what is written, "
            "on which the same command trains again from the last sound state."
        )

    def _is_there(self, name: str, digest: str) -> bool:
        return digest in (_digest(self.folder / name), _digest(self.output / name))

    def _publish(self, name: str, digest: str) -> None:
        """Give an output that was made its name, unless it has it."""
        kept, output = self.folder / name, self.output / name
        if _digest(output) != digest:
            give_name(output, kept)
        if _recorded(output) != digest:  # it was damaged, or deleted
            record(output)
        with suppress(OSError):  # that there is none, or no hard link
            if not os.path.samefile(kept, output):
                kept.unlink()
                os.link(output, kept)

    def _others(self) -> list[Path]:
        """Return the folders of trainings with other settings into the same output."""
        return sorted(
            path
            for path in self.folder.parent.glob("*")
            if path != self.folder and re.fullmatch("[0-9a-f]{12}", path.name) and path.is_dir()
        )

    def _sound_states(self) -> tuple[dict[str, Any], list[str]]:
        """Return the contents of sound states by their names, and a sentence about each that is damaged."""
        from featuresharing.networks.sealing import DamagedFileError

        found, damaged = {}, []
        for name in STATES:
            try:
                found[name] = self._read_state(name)
            except FileNotFoundError:
                continue
            except DamagedFileError as error:
                damaged.append(f"{self.folder / name} is damaged ({error})")
        return found, damaged

    def _read_state(self, name: str) -> dict[str, Any]:
        from featuresharing.networks.sealing import DamagedFileError, read_sealed

        content = read_sealed(self.folder / name)
        if not isinstance(content, dict) or content.get("fingerprint") != self._fingerprint:
            raise DamagedFileError("it is of other settings than its folder says")
        return content

    @contextmanager
    def _said_if_full(self) -> Iterator[None]:
        try:
            yield
        except DiskFullError as error:
            raise DiskFullError(f"{error} What was trained is kept, and the same command goes on there.") from None


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file; no digest at all if there is none that can be read."""
    try:
        return entry_of(path).sha256
    except OSError:
        return ""


def _recorded(path: Path) -> str:
    """Return the SHA-256 that a file's record says; nothing without a sound one."""
    try:
        entry = recorded_entry(path)
    except InputError:
        return ""
    return entry.sha256 if entry else ""


def _read_json(path: Path) -> Any:
    try:
        with open_regular(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None
