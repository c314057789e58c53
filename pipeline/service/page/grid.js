/* The grid of hits, in rows of equal height. */

import { picture } from "./api.js";
import { byId, fileName, make, nameOf } from "./dom.js";
import { cropBox } from "./masks.js";

const grid = byId("grid");
const SHARPNESS = Math.min(window.devicePixelRatio || 1, 2);
// What the service draws of the thumbnails that it keeps, without reading images.
const MOST_PX = 512;
let actions = {};

/** `given`: open(hit), more(hit), less(hit). */
export function startGrid(given) {
  actions = given;
  grid.addEventListener("keydown", onKey);
}

export function clearGrid() {
  grid.replaceChildren();
}

/** Grey tiles, while there is nothing else to show. */
export function showWaiting() {
  const ratios = [1.2, 0.8, 1.5, 1, 0.9, 1.3, 1.1, 0.7, 1.4, 1];
  grid.replaceChildren(...ratios.map((ratio) => setSize(make("li", { class: "tile waiting", "aria-hidden": "true" }), ratio)));
}

/** Show other hits. A focused tile keeps the focus if its hit is still there; otherwise the first gets it. */
export function showHits(hits) {
  const focused = document.activeElement?.closest(".tile")?.hit;
  clearGrid();
  addHits(hits, 0);
  if (!focused) return;
  const tiles = [...grid.children];
  const same = tiles.find((tile) => tile.hit.object_id === focused.object_id) ?? tiles[0];
  same?.querySelector(".open").focus({ preventScroll: true });
}

export function addHits(hits, first) {
  grid.append(...hits.map((hit, number) => tile(hit, first + number)));
}

function rowHeight() {
  return parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
}

function setSize(element, ratio) {
  const width = ratio * rowHeight();
  element.style.flex = `${ratio} 1 ${width}px`;
  element.style.maxWidth = `${width * 1.6}px`;
  return element;
}

function tile(hit, number) {
  const payload = hit.payload;
  const [x0, y0, x1, y1] = cropBox(payload);
  const ratio = Math.min(Math.max((x1 - x0) / (y1 - y0), 0.62), 2.2);
  const share = hit.probability == null ? "" : ` ${Math.round(hit.probability * 100)}%`;
  const sure = hit.relevance ? `${hit.relevance}${share}` : hit.score.toFixed(2);
  const name = nameOf(payload);
  const image = make("img", { alt: "", draggable: "false" });
  const label = `${number + 1}: ${name}, ${sure}, in ${fileName(payload.uri)}`;
  const element = setSize(
    make(
      "li",
      { class: "tile", title: `${name} · ${fileName(payload.uri)}\nsimilarity ${hit.score.toFixed(3)}` },
      make("button", { class: "open", type: "button", "aria-label": `Open ${label}`, onclick: () => actions.open(hit) }, image),
      make("span", { class: `sure ${hit.relevance ?? "unknown"}`, "aria-hidden": "true" }, sure),
      make(
        "span",
        { class: "acts" },
        make("button", { type: "button", class: "more", title: "More like this", "aria-label": `More like ${label}`, onclick: () => actions.more(hit) }, "+"),
        make("button", { type: "button", class: "less", title: "Less like this", "aria-label": `Less like ${label}`, onclick: () => actions.less(hit) }, "−"),
      ),
    ),
    ratio,
  );
  element.hit = hit;
  const side = Math.ceil((rowHeight() * Math.max(ratio, 1) * SHARPNESS * 1.2) / 32) * 32;
  load(image, element, `/v1/objects/${hit.object_id}/crop.jpg?size=${Math.min(side, MOST_PX)}`);
  return element;
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
  const tiles = [...grid.children];
  let next = null;
  if (key === "ArrowLeft" || key === "ArrowRight") {
    next = tiles[tiles.indexOf(here) + (key === "ArrowRight" ? 1 : -1)];
  } else {
    const down = key === "ArrowDown";
    const middle = here.offsetLeft + here.offsetWidth / 2;
    const rows = tiles.filter((tile) => (down ? tile.offsetTop > here.offsetTop : tile.offsetTop < here.offsetTop));
    const top = down ? Math.min(...rows.map((tile) => tile.offsetTop)) : Math.max(...rows.map((tile) => tile.offsetTop));
    const distance = (tile) => Math.abs(tile.offsetLeft + tile.offsetWidth / 2 - middle);
    next = rows.filter((tile) => tile.offsetTop === top).sort((tile, other) => distance(tile) - distance(other))[0];
  }
  next?.querySelector(".open").focus();
}
