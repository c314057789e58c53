/* The dialog that asks for a key, where the service needs one. */

import { byId } from "./dom.js";

let asking = null;

/** Ask the user for a key in a dialog; resolves to it, or to null. `before` says why the last one failed. */
export function askForKey(before) {
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
