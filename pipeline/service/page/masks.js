/* Decodes masks from COCO's compressed run lengths, and draws them. */

/** Masks of such an IoU show the same object. */
const SAME = 0.8;

/** Run lengths, zeros first, column by column. */
export function runs(counts) {
  const lengths = [];
  let value = 0, shift = 0;
  for (let at = 0; at < counts.length; at++) {
    const bits = counts.charCodeAt(at) - 48;
    value |= (bits & 31) << shift;
    shift += 5;
    if (bits & 32) continue;
    if (bits & 16) value |= -1 << shift;
    lengths.push(lengths.length > 2 ? value + lengths[lengths.length - 2] : value);
    value = shift = 0;
  }
  return lengths;
}

/** Decode the part of a mask inside a box: bytes of 0 and 1, row by row; zeros if it is broken, ones for an object that has a box alone. */
export function decode(rle, [x0, y0, x1, y1]) {
  if (!rle) return new Uint8Array((x1 - x0) * (y1 - y0)).fill(1);
  const [height, columns] = rle.size, width = x1 - x0;
  const inside = new Uint8Array(width * (y1 - y0));
  const lengths = runs(rle.counts);
  const covered = lengths.reduce((total, length) => length < 0 ? NaN : total + length, 0);
  if (covered !== height * columns) return inside;
  let at = 0, on = false;
  for (const length of lengths) {
    if (on) {
      for (let pixel = at; pixel < at + length; pixel++) {
        const x = Math.floor(pixel / height), y = pixel % height;
        if (x >= x0 && x < x1 && y >= y0 && y < y1) inside[(y - y0) * width + x - x0] = 1;
      }
    }
    at += length;
    on = !on;
  }
  return inside;
}

/** The smallest object at a point; null if there is none. */
export function findAt(objects, [x, y]) {
  let best = null;
  for (const object of objects) {
    const [x0, y0, x1, y1] = object.box;
    if (x < x0 || x >= x1 || y < y0 || y >= y1) continue;
    object.inside ??= decode(object.payload.rle, object.box);
    const hit = object.inside[(Math.floor(y) - y0) * (x1 - x0) + Math.floor(x) - x0];
    if (hit && (!best || object.payload.area < best.payload.area)) best = object;
  }
  return best;
}

/** The object of which the mask is the same: an IoU of `SAME` or more, the highest. */
export function findSame(mask, objects) {
  const ious = objects.map((object) => measureIou(mask, object));
  const best = ious.indexOf(Math.max(...ious));
  return ious[best] >= SAME ? objects[best] : null;
}

function measureIou(one, other) {
  const common = [0, 1, 2, 3].map((side) => (side < 2 ? Math.max : Math.min)(one.box[side], other.box[side]));
  const smaller = Math.min(one.payload.area, other.payload.area), larger = Math.max(one.payload.area, other.payload.area);
  if (common[0] >= common[2] || common[1] >= common[3] || smaller < SAME * larger) return 0;
  const inside = decode(one.payload.rle, common);
  const both = decode(other.payload.rle, common).reduce((count, bit, at) => count + (bit & inside[at]), 0);
  return both / (one.payload.area + other.payload.area - both);
}

/** Paint a mask in a single colour on a canvas the size of its box. */
export function paintMask(inside, [x0, y0, x1, y1], [red, green, blue]) {
  const canvas = document.createElement("canvas");
  canvas.width = x1 - x0;
  canvas.height = y1 - y0;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let at = 0; at < inside.length; at++) {
    if (inside[at]) image.data.set([red, green, blue, 255], at * 4);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** The box that the service's crops show; keep in step with `crop_box` there. */
export function cropBox({ bbox: [x0, y0, x1, y1], width, height }) {
  const longer = Math.max(x1 - x0, y1 - y0);
  const around = Math.round(Math.max(0.3 * longer, (72 - longer) / 2));
  return [Math.max(0, x0 - around), Math.max(0, y0 - around), Math.min(width, x1 + around), Math.min(height, y1 + around)];
}
