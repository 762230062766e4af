// What happens when: choices, the slider, play, clicks, brushes, keys; each changes the state, and the page follows.

const MILLISECONDS = 330; // of a checkpoint while training plays, as in the GIFs

let playing = 0;
let waiting = { frame: 0, rest: 0 };

// Draws what moves in the next frame, and what takes longer once the reader rests.
function follow() {
  if (!waiting.frame) waiting.frame = requestAnimationFrame(drawMoving);
  clearTimeout(waiting.rest);
  waiting.rest = setTimeout(drawResting, 120);
}

function drawMoving() {
  waiting.frame = 0;
  for (const number of shownPanes()) {
    drawPane(number);
    drawChoices(number);
  }
  offerByTask(activePane());
  drawCard();
  drawCurves();
}

// Choices that are about the two tasks of the active pane name them.
function offerByTask(pane) {
  const named = (kinds) => kinds.map((kind) => ({ text: servesName(pane, SERVES.indexOf(kind)), key: kind }));
  const one = pane.pair[1] === null;
  const [first, second] = pane.pair.map((task) => experimentOf(pane).tasks[task]);
  const places = [{ text: first, key: "first" }, { text: second, key: "second" }, { text: `${first} : ${second}`, key: "difference" }];
  offer(byId("order"), [...(one ? places.slice(0, 1) : places), { text: "unit number", key: "number" }], state.order);
  const some = named(one ? ["first", "neither"] : ["both", "first", "second", "neither"]);
  offer(byId("serves"), [{ text: "all", key: "all" }, { text: "selected", key: "selected" }, ...some], state.serves);
}

function drawResting() {
  drawTable();
  for (const number of shownPanes()) describe(number);
  writeLink();
  document.body.dataset.rest = String(Number(document.body.dataset.rest ?? 0) + 1);
}

function change(number, changes) {
  const pane = state.panes[number];
  const before = keyOf(pane);
  activate(number);
  Object.assign(pane, changes);
  if (keyOf(pane) !== before) {
    state.selected = [];
    state.focus = null;
  }
  if (state.compare && state.together) followOther(number, changes);
  follow();
}

// The other pane goes to the checkpoint of this name, where it has one.
function followOther(number, { checkpoint }) {
  const other = state.panes[1 - number];
  if (checkpoint === undefined) return;
  const place = experimentOf(other).checkpoints.indexOf(experimentOf(state.panes[number]).checkpoints[checkpoint]);
  if (place >= 0) other.checkpoint = place;
}

function activate(number) {
  if (state.active === number) return;
  const before = keyOf(activePane());
  state.active = number;
  if (keyOf(activePane()) !== before) {
    state.selected = [];
    state.focus = null;
  }
}

function chooseExperiment(number, experiment) {
  const pane = state.panes[number];
  const { first, layers, checkpoints, replicates } = DATA.experiments[experiment];
  const checkpoint = checkpoints.indexOf(experimentOf(pane).checkpoints[pane.checkpoint]);
  change(number, {
    experiment,
    pair: startPair(experiment, first),
    layer: layers.some(({ name }) => name === pane.layer) ? pane.layer : layers.at(-1).name,
    checkpoint: checkpoint < 0 ? checkpoints.length - 1 : checkpoint,
    replicate: replicates.includes(pane.replicate) ? pane.replicate : replicates[0],
  });
}

function step(number, by) {
  const pane = state.panes[number];
  const checkpoint = Math.min(experimentOf(pane).checkpoints.length - 1, Math.max(0, pane.checkpoint + by));
  if (checkpoint !== pane.checkpoint) change(number, { checkpoint });
  return checkpoint;
}

function stepLayer(by) {
  const { layers } = experimentOf(activePane());
  const place = layers.findIndex(({ name }) => name === activePane().layer) + by;
  if (layers[place]) change(state.active, { layer: layers[place].name });
}

