"""Targets of the workflow: which name in a path under results/ is not there."""

from collections.abc import Collection

_OF_LAYERS = ("figures", "features", "marginal", "lesion", "lesion_curves")
_OF_CHECKPOINTS = ("networks", "baseline")


def describe_target(
    target: str, experiments: Collection[str], layers: Collection[str], checkpoints: Collection[str]
) -> str | None:
    """Return one sentence on the first name in ``target`` that is not there, or None where all are or none is meant.

    Paths are results/KIND/EXPERIMENT/NAME, with {layer}_{checkpoint} or {layer} for the name of what belongs to a layer
    and {checkpoint} of what belongs to a network.
    """
    start, kind, experiment, name, *rest = [*target.split("/"), "", "", "", ""]
    if start != "results" or not name or any(rest) or kind not in (*_OF_LAYERS, *_OF_CHECKPOINTS, "lists"):
        return None
    if experiment not in experiments:
        return _sentence(target, "experiment", experiment, experiments)
    if kind in _OF_CHECKPOINTS:
        checkpoint = name.partition(".")[0]
        return None if checkpoint in checkpoints else _sentence(target, "checkpoint", checkpoint, checkpoints)
    if kind not in _OF_LAYERS:
        return None
    stem = name if kind == "features" and "." not in name else name.rpartition(".")[0]
    layer, line, checkpoint = stem.partition("_")
    if layer not in layers:
        return _sentence(target, "layer", layer, layers)
    if line and checkpoint not in checkpoints:
        return _sentence(target, "checkpoint", checkpoint, checkpoints)
    return None


def _sentence(target: str, kind: str, found: str, known: Collection[str]) -> str:
    return f"{target}: there is no {kind} '{found}'; accepted are {', '.join(known)}."
