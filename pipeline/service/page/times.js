/* Writes times of videos. */

/** `0:03`, `1:02:03`; with `digits` also parts of a second. */
export function timeWords(seconds, digits = 0) {
  const unit = 10 ** digits;
  const whole = Math.floor(seconds * unit + 1e-6) / unit;
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  const rest = (whole % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** When something in a video is seen; "" for an image. */
export function spanWords({ t_start: start, t_end: end }, join = "–") {
  if (start == null || end == null) return "";
  const from = timeWords(start), to = timeWords(end);
  return from === to ? from : `${from}${join}${to}`;
}
