"""Write definitions of networks, from which every command opens them."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from featuresharing.data.known_preprocessing import known_preprocessing
from featuresharing.networks.definitions import NetworkDefinition
from featuresharing.runs.stopping import Say
from featuresharing.settings import PreprocessingSettings

if TYPE_CHECKING:
    from torch import nn


def define_to_file(
    definition: NetworkDefinition,
    output: Path,
    *,
    preprocessing: PreprocessingSettings | str | None = None,
    first: Path | None = None,
    say: Say = print,
) -> None:
    """Write a definition to ``output``, with what its files hold; without weights, with what the built network holds.

    ``preprocessing`` is what a config says of it (None: that of the definition); the ``first`` image tells what the
    config does not. Raises InputError for files that are not there, for a network that cannot be built where it has to
    be, and for preprocessing that cannot be found out.
    """
    if preprocessing is not None:
        look = known_preprocessing(preprocessing, network=lambda: _built(definition), first=first or Path())
        definition = replace(definition, preprocessing=look.as_dict())
    if definition.build and not definition.weights:
        from featuresharing.networks.network_digest import digest_of_network

        definition = replace(definition, built_sha256=digest_of_network(_built(definition)))
    definition.write(output)
    files = ", ".join(map(str, definition.files())) or "no files"
    say(f"{output} defines a network of {definition.build or definition.weights}, and depends on {files}.")


def _built(definition: NetworkDefinition) -> "nn.Module":
    from featuresharing.networks.defining import open_definition

    return open_definition(replace(definition, heads={}, probes=None)).network
