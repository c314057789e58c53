/* The buttons and fields of the segment tool. */

import { make } from "./dom.js";
import { isEmpty } from "./prompts.js";

const button = (words, onclick, attributes = {}) => make("button", { class: "plain", type: "button", onclick, ...attributes }, words);

export class SegmentPanel {
  /** `actions`: text(words), choose(number), undo(), clear(), search(), png(), coco(label), save(label), mode(). */
  constructor(actions) {
    this.actions = actions;
    this.add = button("+ Add", () => this.setMode(true));
    this.takeAway = button("− Take away", () => this.setMode(false));
    this.undo = button("Undo", actions.undo);
    this.clear = button("Clear", actions.clear);
    this.words = make("input", { class: "find", type: "search", "aria-label": "Segment what a text names", placeholder: "a red apple", maxlength: "1000", autocomplete: "off" });
    this.found = make("ol", { class: "found", "aria-label": "Masks that were found" });
    this.label = make("input", { class: "find", type: "text", "aria-label": "Label of the object, if you want one", placeholder: "its label", maxlength: "120", autocomplete: "off" });
    this.saving = make("form", { hidden: true, onsubmit: (event) => this.submit(event, () => actions.save(this.label.value.trim())) }, this.label, make("button", { class: "plain" }, "Save to the index"));
    this.search = button("Search with this", actions.search, { class: "plain lead" });
    const link = (words, name, onclick) => button(words, onclick, { class: "link", "aria-label": `Download the mask as ${name}` });
    this.downloads = make("p", { class: "downloads" }, "Download", link("PNG", "a PNG", actions.png), link("COCO", "COCO’s JSON", () => actions.coco(this.label.value.trim())));
    this.element = make("section", { class: "prompts", "aria-label": "Segment", hidden: true }, ...this.rows());
    this.setMode(true);
  }

  rows() {
    const seek = (event) => this.submit(event, () => this.words.value.trim() && this.actions.text(this.words.value.trim()));
    return [
      make("div", { class: "buttons", role: "group", "aria-label": "What a click does" }, this.add, this.takeAway, this.undo, this.clear),
      make("form", { onsubmit: seek }, this.words, make("button", { class: "plain" }, "Find")),
      make("div", { class: "buttons" }, this.search),
      this.saving,
      this.downloads,
      this.found,
    ];
  }

  submit(event, act) {
    event.preventDefault();
    act();
  }

  /** What a click does: whether it adds. */
  setMode(isAdding) {
    this.isAdding = isAdding;
    this.add.setAttribute("aria-pressed", String(isAdding));
    this.takeAway.setAttribute("aria-pressed", String(!isAdding));
  }

  /** Show what can be done with a segmentation now; `canSave`: whether the index takes its masks. */
  show({ step, mask, asking, canUndo }, canSave) {
    this.undo.disabled = !canUndo;
    this.clear.disabled = isEmpty(step.prompt);
    this.search.hidden = this.downloads.hidden = !mask;
    this.saving.hidden = !mask || !canSave;
    for (const control of [this.search, ...this.downloads.children, ...this.saving.children]) control.disabled = Boolean(asking);
    const several = step.masks?.length > 1 ? step.masks : [], isFocused = this.found.contains(document.activeElement);
    this.found.replaceChildren(...several.map((each, number) => this.row(each, number, number === step.chosen)));
    if (isFocused) this.found.querySelector("[aria-pressed=true]")?.focus();
  }

  row({ payload: { label, score, area_frac: share } }, number, isChosen) {
    const words = `${number + 1}: ${label ?? "object"}${score == null ? "" : ` ${Math.round(score * 100)}%`}`;
    return make("li", {}, make(
      "button",
      { class: "facet", type: "button", "aria-pressed": String(isChosen), onclick: () => this.actions.choose(number) },
      make("span", {}, words),
      make("span", { class: "count" }, `${(share * 100).toFixed(1)}%`),
    ));
  }
}
