"""The ``featuresharing`` command, also as ``python -m featuresharing``: one command, then the end of its process."""

import gc
import sys

from featuresharing.cli import main


def run() -> int:
    """Run the command that the process was started with; return its exit status."""
    try:
        return main()
    finally:
        gc.freeze()  # or else all that torch holds is searched for garbage once more, for half as long as its import


if __name__ == "__main__":
    sys.exit(run())
