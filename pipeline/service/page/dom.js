/* Makes elements; strings become text, never markup. */

/** `make("button", { class: "x", onclick: f }, "words", child)`. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export const byId = (id) => document.getElementById(id);

export function counted(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** The last part of a uri, readable. */
export function fileName(uri) {
  const name = uri.replace(/\/+$/, "").split("/").pop();
  if (!uri.startsWith("file://")) return name;
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** What an object may be called. */
export function nameOf(payload) {
  if (payload.kind === "image") return "whole image";
  return payload.labels?.[0] ?? payload.segmenter_label ?? "object";
}

/** What the segmenter calls an object, and how sure it is; "" for one that knows no classes. */
export function segmenterWords({ segmenter_label: label, segmenter_score: score }) {
  if (!label) return "";
  return score == null ? label : `${label} ${Math.round(score * 100)}%`;
}
