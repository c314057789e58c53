/* A rectangle that is drawn with the mouse over the grid, to select the tiles that it touches. */

import { make } from "./dom.js";

// Less is a click.
const LEAST_PX = 6, EDGE_PX = 40, STEP_PX = 18;

/** `choose` is called with the tiles, and whether they come to those that are selected, as it is drawn. */
export function startLasso(results, choose) {
  let drag = null;

  results.addEventListener("pointerdown", (event) => {
    const isFree = !event.target.closest("button:not(.open), a, input, .notice");
    if (event.pointerType !== "mouse" || event.button !== 0 || !isFree) return;
    drag = { start: inPage(event), isMore: event.shiftKey || event.ctrlKey || event.metaKey, box: null };
  });
  addEventListener("pointermove", (event) => {
    if (!drag) return;
    const at = inPage(event);
    if (!drag.box && Math.hypot(at[0] - drag.start[0], at[1] - drag.start[1]) < LEAST_PX) return;
    if (!drag.box) begin();
    scrollAtEdges(event.clientY);
    stretch(at);
  });
  addEventListener("selectstart", (event) => drag && event.preventDefault());
  addEventListener("pointerup", end);
  addEventListener("pointercancel", end);

  function begin() {
    drag.box = make("div", { class: "lasso", "aria-hidden": "true" });
    document.body.append(drag.box);
    document.body.classList.add("lassoing");
  }

  function stretch([x, y]) {
    const [x0, x1] = [drag.start[0], x].sort((one, other) => one - other);
    const [y0, y1] = [drag.start[1], y].sort((one, other) => one - other);
    Object.assign(drag.box.style, { left: `${x0}px`, top: `${y0}px`, width: `${x1 - x0}px`, height: `${y1 - y0}px` });
    const isTouched = (tile) => {
      const area = tile.getBoundingClientRect(), [left, top] = [area.left + scrollX, area.top + scrollY];
      return left < x1 && left + area.width > x0 && top < y1 && top + area.height > y0;
    };
    choose([...results.querySelectorAll(".grid:not([hidden]) .tile")].filter((tile) => tile.hit && isTouched(tile)), drag.isMore);
  }

  function end() {
    if (drag?.box) {
      drag.box.remove();
      document.body.classList.remove("lassoing");
      // The click that ends it opens nothing.
      const swallow = (event) => event.stopPropagation();
      addEventListener("click", swallow, { capture: true, once: true });
      setTimeout(() => removeEventListener("click", swallow, { capture: true }));
    }
    drag = null;
  }
}

const inPage = (event) => [event.clientX + scrollX, event.clientY + scrollY];

function scrollAtEdges(y) {
  if (y > innerHeight - EDGE_PX) scrollBy(0, STEP_PX);
  else if (y < EDGE_PX) scrollBy(0, -STEP_PX);
}
