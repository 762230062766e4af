"""The page as text: its library, its scripts, its style and its data in one file that asks nobody for anything."""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.unit_card import SERVING
from featuresharing.colours.palettes import colours
from featuresharing.colours.task_colours import PALETTE, colours_of
from featuresharing.errors import InputError
from featuresharing.explorer import page_data
from featuresharing.explorer.page_data import FRAMES, Network, Place
from featuresharing.settings import FigureSettings

if TYPE_CHECKING:
    from pandas import DataFrame

PARTS = ("samples", "images", "features", "lesions", "sharing")
"""What a page may do without."""

SCRIPTS = (
    *("codec", "model", "link", "raster", "pane", "card", "curves"),
    *("table", "exporting", "acting", "controls", "main"),
)
"""Scripts of the page in the order in which they run."""

LIBRARY = ("bokeh.min.js", "bokeh-widgets.min.js", "bokeh-tables.min.js")
"""Scripts of Bokeh, which its package brings."""

MOST_MEGABYTES = 25
"""How large a page may be: browsers of phones open no larger ones."""

THUMBNAIL = 48
"""Pixels of a side of the pictures in a page."""

LEVELS = 64
"""Steps of brightness in which units are coloured."""


def explorer_page(
    tables: "Mapping[str, DataFrame]",
    *,
    title: str = "FeatureSharing",
    tasks: Sequence[str] | None = None,
    sort_by: Mapping[str, str] | None = None,
    pictures: Mapping[Network, Sequence[NDArray[np.uint8]]] | None = None,
    features: Mapping[Place, Sequence[NDArray[np.uint8]]] | None = None,
    style: FigureSettings | None = None,
    unit: str = "bits",
    near_zero: float = 0.05,
    without: Sequence[str] = (),
    thumbnail: int = THUMBNAIL,
) -> str:
    """Return a page, whole in one text of HTML, in which every unit of all layers can be looked at.

    ``tables`` are frames by the names of their kinds (:data:`.page_data.FRAMES`); contributions are needed, and what
    others would show is left out without them. ``sort_by`` names the task that sorts the units of an experiment (else
    its first). ``pictures`` are the analysed images, uint8 [H, W, 3] in their order, by (experiment, replicate);
    ``features`` those of what drives each unit, by (experiment, replicate, layer), in cells of ``thumbnail`` pixels as
    they are. ``tasks`` are all tasks in the order that gives them their colours, ``unit`` is what contributions are
    measured in, and layers whose average unit contributes less than ``near_zero`` are marked. ``without`` leaves out
    some of :data:`PARTS`.

    The same arguments give the same text. Raises InputError for tables without their columns, for names that are not
    accepted, for images without a picture, and for a page of more than 25 MB, with what takes the room.

    >>> from featuresharing import TABLES, read_table
    >>> page = explorer_page({"contributions": read_table("contributions.csv", TABLES["contributions"])})
    """
    page_data.check_frames(tables)
    if unknown := next((name for name in without if name not in PARTS), None):
        raise InputError(f"without: found '{unknown}'; accepted are {', '.join(PARTS)}.")
    shown = {name: frame for name, frame in tables.items() if name.removesuffix("_over_networks") not in without}
    data: dict[str, Any] = contents_of(
        shown,
        sort_by=sort_by or {},
        pictures=pictures or {},
        features={} if "features" in without else features or {},
        samples="samples" not in without,
        side=thumbnail,
    )
    names = list(dict.fromkeys([*(tasks or ()), *(name for each in data["experiments"] for name in each["tasks"])]))
    data["looks"] = {
        "title": title,
        "colours": colours_of(names),
        "lines": list(PALETTE),
        "unit": unit,
        "near_zero": near_zero,
        "serving": SERVING,
        **_palette(style or FigureSettings()),
    }
    return _written(title, data)


def contents_of(
    tables: "Mapping[str, DataFrame]",
    *,
    sort_by: Mapping[str, str],
    pictures: Mapping[Network, Sequence[NDArray[np.uint8]]],
    features: Mapping[Place, Sequence[NDArray[np.uint8]]],
    samples: bool,
    side: int,
) -> dict[str, Any]:
    """Return what a page knows, by its parts; a part without a table is empty."""
    contributions = tables["contributions"]
    experiments = page_data.experiments_of(contributions, sort_by)
    found: dict[str, Any] = {
        "experiments": experiments,
        "units": page_data.unit_arrays(contributions, experiments, samples=samples),
        "images": [],
        "thumbnails": [],
        "features": list(page_data.feature_sprites(features, side)),
    }
    for name in ("sharing", "sharing_over_networks", "lesions", "accuracy"):
        there = name in tables and not tables[name].empty
        found[name] = page_data.columns_of(tables[name], FRAMES[name]) if there else None
    if "images" in tables and not tables["images"].empty:
        thumbnails = page_data.Thumbnails(tables["images"], pictures, side)
        found["images"] = page_data.image_arrays(tables["images"], experiments, thumbnails)
        found["thumbnails"] = thumbnails.sprites
    return found


def _palette(style: FigureSettings) -> dict[str, Any]:
    """Return how multiples of the average unit become colours: those of unit maps, [LEVELS, LEVELS] of both tasks."""
    level = np.linspace(0, 1, LEVELS)
    first, second = np.meshgrid(level, level, indexing="ij")
    low, high = style.darkest_and_brightest
    table = base64.b64encode(colours(style.palette, first, second).tobytes()).decode("ascii")
    return {"low": low, "high": high, "scale": style.colour_scale, "levels": LEVELS, "palette": table}


def _written(title: str, data: Mapping[str, Any]) -> str:
    """Put everything into the page; raise InputError if it is too large."""
    folder = files("featuresharing.explorer") / "page"
    library = [_library(name) for name in LIBRARY]
    own = "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    scripts = [*library, f'"use strict";\n(() => {{\n{own}\n}})();\n']
    texts = {name: _as_json(part) for name, part in data.items()}
    _check_size({"library": "".join(scripts), **texts})
    everything = "{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}"
    filled = {
        "TITLE": html.escape(title),
        "POLICY": _policy(scripts),
        "STYLE": (folder / "explorer.css").read_text(encoding="utf-8"),
        "DATA": everything,
        "PLOTS": _plots(),
        "SCRIPTS": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    page = (folder / "explorer.html").read_text(encoding="utf-8")
    for name, text in filled.items():
        page = page.replace(f"<!--{name}-->", text)
    return page


@cache
def _plots() -> str:
    from featuresharing.explorer.plots import document_json, plots

    return _as_json(document_json(plots()))


@cache
def _library(name: str) -> str:
    return (files("bokeh") / "server" / "static" / "js" / name).read_text(encoding="utf-8")


def _as_json(value: Any) -> str:
    """Return JSON that may stand in a script of HTML: what opens a tag or a comment is escaped."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(scripts: Sequence[str]) -> str:
    """Return a policy by which the page asks for nothing, and runs no script but these."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _check_size(texts: Mapping[str, str]) -> None:
    sizes = {name: len(text.encode()) / 1e6 for name, text in texts.items()}
    total = sum(sizes.values())
    if total > MOST_MEGABYTES:
        most = sorted(sizes, key=lambda name: -sizes[name])
        takes = ", ".join(f"{name} {sizes[name]:.1f}" for name in most if sizes[name] >= 0.1)
        raise InputError(
            f"the page would take {total:.0f} MB ({takes}); accepted are {MOST_MEGABYTES}: leave parts out by "
            f"--without ({', '.join(PARTS)}), or make pictures smaller by --thumbnail."
        )
