/* The map of the objects, in a dialog: each is a point, near to what looks like it. */

import { blob, get, post } from "./api.js";
import { byId, counted, make } from "./dom.js";
import { MapCanvas } from "./map_canvas.js";
import { idOf, labelName, parseMap } from "./map_data.js";
import { followGestures } from "./map_gestures.js";
import { findObject, loadCrop, MapList } from "./map_list.js";
import { cornersOf, isRegion, numbersWithin, toFilter } from "./map_region.js";
import { openHit } from "./open_viewer.js";

const ASK_MS = 700, COLOURED = 12;
/** Apart for most eyes, the colour-blind ones too, on light and on dark paper. */
const PALETTE = ["#d6103f", "#2f7ed8", "#12a05c", "#c78a00", "#8a4fd3", "#0fa3b1", "#e0662b", "#c2479b", "#6f8f12", "#4a5bd0", "#a0522d", "#2d9d8f"];
const OTHER = "#8d8d94";
const dialog = byId("map");
let shown = null, actions = {};

/** Open the map when its button is pressed, making one first where there is none. `given`: narrow(filter) shows what meets it, filters() are those of the search. */
export function startMap(given) {
  actions = given;
  byId("map-button").addEventListener("click", openMap);
  addEventListener("resize", () => {
    if (!dialog.open || !shown) return;
    shown.resize();
    shown.draw();
  });
}

/** Close the map: what is searched for from the viewer is shown on the page below. */
export function closeMap() {
  dialog.close();
}

async function openMap() {
  const said = make("p", { class: "said", role: "status" }, "Looking for the map…");
  draw(said);
  dialog.showModal();
  try {
    const state = await get("/v1/map/state");
    if (state.state === "running") await wait(said);
    else if (state.state === "none" || state.state === "failed") return offer(said, state, "Make the map");
    await showMap(await get("/v1/map/state"));
  } catch (error) {
    said.textContent = error.message;
  }
}

function draw(...children) {
  shown = null;
  dialog.replaceChildren(make("button", { class: "close", type: "button", "aria-label": "Close the map", onclick: () => dialog.close() }, "✕"), ...children);
}

/** Offer to make a map. */
function offer(said, state, words) {
  said.textContent = state.error ?? "Of the objects of this index no map was made yet: that takes some minutes for 100,000.";
  const button = make("button", { class: "solid", type: "button", onclick: () => makeMap() }, words);
  draw(make("div", { class: "map-offer" }, make("h2", {}, "A map of all objects"), said, button));
  button.focus();
}

async function makeMap() {
  const said = make("p", { class: "said", role: "status" }, "…");
  draw(make("div", { class: "map-offer" }, make("h2", {}, "A map of all objects"), said));
  try {
    await post("/v1/map", {});
    const state = await wait(said);
    if (!dialog.open) return;
    if (state.state === "failed") offer(said, state, "Try again");
    else await showMap(state);
  } catch (error) {
    said.textContent = error.message;
  }
}

/** The state once nothing is being made any longer, or the dialog is closed. */
async function wait(said) {
  for (;;) {
    const state = await get("/v1/map/state");
    if (state.state !== "running" || !dialog.open) return state;
    said.textContent = `${state.note}…`;
    await new Promise((resolve) => setTimeout(resolve, ASK_MS));
  }
}

