/* Shows that an answer is awaited: old hits are veiled at once, and soon replaced by placeholders. */

import { byId } from "./dom.js";
import { hasHits, showWaiting } from "./grid.js";

// Faster answers come without a flicker; slower ones leave no old hit unmarked.
const VEIL_MS = 100, WAITING_MS = 800;
let veiling = 0, replacing = 0;

/** Old hits no longer answer the query; the first that is called counts. */
export function beginPending() {
  byId("grid").setAttribute("aria-busy", "true");
  if (veiling) return;
  veiling = setTimeout(veil, VEIL_MS);
  replacing = setTimeout(() => {
    byId("empty").hidden = true;
    showWaiting();
    byId("results").classList.remove("stale");
  }, WAITING_MS);
}

/** What is shown answers the query. */
export function endPending() {
  clearTimeout(veiling);
  clearTimeout(replacing);
  veiling = replacing = 0;
  byId("results").classList.remove("stale");
  byId("moving").hidden = true;
  byId("grid").setAttribute("aria-busy", "false");
}

function veil() {
  byId("moving").hidden = false;
  byId("notice").hidden = true;
  byId("status").textContent = "Searching…";
  if (hasHits()) byId("results").classList.add("stale");
  else if (byId("empty").hidden) showWaiting();
}
