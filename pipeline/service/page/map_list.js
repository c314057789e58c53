/* Lists the objects that were chosen on a map, a page at a time: also for those who use no pointer. */

import { get, picture } from "./api.js";
import { counted, make } from "./dom.js";
import { idOf, labelName } from "./map_data.js";
import { MOST_OBJECTS } from "./map_region.js";

const PAGE = 24;

export class MapList {
  /** Shows objects in `element`; `open` is called with an object's id. */
  constructor(element, map, open) {
    Object.assign(this, { element, map, open });
  }

  /** List the objects of these numbers, which `words` say what they are; `narrow` shows them alone among the results. */
  show(numbers, words, narrow) {
    this.numbers = numbers;
    this.listed = 0;
    this.tiles = make("ol", { class: "map-tiles", "aria-label": "Objects chosen on the map" });
    this.button = make("button", { class: "plain", type: "button", onclick: () => this.add() }, "Show more");
    const isTooMany = numbers.length > MOST_OBJECTS;
    const show = make("button", { class: "solid", type: "button", disabled: isTooMany, "data-act": "narrow", onclick: narrow }, "Show in the results");
    const limit = isTooMany ? [make("p", {}, `At most ${counted(MOST_OBJECTS, "object")} can be shown in the results.`)] : [];
    this.element.replaceChildren(make("p", { role: "status" }, `${counted(numbers.length, "object")} ${words}`), ...(numbers.length ? [show] : []), ...limit, this.tiles, this.button);
    this.add();
  }

  /** Say `words` in place of any objects. */
  clear(words) {
    this.element.replaceChildren(make("p", { role: "status" }, words));
  }

  add() {
    const next = this.numbers.slice(this.listed, this.listed + PAGE);
    this.listed += next.length;
    this.button.hidden = this.listed >= this.numbers.length;
    this.tiles.append(...next.map((number) => this.tile(number)));
  }

  tile(number) {
    const id = idOf(this.map, number), name = labelName(this.map, number);
    const image = make("img", { alt: "" });
    const button = make("button", { type: "button", "aria-label": `Open ${name}`, title: name, onclick: () => this.open(id) }, image);
    loadCrop(image, id);
    return make("li", {}, button);
  }
}

/** Show the picture of an object. */
export async function loadCrop(image, id) {
  try {
    await picture(image, `/v1/objects/${id}/crop.jpg?size=128`);
  } catch {
    image.alt = "no picture";
  }
}

/** Look at an object of the index by its id. */
export const findObject = (id) => get(`/v1/objects/${id}`);
