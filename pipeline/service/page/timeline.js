/* The timeline of a video: its shots, its tracks in lanes, and where in it the viewer is. */

import { make } from "./dom.js";
import { spanWords, timeWords } from "./times.js";

// Of a long video a part is to be seen, and the rest is scrolled to.
const PIXELS_A_SECOND = 12;
const STEP_S = 0.5, STRIDE_S = 5;
// Of a bar with its gap to the next, and of the narrowest timeline.
const LEAST_PX = 27, NARROW_PX = 320;

/** Tracks in as few lanes as there are at once, the larger ones above; each lane is a list in the order of time. A bar is `least` seconds long, or more. */
export function packLanes(tracks, least) {
  const lanes = [];
  const ends = (track) => Math.max(track.t_end, track.t_start + least);
  for (const track of tracks) {
    const isFree = (lane) => lane.every((other) => ends(other) < track.t_start || ends(track) < other.t_start);
    const lane = lanes.find(isFree);
    if (lane) lane.push(track);
    else lanes.push([track]);
  }
  return lanes.map((lane) => lane.sort((one, other) => one.t_start - other.t_start));
}

/** `actions`: seek(seconds, track or null), light(track or null). */
export class Timeline {
  constructor(video, actions) {
    this.actions = actions;
    this.duration = Math.max(video.duration ?? 0, ...video.shots.map((shot) => shot.t_end), ...video.tracks.map((track) => track.t_end), 0.1);
    this.time = 0;
    this.buttons = new Map();
    this.lanes = packLanes(video.tracks, LEAST_PX / Math.max(PIXELS_A_SECOND, NARROW_PX / this.duration));
    this.head = make("div", {
      class: "head", role: "slider", tabindex: "0", "aria-label": "Time", "aria-valuemin": "0", "aria-valuemax": this.duration.toFixed(1),
    });
    const lanes = this.lanes.map((lane) => make("li", {}, ...lane.map((track) => this.bar(track))));
    this.sheet = make("div", { class: "sheet", onpointerdown: (event) => this.grab(event) }, this.shots(video.shots), make("ul", { class: "lanes", "aria-label": "Tracks" }, ...lanes), this.head);
    this.sheet.style.minWidth = `${Math.round(this.duration * PIXELS_A_SECOND)}px`;
    this.element = make("div", { class: "tracks", onkeydown: (event) => this.key(event) }, this.sheet);
  }

  shots(shots) {
    const ends = [...shots.slice(1).map((shot) => shot.t_start), this.duration];
    return make("div", { class: "shots", "aria-hidden": "true" }, ...shots.map((shot, at) => {
      const words = `Shot ${shot.shot + 1}`;
      const element = make("span", { class: "shot", title: `${words}, ${spanWords(shot)}` }, words);
      return this.place(element, shot.t_start, ends[at]);
    }));
  }

  bar(track) {
    const name = track.label ?? "object", shot = track.shot == null ? "" : `, shot ${track.shot + 1}`;
    const words = `${name}, ${spanWords(track, " to ")}${shot}`;
    const button = make(
      "button",
      {
        class: "track", type: "button", tabindex: "-1", title: words, "aria-label": words,
        onclick: (event) => this.actions.seek(event.detail ? this.within(track, event.clientX) : track.t_key, track),
        onmouseenter: () => this.actions.light(track), onmouseleave: () => this.actions.light(null),
        onfocus: () => this.actions.light(track), onblur: () => this.actions.light(null),
      },
      make("span", {}, name),
    );
    this.buttons.set(track.object_id, { button, track });
    return this.place(button, track.t_start, track.t_end);
  }

  place(element, start, end) {
    element.style.left = `${(100 * start) / this.duration}%`;
    element.style.width = `${(100 * (end - start)) / this.duration}%`;
    return element;
  }

  /** Show the time, and mark a track; null: none. */
  show(time, chosen) {
    this.time = time;
    this.head.style.left = `${(100 * time) / this.duration}%`;
    this.head.setAttribute("aria-valuenow", time.toFixed(3));
    this.head.setAttribute("aria-valuetext", `${timeWords(time, 1)} of ${timeWords(this.duration, 1)}`);
    const first = this.buttons.keys().next().value;
    for (const [id, { button }] of this.buttons) {
      if (id === chosen) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      button.tabIndex = id === (chosen ?? first) ? 0 : -1;
    }
  }

  /** Scroll to where something is to be seen. */
  reveal(chosen) {
    const place = (this.buttons.get(chosen)?.button ?? this.head).getBoundingClientRect(), room = this.element.getBoundingClientRect();
    this.element.scrollLeft += this.head.getBoundingClientRect().left - room.left - room.width / 2;
    if (place.bottom > room.bottom) this.element.scrollTop += place.top - room.top - room.height / 2;
  }

  timeAt(clientX) {
    const area = this.sheet.getBoundingClientRect();
    return Math.min(Math.max((clientX - area.left) / area.width, 0), 1) * this.duration;
  }

  within(track, clientX) {
    return Math.min(Math.max(this.timeAt(clientX), track.t_start), track.t_end);
  }

  /** Where no track is, the time alone is chosen, and can be dragged. Fingers scroll. */
  grab(event) {
    if (event.target.closest(".track") || event.button !== 0) return;
    this.actions.seek(this.timeAt(event.clientX), null);
    if (event.pointerType === "touch") return;
    event.preventDefault();
    this.head.focus({ preventScroll: true });
    const drag = (moved) => this.actions.seek(this.timeAt(moved.clientX), null);
    this.sheet.setPointerCapture(event.pointerId);
    this.sheet.addEventListener("pointermove", drag);
    this.sheet.addEventListener("lostpointercapture", () => this.sheet.removeEventListener("pointermove", drag), { once: true });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const to = { ArrowLeft: this.time - STEP_S, ArrowRight: this.time + STEP_S, PageUp: this.time - STRIDE_S, PageDown: this.time + STRIDE_S, Home: 0, End: this.duration }[event.key];
    if (to != null) this.actions.seek(Math.min(Math.max(to, 0), this.duration), null);
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") this.step(event.target, event.key === "ArrowDown" ? 1 : -1);
    else return;
    event.preventDefault();
  }

  /** Go from track to track, lane by lane; from the time to the first one, and back. */
  step(from, by) {
    const all = [this.head, ...this.lanes.flat().map((track) => this.buttons.get(track.object_id).button)];
    const next = all[all.indexOf(from.closest(".track") ?? this.head) + by];
    if (!next) return;
    for (const { button } of this.buttons.values()) button.tabIndex = button === next ? 0 : -1;
    next.focus();
    next.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}
