// What the page knows: units, tables and pictures, unpacked when first asked for and kept.

const DATA = JSON.parse(document.getElementById("data").textContent);
const LOOKS = DATA.looks;
const kept = new Map();

function once(key, make) {
  if (!kept.has(key)) kept.set(key, make());
  return kept.get(key);
}

const drawn = new Map();

// Whether something must be drawn anew, since what it shows is of another key.
function isNew(name, key) {
  if (drawn.get(name) === key) return false;
  drawn.set(name, key);
  return true;
}

const placed = (list) => new Map(list.map((entry) => [`${entry.replicate}/${entry.layer}/${entry.experiment}`, entry]));
const UNITS = placed(DATA.units);
const IMAGES = placed(DATA.images);
const FEATURES = placed(DATA.features);

const experimentOf = (pane) => DATA.experiments[pane.experiment];
const keyOf = (pane) => `${pane.replicate}/${pane.layer}/${experimentOf(pane).name}`;
const unitCount = (pane) => UNITS.get(keyOf(pane))?.contributions.shape[2] ?? 0;

// Contributions of all units of a pane's layer to a task (its place) at a checkpoint (its place).
function contributions(pane, task, checkpoint = pane.checkpoint) {
  const entry = UNITS.get(keyOf(pane));
  if (!entry) return new Float64Array(0);
  const all = once(`units ${keyOf(pane)}`, () => unpack(entry.contributions));
  const [, tasks, units] = entry.contributions.shape;
  const start = (checkpoint * tasks + task) * units;
  return all.subarray(start, start + units);
}

// Effective samples of the units; an empty list where the page goes without them.
function samples(pane) {
  const entry = UNITS.get(keyOf(pane));
  if (!entry?.samples) return [];
  const all = once(`samples ${keyOf(pane)}`, () => unpack(entry.samples));
  const units = entry.samples.shape[1];
  return all.subarray(pane.checkpoint * units, (pane.checkpoint + 1) * units);
}

function average(values) {
  const there = values.filter((value) => !Number.isNaN(value));
  return there.length ? there.reduce((sum, value) => sum + value, 0) / there.length : NaN;
}

const averageOf = (pane, task, checkpoint = pane.checkpoint) =>
  once(`average ${keyOf(pane)} ${task} ${checkpoint}`, () => average(contributions(pane, task, checkpoint)));

// Rank of every unit: 1 is the unit that contributes most; equal ones keep the order of their numbers.
function ranks(pane, task) {
  return once(`ranks ${keyOf(pane)} ${task} ${pane.checkpoint}`, () => {
    const values = contributions(pane, task);
    const found = new Uint16Array(values.length);
    sortedUnits(values).forEach((unit, place) => (found[unit] = place + 1));
    return found;
  });
}

// Units from the largest value to the smallest; those that are nan come last.
function sortedUnits(values) {
  const units = Uint32Array.from(values.keys());
  const size = (unit) => (Number.isNaN(values[unit]) ? -Infinity : values[unit]);
  return units.sort((one, other) => size(other) - size(one) || one - other);
}

// Units from the smallest value to the largest, equal ones by a second value; those that are nan come last.
function risingUnits(values, ties) {
  const size = (list, unit) => (Number.isNaN(list[unit]) ? Infinity : list[unit]);
  const compare = (list, one, other) => (size(list, one) === size(list, other) ? 0 : size(list, one) - size(list, other));
  return Uint32Array.from(values.keys()).sort((one, other) => compare(values, one, other) || compare(ties, one, other) || one - other);
}

// The rank of one unit, without those of all.
function rankOf(pane, task, unit) {
  const values = contributions(pane, task);
  const size = (value) => (Number.isNaN(value) ? -Infinity : value);
  const own = size(values[unit]);
  return values.reduce((rank, value, other) => rank + (size(value) > own || (size(value) === own && other < unit) ? 1 : 0), 1);
}

// The rule by which a unit serves a task: it contributes at least half of what the layer's average unit does.
const SERVES = ["neither", "first", "second", "both"];

