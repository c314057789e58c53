/* A box that is drawn and adjusted by its handles, in pixels of an image. */

const SIDES = [-1, 0, 1];
/** What a handle moves: -1 the left or upper side, 1 the right or lower one. */
const HANDLES = SIDES.flatMap((x) => SIDES.map((y) => [x, y])).filter(([x, y]) => x || y);
const HANDLE_PX = 5;

/** The box between two points, of whole pixels within the image. */
export function boxBetween(from, to, [width, height]) {
  const xs = [from[0], to[0]].sort((a, b) => a - b), ys = [from[1], to[1]].sort((a, b) => a - b);
  return [Math.floor(xs[0]), Math.floor(ys[0]), Math.min(Math.ceil(xs[1]), width), Math.min(Math.ceil(ys[1]), height)];
}

/** Where a handle of a box is. */
function placeOf([x0, y0, x1, y1], [x, y]) {
  return [x0 + ((x1 - x0) * (x + 1)) / 2, y0 + ((y1 - y0) * (y + 1)) / 2];
}

/** The handle within reach of a point; null if there is none. */
export function handleAt(box, [x, y], reach) {
  const distance = (handle) => Math.hypot(placeOf(box, handle)[0] - x, placeOf(box, handle)[1] - y);
  const nearest = HANDLES.reduce((best, handle) => (distance(handle) < distance(best) ? handle : best));
  return distance(nearest) <= reach ? nearest : null;
}

/** The box after a handle was drawn to a point. */
export function dragHandle([x0, y0, x1, y1], [side, edge], [x, y], size) {
  const from = [side < 0 ? x1 : x0, edge < 0 ? y1 : y0];
  const to = [side ? x : x1, edge ? y : y1];
  return boxBetween(from, to, size);
}

export function cursorOf(handle) {
  if (!handle) return "";
  const [x, y] = handle;
  return x && y ? (x === y ? "nwse-resize" : "nesw-resize") : x ? "ew-resize" : "ns-resize";
}

/** Draw a box with its handles; with `dimmed` all else is darkened. `scale`: canvas pixels of one of the image's. */
export function drawBox(context, box, scale, colour, { dimmed, sharp }) {
  const { width, height } = context.canvas;
  const [x0, y0, x1, y1] = box.map((side) => side * scale);
  if (dimmed) {
    context.fillStyle = "rgb(0 0 0 / .45)";
    context.fillRect(0, 0, width, height);
    context.clearRect(x0, y0, x1 - x0, y1 - y0);
  }
  context.strokeStyle = "#fff";
  context.lineWidth = 3 * sharp;
  context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  context.strokeStyle = colour;
  context.lineWidth = 1.5 * sharp;
  context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  for (const handle of HANDLES) {
    const [x, y] = placeOf(box, handle);
    context.beginPath();
    context.arc(x * scale, y * scale, HANDLE_PX * sharp, 0, 2 * Math.PI);
    context.fillStyle = "#fff";
    context.fill();
    context.stroke();
  }
}
