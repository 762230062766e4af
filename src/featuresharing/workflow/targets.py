"""Targets of the workflow: which name in a path under results/ is not there."""

import re
from collections.abc import Collection
from difflib import get_close_matches

from featuresharing.figure_formats import ANIMATIONS, FIGURES
from featuresharing.settings import Config
from featuresharing.settings.sentences import listed
from featuresharing.workflow.config_layers import OF_ALL_LAYERS

_OF_LAYERS = ("figures", "features", "marginal", "lesion", "lesion_curves")
_OF_CHECKPOINTS = ("networks", "baseline")

PAGES = ("explorer.html", "summary.md", "summary.html")
"""What stands in the folder of results itself."""


def describe_target(
    target: str,
    experiments: Collection[str],
    layers: Collection[str],
    checkpoints: Collection[str],
    *,
    replicates: int = Config.replicates,
) -> str | None:
    """Return one sentence on the first name in ``target`` that is not there, or None where all are or none is meant.

    Paths are results/KIND/EXPERIMENT/NAME, with {layer}_{checkpoint} or {layer} for the name of what belongs to a layer
    and {checkpoint} of what belongs to a network; of all ``replicates`` but the first, their number stands before NAME.
    Figures are asked for by the end of their name.
    """
    start, *parts = target.split("/")
    numbers = [part for part in parts[2:-1] if part.isdecimal()]
    if start == "results" and len(parts) == 1:
        return _describe_page(parts[0])
    if start != "results" or len(parts) - len(numbers) not in (2, 3) or len(numbers) > 1 or not parts[-1]:
        return None
    kind, *places, name = parts
    last = list(checkpoints)[-1] if checkpoints else "CHECKPOINT"
    if kind == "figures" and (problem := _describe_ending(name, layers, last, animated=bool(places))):
        return f"{target}: {problem}"
    if not places or kind not in (*_OF_LAYERS, *_OF_CHECKPOINTS, "lists"):
        return None
    meant = [("experiment", places[0], experiments)]
    if numbers:
        meant.append(("replicate with a number", numbers[0], [str(each) for each in range(2, replicates + 1)]))
    if kind in _OF_CHECKPOINTS:
        meant.append(("checkpoint", name.partition(".")[0], checkpoints))
    if kind in _OF_LAYERS:
        layer, line, checkpoint = re.sub(r"\.(gif|png|pdf|svg|h5|csv)$", "", name).partition("_")
        if kind != "figures" or layer not in OF_ALL_LAYERS:
            meant.append(("layer", layer, layers))
        if line:
            meant.append(("checkpoint", checkpoint, checkpoints))
    wrong = next(((what, found, known) for what, found, known in meant if found not in known), None)
    if wrong and wrong[1] in numbers and replicates == 1:
        path = "/".join([start, kind, places[0], name])
        one = f"found network '{wrong[1]}', and this run has one network of each experiment"
        return f"{target}: {one}; accepted is {path}."
    return wrong and f"{target}: there is no {wrong[0]} '{wrong[1]}'; accepted are {', '.join(wrong[2]) or 'none'}."


def _describe_ending(name: str, layers: Collection[str], checkpoint: str, *, animated: bool) -> str | None:
    """Say which ends the name of a figure may have, unless it has one; ``animated``: where animations of layers are.

    ``checkpoint`` is one of which there are pictures.
    """
    stem, dot, ending = name.rpartition(".")
    of_layers = stem in (*layers, OF_ALL_LAYERS[0])
    animation = animated and (of_layers or (dot + ending in ANIMATIONS and "_" not in stem))
    accepted = ANIMATIONS if animation else FIGURES
    if dot + ending in accepted:
        return None
    found = f"the ending '{dot}{ending}'" if dot else "no ending"
    picture = f", and {stem}_{checkpoint}{dot}{ending} for a picture of one checkpoint"
    return f"found {found}; accepted is {listed(accepted)}{picture if animation and dot + ending in FIGURES else ''}."


def _describe_page(name: str) -> str | None:
    """Say which page or text of the folder of results a name means, by its end or a slip; None for no such."""
    stems = [page.partition(".")[0] for page in PAGES]
    if name in PAGES or not (near := get_close_matches(name.partition(".")[0], stems, n=1, cutoff=0.8)):
        return None
    pages = tuple(f"results/{page}" for page in PAGES if page.partition(".")[0] == near[0])
    return f"results/{name}: there is no such target; accepted is {listed(pages)}."
