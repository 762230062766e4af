"""Ways to run the command line, in this process or in one of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from featuresharing.cli import main

ROOT = Path(__file__).parents[2]
RESOURCES = ROOT / "resources"
FONT = RESOURCES / "fonts/DejaVuSans-Bold.ttf"
PROGRAM = (sys.executable, "-m", "featuresharing")


def words(options: dict[str, Any]) -> list[str]:
    """Return options by name as words of the command line."""
    found = []
    for name, value in options.items():
        found += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return found


def run(command: str, *given: Any, **options: Any) -> int:
    """Run a command in this process with what it is given, options by name, and return its exit status."""
    return main([command, *map(str, given), *words(options)])


def run_python(code: str, *arguments: Any, **environment: str) -> str:
    """Run code in a process of its own; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
