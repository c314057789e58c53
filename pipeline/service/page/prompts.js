/* What an image is segmented by: points and a box that correct an earlier mask, or a text. */

export const NOTHING = { points: [], box: null, prior: null, text: "" };

export function isEmpty({ points, box, text }) {
  return !points.length && !box && !text;
}

/** With a point more, on the object or not, that corrects `mask`, the answer to the prompt so far, if there is one. */
export function addPoint(prompt, [x, y], isOnObject, mask) {
  // Rounded down: a point on the far edge would be outside.
  const point = { x: Math.floor(x * 10) / 10, y: Math.floor(y * 10) / 10, label: isOnObject ? 1 : 0 };
  return { points: [...prompt.points, point], box: prompt.box, prior: mask?.payload.rle ?? null, text: "" };
}

/** With another box, for anything anew: points stay only as far as they can be of what is in it. */
export function setBox({ points }, box) {
  const isInside = ({ x, y }) => x >= box[0] && x < box[2] && y >= box[1] && y < box[3];
  return { ...NOTHING, points: points.every((point) => !point.label || isInside(point)) ? points : [], box };
}

export function setText(text) {
  return { ...NOTHING, text };
}

/** The prompt as the API has it, for the image of an example. */
export function toSegmentRequest(example, { points, box, prior, text }) {
  if (text) return { ...example, texts: [text] };
  return { ...example, points, ...(box && { box }), ...(prior && { mask: prior }) };
}

/** Draw points, with a sign each. `scale`: canvas pixels of one of the image's. */
export function drawPoints(context, points, scale, { colour, sharp }) {
  for (const { x, y, label } of points) {
    context.beginPath();
    context.arc(x * scale, y * scale, 8 * sharp, 0, 2 * Math.PI);
    context.fillStyle = label ? colour : "#1c1c1e";
    context.fill();
    context.strokeStyle = "#fff";
    context.lineWidth = 2 * sharp;
    context.stroke();
    drawLines(context, x * scale, y * scale, 4 * sharp, label ? [[1, 0], [0, 1]] : [[1, 0]]);
  }
}

/** Draw the cross that keys move. */
export function drawCross(context, [x, y], scale, sharp) {
  for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = width * sharp;
    drawLines(context, x * scale, y * scale, 14 * sharp, [[1, 0], [0, 1]]);
  }
}

function drawLines(context, x, y, reach, directions) {
  context.beginPath();
  for (const [dx, dy] of directions) {
    context.moveTo(x - dx * reach, y - dy * reach);
    context.lineTo(x + dx * reach, y + dy * reach);
  }
  context.stroke();
}
