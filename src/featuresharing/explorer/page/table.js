// The table of units: search, filter, sort; what is selected in it is selected in the maps, and the other way round.

// Units that the search and the filter leave, in the order of their numbers.
function foundUnits(pane) {
  const wanted = state.search.trim() ? new Set(readRanges(state.search, unitCount(pane))) : null;
  const serves = servesAt(pane);
  const chosen = new Set(state.selected);
  const fits = (unit) => {
    if (wanted && !wanted.has(unit)) return false;
    if (state.serves === "selected") return chosen.has(unit);
    return state.serves === "all" || SERVES[serves[unit]] === state.serves;
  };
  return [...contributions(pane, pane.pair[0]).keys()].filter(fits);
}

function drawTable() {
  const pane = activePane();
  const [first, second] = pane.pair;
  const found = foundUnits(pane);
  const serves = servesAt(pane);
  const effective = samples(pane);
  const pick = (values) => found.map((unit) => values[unit]);
  const filled = {
    unit: found,
    bits_a: pick(contributions(pane, first)),
    bits_b: pick(contributions(pane, second ?? first)),
    rank_a: pick(ranks(pane, first)),
    rank_b: pick(ranks(pane, second ?? first)),
    serves: found.map((unit) => servesName(pane, serves[unit])),
    samples: effective.length ? pick(effective) : found.map(() => NaN),
  };
  const { tasks } = experimentOf(pane);
  const table = model("table");
  const [a, b] = [tasks[first], tasks[second ?? first]];
  const titles = { bits_a: a, bits_b: b, rank_a: `rank, ${a}`, rank_b: `rank, ${b}` };
  for (const column of table.columns) {
    // the table takes a title for HTML
    if (column.field in titles) column.title = element("i", {}, titles[column.field]).innerHTML;
    column.visible = !(second === null && column.field.endsWith("_b")) && !(column.field === "samples" && !effective.length);
  }
  refill(filled);
  const wanted = readRanges(state.search, unitCount(pane));
  const accepted = `accepted are numbers from 0 to ${unitCount(pane) - 1} and ranges, such as 3, 10-19`;
  const bad = state.search.trim() && !wanted?.length;
  byId("search").setAttribute("aria-invalid", bad ? "true" : "false");
  const counts = `${found.length} of ${unitCount(pane)} units`;
  byId("table-count").textContent = bad ? `No unit is found: ${accepted}.` : counts;
}

// New rows stand in other lines, so that what the table says of its selection meanwhile is of no reader's doing.
let refilling = false;

function refill(filled) {
  refilling = true;
  model("rows").selected.indices = [];
  fill("rows", filled);
  drawTableSelection();
  refilling = false;
}

function drawTableSelection() {
  const source = model("rows");
  const chosen = new Set(state.selected);
  const lines = [...source.data.unit].flatMap((unit, line) => (chosen.has(unit) ? [line] : []));
  if (String(source.selected.indices) !== String(lines)) source.selected.indices = lines;
  byId("selected-count").textContent = state.selected.length ? `${state.selected.length} selected` : "nothing selected";
}
