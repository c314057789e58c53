/* Images to search with: dropped, pasted or chosen. */

import { upload } from "./api.js";
import { byId } from "./dom.js";
import { openUpload } from "./open_viewer.js";

/** Upload images that the user gives, and open them; `complain` is called with what goes wrong. */
export function startDrop(complain) {
  const open = (file) => uploadAndOpen(file, complain);
  byId("upload").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", (event) => {
    open(event.target.files[0]);
    event.target.value = "";
  });
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((item) => item.type.startsWith("image/"));
    if (file) open(file);
  });
  addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    byId("drop").hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) byId("drop").hidden = true;
  });
  addEventListener("drop", (event) => {
    byId("drop").hidden = true;
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    open(event.dataTransfer.files[0]);
  });
}

async function uploadAndOpen(file, complain) {
  if (!file) return;
  const before = byId("status").textContent, name = file.name || "your image";
  complain("");
  byId("status").textContent = `Uploading ${name}…`;
  try {
    const kept = await upload(file);
    await openUpload(kept, name);
  } catch (error) {
    complain(error.status === 422 ? `${name} is no picture that can be searched with: expected JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF or HEIC.` : error.message);
  } finally {
    if (byId("status").textContent.startsWith("Uploading")) byId("status").textContent = before;
  }
}
