/* Shows the near-duplicates that stand behind a hit, when that is asked for. */

import { make } from "./dom.js";

/** A button on a hit's tile; `makeTiles` makes those of the hits that are alike. */
export function alikeButton(hit, tile, makeTiles) {
  let tiles = null;
  const button = make("button", { class: "alike", type: "button", "aria-expanded": "false", onclick: toggle });
  function toggle() {
    if (tiles) {
      tiles.forEach((each) => each.remove());
      tiles = null;
    } else {
      tiles = makeTiles();
      tile.after(...tiles);
    }
    button.setAttribute("aria-expanded", String(tiles !== null));
    describe();
  }
  function describe() {
    button.textContent = `${tiles ? "Hide" : "Show"} ${hit.alike.length} alike`;
  }
  describe();
  return button;
}
