/* The viewer: an image with its objects, to click an object or a point in, or draw a box. */

import { get, picture, post } from "./api.js";
import { boxBetween, cursorOf, dragHandle, drawBox, handleAt } from "./box.js";
import { Details } from "./details.js";
import { byId, counted, fileName, make } from "./dom.js";
import { LIT, drawLit, findAt } from "./masks.js";
import { SegmentTool } from "./segment_tool.js";
import { ObjectTree } from "./tree.js";

const dialog = byId("viewer");
const REACH_PX = 14;
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
  dialog.addEventListener("close", () => current?.leave());
  addEventListener("resize", () => current?.fit());
}

export class Viewer {
  constructor(example, path) {
    this.example = example;
    this.path = path;
    this.objects = [];
    this.lit = null;
    this.tool = "look";
    this.box = this.drag = this.region = this.asking = null;
    this.image = make("img", { alt: "" });
    this.canvas = make("canvas", {
      tabindex: "0", role: "img",
      onpointermove: (event) => this.move(event), onpointerleave: () => this.rest(),
      onpointerdown: (event) => this.down(event), onpointerup: (event) => this.up(event),
      onpointercancel: () => this.tool === "segment" && this.segmenting.cancel(),
      onkeydown: (event) => this.key(event),
    });
    this.frame = make("div", { class: "frame" }, this.image, this.canvas);
    this.tree = new ObjectTree({ choose: (object) => search(this.exampleOf(object)), light: (object) => this.light(object) });
    this.details = new Details();
    this.about = make("header");
    this.said = make("p", { class: "said", role: "status" });
    this.tools = make("div", { class: "tools", role: "group", "aria-label": "Search with a part of this image" });
    this.moving = make("div", { class: "moving", hidden: true });
    this.stage = make("div", { class: "stage" }, this.frame, this.moving);
    this.segmenting = new SegmentTool(this, { search: (found) => search(found), saved: () => this.showSaved() });
    this.video = null;
    current?.leave();
    current = this;
  }

  /** Stop what goes on in it. */
  leave() {
    this.segmenting.leave();
    this.video?.stop();
  }

  /** Whether it is still the image on show: neither closed nor replaced. */
  isOpen() {
    return dialog.open && current === this;
  }

  get size() {
    return [this.width, this.height];
  }

  /** How many pixels of the image one of the screen shows. */
  get pixel() {
    return this.width / this.canvas.clientWidth;
  }

  setTitle(title, about) {
    this.title = title;
    this.about.replaceChildren(make("h2", {}, title || "Loading…"), make("p", {}, about));
    this.nameCanvas();
    this.image.alt = title;
  }

