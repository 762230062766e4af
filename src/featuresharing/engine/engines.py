"""The engines by name, and how one is made for a network, a layer and images."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from featuresharing.computation import Computation
from featuresharing.engine.one_channel import OneChannelEngine
from featuresharing.engine.plain import PlainEngine
from featuresharing.engine.protocol import Engine
from featuresharing.engine.tracing import UntraceableError
from featuresharing.errors import InputError
from featuresharing.networks.failures import is_out_of_memory
from featuresharing.networks.forward import computing
from featuresharing.networks.preparation import Prepared, prepare

ENGINES: dict[str, type[OneChannelEngine] | type[PlainEngine]] = {
    kind.name: kind for kind in (OneChannelEngine, PlainEngine)
}
"""Engines by name."""

Result = TypeVar("Result")

OTHERWISE = "engine='plain' runs such networks, slowly"


def make_engine(
    network: nn.Module,
    path: str,
    images: Any,
    computation: Computation | None = None,
    *,
    inputs: Any = None,
    softmax: bool = True,
    whole: bool = False,
    otherwise: str = OTHERWISE,
) -> Engine:
    """Return the engine that a ``computation`` names, for a layer at ``path``, ``images`` [N, ...] and other inputs.

    With ``whole`` it is made for :meth:`.Engine.removed_scores`, else for single units. Raises InputError for an
    engine that is not known, for whatever :func:`featuresharing.networks.preparation.prepare` refuses, and for what
    cannot be traced, saying what else a user can do ``otherwise``: by then the network has run on the images.
    """
    settings = computation or Computation()
    check_engine(settings)
    ready = prepare(network, images, settings, inputs=inputs, softmax=softmax)
    return engine_of(ready, path, settings, whole=whole, otherwise=otherwise)


def check_engine(computation: Computation) -> None:
    """Raise InputError for an engine that is not known."""
    if computation.engine not in ENGINES:
        raise InputError(f"engine '{computation.engine}' is not known; accepted are {' and '.join(ENGINES)}.")


def engine_of(
    ready: Prepared, path: str, computation: Computation, *, whole: bool = False, otherwise: str = OTHERWISE
) -> Engine:
    """Return the engine that a ``computation`` names, for what is prepared; raises InputError as :func:`make_engine`.

    Several may be made of the same.
    """
    with computing():
        try:
            return ENGINES[computation.engine](ready, path, computation, whole=whole)
        except UntraceableError as error:
            raise InputError(f"{str(error).removesuffix('.')}; {otherwise}.") from error


def retried(engine: Engine, work: Callable[[], Result]) -> Result:
    """Return what ``work`` returns, in full precision; when memory runs out, work on half as much at a time."""
    while True:
        try:
            with computing():
                return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or not engine.shrink():
                raise
