// Files for the reader: units as CSV, and plots as PNG and SVG.

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  element("a", { href: address, download: name }).click();
  URL.revokeObjectURL(address);
}

function fileName(ending) {
  const pane = activePane();
  const { name, checkpoints } = experimentOf(pane);
  return `${name}_${pane.layer}_${checkpoints[pane.checkpoint]}${ending}`.replaceAll(/[^\w.-]+/g, "_");
}

const quoted = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));

// The columns of contributions.csv that the page has, of the selected units, or of all where none is.
function unitsAsText() {
  const pane = activePane();
  const { name, tasks, checkpoints } = experimentOf(pane);
  const effective = samples(pane);
  const units = state.selected.length ? state.selected : [...contributions(pane, 0).keys()];
  const lines = ["experiment,replicate,checkpoint,layer,unit,task,contribution,effective_samples"];
  for (const unit of units) {
    tasks.forEach((task, place) => {
      const amount = contributions(pane, place)[unit];
      const numbers = [amount, effective[unit] ?? NaN].map((value) => (Number.isNaN(value) ? "nan" : String(Number(value.toPrecision(5)))));
      lines.push([name, pane.replicate, checkpoints[pane.checkpoint], pane.layer, unit, task, ...numbers].map(quoted).join(","));
    });
  }
  return `${lines.join("\n")}\n`;
}

const saveUnits = () => save(new Blob([unitsAsText()], { type: "text/csv" }), fileName(".csv"));

// Pictures of many units become shapes in a file, where they stay sharp at any size.
async function drawnAsShapes(number, take) {
  fillUnits(number, sightOf(number));
  drawGlyphs(number, true, false);
  try {
    // Bokeh takes over what was set before the next task
    await new Promise((done) => setTimeout(done, 0));
    return take();
  } finally {
    drawGlyphs(number, isMany(state.panes[number]));
  }
}

async function savePlot(name, kind) {
  const number = Number(/^(?:map|scatter)(\d)$/.exec(name)?.[1] ?? -1);
  const take = () => BOKEH.views.get(name).export(kind);
  const drawing = number >= 0 && isMany(state.panes[number]) ? await drawnAsShapes(number, take) : take();
  save(await drawing.to_blob(), fileName(`_${name.replace(/\d$/, "")}.${kind}`));
}
