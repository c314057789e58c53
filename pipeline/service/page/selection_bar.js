/* The bar of what is selected: how many, and what can be done with them. */

import { canAdd } from "./added_objects.js";
import { download } from "./api.js";
import { complain } from "./complaint.js";
import { byId, counted, make } from "./dom.js";
import { saveFile } from "./mask_files.js";
import { clearSelection, selectAll, selectedHits, selectionNote, startSelection } from "./selection.js";
import { tagHits } from "./tags.js";

const FORMATS = [
  ["coco", "COCO masks (JSON)"],
  ["yolo", "YOLO polygons (zip)"],
  ["csv", "Table (CSV)"],
  ["crops", "Crops (zip)"],
];
const bar = byId("selection"), count = make("p", { role: "status" });
const menu = make("div", { id: "export-menu", class: "menu", role: "group", "aria-label": "Export as", hidden: true });
const exporting = button("Export", "export", toggleMenu, { "aria-expanded": "false", "aria-controls": "export-menu" });
const tagging = button("Tag", "tag", () => tagHits(selectedHits()), { "aria-haspopup": "dialog" });

export function startSelectionBar() {
  menu.append(...FORMATS.map(([format, words]) => button(words, format, () => exportAs(format))));
  bar.append(count, tagging, exporting, menu, button("All", "all", selectAll, { "aria-label": "Select all that are shown" }), button("Clear", "clear", clear));
  canAdd().then((can) => (tagging.hidden = !can));
  bar.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (menu.hidden) clear();
    else closeMenu();
  });
  startSelection((number) => {
    bar.hidden = number === 0;
    count.textContent = number ? `${number.toLocaleString("en")} selected` : "";
    if (!number) closeMenu();
    if (selectionNote()) complain(selectionNote());
  });
}

function button(words, name, onclick, more = {}) {
  return make("button", { class: "plain", type: "button", "data-act": name, onclick, ...more }, words);
}

function clear() {
  const [first] = selectedHits();
  clearSelection();
  const tile = [...document.querySelectorAll(".tile")].find((each) => each.hit?.object_id === first?.object_id);
  (tile ?? document).querySelector(".tile .open, .open")?.focus({ preventScroll: true });
}

function toggleMenu() {
  if (menu.hidden) openMenu();
  else closeMenu();
}

function openMenu() {
  menu.hidden = false;
  exporting.setAttribute("aria-expanded", "true");
  menu.querySelector("button").focus();
}

function closeMenu() {
  const had = menu.contains(document.activeElement);
  menu.hidden = true;
  exporting.setAttribute("aria-expanded", "false");
  if (had) exporting.focus();
}

async function exportAs(format) {
  closeMenu();
  complain("");
  exporting.disabled = true;
  exporting.textContent = "Exporting…";
  try {
    const { file, name, leftOut } = await download("/v1/export", { object_ids: selectedHits().map((hit) => hit.object_id), format });
    saveFile(file, name);
    if (leftOut) complain(`${counted(leftOut, "object")} without a sound mask ${leftOut === 1 ? "was" : "were"} left out of ${name}.`);
  } catch (error) {
    complain(error.message);
  } finally {
    exporting.disabled = false;
    exporting.textContent = "Export";
    if (document.activeElement === document.body) exporting.focus();
  }
}
