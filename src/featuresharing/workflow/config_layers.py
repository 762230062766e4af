"""The layers that a config names, in the networks that it names."""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from featuresharing.errors import InputError
from featuresharing.estimators.estimation import Estimation
from featuresharing.estimators.estimator import Estimator
from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.settings import Config
from featuresharing.settings.block import Problem

OF_ALL_LAYERS = ("layers", "tasks")
"""Names that figures of all layers begin with, and no layer has."""

ALL = "all"
"""Stands for every layer in place of a pattern."""


def estimator_of(config: Config) -> Estimator:
    """Return the estimator of a config, which is that of lesions where units are set to zero."""
    settings = config.marginalization
    name = config.method if config.method == "lesion" else settings.estimator
    seed = config.seed if settings.seed is None else settings.seed
    numbers = settings.samples, settings.scale, settings.tolerance, seed
    return Estimation(name, *numbers, settings.tolerance_bits, config.evidence.laplace).make()


def name_layers(
    layers: str | Mapping[str, str], networks: Mapping[str, NetworkDescription], estimator: Estimator
) -> dict[str, str]:
    """Return module paths by alias; of a pattern, those of the first network that an estimator takes, and all others.

    Aliases are then the paths, with - for whatever names of files do not take. Layers that are refused are left out.
    Raises InputError where the pattern fits no layer, or two of one alias.
    """
    if not isinstance(layers, str):
        return dict(layers)
    network = next(iter(networks.values()))
    taken = [layer.path for layer in network.layers if not layer.refused and estimator.takes(linear=layer.is_linear)]
    paths = [path for path in taken if layers == ALL or fnmatchcase(path, layers)]
    if not paths:
        found = f"config key 'layers': found '{layers}', which fits none"
        raise InputError(f"{found}; accepted is a pattern such as *.conv1 of these: {', '.join(taken)}.")
    named: dict[str, str] = {}
    for path in paths:
        alias = re.sub("[^A-Za-z0-9.]", "-", path).lstrip("-") or "network"
        if alias in named:
            twice = f"{named[alias]} and {path} would both be called {alias}"
            raise InputError(f"config key 'layers': {twice}; accepted are aliases of your own and their module paths.")
        named[alias] = path
    return named


def layer_problems(
    layers: Mapping[str, str], networks: Mapping[str, NetworkDescription], estimator: Estimator
) -> Iterator[Problem]:
    """Yield which of ``layers``, module paths by alias, are none of the experiments' ``networks`` for an estimator."""
    for alias, path in layers.items():
        if alias in OF_ALL_LAYERS:
            figures = (
                f"figures of all layers are called so; accepted is an alias of its own, such as {{{alias}1: {path}}}"
            )
            yield Problem(f"layers.{alias}", f": found '{alias}', but {figures}")
            continue
        problems = (_problem(path, network, estimator) for network in networks.values())
        if problem := next(filter(None, problems), None):
            yield Problem(f"layers.{alias}", f": {problem}")


def _problem(path: str, network: NetworkDescription, estimator: Estimator) -> str | None:
    try:
        layer = network.layer(path)
    except InputError as error:
        return str(error).removesuffix(".")
    if not estimator.takes(linear=layer.is_linear):
        taken = ", ".join(other.path for other in network.layers if estimator.takes(linear=other.is_linear))
        return f"found {path!r}; accepted with {estimator.name} are {estimator.layers}: {taken}"
    return layer.refused and layer.refused.removesuffix(".")


def in_order(layers: Mapping[str, str], networks: Mapping[str, NetworkDescription]) -> dict[str, str]:
    """Return layers in the order in which the first network runs them, whatever order the config has."""
    network = next(iter(networks.values()))
    return dict(sorted(layers.items(), key=lambda layer: network.position(layer[1])))
