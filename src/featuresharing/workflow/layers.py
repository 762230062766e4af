"""The layers that a config names, in the networks that it names."""

from collections.abc import Iterator, Mapping

from featuresharing.errors import InputError
from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.settings.block import Problem


def layer_problems(
    layers: Mapping[str, str], networks: Mapping[str, NetworkDescription], *, linear: str | None = None
) -> Iterator[Problem]:
    """Yield why ``layers``, module paths by alias, are none of the ``networks`` of experiments that can be analysed.

    ``linear`` is the estimator that takes linear layers only (None: any).
    """
    for alias, path in layers.items():
        problems = (_problem(path, network, linear) for network in networks.values())
        if problem := next(filter(None, problems), None):
            yield Problem(f"layers.{alias}", f": {problem}")


def _problem(path: str, network: NetworkDescription, linear: str | None) -> str | None:
    try:
        layer = network.layer(path)
    except InputError as error:
        return str(error).removesuffix(".")
    if linear and not layer.is_linear:
        accepted = ", ".join(other.path for other in network.layers if other.is_linear)
        return f"found {path!r}; accepted with {linear} are linear layers: {accepted}"
    return layer.refused and layer.refused.removesuffix(".")


def in_order(layers: Mapping[str, str], networks: Mapping[str, NetworkDescription]) -> dict[str, str]:
    """Return layers in the order in which the first network runs them, whatever order the config has."""
    network = next(iter(networks.values()))
    return dict(sorted(layers.items(), key=lambda layer: network.position(layer[1])))
