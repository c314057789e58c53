/* The search: its query, its results, the address that holds it. */

import { post } from "./api.js";
import { showChips } from "./chips.js";
import { byId, counted, make } from "./dom.js";
import { copyNote } from "./copies.js";
import { forgetCounts, showFilters } from "./filters.js";
import { addHits, clearGrid, isOpen, isUnlikely, putGrid, showHits, takeGrid } from "./grid.js";
import { isRegion } from "./map_region.js";
import { openImage } from "./open_viewer.js";
import { beginPending, endPending } from "./pending.js";
import { emptyQuery, fromAddress, isBlank, nounOf, parseText, titleOf, toAddress, toRequest } from "./query.js";
import { showRegion } from "./region.js";
import { showSavedSearches } from "./saved_searches.js";
import { enter, forgetVisits, rewrite } from "./visits.js";
import { forgetWall, isStart, showWall } from "./wall.js";

const TYPING_MS = 160;
const text = byId("text");
let query = fromAddress(location.search);
let running = null, cursor = null, found = 0, likely = 0, typing = 0, regions = [];
/** Whether what is shown answers the query, and whether the text is still being written in this entry of the history. */
let isSettled = false, isWriting = false;
/** What was shown before the user began to write; null: what is shown. */
let before = null;
const endObserver = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && showMore(), { rootMargin: "600px" });

/** Show what the address says, and search as the user writes. */
export function startSearch() {
  text.addEventListener("input", () => {
    before ??= takeResults();
    clearTimeout(typing);
    beginPending();
    byId("clear").hidden = !text.value && isBlank(query);
    typing = setTimeout(() => {
      typing = 0;
      change({ text: text.value }, { isWritten: true });
    }, TYPING_MS);
  });
  text.addEventListener("blur", () => (isWriting = isWriting && Boolean(typing)));
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
    scrollTo({ top: 0 });
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
  forgetCounts();
  forgetWall();
  forgetVisits();
  show();
}

/** Show the search of another address. */
export function openAddress(address) {
  enter(address);
  showVisit(null);
}

/** Count anew what is there to narrow by, as tags are others now. */
export function countAgain() {
  forgetCounts();
  forgetVisits();
  showFilters(query, change);
}

/** What the search on show may be called. */
export const searchName = () => query.text.trim() || query.filters.map((filter) => (isRegion(filter) ? "a part of the map" : filter.replace(/^\w+\^?=/, ""))).join(", ");

/** What was shown of a query, to be shown again when the user comes back; null if nothing answers it yet. */
export function takeVisit() {
  return before ?? takeResults();
}

function takeResults() {
  if (!isSettled || typing) return null;
  const notice = byId("notice");
  return {
    address: toAddress(query), cursor, found, likely, regions, isStart: isStart(), scroll: scrollY, grid: takeGrid(), status: byId("status").textContent,
    start: [...byId("empty").childNodes], notice: { words: [...notice.childNodes], class: notice.className, hidden: notice.hidden },
  };
}

/** Show the query of the address: with the hits that were `kept` of it, or by searching. */
export function showVisit(kept) {
  clearTimeout(typing);
  typing = 0;
  query = fromAddress(location.search);
  text.value = query.text;
  isWriting = false;
  if (kept?.address === toAddress(query)) putResults(kept);
  else show();
}

function putResults(kept) {
  before = null;
  showQuery();
  running?.abort();
  running = new AbortController();
  ({ cursor, found, likely, regions } = kept);
  endPending();
  setStart(kept.isStart);
  byId("empty").replaceChildren(...kept.start);
  putGrid(kept.grid);
  showRegion(query, regions, change);
  byId("status").textContent = kept.status;
  const notice = byId("notice");
  notice.replaceChildren(...kept.notice.words);
  notice.className = kept.notice.class;
  notice.hidden = kept.notice.hidden;
  isSettled = true;
  scrollTo({ top: kept.scroll, behavior: "instant" });
  if (!kept.isStart) watchTheEnd();
}

/** Clear the text and the examples; filters stay. */
function clearSearch() {
  text.value = "";
  if (query.text || query.more.length || query.less.length) change({ text: "", more: [], less: [] });
}

/** Search with one example, and nothing else. */
export function searchWith(example) {
  text.value = "";
  change({ text: "", more: [example], less: [], filters: [] });
  scrollTo({ top: 0 });
}

/** What the search is narrowed by. */
export const filtersOf = () => query.filters;

/** Narrow the search by a further filter, a part of the map in place of another one. */
export function narrowTo(filter) {
  const others = query.filters.filter((kept) => kept !== filter && !(isRegion(filter) && isRegion(kept)));
  change({ filters: [...others, filter] });
  scrollTo({ top: 0 });
}

/** Change parts of the query, and search. `isWritten`: what is written on goes without further entries in the history. */
function change(parts, { isWritten = false } = {}) {
  const changed = { ...query, ...parts }, address = toAddress(changed);
  if (isWritten && isWriting) rewrite(address);
  else if (address !== toAddress(query)) enter(address);
  isWriting = isWritten;
  query = changed;
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

function showQuery() {
  if (document.activeElement !== text) text.value = query.text;
  document.title = query.text.trim() ? `${query.text.trim()} · objseek` : "objseek";
  byId("clear").hidden = !query.text && !query.more.length && !query.less.length;
  byId("heading").textContent = titleOf(query);
  showChips(query, change);
  showSavedSearches();
  return showFilters(query, change);
}

/** Show the query, and search with it. */
function show() {
  isSettled = false;
  before = null;
  const counting = showQuery();
  if (isBlank(query)) showStart(counting);
  else run();
}

function setStart(isShown) {
  byId("empty").hidden = !isShown;
  byId("heading").hidden = isShown;
  byId("results").classList.toggle("start", isShown);
}

async function showStart(counting) {
  running?.abort();
  const mine = (running = new AbortController());
  cursor = null;
  found = 0;
  regions = [];
  if (!isStart()) clearGrid();
  endPending();
  setStart(true);
  showRegion(query, regions, change);
  byId("notice").hidden = true;
  byId("status").textContent = "";
  const lead = query.less.length || parseText(query.text).not.length ? "Say what to look for, too." : "Write what to look for, drop an image, or begin with what is here.";
  const isShown = await showWall(query, { lead, change, counting, isCurrent: () => mine === running, failed: fail });
  if (mine === running) isSettled = isShown;
}

async function run() {
  running?.abort();
  const mine = (running = new AbortController());
  // It is that of the query before.
  cursor = null;
  beginPending();
  const started = performance.now();
  try {
    const answer = await post("/v1/search", toRequest(query), mine.signal);
    if (mine !== running) return;
    endPending();
    setStart(false);
    found = likely = 0;
    regions = answer.regions;
    showRegion(query, regions, change);
    showHits(answer.hits);
    count(answer, ` · ${Math.round(performance.now() - started)} ms`);
    explain(answer);
    isSettled = true;
    watchTheEnd();
  } catch (error) {
    if (error.name === "AbortError" || mine !== running) return;
    endPending();
    setStart(false);
    fail(error);
  } finally {
    // Who writes on has hits of an older text before them again.
    if (mine === running && typing) beginPending();
  }
}

/** Say how many hits there are by now, and how many of them are likely. */
function count(answer, time = "") {
  const all = answer.hits.flatMap((hit) => [hit, ...(hit.alike ?? [])]);
  found += all.length;
  likely += all.filter((hit) => hit.probability != null && !isUnlikely(hit)).length;
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

/** Whether more hits can be shown. */
export const hasMore = () => Boolean(cursor) && isOpen();

/** Show further hits, if there are any. */
export async function showMore() {
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
