/* The viewer: an image with its objects, to click an object or a point in, or draw a box. */

import { About } from "./about.js";
import { get, picture, post } from "./api.js";
import { boxBetween, cursorOf, dragHandle, drawBox, handleAt } from "./box.js";
import { Details } from "./details.js";
import { byId, counted, fileName, make } from "./dom.js";
import { hitBeside, placeOf, scrollToHit } from "./grid.js";
import { findAt } from "./masks.js";
import { ObjectFiles } from "./object_files.js";
import { ObjectTags, isCovered } from "./object_tags.js";
import { LIT, drawLit, drawOutlines } from "./outlines.js";
import { SegmentTool } from "./segment_tool.js";
import { SHARP_PX, Stage } from "./stage.js";
import { ObjectTree } from "./tree.js";
import { enterViewer, leaveViewer } from "./visits.js";

const dialog = byId("viewer");
const REACH_PX = 14, TWICE_MS = 300;
let search = () => {}, actions = {}, current = null;

/** `given`: searchWith(example), open(hit), more() brings further hits, hasMore(). */
export function startViewer(given) {
  actions = given;
  search = (example) => {
    current.hasStepped = false;
    dialog.close();
    actions.searchWith(example);
  };
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => {
    current?.leave();
    current?.returnToHit();
    leaveViewer();
  });
  addEventListener("resize", () => current?.fit());
  addEventListener("keydown", (event) => current?.isOpen() && current.shortcut(event));
}

/** Close it, as the user has gone back. */
export function closeViewer() {
  if (dialog.open) dialog.close();
}

/** Whether it shows what an entry of the history says. */
export function isShown(visit) {
  return dialog.open && JSON.stringify(current?.visit) === JSON.stringify(visit);
}

