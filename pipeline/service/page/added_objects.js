/* Saves masks to the index as objects of their images. */

import { get, post } from "./api.js";

let offered = null;

/** Whether the service takes objects, which one of a snapshot does not; it is asked once. */
export function canAdd() {
  offered ??= get("/v1/stats")
    .then((stats) => !stats.read_only)
    .catch(() => {
      offered = null;
      return false;
    });
  return offered;
}

/** Save a mask of the image at a uri; the object that it is now, which keeps its label if it was saved before. */
export function addObject(uri, mask, label) {
  return post("/v1/objects", { uri, segmentation: mask.payload.rle, label: label || null });
}
