/* Chips under the search box: the examples and filters of the query. */

import { picture } from "./api.js";
import { groupFilters } from "./choices.js";
import { byId, counted, make } from "./dom.js";
import { countAll } from "./filters.js";
import { isRegion } from "./map_region.js";
import { parseCondition } from "./query.js";

/** Show them, each with a button that takes it out of the query through `change`. */
export function showChips(query, change) {
  const chips = byId("chips");
  const drop = (side, at) => change({ [side]: query[side].filter((_, number) => number !== at) });
  const others = query.filters.filter((filter) => !isRegion(filter));
  const filters = groupFilters(others, filterWords).map((group) => chip("", group.words, null, () => change({ filters: query.filters.filter((filter) => !group.filters.includes(filter)) })));
  chips.replaceChildren(
    ...query.more.map((example, at) => chip("+", exampleWords(example, "like"), thumbnail(example), () => drop("more", at))),
    ...query.less.map((example, at) => chip("−", exampleWords(example, "unlike"), thumbnail(example), () => drop("less", at))),
    ...filters,
    ...query.filters.filter(isRegion).map((filter) => regionChip(filter, () => change({ filters: query.filters.filter((kept) => kept !== filter) }))),
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

/** Of the objects within a lasso: how many are there, once they are counted. */
function regionChip(filter, remove) {
  const made = chip("", "objects of the map", null, remove);
  countAll([filter]).then(
    (count) => {
      const words = `${counted(count, "object")} of the map`;
      made.querySelector(".words").textContent = words;
      made.querySelector("button").setAttribute("aria-label", `Remove: ${words}`);
    },
    () => {},
  );
  return made;
}

function filterWords(filter) {
  const condition = parseCondition(filter);
  if (!condition) return filter;
  const names = { labels: "label", area_frac: "share", uri: "address", ingested_at: "ingested", segmenter_label: "segmenter label", tags: "tag" };
  const ops = { "=": ":", "^=": "begins with" };
  return `${names[condition.field] ?? condition.field} ${ops[condition.op] ?? condition.op} ${condition.value}`;
}

function exampleWords(example, how) {
  return `${how} ${partWords(example)}`;
}

function partWords(example) {
  if (example.box_xyxy) return example.exact_box ? "a box in an image" : "what is in a box";
  if (example.mask) return "what a mask shows";
  if (example.point_xy) return "what is at a point";
  if (example.object_index != null) return "an object in an image";
  return example.object_id ? "this object" : "this image";
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
