/* Opens the viewer: for an indexed image or video, or for an image of one's own. */

import { get } from "./api.js";
import { copyNote } from "./copies.js";
import { showVideo } from "./video.js";
import { Viewer, isShown } from "./viewer.js";

/** Show the image or video of a hit, with its object lit. */
export function openHit({ object_id: id, payload }) {
  if (payload.t_key == null) openImage(payload.image_id, id);
  else openVideo(payload.image_id, id, payload.t_key);
}

/** Show what an entry of the history is about; nothing for an image of one's own. */
export function reopen(visit) {
  if (isShown(visit) || !visit.image_id) return;
  if (visit.time == null) openImage(visit.image_id, visit.chosen);
  else openVideo(visit.image_id, visit.chosen, visit.time);
}

/** Show an indexed image, with the object `chosen` lit. */
export async function openImage(imageId, chosen) {
  const viewer = new Viewer({ image_id: imageId }, `/v1/images/${imageId}/preview.jpg?size=1600`, { image_id: imageId, chosen });
  viewer.open("", "");
  try {
    const image = await get(`/v1/images/${imageId}`);
    if (!viewer.isOpen()) return;
    if (image.payload.t_key != null) {
      await showVideo(viewer, imageId, chosen, image.payload.t_key, openUpload);
      return;
    }
    viewer.nameImage(image);
    await viewer.show(image.payload.width, image.payload.height, image.objects, chosen);
  } catch (error) {
    viewer.fail(error.message);
  }
}

/** Show an indexed video at a time, with the object or shot `chosen` marked. */
export async function openVideo(imageId, chosen, time) {
  const viewer = new Viewer({ image_id: imageId }, "", { image_id: imageId, chosen, time });
  viewer.open("", "");
  try {
    await showVideo(viewer, imageId, chosen, time, openUpload);
  } catch (error) {
    viewer.fail(error.message);
  }
}

/** Show an uploaded image, to choose a part of it to search with. */
export async function openUpload(upload, name) {
  const viewer = new Viewer({ upload_id: upload.upload_id }, `/v1/uploads/${upload.upload_id}/preview.jpg?size=1600`, {});
  viewer.open(name, "Search with all of it, draw a box, or click on an object.");
  try {
    await viewer.show(upload.width, upload.height, [], null);
    await findObjects(viewer, upload.upload_id);
  } catch (error) {
    if (viewer.isOpen()) viewer.fail(error.message);
  }
}

/** Show the objects of an upload once they are found, with their labels where the index holds the image itself. `index` is an object's place in the list. */
async function findObjects(viewer, uploadId) {
  viewer.say("Looking for its objects…");
  let found;
  do {
    found = await get(`/v1/uploads/${uploadId}/objects`);
    if (!viewer.isOpen()) return;
  } while (found.state === "looking");
  const exact = found.copies.find((copy) => copy.exact);
  const indexed = exact ? (await get(`/v1/images/${exact.image_id}`)).objects : [];
  const payloads = new Map(indexed.map((object) => [object.object_id, object.payload]));
  const objects = found.objects.map((object, index) => ({ id: object.object_id, index, payload: payloads.get(object.object_id) ?? { kind: "object", ...object } }));
  if (!viewer.isOpen()) return;
  if (!viewer.box && viewer.tool !== "segment") viewer.say(objects.length ? "" : "No objects were found in it.");
  const note = copyNote(found.copies, openImage);
  if (note) viewer.about.append(note);
  viewer.setObjects(objects);
}