  /** Name an indexed image, and say what it is like. */
  nameImage({ payload, objects }) {
    const place = payload.store === "s3" ? payload.bucket : payload.uri.replace(/^file:\/\//, "");
    this.uri = payload.uri;
    this.setTitle(fileName(payload.uri), `${payload.width ? `${payload.width} × ${payload.height} px · ` : ""}${counted(objects.length, "object")} · ${place}`);
  }

  nameCanvas() {
    const isSegmenting = this.tool === "segment";
    this.canvas.setAttribute("role", isSegmenting ? "application" : "img");
    this.canvas.setAttribute("aria-label", isSegmenting ? `${this.title}: arrow keys move a cross, Enter sets a point, B begins and ends a box, Backspace undoes` : this.title);
  }

  open(title, about) {
    this.setTitle(title, about);
    const close = make("button", { class: "close", type: "button", "aria-label": "Close", onclick: () => dialog.close() }, "✕");
    dialog.replaceChildren(this.stage, make("div", { class: "about" }, this.about, this.tools, this.said, this.segmenting.panel.element, this.tree.element, this.details.element), close);
    if (!dialog.open) dialog.showModal();
  }

  fail(message) {
    this.say("");
    this.about.append(make("p", { role: "alert" }, message));
  }

  /** What is going on, below the buttons. */
  say(words, isError = false) {
    this.said.textContent = words;
    this.said.classList.toggle("error", isError);
  }

  /** Whether an answer is awaited. */
  setBusy(isBusy) {
    this.moving.hidden = !isBusy;
    this.canvas.setAttribute("aria-busy", String(isBusy));
  }

  setObjects(objects) {
    this.objects = objects.map((object) => ({ id: object.object_id, ...object, box: object.payload.bbox }));
    this.tree.show(this.objects);
    this.details.begin(this.objects);
  }

  /** What to search with for an object of this image. */
  exampleOf(object) {
    return object.object_id ? { object_id: object.object_id } : { ...this.example, object_index: object.index };
  }

  /** Show a video: its timeline below the frame, and its own tools. */
  setVideo(video) {
    this.video = video;
    this.width = video.video.width;
    this.height = video.video.height;
    this.tree.element.setAttribute("aria-label", "Objects at this time");
    this.tools.setAttribute("aria-label", "Search with this frame");
    this.stage.after(video.element);
    this.choose("look");
  }

  async show(width, height, objects, chosen) {
    this.width = width;
    this.height = height;
    this.fit();
    this.setObjects(objects);
    this.choose("look");
    const shown = this.objects.find((object) => object.object_id === chosen) ?? null;
    this.tree.reveal(shown);
    this.light(shown);
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
    this.sharp = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(this.width * scale * this.sharp);
    this.canvas.height = Math.round(this.height * scale * this.sharp);
    this.draw();
  }

  choose(tool) {
    if (this.tool === "segment") this.say("");
    this.tool = tool;
    this.canvas.className = tool;
    const isSegmenting = tool === "segment";
    this.nameCanvas();
    this.tree.element.hidden = isSegmenting;
    this.details.setAside(isSegmenting);
    this.dropBox();
    if (isSegmenting) this.segmenting.enter();
    else this.segmenting.leave();
    this.showTools();
    this.light(null);
  }

  showTools() {
    const button = (name, words, pressed, onclick) => make("button", { class: "plain", type: "button", "data-tool": name, "aria-pressed": pressed, onclick }, words);
    const choice = (tool, words) => button(tool, words, String(this.tool === tool), () => this.choose(this.tool === tool ? "look" : tool));
    if (this.video) {
      this.tools.replaceChildren(...this.video.tools());
      return;
    }
    const ofBox = [button("search", "Search for this", null, () => this.searchBox()), button("exact", "The box as it is", null, () => this.searchBox({ exact_box: true }))];
    this.tools.replaceChildren(
      button("all", "Whole image", null, () => search(this.example)),
      choice("box", "Draw a box"),
      choice("point", "Click a point"),
      choice("segment", "Segment"),
      ...(this.box && !this.drag ? ofBox : []),
    );
  }

  /** Show the objects of the image once one more was saved. */
  async showSaved() {
    const image = await get(`/v1/images/${this.example.image_id}`);
    if (!this.isOpen()) return;
    this.nameImage(image);
    this.setObjects(image.objects);
  }

  dropBox() {
    this.asking?.abort();
    if (this.box) this.say("");
    this.box = this.drag = this.region = this.asking = null;
  }

  searchBox(how = {}) {
    search({ ...this.example, box_xyxy: this.box, ...how });
  }

  /** Ask which object the box is drawn round, and show its mask. */
  async showRegion() {
    this.asking?.abort();
    const mine = (this.asking = new AbortController());
    this.say("Looking for the object in the box…");
    try {
      const query = { positive: [{ ...this.example, box_xyxy: this.box }], limit: 1 };
      const answer = await post("/v1/search", query, mine.signal);
      if (mine !== this.asking || !this.isOpen()) return;
      const region = answer.regions[0];
      const fits = region && region.choice !== "fallback";
      this.region = fits ? { box: region.bbox, payload: { rle: region.rle } } : null;
      this.say(fits ? "This is what is searched for. Drag the handles if it is another." : "No object fits the box: it is searched with as it is.");
      this.draw();
    } catch (error) {
      if (error.name !== "AbortError" && mine === this.asking) this.say(error.message);
    }
  }

  at(event) {
    const area = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * this.width;
    const y = ((event.clientY - area.top) / area.height) * this.height;
    return [Math.min(Math.max(x, 0), this.width - 0.01), Math.min(Math.max(y, 0), this.height - 0.01)];
  }

  handleUnder(point) {
    return this.box && handleAt(this.box, point, REACH_PX * this.pixel);
  }

  move(event) {
    const point = this.at(event);
    if (this.drag) {
      this.box = this.drag(point);
      this.draw();
    } else if (this.tool === "look") {
      this.rest(findAt(this.objects, point));
    } else if (this.tool === "segment") {
      this.segmenting.move(point);
    } else if (this.tool === "box") {
      this.canvas.style.cursor = cursorOf(this.handleUnder(point));
    }
  }

  key(event) {
    if (this.tool !== "segment") {
      if (event.key === "Enter" && this.box) this.searchBox();
    } else if (this.segmenting.key(event)) {
      event.preventDefault();
    }
  }

  down(event) {
    if (this.tool !== "box" && this.tool !== "segment") return;
    this.canvas.setPointerCapture(event.pointerId);
    const start = this.at(event), size = this.size;
    if (this.tool === "segment") {
      this.segmenting.down(start);
      return;
    }
    const handle = this.handleUnder(start), box = this.box;
    this.dropBox();
    this.box = handle ? box : null;
    this.drag = (to) => (handle ? dragHandle(box, handle, to, size) : boxBetween(start, to, size));
    this.draw();
  }

  up(event) {
    const [x, y] = this.at(event);
    const object = this.tool === "look" ? findAt(this.objects, [x, y]) : null;
    if (this.tool === "segment") {
      this.segmenting.up([x, y], event.altKey);
    } else if (this.drag) {
      this.box = this.drag([x, y]);
      this.drag = null;
      const isDrawn = this.box[2] - this.box[0] > 2 && this.box[3] - this.box[1] > 2;
      if (isDrawn) this.showRegion();
      else this.dropBox();
      this.showTools();
      this.draw();
    } else if (object) {
      search(this.exampleOf(object));
    } else if (this.tool === "point" || (this.tool === "look" && this.example.upload_id)) {
      // What the segmenter has not found, or not yet, it may find at a point.
      search({ ...this.example, point_xy: [Math.round(x * 10) / 10, Math.round(y * 10) / 10] });
    }
  }

  /** Light the object that is pointed at; without one what a video is about. */
  rest(object = null) {
    if (this.video && !object) this.video.mark();
    else this.light(object);
  }

  light(object) {
    if (this.lit === object && object) return;
    this.lit = object;
    this.details.show(object, object && this.tree.parentOf(object));
    this.tree.mark(object);
    this.canvas.classList.toggle("over", Boolean(object));
    this.draw();
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const { width, height } = this.canvas;
    context.clearRect(0, 0, width, height);
    const scale = width / this.width;
    if (this.tool === "segment") {
      this.segmenting.draw(context, scale, this.sharp);
      return;
    }
    const shown = this.region ?? this.lit;
    if (shown) drawLit(context, shown, scale);
    if (this.box) drawBox(context, this.box, scale, `rgb(${LIT})`, { dimmed: !shown, sharp: this.sharp });
  }
}
