/* The panel of filters: labels, levels, sizes, places and buckets with their counts, times, and the order of hits. */

import { get } from "./api.js";
import { COLUMNS, ROWS, isPlace, isSize, placeFilters, sizeFilters } from "./choices.js";
import { byId, make } from "./dom.js";

const panel = byId("filters");
const LABELS = 12, ALL_LABELS = 1000;
/** Labels by the field that filters by them: how they are counted, and what finding one is called. */
const LABELLED = {
  labels: { counted: "labels", find: "Find a label" },
  segmenter_label: { counted: "segmenter_labels", find: "Find a segmenter’s label" },
};
/** How values are counted of which an object has one alone, by their field: another is chosen in its place. */
const SINGLE = { level: "levels", segmenter_label: "segmenter_labels", bucket: "buckets", labels: "labels", area_frac: "sizes" };
const KNOWN_MS = 60_000;
const LEVELS = ["whole", "part", "subpart"];
/** Fields for what is in videos: their ids, labels, and how their conditions begin. */
const TIMED = [
  ["seen-from", "Seen from, s", "t_end>="],
  ["seen-until", "Seen until, s", "t_start<="],
  ["lasts", "Lasts at least, s", "duration>="],
  ["moves", "Speed at least", "motion>="],
];
let counts = null, requests = 0, every = null;
/** Counts by what was asked for, for a while: who goes back sees them again. */
const known = new Map();
/** The letters that labels of each field are sought by. */
const sought = { labels: "", segmenter_label: "" };

/** Draw the panel for a query, and count anew; `change` is called with parts of a query. */
export async function showFilters(query, change) {
  draw(query, change);
  const mine = ++requests;
  try {
    const fresh = await countFor(query);
    if (mine !== requests) return;
    counts = fresh;
    every = null;
    draw(query, change);
    if (isSeeking()) seek(query, change);
  } catch {
    // The search itself shows what is wrong.
  }
}

/** What the objects have; of values in place of which another can be chosen, these others too. */
async function countFor(query) {
  const others = Object.entries(SINGLE).filter(([field]) => isSingle(field, query) && query.filters.some((filter) => isOf(field, filter)));
  const [all, ...wider] = await Promise.all([query, ...others.map(([field]) => without(field, query))].map((narrowed) => getFacets(narrowed, LABELS)));
  return Object.assign({ ...all }, ...others.map(([, counted], at) => ({ [counted]: wider[at][counted] })));
}

/** Of images with one label there are some with another, too. */
const isSingle = (field, query) => field !== "labels" || query.kind !== "image";
const isOf = (field, filter) => (field === "area_frac" ? isSize(filter) : filter.startsWith(`${field}=`));
const without = (field, query) => ({ ...query, filters: query.filters.filter((filter) => !isOf(field, filter)) });

function getFacets(query, limit) {
  const params = new URLSearchParams({ limit: String(limit), kind: query.kind === "image" ? "image" : "object" });
  for (const filter of query.filters) params.append("filter", filter);
  const path = `/v1/facets?${params}`;
  if (!known.has(path)) {
    known.set(path, get(path));
    known.get(path).catch(() => known.delete(path));
    setTimeout(() => known.delete(path), KNOWN_MS);
  }
  return known.get(path);
}

/** How many objects meet all of these filters. */
export const countAll = async (filters) => (await getFacets({ filters, kind: "" }, LABELS)).total;

/** The index has changed. */
export function forgetCounts() {
  known.clear();
}

const isSeeking = () => Object.values(sought).some(Boolean);

/** List the labels with the letters sought in them, of all that are counted. */
async function seek(query, change) {
  const mine = requests;
  if (isSeeking()) every ??= await getFacets(isSingle("labels", query) ? without("labels", query) : query, ALL_LABELS);
  if (mine === requests) draw(query, change);
}

function listedLabels(field) {
  const { counted } = LABELLED[field], wanted = sought[field].toLowerCase();
  if (!wanted || !every) return counts?.[counted] ?? [];
  return every[counted].filter((facet) => facet.value.toLowerCase().includes(wanted)).slice(0, LABELS);
}

function labelSearch(field, query, change, written) {
  const { counted, find } = LABELLED[field];
  if ((counts?.[counted] ?? []).length < LABELS && !sought[field]) return [];
  const oninput = (event) => {
    sought[field] = event.target.value.trim();
    seek(query, change);
  };
  return [make("input", { class: "find", type: "search", "aria-label": find, placeholder: find, autocomplete: "off", "data-id": field, value: written, oninput })];
}

/** The most frequent labels, to begin with. */
export function suggestions() {
  return (counts?.labels ?? []).map((facet) => facet.value);
}

function draw(query, change) {
  const focused = document.activeElement?.closest("#filters") ? document.activeElement.dataset.id : null;
  // Counts may come while somebody writes.
  const unfinished = focused && ["text", "number", "date"].includes(document.activeElement.type) ? document.activeElement.value : null;
  const written = focused in LABELLED ? document.activeElement.value : null;
  const toggle = (filter) => {
    const filters = query.filters.includes(filter) ? query.filters.filter((kept) => kept !== filter) : [...query.filters, filter];
    change({ filters });
  };
  const labels = (field, pick) => [...labelSearch(field, query, change, field === focused ? written : sought[field]), ...[values(field, listedLabels(field), query, pick)].flat()];
  panel.replaceChildren(
    section("Labels", labels("labels", isSingle("labels", query) ? only("labels", query, change) : toggle)),
    ...(isHad("segmenter_label", query) ? [section("Segmenter’s labels", labels("segmenter_label", only("segmenter_label", query, change)))] : []),
    ...(isHad("level", query) ? [section("Whole or part", values("level", levels(), query, only("level", query, change)))] : []),
    ...(isTagged(query) ? [section("Tags", values("tags", counts?.tags ?? [], query, toggle))] : []),
    section("Size in the image", sizes(query, change)),
    section("Place in the image", places(query, change)),
    ...(buckets().length > 1 ? [section("Bucket", values("bucket", buckets(), query, only("bucket", query, change)))] : []),
    ...(hasVideos(query) ? [section("In videos", times(query, change))] : []),
    section("Where and when", fields(query, change)),
    section("Order", order(query, change)),
    ...(query.filters.length ? [make("button", { class: "link", type: "button", onclick: () => change({ filters: [] }) }, "Clear all filters")] : []),
  );
  const again = focused && panel.querySelector(`[data-id="${CSS.escape(focused)}"]`);
  if (again && unfinished !== null) again.value = unfinished;
  again?.focus();
  if (written !== null) again?.setSelectionRange(written.length, written.length);
}

