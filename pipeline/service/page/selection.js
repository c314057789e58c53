/* Selects hits: by their ticks, in ranges, by a rectangle, by a long press; keeps them from search to search. */

import { byId, counted, make } from "./dom.js";
import { startLasso } from "./lasso.js";
import { startLongPress } from "./long_press.js";

const MOST = 1000;
/** Hits by their ids. */
const selected = new Map();
const isTouch = matchMedia("(hover: none)");
let anchor = null, changed = () => {}, note = "";

/** `onChange` is called with the number of selected hits whenever it may be another. */
export function startSelection(onChange) {
  changed = onChange;
  const results = byId("results");
  results.addEventListener("click", onClick, true);
  results.addEventListener("keydown", onKey);
  startLasso(results, (tiles, isMore) => {
    if (!isMore) selected.clear();
    for (const tile of tiles) add(tile.hit);
    show();
  });
  startLongPress(results, (tile) => {
    toggle(tile);
    anchor = tile.hit.object_id;
  });
}

/** The selected hits, in the order in which they were. */
export const selectedHits = () => [...selected.values()];

/** What cannot be selected too, as a sentence; "" if nothing. */
export const selectionNote = () => note;

export function clearSelection() {
  selected.clear();
  anchor = null;
  show();
}

export function selectAll() {
  for (const tile of tiles()) add(tile.hit);
  show();
}

/** Give a tile what it is selected by, and say whether it is; `label` is what it is called. */
export function addTick(tile, hit, label) {
  tile.append(
    make("button", { class: "tick", type: "button", role: "checkbox", "aria-checked": "false", "aria-label": `Select ${label}`, title: "Select (x)" }, make("span", { "aria-hidden": "true" }, "✓")),
  );
  mark(tile, hit);
}

function tiles() {
  return [...document.querySelectorAll(".grid:not([hidden]) .tile")].filter((tile) => tile.hit);
}

function mark(tile, hit) {
  const isSelected = selected.has(hit.object_id);
  tile.classList.toggle("selected", isSelected);
  tile.querySelector(".tick").setAttribute("aria-checked", String(isSelected));
}

function show() {
  document.body.classList.toggle("selecting", selected.size > 0);
  for (const tile of document.querySelectorAll(".grid .tile")) if (tile.hit) mark(tile, tile.hit);
  changed(selected.size);
  note = "";
}

function add(hit) {
  if (selected.size < MOST || selected.has(hit.object_id)) selected.set(hit.object_id, hit);
  else note = `At most ${counted(MOST, "object")} can be selected.`;
}

function toggle(tile) {
  if (!selected.delete(tile.hit.object_id)) add(tile.hit);
  show();
}

/** Select all from the tile that was selected last to this one. */
function extend(tile) {
  const all = tiles(), end = all.indexOf(tile);
  const begin = all.findIndex((other) => other.hit.object_id === anchor);
  const [from, to] = begin < 0 ? [end, end] : [Math.min(begin, end), Math.max(begin, end)];
  for (const each of all.slice(from, to + 1)) add(each.hit);
  show();
}

function onClick(event) {
  const tile = event.target.closest(".tile"), tick = event.target.closest(".tick");
  if (!tile?.hit || !(tick || event.target.closest(".open"))) return;
  const isTapped = isTouch.matches && selected.size > 0;
  if (!tick && !isTapped && !event.shiftKey && !event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  event.stopPropagation();
  if (event.shiftKey) extend(tile);
  else toggle(tile);
  anchor = tile.hit.object_id;
}

function onKey(event) {
  const tile = event.target.closest(".tile");
  if (event.key === "Escape" && selected.size) {
    clearSelection();
  } else if (event.key === "a" && (event.ctrlKey || event.metaKey) && tile) {
    selectAll();
  } else if (event.key === "x" && tile?.hit && !event.ctrlKey && !event.metaKey && !event.altKey) {
    toggle(tile);
    anchor = tile.hit.object_id;
  } else if (event.key.startsWith("Arrow") && event.shiftKey && tile?.hit) {
    // The grid has moved the focus by now.
    anchor ??= tile.hit.object_id;
    const next = document.activeElement.closest(".tile");
    if (next?.hit) extend(next);
    return;
  } else {
    return;
  }
  event.preventDefault();
}
