/* Shows the progress of an ingest that the service runs. */

import { events } from "./api.js";
import { byId, counted, make } from "./dom.js";

const panel = byId("ingest");
const AGAIN_MS = 5000;

/** Watch for ever; `written` is called when an ingest has ended. */
export async function watchIngest(written) {
  let before = null;
  for (;;) {
    try {
      for await (const state of events("/v1/ingest/events")) {
        show(state, before);
        if (before === "running" && state.state !== "running") written();
        before = state.state;
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
    `${state.images_per_s.toFixed(2)} images/s`,
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
    ...(state.error ? [make("p", { role: "alert" }, state.error)] : []),
    ...(state.state === "running" ? [] : [make("p", {}, dismiss)]),
  );
}
