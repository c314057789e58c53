/* Says that a picture is in the index already. */

import { fileName, make } from "./dom.js";

/** A sentence on the copies of a picture, with a button for each; null without any. `open` is called with an image's id. */
export function copyNote(copies, open) {
  if (!copies.length) return null;
  const exact = copies.some((copy) => copy.exact);
  const words = exact ? "This very image is in the index: " : "An image that looks the same is in the index: ";
  const shown = exact ? copies.filter((copy) => copy.exact) : copies;
  const buttons = shown.map((copy) => make("button", { class: "link", type: "button", title: copy.uri, onclick: () => open(copy.image_id, copy.object_id) }, fileName(copy.uri)));
  return make("p", { class: "copies" }, words, ...buttons.flatMap((button, at) => (at ? [", ", button] : [button])));
}
