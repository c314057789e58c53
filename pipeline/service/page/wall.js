/* The start: how much there is, labels to search for, and a wall of objects unlike each other. */

import { get } from "./api.js";
import { copyButton } from "./copying.js";
import { byId, counted, make } from "./dom.js";
import { countAll, suggestions } from "./filters.js";
import { isRegion } from "./map_region.js";
import { addFirst, showHits } from "./grid.js";

const START = byId("empty");
const OBJECTS = 60, OBJECTS_OF_MAP = 200, MOST_OBJECTS = 120, MOST_NEW = 4, TURNS = 1000;
let turn = 0, stats = null, seen = new Set(), loading = null;

/** Whether the start is shown. */
export const isStart = () => !START.hidden;

/** The index has changed: count anew. */
export function forgetWall() {
  stats = null;
}

/** Show it for a query without anything to look for. `lead` says what to do, `change` is called with parts of a query, `counting` is over once labels are counted, `failed` is called with what is wrong; resolves to whether it is shown. */
export function showWall(query, how) {
  loading = load(query, how).catch((error) => {
    if (how.isCurrent()) how.failed(error);
    return false;
  });
  return loading;
}

async function load(query, how) {
  const { lead, change, counting, isCurrent } = how;
  const again = (next) => {
    turn = next;
    showWall(query, how);
  };
  let count = null;
  const draw = () => drawStart(query, count, lead, change, again);
  draw();
  stats ??= await get("/v1/stats");
  if (!isCurrent()) return false;
  draw();
  const [objects, met] = await Promise.all([getObjects(query), query.filters.length ? countAll(query.filters) : null, counting]);
  if (!isCurrent()) return false;
  count = met;
  draw();
  seen = new Set(objects.map((object) => object.object_id));
  showHits(objects);
  return true;
}

async function getObjects(query) {
  if (!stats.objects) return [];
  const params = new URLSearchParams({ limit: String(query.filters.some(isRegion) ? OBJECTS_OF_MAP : OBJECTS), turn: String(turn) });
  for (const filter of query.filters) params.append("filter", filter);
  return (await get(`/v1/variety?${params}`)).objects;
}

function drawStart(query, count, lead, change, again) {
  START.hidden = false;
  byId("heading").hidden = true;
  const isNothing = Boolean(stats && !stats.objects);
  START.classList.toggle("nothing", isNothing);
  if (isNothing) {
    START.replaceChildren(...firstStep());
    return;
  }
  const held = stats ? describe(query, count) : "";
  const labels = suggestions().map((label) => make("button", { type: "button", onclick: () => change({ text: label }) }, label));
  const others = make("button", { class: "others", type: "button", "data-id": "others", onclick: () => again((turn + 1) % TURNS) }, "Show others");
  const isFocused = document.activeElement?.dataset.id === "others";
  START.replaceChildren(
    make("h1", {}, held || "Every object, searchable"),
    make("p", {}, lead),
    make("div", { class: "suggestions" }, ...labels),
    ...(stats ? [others] : []),
  );
  if (isFocused) others.focus();
}

/** How many objects there are to look round in; `count` of them meet the filters, null: not counted yet. */
function describe(query, count) {
  if (!query.filters.length) return `${counted(stats.objects, "object")} in ${counted(stats.images, "image")}`;
  const where = query.filters.every(isRegion) ? "of the map" : `of ${stats.objects.toLocaleString("en")}`;
  return count == null ? "" : `${counted(count, "object")} ${where}`;
}

/** What to do with an index that is empty. */
function firstStep() {
  const words = stats.read_only
    ? [make("p", {}, "This is a snapshot of an empty index. Ingest images into the index, and serve it anew.")]
    : [make("p", {}, "Have it look at a folder of images, or at a bucket:"), command(`objseek ingest PATH --index ${quoted(stats.location)}`), make("p", {}, "PATH may be a folder or s3://bucket/prefix. What is found appears here while it is found.")];
  return [make("h1", {}, "There is nothing here yet"), ...words];
}

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function command(words) {
  return make("div", { class: "command" }, make("code", {}, words), copyButton(words, "Copy the command"));
}

/** Show objects that an ingest has found first, where the start is shown. */
export async function addNewest(newest) {
  await loading;
  if (!isStart() || !stats) return;
  const fresh = newest.filter(({ object_id: id }) => !seen.has(id)).slice(0, MOST_NEW);
  for (const { object_id: id } of fresh) seen.add(id);
  const objects = await Promise.all(fresh.map(({ object_id: id }) => get(`/v1/objects/${id}`).catch(() => null)));
  if (isStart()) addFirst(objects.filter(Boolean), MOST_OBJECTS);
}
