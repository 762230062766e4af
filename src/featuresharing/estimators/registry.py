"""Estimators by name: those in :mod:`featuresharing.estimators.builtin`, and those of other distributions.

A distribution registers an estimator by an entry point of the group ``featuresharing.estimators``, which names its
class. Entry points are looked for only when a name is asked for that the package does not have, or when all are listed.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from featuresharing.errors import InputError
from featuresharing.estimators import builtin
from featuresharing.estimators.estimator import Estimator

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

GROUP = "featuresharing.estimators"
"""The group of entry points."""


def builtin_names() -> tuple[str, ...]:
    """Return the names of the estimators of this package, in alphabetical order."""
    return tuple(sorted(_name_of(module.name) for module in iter_modules(builtin.__path__)))


def estimator_names() -> tuple[str, ...]:
    """Return the names of all estimators, in alphabetical order: the package's and those of other distributions."""
    return tuple(sorted({*builtin_names(), *_registered().names}))


def is_estimator(name: str) -> bool:
    """Return whether an estimator of this name is known."""
    return name in builtin_names() or name in estimator_names()


def marginalizing_names() -> tuple[str, ...]:
    """Return the names of estimators that marginalize; those of other distributions are taken to, unread."""
    others = [name for name in builtin_names() if not find_estimator(name).marginalizes]
    return tuple(name for name in estimator_names() if name not in others)


def find_estimator(name: str) -> type[Estimator]:
    """Return the class of an estimator; raises InputError for a name that is not known, or that names no estimator."""
    if not isinstance(name, str):
        raise InputError(f"estimator: found {name!r}; accepted are {', '.join(estimator_names())}.")
    if name in builtin_names():
        return _class_in(import_module(f"{builtin.__name__}.{name.replace('-', '_')}"))
    points = {point.value: point for point in _registered().select(name=name)}
    if not points:
        raise InputError(f"estimator '{name}' is not known; accepted are {', '.join(estimator_names())}.")
    if len(points) > 1:
        raise InputError(f"estimator '{name}' is registered as {' and as '.join(points)}; accepted is one of them.")
    return _loaded(next(iter(points.values())))


def _name_of(module: str) -> str:
    return module.replace("_", "-")


def _class_in(module: Any) -> type[Estimator]:
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Estimator) and value.__module__ == module.__name__
    )
    return found


def _registered() -> "EntryPoints":
    """Return the entry points of all distributions that are installed; this takes some milliseconds."""
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


def _loaded(point: "EntryPoint") -> type[Estimator]:
    try:
        found = point.load()
    except Exception as error:  # it runs code of others
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"estimator '{point.name}': {point.value} cannot be loaded ({reason}); accepted is a class of Estimator."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Estimator)):
        raise InputError(f"estimator '{point.name}': {point.value} is no class of Estimator; accepted is one.")
    if found.name != point.name:
        raise InputError(f"estimator '{point.name}': {point.value} calls itself '{found.name}'; accepted is one name.")
    return found
