/* One image with its objects: look, click an object, click a point, draw a box. */

import { get, picture } from "./api.js";
import { byId, counted, fileName, make, nameOf } from "./dom.js";
import { decode, painted } from "./masks.js";

const dialog = byId("viewer");
const LIT = [255, 45, 85];
let search = () => {}, shown = null;

/** `act` is called with an example to search with. */
export function startViewer(act) {
  search = (example) => {
    dialog.close();
    act(example);
  };
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  addEventListener("resize", () => shown?.fit());
}

/** Show an indexed image; the object `chosen` is lit. */
export async function openImage(imageId, chosen) {
  const viewer = new Viewer({ image_id: imageId }, `/v1/images/${imageId}/preview.jpg?size=1600`);
  viewer.open("", "");
  try {
    const image = await get(`/v1/images/${imageId}`);
    if (!viewer.isOpen()) return;
    const payload = image.payload;
    const place = payload.store === "s3" ? payload.bucket : payload.uri.replace(/^file:\/\//, "");
    viewer.entitle(fileName(payload.uri), `${payload.width} × ${payload.height} px · ${counted(image.objects.length, "object")} · ${place}`);
    await viewer.show(payload.width, payload.height, image.objects, chosen);
  } catch (error) {
    viewer.fail(error.message);
  }
}

/** Show an image that was given, to choose what of it to search with. */
export async function openUpload(upload, name) {
  const viewer = new Viewer({ upload_id: upload.upload_id }, `/v1/uploads/${upload.upload_id}/preview.jpg?size=1600`);
  viewer.open(name, "Search with all of it, draw a box, or click on an object.");
  try {
    await viewer.show(upload.width, upload.height, [], null, "point");
  } catch (error) {
    viewer.fail(error.message);
  }
}

class Viewer {
  constructor(example, path) {
    this.example = example;
    this.path = path;
    this.objects = [];
    this.lit = null;
    this.tool = "look";
    this.image = make("img", { alt: "" });
    this.canvas = make("canvas", {
      tabindex: "0", role: "img",
      onpointermove: (event) => this.move(event), onpointerleave: () => this.light(null),
      onpointerdown: (event) => this.down(event), onpointerup: (event) => this.up(event),
    });
    this.frame = make("div", { class: "frame" }, this.image, this.canvas);
    this.stage = make("div", { class: "stage" }, this.frame);
    this.list = make("ul", { class: "list", "aria-label": "Objects of this image" });
    this.about = make("header");
    this.tools = make("div", { class: "tools", role: "group", "aria-label": "Search with a part of this image" });
    shown = this;
  }

  /** Whether it has not been closed, or replaced, meanwhile. */
  isOpen() {
    return dialog.open && shown === this;
  }

  entitle(title, about) {
    this.about.replaceChildren(make("h2", {}, title || "Loading…"), make("p", {}, about));
    this.canvas.setAttribute("aria-label", title);
    this.image.alt = title;
  }

  open(title, about) {
    this.entitle(title, about);
    const close = make("button", { class: "close", type: "button", "aria-label": "Close", onclick: () => dialog.close() }, "✕");
    dialog.replaceChildren(this.stage, make("div", { class: "about" }, this.about, this.tools, this.list), close);
    if (!dialog.open) dialog.showModal();
  }

  fail(message) {
    this.about.append(make("p", { role: "alert" }, message));
  }

  async show(width, height, objects, chosen, tool = "look") {
    this.width = width;
    this.height = height;
    this.fit();
    this.objects = objects.map((one) => ({ ...one, box: one.payload.bbox }));
    this.list.replaceChildren(...this.objects.map((one) => this.item(one)));
    this.choose(tool);
    this.light(this.objects.find((one) => one.object_id === chosen) ?? null);
    await picture(this.image, this.path);
    this.fit();
  }

  /** As large as there is room for. */
  fit() {
    if (!this.width || !this.stage.isConnected) return;
    const room = [this.stage.clientWidth - 32, this.stage.clientHeight - 32];
    const scale = Math.min(room[0] / this.width, room[1] / this.height, 3);
    this.frame.style.width = `${this.width * scale}px`;
    this.frame.style.height = `${this.height * scale}px`;
    this.image.style.width = this.image.style.height = "100%";
    const sharp = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(this.width * scale * sharp);
    this.canvas.height = Math.round(this.height * scale * sharp);
    this.draw();
  }

  item(one) {
    const share = `${(one.payload.area_frac * 100).toFixed(1)}%`;
    const button = make(
      "button",
      { class: "object", type: "button", title: "Search for objects like this", onclick: () => search({ object_id: one.object_id }), onfocus: () => this.light(one), onmouseenter: () => this.light(one) },
      make("span", {}, nameOf(one.payload)),
      make("span", { class: "count" }, share),
    );
    one.element = make("li", {}, button);
    return one.element;
  }

  choose(tool) {
    this.tool = tool;
    this.canvas.className = tool;
    const button = (name, words, pressed, onclick) => make("button", { class: "plain", type: "button", "data-tool": name, "aria-pressed": pressed, onclick }, words);
    this.tools.replaceChildren(
      button("all", "Whole image", null, () => search(this.example)),
      button("box", "Draw a box", String(tool === "box"), () => this.choose(tool === "box" ? "look" : "box")),
      button("point", "Click a point", String(tool === "point"), () => this.choose(tool === "point" ? "look" : "point")),
    );
    this.light(null);
  }

  at(event) {
    const area = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * this.width;
    const y = ((event.clientY - area.top) / area.height) * this.height;
    return [Math.min(Math.max(x, 0), this.width - 0.01), Math.min(Math.max(y, 0), this.height - 0.01)];
  }

  move(event) {
    const [x, y] = this.at(event);
    if (this.start) {
      this.box = this.boxTo(x, y);
      this.draw();
    } else if (this.tool === "look") {
      this.light(this.under(x, y));
    }
  }

  down(event) {
    if (this.tool !== "box") return;
    this.canvas.setPointerCapture(event.pointerId);
    this.start = this.at(event);
  }

  up(event) {
    const [x, y] = this.at(event);
    if (this.tool === "point") {
      search({ ...this.example, point_xy: [Math.round(x * 10) / 10, Math.round(y * 10) / 10] });
    } else if (this.start) {
      const box = this.boxTo(x, y);
      this.start = this.box = null;
      if (box[2] - box[0] > 2 && box[3] - box[1] > 2) search({ ...this.example, box_xyxy: box });
      else this.draw();
    } else if (this.tool === "look") {
      const one = this.under(x, y);
      if (one) search({ object_id: one.object_id });
    }
  }

  boxTo(x, y) {
    const xs = [this.start[0], x].sort((a, b) => a - b), ys = [this.start[1], y].sort((a, b) => a - b);
    return [Math.floor(xs[0]), Math.floor(ys[0]), Math.min(Math.ceil(xs[1]), this.width), Math.min(Math.ceil(ys[1]), this.height)];
  }

  /** The smallest object at a point. */
  under(x, y) {
    let best = null;
    for (const one of this.objects) {
      const [x0, y0, x1, y1] = one.box;
      if (x < x0 || x >= x1 || y < y0 || y >= y1) continue;
      one.inside ??= decode(one.payload.rle, one.box);
      const hit = one.inside[(Math.floor(y) - y0) * (x1 - x0) + Math.floor(x) - x0];
      if (hit && (!best || one.payload.area < best.payload.area)) best = one;
    }
    return best;
  }

  light(one) {
    if (this.lit === one && one) return;
    this.lit?.element?.classList.remove("lit");
    this.lit = one;
    one?.element?.classList.add("lit");
    one?.element?.scrollIntoView({ block: "nearest" });
    this.canvas.classList.toggle("over", Boolean(one));
    this.draw();
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const { width, height } = this.canvas;
    context.clearRect(0, 0, width, height);
    const scale = width / this.width;
    if (this.lit) this.drawObject(context, this.lit, scale);
    if (this.box) {
      const [x0, y0, x1, y1] = this.box.map((side) => side * scale);
      context.fillStyle = "rgb(0 0 0 / .45)";
      context.fillRect(0, 0, width, height);
      context.clearRect(x0, y0, x1 - x0, y1 - y0);
      context.strokeStyle = `rgb(${LIT})`;
      context.lineWidth = 3;
      context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
  }

  /** Everything else dimmed, and a line around the object. */
  drawObject(context, one, scale) {
    one.inside ??= decode(one.payload.rle, one.box);
    one.shape ??= painted(one.inside, one.box, LIT);
    const [x0, y0, x1, y1] = one.box.map((side) => side * scale);
    const paint = (dx, dy) => context.drawImage(one.shape, x0 + dx, y0 + dy, x1 - x0, y1 - y0);
    context.save();
    context.imageSmoothingQuality = "high";
    for (let angle = 0; angle < 16; angle++) {
      paint(Math.cos((angle * Math.PI) / 8) * 4, Math.sin((angle * Math.PI) / 8) * 4);
    }
    context.globalCompositeOperation = "destination-over";
    context.fillStyle = "rgb(0 0 0 / .5)";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.globalCompositeOperation = "destination-out";
    paint(0, 0);
    context.restore();
  }
}
