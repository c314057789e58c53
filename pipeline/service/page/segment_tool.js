/* The segment tool of the viewer: clicks, boxes and texts that become a mask, and what is done with it. */

import { addObject, canAdd } from "./added_objects.js";
import { boxBetween, dragHandle, drawBox, handleAt } from "./box.js";
import { saveCoco, savePng } from "./mask_files.js";
import { findSame } from "./masks.js";
import { LIT, drawLit } from "./outlines.js";
import { addPoint, drawCross, drawPoints, isEmpty, setBox, setText } from "./prompts.js";
import { SegmentPanel } from "./segment_panel.js";
import { Segmentation, describe } from "./segmentation.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const CLICK_PX = 5, REACH_PX = 14, STEP_SHARE = 1 / 64, FINE = 8;

export class SegmentTool {
  /** `viewer` has the image and its objects; `search` is called with an example, `saved` once the index has another object. */
  constructor(viewer, { search, saved }) {
    this.viewer = viewer;
    this.search = search;
    this.saved = saved;
    this.segmentation = new Segmentation(viewer.example, (error) => this.show(error));
    this.drag = this.box = this.cross = this.corner = null;
    this.canSave = false;
    this.panel = new SegmentPanel({
      text: (words) => this.segmentation.go(setText(words)),
      choose: (number) => this.segmentation.choose(number),
      undo: () => this.segmentation.undo(),
      clear: () => this.segmentation.clear(),
      search: () => search(this.exampleOf(this.segmentation.mask)),
      png: () => savePng(this.segmentation.mask, viewer.title),
      coco: (label) => saveCoco(this.segmentation.mask, viewer.title, label || this.segmentation.mask.payload.label),
      save: (label) => this.save(label),
    });
  }

  async enter() {
    this.panel.element.hidden = false;
    this.show();
    this.canSave = Boolean(this.viewer.example.image_id) && (await canAdd());
    this.panel.show(this.segmentation, this.canSave);
  }

  leave() {
    this.segmentation.leave();
    this.panel.element.hidden = true;
    this.drag = this.box = this.cross = this.corner = null;
    this.viewer.setBusy(false);
  }

  /** Show how far it is, or what went wrong. */
  show(error) {
    const { segmentation, viewer } = this;
    if (!viewer.isOpen()) return;
    this.panel.show(segmentation, this.canSave);
    viewer.say(error?.message ?? describe(segmentation), Boolean(error));
    viewer.setBusy(Boolean(segmentation.asking));
    viewer.draw();
  }

  /** Search with the object that the mask shows if the image has it already, or else with what is in its box. */
  exampleOf(mask) {
    const same = findSame(mask, this.viewer.objects);
    return same ? this.viewer.exampleOf(same) : { ...this.viewer.example, mask: mask.payload.rle };
  }

  async save(label) {
    const { viewer } = this, mask = this.segmentation.mask;
    viewer.say("Saving…");
    try {
      const { payload } = await addObject(viewer.uri, mask, label);
      const isNew = (payload.segmenter_label ?? "") === label.replace(/\s+/g, " ");
      viewer.say(`${isNew ? "Saved to the index" : "The index has it already"}${nameWords(payload)}.`);
      await this.saved();
    } catch (error) {
      viewer.say(error.message, true);
    }
  }

  setPoint(point, isOnObject) {
    const { prompt, mask, step } = this.segmentation;
    if (!isOnObject && isEmpty(prompt)) this.viewer.say("Add a point on an object first: there is nothing yet to take away from.");
    else this.segmentation.go(addPoint(prompt, point, isOnObject, isEmpty(step.prompt) ? null : mask));
  }

  setBox(box) {
    this.segmentation.go(setBox(this.segmentation.prompt, box));
  }

  down(point) {
    const box = this.segmentation.prompt.box, size = this.viewer.size;
    const handle = box && handleAt(box, point, REACH_PX * this.viewer.pixel);
    this.cross = this.corner = null;
    this.drag = { from: point, to: (end) => (handle ? dragHandle(box, handle, end, size) : boxBetween(point, end, size)) };
  }

  move(point) {
    if (!this.drag) return;
    const [x, y] = this.drag.from;
    if (!this.box && Math.hypot(point[0] - x, point[1] - y) < CLICK_PX * this.viewer.pixel) return;
    this.box = this.drag.to(point);
    this.viewer.draw();
  }

  up(point, isOther) {
    if (!this.drag) return;
    this.move(point);
    const box = this.box;
    this.drag = this.box = null;
    if (!box) this.setPoint(point, this.panel.isAdding !== isOther);
    else if (box[2] - box[0] > 2 && box[3] - box[1] > 2) this.setBox(box);
    this.viewer.draw();
  }

  cancel() {
    this.drag = this.box = null;
    this.viewer.draw();
  }

  /** Whether a key did something. */
  key(event) {
    const [width, height] = this.viewer.size, [dx, dy] = ARROWS[event.key] ?? [0, 0];
    const isCommand = event.ctrlKey || event.metaKey;
    if (event.key === "Backspace" || (isCommand && event.key === "z")) {
      this.segmentation.undo();
    } else if (isCommand) {
      return false;
    } else if (dx || dy) {
      const step = Math.max(width, height) * STEP_SHARE / (event.shiftKey ? FINE : 1);
      const [x, y] = this.cross ?? [width / 2 - dx * step, height / 2 - dy * step];
      this.cross = [clamp(x + dx * step, width), clamp(y + dy * step, height)];
      if (this.corner) this.box = boxBetween(this.corner, this.cross, this.viewer.size);
    } else if (!this.cross) {
      return false;
    } else if (event.key.toLowerCase() === "b") {
      this.setCorner();
    } else if (event.key === "Enter" || event.key === " ") {
      this.setPoint(this.cross, this.panel.isAdding !== event.altKey);
    } else {
      return false;
    }
    this.viewer.draw();
    return true;
  }

  /** Begin a box at the cross, or end it there. */
  setCorner() {
    const box = this.box;
    this.box = null;
    this.corner = this.corner ? null : this.cross;
    if (!this.corner && box) this.setBox(box);
  }

  draw(context, scale, sharp) {
    const { prompt, mask, asking } = this.segmentation;
    const colour = `rgb(${LIT})`, box = this.box ?? prompt.box;
    context.globalAlpha = asking ? 0.6 : 1;
    const isShown = mask && !isEmpty(prompt);
    if (isShown) drawLit(context, mask, scale);
    context.globalAlpha = 1;
    if (box) drawBox(context, box, scale, colour, { dimmed: false, sharp });
    drawPoints(context, prompt.points, scale, { colour, sharp });
    if (this.cross) drawCross(context, this.cross, scale, sharp);
  }
}

const nameWords = ({ segmenter_label: label }) => (label ? ` as “${label}”` : " without a label");
const clamp = (at, side) => Math.min(Math.max(at, 0), side - 0.01);
