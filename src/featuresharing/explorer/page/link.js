// The state of the page, and how it stands in a link: #e=object_text&l=conv5&k=4500&u=3,7-9

const state = {
  panes: startPanes(),
  compare: false,
  together: true,
  active: 0,
  selected: [],
  focus: null,
  order: "first",
  measure: "sharing",
  networks: "one",
  search: "",
  serves: "all",
};

// Two panes: the second with the next experiment, which is what most comparisons are about.
function startPanes() {
  const { experiment, layer } = startPlace();
  return [startPane(experiment, layer), startPane((experiment + 1) % DATA.experiments.length, layer)];
}

// Where tasks share least, at the end of training, there is most to see: a page without a link starts there.
function startPlace() {
  let least = { sharing: Infinity };
  for (const row of rows("sharing")) {
    const last = DATA.experiments.find(({ name }) => name === row.experiment)?.checkpoints.at(-1);
    if (row.checkpoint === last && !row.near_zero && row.sharing < least.sharing) least = row;
  }
  const experiment = DATA.experiments.findIndex(({ name }) => name === least.experiment);
  return experiment < 0 ? { experiment: 0 } : { experiment, layer: least.layer };
}

function startPane(experiment, layer) {
  const { first, layers, checkpoints, replicates } = DATA.experiments[experiment];
  const name = layers.some((each) => each.name === layer) ? layer : layers.at(-1).name;
  return { experiment, replicate: replicates[0], layer: name, checkpoint: checkpoints.length - 1, pair: startPair(experiment, first) };
}

function startPair(experiment, first) {
  const others = DATA.experiments[experiment].tasks.map((_, place) => place).filter((place) => place !== first);
  return [first, others.length ? others[0] : null];
}

const activePane = () => state.panes[state.active];
const shownPanes = () => (state.compare ? [0, 1] : [0]);

// Whether units selected in the active pane are those of this pane too.
const sameLayer = (pane) => keyOf(pane) === keyOf(activePane());

function writeRanges(units) {
  const parts = [];
  for (let place = 0; place < units.length; ) {
    let last = place;
    while (units[last + 1] === units[last] + 1) last += 1;
    parts.push(last > place ? `${units[place]}-${units[last]}` : `${units[place]}`);
    place = last + 1;
  }
  return parts.join(",");
}

// Units of a text such as 3, 7-9; null if it is none.
function readRanges(text, count) {
  const units = new Set();
  for (const part of text.split(",").filter((each) => each.trim())) {
    const found = /^\s*(\d+)\s*(?:-\s*(\d+))?\s*$/.exec(part);
    if (!found) return null;
    const [first, last] = [Number(found[1]), Number(found[2] ?? found[1])];
    if (last < first) return null;
    for (let unit = first; unit <= Math.min(last, count - 1); unit += 1) units.add(unit);
  }
  return [...units].sort((one, other) => one - other);
}

const PLAIN = { order: "first", measure: "sharing", networks: "one", search: "", serves: "all" };

function writeLink() {
  const link = new URLSearchParams();
  for (const number of shownPanes()) {
    const pane = state.panes[number];
    const { name, tasks, checkpoints } = experimentOf(pane);
    const end = number ? "2" : "";
    link.set(`e${end}`, name);
    if (experimentOf(pane).replicates.length > 1) link.set(`n${end}`, pane.replicate);
    link.set(`l${end}`, pane.layer);
    link.set(`k${end}`, checkpoints[pane.checkpoint]);
    for (const task of pane.pair) if (task !== null) link.append(`t${end}`, tasks[task]);
  }
  if (state.compare && state.active) link.set("active", "2");
  if (state.compare && !state.together) link.set("apart", "1");
  if (state.focus !== null) link.set("unit", state.focus);
  if (state.selected.length) link.set("u", writeRanges(state.selected));
  for (const [key, value] of Object.entries(PLAIN)) if (state[key] !== value) link.set(key, state[key]);
  try {
    history.replaceState(null, "", `#${link}`);
  } catch {
    // a page inside another, as in a report, may have no address of its own
  }
}

// Takes what of a link this page has; names that it has not leave the pane as it was.
function readLink() {
  const link = new URLSearchParams(location.hash.slice(1));
  state.compare = link.has("e2");
  for (const number of shownPanes()) readPane(number, link, number ? "2" : "");
  state.active = state.compare && link.get("active") === "2" ? 1 : 0;
  state.together = !link.has("apart");
  for (const [key, value] of Object.entries(PLAIN)) state[key] = link.get(key) ?? value;
  const count = unitCount(activePane());
  const unit = Number.parseInt(link.get("unit") ?? "", 10);
  state.focus = unit >= 0 && unit < count ? unit : null;
  state.selected = readRanges(link.get("u") ?? "", count) ?? [];
}

function readPane(number, link, end) {
  const experiment = DATA.experiments.findIndex(({ name }) => name === link.get(`e${end}`));
  const pane = (state.panes[number] = startPane(experiment < 0 ? state.panes[number].experiment : experiment, state.panes[number].layer));
  const { layers, checkpoints, replicates, tasks } = experimentOf(pane);
  const layer = layers.find(({ name }) => name === link.get(`l${end}`));
  if (layer) pane.layer = layer.name;
  if (checkpoints.includes(link.get(`k${end}`))) pane.checkpoint = checkpoints.indexOf(link.get(`k${end}`));
  const replicate = Number(link.get(`n${end}`));
  if (replicates.includes(replicate)) pane.replicate = replicate;
  const pair = link.getAll(`t${end}`).map((name) => tasks.indexOf(name));
  if (pair.length === 2 && pair[0] !== pair[1] && !pair.includes(-1)) pane.pair = pair;
}
