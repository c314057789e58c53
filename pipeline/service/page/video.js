/* The viewer of a video: the frame at a time with its objects, a clip, and the timeline. */

import { blob, get, picture, upload } from "./api.js";
import { Clip } from "./clips.js";
import { counted, fileName, make } from "./dom.js";
import { Timeline } from "./timeline.js";
import { timeWords } from "./times.js";

const PEEK_MS = 150;

/** Show a video at a time, with the object or shot `chosen` marked. `openUpload` is called with a frame that was uploaded. */
export async function showVideo(viewer, imageId, chosen, time, openUpload) {
  const video = await getTimeline(imageId, time);
  if (!viewer.isOpen()) return;
  const shown = new VideoPanel(viewer, video, chosen, openUpload);
  viewer.setVideo(shown);
  shown.timeline.show(time, shown.chosen);
  shown.timeline.reveal(shown.chosen);
  viewer.fit();
  await shown.seek(time, null);
}

/** The largest tracks of a video, and those at a time. */
async function getTimeline(imageId, time) {
  const video = await get(`/v1/videos/${imageId}/timeline`);
  if (!video.left_out) return video;
  const then = await get(`/v1/videos/${imageId}/timeline?t_from=${time}&t_to=${time}`);
  const known = new Set(video.tracks.map((track) => track.object_id));
  const more = then.tracks.filter((track) => !known.has(track.object_id));
  return { ...video, tracks: [...video.tracks, ...more], left_out: video.left_out - more.length };
}

class VideoPanel {
  constructor(viewer, video, chosen, openUpload) {
    this.viewer = viewer;
    this.video = video;
    this.openUpload = openUpload;
    this.tracks = new Map(video.tracks.map((track) => [track.object_id, track]));
    this.chosen = this.tracks.has(chosen) ? chosen : null;
    // Any point of the video gives its frames.
    this.source = video.shots[0]?.object_id ?? chosen ?? video.tracks[0]?.object_id;
    this.timeline = new Timeline(video, { seek: (time, track) => this.seek(time, track), light: (track) => this.light(track) });
    this.play = make("button", { class: "plain play", type: "button", onclick: () => (this.clip ? this.pause() : this.start()) });
    this.now = make("span", { class: "now" });
    const more = video.left_out ? make("span", { class: "rest" }, `${counted(video.left_out, "smaller track")} left out`) : null;
    this.element = make("section", { class: "timeline", "aria-label": "Timeline" }, make("div", { class: "transport" }, this.play, this.now, more), this.timeline.element);
    this.time = 0;
    this.clip = this.lit = this.peek = null;
    this.isLoading = this.isOld = false;
    this.namePlay();
    viewer.uri = video.uri;
    viewer.setTitle(fileName(video.uri), `${video.width} × ${video.height} px · ${timeWords(this.timeline.duration)} · ${counted(video.tracks.length + video.left_out, "object")}`);
    viewer.header.showPlace(video.uri, null);
  }

  /** The buttons of the viewer. */
  tools() {
    return [make("button", { class: "plain", type: "button", "data-tool": "frame", title: "Draw a box in this frame, or click a point, to search with it", onclick: () => this.useFrame() }, "Search with this frame")];
  }

  /** Go to a time, and stay there; with a track that is the chosen one from now on. Of many wishes at once the last one counts. */
  async seek(time, track) {
    this.stop();
    if (track) this.chosen = track.object_id;
    this.showTime(time);
    this.namePlay();
    clearTimeout(this.peeking);
    this.peek = null;
    await this.refresh();
  }

  /** Load what is to be seen now. */
  async refresh() {
    this.isOld = true;
    if (this.isLoading) return;
    this.isLoading = true;
    try {
      while (this.isOld && this.viewer.isOpen()) {
        this.isOld = false;
        await this.load(this.peek ?? this.time);
      }
    } catch (error) {
      if (this.viewer.isOpen()) this.viewer.say(error.message, true);
    } finally {
      this.isLoading = false;
    }
  }

  async load(time) {
    const [moment] = await Promise.all([get(`/v1/videos/${this.video.image_id}/objects?t=${time.toFixed(3)}`), picture(this.viewer.image, this.framePath(time, 1280))]);
    if (this.isOld || !this.viewer.isOpen()) return;
    this.viewer.say("");
    this.viewer.setObjects(moment.objects);
    this.mark();
  }

  framePath(time, size) {
    return `/v1/objects/${this.source}/frame.jpg?size=${size}&masks=false&t=${time.toFixed(3)}`;
  }

  showTime(time) {
    this.time = time;
    this.timeline.show(time, this.chosen);
    this.now.textContent = `${timeWords(time, 1)} of ${timeWords(this.timeline.duration, 1)}`;
  }

  /** Light the mask of a track, where it is not to be seen now for a while at its best; null: that of the chosen one. */
  light(track) {
    this.lit = track;
    clearTimeout(this.peeking);
    if (this.clip) return;
    const isSeen = this.find(track) || (!track && this.peek == null);
    if (isSeen) this.mark();
    else this.peeking = setTimeout(() => this.look(track?.t_key ?? null), PEEK_MS);
  }

  /** Show another time for a while; null: no more. */
  look(time) {
    this.peek = time;
    this.refresh();
  }

  find(track) {
    return this.viewer.objects.find((object) => object.object_id === track?.object_id) ?? null;
  }

  mark() {
    const object = this.find(this.lit ?? this.tracks.get(this.chosen));
    this.viewer.tree.reveal(object);
    this.viewer.light(object);
  }

  /** What a clip can be had of: the chosen track, or the shot at this time. */
  subject() {
    const shots = this.video.shots;
    return this.tracks.get(this.chosen) ?? shots.findLast((shot) => shot.t_start <= this.time + 1e-3) ?? shots[0];
  }

  namePlay() {
    const words = this.clip ? "Pause" : "Play";
    const track = this.tracks.get(this.chosen);
    this.play.replaceChildren(make("span", { class: this.clip ? "bars" : "arrow", "aria-hidden": "true" }), words);
    this.play.setAttribute("aria-label", `${words} the clip of ${track ? (track.label ?? "this object") : "this shot"}`);
    this.play.disabled = !this.subject();
  }

  async start() {
    const subject = this.subject(), mine = (this.clip = new Clip(subject.object_id));
    this.namePlay();
    this.viewer.setBusy(true);
    try {
      await mine.play(this.viewer.frame);
      if (mine !== this.clip) return;
      this.viewer.canvas.hidden = true;
      const follow = () => {
        if (mine !== this.clip) return;
        this.showTime(Math.min(subject.clip[0] + mine.video.currentTime, this.timeline.duration));
        requestAnimationFrame(follow);
      };
      follow();
    } catch (error) {
      if (mine !== this.clip) return;
      this.stop();
      this.viewer.say(error.message, true);
    } finally {
      if (mine === this.clip || !this.clip) this.viewer.setBusy(false);
    }
  }

  pause() {
    this.seek(this.time, null);
  }

  /** Take the clip away. */
  stop() {
    this.clip?.stop();
    this.clip = null;
    this.viewer.canvas.hidden = false;
    this.viewer.setBusy(false);
    this.namePlay();
  }

  async useFrame() {
    this.viewer.setBusy(true);
    try {
      const sent = await upload(await blob(this.framePath(this.time, 2048)));
      if (this.viewer.isOpen()) this.openUpload(sent, `${fileName(this.video.uri)} at ${timeWords(this.time, 1)}`);
    } catch (error) {
      this.viewer.say(error.message, true);
    } finally {
      this.viewer.setBusy(false);
    }
  }
}
