/* Draws a map's points: all of them anew in each frame, as pixels, which takes some milliseconds of 100,000. */

import { MOST_CORNERS } from "./map_region.js";
import { simplify } from "./polygon.js";

const MARGIN = 0.94, HOVER_PX = 10, MOST_ZOOM = 400;
const DIM = 0.22;
const LEAST_PX = 2, MOST_PX = 9, ROOM_PX = 160;

export class MapCanvas {
  /** Draws `map` on a canvas; `colours` are [r, g, b] by the place of a label, `paper` that behind. */
  constructor(canvas, map, colours, paper) {
    Object.assign(this, { canvas, map, paper });
    this.context = canvas.getContext("2d", { alpha: false });
    this.bright = pack(colours, [0, 0, 0], 1);
    this.dim = pack(colours, paper, DIM);
    this.chosen = null;
    this.lit = -1;
    this.lasso = [];
    this.frames = 0;
    this.fit();
  }

  /** Take the canvas's size on the screen, and show all points. */
  fit() {
    this.resize();
    this.zoom = 1;
    this.centre = [0, 0];
    this.draw();
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    this.sharpness = Math.min(window.devicePixelRatio || 1, 2);
    this.width = Math.max(1, Math.round(clientWidth * this.sharpness));
    this.height = Math.max(1, Math.round(clientHeight * this.sharpness));
    this.canvas.width = this.width;
    this.canvas.height = this.height;
    this.image = this.context.createImageData(this.width, this.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  get scale() {
    return (Math.min(this.width, this.height) / 2) * MARGIN * this.zoom;
  }

  /** How wide a point is, in the canvas's own pixels: the fewer there are, and the larger the map is shown, the wider. */
  get side() {
    const alone = ROOM_PX / Math.sqrt(this.map.count) + Math.max(0, Math.log2(this.zoom));
    return Math.round(Math.min(Math.max(alone, LEAST_PX), MOST_PX) * this.sharpness);
  }

  /** Draw once before the next frame, however often it is called. */
  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.paint();
      this.frames++;
    });
  }

  paint() {
    this.pixels.fill(packColour(this.paper));
    if (this.chosen) {
      this.plot(this.dim, (number) => !this.chosen[number]);
      this.plot(this.bright, (number) => this.chosen[number]);
    } else this.plot(this.bright, null);
    this.context.putImageData(this.image, 0, 0);
    if (this.lit >= 0) this.ring(this.lit);
    if (this.lasso.length) this.line();
  }

  /** Plot the points for which `wanted` holds, null: all, in colours by label. */
  plot(colours, wanted) {
    const { positions, labelOf, count } = this.map;
    const { width, height, pixels, scale } = this;
    const left = width / 2 - this.centre[0] * scale, top = height / 2 - this.centre[1] * scale;
    const side = this.side, insets = discInsets(side);
    const half = side >> 1, other = colours.length - 1;
    for (let number = 0; number < count; number++) {
      if (wanted && !wanted(number)) continue;
      const x = (left + positions[2 * number] * scale - half) | 0, y = (top + positions[2 * number + 1] * scale - half) | 0;
      if (x < 0 || y < 0 || x + side > width || y + side > height) continue;
      const colour = colours[Math.min(labelOf[number], other)];
      for (let line = 0, row = y * width + x; line < side; line++, row += width) {
        for (let at = row + insets[line], end = row + side - insets[line]; at < end; at++) pixels[at] = colour;
      }
    }
  }

  ring(number) {
    const [x, y] = this.place(number), { context, sharpness } = this;
    context.lineWidth = 2 * sharpness;
    context.strokeStyle = getComputedStyle(this.canvas).color;
    context.beginPath();
    context.arc(x, y, 8 * sharpness, 0, 2 * Math.PI);
    context.stroke();
  }

  line() {
    const { context, sharpness } = this;
    context.lineWidth = 2 * sharpness;
    context.strokeStyle = getComputedStyle(this.canvas).color;
    context.beginPath();
    for (const [x, y] of this.lasso) context.lineTo(x * sharpness, y * sharpness);
    context.closePath();
    context.stroke();
  }

  /** Where a point is on the canvas, in its own pixels. */
  place(number) {
    const { positions } = this.map;
    return [this.width / 2 + (positions[2 * number] - this.centre[0]) * this.scale, this.height / 2 + (positions[2 * number + 1] - this.centre[1]) * this.scale];
  }

  /** Where on the map a place of the screen is, given in CSS pixels from the canvas's corner. */
  locate([x, y]) {
    return [this.centre[0] + (x * this.sharpness - this.width / 2) / this.scale, this.centre[1] + (y * this.sharpness - this.height / 2) / this.scale];
  }

  /** Move the map by CSS pixels. */
  pan(dx, dy) {
    this.centre = [this.centre[0] - (dx * this.sharpness) / this.scale, this.centre[1] - (dy * this.sharpness) / this.scale];
    this.draw();
  }

  /** Enlarge by a factor; what is at a place of the screen stays there. */
  enlarge(factor, at) {
    const before = this.locate(at);
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.5), MOST_ZOOM);
    const after = this.locate(at);
    this.centre = [this.centre[0] + before[0] - after[0], this.centre[1] + before[1] - after[1]];
    this.draw();
  }

  /** The number of the point nearest to a place of the screen, -1 where none is near. */
  nearest(at) {
    const [x, y] = this.locate(at), { positions, count } = this.map;
    const reach = (HOVER_PX * this.sharpness) / this.scale;
    let best = reach * reach, found = -1;
    for (let number = 0; number < count; number++) {
      if (this.chosen && !this.chosen[number]) continue;
      const dx = positions[2 * number] - x, dy = positions[2 * number + 1] - y, distance = dx * dx + dy * dy;
      if (distance < best) [best, found] = [distance, number];
    }
    return found;
  }

  /** The corners of the lasso on the map, which is drawn no longer; no more digits of them than the screen shows. */
  takeLasso() {
    const digits = Math.ceil(Math.log10(this.scale));
    const corners = simplify(this.lasso, MOST_CORNERS).map((at) => this.locate(at).map((value) => Number(value.toFixed(digits))));
    this.lasso = [];
    this.draw();
    return corners;
  }

  /** Show these points brightly and the others dimly; null: all alike. */
  choose(numbers) {
    this.chosen = null;
    if (numbers) {
      this.chosen = new Uint8Array(this.map.count);
      for (const number of numbers) this.chosen[number] = 1;
    }
    this.draw();
  }
}

/** Of each line of a disc, how many pixels of its square are left free on either side. */
function discInsets(side) {
  const radius = side / 2;
  return Int32Array.from({ length: side }, (_, line) => Math.round(radius - Math.sqrt(radius * radius - (line + 0.5 - radius) ** 2)));
}

const packColour = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

/** Colours, as so large a share over another one, as the pixels of a canvas hold them. */
function pack(colours, under, share) {
  return Uint32Array.from(colours, (colour) => packColour(colour.map((value, at) => Math.round(value * share + under[at] * (1 - share)))));
}
