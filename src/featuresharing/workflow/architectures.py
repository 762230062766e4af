"""Networks that jobs will run, described before they are there: from their architecture alone, or from their files.

Descriptions are kept in small files, so that torch is imported once and not whenever a Snakefile is parsed.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featuresharing.data.preprocessing import AnyPreprocessing, ImageSize
from featuresharing.errors import InputError
from featuresharing.files.atomic import replacing
from featuresharing.networks import descriptions
from featuresharing.networks.definitions import NetworkDefinition
from featuresharing.networks.descriptions import NetworkDescription
from featuresharing.own_code import module_file
from featuresharing.settings import MarginalizationSettings, PreprocessingSettings
from featuresharing.settings.analysis_settings import PLAIN

if TYPE_CHECKING:
    from featuresharing.networks.formats import Contents

CACHE = Path(".snakemake/featuresharing")
"""Where descriptions are kept, a file each; whoever deletes them has them made anew."""


_OURS = [*sorted((Path(__file__).parents[1] / "engine").glob("*.py")), Path(descriptions.__file__)]
"""The code that describes."""


@dataclass(frozen=True)
class Architecture:
    """A network without its weights, on square RGB images of ``image_size`` pixels, or images of that shape.

    ``build``, such as ``"torchvision.models:resnet50"``, is a function that makes it, given ``settings`` by name, which
    are numbers, texts and lists.
    """

    build: str
    settings: Mapping[str, Any]
    image_size: ImageSize


@dataclass(frozen=True)
class NetworkFile:
    """The file of a network that is there before anything runs.

    ``image_size`` is that of a network whose file does not say it (None: 224).
    """

    path: Path
    image_size: ImageSize | None = None


@dataclass(frozen=True)
class DefinedNetwork:
    """A network that its definition makes, described without its weights.

    ``preprocessing`` is what a config says of it (None: what files say), and ``first`` finds one of the images, which
    tells what the config does not. ``probes`` are tasks that probes will have, with the layers that they read.
    """

    definition: NetworkDefinition
    preprocessing: PreprocessingSettings | str | None
    first: Callable[[], Path]
    probes: Mapping[str, str | None] = field(default_factory=dict)


AnyNetwork = Architecture | NetworkFile | DefinedNetwork
"""What a source says of an experiment's network."""


def describe(
    network: AnyNetwork, cache: Path = CACHE, *, engine: str = MarginalizationSettings.engine
) -> NetworkDescription:
    """Describe a network; what was described before is read from ``cache``, a folder that may be read-only.

    Raises InputError for an architecture that cannot be built or described, and for a file that holds no network.
    """
    kept = cache / f"{_key(network, engine)}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        return NetworkDescription.from_dict(json.loads(kept.read_text(encoding="utf-8")))
    found = _described(network, engine)
    with suppress(InputError, OSError), replacing(kept, recorded=False) as temporary:
        temporary.write_text(json.dumps(found.as_dict()), encoding="utf-8")
    return found


def _described(network: AnyNetwork, engine: str) -> NetworkDescription:
    from featuresharing.engine.tracing import UntraceableError

    try:
        return _describe(network, engine)
    except UntraceableError as error:
        otherwise = "marginalization: {engine: plain} runs such networks, slowly"
        raise InputError(f"{str(error).removesuffix('.')}; {otherwise}.") from error


def _key(network: AnyNetwork, engine: str) -> str:
    """Return what names all that a description depends on."""
    told: dict[str, Any] = {"ours": _digest(_OURS), "torch": version("torch"), "engine": engine}
    if isinstance(network, Architecture):
        theirs = module_file(network.build.partition(":")[0])
        told |= asdict(network) | {"theirs": _digest([theirs] if theirs else [])}
    elif isinstance(network, DefinedNetwork):
        said = network.preprocessing
        told |= network.definition.architecture()
        told |= {"said": said.as_config() if isinstance(said, PreprocessingSettings) else said}
        told |= {"probes": dict(network.probes)}
        if not network.definition.build and network.definition.weights:
            told |= _status(network.definition.weights)
    else:
        told |= {"image_size": network.image_size} | _status(network.path)
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def _status(path: Path) -> dict[str, Any]:
    """Return what names a file of a network without reading it."""
    told: dict[str, Any] = {"path": str(path.absolute())}
    with suppress(OSError):  # of a file that is not there, its reader says so
        status = path.stat()
        told |= {"size": status.st_size, "time": status.st_mtime_ns}
    return told


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _describe(network: AnyNetwork, engine: str) -> NetworkDescription:
    from featuresharing.engine.describing import describe_file, describe_network
    from featuresharing.networks.building import build_network

    if isinstance(network, NetworkFile):
        return describe_file(network.path, image_size=network.image_size, engine=engine)
    if isinstance(network, DefinedNetwork):
        return _describe_defined(network, engine)
    made = build_network(network.build, network.settings, numbers=engine == PLAIN)
    return describe_network(made, network.image_size, engine=engine)


def preprocessing_of_defined(network: DefinedNetwork, found: "Contents") -> AnyPreprocessing:
    """Return how a defined network takes images, ``found`` without its weights: as a config says, else as its files.

    Raises InputError for what the config says and is not there.
    """
    from featuresharing.data.known_preprocessing import known_preprocessing
    from featuresharing.networks.opening import preprocessing_of

    said = network.preprocessing
    if said is None:
        return preprocessing_of(found)
    first = network.first() if isinstance(said, str) else Path()  # a block tells all itself
    return known_preprocessing(said, network=lambda: found.network, first=first)


def _describe_defined(network: DefinedNetwork, engine: str) -> NetworkDescription:
    from featuresharing.engine.describing import describe_network
    from featuresharing.networks.defining import open_definition
    from featuresharing.networks.probe_sketches import sketch_probes
    from featuresharing.networks.task_scores import attach_probes

    found = open_definition(network.definition, numbers=engine == PLAIN)
    look = preprocessing_of_defined(network, found)
    if network.probes:
        attach_probes(found.network, sketch_probes(found.network, network.probes, look))
    return replace(describe_network(found.network, look.shape, whole=look.whole, engine=engine), preprocessing=look)
