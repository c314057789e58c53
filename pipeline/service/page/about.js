/* What stands beside the picture of the viewer: its name, its place, and the way to the next one. */

import { blob, hasKey } from "./api.js";
import { copyButton } from "./copying.js";
import { make } from "./dom.js";

export class About {
  /** `go` is called with -1 for the hit before, with 1 for the next. */
  constructor(go) {
    this.step = make("div", { class: "step", role: "group", "aria-label": "Hits", hidden: true });
    this.go = go;
    this.title = make("h2", {});
    this.words = make("p", {});
    this.place = make("div", { class: "place", hidden: true });
    this.element = make("header", {}, this.step, this.title, this.words, this.place);
  }

  show(title, words) {
    this.title.textContent = title || "Loading…";
    this.words.textContent = words;
  }

  /** Show its whole address, and where it can be had in full size. */
  showPlace(uri, fullSize) {
    const path = readable(uri);
    const open = fullSize ? make("a", { href: fullSize, target: "_blank", rel: "noopener", onclick: (event) => openWithKey(event, fullSize) }, "Full size") : null;
    this.place.replaceChildren(make("span", { class: "path", tabindex: "0", title: path }, path), copyButton(path, "Copy the path"), ...(open ? [open] : []));
    this.place.hidden = false;
  }

  /** Show which of how many hits it is; null: none of them. `isLast`: none comes after it. */
  showStep(place, isLast) {
    this.step.hidden = !place;
    if (!place) return;
    const [at, count] = place, focused = this.step.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    const button = (id, words, name, by, isOver) => make("button", { class: "plain", type: "button", "data-id": id, "aria-label": name, title: name, disabled: isOver, onclick: () => this.go(by) }, words);
    this.step.replaceChildren(
      button("before", "‹", "Hit before (←)", -1, at === 1),
      make("span", {}, `${at} of ${count}`),
      button("next", "›", "Next hit (→)", 1, isLast),
    );
    if (focused) this.step.querySelector(`[data-id="${focused}"]`)?.focus();
  }
}

/** A path as it is typed. */
function readable(uri) {
  if (!uri.startsWith("file://")) return uri;
  try {
    return decodeURIComponent(uri.slice("file://".length));
  } catch {
    return uri;
  }
}

/** A link sends no key. */
async function openWithKey(event, path) {
  if (!hasKey()) return;
  event.preventDefault();
  const address = URL.createObjectURL(await blob(path));
  open(address, "_blank", "noopener");
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
