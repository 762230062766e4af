// A pane: the unit map and the scatter of two tasks, of one layer of one network at one checkpoint.

const PARTED = 1000; // more units than this stand without a gap, which would be under a pixel, and are drawn as pictures

const isMany = (pane) => unitCount(pane) > PARTED;

const BOKEH = { models: null, views: null };

// Bokeh reads TeX between these signs, for which it would fetch a library: a name shall show as it is.
const plain = (text) => String(text).replaceAll("$$", "$\u200b$").replaceAll("\\(", "\\\u200b(").replaceAll("\\[", "\\\u200b[");

const model = (name) => once(`model ${name}`, () => BOKEH.models.get_model_by_name(name));

function fill(name, data) {
  model(name).data = data;
}

// The entries of a plot's key: pairs of a colour and what it stands for.
function fillKey(name, entries) {
  if (!isNew(`key of ${name}`, String(entries))) return;
  fill(`key_${name}`, {
    place: entries.map(() => -1e6),
    colour: entries.map(([colour]) => colour),
    label: entries.map(([, label]) => label),
  });
  // a key takes its room when its plot is laid out, which Bokeh does not do anew for other entries
  setTimeout(() => BOKEH.views.get(name).invalidate_layout(), 0);
}

// Where each unit stands: by the last checkpoint, so that it keeps its place over training. As in the figures of units,
// the smallest stands first.
function placesOf(pane) {
  return once(`places ${keyOf(pane)} ${pane.pair} ${state.order}`, () => {
    const last = experimentOf(pane).checkpoints.length - 1;
    const [first, second] = pane.pair;
    const a = contributions(pane, first, last);
    const b = contributions(pane, second ?? first, last);
    const means = [averageOf(pane, first, last) || 1, averageOf(pane, second ?? first, last) || 1];
    const by = {
      first: a,
      second: b,
      difference: a.map((value, unit) => Math.log((value / means[0] + 1e-9) / (b[unit] / means[1] + 1e-9))),
      number: a.map((_, unit) => unit),
    }[state.order];
    const ties = state.order === "second" ? a : b;
    const places = new Uint32Array(a.length);
    risingUnits(by, ties).forEach((unit, place) => (places[unit] = place));
    return places;
  });
}

// Columns and ranges by which cells are square in a frame of this shape, and as large as they can be.
function gridOf(units, width, height) {
  const margin = 0.3; // of a cell, for the outline of a unit at the edge
  const scaleOf = (columns) => Math.max((columns + margin) / width, (Math.ceil(units / columns) + margin) / height);
  const about = Math.sqrt((units * width) / height);
  const candidates = [-2, -1, 0, 1, 2].map((more) => Math.round(about) + more).filter((columns) => columns > 0);
  const columns = candidates.reduce((best, each) => (scaleOf(each) < scaleOf(best) ? each : best), candidates[0]);
  const scale = scaleOf(columns);
  return { columns, left: -0.5 - (scale * width - columns) / 2, top: -0.5 - margin / 2, across: scale * width, down: scale * height };
}

// From the least to the most that units contribute at any checkpoint, over at most four decades.
function scatterRange(pane) {
  return once(`range ${keyOf(pane)} ${pane.pair}`, () => {
    let [least, most] = [Infinity, 0];
    experimentOf(pane).checkpoints.forEach((_, checkpoint) => {
      for (const task of pane.pair.filter((each) => each !== null)) {
        for (const value of contributions(pane, task, checkpoint)) {
          if (value > most && value < Infinity) most = value;
          if (value > 0 && value < least) least = value;
        }
      }
    });
    if (!most) return [0.01, 1];
    return [Math.max(least / 1.3, most / 1e4), most * 1.5];
  });
}

// How many units contribute less than the scatter's axes show, or more: their dots stand on its edge.
function edgeOf(pane) {
  const [low, high] = scatterRange(pane);
  const beyond = (value) => value < low || value > high;
  const [a, b] = pane.pair.map((task) => contributions(pane, task ?? pane.pair[0]));
  const many = a.filter((value, unit) => beyond(value) || beyond(b[unit])).length;
  return many ? ` \u2013 ${many} beyond the axes` : "";
}

// What a pane shows of its units: where they stand in map and scatter, their colours, and the grid of the map.
function sightOf(number) {
  const pane = state.panes[number];
  const [first, second] = pane.pair;
  const frame = model(`map${number}`);
  const [low, high] = scatterRange(pane);
  const inside = (value) => (Number.isNaN(value) ? NaN : Math.min(high, Math.max(low, value)));
  return {
    pane,
    grid: gridOf(unitCount(pane), frame.inner_width || 100, frame.inner_height || 100),
    places: placesOf(pane),
    limits: [low, high],
    a: contributions(pane, first).map(inside),
    b: contributions(pane, second ?? first).map(inside),
    shades: unitShades(pane),
  };
}

