/* Moves a map by pointers, wheel and keys, and says what is pointed at. */

const STEP_PX = 60, FACTOR = 1.25, CLICK_PX = 5;

/** Follow what is done on a canvas. `given`: isLasso(), hover(number, at), click(number), lasso(corners). */
export function followGestures(shown, given) {
  const canvas = shown.canvas, pointers = new Map();
  let moved = 0, drawing = false;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const spread = () => {
    const [[x0, y0], [x1, y1]] = [...pointers.values()];
    return { length: Math.hypot(x1 - x0, y1 - y0), middle: [(x0 + x1) / 2, (y0 + y1) / 2] };
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    moved = 0;
    drawing = pointers.size === 1 && (given.isLasso() || event.shiftKey);
    if (drawing) shown.lasso = [at(event)];
    else shown.lasso = [];
    given.hover(-1);
  });
  canvas.addEventListener("pointermove", (event) => {
    const here = at(event), before = pointers.get(event.pointerId);
    if (!before) {
      given.hover(shown.nearest(here), here);
      return;
    }
    moved += Math.hypot(here[0] - before[0], here[1] - before[1]);
    if (drawing) {
      shown.lasso.push(here);
      pointers.set(event.pointerId, here);
      shown.draw();
    } else if (pointers.size === 2) {
      const earlier = spread();
      pointers.set(event.pointerId, here);
      const now = spread();
      shown.pan(now.middle[0] - earlier.middle[0], now.middle[1] - earlier.middle[1]);
      if (earlier.length) shown.enlarge(now.length / earlier.length, now.middle);
    } else {
      pointers.set(event.pointerId, here);
      shown.pan(here[0] - before[0], here[1] - before[1]);
    }
  });
  const end = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    const isClick = event.type === "pointerup" && moved < CLICK_PX && !pointers.size;
    if (drawing && !isClick) {
      const corners = shown.takeLasso();
      if (event.type === "pointerup") given.lasso(corners);
    } else if (isClick) {
      shown.lasso = [];
      const number = shown.nearest(at(event));
      if (number >= 0) given.click(number);
    }
    drawing = false;
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("pointerleave", () => given.hover(-1));
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      shown.enlarge(Math.exp(-event.deltaY * lines * 0.0015), at(event));
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    const middle = [canvas.clientWidth / 2, canvas.clientHeight / 2];
    const keys = {
      ArrowLeft: () => shown.pan(STEP_PX, 0), ArrowRight: () => shown.pan(-STEP_PX, 0),
      ArrowUp: () => shown.pan(0, STEP_PX), ArrowDown: () => shown.pan(0, -STEP_PX),
      "+": () => shown.enlarge(FACTOR, middle), "=": () => shown.enlarge(FACTOR, middle),
      "-": () => shown.enlarge(1 / FACTOR, middle), 0: () => shown.fit(),
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    keys[event.key]();
    event.preventDefault();
  });
}
