/* Shows the progress of an ingest that the service runs. */

import { events, picture } from "./api.js";
import { byId, counted, make } from "./dom.js";

const panel = byId("ingest");
// Pictures of objects by their ids: those that stay in sight are not fetched again.
const pictures = new Map();
const AGAIN_MS = 5000;
const MOST_PICTURES = 12;

/** Watch for ever; `written` is called when the first objects are there, and when an ingest has ended, `found` with the objects that were written last. */
export async function watchIngest(written, found) {
  let before = null;
  let objects = null;
  for (;;) {
    try {
      for await (const state of events("/v1/ingest/events")) {
        show(state, before);
        const first = state.objects > 0 && objects === 0;
        if (before === "running" && (first || state.state !== "running")) written();
        if (state.state === "running" && !first) found(state.newest);
        before = state.state;
        objects = state.objects;
      }
    } catch (error) {
      if (error.status === 409 || error.status === 401) return;
    }
    await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
}

function show(state, before) {
  panel.hidden = state.state === "none" || (state.state !== "running" && before !== "running");
  if (panel.hidden) return;
  const handled = state.done + state.rejected + state.failed + state.gone;
  const total = state.listed - state.unchanged;
  const numbers = [
    `${counted(handled, "image")} of ${total.toLocaleString("en")}${state.all_listed ? "" : " or more"}`,
    counted(state.objects, "object"),
    ...(state.images_per_s > 0 ? [`${state.images_per_s.toFixed(2)} images/s`] : []),
    ...(state.state === "running" && state.seconds_left != null ? [`${clock(state.seconds_left)} left`] : []),
    ...["rejected", "failed", "gone"].filter((name) => state[name]).map((name) => `${state[name].toLocaleString("en")} ${name}`),
  ];
  const titles = { running: "Ingesting", done: "Ingested", failed: "The ingest failed", cancelled: "The ingest was ended" };
  const bar = make("progress", { max: "1", "aria-label": "Images that are done" });
  if (state.all_listed && total > 0) bar.value = handled / total;
  const dismiss = make("button", { class: "link", type: "button", onclick: () => (panel.hidden = true) }, "Close");
  panel.replaceChildren(
    make("p", {}, make("b", {}, titles[state.state]), ` ${state.sources.join(", ")}`, state.note ? ` · ${state.note}` : ""),
    ...(state.state === "running" ? [bar] : []),
    make("p", { class: "numbers" }, numbers.join(" · ")),
    ...(state.state === "running" && state.newest.length ? [showNewest(state.newest)] : []),
    ...(state.error ? [make("p", { role: "alert" }, state.error)] : []),
    ...(state.state === "running" ? [] : [make("p", {}, dismiss)]),
  );
}

/** Pictures of what was found last, newest first, as many as fit a line. */
function showNewest(newest) {
  for (const { object_id, label } of newest) {
    if (pictures.has(object_id)) continue;
    const image = make("img", { alt: label, title: label, width: "72", height: "72" });
    picture(image, `/v1/objects/${object_id}/crop.jpg?size=96`).catch(() => image.remove());
    pictures.set(object_id, image);
  }
  for (const id of [...pictures.keys()].slice(0, -MOST_PICTURES)) pictures.delete(id);
  return make("p", { class: "newest", "aria-label": "Found last" }, ...[...pictures.values()].reverse());
}

function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}