function drawPane(number) {
  const sight = sightOf(number);
  const { pane, grid, places, limits, a, b, shades } = sight;
  const many = isMany(pane);
  if (isNew(`glyphs${number}`, many)) drawGlyphs(number, many);
  if (many) {
    drawCells(number, places, shades, grid.columns);
    if (pane.pair[1] !== null) drawDots(number, [a, b], shades, limits, sameLayer(pane) ? state.selected : []);
  }
  // units under the pictures are there to be pointed at: they follow once the slider rests
  const still = `${keyOf(pane)} ${pane.pair} ${state.order} ${grid.columns}`;
  if (isNew(`standing${number}`, still) || !many) fillUnits(number, sight);
  drawFrame(number, pane, grid, limits);
  drawSelection(number, sight);
}

function fillUnits(number, { pane, grid, places, a, b, shades }) {
  if (!isNew(`units${number}`, `${keyOf(pane)} ${pane.pair} ${pane.checkpoint} ${state.order} ${grid.columns}`)) return;
  const [first, second] = pane.pair;
  const effective = samples(pane);
  fill(`units${number}`, {
    unit: Uint32Array.from(a.keys()),
    x: Float64Array.from(places, (place) => place % grid.columns),
    y: Float64Array.from(places, (place) => Math.floor(place / grid.columns)),
    colour: Array.from(shades, (shade) => COLOURS[shade]),
    a,
    b,
    bits_a: contributions(pane, first).slice(),
    bits_b: contributions(pane, second ?? first).slice(),
    rank_a: ranks(pane, first),
    rank_b: ranks(pane, second ?? first),
    samples: effective.length ? effective.slice() : new Float64Array(a.length).fill(NaN),
  });
}

// What changes with the layer and not with every step of the slider is set only where it differs.
function drawFrame(number, pane, grid, [low, high]) {
  const map = model(`map${number}`);
  const range = (axis, start, end) => {
    if (axis.start !== start || axis.end !== end) axis.setv({ start, end });
  };
  range(map.x_range, grid.left, grid.left + grid.across);
  range(map.y_range, grid.top + grid.down, grid.top);
  const { tasks } = experimentOf(pane);
  const [first, second] = pane.pair;
  drawKey(number, pane);
  drawHatch(number, pane, grid);
  if (second === null) return;
  const scatter = model(`scatter${number}`);
  range(scatter.x_range, low, high);
  range(scatter.y_range, low, high);
  drawHalves(number, pane, [low, high]);
  if (!isNew(`axes${number}`, `${keyOf(pane)} ${pane.pair}`)) return;
  model(`x_scatter${number}`).axis_label = plain(`contribution to ${tasks[first]} (${LOOKS.unit})`);
  model(`y_scatter${number}`).axis_label = plain(`contribution to ${tasks[second]} (${LOOKS.unit})`);
  drawCorners(number, pane, [low, high]);
}

function titleOf(pane) {
  const { name, replicates, checkpoints } = experimentOf(pane);
  const network = replicates.length > 1 ? `, network ${pane.replicate}` : "";
  const bare = nearZero(pane);
  const warning = bare.length ? ` \u2013 near zero: ${bare.join(", ")}` : "";
  return `${name}${network}, ${pane.layer}, ${stepName(checkpoints[pane.checkpoint])}${warning}`;
}

const stepName = (checkpoint) => (/^\d+$/.test(checkpoint) ? `step ${Number(checkpoint)}` : checkpoint);

// Units are drawn as shapes, or, of many, as pictures over shapes that are not seen: these are what a pointer finds.
// Shapes that are not seen are kept off the layer that is drawn anew with every step of the slider.
function drawGlyphs(number, many, pictured = many) {
  const glyphs = (renderer) => [renderer.glyph, renderer.selection_glyph, renderer.nonselection_glyph];
  const [map, scatter] = [model(`unit_cells${number}`), model(`unit_dots${number}`)];
  for (const renderer of [map, scatter]) renderer.level = pictured ? "glyph" : "overlay";
  for (const name of ["picture_cells", "picture_dots", "outlines"]) model(`${name}${number}`).visible = pictured;
  const seen = (alpha) => ({ fill_alpha: { value: pictured ? 0 : alpha }, line_alpha: { value: pictured ? 0 : alpha } });
  const size = { value: many ? 1 : 0.93 };
  for (const glyph of glyphs(map)) glyph.setv({ width: size, height: size, ...seen(1) });
  // of many units, dots are small and without an outline: lines take longest to draw
  const [dot, chosen, other] = glyphs(scatter);
  for (const glyph of [dot, chosen, other]) glyph.setv({ size: { value: many ? 2 * DOT : 7 }, ...seen(glyph === other ? 0.25 : 1) });
  for (const glyph of [dot, other]) glyph.setv({ line_width: { value: many ? 0 : 0.5 } });
}

