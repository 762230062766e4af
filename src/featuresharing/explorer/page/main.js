// The beginning: plots are put into their places, and whatever a reader does is listened to.

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
  const set = (key) => {
    byId(key).onchange = byId(key).oninput = ({ target }) => {
      state[key] = target.value;
      follow();
    };
  };
  for (const key of ["order", "measure", "networks", "search", "serves"]) set(key);
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
    for (const plot of ["map", "scatter"]) {
      const { inner_width: width, inner_height: height } = model(`${plot}${number}`).properties;
      for (const side of [width, height]) side.change.connect(follow);
    }
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