function stepUnit(by) {
  const count = unitCount(activePane());
  state.focus = state.focus === null ? 0 : (state.focus + by + count) % count;
  follow();
}

function stop() {
  clearInterval(playing);
  playing = 0;
  follow();
}

function play(number) {
  if (playing) return stop();
  activate(number);
  const last = experimentOf(activePane()).checkpoints.length - 1;
  if (activePane().checkpoint === last) change(number, { checkpoint: 0 });
  playing = setInterval(() => {
    if (step(state.active, 1) === experimentOf(activePane()).checkpoints.length - 1) stop();
  }, MILLISECONDS);
  return follow();
}

function compare(on) {
  state.compare = on;
  if (!on) activate(0);
  document.body.classList.toggle("comparing", on);
  byId("compare").setAttribute("aria-pressed", String(on));
  byId("together").closest("label").hidden = !on;
  follow();
}

function select(units, focus) {
  state.selected = [...units].sort((one, other) => one - other);
  if (focus !== undefined) state.focus = focus;
  for (const number of shownPanes()) drawSelection(number);
  follow();
}

// Options of a choice with their values; a choice of one thing is not shown.
function offer(choice, options, value) {
  const wanted = options.map(({ text, key }) => `${key}=${text}`).join("\n");
  if (choice.dataset.offered !== wanted) {
    choice.replaceChildren(...options.map(({ text, key }) => element("option", { value: key }, text)));
    choice.dataset.offered = wanted;
  }
  choice.value = String(value);
  choice.closest("label").hidden = options.length < 2;
}

function drawChoices(number) {
  const pane = state.panes[number];
  const part = (name) => byId(`${name}${number}`);
  const { replicates, tasks, checkpoints } = experimentOf(pane);
  offer(part("experiment"), DATA.experiments.map(({ name }, key) => ({ text: name, key })), pane.experiment);
  offer(part("network"), replicates.map((key) => ({ text: `${key} of ${replicates.length}`, key })), pane.replicate);
  const pairs = tasks.flatMap((one, a) => tasks.flatMap((other, b) => (a < b ? [[a, b]] : [])));
  const turned = pairs.map((pair) => (String(pair.toReversed()) === String(pane.pair) ? pane.pair : pair));
  offer(part("pair"), turned.map(([a, b]) => ({ text: `${tasks[a]} and ${tasks[b]}`, key: `${a},${b}` })), String(pane.pair));
  drawLayers(number, pane);
  const slider = part("checkpoint");
  slider.max = String(checkpoints.length - 1);
  slider.value = String(pane.checkpoint);
  slider.setAttribute("aria-valuetext", stepName(checkpoints[pane.checkpoint]));
  slider.closest(".time").hidden = checkpoints.length < 2;
  part("step").textContent = stepName(checkpoints[pane.checkpoint]);
  part("play").textContent = playing && state.active === number ? "\u275a\u275a" : "\u25b6";
  part("play").setAttribute("aria-label", playing ? "Pause" : "Play training");
  part("scatter").parentElement.hidden = pane.pair[1] === null;
  part("pane").classList.toggle("active", state.compare && state.active === number);
  part("note").replaceChildren(...noteOf(pane));
}

function drawLayers(number, pane) {
  const { layers } = experimentOf(pane);
  const box = byId(`layers${number}`);
  if (box.childElementCount !== layers.length || box.dataset.of !== String(pane.experiment)) {
    box.dataset.of = String(pane.experiment);
    box.replaceChildren(
      ...layers.map(({ name }) => element("button", { type: "button", textContent: name, onclick: () => change(number, { layer: name }) })),
    );
  }
  [...box.children].forEach((button, place) => {
    const bare = nearZero({ ...pane, layer: layers[place].name });
    button.setAttribute("aria-pressed", String(layers[place].name === pane.layer));
    button.classList.toggle("near-zero", bare.length > 0);
    button.title = bare.length ? `near zero at this checkpoint: ${bare.join(", ")}` : `${layers[place].units} units`;
  });
}

