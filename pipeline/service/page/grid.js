/* The grids of hits, in rows of equal height: the likely ones, and smaller those that are not. */

import { alikeButton } from "./alike.js";
import { picture } from "./api.js";
import { playWhileOver, stopOver } from "./clips.js";
import { byId, fileName, make, nameOf, segmenterWords } from "./dom.js";
import { cropBox } from "./masks.js";
import { addTick } from "./selection.js";
import { showTags } from "./tags.js";
import { spanWords } from "./times.js";

const grid = byId("grid"), unlikelyGrid = byId("unlikely-grid");
const NEAREST = 5;
const SHARPNESS = Math.min(window.devicePixelRatio || 1, 2);
// What the service draws of the thumbnails that it keeps, without reading images.
const MOST_PX = 512;
let actions = {}, hidden = [], shown = 0, focusedHit = null;

/** `given`: open(hit), more(hit), less(hit), and opened() once the unlikely hits are shown. */
export function startGrid(given) {
  actions = given;
  byId("results").addEventListener("keydown", onKey);
  byId("show-unlikely").addEventListener("click", toggleUnlikely);
}

export function clearGrid() {
  stopOver();
  grid.replaceChildren();
  grid.classList.remove("quiet");
  unlikelyGrid.replaceChildren();
  unlikelyGrid.hidden = true;
  byId("unlikely").hidden = true;
  hidden = [];
  shown = 0;
}

/** What is shown, to be put there again. */
export function takeGrid() {
  stopOver();
  const focused = document.activeElement?.closest(".tile");
  return {
    likely: [...grid.children], isQuiet: grid.classList.contains("quiet"), unlikely: [...unlikelyGrid.children],
    isOpen: !unlikelyGrid.hidden, hidden: [...hidden], shown, focused,
  };
}

/** Show what was taken. */
export function putGrid(kept) {
  clearGrid();
  grid.append(...kept.likely);
  grid.classList.toggle("quiet", kept.isQuiet);
  unlikelyGrid.append(...kept.unlikely);
  unlikelyGrid.hidden = !kept.isOpen;
  ({ hidden, shown } = { hidden: [...kept.hidden], shown: kept.shown });
  byId("unlikely").hidden = hidden.length + unlikelyGrid.children.length === 0;
  nameDivider();
  kept.focused?.querySelector(".open").focus({ preventScroll: true });
}

/** The hit that stands so many places after that of an id; null if none does. */
export function hitBeside(id, by) {
  const hits = tiles().map((tile) => tile.hit).filter(Boolean), at = hits.findIndex((hit) => hit.object_id === id);
  return (at >= 0 && hits[at + by]) || null;
}

/** All hits of the search, also those behind a divider or behind others. */
export function foundHits() {
  const shown = [...document.querySelectorAll(".grid .tile")].map((tile) => tile.hit).filter(Boolean);
  return [...shown, ...hidden].flatMap((hit) => [hit, ...(hit.alike ?? [])]);
}

/** The place of a hit among those that are shown, from 1 on, and how many these are; null if it is none of them. */
export function placeOf(id) {
  const hits = tiles().filter((tile) => tile.hit), at = hits.findIndex((tile) => tile.hit.object_id === id);
  return at < 0 ? null : [at + 1, hits.length];
}

/** Let a hit be seen. */
export function scrollToHit(id) {
  const tile = tiles().find((each) => each.hit?.object_id === id);
  tile?.scrollIntoView({ block: "nearest" });
  return tile?.querySelector(".open") ?? null;
}

/** Show further objects before all others, of which so many stay. */
export function addFirst(hits, most) {
  const fresh = hits.map((hit) => tile(hit, shown++, grid));
  for (const element of fresh) element.classList.add("new");
  grid.prepend(...fresh);
  for (const old of [...grid.children].slice(most)) old.remove();
}

/** Whether hits are shown, not placeholders. */
export function hasHits() {
  return tiles().some((tile) => tile.hit);
}

/** Whether the end of what is shown is the end of what was found. */
export function isOpen() {
  return byId("unlikely").hidden || !unlikelyGrid.hidden;
}

/** Grey tiles, while there is nothing else to show. */
export function showWaiting() {
  focusedHit = document.activeElement?.closest(".tile")?.hit ?? focusedHit;
  clearGrid();
  const ratios = [1.2, 0.8, 1.5, 1, 0.9, 1.3, 1.1, 0.7, 1.4, 1];
  grid.replaceChildren(...ratios.map((ratio) => setSize(make("li", { class: "tile waiting", "aria-hidden": "true" }), ratio, grid)));
}

/** Show other hits. A focused tile keeps the focus if its hit is still there; otherwise the first gets it. */
export function showHits(hits) {
  const lost = document.activeElement === document.body ? focusedHit : null;
  const focused = document.activeElement?.closest(".tile")?.hit ?? lost;
  focusedHit = null;
  clearGrid();
  const none = hits.length > 0 && hits.every(isUnlikely);
  grid.classList.toggle("quiet", none);
  if (none) append(grid, hits.slice(0, NEAREST));
  addHits(none ? hits.slice(NEAREST) : hits);
  if (!focused) return;
  const all = tiles();
  const same = all.find((tile) => tile.hit.object_id === focused.object_id) ?? all[0];
  same?.querySelector(".open").focus({ preventScroll: true });
}

/** Show further hits, the unlikely ones behind their divider. */
export function addHits(hits) {
  append(grid, hits.filter((hit) => !isUnlikely(hit)));
  const unlikely = hits.filter(isUnlikely);
  if (unlikelyGrid.hidden) hidden.push(...unlikely);
  else append(unlikelyGrid, unlikely);
  byId("unlikely").hidden = hidden.length + unlikelyGrid.children.length === 0;
  nameDivider();
}

