/* Reads the map of the objects from the service's bytes. */

const MAGIC = "OBJMAP1\n", START = MAGIC.length + 4;
export const NO_LABEL = 65535;

/** Where objects lie (x, y of each, within -1 and 1), the ids as bytes, each one's place in the labels, and how many have each; `madeAt` in whole seconds. */
export function parseMap(buffer) {
  const view = new DataView(buffer), text = new TextDecoder();
  if (text.decode(new Uint8Array(buffer, 0, MAGIC.length)) !== MAGIC) throw new Error("This is no map.");
  const length = view.getUint32(MAGIC.length, true);
  const { count, labels, objects, made_at: madeAt } = JSON.parse(text.decode(new Uint8Array(buffer, START, length)));
  let at = START + length;
  const positions = new Float32Array(buffer, at, 2 * count);
  const ids = new Uint8Array(buffer, (at += 8 * count), 16 * count);
  const labelOf = new Uint16Array(buffer, at + 16 * count, count);
  const counts = new Map();
  for (const label of labelOf) counts.set(label, (counts.get(label) ?? 0) + 1);
  return { count, labels, objects, madeAt: Math.floor(Date.parse(madeAt) / 1000), positions, ids, labelOf, counts };
}

/** The id of the object of a number. */
export function idOf(map, number) {
  const hex = [...map.ids.subarray(16 * number, 16 * number + 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** What the object of a number is called. */
export function labelName(map, number) {
  return map.labels[map.labelOf[number]] ?? "object";
}