// One line of what the map shows: how many units serve what, and what is to be taken with care.
function noteOf(pane) {
  const counts = [0, 0, 0, 0];
  servesAt(pane).forEach((code) => (counts[code] += 1));
  const { tasks, name, checkpoints } = experimentOf(pane);
  const parts = [1, 2, 3, 0].filter((code) => counts[code]).map((code) => `${counts[code]} ${servesName(pane, code)}`);
  const average = pane.pair.filter((task) => task !== null).map((task) => `${tasks[task]} ${digits(averageOf(pane, task))}`);
  const right = rows("accuracy")
    .filter((row) => row.experiment === name && row.replicate === pane.replicate && row.checkpoint === checkpoints[pane.checkpoint])
    .map((row) => `${row.task} ${Math.round(100 * row.accuracy)}\u00a0%`);
  const text = `${unitCount(pane)} units: ${parts.join(", ")}. Average unit: ${average.join(", ")} ${LOOKS.unit}.`;
  const shown = [element("span", {}, right.length ? `${text} Accuracy: ${right.join(", ")}.` : text)];
  const bare = nearZero(pane);
  if (bare.length) {
    const warning = `Near zero for ${bare.join(" and ")}: the average unit contributes less than ${LOOKS.near_zero} ${LOOKS.unit}, so colours say little here.`;
    shown.push(element("strong", { className: "warning" }, warning));
  }
  return shown;
}

const KEYS = {
  ArrowLeft: () => step(state.active, -1),
  ArrowRight: () => step(state.active, 1),
  ArrowUp: () => stepLayer(-1),
  ArrowDown: () => stepLayer(1),
  " ": () => play(state.active),
  e: () => chooseExperiment(state.active, (activePane().experiment + 1) % DATA.experiments.length),
  c: () => compare(!state.compare),
  "[": () => stepUnit(-1),
  "]": () => stepUnit(1),
  "/": () => byId("search").focus(),
  Escape: () => select([], null),
  "?": () => byId("help").showModal(),
};

function press(event) {
  const typing = event.target.matches("input, select, textarea") || (event.key === " " && event.target.matches("button"));
  const elsewhere = event.ctrlKey || event.metaKey || event.altKey || byId("help").open;
  if (!KEYS[event.key] || typing || elsewhere) return;
  event.preventDefault();
  KEYS[event.key]();
}

function fillPlace(number) {
  const made = byId("pane").content.cloneNode(true);
  for (const part of made.querySelectorAll("[data-id]")) part.id = `${part.dataset.id}${number}`;
  for (const button of made.querySelectorAll("[data-save]")) button.dataset.save += number;
  byId("panes").append(made);
  byId(`experiment${number}`).onchange = ({ target }) => chooseExperiment(number, Number(target.value));
  byId(`network${number}`).onchange = ({ target }) => change(number, { replicate: Number(target.value) });
  byId(`pair${number}`).onchange = ({ target }) => change(number, { pair: target.value.split(",").map(Number) });
  byId(`checkpoint${number}`).oninput = ({ target }) => change(number, { checkpoint: Number(target.value) });
  byId(`play${number}`).onclick = () => play(number);
}

function listen() {
  const set = (id, key) => (byId(id).onchange = byId(id).oninput = ({ target }) => {
    state[key] = target.value;
    follow();
  });
  for (const [id, key] of [["order", "order"], ["measure", "measure"], ["networks", "networks"], ["search", "search"], ["serves", "serves"]]) set(id, key);
  byId("compare").onclick = () => compare(!state.compare);
  byId("together").onchange = ({ target }) => {
    state.together = target.checked;
    follow();
  };
  byId("show-help").onclick = () => byId("help").showModal();
  byId("save-units").onclick = saveUnits;
  byId("select-found").onclick = () => select(foundUnits(activePane()));
  byId("clear").onclick = () => select([], null);
  byId("copy").onclick = copyLink;
  byId("brush").onchange = ({ target }) => chooseBrush(target.value);
  document.addEventListener("keydown", press);
  document.addEventListener("click", ({ target }) => {
    const button = target.closest?.("[data-save]");
    if (button) savePlot(button.dataset.save, button.dataset.kind);
  });
  window.addEventListener("hashchange", restore);
}

