"""Archives of ``torch.export.save``, of any version of torch from 2.6 on, and the tensors in them.

``torch.export.load`` unpickles example inputs and constants, evaluates expressions and loads compiled libraries. Here
the graph is read as plain JSON, weights as the bytes that they are (before torch 2.9 as torch loads a file of weights
alone), and nothing else is looked at.
"""

import json
import re
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featuresharing.errors import InputError, quoted
from featuresharing.files.record_format import open_regular

if TYPE_CHECKING:
    from torch import Tensor

FIRST = b"PK\x03\x04"
OLD = "serialized_exported_program.json"
MODEL = re.compile(r"([^/]+/)?models/([^/]+)\.json")
MOST_JSON = 2**28
"""Bytes of a graph; that of a network of a thousand layers takes 10 MB."""

TYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64"}
TYPES |= {12: "bool", 13: "bfloat16"}
"""Types of numbers, by the numbers of torch's schema."""

SAY = "accepted is what torch.export.save writes"


def names_of_programs(path: Path) -> list[str]:
    """Return the members of an archive that hold graphs; none for other files. Raises BadZipFile for a damaged one."""
    with open_regular(path) as file:
        if file.read(4) != FIRST:
            return []
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            return [name for name in archive.namelist() if name == OLD or MODEL.fullmatch(name)]


@dataclass(frozen=True, eq=False)
class Program:
    """A ``graph`` as JSON says it, and tensors by the names that they have in the network."""

    graph: Mapping[str, Any]
    weights: Mapping[str, "Tensor"]
    constants: Mapping[str, "Tensor"]


def read_program(path: Path) -> Program:
    """Return what an archive holds; raises InputError for a damaged one, and for tensors that would be unpickled."""
    try:
        names = names_of_programs(path)
        if len(names) != 1:
            raise InputError(f"{path} holds {len(names)} exported programs; accepted is one.")
        with zipfile.ZipFile(path) as archive:
            return _Archive(path, archive).program(names[0])
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        reason = str(error).partition("\n")[0].rstrip(".")[:200]
        raise InputError(f"{path} is damaged ({type(error).__name__}: {reason}); {SAY}.") from None


class _Archive:
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        self._flat: dict[tuple[str, str], Tensor] = {}
        self._made: dict[tuple[Any, ...], Tensor] = {}

    def program(self, name: str) -> Program:
        """Return the program that a member holds."""
        graph = self._json(name)
        if name == OLD:
            weights, constants = (self._legacy(f"serialized_{kind}.pt") for kind in ("state_dict", "constants"))
            return Program(graph, weights, constants)
        found = MODEL.fullmatch(name)
        assert found is not None
        folder, model = f"{found[1] or ''}data/", found[2]
        tensors = []
        for kind in ("weights", "constants"):
            old = f"{folder}{kind}/{model}.pt"
            is_old = old in self._archive.namelist()
            tensors.append(self._legacy(old) if is_old else self._payload(f"{folder}{kind}/", f"{model}_{kind}"))
        return Program(graph, *tensors)

    def _bytes(self, name: str) -> bytes:
        """Return a member, which must be as long as the archive says, and not packed."""
        try:
            member = self._archive.getinfo(name)
        except KeyError:
            raise InputError(f"{self._path} has no {quoted(name)}; {SAY}.") from None
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > self._path.stat().st_size:
            raise InputError(f"{self._path}: {quoted(name)} is compressed; {SAY}.")
        return self._archive.read(member)

    def _json(self, name: str) -> Mapping[str, Any]:
        content = self._bytes(name)
        if len(content) > MOST_JSON:
            raise InputError(f"{self._path}: the graph takes {len(content)} bytes; accepted are up to {MOST_JSON}.")
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self._path}: {quoted(name)} is no JSON ({type(error).__name__}); {SAY}.") from None
        if not isinstance(found, dict):
            raise InputError(f"{self._path}: {quoted(name)} holds a {type(found).__name__}; {SAY}.")
        return found

    def _legacy(self, name: str) -> "dict[str, Tensor]":
        """Return the tensors of a file of weights in the archive, as torch wrote them before version 2.9."""
        from featuresharing.networks.weights import read_weights

        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "weights.pt"
            place.write_bytes(self._bytes(name))
            try:
                return dict(read_weights(place)) if not _is_empty(place) else {}
            except InputError as error:
                reason = str(error).replace(str(place), quoted(name))
                raise InputError(f"{self._path}: {reason}") from None

    def _payload(self, folder: str, config: str) -> "dict[str, Tensor]":
        """Return the tensors that a list of payloads names."""
        listed = self._json(f"{folder}{config}_config.json")["config"]
        return {name: self._tensor(folder, name, meta) for name, meta in listed.items()}

    def _tensor(self, folder: str, name: str, payload: Mapping[str, Any]) -> "Tensor":
        import torch

        member, meta = str(payload["path_name"]), payload["tensor_meta"]
        if payload["use_pickle"] or meta is None:
            what = f"{self._path}: '{quoted(name)[1:-1]}' is pickled, so that code would have to be run to read it"
            raise InputError(f"{what}; accepted are plain tensors.")
        if meta["dtype"] not in TYPES:
            raise InputError(f"{self._path}: {quoted(name)} holds numbers of type {meta['dtype']}; {SAY}.")
        kind = TYPES[meta["dtype"]]
        sizes, strides = (tuple(int(each["as_int"]) for each in meta[key]) for key in ("sizes", "strides"))
        offset = int(meta["storage_offset"]["as_int"])
        made = (member, kind, sizes, strides, offset)
        if made not in self._made:
            flat = self._numbers(f"{folder}{member}", kind)
            last = offset + sum((size - 1) * step for size, step in zip(sizes, strides, strict=True))
            fits = min((*sizes, *strides, offset), default=0) >= 0 and last < len(flat) and prod(sizes) <= len(flat)
            if not fits and prod(sizes) != 0:
                found = f"sizes {list(sizes)[:12]} and steps {list(strides)[:12]} in {len(flat)} numbers"
                raise InputError(f"{self._path}: {quoted(name)} has {found}; {SAY}.")
            whole = flat.as_strided(sizes, strides, offset) if fits else flat.new_zeros(sizes)
            self._made[made] = whole.clone(memory_format=torch.contiguous_format)
        return self._made[made]

    def _numbers(self, member: str, kind: str) -> "Tensor":
        import torch

        if (member, kind) not in self._flat:
            content = bytearray(self._bytes(member))
            dtype = getattr(torch, kind)
            whole = len(content) // dtype.itemsize
            flat = torch.frombuffer(content, dtype=dtype, count=whole) if whole else torch.zeros(0, dtype=dtype)
            self._flat[member, kind] = flat.float() if kind in ("float16", "bfloat16") else flat
        return self._flat[member, kind]


def _is_empty(place: Path) -> bool:
    """Return whether a file of torch holds an empty dict."""
    import torch

    try:
        return bool(torch.load(place, weights_only=True, map_location="cpu", mmap=True) == {})
    except Exception:  # whatever arbitrary bytes lead readers to; the reader of weights says what it is
        return False
