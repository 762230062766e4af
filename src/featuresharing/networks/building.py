"""Networks of functions: a user's own, and those of torchvision and timm by their names."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from featuresharing.arguments import kind_of
from featuresharing.errors import InputError
from featuresharing.networks.definitions import TIMM, TORCHVISION
from featuresharing.own_code import call_own, load_function
from featuresharing.settings import Config


def build_network(
    build: str, arguments: Mapping[str, Any] | None = None, *, seed: int = Config.seed, numbers: bool = True
) -> nn.Module:
    """Return the network, in evaluation mode on the CPU, that ``build`` makes with ``arguments`` by name.

    ``build`` is ``mynet.py:build``, a function of a file, ``package.module:function``, ``torchvision:NAME`` or
    ``timm:NAME``. Random numbers in it are those of ``seed``, and the caller's go on as if none had been drawn. Without
    ``numbers``, parameters are on torch's meta device, where the function allows it.

    Raises InputError for a function or name that is not there, or that gives no network; OwnCodeError, with the
    user's traceback, where the function fails.
    """
    make = _function(build)
    settings = dict(arguments or {})
    told = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    sentence = f"the network cannot be built by {build} with ({told})"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = None if numbers else _sizes(make, settings)
        found = call_own(sentence, make, **settings) if found is None else found
    if not isinstance(found, nn.Module):
        raise InputError(f"{build} gives {kind_of(found)}; accepted is a function that gives a torch.nn.Module.")
    return found.eval()


def _function(build: str) -> Callable[..., Any]:
    library, _, name = build.partition(":")
    if library not in MAKERS:
        return load_function(build, Path())
    try:
        module = import_module(library)
    except (ImportError, RuntimeError, OSError) as error:  # versions that do not fit together raise all of these
        reason = str(error).partition("\n")[0]
        raise InputError(f"'{build}': {library} is not here ({reason}); accepted is one that is installed.") from None
    return MAKERS[library](module, name, build)


def _of_torchvision(module: Any, name: str, build: str) -> Callable[..., Any]:
    try:
        return module.models.get_model_builder(name)  # type: ignore[no-any-return]
    except ValueError:
        known = ", ".join(sorted(module.models.list_models()))
        raise InputError(f"'{build}': torchvision has no model '{name}'; accepted are {known}.") from None


def _of_timm(module: Any, name: str, build: str) -> Callable[..., Any]:
    if not module.is_model(name):
        raise InputError(f"'{build}': timm has no model '{name}'; accepted are those that timm.list_models() names.")
    return lambda **settings: module.create_model(name, **settings)


MAKERS: Mapping[str, Callable[[Any, str, str], Callable[..., Any]]] = {
    TORCHVISION: _of_torchvision,
    TIMM: _of_timm,
}
"""How libraries make a network of a name."""


def _sizes(make: Callable[..., Any], settings: Mapping[str, Any]) -> Any:
    """Return the network without numbers; None where the function looks at them, whatever it says then."""
    try:
        with torch.device("meta"):
            return call_own("", make, **settings)
    except Exception:  # it is called again with numbers, and says what it has to say
        return None
