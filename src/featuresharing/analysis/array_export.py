"""Numbers of layers as arrays by name, for tools that compare representations (RSA): .npz, folders of .npy, .mat."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.tables import layer_contributions, layer_evidence
from featuresharing.arguments import as_path
from featuresharing.errors import InputError
from featuresharing.files.atomic import replacing
from featuresharing.settings import EvidenceSettings

if TYPE_CHECKING:
    from featuresharing.store import LayerConditionals

EXPORTED = ("evidence", "contributions", "conditionals")
"""What can be exported."""

LONGEST = 63
"""Characters of a name in MATLAB."""


def layer_arrays(
    layers: "Iterable[LayerConditionals]",
    what: str = EXPORTED[0],
    *,
    method: str = EvidenceSettings.method,
    laplace: str = EvidenceSettings.laplace,
) -> dict[str, NDArray[Any]]:
    """Return the ``evidence`` or ``conditionals`` [units, images], or ``contributions`` [units], of layers by name.

    Names are ``{layer}_{task}``; of several experiments, checkpoints or replicates
    ``{experiment}_{checkpoint}_{layer}_{task}``, of several replicates with ``_{replicate}`` behind the experiment.
    Of layers that are not there whole, ``{...}_units`` int64 [units] are the numbers of the units. Images that are not
    of a task are NaN. Raises InputError for anything else to export, for two layers of one name, and for conditionals
    that have no evidence.

    >>> arrays = layer_arrays(map(read_conditionals, paths), "contributions")
    >>> sorted(arrays), arrays["conv5_word"].shape
    (['conv5_basic', 'conv5_units', 'conv5_word'], (6,))
    """
    if what not in EXPORTED:
        raise InputError(f"what: found {what!r}; accepted are {', '.join(EXPORTED)}.")
    given = list(layers)
    several = len({layer.place[:3] for layer in given}) > 1
    replicates = len({layer.replicate for layer in given}) > 1
    found: dict[str, NDArray[Any]] = {}
    for layer in given:
        experiment, replicate, checkpoint, alias = layer.place
        network = f"{experiment}_{replicate}" if replicates else experiment
        place = "_".join([network, checkpoint, alias] if several else [alias])
        for name, values in _arrays_of(layer, what, method, laplace):
            if f"{place}_{name}" in found:
                raise InputError(f"conditionals: found two of {place}_{name}; accepted are different layers.")
            found[f"{place}_{name}"] = values
    return found


def _arrays_of(layer: "LayerConditionals", what: str, method: str, laplace: str) -> Iterator[tuple[str, NDArray[Any]]]:
    if what == "conditionals":
        yield from layer.conditionals.items()
    elif what == "evidence":
        yield from layer_evidence(layer, method=method, laplace=laplace).items()
    else:
        yield from layer_contributions(layer, method=method, laplace=laplace).items()
    if layer.units.tolist() != list(range(layer.attributes.get("layer_units", len(layer.units)))):
        yield "units", layer.units


def export_arrays(arrays: Mapping[str, NDArray[Any]], output: Path | str) -> Path:
    """Write arrays by name to ``output``: a file .npz or .mat, or else a folder with a .npy for each; return it.

    In .mat, names are those that MATLAB takes: :func:`matlab_names`. Raises InputError for no arrays, and if the output
    cannot be written.

    >>> export_arrays({"conv5_word": np.zeros((6, 24))}, "evidence.mat").name
    'evidence.mat'
    """
    path = as_path("output", output)
    if not arrays:
        raise InputError("arrays: found none; accepted is at least one.")
    if path.suffix.lower() == ".npz":
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    elif path.suffix.lower() == ".mat":
        from scipy.io import savemat

        named = {name: arrays[own] for own, name in matlab_names(arrays).items()}
        with replacing(path) as temporary, temporary.open("wb") as file:
            savemat(file, named, long_field_names=True, oned_as="column")
    else:
        for name, values in arrays.items():
            with replacing(path / f"{name}.npy") as temporary, temporary.open("wb") as file:
                np.save(file, values)
    return path


def matlab_names(names: Iterable[str]) -> dict[str, str]:
    """Return a name that MATLAB takes for each: letters, digits and _, beginning with a letter, 63 at most.

    Other characters become _, ``x_`` stands before what begins with none, and what is too long loses its end. Raises
    InputError where two would have one name.
    """
    found: dict[str, str] = {}
    for name in names:
        valid = re.sub(r"[^A-Za-z0-9_]", "_", name)
        valid = (valid if valid[:1].isalpha() else f"x_{valid}")[:LONGEST]
        if other := next((known for known, made in found.items() if made == valid), None):
            raise InputError(f"{name} and {other} would both be called {valid}; accepted are .npz or a folder of .npy.")
        found[name] = valid
    return found
