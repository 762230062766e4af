"""The plots of the page, empty: ``page/*.js`` fills their sources. A plot has a name, and so has its source."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.document import Document
from bokeh.models import (
    BoxSelectTool,
    ColumnDataSource,
    DataTable,
    FixedTicker,
    GlyphRenderer,
    HoverTool,
    LassoSelectTool,
    Legend,
    LegendItem,
    NumberFormatter,
    NumeralTickFormatter,
    Range1d,
    TableColumn,
    TapTool,
    Title,
)
from bokeh.plotting import figure

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
INK, PALE, FOCUS = "#333333", "#e6e6e6", "#d6007f"
"""Colours of text, of what only orders, and of the unit that is looked at."""

TITLE = {"text_font": FONT, "text_font_size": "12px", "text_color": INK, "text_font_style": "bold"}

PANES = ("0", "1")
"""Endings of the names of what each of the two panes has."""

MOVING = "overlay"
"""The layer of a plot for what changes with every step of the slider: axes and grids are not drawn anew with it."""

HERE = {"fill_color": FOCUS, "fill_alpha": 0.14, "line_color": None, "level": MOVING}
"""How the layer or checkpoint that is looked at is marked in a curve."""

UNIT_COLUMNS = ("unit", "x", "y", "colour", "a", "b", "bits_a", "bits_b", "rank_a", "rank_b", "samples")


def plots() -> Document:
    """Return a document with all plots and the table, one root each."""
    document = Document()
    for pane in PANES:
        source = _source(f"units{pane}", UNIT_COLUMNS)
        focus = _source(f"focus{pane}", ("x", "y", "a", "b"))
        document.add_root(_unit_map(pane, source, focus))
        document.add_root(_scatter(pane, source, focus))
    document.add_root(_sharing("layers"))
    document.add_root(_sharing("training"))
    for order in ("0", "1"):
        document.add_root(_lesions(order))
    document.add_root(_unit_over_training())
    document.add_root(_table())
    return document


def document_json(document: Document) -> dict[str, Any]:
    """Return a document as JSON whose ids depend on the document alone, not on what else this process has made."""
    ids: dict[str, str] = {}

    def renumbered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: number(each) if key == "id" else renumbered(each) for key, each in value.items()}
        return [renumbered(each) for each in value] if isinstance(value, list) else value

    def number(found: Any) -> Any:
        return ids.setdefault(found, f"m{len(ids)}") if re.fullmatch(r"p\d+", str(found)) else found

    return dict(renumbered(document.to_json(deferred=False)))


def _source(name: str, columns: Iterable[str]) -> ColumnDataSource:
    return ColumnDataSource({column: [] for column in columns}, name=name)


def _plot(name: str, **settings: Any) -> figure:
    """Return an empty plot in the style of the page, which fills its place."""
    made = figure(
        name=name,
        tools="",
        toolbar_location=None,
        sizing_mode="stretch_both",
        title=Title(text=" ", **TITLE),
        min_border=4,
        outline_line_color=None,
        background_fill_color="white",
        **settings,
    )
    for axis in made.axis:
        axis.update(
            name=f"{'x' if axis in made.xaxis else 'y'}_{name}",
            axis_label_text_font=FONT,
            axis_label_text_font_style="normal",
            axis_label_text_font_size="12px",
            major_label_text_font=FONT,
            major_label_text_font_size="11px",
            axis_line_color="#999999",
            major_tick_line_color="#999999",
            minor_tick_line_color=None,
        )
    made.grid.grid_line_color = PALE
    return made


def _add_key(made: figure, orientation: str, *, squares: bool = False) -> None:
    """Put a key under a plot, where it covers nothing and goes into exported files."""
    source = _source(f"key_{made.name}", ("place", "colour", "label"))
    # outside of what the plot shows: for the legend alone
    looks = {"source": source, "fill_color": "colour", "line_color": "#999999"}
    shown = made.rect("place", "place", 1, 1, **looks) if squares else made.scatter("place", "place", size=8, **looks)
    shown.nonselection_glyph = shown.selection_glyph = None
    legend = Legend(
        items=[LegendItem(label={"field": "label"}, renderers=[shown])],
        orientation=orientation,
        border_line_color=None,
        padding=2,
        margin=2,
        spacing=8 if orientation == "horizontal" else 0,
        glyph_width=14,
        glyph_height=14,
        label_standoff=4,
        label_text_font=FONT,
        label_text_font_size="11px",
        label_text_color=INK,
    )
    made.add_layout(legend, "below")


def _unit_map(pane: str, source: ColumnDataSource, focus: ColumnDataSource) -> figure:
    made = _plot(
        f"map{pane}", x_range=Range1d(start=-0.5, end=9.5), y_range=Range1d(start=9.5, end=-0.5), min_width=120
    )
    made.axis.visible = False
    made.grid.visible = False
    outlined = _source(f"outlined{pane}", ("x", "y"))
    _add_picture(made, f"cells{pane}")
    cells = {"source": source, "name": f"unit_cells{pane}", "level": MOVING}
    drawn = made.rect("x", "y", 0.94, 0.94, fill_color="colour", line_color=None, **cells)
    _mark_selection(drawn, line_width=3, faded=1)  # a fainter unit would look like one that serves both
    hatched = {"source": _source(f"hatch{pane}", ("left", "right", "top", "bottom")), "level": MOVING}
    slanted = {"hatch_pattern": "right_diagonal_line", "hatch_scale": 14, "fill_alpha": 0, "line_color": None}
    for colour, wide in (("#ffffff", 2.5), ("#404040", 1)):  # seen on dark and on light units
        made.quad("left", "right", "top", "bottom", hatch_color=colour, hatch_weight=wide, **slanted, **hatched)
    outlines = {"source": outlined, "name": f"outlines{pane}", "level": MOVING}
    made.rect("x", "y", 1, 1, fill_alpha=0, line_color=FOCUS, line_width=3, **outlines)
    made.rect("x", "y", 1.05, 1.05, source=focus, fill_alpha=0, line_color=FOCUS, line_width=3, level=MOVING)
    _add_tools(made, drawn, pane)
    _add_key(made, "horizontal", squares=True)
    return made


def _scatter(pane: str, source: ColumnDataSource, focus: ColumnDataSource) -> figure:
    made = _plot(f"scatter{pane}", x_axis_type="log", y_axis_type="log", min_width=120)
    made.x_range, made.y_range = Range1d(start=0.01, end=10), Range1d(start=0.01, end=10)
    made.axis.formatter = NumeralTickFormatter(format="0.[0000]")
    made.background_fill_color = "#d4d4d4"  # dark, yellow, blue and white dots all show on it
    made.grid.grid_line_color = "#c6c6c6"
    halves = _source(f"halves{pane}", ("xs", "ys"))
    made.multi_line("xs", "ys", source=halves, line_color="#555555", line_dash="dashed", level=MOVING)
    _add_picture(made, f"dots{pane}")
    dots = {"source": source, "name": f"unit_dots{pane}", "level": MOVING}
    drawn = made.scatter("a", "b", size=7, fill_color="colour", line_color="#777777", line_width=0.5, **dots)
    _mark_selection(drawn, line_width=1.5, faded=0.25)
    made.scatter("a", "b", source=focus, size=13, fill_alpha=0, line_color=FOCUS, line_width=3, level=MOVING)
    corners = _source(f"corners{pane}", ("x", "y", "text", "align", "baseline"))
    made.text(
        "x",
        "y",
        text="text",
        text_align="align",
        text_baseline="baseline",
        source=corners,
        text_font_size="11px",
        text_font=value(FONT),
        text_color="#333333",
        x_offset=0,
        level=MOVING,
    )
    _add_tools(made, drawn, pane)
    return made


def _add_picture(made: figure, name: str) -> None:
    """Let a plot show a picture of its units, which the page makes."""
    empty = {"image": [np.zeros((1, 1), np.uint32)], "x": [0.0], "y": [0.0], "dw": [1.0], "dh": [1.0]}
    source = ColumnDataSource(empty, name=name)
    looks = {"source": source, "name": f"picture_{name}", "level": MOVING, "visible": False}
    made.image_rgba("image", "x", "y", "dw", "dh", **looks)


def _mark_selection(drawn: GlyphRenderer, *, line_width: float, faded: float) -> None:
    """Outline what is selected, and fade what is not."""
    selected, others = drawn.glyph.clone(), drawn.glyph.clone()
    selected.update(line_color=FOCUS, line_width=line_width)
    others.update(fill_alpha=faded, line_alpha=faded)
    drawn.update(selection_glyph=selected, nonselection_glyph=others, muted_glyph=None)


def _add_tools(made: figure, drawn: GlyphRenderer, pane: str) -> None:
    """Let units be hovered over, clicked and brushed."""
    made.add_tools(
        HoverTool(renderers=[drawn], tooltips=[("unit", "@unit")], name=f"hover_{made.name}"),
        TapTool(renderers=[drawn]),
        BoxSelectTool(renderers=[drawn], name=f"box_{made.name}"),
        LassoSelectTool(renderers=[drawn], name=f"lasso_{made.name}", continuous=False),
    )


def _sharing(over: str) -> figure:
    """Return the plot of sharing over the layers, or over training."""
    made = _plot(f"sharing_{over}", x_range=Range1d(start=-0.5, end=1.5), y_range=Range1d(start=0, end=1))
    place, bands = _source(f"place_{over}", ("left", "right")), _source(f"bands_{over}", ("xs", "ys", "colour"))
    lines = _source(f"lines_{over}", ("xs", "ys", "colour", "dash"))
    points = _source(
        f"points_{over}", ("x", "value", "low", "high", "colour", "fill", "line", "shown", "chance", "range", "note")
    )
    made.vstrip("left", "right", source=place, **HERE)
    made.patches("xs", "ys", source=bands, fill_color="colour", fill_alpha=0.15, line_color=None)
    made.multi_line("xs", "ys", source=lines, line_color="colour", line_width=2, line_dash="dash")
    made.segment("x", "low", "x", "high", source=points, line_color="colour", line_width=1.5)
    drawn = made.scatter("x", "value", source=points, size=8, fill_color="fill", line_color="colour", line_width=1.5)
    drawn.nonselection_glyph = drawn.selection_glyph = None
    tips = [("", "@line"), ("where", "@shown"), ("value", "@value{0.00} @range"), ("chance", "@chance"), ("", "@note")]
    made.add_tools(HoverTool(renderers=[drawn], tooltips=tips))
    _add_key(made, "vertical")
    made.xaxis.ticker = FixedTicker(ticks=[])
    made.xgrid.grid_line_color = None
    return made


def _lesions(order: str) -> figure:
    made = _plot(f"lesions{order}", x_range=Range1d(start=0, end=1), y_range=Range1d(start=0, end=1.03))
    bands, lines = (
        _source(f"bands{order}", ("xs", "ys", "colour")),
        _source(f"lesion_lines{order}", ("xs", "ys", "colour", "dash", "start")),
    )
    points = _source(f"lesion_points{order}", ("x", "y", "colour", "fill", "task", "random", "p", "removed"))
    made.patches("xs", "ys", source=bands, fill_color="colour", fill_alpha=0.2, line_color=None)
    dashes = {"line_dash": "dash", "line_dash_offset": "start"}
    made.multi_line("xs", "ys", source=lines, line_color="colour", line_width=2, **dashes)
    drawn = made.scatter("x", "y", source=points, size=6, fill_color="fill", line_color="colour")
    tips = [("task", "@task"), ("removed", "@removed"), ("accuracy", "@y{0 %}"), ("random", "@random"), ("p", "@p")]
    made.add_tools(HoverTool(renderers=[drawn], tooltips=tips))
    made.axis.formatter = NumeralTickFormatter(format="0 %")
    made.xaxis.axis_label = "units removed"
    made.yaxis.axis_label = "accuracy"
    _add_key(made, "horizontal")
    return made


def _unit_over_training() -> figure:
    made = _plot("unit", x_range=Range1d(start=-0.5, end=1.5), y_range=Range1d(start=0, end=1))
    place, lines = _source("place_unit", ("left", "right")), _source("lines_unit", ("xs", "ys", "colour", "dash"))
    points = _source("points_unit", ("x", "y", "colour", "task", "checkpoint"))
    made.vstrip("left", "right", source=place, **HERE)
    made.multi_line("xs", "ys", source=lines, line_color="colour", line_width=2, line_dash="dash")
    drawn = made.scatter("x", "y", source=points, size=7, color="colour")
    tips = [("task", "@task"), ("checkpoint", "@checkpoint"), ("contributes", "@y{0.000}")]
    made.add_tools(HoverTool(renderers=[drawn], tooltips=tips))
    _add_key(made, "horizontal")
    made.xaxis.ticker = FixedTicker(ticks=[])
    made.xgrid.grid_line_color = None
    return made


def _table() -> DataTable:
    source = _source("rows", ("unit", "bits_a", "bits_b", "rank_a", "rank_b", "serves", "samples"))
    bits, draws = NumberFormatter(format="0.000"), NumberFormatter(format="0.00")
    columns = [
        TableColumn(field="unit", title="unit", width=60),
        TableColumn(field="bits_a", title="a", width=120, formatter=bits),
        TableColumn(field="bits_b", title="b", width=120, formatter=bits),
        TableColumn(field="rank_a", title="rank", width=120),
        TableColumn(field="rank_b", title="rank", width=120),
        TableColumn(field="serves", title="serves", width=180),
        TableColumn(field="samples", title="effective samples", width=150, formatter=draws),
    ]
    return DataTable(
        name="table",
        source=source,
        columns=columns,
        index_position=None,
        sizing_mode="stretch_width",
        height=320,
        selectable=True,
        reorderable=False,
        autosize_mode="none",
    )
