// Curves: sharing over layers and over training, with what chance gives, and accuracy without units.

function nameSteps(plot, names) {
  const ticker = model(`x_${plot.name}`).ticker;
  // of many names, as many as fit next to each other
  const every = Math.ceil(names.length / 8);
  const ticks = names.map((_, place) => place).filter((place) => (names.length - 1 - place) % every === 0);
  if (!isNew(`steps of ${plot.name}`, names.join("\n"))) return;
  ticker.ticks = ticks;
  model(`x_${plot.name}`).major_label_overrides = new Map(names.map((name, place) => [place, plain(name)]));
  plot.x_range.setv({ start: -0.5, end: names.length - 0.5 });
}

function markPlace(name, place) {
  if (!isNew(name, place)) return;
  fill(name, place < 0 ? { left: [], right: [] } : { left: [place - 0.45], right: [place + 0.45] });
}

const allLayers = once("layers", () => [...new Set(DATA.experiments.flatMap(({ layers }) => layers.map(({ name }) => name)))]);

// Rows of sharing by line, which is an experiment and two of its tasks, in the order of the table.
function sharingLines() {
  const mean = state.networks === "mean";
  return once(`sharing lines ${mean} ${mean || activePane().replicate}`, () => {
    const lines = new Map();
    for (const row of rows(mean ? "sharing_over_networks" : "sharing")) {
      if (!mean && row.replicate !== replicateFor(row.experiment)) continue;
      const name = `${row.experiment}: ${row.task_a} + ${row.task_b}`;
      if (!lines.has(name)) lines.set(name, []);
      lines.get(name).push(row);
    }
    return [...lines];
  });
}

function replicateFor(experiment) {
  const { replicates } = DATA.experiments.find(({ name }) => name === experiment);
  const wanted = activePane().replicate;
  return replicates.includes(wanted) ? wanted : replicates[0];
}

const DASHES = ["solid", "solid", "dashed", "dotdash"];

// What a sharing is over chance, as a part of what is possible over it: as the excess of the tables.
const above = ({ chance }, sharing) => (sharing - chance) / (1 - chance);

const SHARING_SAYS = {
  sharing: "1: both tasks rely on the same units in the same proportions; 0: on different units. Bands and dotted lines are what units shuffled within the layer give.",
  excess: "1: both tasks rely on the same units in the same proportions; 0, dotted: as alike as chance makes them; below: less alike. Bands around 0 are what units shuffled within the layer give.",
};

// Draws one plot of sharing: `at` gives the place of a row on the x axis, or -1 where it is not shown.
function drawSharing(over, names, at) {
  const excess = state.measure === "excess";
  const chosen = (row) =>
    excess
      ? { value: row.excess, low: row.excess_low, high: row.excess_high, chance: 0, floor: above(row, row.chance_low), ceiling: above(row, row.chance_high) }
      : { value: row.sharing, low: row.low, high: row.high, chance: row.chance, floor: row.chance_low, ceiling: row.chance_high };
  const bands = { xs: [], ys: [], colour: [] };
  const lines = { xs: [], ys: [], colour: [], dash: [] };
  const points = { x: [], value: [], low: [], high: [], colour: [], fill: [], line: [], shown: [], chance: [], range: [], note: [] };
  sharingLines().forEach(([name, all], number) => {
    const colour = LOOKS.lines[number % LOOKS.lines.length];
    const there = all.map((row) => ({ row, x: at(row), ...chosen(row) })).filter(({ x }) => x >= 0);
    there.sort((one, other) => one.x - other.x);
    const bounded = there.filter(({ floor, ceiling }) => Number.isFinite(floor) && Number.isFinite(ceiling));
    bands.xs.push([...bounded.map(({ x }) => x), ...bounded.map(({ x }) => x).reverse()]);
    bands.ys.push([...bounded.map(({ floor }) => floor), ...bounded.map(({ ceiling }) => ceiling).reverse()]);
    bands.colour.push(colour);
    const xs = there.map(({ x }) => x);
    lines.xs.push(xs, xs);
    lines.ys.push(there.map(({ value }) => value), there.map(({ chance }) => chance));
    lines.colour.push(colour, colour);
    lines.dash.push(DASHES[0], "dotted");
    for (const { row, x, value, low, high, chance, floor, ceiling } of there) {
      points.x.push(x);
      points.value.push(value);
      points.low.push(low);
      points.high.push(high);
      points.colour.push(colour);
      points.fill.push(row.near_zero ? "#ffffff" : colour);
      points.line.push(name);
      points.shown.push(names[x]);
      points.chance.push(`${chance.toFixed(2)} [${floor.toFixed(2)}, ${ceiling.toFixed(2)}]`);
      points.range.push(`[${low.toFixed(2)}, ${high.toFixed(2)}]`);
      points.note.push(row.near_zero ? `near zero: ${row.near_zero}` : `p = ${digits(row.p)} against chance`);
    }
  });
  fill(`bands_${over}`, bands);
  fill(`lines_${over}`, lines);
  fill(`points_${over}`, points);
  const plot = model(`sharing_${over}`);
  nameSteps(plot, names);
  const values = [...points.value, ...points.low, ...points.high, ...bands.ys.flat()].filter(Number.isFinite);
  plot.y_range.setv(excess ? { start: Math.min(-0.1, ...values) - 0.05, end: Math.max(0.1, ...values) + 0.05 } : { start: 0, end: 1.03 });
  model(`y_${plot.name}`).axis_label = excess ? "excess over chance" : "sharing";
  const shown = sharingLines().map(([name], number) => [LOOKS.lines[number % LOOKS.lines.length], name]);
  byId(`sharing_${over}`).style.height = `${250 + 18 * shown.length}px`;
  fillKey(`sharing_${over}`, shown);
}

