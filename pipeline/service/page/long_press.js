/* A finger that stays on a tile. */

const PRESS_MS = 450, STILL_PX = 10;

/** `press` is called with the tile; the click that follows does nothing. */
export function startLongPress(results, press) {
  let timer = 0, start = null, isPressed = false;
  const stop = () => clearTimeout(timer);

  results.addEventListener("pointerdown", (event) => {
    const tile = event.target.closest(".tile");
    stop();
    isPressed = false;
    if (event.pointerType !== "touch" || !tile?.hit || !event.target.closest(".open")) return;
    start = [event.clientX, event.clientY];
    timer = setTimeout(() => {
      isPressed = true;
      navigator.vibrate?.(10);
      press(tile);
    }, PRESS_MS);
  });
  results.addEventListener("pointermove", (event) => {
    if (start && Math.hypot(event.clientX - start[0], event.clientY - start[1]) > STILL_PX) stop();
  });
  for (const ending of ["pointerup", "pointercancel"]) results.addEventListener(ending, stop);
  results.addEventListener("contextmenu", (event) => {
    if (isPressed) event.preventDefault();
  });
  document.addEventListener(
    "click",
    (event) => {
      if (!isPressed) return;
      isPressed = false;
      event.preventDefault();
      event.stopPropagation();
    },
    true,
  );
}
