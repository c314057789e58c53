/* The viewer's button that tags the object on show. */

import { canAdd } from "./added_objects.js";
import { byId, make, nameOf } from "./dom.js";
import { tagHits } from "./tags.js";

/** Whether another dialog is open above the viewer. */
export const isCovered = () => byId("tagging").open || byId("key").open;

export class ObjectTags {
  constructor(viewer) {
    this.viewer = viewer;
    this.button = make("button", { class: "plain", type: "button", "data-act": "tag", "aria-haspopup": "dialog", "aria-keyshortcuts": "t", title: "Tag this object (t)", onclick: () => this.open() });
    this.element = make("div", { class: "object-tags", hidden: true }, this.button);
    this.isAside = this.canTag = false;
    canAdd().then((can) => {
      this.canTag = can;
      this.show();
    });
    this.show();
  }

  /** The object that is pointed at, or else that which the viewer was opened for; null: none. */
  get target() {
    return this.viewer.lit ?? this.viewer.opened;
  }

  /** Hide it while there is something else to do. */
  setAside(isAside) {
    this.isAside = isAside;
    this.show();
  }

  /** Name what it tags. Objects of an upload are not in the index, and cannot be tagged. */
  show() {
    const object = this.target;
    this.element.hidden = this.isAside || !this.canTag;
    this.button.disabled = !object?.object_id;
    this.button.textContent = object ? `Tag ${nameOf(object.payload)}` : "Tag";
  }

  open() {
    if (this.element.hidden || this.button.disabled) return;
    const { details, tree } = this.viewer;
    tagHits([this.target], () => {
      const { objects, lit } = this.viewer;
      details.begin(objects);
      details.show(lit, lit && tree.parentOf(lit));
    });
  }

  /** Whether it follows a key. */
  key(event) {
    if (event.key.toLowerCase() !== "t" || event.shiftKey) return false;
    this.open();
    return true;
  }
}
