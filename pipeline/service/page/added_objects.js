/* Saves masks to the index as objects of their images. */

import { get, post } from "./api.js";

const ROUTE = "/v1/objects";
let offered = null;

/** Whether the service takes objects; it is asked once. */
export function canAdd() {
  offered ??= Promise.all([get("/openapi.json"), get("/v1/stats")])
    .then(([api, stats]) => Boolean(api.paths[ROUTE]?.post) && !stats.read_only)
    .catch(() => {
      offered = null;
      return false;
    });
  return offered;
}

/** Save a mask of the image at a uri; the object that it is now. */
export function addObject(uri, mask, label) {
  return post(ROUTE, { uri, segmentation: mask.payload.rle, label: label || null });
}
