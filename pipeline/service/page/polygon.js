/* Polygons, as lists of [x, y]: what lies inside, and the same line with fewer corners. */

/** Whether a point is inside of a polygon: a ray from it crosses the border an odd number of times. The service counts alike. */
export function isWithin(x, y, corners) {
  let inside = false;
  for (let at = 0, before = corners.length - 1; at < corners.length; before = at++) {
    const [x0, y0] = corners[before], [x1, y1] = corners[at];
    if (y0 > y !== y1 > y && x < x0 + ((y - y0) / (y1 - y0)) * (x1 - x0)) inside = !inside;
  }
  return inside;
}

/** At most so many of the corners of a line, those that it departs from least left out (Ramer, Douglas and Peucker). */
export function simplify(corners, most) {
  let reach = 0.5, kept = corners;
  for (; kept.length > most; reach *= 1.5) kept = thin(corners, reach);
  return kept;
}

function thin(corners, reach) {
  const [first, last] = [corners[0], corners.at(-1)];
  let farthest = 0, at = 0;
  for (let number = 1; number < corners.length - 1; number++) {
    const distance = distanceTo(corners[number], first, last);
    if (distance > farthest) [farthest, at] = [distance, number];
  }
  if (farthest <= reach) return [first, last];
  return [...thin(corners.slice(0, at + 1), reach).slice(0, -1), ...thin(corners.slice(at), reach)];
}

function distanceTo([x, y], [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0], length = dx * dx + dy * dy;
  const along = length ? Math.min(Math.max(((x - x0) * dx + (y - y0) * dy) / length, 0), 1) : 0;
  return Math.hypot(x - x0 - along * dx, y - y0 - along * dy);
}
