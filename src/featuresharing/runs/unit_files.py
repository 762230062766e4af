"""Where a folder of results has what there is to say of a unit: conditionals, images, pictures and settings."""

import glob
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featuresharing.analysis.extreme_images import COUNT
from featuresharing.analysis.unit_card import UnitCard, unit_card
from featuresharing.data.columns import KEPT
from featuresharing.data.lists import split_lines
from featuresharing.data.table_files import read_table
from featuresharing.errors import InputError, first_names, quoted
from featuresharing.replicates import FIRST, network_label
from featuresharing.settings import Config, EvidenceSettings, FigureSettings, SharingSettings
from featuresharing.settings.block import Block
from featuresharing.settings.checking import check_block
from featuresharing.settings.configfiles import check_config_files, complete_config, read_yaml
from featuresharing.store import read_conditionals
from featuresharing.store.layer_files import peek_final
from featuresharing.store.status import check_results, natural_order

if TYPE_CHECKING:
    from pandas import DataFrame

KINDS = {"marginalize": "marginal", "lesion": "lesion"}
"""Folders of conditionals by the config's way to take units out."""

USED: dict[str, tuple[type[Block], tuple[str, ...]]] = {
    "evidence": (EvidenceSettings, ("method", "laplace")),
    "sharing": (SharingSettings, ("near_zero",)),
    "figures": (FigureSettings, ("colour_scale", "limits", "palette")),
}
"""Blocks of the config that cards ask for, and their keys."""

MOST_NAMES = 12
"""Names that a message lists."""


@dataclass(frozen=True)
class RunSettings:
    """What the config of a run says of how its units were measured and drawn; ``sort_by`` are tasks by experiment."""

    kind: str
    sort_by: Mapping[str, str]
    evidence: EvidenceSettings
    sharing: SharingSettings
    figures: FigureSettings


@dataclass(frozen=True, eq=False)
class LayerPlace:
    """Where a layer of a network is in a ``folder`` of results.

    ``network`` is the experiment, with the replicate behind it but for the first. ``files`` are the conditionals
    by checkpoint, in the order of training.
    """

    folder: Path
    network: str
    layer: str
    files: Mapping[str, Path]

    def kept(self) -> "DataFrame | None":
        """Return the table of the analysed images; None where there is none."""
        path = self.folder / "baseline" / self.network / "kept.csv"
        return read_table(path, KEPT) if path.exists() else None

    @property
    def list_of_images(self) -> Path:
        """The list of the analysed images, which may not be there."""
        return self.folder / "baseline" / self.network / "kept.txt"

    def images(self) -> list[Path] | None:
        """Return the paths of the analysed images; None where no list names them."""
        path = self.list_of_images
        if not path.exists():
            return None
        return [Path(os.path.normpath(path.parent / name)) for _, name, _ in split_lines(path)]

    def feature(self, checkpoint: str, unit: int) -> Path:
        """Return where the picture of what drives a unit is, or will be."""
        return self.folder / "features" / self.network / f"{self.layer}_{checkpoint}" / f"{unit:04d}.png"

    def sheet(self, checkpoint: str) -> Path:
        """Return the file that Snakemake makes with the pictures of all units."""
        return self.folder / "features" / self.network / f"{self.layer}_{checkpoint}.png"

    def drawings(self, checkpoint: str) -> list[Path]:
        """Return the figures of the layer that are there: its units at a checkpoint, and over training."""
        place = self.folder / "figures" / self.network
        found = [*sorted(place.glob(f"{glob.escape(f'{self.layer}_{checkpoint}')}.*")), place / f"{self.layer}.gif"]
        return [path for path in found if path.exists()]


@dataclass(frozen=True)
class Surroundings:
    """What stands on a card beside the unit: its pictures, those of its layer, and paths of the analysed images.

    ``first`` is the task that maps sort by, else the first one. ``feature`` is where the picture of what drives the
    unit is or would be, and ``sheet`` the target that makes it. ``drawings`` are figures of its layer, and ``images``
    None where no list names them.
    """

    first: str
    feature: Path
    sheet: Path
    drawings: Sequence[Path]
    images: Sequence[Path] | None


def read_run_settings(folder: Path) -> RunSettings:
    """Return what ``config.yaml`` in a folder of results says; the defaults where there is none.

    Raises InputError for one that is no config.
    """
    path = folder / "config.yaml"
    check_config_files([path])
    config: Mapping[str, Any] = complete_config(read_yaml(path) if path.exists() else {}, Config.defaults())
    blocks = {name: check_block(kind, name, _used(config[name], keys)) for name, (kind, keys) in USED.items()}
    kind = KINDS.get(str(config["method"]), KINDS["marginalize"])
    there = [name for name in (kind, *KINDS.values()) if (folder / name).is_dir()]
    experiments = config.get("experiments")
    named = [each for each in experiments if isinstance(each, Mapping)] if isinstance(experiments, list) else []
    sort_by = {str(each.get("name")): str(each["sort_by"]) for each in named if each.get("sort_by")}
    return RunSettings(there[0] if there else kind, sort_by, **blocks)  # type: ignore[arg-type]