/** Whether objects have a field that not every index has, or are narrowed by it. */
function isHad(field, query) {
  return counts?.[SINGLE[field]].length > 0 || query.filters.some((filter) => filter.startsWith(`${field}=`)) || Boolean(sought[field]);
}

/** Whether any object has a tag, or hits are narrowed by one. */
function isTagged(query) {
  return counts?.tags.length > 0 || query.filters.some((filter) => filter.startsWith("tags="));
}

/** Narrow by a value of a field of which objects have one alone, in place of another value. */
function only(field, query, change) {
  return (filter) => {
    const others = without(field, query).filters;
    change({ filters: query.filters.includes(filter) ? others : [...others, filter] });
  };
}

/** All levels, from the whole on. */
function levels() {
  const found = new Map(counts?.levels.map((facet) => [facet.value, facet.count]));
  return LEVELS.map((value) => ({ value, count: found.get(value) ?? 0 }));
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
    const own = sizeFilters(size), others = query.filters.filter((filter) => !isSize(filter));
    const pressed = own.every((filter) => query.filters.includes(filter)) && query.filters.length === others.length + own.length;
    const bounds = size.below == null ? `over ${size.least * 100}%` : `${size.least * 100} to ${size.below * 100}%`;
    return facetButton(`size ${size.name}`, `${size.name}, ${bounds}`, size.count, pressed, () => change({ filters: pressed ? others : [...others, ...own] }));
  });
}

function places(query, change) {
  const others = query.filters.filter((filter) => !isPlace(filter));
  const buttons = ROWS.flatMap((row, y) =>
    COLUMNS.map((column, x) => {
      const own = placeFilters(y, x);
      const pressed = own.every((filter) => query.filters.includes(filter));
      return make("button", {
        type: "button", "aria-pressed": String(pressed), "aria-label": `${row} ${column}`, title: `${row} ${column}`,
        "data-id": `place ${row} ${column}`, onclick: () => change({ filters: pressed ? others : [...others, ...own] }),
      });
    }),
  );
  return make("div", { class: "places", role: "group", "aria-label": "Place in the image" }, ...buttons);
}

/** A field that holds a condition that begins with `start` and ends with `stop`; `more` are attributes. */
function field(id, label, type, start, query, change, { stop = "", ...more } = {}) {
  const value = query.filters.find((filter) => filter.startsWith(start))?.slice(start.length).replace(stop, "") ?? "";
  const others = query.filters.filter((filter) => !filter.startsWith(start));
  const apply = (target) => target.isConnected && target.value !== value && target.reportValidity() && change({ filters: target.value ? [...others, `${start}${target.value}${stop}`] : others });
  // Only when the event is over is it known where the focus goes, and whether the event came of the field
  // being taken away because the panel was drawn anew.
  const onchange = ({ target }) => setTimeout(() => apply(target));
  // A field that was drawn anew while somebody wrote in it does not know that it was changed.
  const onblur = (event) => event.target.checkValidity() && onchange(event);
  const onkeydown = (event) => event.key === "Enter" && apply(event.target);
  return make("div", { class: "row" }, make("label", { for: id }, label), make("input", { id, type, "data-id": id, value, onchange, onblur, onkeydown, ...more }));
}

function fields(query, change) {
  return [
    field("prefix", "Begins with", "text", "uri^=", query, change),
    field("since", "Since", "date", "ingested_at>=", query, change),
    field("until", "Until", "date", "ingested_at<=", query, change, { stop: "T23:59:59Z" }),
  ];
}

/** Whether there is anything of a video, or hits are narrowed by its times. */
function hasVideos(query) {
  return counts?.in_videos > 0 || query.filters.some((filter) => TIMED.some(([, , start]) => filter.startsWith(start)));
}

function times(query, change) {
  return TIMED.map(([id, label, start]) => field(id, label, "number", start, query, change, { min: "0", step: "any", inputmode: "decimal" }));
}

function order(query, change) {
  const check = (id, label, name, on = "1") =>
    make("div", { class: "row" }, make("label", { for: id }, label), make("input", { id, type: "checkbox", "data-id": id, checked: query[name] === on, onchange: (event) => change({ [name]: event.target.checked ? on : "" }) }));
  const slide = (id, label, name, max, step) =>
    make("div", { class: "row" }, make("label", { for: id }, label), make("input", { id, type: "range", "data-id": id, min: "0", max, step, value: query[name] || "0", onchange: (event) => change({ [name]: event.target.value === "0" ? "" : event.target.value }) }));
  return [
    check("group", "One per file", "group"),
    check("whole", "Whole images", "kind", "image"),
    check("alike", "Near-duplicates", "alike"),
    check("dense", "Ignore words", "dense"),
    slide("diverse", "Variety", "diverse", "0.9", "0.1"),
    slide("least", "Least similarity", "least", "0.9", "0.05"),
  ];
}
