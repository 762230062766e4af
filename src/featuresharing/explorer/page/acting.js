// What changes the state of the page: the page follows in the next frame.

const MILLISECONDS = 330; // of a checkpoint while training plays, as in the GIFs

let playing = 0;
const waiting = { frame: 0, rest: 0, curves: 0, moved: false };

// not every browser says when it is idle
const whenIdle = (work) => (window.requestIdleCallback ? requestIdleCallback(work) : setTimeout(work, 50));

// Draws what moves once a frame, and what takes longer once the reader rests.
function follow() {
  waiting.moved = true;
  // as soon as this event has been dealt with: its own frame shows it
  if (!waiting.frame) queueMicrotask(drawMoved);
  clearTimeout(waiting.rest);
  waiting.rest = setTimeout(drawResting, 120);
}

function drawMoved() {
  if (!waiting.moved || waiting.frame) return;
  waiting.moved = false;
  waiting.frame = requestAnimationFrame(() => {
    waiting.frame = 0;
    drawMoved();
  });
  drawMoving();
}

function drawMoving() {
  for (const number of shownPanes()) {
    drawPane(number);
    drawChoices(number);
  }
  offerByTask(activePane());
  drawCard();
  markCurves();
  // curves follow in what is left of the frame; beside thousands of units, once the slider rests
  if (!isMany(activePane()) && !waiting.curves) waiting.curves = whenIdle(drawCurvesBetween);
}

function drawCurvesBetween() {
  waiting.curves = 0;
  drawCurves();
}

function drawResting() {
  waiting.moved = true;
  drawMoved();
  drawCurves();
  describeCurves();
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
  byId("order-note").hidden = !on;
  follow();
}

function select(units, focus) {
  state.selected = [...units].sort((one, other) => one - other);
  if (focus !== undefined) state.focus = focus;
  follow();
}
