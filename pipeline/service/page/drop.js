/* Images to search with: dropped, pasted or chosen. */

import { ProblemError, upload } from "./api.js";
import { byId } from "./dom.js";
import { openUpload } from "./viewer.js";

/** Upload images that the user gives, and open them; `fail` is called with an error. */
export function startDrop(fail) {
  const open = (file) => uploadAndOpen(file, fail);
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

async function uploadAndOpen(file, fail) {
  if (!file) return;
  byId("status").textContent = `Uploading ${file.name}…`;
  try {
    const kept = await upload(file);
    byId("status").textContent = "";
    await openUpload(kept, file.name || "your image");
  } catch (error) {
    fail(error instanceof ProblemError ? error : new ProblemError(0, error.message));
  }
}
