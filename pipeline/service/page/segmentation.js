/* Segments an image step by step; what is answered too late is dropped. */

import { post } from "./api.js";
import { NOTHING, isEmpty, toSegmentRequest } from "./prompts.js";

/** The steps to the masks that are shown, each with its prompt; masks are null until they are answered. */
export class Segmentation {
  /** `changed` is called with an error, if there is one, whenever something else is to be shown. */
  constructor(example, changed) {
    this.example = example;
    this.changed = changed;
    this.steps = [{ prompt: NOTHING, masks: [], chosen: 0 }];
    this.asking = null;
  }

  get step() {
    return this.steps.at(-1);
  }

  get prompt() {
    return this.step.prompt;
  }

  /** The mask that is chosen; while another is awaited, the last one. */
  get mask() {
    const answered = this.steps.findLast((step) => step.masks) ?? this.step;
    return answered.masks[answered.chosen] ?? null;
  }

  get canUndo() {
    return this.steps.length > 1;
  }

  choose(number) {
    this.step.chosen = number;
    this.changed();
  }

  undo() {
    if (!this.canUndo) return;
    this.drop();
    this.steps.pop();
    if (this.step.masks) this.changed();
    else this.ask();
  }

  clear() {
    this.drop();
    this.steps.push({ prompt: NOTHING, masks: [], chosen: 0 });
    this.changed();
  }

  /** Go on with another prompt. */
  go(prompt) {
    this.steps.push({ prompt, masks: null, chosen: 0 });
    return this.ask();
  }

  /** Await nothing any more: what is not answered yet has never been asked. */
  leave() {
    this.drop();
    while (!this.step.masks) this.steps.pop();
  }

  drop() {
    this.asking?.abort();
    this.asking = null;
  }

  async ask() {
    this.drop();
    const mine = (this.asking = new AbortController()), step = this.step;
    this.changed();
    try {
      const answer = await post("/v1/segment", toSegmentRequest(this.example, step.prompt), mine.signal);
      if (mine !== this.asking) return;
      step.masks = answer.masks.map(toObject);
      this.asking = null;
      this.changed();
    } catch (error) {
      if (error.name === "AbortError" || mine !== this.asking) return;
      this.leave();
      this.changed(error);
    }
  }
}

/** A mask of the API as the viewer has objects. */
function toObject({ bbox, ...payload }) {
  return { box: bbox, payload };
}

/** What is to be said of a segmentation. */
export function describe({ asking, prompt, mask }) {
  if (asking) return prompt.text ? `Looking for “${prompt.text}” in all that the image shows…` : "Segmenting…";
  if (isEmpty(prompt)) return "Click on an object, or draw a box round it.";
  if (!mask) return prompt.text ? `Nothing here shows “${prompt.text}”.` : "Nothing was found there.";
  const { area_frac: share, label, score, predicted_iou: iou } = mask.payload;
  return [
    ...(label ? [score == null ? label : `${label} ${Math.round(score * 100)}%`] : []),
    `${(share * 100).toFixed(1)}% of the image`,
    ...(iou == null ? [] : [`predicted IoU ${iou.toFixed(2)}`]),
  ].join(" · ");
}
