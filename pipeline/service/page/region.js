/* The picture that is searched with, beside the hits: its box or point can be moved there, and is searched with again. */

import { picture } from "./api.js";
import { boxBetween, cursorOf, dragHandle, drawBox, handleAt } from "./box.js";
import { byId, make } from "./dom.js";
import { openImage, openUpload } from "./open_viewer.js";
import { LIT, drawLit } from "./outlines.js";
import { drawPoints } from "./prompts.js";
import { parseText } from "./query.js";

const panel = byId("region");
const REACH_PX = 16, CLICK_PX = 4, LEAST_PX = 2, STEP_SHARE = 1 / 50, SOON_MS = 500;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const WORDS = {
  fallback: "No object fits the box: it is searched with as it is.",
  box: "The box is searched with as it is.",
};
let shown = null;

/** Show the picture of the first box or point of a query; `regions` are what its wanted examples show, `change` is called with parts of a query. */
export function showRegion(query, regions, change) {
  const at = query.more.findIndex((example) => example.box_xyxy || example.point_xy);
  const region = at < 0 ? null : regions[parseText(query.text).texts.length + at];
  panel.hidden = !region;
  if (!region) {
    shown = null;
    panel.replaceChildren();
    return;
  }
  const replace = (example) => change({ more: query.more.map((other, number) => (number === at ? example : other)) });
  const example = query.more[at], path = pathOf(example);
  if (shown?.path !== path) shown = new RegionPicture(path);
  shown.show(example, region, replace);
}

function pathOf({ image_id: image, upload_id: upload }) {
  return image ? `/v1/images/${image}/preview.jpg?size=640` : `/v1/uploads/${upload}/preview.jpg?size=640`;
}

class RegionPicture {
  constructor(path) {
    this.path = path;
    this.image = make("img", { alt: "" });
    this.canvas = make("canvas", {
      tabindex: "0", role: "application",
      onpointerdown: (event) => this.down(event), onpointermove: (event) => this.move(event), onpointerup: (event) => this.up(event),
      onpointercancel: () => this.reset(), onkeydown: (event) => this.key(event),
    });
    this.frame = make("div", { class: "frame" }, this.image, this.canvas);
    this.words = make("p", {});
    this.exact = make("button", { class: "plain", type: "button", onclick: () => this.toggleExact() }, "The box as it is");
    this.open = make("button", { class: "plain", type: "button", onclick: () => this.openWhole() }, "Open");
    panel.replaceChildren(make("h2", {}, "Searched for"), this.frame, this.words, make("div", { class: "buttons" }, this.exact, this.open));
    new ResizeObserver(() => this.draw()).observe(this.frame);
    picture(this.image, path).catch(() => (this.words.textContent = "The picture cannot be shown."));
  }

  show(example, region, replace) {
    clearTimeout(this.soon);
    this.example = example;
    this.region = region;
    this.replace = replace;
    const [height, width] = region.rle.size;
    this.size = [width, height];
    this.frame.style.aspectRatio = `${width} / ${height}`;
    this.frame.style.setProperty("--ratio", width / height);
    this.words.textContent = WORDS[region.choice] ?? `Drag the ${example.box_xyxy ? "handles" : "point"} if it is another object.`;
    this.exact.hidden = !example.box_xyxy;
    this.exact.setAttribute("aria-pressed", String(Boolean(example.exact_box)));
    const part = example.box_xyxy ? "box: arrow keys move it, with Shift they size it" : "point: arrow keys move it";
    this.canvas.setAttribute("aria-label", `The searched picture with its ${part}`);
    this.reset();
  }

  /** As it is searched with. */
  reset() {
    this.box = this.example.box_xyxy ?? null;
    this.point = this.example.point_xy ?? null;
    this.drag = null;
    this.draw();
  }

  get pixel() {
    return this.size[0] / this.canvas.clientWidth;
  }

  at(event) {
    const area = this.canvas.getBoundingClientRect();
    return [
      clamp(((event.clientX - area.left) / area.width) * this.size[0], this.size[0]),
      clamp(((event.clientY - area.top) / area.height) * this.size[1], this.size[1]),
    ];
  }

