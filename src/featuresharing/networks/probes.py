"""Probes: linear classifiers on the features of a frozen network, for labels that it was never trained on; their files.

A file holds all probes of a network: their weights, and as JSON what they read and how well they do.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from featuresharing.arguments import as_path
from featuresharing.errors import InputError
from featuresharing.files.atomic import replacing
from featuresharing.files.records import refuse_changed
from featuresharing.settings.analysis_settings import FLATTEN, MEAN

INPUT, OUTPUT = "input", "output"
"""Sides of a layer, of which a probe reads one."""

POOLING = {
    MEAN: "the mean over positions of [N, channels, ...], and over tokens of [N, tokens, features]",
    FLATTEN: "every number",
}
"""What features become of what a layer gives."""

ABOUT = "probes"
"""The member of a file that says what its probes are, as JSON."""


@dataclass(frozen=True)
class ProbeQuality:
    """How a probe was trained, and how well it does: ``strength`` of the L2 penalty, and accuracies as shares.

    ``cross_validated`` is the accuracy on images that a fold of the training left out, ``held_out`` that on ``tested``
    images that trained nothing (NaN for none), ``chance`` what the most frequent class of the training gets there.
    """

    strength: float
    cross_validated: float
    trained: int
    tested: int = 0
    held_out: float = float("nan")
    chance: float = float("nan")


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear classifier: raw scores are ``weight`` [classes, features] times the features, plus ``bias`` [classes].

    Features are what ``layer`` (a module path) gives or takes, by ``side``; ``pooling`` says what of it. Both arrays
    are float64. Raises InputError for values that do not fit together.

    >>> Probe("hidden", np.eye(2, 6), np.zeros(2)).pooling
    'mean'
    """

    layer: str
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    side: str = OUTPUT
    pooling: str = MEAN
    quality: ProbeQuality | None = None

    def __post_init__(self) -> None:
        if self.side not in (INPUT, OUTPUT):
            raise InputError(f"side of a probe: found {self.side!r}; accepted are {INPUT} and {OUTPUT}.")
        check_pooling(self.pooling)
        weight, bias = np.asarray(self.weight, np.float64), np.asarray(self.bias, np.float64)
        if weight.ndim != 2 or bias.shape != weight.shape[:1] or len(bias) < 2 or weight.shape[1] == 0:
            found = f"weight {list(weight.shape)} and bias {list(bias.shape)}"
            raise InputError(
                f"probe: found {found}; accepted are [classes, features] and [classes], two classes or more."
            )
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise InputError("probe: found weights that are NaN or infinite; accepted are finite numbers.")
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", bias)

    def described(self) -> dict[str, Any]:
        """Return all of a probe but its weights, as plain values."""
        quality = asdict(self.quality) if self.quality else None
        return {"layer": self.layer, "side": self.side, "pooling": self.pooling, "quality": quality}


def check_pooling(pooling: Any) -> None:
    """Raise InputError for what is no way to make features of what a layer gives."""
    if pooling not in POOLING:
        raise InputError(f"pooling of a probe: found {pooling!r}; accepted are {' and '.join(POOLING)}.")


def write_probes(path: Path | str, probes: Mapping[str, Probe]) -> None:
    """Write probes by task, whole or not at all; equal probes give equal bytes. Raises InputError for none.

    >>> probe = Probe("hidden", np.eye(2, 6), np.zeros(2))
    >>> write_probes("probes.npz", {"colour": probe})
    >>> read_probes("probes.npz")["colour"].layer
    'hidden'
    """
    if not probes:
        raise InputError(f"{path}: found no probes; accepted is one at least.")
    about = json.dumps([{"task": task, **probe.described()} for task, probe in probes.items()])
    arrays: dict[str, Any] = {ABOUT: np.frombuffer(about.encode(), np.uint8)}
    for number, probe in enumerate(probes.values()):
        arrays |= {f"weight_{number}": probe.weight, f"bias_{number}": probe.bias}
    with replacing(as_path("path", path)) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_probes(path: Path | str) -> dict[str, Probe]:
    """Return what :func:`write_probes` wrote, by task.

    Raises InputError for a file that is missing, was changed, or is none of probes.

    >>> write_probes("4500.npz", {"colour": Probe("hidden", np.eye(2, 6), np.zeros(2))})
    >>> list(read_probes("4500.npz"))
    ['colour']
    """
    file = as_path("path", path)
    if not file.is_file():
        raise InputError(f"probes {file} do not exist; accepted is a file that 'featuresharing train-probes' wrote.")
    refuse_changed(file)
    try:
        with file.open("rb") as stored:
            return _read(stored)
    except Exception as error:  # whatever arbitrary bytes lead readers of zip archives, numpy and JSON to
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(
            f"{file} cannot be read as probes ({reason}); accepted is a file that 'featuresharing train-probes' wrote."
        ) from None


def _read(stored: BinaryIO) -> dict[str, Probe]:
    with zipfile.ZipFile(stored) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("its members are compressed")
        size = stored.seek(0, 2)
        if any(member.file_size > size for member in archive.infolist()):
            raise ValueError("its members are larger than it is")
    stored.seek(0)
    with np.load(stored, allow_pickle=False) as arrays:
        found: dict[str, Probe] = {}
        for number, said in enumerate(json.loads(arrays[ABOUT].tobytes())):
            quality = said["quality"]
            if quality is not None and set(quality) != {field.name for field in fields(ProbeQuality)}:
                raise ValueError(f"it says other things of a probe than {', '.join(quality)}")
            found[str(said["task"])] = Probe(
                str(said["layer"]),
                arrays[f"weight_{number}"],
                arrays[f"bias_{number}"],
                said["side"],
                said["pooling"],
                quality and ProbeQuality(**quality),
            )
    if not found:
        raise ValueError("it holds none")
    return found
