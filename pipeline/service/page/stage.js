/* The picture of the viewer with what is drawn over it: as large as there is room for, or a part of it, sharp. */

import { picture } from "./api.js";
import { make } from "./dom.js";
import { Zoom } from "./zoom.js";

const MOST_CANVAS_PX = 4096, PREVIEW_PX = 1600, MARGIN_PX = 32, STEP = 1.5;
/** The longer side of the largest picture that is asked for. */
export const SHARP_PX = 4096;
let areOutlined = true;

/** Whoever extends it has draw(), move(), rest(), down(), up(), cancel(), key(), step(), isOpen(), and the size of the image. */
export class Stage {
  constructor(path) {
    this.path = path;
    this.image = make("img", { alt: "" });
    this.canvas = make("canvas", {
      tabindex: "0", role: "img",
      onpointermove: (event) => this.move(event), onpointerleave: (event) => event.pointerType !== "touch" && this.rest(),
      onpointerdown: (event) => this.down(event), onpointerup: (event) => this.up(event),
      onpointercancel: () => this.cancel(),
      onkeydown: (event) => this.key(event),
    });
    this.frame = make("div", { class: "frame" }, this.image, this.canvas);
    this.zoomer = make("div", { class: "zoomer", role: "group", "aria-label": "View" });
    this.moving = make("div", { class: "moving", hidden: true });
    this.room = make("div", { class: "room" }, this.frame);
    this.stage = make("div", { class: "stage" }, this.room, this.zoomer, this.moving);
    this.zoom = new Zoom(this.room, this.frame, {
      changed: () => this.redraw(), canDrag: () => this.tool === "look" || this.tool === "point",
      pinched: () => this.cancel(), wiped: (by) => this.step(by),
    });
    this.showView();
  }

  get size() {
    return [this.width, this.height];
  }

  /** How many pixels of the image one of the screen shows. */
  get pixel() {
    return this.width / this.canvas.getBoundingClientRect().width;
  }

  /** The buttons for what is shown of the picture. */
  showView() {
    const button = (words, name, onclick, more = {}) => make("button", { type: "button", "aria-label": name, title: name, onclick, ...more }, words);
    this.zoomer.replaceChildren(
      button("Outlines", "Outlines (O)", () => this.toggleOutlines(), { "aria-pressed": String(areOutlined) }),
      button("−", "Zoom out (−)", () => this.zoom.by(1 / STEP)),
      button("+", "Zoom in (+)", () => this.zoom.by(STEP)),
      button("Fit", "Fit (0)", () => this.zoom.reset()),
    );
  }

  get isOutlined() {
    return areOutlined;
  }

  toggleOutlines() {
    areOutlined = !areOutlined;
    this.zoomer.firstChild.setAttribute("aria-pressed", String(areOutlined));
    this.draw();
  }

  /** Whether an answer is awaited. */
  setBusy(isBusy) {
    this.moving.hidden = !isBusy;
    this.canvas.setAttribute("aria-busy", String(isBusy));
  }

  /** Make it as large as there is room for. */
  fit() {
    if (!this.width || !this.stage.isConnected) return;
    const room = [this.room.clientWidth - MARGIN_PX, this.room.clientHeight - MARGIN_PX];
    const scale = Math.min(room[0] / this.width, room[1] / this.height, 3);
    this.frame.style.width = `${this.width * scale}px`;
    this.frame.style.height = `${this.height * scale}px`;
    this.zoom.apply();
    this.resize();
  }

  /** Draw anew once another part is shown; of a picture that is shown larger more is loaded. */
  redraw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      if (!this.isOpen()) return;
      this.resize();
      if (this.zoom.isClose) this.sharpen();
    });
  }

  resize() {
    const shown = this.canvas.clientWidth * this.zoom.scale, longer = Math.max(shown, this.canvas.clientHeight * this.zoom.scale);
    this.sharp = Math.min(devicePixelRatio || 1, 2, MOST_CANVAS_PX / longer);
    this.canvas.width = Math.round(shown * this.sharp);
    this.canvas.height = Math.round(this.canvas.clientHeight * this.zoom.scale * this.sharp);
    this.draw();
  }

  async sharpen() {
    const path = this.path.replace(`size=${PREVIEW_PX}`, `size=${SHARP_PX}`);
    if (this.video || path === this.path || Math.max(...this.size) <= PREVIEW_PX) return;
    this.path = path;
    const sharper = make("img", { alt: this.title });
    try {
      await picture(sharper, path);
    } catch {
      return; // The other stays.
    }
    this.image.replaceWith(sharper);
    this.image = sharper;
  }

  at(event) {
    const area = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * this.width;
    const y = ((event.clientY - area.top) / area.height) * this.height;
    return [Math.min(Math.max(x, 0), this.width - 0.01), Math.min(Math.max(y, 0), this.height - 0.01)];
  }
}
