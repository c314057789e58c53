/* What is known of an object: its labels, what its segmenter calls it, and what it is a part of. */

import { make, nameOf, segmenterWords } from "./dom.js";
import { spanWords } from "./times.js";

const MOST_LABELS = 3;

/** As many lines for every object of an image, so that nothing moves from one to the next. */
export class Details {
  constructor() {
    this.element = make("dl", { id: "details", class: "details", hidden: true });
    this.lines = [];
    this.isAside = false;
  }

  /** Begin with the objects of an image: lines are of what any of them has. */
  begin(objects) {
    const payloads = objects.map((object) => object.payload);
    this.lines = [
      ["Labels", (payload) => labelWords(payload), payloads.some((payload) => payload.labels?.length)],
      ["Segmenter", (payload) => segmenterWords(payload), payloads.some((payload) => payload.segmenter_label)],
      ["Seen", (payload) => spanWords(payload), payloads.some((payload) => payload.t_start != null)],
      ["Tags", ({ tags }) => tags?.join(", "), payloads.some((payload) => payload.tags?.length)],
      ["Level", levelWords, payloads.some((payload) => payload.level)],
    ].filter(([, , isKnown]) => isKnown);
    this.setAside(this.isAside);
    this.show(null, null);
  }

  /** Hide it while there is something else to show. */
  setAside(isAside) {
    this.isAside = isAside;
    this.element.hidden = isAside || !this.lines.length;
  }

  /** Show an object that is a part of `parent`; null: none. */
  show(object, parent) {
    this.element.classList.toggle("none", !object);
    this.element.replaceChildren(
      ...this.lines.flatMap(([title, words]) => {
        const text = (object && words(object.payload, parent)) || "–";
        return [make("dt", {}, title), make("dd", { title: text }, text)];
      }),
    );
  }
}

/** The likeliest labels with their probabilities. */
function labelWords({ labels, label_scores: scores }) {
  const words = (labels ?? []).slice(0, MOST_LABELS);
  return words.map((label, at) => (scores?.[at] == null ? label : `${label} ${Math.round(scores[at] * 100)}%`)).join(", ");
}

function levelWords({ level }, parent) {
  return parent ? `${level} of ${nameOf(parent.payload)}` : level;
}
