"""Files of the same units that are cut in other ways: a layer as a whole, its blocks, and their progress."""

import glob
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from featuresharing.errors import InputError
from featuresharing.hdf5 import GoneError
from featuresharing.store.layer_files import open_final, read_fingerprint
from featuresharing.store.progress_file import ProgressFile, read_head


def files_with_units(places: Sequence[Path]) -> list[Path]:
    """Return the final files among ``places`` and in those that are folders, with their progress and second names.

    A file need not be there to have these. Readers find out what other files in a folder are.
    """
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            hidden = place.glob(".*")
            found += sorted(place.glob("*.h5"))
        else:
            hidden = place.parent.glob(f".{glob.escape(place.name)}.*")
            found += [place] if place.exists() else []
        found += sorted(path for path in hidden if path.suffix in (".progress", ".done"))
    return found


def take_over(file: ProgressFile, relative: Path, say: Callable[[str], None]) -> None:
    """Take over units that a final or progress file has of the same settings; ``say`` of which nothing can be."""
    row_of = {unit: row for row, unit in enumerate(file.head.units.tolist())}
    if relative.suffix == ".progress":
        try:
            other = ProgressFile(relative, writable=False)
        except GoneError:
            return
        except InputError as error:
            say(f"{error} Nothing is taken over from it.")
            return
        if (other.head.fingerprint, other.head.step) == (file.head.fingerprint, file.head.step):
            sound = (other.checksums != 0) & ~other.damaged()
            for row, unit in enumerate(other.head.units.tolist()):
                if unit in row_of and sound[row].any():
                    numbers = {name: other.read(name, slice(row, row + 1))[0] for name in other.numbers}
                    file.take_unit(row_of[unit], numbers, sound[row])
        other.close()
        return
    try:
        with open_final(relative) as final:
            if final.fingerprint != file.head.fingerprint:
                return
            datasets = {name: final.dataset(name) for name in file.numbers}
            for row, unit in enumerate(final.units.tolist()):
                if unit in row_of:
                    numbers = {name: np.asarray(dataset[row]) for name, dataset in datasets.items()}
                    file.take_unit(row_of[unit], numbers, np.ones(file.head.cells, np.bool_))
    except GoneError:
        return
    except InputError as error:
        say(f"{error} Nothing is taken over from it.")


def remove_progress(paths: Sequence[Path], fingerprint: str, units: Sequence[int]) -> None:
    """Remove those of ``paths`` that are progress, or hidden names of files, of these settings on no other units."""
    for path in paths:
        found: tuple[str, list[int]] | None = None
        if path.suffix == ".done":
            with suppress(InputError):
                found = read_fingerprint(path)
        elif path.suffix == ".progress":
            with suppress(InputError):
                head = read_head(path)
                found = head.fingerprint, head.units.tolist()
        if found and found[0] == fingerprint and set(found[1]) <= set(units):
            path.unlink(missing_ok=True)
