"""Definitions of networks: what makes a network, its weights, its tasks and how it takes images, in a file of JSON."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from featuresharing.arguments import kind_of
from featuresharing.errors import InputError
from featuresharing.files.atomic import content_key, replacing
from featuresharing.networks.formats import files_of
from featuresharing.own_code import source_files
from featuresharing.settings import Config, OwnNetworkSettings

START = b'{"featuresharing": "network"'
"""How files of definitions begin."""

TORCHVISION, TIMM = LIBRARIES = ("torchvision", "timm")
"""Libraries whose networks are called LIBRARY:NAME."""

MOST_BYTES = 2**20
"""The largest file that is read as a definition."""

MARKS = ("featuresharing", "files")
"""What a file of a definition says beside it: that it is one, and what the files that it names hold."""

ACCEPTED = "accepted is one that 'featuresharing define-network' wrote"


@dataclass(frozen=True)
class NetworkDefinition:
    """What a network is made of: files are by their paths from the working directory, or absolute.

    ``build`` names what makes it (a function, ``torchvision:NAME`` or ``timm:NAME``) with ``arguments``; None stands
    for ``weights`` that are a whole network of another format. Without ``weights`` it is as it is built, with random
    numbers of ``seed``. ``strip`` are prefixes that come off the names of weights.
    ``heads`` are the tasks by name (the plain values of a :class:`.heads.Head`; none: outputs as they are),
    ``probes`` is a file of probes, which are more tasks. ``tasks`` are all names in their order. ``preprocessing`` is
    how it takes images, as plain values (None: what a file says, or that of ImageNet). ``step`` is its training step,
    ``built_sha256`` the digest of a network that is as it is built.
    """

    build: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    strip: tuple[str, ...] = OwnNetworkSettings.strip
    tasks: tuple[str, ...] = ()
    heads: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    probes: Path | None = None
    preprocessing: Mapping[str, Any] | None = None
    seed: int = Config.seed
    step: int = -1
    built_sha256: str = ""

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions of users that the network needs, by their names."""
        own = [self.build] if self.build and self.build.partition(":")[0] not in LIBRARIES else []
        prepare = (self.preprocessing or {}).get("function")
        return tuple(str(name) for name in (*own, prepare) if name)

    def files(self) -> tuple[Path, ...]:
        """Return every file that the network depends on; raises InputError for code that is not there."""
        found = list(self.sources())
        if self.weights:
            found += [self.weights] if self.build else files_of(self.weights)
        found += [self.probes] if self.probes else []
        return tuple(dict.fromkeys(found))

    def sources(self) -> Iterator[Path]:
        """Yield the files of the functions; raises InputError for code that is not there."""
        for name in self.functions:
            yield from source_files(name, Path())

    def write(self, output: Path) -> None:
        """Write the definition, with the SHA-256 of its files; paths in it are relative to its folder.

        Raises InputError for files that are not there.
        """
        digests = {_from(path, output.parent): content_key(path) for path in self.files()}
        values = {"featuresharing": "network"} | self.values(output.parent) | {"files": digests}
        with replacing(output) as temporary:
            temporary.write_text(f"{json.dumps(values, ensure_ascii=False)}\n", encoding="utf-8")

    def values(self, folder: Path = Path()) -> dict[str, Any]:
        """Return plain values by name, whose paths are relative to a folder, as :meth:`from_values` takes them."""
        prepare = dict(self.preprocessing) if self.preprocessing else None
        if prepare and "function" in prepare:
            prepare["function"] = _function_from(prepare["function"], folder)
        return {
            "build": self.build and _function_from(self.build, folder),
            "arguments": dict(self.arguments),
            "weights": self.weights and _from(self.weights, folder),
            "strip": list(self.strip),
            "tasks": list(self.tasks),
            "heads": {task: dict(head) for task, head in self.heads.items()},
            "probes": self.probes and _from(self.probes, folder),
            "preprocessing": prepare,
            "seed": self.seed,
            "step": self.step,
            "built_sha256": self.built_sha256,
        }

    def architecture(self) -> dict[str, Any]:
        """Return plain values that say what the network is but for the numbers in it, for caches.

        They hold the digests of its code. Raises InputError for code that is not there.
        """
        sources = [content_key(path) for path in self.sources()]
        return {**self.values(Path().absolute()), "sources": sources}

    @classmethod
    def from_values(cls, values: Mapping[str, Any], folder: Path = Path()) -> Self:
        """Return the definition of plain values by name, such as those of a file in ``folder``; some may be missing.

        Raises InputError for values that are none of a definition.
        """
        known = {field.name for field in fields(cls)}
        if unknown := next((name for name in values if name not in known), None):
            raise InputError(f"definition: found {unknown!r}; accepted are {', '.join(sorted(known))}.")
        made = dict(values)
        try:
            for name, kind in (("arguments", dict), ("strip", tuple), ("tasks", tuple), ("heads", dict)):
                made[name] = kind(made.get(name, ()))
            for name in ("weights", "probes"):
                made[name] = _under(made.get(name), folder)
            return cls(**made)._below(folder)
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"definition: found values of other kinds ({error}); {ACCEPTED}.") from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what :meth:`write` wrote; raises InputError for a damaged file, and if files are not what they were."""
        stored = _read_json(path)
        found = cls._of_json(stored, path)
        named = stored.get("files")
        if not isinstance(named, dict):
            raise InputError(f"{path} does not say what its files have to hold; {ACCEPTED}.")
        digests = {_under(name, path.parent): digest for name, digest in named.items()}
        for file, digest in digests.items():
            if file is None or content_key(file) != digest:
                raise InputError(
                    f"{path}: {file} is not what it was when the network was defined; accepted is the file of then, "
                    "or a new definition, which snakemake writes."
                )
        if missing := next((file for file in found.files() if file not in digests), None):
            raise InputError(f"{path} does not say what {missing} has to hold; {ACCEPTED}.")
        return found

    @classmethod
    def read_unchecked(cls, path: Path) -> Self:
        """Read what :meth:`write` wrote, whatever its files hold now; raises InputError for a damaged file."""
        return cls._of_json(_read_json(path), path)

    @classmethod
    def _of_json(cls, stored: Mapping[str, Any], path: Path) -> Self:
        return cls.from_values({key: value for key, value in stored.items() if key not in MARKS}, path.parent)

    def _below(self, folder: Path) -> Self:
        """Return the definition with the files of functions by their paths from the working directory."""
        build, prepare = self.build and _function_below(self.build, folder), self.preprocessing
        if prepare and "function" in prepare:
            prepare = {**prepare, "function": _function_below(prepare["function"], folder)}
        return replace(self, build=build, preprocessing=prepare)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than {MOST_BYTES} bytes; {ACCEPTED}.")
        stored = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {ACCEPTED}.") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no JSON; {ACCEPTED}.") from None
    if not isinstance(stored, dict) or stored.get("featuresharing") != "network":
        raise InputError(f"{path}: found {kind_of(stored)}; {ACCEPTED}.")
    return stored


def _from(path: Path, folder: Path) -> str:
    """Return a path as a file in ``folder`` names it: relative, but for what was given as absolute."""
    return str(path) if path.is_absolute() else os.path.relpath(path, folder)


def _under(name: Any, folder: Path) -> Path | None:
    if name is None:
        return None
    if not isinstance(name, str):
        raise TypeError(f"found {kind_of(name)} for a path")
    return Path(os.path.normpath(folder / name))


def _function_from(name: str, folder: Path) -> str:
    place, colon, function = name.rpartition(":")
    return f"{_from(Path(place), folder)}{colon}{function}" if place.endswith(".py") else name


def _function_below(name: str, folder: Path) -> str:
    place, colon, function = name.rpartition(":")
    return f"{_under(place, folder)}{colon}{function}" if place.endswith(".py") else name
