/* The viewer: an image with its objects, to click an object or a point in, or draw a box. */

import { get, picture } from "./api.js";
import { byId, counted, fileName, make, nameOf } from "./dom.js";
import { decode, paintMask } from "./masks.js";

const dialog = byId("viewer");
const LIT = [255, 45, 85];
let search = () => {}, current = null;

/** `searchWith` is called with an example to search with. */
export function startViewer(searchWith) {
  search = (example) => {
    dialog.close();
    searchWith(example);
  };
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  addEventListener("resize", () => current?.fit());
}

/** Show an indexed image, with the object `chosen` lit. */
export async function openImage(imageId, chosen) {
  const viewer = new Viewer({ image_id: imageId }, `/v1/images/${imageId}/preview.jpg?size=1600`);
  viewer.open("", "");
  try {
    const image = await get(`/v1/images/${imageId}`);
    if (!viewer.isOpen()) return;
    const payload = image.payload;
    const place = payload.store === "s3" ? payload.bucket : payload.uri.replace(/^file:\/\//, "");
    viewer.setTitle(fileName(payload.uri), `${payload.width} × ${payload.height} px · ${counted(image.objects.length, "object")} · ${place}`);
    await viewer.show(payload.width, payload.height, image.objects, chosen);
  } catch (error) {
    viewer.fail(error.message);
  }
}

/** Show an uploaded image, to choose a part of it to search with. */
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
    current = this;
  }

  /** Whether it is still the image on show: neither closed nor replaced. */
  isOpen() {
    return dialog.open && current === this;
  }

  setTitle(title, about) {
    this.about.replaceChildren(make("h2", {}, title || "Loading…"), make("p", {}, about));
    this.canvas.setAttribute("aria-label", title);
    this.image.alt = title;
  }

  open(title, about) {
    this.setTitle(title, about);
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
    this.objects = objects.map((object) => ({ ...object, box: object.payload.bbox }));
    this.list.replaceChildren(...this.objects.map((object) => this.item(object)));
    this.choose(tool);
    this.light(this.objects.find((object) => object.object_id === chosen) ?? null);
    await picture(this.image, this.path);
    this.fit();
  }

  /** Make it as large as there is room for. */
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

  item(object) {
    const share = `${(object.payload.area_frac * 100).toFixed(1)}%`;
    const button = make(
      "button",
      { class: "object", type: "button", title: "Search for objects like this", onclick: () => search({ object_id: object.object_id }), onfocus: () => this.light(object), onmouseenter: () => this.light(object) },
      make("span", {}, nameOf(object.payload)),
      make("span", { class: "count" }, share),
    );
    object.element = make("li", {}, button);
    return object.element;
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
      const object = this.under(x, y);
      if (object) search({ object_id: object.object_id });
    }
  }

  boxTo(x, y) {
    const xs = [this.start[0], x].sort((a, b) => a - b), ys = [this.start[1], y].sort((a, b) => a - b);
    return [Math.floor(xs[0]), Math.floor(ys[0]), Math.min(Math.ceil(xs[1]), this.width), Math.min(Math.ceil(ys[1]), this.height)];
  }

  /** The smallest object at a point. */
  under(x, y) {
    let best = null;
    for (const object of this.objects) {
      const [x0, y0, x1, y1] = object.box;
      if (x < x0 || x >= x1 || y < y0 || y >= y1) continue;
      object.inside ??= decode(object.payload.rle, object.box);
      const hit = object.inside[(Math.floor(y) - y0) * (x1 - x0) + Math.floor(x) - x0];
      if (hit && (!best || object.payload.area < best.payload.area)) best = object;
    }
    return best;
  }

  light(object) {
    if (this.lit === object && object) return;
    this.lit?.element?.classList.remove("lit");
    this.lit = object;
    object?.element?.classList.add("lit");
    object?.element?.scrollIntoView({ block: "nearest" });
    this.canvas.classList.toggle("over", Boolean(object));
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

  /** Dim everything else, and draw a line around the object. */
  drawObject(context, object, scale) {
    object.inside ??= decode(object.payload.rle, object.box);
    object.shape ??= paintMask(object.inside, object.box, LIT);
    const [x0, y0, x1, y1] = object.box.map((side) => side * scale);
    const paint = (dx, dy) => context.drawImage(object.shape, x0 + dx, y0 + dy, x1 - x0, y1 - y0);
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
