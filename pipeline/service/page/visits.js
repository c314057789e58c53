/* Keeps what each entry of the history showed: going back asks for nothing again. */

const MOST = 12;
/** What entries showed, by their numbers, the latest last. */
const kept = new Map();
let current = 0, last = 0, actions = {};
/** What is to be written once the browser has gone back, which takes it a moment; null: it is not going. */
let awaited = null;

/** `given`: take() gives what is shown, null while it is not settled; show(kept) shows an entry, kept or not; openViewer(about), closeViewer(). */
export function startVisits(given) {
  actions = given;
  history.scrollRestoration = "manual";
  current = last = history.state?.visit ?? 0;
  const viewer = history.state?.viewer;
  if (!viewer) history.replaceState({ visit: current }, "");
  addEventListener("popstate", ({ state }) => arrive(state));
  return viewer ?? null;
}

/** Go on to another search: in an entry of its own, or instead of the viewer's. */
export function enter(address) {
  keepCurrent();
  current = ++last;
  const state = { visit: current };
  write(() => (history.state?.viewer ? history.replaceState(state, "", address) : history.pushState(state, "", address)));
}

/** The search of this entry has changed. */
export function rewrite(address) {
  kept.delete(current);
  write(() => history.replaceState({ visit: current }, "", address));
}

/** The viewer shows what `about` says: the browser's Back closes it. */
export function enterViewer(about) {
  const state = { visit: current, viewer: about };
  write(() => (history.state?.viewer ? history.replaceState(state, "") : history.pushState(state, "")));
}

/** The viewer was closed, but not by going back. */
export function leaveViewer() {
  if (awaited || !history.state?.viewer) return;
  awaited = [];
  history.back();
}

/** What entries showed is out of date. */
export function forgetVisits() {
  kept.clear();
}

function write(change) {
  if (awaited) awaited.push(change);
  else change();
}

function arrive(state) {
  const waiting = awaited ?? [];
  awaited = null;
  if (state?.visit == null) {
    // A place in the page, as the link to the results is one.
    history.replaceState({ visit: current }, "");
    return;
  }
  if (waiting.length) {
    for (const change of waiting) change();
    return;
  }
  if (state.visit !== current) {
    keepCurrent();
    current = state.visit;
    actions.show(kept.get(current) ?? null);
  }
  if (state.viewer) actions.openViewer(state.viewer);
  else actions.closeViewer();
}

function keepCurrent() {
  const shown = actions.take();
  kept.delete(current);
  if (shown) kept.set(current, shown);
  for (const old of [...kept.keys()].slice(0, -MOST)) kept.delete(old);
}
