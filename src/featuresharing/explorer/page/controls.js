// Choices, the slider, notes and keys: what they show is the state, and what they do changes it.

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
  if (isNew(`layers of ${number}`, pane.experiment)) {
    box.replaceChildren(
      ...layers.map(({ name }) => element("button", { type: "button", textContent: name, onclick: () => change(number, { layer: name }) })),
    );
  }
  let some = false;
  [...box.children].forEach((button, place) => {
    const bare = nearZero({ ...pane, layer: layers[place].name });
    some ||= bare.length > 0;
    button.setAttribute("aria-pressed", String(layers[place].name === pane.layer));
    button.classList.toggle("near-zero", bare.length > 0);
    button.title = bare.length ? `near zero at this checkpoint: ${bare.join(", ")}` : `${layers[place].units} units`;
  });
  byId(`dashed${number}`).hidden = !some;
}

// One line of what the map shows: how many units serve what, and what is to be taken with care.
function noteOf(pane) {
  const counts = [0, 0, 0, 0];
  servesAt(pane).forEach((code) => (counts[code] += 1));
  const { tasks, name, checkpoints } = experimentOf(pane);
  const parts = [1, 2, 3, 0].filter((code) => counts[code]).map((code) => `${counts[code]} ${servesName(pane, code)}`);
  parts[0] = parts[0].replace(" ", ` of ${unitCount(pane)} units serve `);
  const average = pane.pair.filter((task) => task !== null).map((task) => `${digits(averageOf(pane, task))} ${LOOKS.unit} to ${tasks[task]}`);
  const right = rows("accuracy")
    .filter((row) => row.experiment === name && row.replicate === pane.replicate && row.checkpoint === checkpoints[pane.checkpoint])
    .map((row) => `${row.task} ${Math.round(100 * row.accuracy)}\u00a0%`);
  const rule = pane.pair[1] === null ? "at least half of the average unit" : "at least half of the average unit: dashed lines";
  const text = `${parts.join(", ")} (to serve: ${rule}). The average unit contributes ${average.join(", ")}.`;
  const shown = [element("span", {}, right.length ? `${text} Accuracy: ${right.join(", ")}.` : text)];
  const bare = nearZero(pane);
  if (bare.length) {
    const limit = `less than ${LOOKS.near_zero} ${LOOKS.unit}`;
    const warning = `Hatched: near zero for ${bare.join(" and ")}: the average unit contributes ${limit}, so colours say little here.`;
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
