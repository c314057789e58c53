/* The panel of filters: labels, sizes, places and buckets with their counts, and the order of hits. */

import { get } from "./api.js";
import { byId, make } from "./dom.js";

const panel = byId("filters");
const PLACES = [0, 1 / 3, 2 / 3, 1];
const ROWS = ["top", "middle", "bottom"], COLUMNS = ["left", "centre", "right"];
const LABELS = 12, ALL_LABELS = 1000;
let counts = null, requests = 0, sought = "", everyLabel = null;

/** Draw the panel for a query, and count anew; `change` is called with parts of a query. */
export async function showFilters(query, change) {
  draw(query, change);
  const mine = ++requests;
  try {
    const fresh = await getFacets(query, LABELS);
    if (mine !== requests) return;
    counts = fresh;
    everyLabel = null;
    draw(query, change);
    if (sought) seek(query, change, sought);
  } catch {
    // The search itself shows what is wrong.
  }
}

function getFacets(query, limit) {
  const params = new URLSearchParams({ limit: String(limit), kind: query.kind === "image" ? "image" : "object" });
  for (const filter of query.filters) params.append("filter", filter);
  return get(`/v1/facets?${params}`);
}

/** List the labels with these letters in them, of all that are sure of any object. */
async function seek(query, change, letters) {
  sought = letters;
  const mine = requests;
  everyLabel ??= sought ? (await getFacets(query, ALL_LABELS)).labels : null;
  if (mine === requests) draw(query, change);
}

function listedLabels() {
  if (!sought || !everyLabel) return counts?.labels ?? [];
  const wanted = sought.toLowerCase();
  return everyLabel.filter((facet) => facet.value.toLowerCase().includes(wanted)).slice(0, LABELS);
}

function labelSearch(query, change, written) {
  const all = counts?.labels ?? [];
  if (all.length < LABELS && !sought) return [];
  const oninput = (event) => seek(query, change, event.target.value.trim());
  return [make("input", { id: "labels", class: "find", type: "search", "aria-label": "Find a label", placeholder: "Find a label", autocomplete: "off", "data-id": "labels", value: written, oninput })];
}

/** The most frequent labels, to begin with. */
export function suggestions() {
  return (counts?.labels ?? []).map((facet) => facet.value);
}

function draw(query, change) {
  const focused = document.activeElement?.closest("#filters") ? document.activeElement.dataset.id : null;
  const written = focused === "labels" ? document.activeElement.value : sought;
  const toggle = (filter) => {
    const filters = query.filters.includes(filter) ? query.filters.filter((kept) => kept !== filter) : [...query.filters, filter];
    change({ filters });
  };
  panel.replaceChildren(
    section("Labels", [...labelSearch(query, change, written), ...[values("labels", listedLabels(), query, toggle)].flat()]),
    section("Size in the image", sizes(query, change)),
    section("Place in the image", places(query, change)),
    ...(buckets().length > 1 ? [section("Bucket", values("bucket", buckets(), query, toggle))] : []),
    section("Where and when", fields(query, change)),
    section("Order", order(query, change)),
    ...(query.filters.length ? [make("button", { class: "link", type: "button", onclick: () => change({ filters: [] }) }, "Clear all filters")] : []),
  );
  const again = focused && panel.querySelector(`[data-id="${CSS.escape(focused)}"]`);
  again?.focus();
  if (focused === "labels") again?.setSelectionRange(written.length, written.length);
}

function buckets() {
  return (counts?.buckets ?? []).filter((bucket) => bucket.value !== "");
}

function section(title, content) {
  return make("section", {}, make("h2", {}, title), ...(Array.isArray(content) ? content : [content]));
}

function facetButton(id, words, count, pressed, onclick) {
  return make(
    "button",
    { class: "facet", type: "button", "aria-pressed": String(pressed), "data-id": id, onclick },
    make("span", {}, words),
    make("span", { class: "count" }, count == null ? "" : count.toLocaleString("en")),
  );
}

