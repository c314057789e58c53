/* Copies texts to the clipboard. */

import { make } from "./dom.js";

const DONE_MS = 1500;

/** A button that copies a text, and says so for a moment. `what` is its name. */
export function copyButton(text, what = "Copy") {
  const button = make("button", { class: "copy", type: "button", title: what, onclick: () => copy(text, button) });
  name(button, "Copy", what);
  return button;
}

function name(button, words, label) {
  button.textContent = words;
  button.setAttribute("aria-label", label);
}

async function copy(text, button) {
  const label = button.title;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS there is no clipboard but for localhost.
    copySelected(text, button);
  }
  name(button, "Copied", "Copied");
  setTimeout(() => name(button, "Copy", label), DONE_MS);
}

function copySelected(text, button) {
  const field = make("textarea", { class: "hidden", "aria-hidden": "true", tabindex: "-1" });
  field.value = text;
  button.after(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  button.focus();
}
