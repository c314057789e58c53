/* The page: a search, what it found, and what to do with it. */

import { get, onKeyNeeded, picture, post, ProblemError, upload } from "./api.js";
import { byId, counted, make } from "./dom.js";
import { showFilters, suggestions } from "./filters.js";
import { addHits, clearGrid, showHits, showWaiting, startGrid } from "./grid.js";
import { watchIngest } from "./ingest.js";
import { condition, emptyQuery, fromAddress, isBlank, parsed, toAddress, toRequest } from "./query.js";
import { openImage, openUpload, startViewer } from "./viewer.js";

const TYPING_MS = 160, WAITING_MS = 250;
const text = byId("text");
let query = fromAddress(location.search);
let running = null, cursor = null, found = 0, typing = 0, stats = null;

startGrid({
  open: (hit) => openImage(hit.payload.image_id, hit.object_id),
  more: (hit) => like(hit, "more"),
  less: (hit) => like(hit, "less"),
});
startViewer((example) => change({ text: "", more: [example], less: [], filters: [] }));
onKeyNeeded(askForKey);

/** Change parts of the query, and search; `replace`: as one keeps writing. */
function change(parts, { replace = false } = {}) {
  query = { ...query, ...parts };
  const address = toAddress(query);
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  show();
}

function like(hit, side) {
  const example = { object_id: hit.object_id };
  const without = (list) => list.filter((one) => one.object_id !== hit.object_id);
  const other = side === "more" ? "less" : "more";
  const parts = { [side]: [...without(query[side]), example], [other]: without(query[other]) };
  if (side === "less" && isBlank({ ...query, ...parts })) return;
  change(parts);
  scrollTo({ top: 0 });
}

/** The page as the query has it. */
function show() {
  if (document.activeElement !== text) text.value = query.text;
  document.title = query.text.trim() ? `${query.text.trim()} · objseek` : "objseek";
  showChips();
  const counting = showFilters(query, change);
  if (isBlank(query)) showStart(counting);
  else run();
}

async function showStart(counting) {
  running?.abort();
  cursor = null;
  found = 0;
  clearGrid();
  busy(false);
  byId("notice").hidden = true;
  byId("status").textContent = "";
  const empty = byId("empty");
  const lead = query.less.length || parsed(query.text).not.length ? "Say what to look for, too." : "Write what to look for, or drop an image.";
  const draw = () => {
    const held = stats ? `${counted(stats.objects, "object")} in ${counted(stats.images, "image")}` : "";
    const buttons = suggestions().map((label) => make("button", { type: "button", onclick: () => change({ text: label }) }, label));
    empty.replaceChildren(make("h1", {}, held || "Every object, searchable"), make("p", {}, lead), make("div", { class: "suggestions" }, ...buttons));
    empty.hidden = false;
  };
  draw();
  try {
    stats ??= await get("/v1/stats");
    await counting;
  } catch (error) {
    fail(error);
  }
  if (isBlank(query)) draw();
}

function busy(yes) {
  byId("grid").setAttribute("aria-busy", String(yes));
}

async function run() {
  running?.abort();
  busy(true);
  const mine = (running = new AbortController());
  byId("empty").hidden = true;
  const waiting = setTimeout(showWaiting, found ? 1e9 : WAITING_MS);
  const started = performance.now();
  try {
    const answer = await post("/v1/search", toRequest(query), mine.signal);
    if (mine !== running) return;
    clearTimeout(waiting);
    found = answer.hits.length;
    cursor = answer.cursor;
    showHits(answer.hits);
    tell(answer, performance.now() - started);
    lookForTheEnd();
  } catch (error) {
    if (error.name === "AbortError" || mine !== running) return;
    fail(error);
  } finally {
    clearTimeout(waiting);
    if (mine === running) busy(typing !== 0);
  }
}

function tell(answer, milliseconds) {
  const more = answer.cursor ? "the first " : "";
  const what = query.kind === "image" ? "image" : "object";
  byId("status").textContent = found ? `${more}${counted(found, what)} · ${Math.round(milliseconds)} ms` : "";
  const notice = byId("notice");
  notice.className = "notice";
  notice.hidden = found > 0 && answer.relevance !== "weak";
  if (found === 0) {
    const narrowed = query.filters.length || query.least;
    const clear = make("button", { class: "plain", type: "button", onclick: () => change({ filters: [], least: "" }) }, "Clear filters");
    notice.replaceChildren(make("p", {}, narrowed ? "Nothing meets all filters." : "Nothing was found."), ...(narrowed ? [clear] : []));
  } else if (answer.relevance === "weak") {
    notice.replaceChildren(make("p", {}, "Most likely there is no such object here; these come nearest."));
  }
}

function fail(error) {
  clearGrid();
  found = 0;
  cursor = null;
  byId("status").textContent = "";
  const notice = byId("notice");
  notice.className = "notice error";
  notice.hidden = false;
  const again = make("button", { class: "plain", type: "button", onclick: show }, "Try again");
  notice.replaceChildren(make("p", { role: "alert" }, error.message), again);
}

