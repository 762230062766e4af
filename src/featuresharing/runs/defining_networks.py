"""Write definitions of networks, from which every command opens them."""

from dataclasses import replace
from pathlib import Path

from featuresharing.networks.definitions import NetworkDefinition
from featuresharing.runs.stopping import Say


def define_to_file(definition: NetworkDefinition, output: Path, *, say: Say = print) -> None:
    """Write a definition to ``output``, with what its files hold; without weights, with what the built network holds.

    Raises InputError for files that are not there, and for a network that cannot be built where it has to be.
    """
    if definition.build and not definition.weights:
        from featuresharing.networks.building import build_network
        from featuresharing.networks.network_digest import digest_of_network

        network = build_network(definition.build, definition.arguments, seed=definition.seed)
        definition = replace(definition, built_sha256=digest_of_network(network))
    definition.write(output)
    files = ", ".join(map(str, definition.files())) or "no files"
    say(f"{output} defines a network of {definition.build or definition.weights}, and depends on {files}.")
