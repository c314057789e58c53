/* A part of the map as a filter: when the map was made, and the corners of the line round it. */

import { isWithin } from "./polygon.js";

export const FIELD = "on_map=";
/** Of a part: with more, searches would take seconds. */
export const MOST_OBJECTS = 20_000;
/** Of a part that is kept in an address. */
export const MOST_CORNERS = 60;

export const isRegion = (filter) => filter.startsWith(FIELD);

/** The filter for what lies within these corners. */
export function toFilter(map, corners) {
  return `${FIELD}${map.madeAt}:${corners.flat().join(",")}`;
}

/** The corners that a filter states; null if it is of another map. */
export function cornersOf(map, filter) {
  const [madeAt, rest = ""] = filter.slice(FIELD.length).split(":"), numbers = rest.split(",").map(Number);
  if (Number(madeAt) !== map.madeAt || numbers.length < 6) return null;
  return Array.from({ length: numbers.length >> 1 }, (_, at) => [numbers[2 * at], numbers[2 * at + 1]]);
}

/** The numbers of the objects within corners. */
export function numbersWithin({ positions, count }, corners) {
  const found = [];
  for (let number = 0; number < count; number++) {
    if (isWithin(positions[2 * number], positions[2 * number + 1], corners)) found.push(number);
  }
  return found;
}
