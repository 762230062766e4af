"""Targets of the workflow: which name in a path under results/ is not there."""

import re
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
    meant = [("experiment", experiment, experiments)]
    if kind in _OF_CHECKPOINTS:
        meant.append(("checkpoint", name.partition(".")[0], checkpoints))
    if kind in _OF_LAYERS:
        layer, line, checkpoint = re.sub(r"\.(gif|png|h5|csv)$", "", name).partition("_")
        meant.append(("layer", layer, layers))
        if line:
            meant.append(("checkpoint", checkpoint, checkpoints))
    for what, found, known in meant:
        if found not in known:
            return f"{target}: there is no {what} '{found}'; accepted are {', '.join(known)}."
    return None
