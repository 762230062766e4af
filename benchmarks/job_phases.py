"""Run one command as its program does, and write where its CPU time went; for startup.py.

python benchmarks/job_phases.py FILE COMMAND OPTIONS...    # FILE gets seconds by phase, in JSON
"""

import time

START = time.process_time()

import builtins  # noqa: E402
import json  # noqa: E402
import pkgutil  # noqa: E402
import sys  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Callable  # noqa: E402
from functools import wraps  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

PHASES = {
    "reading": (
        "cli:_parse",
        "data.lists:ListFiles.read",
        "data.array_files:digest_of_images",
        "data.images:read_inputs",
        "data.table_files:read_table",
        "data.table_files:read_texts",
        "networks.formats:digest_of_file",
        "networks.opening:open_network",
        "networks.predictions:read_predictions",
        "store.layer_files:read_conditionals",
    ),
    "describing": (
        "networks.preparation:prepare",
        "engine.engines:engine_of",
        "engine.tracing:record",
        "engine.plan:make_plan",
    ),
    "writing": (
        "data.table_files:write_table",
        "networks.predictions:write_predictions",
        "store.unit_store:UnitStore.begin",
        "store.unit_store:UnitStore.write",
        "store.unit_store:UnitStore.finish",
    ),
}
"""The functions of each phase; what is in none of them, and no import, is computing."""


class Clock:
    """CPU time by phase: each second is that of the innermost phase."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inside, self._since = ["computing"], time.process_time()

    @property
    def phase(self) -> str:
        """The phase that time is now charged to."""
        return self._inside[-1]

    def enter(self, phase: str) -> None:
        """Begin a phase within the present one."""
        self._charge()
        self._inside.append(phase)

    def leave(self) -> None:
        """End the present phase, and go on with the one around it."""
        self._charge()
        self._inside.pop()

    def _charge(self) -> None:
        now = time.process_time()
        self.spent[self.phase] += now - self._since
        self._since = now

    def timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same, in a phase."""

        @wraps(function)
        def within(*arguments: Any, **settings: Any) -> Any:
            self.enter(phase)
            try:
                return function(*arguments, **settings)
            finally:
                self.leave()

        return within


def time_imports(clock: Clock) -> None:
    """Charge imports to a phase of their own, and time the functions of PHASES once their modules are there."""
    import_module = builtins.__import__
    waiting = {name: phase for phase, names in PHASES.items() for name in names}

    def importing(*arguments: Any, **settings: Any) -> Any:
        if clock.phase == "imports":
            return import_module(*arguments, **settings)
        clock.enter("imports")
        try:
            return import_module(*arguments, **settings)
        finally:
            for name in [each for each in waiting if f"featuresharing.{each.partition(':')[0]}" in sys.modules]:
                time_function(clock, waiting.pop(name), name)
            clock.leave()

    builtins.__import__ = importing


def time_function(clock: Clock, phase: str, name: str) -> None:
    """Time a function or method wherever it is known by now."""
    place, _, path = name.partition(":")
    found = pkgutil.resolve_name(f"featuresharing.{name}")
    timed = clock.timed(phase, found)
    owner, _, method = path.rpartition(".")
    if owner:
        setattr(pkgutil.resolve_name(f"featuresharing.{place}:{owner}"), method, timed)
        return
    for module in [module for key, module in sys.modules.items() if key.split(".")[0] == "featuresharing"]:
        for known in [known for known, value in vars(module).items() if value is found]:
            setattr(module, known, timed)


def main() -> None:
    """Run the command, and write its phases where its last line is said."""
    place = Path(sys.argv.pop(1))
    clock = Clock()
    time_imports(clock)
    from featuresharing import __main__ as program

    command = program.main

    def measured() -> int:
        status = command()
        clock.leave()
        place.write_text(json.dumps({"python": START, **clock.spent, "end": time.process_time()}))
        return status

    program.main = measured
    clock.enter("computing")
    sys.exit(program.run())


if __name__ == "__main__":
    main()
