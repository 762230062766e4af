"""Which bytes a file from elsewhere has to have: those that a config names, or those of its first use."""

import hashlib
import re
from pathlib import Path

from featuresharing.errors import InputError, quoted
from featuresharing.fetch.recognition import check_recognised
from featuresharing.files.atomic import replacing

OURS = "# recorded by featuresharing at first use of the file; removed with it"
"""Line of a record that nobody else wrote; sha256sum -c passes over it."""

LINE = re.compile(r"([0-9a-fA-F]{64})(?:\s+\*?(\S.*))?")
"""A line of sha256sum: digits, and the name of the file."""

LONGEST = 2**24
"""Characters of a record that are read."""

_REMEDY = "delete the file to download it again, or mend what is accepted"


def check_archive(path: Path, *, size: int | None = None, sha256: str | None = None, name: Path | None = None) -> str:
    """Compare a file with its ``size`` and ``sha256``, and return the latter.

    Where ``sha256`` is not known, the file's is recorded at first use in ``{name}.sha256`` (as sha256sum does) and
    insisted on from then on, once the file is recognised as what its name says. ``name`` is what the file will be
    called. Raises InputError for another file.
    """
    called = name or path
    if not path.is_file():
        raise InputError(f"{called} does not exist; accepted is a file of this name, downloaded or put there by you.")
    found = path.stat().st_size
    if size is not None and found != size:
        raise InputError(f"{called} has {found} bytes; accepted are {size}: {_REMEDY}.")
    accepted = accepted_digest(called, sha256)
    if accepted is None:
        check_recognised(path, called)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if accepted is None:
        with replacing(_record(called), recorded=False) as temporary:
            temporary.write_text(f"{digest}  {called.name}\n{OURS}\n")
    elif digest != accepted[0]:
        remedy = _REMEDY if sha256 else f"delete the file to download it again, or {accepted[1]} if the file is right"
        raise InputError(f"{called} has SHA-256 {digest}; accepted is {accepted[0]}, by {accepted[1]}: {remedy}.")
    return digest


def forget_record(called: Path) -> None:
    """Remove the record of a file that is gone or damaged, unless somebody else wrote it."""
    record = _record(called)
    try:
        if OURS in record.read_text(errors="replace").splitlines():
            record.unlink()
    except OSError:
        return  # whoever reads it next says why


def _record(called: Path) -> Path:
    return called.with_name(f"{called.name}.sha256")


def accepted_digest(called: Path, sha256: str | None) -> tuple[str, str] | None:
    """Return the SHA-256 that a file has to have and what says so; None before its first use.

    A record may name several files, as SHA256SUMS of a server does. Raises InputError for one without this file.
    """
    if sha256 is not None:
        return sha256.lower(), "the config"
    record = _record(called)
    if not record.exists():
        return None
    try:
        with record.open(encoding="utf-8-sig", errors="replace") as file:
            text = file.read(LONGEST)
    except OSError as error:
        raise InputError(f"{record} cannot be read ({error.strerror}); accepted is a file of sha256sum.") from None
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = [match for line in lines if (match := LINE.fullmatch(line))]
    if not found or len(found) < len(lines):
        raise InputError(
            f"{record} begins with {quoted(text)}; accepted are the 64 hexadecimal digits of a SHA-256: mend it, or "
            f"delete it to record that of {called.name} anew."
        )
    ours = [match[1] for match in found if match[2] is None or Path(match[2]).name == called.name]
    if len(set(ours)) != 1:
        raise InputError(
            f"{record} names {len(set(ours)) or 'no'} SHA-256 of {called.name}; accepted is one: mend it, or delete it "
            "to record that of the file anew."
        )
    return ours[0].lower(), str(record)
