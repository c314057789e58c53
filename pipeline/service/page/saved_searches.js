/* Searches with a name, kept in this browser with their addresses. */

import { complain } from "./complaint.js";
import { byId, make } from "./dom.js";

const KEPT = "objseek-searches", MOST = 100, MOST_CHARS = 60;
const row = byId("saved"), saving = byId("save-search"), dialog = byId("saving");
const field = make("input", { id: "saving-name", type: "text", required: true, maxlength: String(MOST_CHARS), autocomplete: "off" });
const title = make("h2", { id: "saving-title" }), drop = make("button", { class: "plain", type: "button" }, "Delete");
let at = -1, suggest = () => "", open = () => {};

/** `nameOf()` suggests a name for the search on show, `openAddress(address)` shows another. */
export function startSavedSearches({ nameOf, openAddress }) {
  suggest = nameOf;
  open = openAddress;
  const form = make("form", {}, make("label", { for: "saving-name" }, "Name"), field, make("div", { class: "line" }, make("button", { class: "solid" }, "Save"), drop, make("button", { class: "plain", type: "button", onclick: () => dialog.close() }, "Cancel")));
  dialog.append(title, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep(field.value.trim());
  });
  drop.addEventListener("click", () => {
    write(read().toSpliced(at, 1));
    leave();
  });
  saving.addEventListener("click", () => {
    const place = read().findIndex((search) => search.address === location.search);
    ask(place);
  });
  addEventListener("storage", showSavedSearches);
  showSavedSearches();
}

/** List them, and offer to save the search on show. */
export function showSavedSearches() {
  const searches = read(), here = location.search;
  row.firstElementChild.replaceChildren(...searches.map(link));
  row.hidden = !searches.length;
  saving.hidden = !here;
  saving.textContent = searches.some((search) => search.address === here) ? "★ Saved" : "☆ Save search";
}

function link({ name, address }, place) {
  const isHere = address === location.search;
  const go = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(address);
  };
  return make(
    "li",
    { class: "chip" },
    make("a", { href: address, "aria-current": isHere ? "true" : null, onclick: go }, name),
    make("button", { type: "button", "aria-haspopup": "dialog", "aria-label": `Rename or delete: ${name}`, onclick: () => ask(place) }, "⋯"),
  );
}

/** Ask for the name of a kept search, or of the one on show (-1). */
function ask(place) {
  at = place;
  const kept = read()[place];
  title.textContent = kept ? "Saved search" : "Save this search";
  field.value = kept?.name ?? suggest().slice(0, MOST_CHARS);
  drop.hidden = !kept;
  dialog.showModal();
  field.select();
}

function keep(name) {
  if (!name) return;
  const searches = read();
  if (at >= 0) searches[at] = { ...searches[at], name };
  else searches.unshift({ name, address: location.search });
  write(searches.slice(0, MOST));
  leave();
}

function leave() {
  dialog.close();
  showSavedSearches();
  if (document.activeElement === document.body) byId("text").focus();
}

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT)) ?? [];
    // Only addresses of this page: what else is kept there is nobody's search.
    return kept.filter(({ name, address }) => typeof name === "string" && /^\?/.test(address));
  } catch {
    return [];
  }
}

function write(searches) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(searches));
  } catch {
    complain("This browser keeps no searches: there is no room, or it is not allowed.");
  }
}
