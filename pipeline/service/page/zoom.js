/* Zooms and moves the picture of the viewer: by wheel, fingers and keys; wipes go to the next one. */

const MOST = 12, STEP = 1.5, DOUBLE = 2.5;
const MOVED_PX = 6, WIPE_PX = 60, KEY_PX = 80, WHEEL = 0.002, WHEEL_PINCH = 0.01;
const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export class Zoom {
  /** `actions`: changed() once it shows another part, canDrag() whether one finger moves the picture, pinched() as a second finger comes, wiped(by). */
  constructor(stage, frame, actions) {
    this.stage = stage;
    this.frame = frame;
    this.actions = actions;
    this.scale = 1;
    this.x = this.y = 0;
    this.pointers = new Map();
    this.gesture = null;
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    for (const [name, act] of [["pointerdown", "down"], ["pointermove", "move"], ["pointerup", "up"], ["pointercancel", "up"]]) {
      stage.addEventListener(name, (event) => this[act](event), { capture: true });
    }
  }

  /** Whether less than all is shown. */
  get isClose() {
    return this.scale > 1;
  }

  /** Show all of it. */
  reset() {
    this.scale = 1;
    this.x = this.y = 0;
    this.apply();
  }

  /** Zoom by a factor; `event` was at what stays in its place, none: the middle. */
  by(factor, event = null) {
    const scale = Math.min(Math.max(this.scale * factor, 1), MOST), ratio = scale / this.scale;
    const [x, y] = event ? this.place(event) : [0, 0];
    this.x = x - (x - this.x) * ratio;
    this.y = y - (y - this.y) * ratio;
    this.scale = scale;
    this.apply();
  }

  /** Close to a place, or back to all of it. */
  toggle(event) {
    if (this.isClose) this.reset();
    else this.by(DOUBLE, event);
  }

  /** Whether a key did something. */
  key({ key }) {
    if (key === "+" || key === "=") this.by(STEP);
    else if (key === "-" || key === "−") this.by(1 / STEP);
    else if (key === "0") this.reset();
    else if (this.isClose && ARROWS[key]) this.moveBy(...ARROWS[key].map((side) => side * KEY_PX));
    else return false;
    return true;
  }

  moveBy(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.apply();
  }

  /** Where an event is, from the middle of the stage. */
  place({ clientX, clientY }) {
    const area = this.stage.getBoundingClientRect();
    return [clientX - area.left - area.width / 2, clientY - area.top - area.height / 2];
  }

  apply() {
    // No further than to its edges, with a margin to see them by.
    const limit = (length, room) => Math.max(0, (length * this.scale - room) / 2 + (this.isClose ? 16 : 0));
    const [right, down] = [limit(this.frame.offsetWidth, this.stage.clientWidth), limit(this.frame.offsetHeight, this.stage.clientHeight)];
    this.x = Math.min(Math.max(this.x, -right), right);
    this.y = Math.min(Math.max(this.y, -down), down);
    this.show();
    this.actions.changed();
  }

  show(aside = 0) {
    this.frame.style.transform = this.isClose || aside ? `translate(${this.x + aside}px, ${this.y}px) scale(${this.scale})` : "";
    this.stage.classList.toggle("close-up", this.isClose);
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode ? 16 : 1;
    this.by(Math.exp(-event.deltaY * lines * (event.ctrlKey ? WHEEL_PINCH : WHEEL)), event);
  }

  down(event) {
    if (event.target.closest("button")) return;
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size === 2) {
      this.actions.pinched();
      this.gesture = { kind: "pinch", ...this.span() };
      event.stopPropagation();
    } else if (this.pointers.size === 1) {
      const isMiddle = event.pointerType === "mouse" && event.button === 1;
      this.gesture = isMiddle || this.actions.canDrag() ? { kind: "wait", from: event, x: this.x, y: this.y } : null;
      if (isMiddle) event.preventDefault();
    }
  }

  move(event) {
    if (!this.pointers.has(event.pointerId)) return;
    this.pointers.set(event.pointerId, event);
    const gesture = this.gesture;
    if (gesture?.kind === "pinch") this.pinch(gesture);
    else if (gesture) this.drag(gesture, event);
    if (this.isAtWork()) event.stopPropagation();
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    const gesture = this.gesture;
    if (this.isAtWork()) event.stopPropagation();
    if (gesture?.kind === "wipe") {
      const by = event.type === "pointerup" && Math.abs(gesture.aside) > WIPE_PX ? -Math.sign(gesture.aside) : 0;
      this.show();
      if (by) this.actions.wiped(by);
    }
    // The finger that is left after a pinch does nothing more.
    this.gesture = this.pointers.size && gesture ? { kind: "over" } : null;
  }

  isAtWork() {
    return this.gesture && this.gesture.kind !== "wait";
  }

  drag(gesture, event) {
    const dx = event.clientX - gesture.from.clientX, dy = event.clientY - gesture.from.clientY;
    if (gesture.kind === "wait") {
      const isWipe = event.pointerType === "touch" && !this.isClose;
      if (Math.hypot(dx, dy) < MOVED_PX || (!isWipe && !this.isClose)) return;
      gesture.kind = isWipe ? "wipe" : "drag";
      this.stage.setPointerCapture(event.pointerId);
    }
    if (gesture.kind === "wipe") {
      gesture.aside = Math.abs(dx) > 1.5 * Math.abs(dy) ? dx : 0;
      this.show(gesture.aside / 2);
    } else if (gesture.kind === "drag") {
      this.x = gesture.x + dx;
      this.y = gesture.y + dy;
      this.apply();
    }
  }

  /** How far two fingers are from each other, and where their middle is. */
  span() {
    const [one, other] = [...this.pointers.values()];
    const middle = { clientX: (one.clientX + other.clientX) / 2, clientY: (one.clientY + other.clientY) / 2 };
    return { middle, length: Math.max(Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY), 1) };
  }

  pinch(gesture) {
    const { middle, length } = this.span();
    this.x += middle.clientX - gesture.middle.clientX;
    this.y += middle.clientY - gesture.middle.clientY;
    this.by(length / gesture.length, middle);
    Object.assign(gesture, { middle, length });
  }
}