async function showMap(state) {
  const map = parseMap(await (await blob("/v1/map")).arrayBuffer());
  if (!dialog.open) return;
  const ranked = [...map.counts].filter(([label]) => label < map.labels.length).sort((a, b) => b[1] - a[1]).slice(0, COLOURED);
  const colourOf = new Map(ranked.map(([label], at) => [label, PALETTE[at]]));
  const canvas = make("canvas", { class: "map-canvas", tabindex: "0", role: "application", "aria-label": "Map of the objects: arrows move it, plus and minus enlarge and reduce it, 0 shows all. The list beside it has the objects." });
  const tip = make("div", { class: "map-tip", hidden: true, "aria-hidden": "true" });
  const lasso = make("button", { class: "plain", type: "button", "aria-pressed": "false", title: "Draw round the objects to list; Shift does the same", onclick: () => lasso.setAttribute("aria-pressed", String(lasso.getAttribute("aria-pressed") !== "true")) }, "Lasso");
  const all = make("button", { class: "plain", type: "button", onclick: () => clear() }, "Show all");
  const anew = state.is_current ? [] : [make("button", { class: "plain", type: "button", title: "The index has changed since this map was made", onclick: () => makeMap() }, "Make it anew")];
  const listing = make("div", { class: "map-list" });
  const legend = make("div", { class: "map-legend", role: "group", "aria-label": "Labels" });
  const of = map.count < map.objects ? ` of ${map.objects.toLocaleString("en")}` : "";
  draw(
    make("div", { class: "map-stage" }, canvas, tip),
    make("div", { class: "map-side" }, make("h2", {}, `${counted(map.count, "object")}${of}`), make("div", { class: "map-tools" }, lasso, all, ...anew), legend, listing),
  );
  shown = new MapCanvas(canvas, map, colours(map, colourOf), toRgb(getComputedStyle(canvas).backgroundColor));
  const list = new MapList(listing, map, openObject);
  const choose = (numbers, words, filter) => {
    shown.choose(numbers);
    list.show(numbers, words, () => {
      closeMap();
      actions.narrow(filter);
    });
  };
  const chooseWithin = (corners, filter = toFilter(map, corners)) => {
    press(null);
    choose(numbersWithin(map, corners), "within the lasso", filter);
  };
  const press = (pressed) => legend.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button === pressed)));
  function clear() {
    press(null);
    shown.choose(null);
    shown.fit();
    list.clear("Choose a label, or draw round objects with the lasso, to list them here.");
  }
  legend.append(...ranked.map(([label, count]) => {
    const button = make("button", { class: "facet", type: "button", "aria-pressed": "false", onclick: () => {
      press(button);
      choose(numbersOf(map, label), `called ${map.labels[label]}`, `labels=${map.labels[label]}`);
    } }, make("span", {}, swatch(colourOf.get(label)), map.labels[label]), make("span", { class: "count" }, count.toLocaleString("en")));
    return button;
  }));
  followGestures(shown, {
    isLasso: () => lasso.getAttribute("aria-pressed") === "true",
    hover: (number, at) => point(tip, map, number, at),
    click: (number) => openObject(idOf(map, number)),
    lasso: (corners) => chooseWithin(corners),
  });
  clear();
  const filter = actions.filters().find(isRegion), corners = filter && cornersOf(map, filter);
  if (corners) chooseWithin(corners, filter);
  dialog.map = shown;
}

function numbersOf(map, label) {
  const found = [];
  for (let number = 0; number < map.count; number++) if (map.labelOf[number] === label) found.push(number);
  return found;
}

/** [r, g, b] for each label, and for those that have none. */
function colours(map, colourOf) {
  return [...map.labels.map((_, label) => toRgb(colourOf.get(label) ?? OTHER)), toRgb(OTHER)];
}

function toRgb(colour) {
  const hex = /^#(..)(..)(..)$/.exec(colour);
  return hex ? hex.slice(1).map((two) => parseInt(two, 16)) : colour.match(/\d+/g).slice(0, 3).map(Number);
}

/** A square of a colour; the page's own policy may forbid styles in attributes, not in scripts. */
function swatch(colour) {
  const square = make("i", { class: "swatch", "aria-hidden": "true" });
  square.style.background = colour;
  return square;
}

/** Show what is pointed at, beside the pointer. */
function point(tip, map, number, at) {
  if (number === shown.lit) return;
  shown.lit = number;
  shown.canvas.classList.toggle("over", number >= 0);
  shown.draw();
  tip.hidden = number < 0;
  if (number < 0) return;
  const image = make("img", { alt: "" });
  tip.replaceChildren(image, make("span", {}, labelName(map, number)));
  tip.style.left = `${Math.min(at[0] + 14, shown.canvas.clientWidth - 150)}px`;
  tip.style.top = `${Math.min(at[1] + 14, shown.canvas.clientHeight - 170)}px`;
  loadCrop(image, idOf(map, number));
}

async function openObject(id) {
  try {
    openHit(await findObject(id));
  } catch (error) {
    dialog.querySelector(".map-list")?.prepend(make("p", { role: "alert" }, error.message));
  }
}
