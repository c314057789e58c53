/* Files of a mask: a PNG, white inside, and COCO's JSON. */

import { make } from "./dom.js";
import { decode, paintMask } from "./masks.js";

/** Have the browser save the mask as a PNG of the image's size. */
export async function savePng(mask, name) {
  const [height, width] = mask.payload.rle.size, [x0, y0] = mask.box;
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d");
  context.fillRect(0, 0, width, height);
  context.drawImage(paintMask(decode(mask.payload.rle, mask.box), mask.box, [255, 255, 255]), x0, y0);
  saveFile(await new Promise((done) => canvas.toBlob(done)), `${stemOf(name)}-mask.png`);
}

/** Have the browser save the mask as instances of COCO, called `label`. */
export function saveCoco(mask, name, label) {
  const { rle, area, predicted_iou: score } = mask.payload, [x0, y0, x1, y1] = mask.box;
  const annotation = { id: 1, image_id: 1, category_id: 1, segmentation: rle, bbox: [x0, y0, x1 - x0, y1 - y0], area, iscrowd: 0, score: mask.payload.score ?? score ?? 1 };
  const coco = {
    images: [{ id: 1, file_name: name, width: rle.size[1], height: rle.size[0] }],
    annotations: [annotation],
    categories: [{ id: 1, name: label || "object" }],
  };
  saveFile(new Blob([JSON.stringify(coco)], { type: "application/json" }), `${stemOf(name)}-mask.json`);
}

export const stemOf = (name) => name.replace(/\.[^.]*$/, "");

/** Have the browser save a file. */
export function saveFile(blob, name) {
  const address = URL.createObjectURL(blob);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 0);
}