// Where the pane is in the curves: what of them moves with the slider.
function markCurves() {
  if (!DATA.sharing) return;
  markPlace("place_layers", allLayers.indexOf(activePane().layer));
  markPlace("place_training", activePane().checkpoint);
}

// What is set once the slider rests: titles lay their plots out anew.
function describeCurves() {
  const { layer, checkpoint } = activePane();
  const title = (name, text) => (model(name).title.text = plain(text));
  title("sharing_layers", `Sharing over layers, ${stepName(experimentOf(activePane()).checkpoints[checkpoint])}`);
  title("sharing_training", `Sharing over training, ${layer}`);
  byId("sharing-says").textContent = SHARING_SAYS[state.measure];
}

function drawCurves() {
  if (DATA.sharing) {
    drawSharingOverLayers(activePane());
    drawSharingOverTraining(activePane());
  }
  const pane = activePane();
  if (DATA.lesions && isNew("lesions", `${keyOf(pane)} ${pane.pair}`)) {
    pane.pair.forEach((task, order) => drawLesions(pane, task, order));
  }
}

function drawSharingOverLayers(pane) {
  const checkpoint = experimentOf(pane).checkpoints[pane.checkpoint];
  const places = new Map(allLayers.map((name, place) => [name, place]));
  if (!isNew("layers", `${checkpoint} ${pane.replicate} ${state.measure} ${state.networks}`)) return;
  const at = (row) => (row.checkpoint === checkpoint ? places.get(row.layer) : -1);
  drawSharing("layers", allLayers, at);
}

function drawSharingOverTraining(pane) {
  const { checkpoints } = experimentOf(pane);
  if (!isNew("training", `${pane.experiment} ${pane.layer} ${pane.replicate} ${state.measure} ${state.networks}`)) return;
  const places = new Map(checkpoints.map((name, place) => [name, place]));
  const at = (row) => (row.layer === pane.layer ? (places.get(row.checkpoint) ?? -1) : -1);
  const names = checkpoints.map((name) => stepName(name).replace("step ", ""));
  drawSharing("training", names, at);
}

// Dotted lines at these heights: of those that lie on each other, the dots take turns, so that each is seen.
function dotsInTurn(heights) {
  const together = (one, other) => Math.abs(one - other) < 0.01;
  return heights.map((height, place) => {
    const many = Math.max(1, heights.filter((other) => together(height, other)).length);
    const before = heights.slice(0, place).filter((other) => together(height, other)).length;
    return { dash: `2 ${6 * many - 2}`, start: -6 * before };
  });
}

function drawLesions(pane, task, order) {
  const { name: experiment, tasks } = experimentOf(pane);
  const first = task === null ? null : tasks[task];
  const there = once(`lesions ${keyOf(pane)} ${first}`, () =>
    rows("lesions").filter(
      (row) => row.experiment === experiment && row.replicate === pane.replicate && row.layer === pane.layer && row.order === first,
    ),
  );
  const bands = { xs: [], ys: [], colour: [] };
  const lines = { xs: [], ys: [], colour: [], dash: [], start: [] };
  const points = { x: [], y: [], colour: [], fill: [], task: [], random: [], p: [], removed: [] };
  const curveOf = (name) => there.filter((row) => row.task === name).sort((one, other) => one.fraction - other.fraction);
  const dots = dotsInTurn(tasks.map((name) => curveOf(name)[0]?.chance));
  for (const [place, name] of tasks.entries()) {
    const curve = curveOf(name);
    const xs = curve.map(({ fraction }) => fraction);
    const colour = LOOKS.colours[name];
    bands.xs.push([...xs, ...xs.toReversed()]);
    bands.ys.push([...curve.map((row) => row.random_low), ...curve.map((row) => row.random_high).reverse()]);
    bands.colour.push(colour);
    lines.xs.push(xs, xs);
    lines.ys.push(curve.map(({ accuracy }) => accuracy), curve.map(({ chance }) => chance));
    lines.colour.push(colour, colour);
    lines.dash.push("solid", dots[place].dash);
    lines.start.push(0, dots[place].start);
    for (const row of curve) {
      points.x.push(row.fraction);
      points.y.push(row.accuracy);
      points.colour.push(colour);
      points.fill.push(row.p_corrected < 0.05 ? colour : "#ffffff");
      points.task.push(name);
      points.random.push(`${(100 * row.random_low).toFixed(0)} to ${(100 * row.random_high).toFixed(0)} %`);
      points.p.push(digits(row.p_corrected));
      points.removed.push(`${row.removed} units`);
    }
  }
  fill(`bands${order}`, bands);
  fill(`lesion_lines${order}`, lines);
  fill(`lesion_points${order}`, points);
  fillKey(`lesions${order}`, tasks.map((name) => [LOOKS.colours[name], name]));
  byId(`lesions${order}`).parentElement.hidden = first === null || !there.length;
  model(`lesions${order}`).title.text = plain(`${pane.layer}: units that ${first} relies on go first`);
}
