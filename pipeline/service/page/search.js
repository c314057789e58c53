/* The search: its query, its results, the address that holds it. */

import { get, post } from "./api.js";
import { showChips } from "./chips.js";
import { byId, counted, make } from "./dom.js";
import { copyNote } from "./copies.js";
import { showFilters, suggestions } from "./filters.js";
import { addHits, clearGrid, isOpen, isUnlikely, showHits } from "./grid.js";
import { openImage } from "./open_viewer.js";
import { beginPending, endPending } from "./pending.js";
import { showSavedSearches } from "./saved_searches.js";
import { emptyQuery, fromAddress, isBlank, nounOf, parseText, toAddress, toRequest } from "./query.js";

const TYPING_MS = 160;
const text = byId("text");
let query = fromAddress(location.search);
let running = null, cursor = null, found = 0, likely = 0, typing = 0, stats = null;
const endObserver = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && showMore(), { rootMargin: "600px" });

/** Show what the address says, and search as the user writes. */
export function startSearch() {
  text.addEventListener("input", () => {
    clearTimeout(typing);
    beginPending();
    byId("clear").hidden = !text.value && isBlank(query);
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
  addEventListener("popstate", () => {
    query = fromAddress(location.search);
    text.value = query.text;
    show();
  });
  byId("clear").addEventListener("click", () => {
    clearSearch();
    text.focus();
  });
  text.value = query.text;
  show();
}

/** Search again, in an index that has changed. */
export function searchAgain() {
  stats = null;
  show();
}

/** Count anew what is there to narrow by. */
export function countAgain() {
  showFilters(query, change);
}

/** What the search on show may be called. */
export const searchName = () => query.text.trim() || query.filters.map((filter) => filter.replace(/^\w+\^?=/, "")).join(", ");

/** Clear the text and the examples; filters stay. */
function clearSearch() {
  text.value = "";
  if (query.text || query.more.length || query.less.length) change({ text: "", more: [], less: [] });
}

/** Search with one example, and nothing else. */
export function searchWith(example) {
  change({ text: "", more: [example], less: [], filters: [] });
}

/** Change parts of the query, and search. `replace`: without a new entry in the history, as the user types. */
function change(parts, { replace = false } = {}) {
  query = { ...query, ...parts };
  const address = toAddress(query);
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  show();
}

/** Add a hit to the examples of what is wanted ("more") or not ("less"). */
export function addExample(hit, side) {
  const example = { object_id: hit.object_id };
  const without = (list) => list.filter((other) => other.object_id !== hit.object_id);
  const opposite = side === "more" ? "less" : "more";
  const parts = { [side]: [...without(query[side]), example], [opposite]: without(query[opposite]) };
  if (side === "less" && isBlank({ ...query, ...parts })) return;
  change(parts);
  scrollTo({ top: 0 });
}

/** Show the query, and search with it. */
function show() {
  if (document.activeElement !== text) text.value = query.text;
  document.title = query.text.trim() ? `${query.text.trim()} · objseek` : "objseek";
  byId("clear").hidden = !query.text && !query.more.length && !query.less.length;
  showChips(query, change);
  showSavedSearches();
  const counting = showFilters(query, change);
  if (isBlank(query)) showStart(counting);
  else run();
}

async function showStart(counting) {
  running?.abort();
  cursor = null;
  found = 0;
  clearGrid();
  endPending();
  byId("notice").hidden = true;
  byId("status").textContent = "";
  const empty = byId("empty");
  const lead = query.less.length || parseText(query.text).not.length ? "Say what to look for, too." : "Write what to look for, or drop an image.";
  const draw = () => {
    const held = stats ? `${counted(stats.objects, "object")} in ${counted(stats.images, "image")}` : "";
    const buttons = suggestions().map((label) => make("button", { type: "button", onclick: () => change({ text: label }) }, label));
    empty.replaceChildren(make("h1", {}, held || "Every object, searchable"), make("p", {}, lead), make("div", { class: "suggestions" }, ...buttons));
    empty.hidden = false;
    byId("heading").hidden = true;
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

async function run() {
  running?.abort();
  const mine = (running = new AbortController());
  // It is that of the query before.
  cursor = null;
  // Nothing was old there: placeholders come as a veil would.
  if (!byId("empty").hidden) endPending();
  byId("empty").hidden = true;
  byId("heading").hidden = false;
  beginPending();
  const started = performance.now();
  try {
    const answer = await post("/v1/search", toRequest(query), mine.signal);
    if (mine !== running) return;
    endPending();
    found = likely = 0;
    showHits(answer.hits);
    count(answer, ` · ${Math.round(performance.now() - started)} ms`);
    explain(answer);
    watchTheEnd();
  } catch (error) {
    if (error.name === "AbortError" || mine !== running) return;
    endPending();
    fail(error);
  } finally {
    // Who writes on has hits of an older text before them again.
    if (mine === running && typing) beginPending();
  }
}

/** Say how many hits there are by now, and how many of them are likely. */
function count(answer, time = "") {
  found += answer.hits.length;
  likely += answer.hits.filter((hit) => hit.probability != null && !isUnlikely(hit)).length;
  cursor = answer.cursor;
  const held = `${cursor ? "the first " : ""}${counted(found, nounOf(query))}`;
  const matches = likely === 1 ? "1 likely match in " : likely ? `${likely.toLocaleString("en")} likely matches in ` : answer.relevance ? "no likely match in " : "";
  byId("status").textContent = found ? `${matches}${held}${time}` : "";
}

function explain(answer) {
  const notice = byId("notice");
  notice.className = "notice";
  const copies = copyNote(answer.copies, openImage);
  notice.hidden = found > 0 && answer.relevance !== "weak" && !copies;
  if (found === 0) {
    const narrowed = query.filters.length || query.least;
    const clear = make("button", { class: "plain", type: "button", onclick: () => change({ filters: [], least: "" }) }, "Clear filters");
    notice.replaceChildren(make("p", {}, narrowed ? "Nothing meets all filters." : "Nothing was found."), ...(narrowed ? [clear] : []));
  } else if (answer.relevance === "weak") {
    notice.replaceChildren(make("p", {}, "Most likely there is no such object here. These come nearest."));
  }
  if (copies) {
    if (found > 0) notice.replaceChildren(copies);
    else notice.prepend(copies);
  }
}

/** Show an error in place of the results. */
export function fail(error) {
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
  if (!cursor || !running || !isOpen()) return;
  const mine = running, from = cursor;
  cursor = null;
  try {
    const answer = await post("/v1/search", toRequest(query, from), mine.signal);
    if (mine !== running) return;
    addHits(answer.hits);
    count(answer);
    watchTheEnd();
  } catch (error) {
    if (error.name !== "AbortError") cursor = from;
  }
}

/* An observer reports changes only, and on a tall screen the end may stay in sight. */
export function watchTheEnd() {
  endObserver.unobserve(byId("more"));
  endObserver.observe(byId("more"));
}
