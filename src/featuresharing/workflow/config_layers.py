"""The layers that a config names, in the networks that it names."""

from collections.abc import Iterator, Mapping

from featuresharing.errors import InputError
from featuresharing.estimators.estimator import Estimator
from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.settings.block import Problem


def layer_problems(
    layers: Mapping[str, str], networks: Mapping[str, NetworkDescription], estimator: Estimator
) -> Iterator[Problem]:
    """Yield which of ``layers``, module paths by alias, are none of the experiments' ``networks`` for an estimator."""
    for alias, path in layers.items():
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
