"""Write the files that are made of the settings, in the folder of a clone; with --check, fail if one is out of date."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from featuresharing.errors import InputError
from featuresharing.settings.documentation import COMMAND, generated_files


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the files; return the exit status."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if a file is out of date")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), help="folder of a clone (default: this one)")
    options = parser.parse_args(arguments)
    try:
        files = generated_files(options.folder)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    stale = [path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if options.check:
            print(f"{path} differs from the settings; mend it with: {COMMAND}", file=sys.stderr)
        else:
            path.write_text(files[path], encoding="utf-8")
            print(f"{path} is written.")
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
