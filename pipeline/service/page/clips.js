/* Plays clips of what is in videos: without sound, again and again. */

import { blob } from "./api.js";
import { make } from "./dom.js";

// Who only passes over a picture does not ask for its clip.
const INTENT_MS = 200;
const isStill = matchMedia("(prefers-reduced-motion: reduce)");
let over = null;

/** A clip that plays once it is loaded; `stop` takes it away. Rejects with the service's error. */
export class Clip {
  /** `isAround`: of the object's surroundings alone. */
  constructor(objectId, isAround = false) {
    this.path = `/v1/objects/${objectId}/clip.mp4${isAround ? "?around=true" : ""}`;
    this.loading = new AbortController();
    this.video = make("video", { muted: true, loop: true, playsinline: true, disablepictureinpicture: true, tabindex: "-1", "aria-hidden": "true" });
    // The attribute says how it begins; only the property holds for one that is made here.
    this.video.muted = true;
  }

  /** Load it, put it at the end of an element, and play it. */
  async play(element) {
    const file = await blob(this.path, this.loading.signal);
    if (this.loading.signal.aborted) return;
    this.address = URL.createObjectURL(file);
    this.video.src = this.address;
    element.append(this.video);
    await this.video.play().catch((error) => {
      if (!this.loading.signal.aborted) throw error;
    });
  }

  stop() {
    this.loading.abort();
    this.video.remove();
    this.video.removeAttribute("src");
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = null;
  }
}

/** Play the clip of a hit in `place` while its tile is pointed at, touched or focused. */
export function playWhileOver(tile, place, objectId) {
  const begin = () => !isStill.matches && beginOver(tile, place, objectId);
  const end = () => over?.tile === tile && stopOver();
  tile.addEventListener("pointerenter", begin);
  tile.addEventListener("pointerleave", end);
  tile.addEventListener("pointercancel", end);
  tile.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && begin());
  tile.addEventListener("focusout", end);
}

/** Stop what plays in a tile. */
export function stopOver() {
  if (!over) return;
  clearTimeout(over.timer);
  over.clip.stop();
  over.tile.classList.remove("plays");
  over = null;
}

function beginOver(tile, place, objectId) {
  if (over?.tile === tile) return;
  stopOver();
  const mine = (over = { tile, clip: new Clip(objectId, true) });
  mine.timer = setTimeout(async () => {
    try {
      await mine.clip.play(place);
      if (mine === over) tile.classList.add("plays");
    } catch {
      // The picture stays; the viewer says what is wrong.
      if (mine === over) stopOver();
    }
  }, INTENT_MS);
}
