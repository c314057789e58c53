/* Filters that are chosen together: a size is a range, a place two. */

import { parseCondition } from "./query.js";

const PLACES = [0, 1 / 3, 2 / 3, 1];
export const ROWS = ["top", "middle", "bottom"], COLUMNS = ["left", "centre", "right"];

export const isSize = (filter) => filter.startsWith("area_frac");
export const isPlace = (filter) => filter.startsWith("center_");

/** The filters of a size as it is counted. */
export function sizeFilters({ least, below }) {
  return [`area_frac>=${least}`, ...(below == null ? [] : [`area_frac<${below}`])];
}

/** The filters of a place by its numbers in `ROWS` and `COLUMNS`. */
export function placeFilters(row, column) {
  return [["x", column], ["y", row]].flatMap(([axis, at]) => [
    `center_${axis}_frac>=${PLACES[at].toFixed(3)}`,
    `center_${axis}_frac<=${PLACES[at + 1].toFixed(3)}`,
  ]);
}

/** Filters by what was chosen: `{ words, filters }` for a size, a place, and for each of the others. */
export function groupFilters(filters, nameOthers) {
  const groups = [];
  for (const [isOne, words] of [[isSize, sizeWords], [isPlace, placeWords]]) {
    const own = filters.filter(isOne);
    if (own.length) groups.push({ words: words(own) ?? own.map(nameOthers).join(", "), filters: own });
  }
  const others = filters.filter((filter) => !isSize(filter) && !isPlace(filter));
  return [...others.map((filter) => ({ words: nameOthers(filter), filters: [filter] })), ...groups];
}

const percent = (share) => `${Number((share * 100).toFixed(2))}%`;

/** Null for filters that are no range. */
function sizeWords(filters) {
  const conditions = filters.map(parseCondition);
  const least = conditions.find((each) => each && [">=", ">"].includes(each.op)), most = conditions.find((each) => each && ["<=", "<"].includes(each.op));
  if (conditions.length !== Boolean(least) + Boolean(most)) return null;
  const range = !most ? `over ${percent(least.value)}` : !least?.value ? `under ${percent(most.value)}` : `${percent(least.value)} to ${percent(most.value)}`;
  return `${range} of the image`;
}

/** Null for filters that are none of the nine places. */
function placeWords(filters) {
  const names = ROWS.flatMap((row, y) => COLUMNS.map((column, x) => [`${row} ${column}`, placeFilters(y, x)]));
  const found = names.find(([, own]) => own.length === filters.length && own.every((filter) => filters.includes(filter)));
  return found ? `in the ${found[0]}` : null;
}