// Four colours with what they mean; of one task, what it relies on.
function drawKey(number, pane) {
  const most = LOOKS.levels - 1;
  const corners = pane.pair[1] === null ? [[most, most, 1], [0, 0, 0]] : [[most, 0, 1], [0, most, 2], [most, most, 3], [0, 0, 0]];
  fillKey(`map${number}`, corners.map(([one, other, code]) => [COLOURS[shadeAt(one, other)], servesName(pane, code)]));
}

// As in the figures, units are hatched where the layer's average unit contributes next to nothing to a task.
function drawHatch(number, pane, grid) {
  const [columns, lines] = [grid.columns, Math.ceil(unitCount(pane) / grid.columns)];
  const hatched = nearZero(pane).length && columns;
  if (!isNew(`hatch${number}`, `${hatched} ${columns} ${lines}`)) return;
  const at = (value) => (hatched ? [value] : []);
  fill(`hatch${number}`, { left: at(-0.5), right: at(columns - 0.5), top: at(-0.5), bottom: at(lines - 0.5) });
}

// Dashed lines at half of the average unit part the scatter into what units serve.
function drawHalves(number, pane, [low, high]) {
  const halves = pane.pair.map((task) => Math.min(high, Math.max(low, averageOf(pane, task) / 2)));
  if (!isNew(`halves${number}`, `${halves} ${low} ${high}`)) return;
  fill(`halves${number}`, { xs: [[halves[0], halves[0]], [low, high]], ys: [[low, high], [halves[1], halves[1]]] });
}

// What units serve in each part of the scatter, in its corners.
function drawCorners(number, pane, [low, high]) {
  const [left, right] = [low * 1.08, high / 1.08];
  fill(`corners${number}`, {
    x: [left, right, left, right],
    y: [left, left, right, right],
    text: [0, 1, 2, 3].map((code) => plain(servesName(pane, code))),
    align: ["left", "right", "left", "right"],
    baseline: ["bottom", "bottom", "top", "top"],
  });
}

// The selection is of units of one layer: another layer's pane shows none.
function drawSelection(number, { pane, grid, places, a, b }) {
  const source = model(`units${number}`);
  const own = sameLayer(pane);
  const chosen = own ? state.selected : [];
  if (writeRanges([...source.selected.indices].sort((one, other) => one - other)) !== writeRanges(chosen)) {
    source.selected.indices = [...chosen];
  }
  const x = (unit) => places[unit] % grid.columns;
  const y = (unit) => Math.floor(places[unit] / grid.columns);
  const outlines = isMany(pane) ? chosen : [];
  if (isNew(`outlines${number}`, `${keyOf(pane)} ${pane.pair} ${state.order} ${grid.columns} ${writeRanges(outlines)}`)) {
    fill(`outlined${number}`, { x: outlines.map(x), y: outlines.map(y) });
  }
  const unit = own ? state.focus : null;
  const at = (value) => (unit === null ? [] : [value(unit)]);
  const focus = { x: at(x), y: at(y), a: at((each) => a[each]), b: at((each) => b[each]) };
  if (isNew(`focus${number}`, Object.values(focus).join())) fill(`focus${number}`, focus);
}

// What is set once the slider rests: titles lay their plots out anew.
function describe(number) {
  const pane = state.panes[number];
  fillUnits(number, sightOf(number));
  const title = titleOf(pane);
  if (!isNew(`title${number}`, `${title} ${pane.pair}`)) return;
  model(`map${number}`).title.text = plain(title);
  const [first, second] = pane.pair.map((task) => experimentOf(pane).tasks[task]);
  model(`scatter${number}`).title.text = plain(`${second} against ${first}${edgeOf(pane)}`);
  const { tasks } = experimentOf(pane);
  const line = (task, column) => [tasks[task], `@bits_${column}{0.000} ${LOOKS.unit}, rank @rank_${column}`];
  const lines = [["unit", "@unit"], line(pane.pair[0], "a")];
  if (pane.pair[1] !== null) lines.push(line(pane.pair[1], "b"));
  if (samples(pane).length) lines.push(["effective samples", "@samples{0.00}"]);
  for (const plot of ["map", "scatter"]) model(`hover_${plot}${number}`).tooltips = lines;
}