export const isUnlikely = (hit) => hit.relevance === "weak";

function toggleUnlikely() {
  unlikelyGrid.hidden = !unlikelyGrid.hidden;
  append(unlikelyGrid, hidden);
  hidden = [];
  nameDivider();
  if (!unlikelyGrid.hidden) actions.opened();
}

function nameDivider() {
  const count = (hidden.length + unlikelyGrid.children.length).toLocaleString("en");
  const more = grid.classList.contains("quiet") ? " more" : "";
  byId("show-unlikely").setAttribute("aria-expanded", String(!unlikelyGrid.hidden));
  byId("show-unlikely").textContent = `${unlikelyGrid.hidden ? "Show" : "Hide"} ${count}${more} unlikely`;
}

function append(list, hits) {
  list.append(...hits.map((hit) => tile(hit, shown++, list)));
}

/** All tiles that are to be seen, in their order. */
function tiles() {
  return [...document.querySelectorAll(".grid:not([hidden]) .tile")];
}

function rowHeight(list) {
  const style = getComputedStyle(list);
  return parseFloat(style.getPropertyValue("--tile-row")) * parseFloat(style.getPropertyValue("--share"));
}

function setSize(element, ratio, list) {
  const width = ratio * rowHeight(list);
  element.style.flex = `${ratio} 1 ${width}px`;
  element.style.maxWidth = `${width * 1.6}px`;
  return element;
}

function tile(hit, number, list) {
  const payload = hit.payload;
  const [x0, y0, x1, y1] = cropBox(payload);
  const ratio = payload.width ? Math.min(Math.max((x1 - x0) / (y1 - y0), 0.62), 2.2) : 1;
  const share = hit.probability == null ? "" : ` ${Math.round(hit.probability * 100)}%`;
  // What was not searched for has no score.
  const sure = hit.relevance ? `${hit.relevance}${share}` : (hit.score?.toFixed(2) ?? "");
  const name = nameOf(payload), classed = segmenterWords(payload);
  const image = make("img", { alt: "", draggable: "false" });
  const seen = spanWords(payload);
  const label = `${number + 1}: ${name}${sure && `, ${sure}`}, in ${fileName(payload.uri)}${seen && `, ${spanWords(payload, " to ")}`}`;
  const open = make("button", { class: "open", type: "button", "aria-label": `Open ${label}`, onclick: () => openHit(hit) }, image);
  const element = setSize(
    make(
      "li",
      { class: "tile", title: `${name} · ${fileName(payload.uri)}${seen && ` · ${seen}`}${hit.score == null ? "" : `\nsimilarity ${hit.score.toFixed(3)}`}${classed && `\nsegmenter: ${classed}`}` },
      open,
      seen ? make("span", { class: "time", "aria-hidden": "true" }, seen) : null,
      make("span", { class: sure ? `sure ${hit.relevance ?? "unknown"}` : "sure name", "aria-hidden": "true" }, sure || name),
      make(
        "span",
        { class: "acts" },
        make("button", { type: "button", class: "more", title: "More like this", "aria-label": `More like ${label}`, onclick: () => actions.more(hit) }, "+"),
        make("button", { type: "button", class: "less", title: "Less like this", "aria-label": `Less like ${label}`, onclick: () => actions.less(hit) }, "−"),
      ),
    ),
    ratio,
    list,
  );
  element.hit = hit;
  addTick(element, hit, label);
  showTags(element, payload);
  if (hit.alike?.length) element.append(alikeButton(hit, element, () => hit.alike.map((other) => tile(other, shown++, list))));
  if (seen) playWhileOver(element, open, hit.object_id);
  const side = Math.ceil((rowHeight(list) * Math.max(ratio, 1) * SHARPNESS * 1.2) / 32) * 32;
  load(image, element, `/v1/objects/${hit.object_id}/crop.jpg?size=${Math.min(side, MOST_PX)}`);
  return element;
}

function openHit(hit) {
  stopOver();
  actions.open(hit);
}

async function load(image, element, path) {
  try {
    await picture(image, path);
    image.classList.add("there");
  } catch (error) {
    if (element.isConnected) element.append(make("span", { class: "why" }, error.message));
  }
}

function onKey(event) {
  const here = event.target.closest(".tile");
  if (!here || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key;
  if (key === "+" || key === "=") actions.more(here.hit);
  else if (key === "-" || key === "−") actions.less(here.hit);
  else if (key.startsWith("Arrow")) move(here, key);
  else return;
  event.preventDefault();
}

function move(here, key) {
  const all = tiles();
  let next = null;
  if (key === "ArrowLeft" || key === "ArrowRight") {
    next = all[all.indexOf(here) + (key === "ArrowRight" ? 1 : -1)];
  } else {
    const down = key === "ArrowDown";
    const middle = here.offsetLeft + here.offsetWidth / 2;
    const rows = all.filter((tile) => (down ? tile.offsetTop > here.offsetTop : tile.offsetTop < here.offsetTop));
    const top = down ? Math.min(...rows.map((tile) => tile.offsetTop)) : Math.max(...rows.map((tile) => tile.offsetTop));
    const distance = (tile) => Math.abs(tile.offsetLeft + tile.offsetWidth / 2 - middle);
    next = rows.filter((tile) => tile.offsetTop === top).sort((tile, other) => distance(tile) - distance(other))[0];
  }
  next?.querySelector(".open").focus();
}