function values(field, found, query, toggle) {
  const chosen = query.filters.filter((filter) => filter.startsWith(`${field}=`)).map((filter) => filter.slice(field.length + 1));
  const missing = chosen.filter((value) => !found.some((facet) => facet.value === value));
  const listed = [...missing.map((value) => ({ value, count: null })), ...found];
  if (listed.length === 0) return make("p", { class: "count" }, "none yet");
  return listed.map(({ value, count }) => facetButton(`${field}=${value}`, value, count, chosen.includes(value), () => toggle(`${field}=${value}`)));
}

function sizes(query, change) {
  return (counts?.sizes ?? []).map((size) => {
    const own = [`area_frac>=${size.least}`, ...(size.below == null ? [] : [`area_frac<${size.below}`])];
    const others = query.filters.filter((filter) => !filter.startsWith("area_frac"));
    const pressed = own.every((filter) => query.filters.includes(filter)) && query.filters.length === others.length + own.length;
    const bounds = size.below == null ? `over ${size.least * 100}%` : `${size.least * 100} to ${size.below * 100}%`;
    return facetButton(`size ${size.name}`, `${size.name}, ${bounds}`, size.count, pressed, () => change({ filters: pressed ? others : [...others, ...own] }));
  });
}

function places(query, change) {
  const others = query.filters.filter((filter) => !filter.startsWith("center_"));
  const buttons = ROWS.flatMap((row, y) =>
    COLUMNS.map((column, x) => {
      const own = [["x", x], ["y", y]].flatMap(([axis, at]) => [
        `center_${axis}_frac>=${PLACES[at].toFixed(3)}`,
        `center_${axis}_frac<=${PLACES[at + 1].toFixed(3)}`,
      ]);
      const pressed = own.every((filter) => query.filters.includes(filter));
      return make("button", {
        type: "button", "aria-pressed": String(pressed), "aria-label": `${row} ${column}`, title: `${row} ${column}`,
        "data-id": `place ${row} ${column}`, onclick: () => change({ filters: pressed ? others : [...others, ...own] }),
      });
    }),
  );
  return make("div", { class: "places", role: "group", "aria-label": "Place in the image" }, ...buttons);
}

function fields(query, change) {
  const valueOf = (start) => query.filters.find((filter) => filter.startsWith(start))?.slice(start.length) ?? "";
  const field = (id, label, type, start, stop = "") => {
    const others = query.filters.filter((filter) => !filter.startsWith(start));
    const onchange = (event) => change({ filters: event.target.value ? [...others, `${start}${event.target.value}${stop}`] : others });
    return make("div", { class: "row" }, make("label", { for: id }, label), make("input", { id, type, "data-id": id, value: valueOf(start).replace(stop, ""), onchange }));
  };
  return [
    field("prefix", "Begins with", "text", "uri^="),
    field("since", "Since", "date", "ingested_at>="),
    field("until", "Until", "date", "ingested_at<=", "T23:59:59Z"),
  ];
}

function order(query, change) {
  const check = (id, label, name, on = "1") =>
    make("div", { class: "row" }, make("label", { for: id }, label), make("input", { id, type: "checkbox", "data-id": id, checked: query[name] === on, onchange: (event) => change({ [name]: event.target.checked ? on : "" }) }));
  const slide = (id, label, name, max, step) =>
    make("div", { class: "row" }, make("label", { for: id }, label), make("input", { id, type: "range", "data-id": id, min: "0", max, step, value: query[name] || "0", onchange: (event) => change({ [name]: event.target.value === "0" ? "" : event.target.value }) }));
  return [
    check("group", "One per image", "group"),
    check("whole", "Whole images", "kind", "image"),
    check("dense", "Ignore words", "dense"),
    slide("diverse", "Variety", "diverse", "0.9", "0.1"),
    slide("least", "Least similarity", "least", "0.9", "0.05"),
  ];
}
