/* Keyboard shortcuts, and the buttons that show help and filters. */

import { byId } from "./dom.js";

export function startShortcuts() {
  const text = byId("text");
  byId("help-button").addEventListener("click", () => byId("help").showModal());
  byId("filters-button").addEventListener("click", () => {
    const open = byId("filters").classList.toggle("shown");
    byId("filters-button").setAttribute("aria-expanded", String(open));
  });
  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
    const writing = event.target.matches?.("input, textarea, select");
    if (event.key === "/" && !writing) {
      event.preventDefault();
      text.focus();
      text.select();
    } else if (event.key === "Escape" && event.target === text) {
      // The browser would clear it.
      event.preventDefault();
      text.blur();
    } else if (event.key === "ArrowDown" && event.target === text) {
      event.preventDefault();
      document.querySelector(".tile .open")?.focus();
    }
  });
}
