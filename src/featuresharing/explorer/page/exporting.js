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

async function savePlot(name, kind) {
  const view = BOKEH.views.get(name);
  const blob = await view.export(kind).to_blob();
  save(blob, fileName(`_${name.replace(/\d$/, "")}.${kind}`));
}
