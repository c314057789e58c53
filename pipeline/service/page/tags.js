/* Tags of hits: shown on their tiles, given and taken in a dialog. */

import { get, post } from "./api.js";
import { byId, counted, make } from "./dom.js";
import { selectedHits } from "./selection.js";

const dialog = byId("tagging"), list = make("ul", { class: "tagged", "aria-label": "Tags of the selection" });
const field = make("input", { id: "tag-text", type: "text", list: "known-tags", maxlength: "64", autocomplete: "off" });
const known = make("datalist", { id: "known-tags" }), said = make("p", { role: "alert" });
const MOST_ON_TILE = 2, MOST_KNOWN = 1000;
let hits = [], actions = {}, done = () => {};

/** `given`: changed() is called once tags are others; found() are the hits of the search, those that are not shown too. */
export function startTags(given) {
  actions = given;
  const title = make("h2", { id: "tagging-title" });
  const add = make("form", {}, make("label", { for: "tag-text" }, "New tag"), make("div", { class: "line" }, field, make("button", { class: "solid" }, "Add")), known);
  const close = make("form", { method: "dialog" }, make("button", { class: "plain" }, "Close"));
  dialog.append(title, list, add, said, close);
  add.addEventListener("submit", (event) => {
    event.preventDefault();
    if (field.value.trim()) alter({ add: [field.value.trim()] });
  });
}

/** Let the user tag hits, or one object of an image; `onTagged` is called whenever their tags change. */
export async function tagHits(given, onTagged = () => {}) {
  hits = given;
  done = onTagged;
  byId("tagging-title").textContent = `Tag ${counted(hits.length, "object")}`;
  said.textContent = field.value = "";
  draw();
  dialog.showModal();
  field.focus();
  try {
    const facets = await get(`/v1/facets?limit=${MOST_KNOWN}`);
    known.replaceChildren(...facets.tags.map((tag) => make("option", { value: tag.value })));
  } catch {
    // They are suggestions alone.
  }
}

/** Put a hit's tags on its tile. */
export function showTags(tile, { tags }) {
  tile.querySelector(".tags")?.remove();
  if (!tags?.length) return;
  const more = tags.length > MOST_ON_TILE ? [make("span", {}, `+${tags.length - MOST_ON_TILE}`)] : [];
  tile.append(make("span", { class: "tags", title: tags.join(", ") }, make("span", { class: "hidden" }, "Tags: "), ...tags.slice(0, MOST_ON_TILE).map((tag) => make("span", {}, tag)), ...more));
}

function draw() {
  const counts = new Map();
  for (const hit of hits) for (const tag of hit.payload.tags ?? []) counts.set(tag, (counts.get(tag) ?? 0) + 1);
  const sorted = [...counts].sort(([one, n], [other, m]) => m - n || one.localeCompare(other));
  list.replaceChildren(
    ...sorted.map(([tag, number]) =>
      make(
        "li",
        { class: "chip" },
        make("span", { class: "words" }, hits.length > 1 && number < hits.length ? `${tag} · ${number} of ${hits.length}` : tag),
        make("button", { type: "button", "aria-label": `Remove the tag ${tag}`, onclick: () => alter({ remove: [tag] }) }, "✕"),
      ),
    ),
  );
  list.hidden = !sorted.length;
}

async function alter(change) {
  said.textContent = "";
  const beside = hits;
  try {
    const answer = await post("/v1/objects/tags", { object_ids: beside.map((hit) => hit.object_id), ...change });
    for (const hit of beside) hit.payload.tags = answer.tags[hit.object_id] ?? [];
    // A hit, its tile's and the selected one may be of several answers.
    for (const hit of [...actions.found(), ...selectedHits()]) hit.payload.tags = answer.tags[hit.object_id] ?? hit.payload.tags;
    for (const tile of document.querySelectorAll(".tile")) if (answer.tags[tile.hit?.object_id]) showTags(tile, tile.hit.payload);
    done();
    if (change.add) field.value = "";
    if (answer.missing.length) said.textContent = `${counted(answer.missing.length, "object")} of these ${answer.missing.length === 1 ? "is" : "are"} no longer in the index.`;
    draw();
    actions.changed();
  } catch (error) {
    said.textContent = error.message;
  }
  field.focus();
}
