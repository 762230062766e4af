"""Every kind of file in a folder of results: how its name tells it, and how it is checked, or why it is not.

A new kind of output gets a line in :data:`KINDS`. Files that a record names are compared with that first, whatever kind
they are of; what a check looks at is what they hold.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from featuresharing.runs import contents

Check = Callable[[Path, Path], Iterable[str]]
"""Takes a file and the folder of results; yields what is wrong with what the file holds, a sentence each."""


@dataclass(frozen=True)
class Kind:
    """A kind of file: its ``name`` in the plural, and the ``pattern`` of paths from the folder of results.

    ``check`` looks at what a file holds, of recorded ones only if ``always``; without it, ``reason`` says why nothing
    does. ``final`` files are results, which a record ought to name.
    """

    name: str
    pattern: str
    check: Check | None = None
    reason: str = ""
    final: bool = True
    always: bool = False


def _work(name: str, pattern: str, check: Check | None = None, reason: str = "") -> Kind:
    return Kind(name, pattern, check, reason, final=False)


_NETWORK = r"[^/]+(/[0-9]+)?"
"""The folder of an experiment's network; that of a replicate but the first has its number behind the experiment."""

_SECOND = r"(.*/)?(\.progress/[0-9a-f]+/([^/]+\.pt|training\.csv)(?<!/state-[01]\.pt)|\.[^/]+\.[0-9a-f]+\.done(/.*)?)"

KINDS = (
    _work("logs", "logs/.*", reason="they hold what jobs said"),
    _work("benchmarks", "benchmarks/.*", reason="they hold what jobs took"),
    _work("reports", r"[^/]*report[^/]*\.(zip|html)", reason="Snakemake makes them on request"),
    _work("marks of Snakemake", r"(.*/)?\.snakemake_timestamp", reason="they are Snakemake's own"),
    _work("locks", r"(.*/)?\.[^/]+\.lock", reason="the process that holds one writes it"),
    _work("records", r"(.*/)?\.[^/]+\.sha256"),
    _work("records to come", r"(.*/)?\.[^/]+\.sha256\.new", reason="the next writer of their file replaces them"),
    _work("second names", _SECOND, contents.problems_of_second_name),
    _work(
        "working files of trainings",
        r"(.*/)?\.progress/.*",
        reason="a training compares them with their digests as it goes on",
    ),
    _work(
        "working files of folders",
        r"(.*/)?\.[^/]+\.(part/.*|written)",
        reason="the next run of its job compares it with what was noted",
    ),
    _work("files left behind", r"(.*/)?\.[^/]+\.part", contents.problems_of_part),
    _work("progress of units", r"(.*/)?\.[^/]+\.progress", contents.problems_of_progress),
    _work("measured orders", r"(.*/)?\.[^/]+\.measured", contents.problems_of_measured),
    Kind("conditionals and predictions", r"(.*/)?[^/.][^/]*\.h5", contents.problems_of_hdf5, always=True),
    Kind("pictures", r"(?i:(.*/)?[^/.][^/]*\.(png|gif|jpe?g))", contents.problems_of_picture),
    Kind("networks", r"(.*/)?[^/.][^/]*\.pt", contents.problems_of_checkpoint),
    Kind("files of Torch7", r"(.*/)?[^/.][^/]*\.t7", contents.problems_of_torch7),
    Kind("tables", r"(.*/)?[^/.][^/]*\.csv", contents.problems_of_table),
    Kind("image lists", rf"(lists|baseline)/{_NETWORK}/[^/.][^/]*\.txt", contents.problems_of_list),
    Kind("configs", r"config\.yaml", contents.problems_of_config),
    Kind("vector figures", r"(.*/)?[^/.][^/]*\.(pdf|svg)", reason="nothing here reads them"),
    Kind(
        "summaries and pages",
        r"summary\.md|(tables/)?[^/.][^/]*\.html",
        reason="they say what tables say, which are checked",
    ),
    Kind("probes", rf"probes/{_NETWORK}/[^/.][^/]*\.npz", contents.problems_of_probes),
    Kind("networks of other formats", rf"networks/{_NETWORK}/[^/.][^/]*", contents.problems_of_network),
    Kind("extracted files", "archives/.*", reason="only the record of their archive says what they were"),
)
"""Every kind of file; a path is of the first that fits."""

UNKNOWN = Kind("files of no known kind", ".*", reason="their names say nothing of what they hold")


def kind_of(path: Path, folder: Path) -> Kind:
    """Return the kind of a file in a ``folder`` of results."""
    relative = path.relative_to(folder).as_posix()
    return next((kind for kind in KINDS if re.fullmatch(kind.pattern, relative, flags=re.DOTALL)), UNKNOWN)
