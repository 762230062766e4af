// The card of one unit: numbers, what drives it, its contributions over training, and images.

const byId = (id) => document.getElementById(id);

// An element with its text; texts of users stay texts.
function element(tag, settings = {}, ...children) {
  const made = Object.assign(document.createElement(tag), settings);
  made.append(...children);
  return made;
}

// Two digits, for captions of pictures.
const short = (value) => (Math.abs(value) < 10 ? value.toPrecision(2) : value.toFixed(0));

const digits = (value) => (Number.isFinite(value) ? value.toPrecision(3) : value === Infinity ? "\u221e" : "\u2013");

function drawCard() {
  const pane = activePane();
  const unit = state.focus;
  byId("card").classList.toggle("empty", unit === null);
  const { tasks, checkpoints, name } = experimentOf(pane);
  byId("card-title").textContent = unit === null ? "A unit" : `Unit ${unit} of ${pane.layer}`;
  byId("card-where").textContent = unit === null ? "" : `${name}, ${stepName(checkpoints[pane.checkpoint])}`;
  drawStrongest(pane);
  if (unit === null) return;
  const lines = tasks.map((task, place) => {
    const amount = contributions(pane, place)[unit];
    const times = amount / averageOf(pane, place);
    return [
      element("th", { scope: "row" }, element("span", { className: "swatch", style: `background:${LOOKS.colours[task]}` }), task),
      `${digits(amount)} ${LOOKS.unit}`,
      Number.isFinite(times) ? times.toFixed(2) : "\u2013",
      `${rankOf(pane, place, unit)} of ${unitCount(pane)}`,
    ];
  });
  const head = ["task", "contributes", "times average", "rank"].map((text) => element("th", { scope: "col" }, text));
  byId("card-numbers").replaceChildren(
    element("tr", {}, ...head),
    ...lines.map(([title, ...cells]) => element("tr", {}, title, ...cells.map((text) => element("td", {}, text)))),
  );
  const effective = samples(pane)[unit];
  byId("card-samples").textContent =
    effective === undefined ? "" : `Effective samples (draws that carry weight): ${digits(effective)}`;
  markPlace("place_unit", pane.checkpoint);
  if (!isNew("card", `${keyOf(pane)} ${unit}`)) return;
  drawFeature(pane, unit);
  drawUnitCurve(pane, unit);
  drawImages(pane, unit);
}

// Ways to a unit for who does not know which to click: the one on which each task relies most.
function drawStrongest(pane) {
  const { tasks } = experimentOf(pane);
  if (!isNew("strongest", `${pane.experiment}`)) return;
  const most = (task) => () => select(state.selected, sortedUnits(contributions(activePane(), task))[0]);
  const buttons = tasks.map((task, place) => element("button", { type: "button", onclick: most(place) }, task));
  byId("card-strongest").replaceChildren("Show the strongest for ", ...buttons);
}

// One picture of a sprite: a window that shows one cell, scaled to fill its element.
function cell(sprite, place, title) {
  const rowCount = Math.ceil(sprite.count / sprite.columns);
  const [column, row] = [place % sprite.columns, Math.floor(place / sprite.columns)];
  const percent = (part, whole) => (whole > 1 ? `${(100 * part) / (whole - 1)}%` : "0%");
  const made = element("span", { className: "picture", title, role: "img" });
  made.setAttribute("aria-label", title);
  made.style.backgroundImage = `url("${spriteAddress(sprite)}")`;
  made.style.backgroundSize = `${100 * sprite.columns}% ${100 * rowCount}%`;
  made.style.backgroundPosition = `${percent(column, sprite.columns)} ${percent(row, rowCount)}`;
  return made;
}

function drawFeature(pane, unit) {
  const sprite = FEATURES.get(keyOf(pane));
  byId("card-feature").hidden = !sprite;
  const shown = sprite && unit < sprite.count ? [cell(sprite, unit, `the image that drives unit ${unit} most`)] : [];
  byId("card-feature-picture").replaceChildren(...shown);
}

function drawImages(pane, unit) {
  const entry = IMAGES.get(keyOf(pane));
  const sprite = thumbnailsOf(pane);
  byId("card-images").hidden = !(entry && sprite);
  if (!entry || !sprite) return;
  const which = once(`images ${keyOf(pane)}`, () => wholeNumbers(entry.which));
  const evidence = once(`evidence ${keyOf(pane)}`, () => unpack(entry.evidence));
  const [, sides, count, units] = entry.shape;
  const strips = experimentOf(pane).tasks.map((task, place) =>
    ["highest", "lowest"].map((side, sidePlace) => {
      const pictures = [];
      for (let at = 0; at < count; at += 1) {
        const index = ((place * sides + sidePlace) * count + at) * units + unit;
        if (which[index] === 0xffff) continue;
        const shown = `${digits(evidence[index])} ${LOOKS.unit}`;
        const title = `${sprite.names[which[index]]}: evidence ${shown} for ${task}`;
        pictures.push(element("figure", {}, cell(sprite, which[index], title), element("figcaption", {}, short(evidence[index]))));
      }
      return element("div", { className: "strip" }, element("h4", {}, `${task}, ${side}`), element("div", {}, ...pictures));
    }),
  );
  byId("card-strips").replaceChildren(...strips.flat());
}

function drawUnitCurve(pane, unit) {
  const { tasks, checkpoints } = experimentOf(pane);
  const steps = checkpoints.map((_, place) => place);
  const lines = { xs: [], ys: [], colour: [], dash: [] };
  const points = { x: [], y: [], colour: [], task: [], checkpoint: [] };
  tasks.forEach((task, place) => {
    const values = steps.map((step) => contributions(pane, place, step)[unit]);
    const colour = LOOKS.colours[task];
    lines.xs.push(steps, steps);
    lines.ys.push(values, steps.map((step) => averageOf(pane, place, step)));
    lines.colour.push(colour, colour);
    lines.dash.push("solid", "dotted");
    values.forEach((value, step) => {
      points.x.push(step);
      points.y.push(value);
      points.colour.push(colour);
      points.task.push(task);
      points.checkpoint.push(stepName(checkpoints[step]));
    });
  });
  fill("lines_unit", lines);
  fill("points_unit", points);
  const plot = model("unit");
  const most = Math.max(...lines.ys.flat().filter(Number.isFinite), 1e-9);
  plot.y_range.setv({ start: 0, end: most * 1.08 });
  model(`y_${plot.name}`).axis_label = LOOKS.unit;
  plot.title.text = plain(`Unit ${unit} (dotted: the average unit)`);
  nameSteps(plot, checkpoints.map((each) => stepName(each).replace("step ", "")));
  fillKey("unit", tasks.map((task) => [LOOKS.colours[task], task]));
}
