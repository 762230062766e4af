// Pictures of many units, pixel by pixel: thousands of shapes would take a browser several frames to draw.

const pictures = new Map();

// An empty picture for a source of images; the same memory as long as its size stays.
function emptyPicture(name, width, height) {
  const held = pictures.get(name);
  if (held?.shape[0] === height && held.shape[1] === width) return held.fill(0);
  // Bokeh takes arrays of its own kind, of which an empty source holds one
  const Kind = model(name).data.image[0].constructor;
  const made = new Kind(new ArrayBuffer(4 * width * height), [height, width]);
  pictures.set(name, made);
  return made;
}

// Shows a picture, from a corner (x, y) on.
function showPicture(name, picture, place) {
  const source = model(name);
  const same = source.data.image[0] === picture && Object.entries(place).every(([key, value]) => source.data[key][0] === value);
  if (same) source.change.emit();
  else fill(name, { image: [picture], ...Object.fromEntries(Object.entries(place).map(([key, value]) => [key, [value]])) });
}

// A pixel for each unit, row by row.
function drawCells(number, places, shades, columns) {
  const rowCount = Math.ceil(places.length / columns);
  const picture = emptyPicture(`cells${number}`, columns, rowCount);
  places.forEach((place, unit) => (picture[place] = PAINTS[shades[unit]]));
  showPicture(`cells${number}`, picture, { x: -0.5, y: -0.5, dw: columns, dh: rowCount });
}

// How much of the pixels around it a disc covers, with its middle at each of 4 by 4 places within a pixel.
function discOf(radius) {
  return once(`disc ${radius}`, () => {
    const reach = Math.ceil(radius + 0.5);
    const steps = Array.from({ length: 2 * reach + 1 }, (_, place) => place - reach);
    const covered = (x, y) => Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(x, y)));
    const at = Array.from({ length: 16 }, (_, part) =>
      Float32Array.from(steps.flatMap((y) => steps.map((x) => covered(x - (part & 3) / 4, y - (part >> 2) / 4)))),
    );
    return { reach, at };
  });
}

// Paints over a pixel; both colours have their red in the lowest bits and their alpha in the highest.
function over(under, paint, alpha) {
  if (under === 0) return (paint & 0xffffff) | (Math.round(255 * alpha) << 24);
  const below = (under >>> 24) / 255;
  const whole = alpha + below * (1 - alpha);
  const mixed = (shift) => Math.round(((paint >>> shift) & 255) * (alpha / whole) + ((under >>> shift) & 255) * (1 - alpha / whole));
  return mixed(0) | (mixed(8) << 8) | (mixed(16) << 16) | (Math.round(255 * whole) << 24);
}

// A disc into a picture, whose rows go from the bottom up; x and y are in pixels.
function stampDisc(picture, disc, x, y, paint, alpha) {
  const [height, width] = picture.shape;
  const [column, row] = [Math.round(4 * x - 2), Math.round(4 * y - 2)];
  const covered = disc.at[(column & 3) + 4 * (row & 3)];
  const [left, bottom, side] = [(column >> 2) - disc.reach, (row >> 2) - disc.reach, 2 * disc.reach + 1];
  for (let down = Math.max(0, -bottom); down < side && bottom + down < height; down += 1) {
    for (let across = Math.max(0, -left); across < side && left + across < width; across += 1) {
      const much = alpha * covered[down * side + across];
      const place = (bottom + down) * width + left + across;
      if (much === 1) picture[place] = paint;
      else if (much > 0) picture[place] = over(picture[place], paint, much);
    }
  }
}

const DOT = 2; // radius of a unit in the scatter of many
const OUTLINE = 1.5;
const FOCUS = 0xff7f00d6; // as in plots.py: #d6007f

// The dots of a scatter between limits; chosen units are outlined, and others fainter.
function drawDots(number, [xs, ys], shades, [low, high], chosen) {
  const plot = model(`scatter${number}`);
  const ratio = window.devicePixelRatio;
  const [wide, tall] = [plot.inner_width || 100, plot.inner_height || 100];
  const picture = emptyPicture(`dots${number}`, Math.round(wide * ratio), Math.round(tall * ratio));
  const [height, width] = picture.shape;
  const [plain, outer, inner] = [DOT, DOT + OUTLINE / 2, DOT - OUTLINE / 2].map((radius) => discOf(radius * ratio));
  const scale = 1 / Math.log(high / low);
  const put = (unit, disc, paint, alpha) => {
    if (Number.isNaN(xs[unit] + ys[unit])) return;
    // Bokeh puts everything half a pixel to the right and down
    const x = Math.log(xs[unit] / low) * scale * width + ratio / 2;
    const y = Math.log(ys[unit] / low) * scale * height - ratio / 2;
    stampDisc(picture, disc, x, y, paint, alpha);
  };
  const outlined = new Set(chosen);
  for (let unit = 0; unit < xs.length; unit += 1) {
    if (!outlined.has(unit)) put(unit, plain, PAINTS[shades[unit]], chosen.length ? 0.25 : 1);
  }
  for (const unit of chosen) {
    put(unit, outer, FOCUS, 1);
    put(unit, inner, PAINTS[shades[unit]], 1);
  }
  // the half pixel taken off again, so that a pixel of the picture is one of the screen
  const grow = (high / low) ** (0.5 / wide);
  const rise = (high / low) ** (0.5 / tall);
  showPicture(`dots${number}`, picture, { x: low / grow, y: low * rise, dw: (high - low) / grow, dh: (high - low) * rise });
}