def _used(values: Any, keys: Sequence[str]) -> Any:
    """Return the keys of a block that cards ask for: results of other versions may have others."""
    return {key: values[key] for key in keys if key in values} if isinstance(values, Mapping) else values


def find_layer(folder: Path, kind: str, experiment: str, layer: str, replicate: int = FIRST) -> LayerPlace:
    """Return where a layer of an experiment's network is in a folder of results; ``kind`` is one of :data:`KINDS`.

    ``layer`` is an alias or a module path. Raises InputError that says which names are there, for any that is not.
    """
    check_results(folder)
    root = folder / kind
    experiments = [place.name for place in _folders(root) if _replicates(place)]
    if not experiments:
        raise InputError(f"{root} holds no conditionals; accepted is a folder of results with layers that are done.")
    _check_name("experiment", experiment, experiments, str(root))
    _check_name("replicate", str(replicate), list(map(str, _replicates(root / experiment))), str(root / experiment))
    network = network_label(experiment, replicate)
    by_layer: dict[str, dict[str, Path]] = {}
    for path in _conditionals(root / network):
        alias, _, checkpoint = path.stem.partition("_")
        by_layer.setdefault(alias, {})[checkpoint] = path
    alias = layer if layer in by_layer else _alias_of(layer, by_layer)
    _check_name("layer", alias, sorted(by_layer, key=natural_order), str(root / network))
    return LayerPlace(folder, network, alias, _in_order(by_layer[alias]))


def read_card(
    place: LayerPlace, unit: int, settings: RunSettings, *, checkpoint: str | None = None, count: int = COUNT
) -> tuple[UnitCard, Surroundings]:
    """Return the card of a unit of a layer, and what stands beside it; arguments as in :func:`.unit_card`.

    Raises InputError for a checkpoint or unit that is not there, and for files that do not belong together.
    """
    if checkpoint is not None:
        _check_name("checkpoint", checkpoint, list(place.files), f"{place.network}, layer {place.layer}")
    card = unit_card(
        map(read_conditionals, place.files.values()),
        unit,
        checkpoint=checkpoint,
        kept=place.kept(),
        count=count,
        method=settings.evidence.method,
        laplace=settings.evidence.laplace,
        near_zero=settings.sharing.near_zero,
    )
    images = place.images()
    if images is not None and len(images) <= (last := int(card.images["image"].max())):
        found = f"{place.list_of_images} lists {len(images)} images, and {place.layer} was analysed on more than {last}"
        raise InputError(f"{found}; accepted is the list that it was analysed on.")
    sort_by = settings.sort_by.get(card.experiment)
    first = sort_by if sort_by in card.tasks else card.tasks[0]
    pictures = place.feature(card.checkpoint, unit), place.sheet(card.checkpoint)
    return card, Surroundings(first, *pictures, place.drawings(card.checkpoint), images)


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def _replicates(place: Path) -> list[int]:
    """Return which replicates have conditionals in the folder of an experiment: the first has no folder of its own."""
    numbered = (path for path in _folders(place) if re.fullmatch("[1-9][0-9]{0,2}", path.name))
    others = sorted(int(path.name) for path in numbered if _conditionals(path))
    return [FIRST, *others] if _conditionals(place) else others


def _conditionals(place: Path) -> list[Path]:
    return [path for path in sorted(place.glob("[!.]*_*.h5")) if path.is_file()]


def _alias_of(path: str, by_layer: Mapping[str, Mapping[str, Path]]) -> str:
    """Return the alias of a layer by the path of its module; the path itself if there is none."""
    for alias, files in by_layer.items():
        found = peek_final(next(iter(files.values())))
        if found and found[0].get("layer") == path:
            return alias
    return path


def _in_order(files: Mapping[str, Path]) -> dict[str, Path]:
    """Return files by checkpoint in the order of training, as far as they say after how many steps they are."""
    steps = {}
    for checkpoint, path in files.items():
        found = peek_final(path)
        steps[checkpoint] = int(found[0].get("step", -1)) if found else -1
    return dict(sorted(files.items(), key=lambda item: (steps[item[0]], natural_order(item[0]))))


def _check_name(what: str, found: str, known: Sequence[str], place: str) -> None:
    """Raise InputError, which suggests the nearest name, unless one is known."""
    if found in known:
        return
    same = [name for name in known if name.isdecimal() and found.isdecimal() and int(name) == int(found)]
    near = same or get_close_matches(found, known, n=1, cutoff=0.5)
    meant = f" (did you mean '{near[0]}'?)" if near else ""
    raise InputError(
        f"{place}: there is no {what} {quoted(found)}{meant}; accepted are {first_names(known, MOST_NAMES)}."
    )
