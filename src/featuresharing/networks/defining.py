"""Networks out of their definitions: built, given their weights, and asked for the scores of their tasks."""

from dataclasses import replace

from featuresharing.data.preprocessing import preprocessing_from_dict
from featuresharing.errors import InputError
from featuresharing.networks.building import build_network
from featuresharing.networks.definitions import NetworkDefinition
from featuresharing.networks.formats import Contents, format_of
from featuresharing.networks.heads import head_of
from featuresharing.networks.network_digest import digest_of_network
from featuresharing.networks.probes import read_probes
from featuresharing.networks.task_scores import attach_heads, attach_probes
from featuresharing.networks.weights import load_weights


def open_definition(definition: NetworkDefinition, *, numbers: bool = True) -> Contents:
    """Return the network of a definition, in evaluation mode on the CPU, and what is known of it.

    Without ``numbers``, weights are not loaded, and a network that is built has none where it can be. Raises
    InputError as :func:`.building.build_network` and :func:`.weights.load_weights` do, as the format of a file that
    holds the whole network, and for one that is built with other numbers than when it was defined.
    """
    found = _network_of(definition, numbers)
    if definition.preprocessing is not None:
        found = replace(found, preprocessing=preprocessing_from_dict(definition.preprocessing))
    if definition.heads:
        attach_heads(found.network, {task: head_of(head) for task, head in definition.heads.items()})
        found = replace(found, tasks=tuple(definition.heads), classes=None)
    if definition.probes and numbers:
        attach_probes(found.network, read_probes(definition.probes), definition.tasks)
        found = replace(found, tasks=definition.tasks, classes=None)
    return replace(found, step=definition.step)


def _network_of(definition: NetworkDefinition, numbers: bool) -> Contents:
    if definition.build is None:
        if definition.weights is None:
            raise InputError("weights: found none; accepted is the file of a network, or what builds it.")
        return format_of(definition.weights).read(definition.weights)
    network = build_network(definition.build, definition.arguments, seed=definition.seed, numbers=numbers)
    if numbers and definition.weights:
        load_weights(network, definition.weights, definition.strip)
    elif numbers and definition.built_sha256 and digest_of_network(network) != definition.built_sha256:
        raise InputError(
            f"{definition.build} gives other numbers than when the network was defined; accepted is a function that "
            "gives the same each time, or checkpoints."
        )
    return Contents(network)
