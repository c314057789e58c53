/* Says what went wrong beside the results, which stay. */

import { byId, make } from "./dom.js";

/** Show a message until it is closed or another comes; none: hide it. */
export function complain(message) {
  const box = byId("complaint");
  box.hidden = !message;
  box.replaceChildren(make("p", {}, message), make("button", { class: "plain", type: "button", onclick: () => complain("") }, "Close"));
}