export class Viewer extends Stage {
  /** `visit` is what the history keeps of it. */
  constructor(example, path, visit) {
    super(path);
    this.example = example;
    this.visit = visit;
    this.objects = [];
    this.lit = this.opened = this.tapped = null;
    this.tool = "look";
    this.box = this.drag = this.region = this.asking = null;
    this.files = new ObjectFiles(this);
    this.tree = new ObjectTree({ choose: (object) => search(this.exampleOf(object)), light: (object) => this.light(object), save: (object, button) => this.files.show(object, button) });
    this.details = new Details();
    this.tags = new ObjectTags(this);
    this.header = new About((by) => this.step(by));
    this.about = this.header.element;
    this.said = make("p", { class: "said", role: "status" });
    this.tools = make("div", { class: "tools", role: "group", "aria-label": "Search with a part of this image" });
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

  setTitle(title, about) {
    this.title = title;
    this.header.show(title, about);
    this.nameCanvas();
    this.image.alt = title;
  }

  /** Name an indexed image, and say what it is like. */
  nameImage({ payload, objects }) {
    this.uri = payload.uri;
    this.setTitle(fileName(payload.uri), `${payload.width ? `${payload.width} × ${payload.height} px · ` : ""}${counted(objects.length, "object")}`);
    this.header.showPlace(payload.uri, `/v1/images/${this.example.image_id}/preview.jpg?size=${SHARP_PX}`);
  }

  nameCanvas() {
    const isSegmenting = this.tool === "segment";
    this.canvas.setAttribute("role", isSegmenting ? "application" : "img");
    this.canvas.setAttribute("aria-label", isSegmenting ? `${this.title}: arrow keys move a cross, Enter sets a point, B begins and ends a box, Backspace undoes` : this.title);
  }

  open(title, about) {
    this.setTitle(title, about);
    const close = make("button", { class: "close", type: "button", "aria-label": "Close", onclick: () => dialog.close() }, "✕");
    dialog.replaceChildren(this.stage, make("div", { class: "about" }, this.about, this.tools, this.said, this.segmenting.panel.element, this.tree.element, this.details.element, this.tags.element), this.files.element, close);
    this.showStep();
    if (!dialog.open) dialog.showModal();
    enterViewer(this.visit);
  }

  /** Which of the hits it is. */
  showStep() {
    const place = this.visit.chosen ? placeOf(this.visit.chosen) : null;
    this.header.showStep(place, place && place[0] === place[1] && !actions.hasMore());
  }

  /** Go to the hit before, or to the next one. */
  async step(by) {
    const from = this.visit.chosen;
    if (!from || !placeOf(from)) return;
    if (by > 0 && !hitBeside(from, by)) await actions.more();
    const hit = hitBeside(from, by);
    if (!hit || !this.isOpen()) return;
    const isOnButton = this.about.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    actions.open(hit);
    current.hasStepped = true;
    const button = isOnButton && dialog.querySelector(`.step [data-id="${isOnButton}"]:not(:disabled)`);
    (button || current.canvas).focus();
  }

  /** Have the hit that was stepped to in sight once it is closed. */
  returnToHit() {
    if (this.hasStepped) scrollToHit(this.visit.chosen)?.focus({ preventScroll: true });
  }

  /** Keys that hold wherever the focus is, but where one writes. */
  shortcut(event) {
    if (event.defaultPrevented || isCovered() || event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, textarea, select")) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (this.zoom.key(event) || this.tags.key(event)) event.preventDefault();
    else if (event.key.toLowerCase() === "o") this.toggleOutlines();
    else if (by && this.tool !== "segment") this.step(by);
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
    this.opened = this.objects.find((object) => object.object_id === chosen) ?? null;
    this.tree.reveal(this.opened);
    this.light(this.opened);
    await picture(this.image, this.path);
    this.fit();
  }

  choose(tool) {
    if (this.tool === "segment") this.say("");
    this.tool = tool;
    this.canvas.className = tool;
    const isSegmenting = tool === "segment";
    this.nameCanvas();
    this.tree.element.hidden = isSegmenting;
    this.details.setAside(isSegmenting);
    this.tags.setAside(isSegmenting);
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

  handleUnder(point) {
    return this.box && handleAt(this.box, point, REACH_PX * this.pixel);
  }

  /** Draw nothing on: the finger does something else. */
  cancel() {
    if (this.tool === "segment") this.segmenting.cancel();
    if (!this.drag) return;
    this.dropBox();
    this.showTools();
    this.draw();
  }

  move(event) {
    const point = this.at(event);
    if (this.drag) {
      this.box = this.drag(point);
      this.draw();
    } else if (this.tool === "look") {
      const object = findAt(this.objects, point);
      if (object || this.video) this.rest(object);
      else this.light(null);
    } else if (this.tool === "segment") {
      this.segmenting.move(point);
    } else if (this.tool === "box") {
      this.canvas.style.cursor = cursorOf(this.handleUnder(point));
    }
  }

  key(event) {
    if (this.tool !== "segment") {
      if (event.key === "Enter" && this.box) this.searchBox();
      else if (event.key === "Enter" && !event.repeat && this.lit && this.tool === "look") search(this.exampleOf(this.lit));
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
    if (event.pointerType === "touch" && this.tool === "look") {
      this.tap(event, [x, y]);
      return;
    }
    if (event.button !== 0) return;
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

  /** Fingers cannot point: a tap lights an object, the next one searches with it, and two at once zoom. */
  tap(event, point) {
    const object = findAt(this.objects, point), isTwice = Boolean(this.tapped);
    clearTimeout(this.tapped);
    this.tapped = null;
    if (isTwice) {
      this.zoom.toggle(event);
      return;
    }
    const isLit = object && object === this.lit;
    if (object) this.opened = object;
    if (!isLit) this.rest(object);
    const isPoint = !object && this.example.upload_id;
    if (object && !isLit) this.say("Tap it again to search for it.");
    this.tapped = setTimeout(() => {
      this.tapped = null;
      if (isLit) search(this.exampleOf(object));
      else if (isPoint) search({ ...this.example, point_xy: point.map((side) => Math.round(side * 10) / 10) });
    }, TWICE_MS);
  }

  /** Light the object that is pointed at; without one that which it was opened for, or what a video is about. */
  rest(object = null) {
    if (this.video && !object) this.video.mark();
    else this.light(object ?? this.opened);
  }

  light(object) {
    if (this.lit === object && object) return;
    this.lit = object;
    this.details.show(object, object && this.tree.parentOf(object));
    this.tree.mark(object);
    this.tags.show();
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
    if (this.isOutlined && !this.box) {
      context.globalAlpha = shown ? 0.4 : 1;
      drawOutlines(context, this.objects, scale, this.sharp);
      context.globalAlpha = 1;
    }
    if (shown) drawLit(context, shown, scale);
    if (this.box) drawBox(context, this.box, scale, `rgb(${LIT})`, { dimmed: !shown, sharp: this.sharp });
  }
}