async function copyLink() {
  writeLink();
  try {
    await navigator.clipboard.writeText(location.href);
    byId("copy").textContent = "Link copied";
  } catch {
    // pages from disk may not reach the clipboard in every browser: the address bar has the same link
    byId("copy").textContent = "Copy it from the address bar";
  }
}

// On screens that are touched a drag scrolls the page, until a brush is chosen.
function chooseBrush(brush) {
  byId("brush").value = brush;
  for (const number of [0, 1]) {
    for (const plot of ["map", "scatter"]) {
      for (const kind of ["box", "lasso"]) model(`${kind}_${plot}${number}`).active = kind === brush;
    }
  }
}

function restore() {
  readLink();
  for (const key of ["measure", "networks", "search"]) byId(key).value = state[key];
  byId("together").checked = state.together;
  compare(state.compare);
}

function listenToPlots() {
  for (const number of [0, 1]) {
    const source = model(`units${number}`);
    source.selected.properties.indices.change.connect(() => {
      const indices = [...source.selected.indices].sort((one, other) => one - other);
      if (!shownPanes().includes(number)) return;
      const own = sameLayer(state.panes[number]);
      if (!indices.length && !own) return;
      if (own && writeRanges(indices) === writeRanges(state.selected)) return;
      activate(number);
      select(indices, indices.length === 1 ? indices[0] : state.focus);
    });
    model(`map${number}`).properties.inner_width.change.connect(follow);
    model(`map${number}`).properties.inner_height.change.connect(follow);
  }
  const table = model("rows");
  table.selected.properties.indices.change.connect(() => {
    if (refilling) return;
    const found = new Set([...table.data.unit]);
    const lines = table.selected.indices.map((line) => table.data.unit[line]);
    const others = state.selected.filter((unit) => !found.has(unit));
    const units = [...lines, ...others].sort((one, other) => one - other);
    if (writeRanges(units) !== writeRanges(state.selected)) select(units, lines.length === 1 ? lines[0] : state.focus);
  });
  model("sharing_layers").on_event("tap", ({ x }) => {
    const layer = allLayers[Math.round(x)];
    if (experimentOf(activePane()).layers.some(({ name }) => name === layer)) change(state.active, { layer });
  });
  for (const name of ["sharing_training", "unit"]) {
    model(name).on_event("tap", ({ x }) => {
      const checkpoint = Math.round(x);
      if (experimentOf(activePane()).checkpoints[checkpoint] !== undefined) change(state.active, { checkpoint });
    });
  }
}

async function start() {
  fillPlace(0);
  fillPlace(1);
  const plots = JSON.parse(byId("plots").textContent);
  const roots = Object.fromEntries(plots.roots.map((root) => [root.id, root.attributes.name]));
  const item = { docid: "page", roots, root_ids: Object.keys(roots) };
  const views = await Bokeh.embed.embed_items({ page: plots }, [item]);
  BOKEH.models = Bokeh.documents[0];
  BOKEH.views = new Map(views.flatMap((manager) => [...manager]).map((view) => [view.model.name, view]));
  byId("sharing").hidden = !DATA.sharing;
  byId("lesions").hidden = !DATA.lesions;
  const most = Math.max(...DATA.experiments.map(({ replicates }) => replicates.length));
  byId("networks").closest("label").hidden = !(most > 1 && DATA.sharing_over_networks);
  listen();
  listenToPlots();
  chooseBrush(matchMedia("(pointer: coarse)").matches ? "none" : "box");
  restore();
  document.body.classList.add("ready");
}

start();
