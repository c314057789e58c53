/* The files of an object that can be had: its crop, its mask as a picture and in COCO's JSON. */

import { blob } from "./api.js";
import { make, nameOf } from "./dom.js";
import { saveCoco, savePng, saveFile, stemOf } from "./mask_files.js";
import { cropBox } from "./masks.js";

const MOST_PX = 2048, LEAST_PX = 16;

/** A menu of the files of one object after the other, shown beside a button. */
export class ObjectFiles {
  /** `viewer` has the title of the image; what goes wrong is said there. */
  constructor(viewer) {
    this.viewer = viewer;
    this.element = make("div", { class: "files", popover: "auto", role: "group", "aria-label": "Download" });
  }

  show(object, button) {
    const entry = (words, save) => make("button", { type: "button", onclick: () => this.save(save) }, words);
    const { payload } = object, title = this.viewer.title, name = nameOf(payload);
    this.element.replaceChildren(
      ...(object.object_id ? [entry("Crop as JPEG", () => saveCrop(object, title))] : []),
      ...(payload.rle ? [entry("Mask as PNG", () => savePng(object, title)), entry("Mask as COCO JSON", () => saveCoco(object, title, name))] : []),
    );
    this.element.showPopover();
    this.place(button);
    this.element.querySelector("button")?.focus();
    this.element.ontoggle = (event) => event.newState === "closed" && this.element.contains(document.activeElement) && button.focus();
  }

  place(button) {
    const at = button.getBoundingClientRect(), own = this.element.getBoundingClientRect();
    this.element.style.left = `${Math.max(8, Math.min(at.right, innerWidth - 8) - own.width)}px`;
    this.element.style.top = `${at.bottom + own.height > innerHeight - 8 ? at.top - own.height : at.bottom}px`;
  }

  async save(save) {
    this.element.hidePopover();
    try {
      await save();
    } catch (error) {
      this.viewer.say(error.message, true);
    }
  }
}

async function saveCrop(object, title) {
  const [x0, y0, x1, y1] = object.payload.width ? cropBox(object.payload) : object.box;
  const side = Math.min(Math.max(x1 - x0, y1 - y0, LEAST_PX), MOST_PX);
  saveFile(await blob(`/v1/objects/${object.object_id}/crop.jpg?size=${side}&outline=false`), `${stemOf(title)}-${nameOf(object.payload)}.jpg`);
}
