"""Code of users: functions that they name, called so that they see their own traceback where it fails.

A function is named ``mynet.py:build``, by its file, or ``package.module:function``, as Python would import it.
"""

import ast
import hashlib
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from featuresharing.errors import InputError

ACCEPTED = "accepted is file.py:function or package.module:function"


class OwnCodeError(InputError):
    """Code of the user failed: one sentence that says where it was called from, and below it their own traceback."""


def load_function(name: str, folder: Path) -> Callable[..., Any]:
    """Return the function (or class) of a user by its ``name``; files are relative to ``folder``.

    A file is run once as long as it stays the same. While it runs, Python finds modules beside it, as if it were
    started as a program; what it prints goes to stderr. Raises InputError for a name of another form, and for a file or
    function that is not there; OwnCodeError where the user's code fails.
    """
    place, attribute = _parts(name)
    with _failing(f"'{name}' cannot be imported"):
        module = _run_file(folder / place, name) if place.endswith(".py") else _import(place, name)
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        there = ", ".join(sorted(_callables(module))) or "none"
        raise InputError(f"'{name}': {place} has no function {attribute!r}; accepted are {there}.")
    return _calling(found, folder / place if place.endswith(".py") else None)


def call_own(sentence: str, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """Return what a user's function gives; what it prints goes to stderr.

    ``sentence``, without its end, says what failed and where that was called from: OwnCodeError has it, if it does.
    """
    with _failing(sentence):
        return function(*arguments, **settings)


def source_files(name: str, folder: Path) -> tuple[Path, ...]:
    """Return the files of a function's code: its own, and those that it imports from beside it, in turn.

    Nothing is run. Of an installed package that is the module's file alone. Raises InputError for a name of another
    form, and for code that is not there or is no Python.
    """
    place, _ = _parts(name)
    if place.endswith(".py"):
        path = folder / place
        if not path.is_file():
            raise InputError(f"'{name}': {path} does not exist; {ACCEPTED}.")
        return tuple(_reached([path], path.parent))
    found = module_file(place)
    if found is None:
        raise InputError(f"'{name}': there is no module {place}; {ACCEPTED}.")
    root = found.parents[place.count(".") + (found.name == "__init__.py")]
    return (found,) if "site-packages" in found.parts else tuple(_reached([found], root))


def _parts(name: str) -> tuple[str, str]:
    place, colon, attribute = name.rpartition(":")
    if not (colon and place and all(part.isidentifier() for part in attribute.split("."))):
        raise InputError(f"function: found '{name}'; {ACCEPTED}.")
    return place, attribute


def _run_file(path: Path, name: str) -> ModuleType:
    if not path.is_file():
        raise InputError(f"'{name}': {path} does not exist; {ACCEPTED}.")
    key = hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:12]
    called = f"{path.stem}_{key}" if path.stem.isidentifier() else f"own_{key}"
    if called in sys.modules:
        return sys.modules[called]
    spec = spec_from_file_location(called, path)
    assert spec
    assert spec.loader
    module = sys.modules[called] = module_from_spec(spec)  # there, since dataclasses look for their module
    try:
        with _beside(path.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[called]
        raise
    return module


def _import(module: str, name: str) -> ModuleType:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise InputError(f"'{name}': there is no module {error.name}; {ACCEPTED}.") from None
        raise


def _calling(function: Callable[..., Any], path: Path | None) -> Callable[..., Any]:
    """Return a function that finds modules beside its file when it is called, which may be late."""

    def called(*arguments: Any, **settings: Any) -> Any:
        if path is None:
            return function(*arguments, **settings)
        with _beside(path.parent):
            return function(*arguments, **settings)

    return called


@contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Let imports in the block look into ``folder`` first; later ones of its modules find it after all others."""
    place = str(folder.resolve())
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)
        if place not in sys.path:
            sys.path.append(place)


@contextmanager
def _failing(sentence: str) -> Iterator[None]:
    """Say ``sentence`` of whatever fails in the block, above the traceback of the user's own frames."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # a program that reads its own arguments exits
        raise OwnCodeError(f"{sentence}; this is where its code fails:\n{_own_traceback(error)}") from error


def _own_traceback(error: BaseException) -> str:
    """Return an error's traceback as Python prints it, without the frames of this module and of Python's imports."""
    told = traceback.TracebackException.from_exception(error)
    while told.stack and (told.stack[0].filename == __file__ or "importlib" in told.stack[0].filename):
        del told.stack[0]
    return "".join(told.format(chain=False)).rstrip()


def _callables(module: ModuleType) -> list[str]:
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__)
    return [name for name in own if callable(getattr(module, name)) and not name.startswith("_")]


def module_file(module: str) -> Path | None:
    """Return the file of a module, which is not imported; None where there is none."""
    top, *inside = module.split(".")
    try:
        spec = find_spec(top)
    except ValueError:  # of modules that are no files
        return None
    if spec is None or not spec.origin:
        return None
    origin = Path(spec.origin)
    path = origin.parent.joinpath(*inside) if inside else origin
    return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.is_file()), None)


def _reached(start: Sequence[Path], root: Path) -> Iterator[Path]:
    """Yield files and those under ``root`` that they import, each once, in an order that depends on nothing else."""
    waiting, seen = list(start), set(start)
    while waiting:
        path = waiting.pop(0)
        yield path
        for found in _imported(path, root):
            if found not in seen:
                seen.add(found)
                waiting.append(found)


def _imported(path: Path, root: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        place = f", line {line}" if line else ""
        raise InputError(f"{path}{place} is no Python ({error.args[0]}); accepted is a file of Python.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); accepted is a readable file.") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(root, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1] if node.level else root
            inside = node.module.split(".") if node.module else []
            yield from _files_of(base, inside)
            for alias in node.names:
                yield from _files_of(base, [*inside, alias.name])


def _files_of(folder: Path, parts: list[str]) -> Iterator[Path]:
    """Yield the file of a module under ``folder`` and those of the packages around it, as far as they are there."""
    for count in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:count])
        yield from (each for each in (place / "__init__.py", place.with_name(f"{place.name}.py")) if each.is_file())