function servesAt(pane) {
  const [first, second] = pane.pair;
  return once(`serves ${keyOf(pane)} ${pane.pair} ${pane.checkpoint}`, () => {
    const half = (task) => averageOf(pane, task) * LOOKS.serving;
    const limits = [half(first), second === null ? NaN : half(second)];
    const a = contributions(pane, first);
    const b = second === null ? a : contributions(pane, second);
    return Uint8Array.from(a, (value, unit) => (value >= limits[0] ? 1 : 0) + (b[unit] >= limits[1] ? 2 : 0));
  });
}

function servesName(pane, code) {
  const [first, second] = pane.pair.map((task) => (task === null ? "" : experimentOf(pane).tasks[task]));
  if (!second) return code ? first : `not ${first}`;
  return { neither: "neither", first: `only ${first}`, second: `only ${second}`, both: "both" }[SERVES[code]];
}

// Tasks of a pane's pair to which the layer's average unit contributes next to nothing.
function nearZero(pane, checkpoint = pane.checkpoint) {
  const tasks = experimentOf(pane).tasks;
  return pane.pair
    .filter((task) => task !== null && averageOf(pane, task, checkpoint) < LOOKS.near_zero)
    .map((task) => tasks[task]);
}

// Rows of a table as objects; none where the page goes without it.
function rows(name) {
  return once(`rows ${name}`, () => {
    const table = DATA[name];
    if (!table) return [];
    const columns = Object.entries(table).map(([column, stored]) => [column, columnValues(stored)]);
    return Array.from({ length: columns[0][1].length }, (_, place) =>
      Object.fromEntries(columns.map(([column, values]) => [column, values[place]])),
    );
  });
}

function columnValues(stored) {
  if (stored.names) return stored.places.map((place) => stored.names[place]);
  return stored.whole ?? unpack(stored.numbers);
}

// Colours of units: the palette of unit maps, by the brightness of both tasks, and last that of a missing number.
const COLOURS = once("palette", () => {
  const bytes = bytesOf(LOOKS.palette);
  const hex = (place) => bytes[place].toString(16).padStart(2, "0");
  const shades = Array.from({ length: bytes.length / 3 }, (_, place) => `#${hex(3 * place)}${hex(3 * place + 1)}${hex(3 * place + 2)}`);
  return [...shades, "#ff9da7"];
});

// The same as pixels, opaque: red stands in the lowest bits.
const PAINTS = Uint32Array.from(COLOURS, (colour) => {
  const bits = Number.parseInt(colour.slice(1), 16);
  return 0xff000000 | ((bits & 255) << 16) | (bits & 0xff00) | (bits >> 16);
});

function level(multiple) {
  const { low, high, scale, levels } = LOOKS;
  const inside = Math.min(high, Math.max(low, multiple));
  const bright = scale === "log" ? Math.log(inside / low) / Math.log(high / low) : (inside - low) / (high - low);
  return Math.round(bright * (levels - 1));
}

const shadeAt = (first, second) => first * LOOKS.levels + second;

// The colour of every unit, as its place in the palette.
function unitShades(pane) {
  const [first, second] = pane.pair;
  return once(`shades ${keyOf(pane)} ${pane.pair} ${pane.checkpoint}`, () => {
    const a = contributions(pane, first);
    const b = second === null ? a : contributions(pane, second);
    const means = [averageOf(pane, first) || 1, averageOf(pane, second ?? first) || 1];
    return Uint16Array.from(a, (value, unit) =>
      Number.isNaN(value + b[unit]) ? COLOURS.length - 1 : shadeAt(level(value / means[0]), level(b[unit] / means[1])),
    );
  });
}

// Pictures come as one WebP of many; its address lives as long as the page.
function spriteAddress(sprite) {
  return (sprite.address ??= URL.createObjectURL(new Blob([bytesOf(sprite.webp)], { type: "image/webp" })));
}

const thumbnailsOf = (pane) => DATA.thumbnails.find((sprite) => sprite.experiment === experimentOf(pane).name);
