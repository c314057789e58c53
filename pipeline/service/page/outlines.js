/* Outlines of objects, as paths that are sharp at any size: all of them, or one that is lit. */

import { runs } from "./masks.js";

/** The colour of the line round an object that is lit. */
export const LIT = [255, 45, 85];
const LIT_PX = 4;
/** An outline has so many pixels over the longer side of its image, or fewer: as many as are to be seen. */
const MOST_PX = 1600;
/** To the right, down, left, up; with the inside on the right hand. */
const STEPS = [[1, 0], [0, 1], [-1, 0], [0, -1]];

/** The outline of an object, in pixels of its image; it is kept in it. */
export function outlineOf(object) {
  object.outline ??= trace(object);
  return object.outline;
}

/** Draw the outlines of objects, those of parts in dashes. `scale`: canvas pixels of one of the image's. */
export function drawOutlines(context, objects, scale, sharp) {
  context.save();
  context.scale(scale, scale);
  context.lineJoin = "round";
  for (const [colour, width] of [["rgb(0 0 0 / .55)", 3], ["#fff", 1.5]]) {
    context.strokeStyle = colour;
    context.lineWidth = (width * sharp) / scale;
    for (const object of objects) {
      const isPart = Boolean(object.payload.parent_id);
      context.setLineDash(isPart ? [5, 4].map((length) => (length * sharp) / scale) : []);
      context.stroke(outlineOf(object));
    }
  }
  context.restore();
}

/** Dim all but an object, and draw a line around it. `scale`: canvas pixels of one of the image's. */
export function drawLit(context, object, scale) {
  const outline = outlineOf(object);
  context.save();
  context.scale(scale, scale);
  context.lineJoin = "round";
  context.strokeStyle = `rgb(${LIT})`;
  // Half of it is inside, and taken away again.
  context.lineWidth = (2 * LIT_PX) / scale;
  context.stroke(outline);
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = "rgb(0 0 0 / .5)";
  context.fillRect(0, 0, context.canvas.width / scale, context.canvas.height / scale);
  context.globalCompositeOperation = "destination-out";
  context.fillStyle = "#000";
  context.fill(outline, "evenodd");
  context.restore();
}

function trace({ payload: { rle }, box: [x0, y0, x1, y1] }) {
  const path = new Path2D();
  if (!rle) {
    path.rect(x0, y0, x1 - x0, y1 - y0);
    return path;
  }
  const step = Math.max(1, Math.floor(Math.max(...rle.size) / MOST_PX));
  const mask = sample(rle, [x0, y0, x1, y1], step);
  for (const corners of follow(mask)) addSmooth(path, corners, ([x, y]) => [x0 + x * step, y0 + y * step]);
  return path;
}

/** The mask in a box, of every `step`-th pixel: bytes of 0 and 1, row by row; zeros if it is broken. */
function sample(rle, [x0, y0, x1, y1], step) {
  const rows = rle.size[0], width = Math.ceil((x1 - x0) / step), height = Math.ceil((y1 - y0) / step);
  const inside = new Uint8Array(width * height), lengths = runs(rle.counts);
  if (lengths.reduce((total, length) => (length < 0 ? NaN : total + length), 0) !== rows * rle.size[1]) return { inside, width, height };
  let at = 0;
  lengths.forEach((length, number) => {
    const end = at + length;
    while (number % 2 && at < end) {
      const column = Math.floor(at / rows), top = at - column * rows, bottom = Math.min(rows, top + end - at), x = (column - x0) / step;
      if (Number.isInteger(x) && x >= 0 && x < width) {
        const last = Math.min(Math.ceil((bottom - y0) / step), height);
        for (let y = Math.max(Math.ceil((top - y0) / step), 0); y < last; y++) inside[y * width + x] = 1;
      }
      at += bottom - top;
    }
    at = end;
  });
  return { inside, width, height };
}

/** The borders of a mask, each as the corners that it turns at. */
function follow({ inside, width, height }) {
  const columns = width + 1, exits = new Uint8Array(columns * (height + 1)), borders = [];
  const is = (x, y) => x >= 0 && y >= 0 && x < width && y < height && inside[y * width + x];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!inside[y * width + x]) continue;
      if (!is(x, y - 1)) exits[y * columns + x] |= 1;
      if (!is(x + 1, y)) exits[y * columns + x + 1] |= 2;
      if (!is(x, y + 1)) exits[(y + 1) * columns + x + 1] |= 4;
      if (!is(x - 1, y)) exits[(y + 1) * columns + x] |= 8;
    }
  }
  for (let start = 0; start < exits.length; start++) {
    while (exits[start]) borders.push(followOne(exits, columns, start));
  }
  return borders;
}

function followOne(exits, columns, start) {
  const corners = [];
  let at = start, heading = -1;
  do {
    // Where two pixels touch at a corner alone, the border turns right: they are apart.
    const turns = heading < 0 ? [0, 1, 2, 3] : [(heading + 1) % 4, heading, (heading + 3) % 4];
    const next = turns.find((turn) => exits[at] & (1 << turn));
    if (next !== heading) corners.push([at % columns, Math.floor(at / columns)]);
    exits[at] &= ~(1 << next);
    heading = next;
    at += STEPS[heading][0] + STEPS[heading][1] * columns;
  } while (at !== start);
  return corners;
}

/** Add a border to a path, with its corners cut half a pixel from them: stairs become lines. */
function addSmooth(path, corners, place) {
  corners.forEach(([x, y], number) => {
    const [toX, toY] = corners[(number + 1) % corners.length], length = Math.abs(toX - x) + Math.abs(toY - y);
    const [dx, dy] = [Math.sign(toX - x) / 2, Math.sign(toY - y) / 2];
    const points = length > 1 ? [[x + dx, y + dy], [toX - dx, toY - dy]] : [[x + dx, y + dy]];
    for (const [at, point] of points.entries()) {
      if (number === 0 && at === 0) path.moveTo(...place(point));
      else path.lineTo(...place(point));
    }
  });
  path.closePath();
}
