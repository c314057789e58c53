/* The objects of an image as a tree: wholes, their parts, and parts of these. */

import { counted, make, nameOf } from "./dom.js";

// Of more objects only the wholes are shown at first.
const LONG = 24;

/** Put each object under the one that it is a part of: nodes of an object and its children. They know it by its `id`; parents come first, as they are larger. */
export function nest(objects) {
  const nodes = new Map(), roots = [];
  for (const object of objects) {
    const node = { object, parent: nodes.get(object.payload.parent_id) ?? null, children: [] };
    (node.parent?.children ?? roots).push(node);
    if (object.id) nodes.set(object.id, node);
  }
  return roots;
}

/** A list in a list for each object with parts, which can be folded. `choose`, `light` and `save` are called with an object, `save` with a button too. */
export class ObjectTree {
  constructor({ choose, light, save }) {
    this.choose = choose;
    this.light = light;
    this.save = save;
    this.nodes = new Map();
    this.element = make("ul", { class: "list", "aria-label": "Objects of this image" });
  }

  show(objects) {
    const roots = nest(objects);
    this.nodes.clear();
    this.lit = null;
    this.isOpen = objects.length <= LONG;
    this.element.classList.toggle("nested", roots.length < objects.length);
    this.element.replaceChildren(...roots.map((node) => this.item(node)));
  }

  /** The object that an object is a part of; null for a whole. */
  parentOf(object) {
    return this.nodes.get(object)?.parent?.object ?? null;
  }

  /** Mark the row of an object, or of what it is folded into; null: none. */
  mark(object) {
    this.lit?.classList.remove("lit");
    let node = this.nodes.get(object) ?? null;
    for (let above = node?.parent; above; above = above.parent) if (above.parts.hidden) node = above;
    this.lit = node?.item ?? null;
    this.lit?.classList.add("lit");
    this.lit?.querySelector(".object").scrollIntoView({ block: "nearest" });
  }

  /** Unfold what an object is a part of. */
  reveal(object) {
    for (let above = this.nodes.get(object)?.parent; above; above = above.parent) this.fold(above, false);
  }

  fold(node, isFolded) {
    node.parts.hidden = isFolded;
    node.toggle.setAttribute("aria-expanded", String(!isFolded));
  }

  item(node) {
    const object = node.object, name = nameOf(object.payload);
    const button = make(
      "button",
      {
        class: "object", type: "button", title: "Search for objects like this", "aria-describedby": "details",
        onclick: () => this.choose(object), onfocus: () => this.light(object), onmouseenter: () => this.light(object),
      },
      make("span", {}, name),
      make("span", { class: "count" }, object.payload.area_frac == null ? "" : `${(object.payload.area_frac * 100).toFixed(1)}%`),
    );
    const save = make("button", { class: "save", type: "button", title: "Download", "aria-label": `Download ${name}`, "aria-haspopup": "true", onclick: (event) => this.save(object, event.currentTarget), onfocus: () => this.light(object) }, "↓");
    node.item = make("li", {}, button, save);
    this.nodes.set(object, node);
    if (node.children.length) this.addParts(node, name);
    return node.item;
  }

  addParts(node, name) {
    const label = `${counted(node.children.length, "part")} of ${name}`;
    node.parts = make("ul", { "aria-label": label }, ...node.children.map((child) => this.item(child)));
    node.toggle = make("button", { class: "fold", type: "button", "aria-label": label, title: label, onclick: () => this.fold(node, !node.parts.hidden) });
    this.fold(node, !this.isOpen);
    node.item.prepend(node.toggle);
    node.item.append(node.parts);
  }
}
