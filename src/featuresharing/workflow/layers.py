"""The layers that a config names, in the networks that it names."""

from collections.abc import Iterator, Mapping

from featuresharing.errors import InputError
from featuresharing.networks.descriptions import NetworkDescription


def layer_problems(
    layers: Mapping[str, str], networks: Mapping[str, NetworkDescription], *, linear: str | None = None
) -> Iterator[str]:
    """Yield why ``layers``, module paths by alias, are none of the ``networks`` of experiments that can be analysed.

    ``linear`` is the estimator that takes linear layers only (None: any).
    """
    for alias, path in layers.items():
        problems = (_problem(alias, path, network, linear) for network in networks.values())
        yield from list(dict.fromkeys(problem for problem in problems if problem))[:1]


def _problem(alias: str, path: str, network: NetworkDescription, linear: str | None) -> str | None:
    place = f"config key 'layers.{alias}'"
    try:
        layer = network.layer(path)
    except InputError as error:
        return f"{place}: {error}"
    if layer.refused:
        return f"{place}: {layer.refused}"
    if linear and not layer.is_linear:
        accepted = ", ".join(other.path for other in network.layers if other.is_linear)
        return f"{place}: found {path!r}; accepted with {linear} are linear layers: {accepted}."
    return None


def in_order(layers: Mapping[str, str], networks: Mapping[str, NetworkDescription]) -> dict[str, str]:
    """Return layers in the order in which the first network runs them, whatever order the config has."""
    network = next(iter(networks.values()))
    return dict(sorted(layers.items(), key=lambda layer: network.position(layer[1])))