  down(event) {
    const from = this.at(event), box = this.box, size = this.size;
    this.canvas.setPointerCapture(event.pointerId);
    if (!box) {
      this.drag = { from, to: (end) => (this.point = end) };
      return;
    }
    const handle = handleAt(box, from, REACH_PX * this.pixel);
    const to = handle ? (end) => dragHandle(box, handle, end, size) : isInside(box, from) ? (end) => moveBox(box, end[0] - from[0], end[1] - from[1], size) : (end) => boxBetween(from, end, size);
    this.drag = { from, to: (end) => (this.box = to(end)) };
  }

  move(event) {
    const point = this.at(event);
    if (this.drag) {
      this.drag.isMoved ||= Math.hypot(point[0] - this.drag.from[0], point[1] - this.drag.from[1]) > CLICK_PX * this.pixel;
      if (!this.drag.isMoved) return;
      this.drag.to(point);
      this.draw();
    } else if (this.box) {
      const handle = handleAt(this.box, point, REACH_PX * this.pixel);
      this.canvas.style.cursor = handle ? cursorOf(handle) : isInside(this.box, point) ? "move" : "crosshair";
    }
  }

  up(event) {
    const drag = this.drag;
    this.drag = null;
    if (!drag) return;
    if (this.point) this.point = this.at(event);
    else if (!drag.isMoved) return;
    this.search();
  }

  search() {
    if (this.box) {
      const [x0, y0, x1, y1] = this.box;
      if (x1 - x0 > LEAST_PX && y1 - y0 > LEAST_PX) this.replace({ ...this.example, box_xyxy: this.box });
      else this.reset();
    } else {
      this.replace({ ...this.example, point_xy: this.point.map((side) => Math.floor(side * 10) / 10) });
    }
  }

  key(event) {
    const [dx, dy] = ARROWS[event.key] ?? [0, 0];
    if ((!dx && !dy) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const step = Math.max(...this.size) * STEP_SHARE, box = this.box;
    if (!box) this.point = [clamp(this.point[0] + dx * step, this.size[0]), clamp(this.point[1] + dy * step, this.size[1])];
    else if (event.shiftKey) this.box = dragHandle(box, [1, 1], [clamp(box[2] + dx * step, this.size[0]), clamp(box[3] + dy * step, this.size[1])], this.size);
    else this.box = moveBox(box, dx * step, dy * step, this.size);
    this.draw();
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.search(), SOON_MS);
  }

  toggleExact() {
    const { exact_box: isExact, ...example } = this.example;
    this.replace(isExact ? example : { ...example, exact_box: true });
  }

  openWhole() {
    const { image_id: image, upload_id: upload } = this.example;
    if (image) openImage(image, this.region.object_id);
    else openUpload({ upload_id: upload, width: this.size[0], height: this.size[1] }, "Your image");
  }

  draw() {
    if (!this.example || !this.canvas.clientWidth) return;
    const sharp = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(this.canvas.clientWidth * sharp);
    this.canvas.height = Math.round(this.canvas.clientHeight * sharp);
    const context = this.canvas.getContext("2d"), scale = this.canvas.width / this.size[0], colour = `rgb(${LIT})`;
    const isMask = !["fallback", "box"].includes(this.region.choice);
    const isMoved = this.box !== (this.example.box_xyxy ?? null) || this.point !== (this.example.point_xy ?? null);
    if (isMask && !isMoved) drawLit(context, this.lit(), scale);
    if (this.box) drawBox(context, this.box, scale, colour, { dimmed: !isMask || isMoved, sharp });
    if (this.point) drawPoints(context, [{ x: this.point[0], y: this.point[1], label: 1 }], scale, { colour, sharp });
  }

  lit() {
    if (this.litOf !== this.region) {
      this.litOf = this.region;
      this.mask = { box: this.region.bbox, payload: { rle: this.region.rle } };
    }
    return this.mask;
  }
}

const clamp = (at, side) => Math.min(Math.max(at, 0), side - 0.01);
const isInside = ([x0, y0, x1, y1], [x, y]) => x >= x0 && x < x1 && y >= y0 && y < y1;

/** A box moved within the image, as far as there is room. */
function moveBox([x0, y0, x1, y1], dx, dy, [width, height]) {
  const right = Math.round(Math.min(Math.max(dx, -x0), width - x1)), down = Math.round(Math.min(Math.max(dy, -y0), height - y1));
  return [x0 + right, y0 + down, x1 + right, y1 + down];
}