async function showMore() {
  if (!cursor || !running) return;
  const mine = running, from = cursor;
  cursor = null;
  try {
    const answer = await post("/v1/search", toRequest(query, from), mine.signal);
    if (mine !== running) return;
    addHits(answer.hits, found);
    found += answer.hits.length;
    cursor = answer.cursor;
    const what = query.kind === "image" ? "image" : "object";
    byId("status").textContent = `${cursor ? "the first " : ""}${counted(found, what)}`;
    lookForTheEnd();
  } catch (error) {
    if (error.name !== "AbortError") cursor = from;
  }
}

/* What is searched with, beside the text. */

function showChips() {
  const chips = byId("chips");
  const drop = (side, at) => change({ [side]: query[side].filter((_, number) => number !== at) });
  const filters = query.filters.map((filter, at) => chip("", filterWords(filter), null, () => change({ filters: query.filters.filter((_, number) => number !== at) })));
  chips.replaceChildren(
    ...query.more.map((one, at) => chip("+", exampleWords(one, "like"), thumbnail(one), () => drop("more", at))),
    ...query.less.map((one, at) => chip("−", exampleWords(one, "unlike"), thumbnail(one), () => drop("less", at))),
    ...filters,
  );
  chips.hidden = chips.children.length === 0;
}

function chip(sign, words, image, remove) {
  const mark = sign ? make("span", { class: "sign", "aria-hidden": "true" }, sign) : null;
  return make(
    "span",
    { class: sign === "−" ? "chip minus" : "chip" },
    mark, image, make("span", { class: "words" }, words),
    make("button", { type: "button", "aria-label": `Remove: ${words}`, onclick: remove }, "✕"),
  );
}

function filterWords(filter) {
  const one = condition(filter);
  if (!one) return filter;
  const names = { labels: "label", area_frac: "share", uri: "address", ingested_at: "ingested" };
  const ops = { "=": ":", "^=": "begins with" };
  return `${names[one.field] ?? one.field} ${ops[one.op] ?? one.op} ${one.value}`;
}

function exampleWords(example, how) {
  const part = example.box_xyxy ? "a box in an image" : example.point_xy ? "what is at a point" : example.object_id ? "this object" : "this image";
  return `${how} ${part}`;
}

function thumbnail(example) {
  const image = make("img", { alt: "" });
  const path = example.object_id
    ? `/v1/objects/${example.object_id}/crop.jpg?size=96`
    : example.image_id
      ? `/v1/images/${example.image_id}/preview.jpg?size=96`
      : `/v1/uploads/${example.upload_id}/preview.jpg?size=96`;
  picture(image, path).catch(() => image.remove());
  return image;
}

/* Images that are given. */

async function give(file) {
  if (!file) return;
  byId("status").textContent = `Uploading ${file.name}…`;
  try {
    const kept = await upload(file);
    byId("status").textContent = "";
    await openUpload(kept, file.name || "your image");
  } catch (error) {
    fail(error instanceof ProblemError ? error : new ProblemError(0, error.message));
  }
}

byId("upload").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", (event) => {
  give(event.target.files[0]);
  event.target.value = "";
});
addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
  if (file) give(file);
});
addEventListener("dragover", (event) => {
  if (![...event.dataTransfer.types].includes("Files")) return;
  event.preventDefault();
  byId("drop").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) byId("drop").hidden = true;
});
addEventListener("drop", (event) => {
  byId("drop").hidden = true;
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  give(event.dataTransfer.files[0]);
});

/* Writing, keys, the address. */

text.addEventListener("input", () => {
  clearTimeout(typing);
  busy(true);
  typing = setTimeout(() => {
    typing = 0;
    change({ text: text.value }, { replace: true });
  }, TYPING_MS);
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typing);
  typing = 0;
  change({ text: text.value });
});
document.querySelector(".brand").addEventListener("click", (event) => {
  event.preventDefault();
  text.value = "";
  change(emptyQuery());
});
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
  } else if (event.key === "Escape" && (event.target === text || !writing)) {
    if (event.target === text && !text.value) text.blur();
    text.value = "";
    if (query.text || query.more.length || query.less.length) change({ text: "", more: [], less: [] });
  } else if (event.key === "ArrowDown" && event.target === text) {
    event.preventDefault();
    document.querySelector(".tile .open")?.focus();
  }
});
addEventListener("popstate", () => {
  query = fromAddress(location.search);
  text.value = query.text;
  show();
});
const nearTheEnd = new IntersectionObserver((entries) => entries.some((one) => one.isIntersecting) && showMore(), { rootMargin: "600px" });

/* It tells of changes only, and on a tall screen the end may stay in sight. */
function lookForTheEnd() {
  nearTheEnd.unobserve(byId("more"));
  nearTheEnd.observe(byId("more"));
}

/* A key, where the service needs one. */

let asking = null;

function askForKey(before) {
  asking ??= new Promise((done) => {
    const dialog = byId("key");
    byId("key-error").textContent = before;
    byId("key-text").value = "";
    dialog.showModal();
    byId("key-form").onsubmit = (event) => {
      event.preventDefault();
      dialog.close("given");
      done(byId("key-text").value.trim());
    };
    dialog.oncancel = () => done(null);
  }).finally(() => (asking = null));
  return asking;
}

text.value = query.text;
show();
watchIngest(() => {
  stats = null;
  show();
});
