"""Measures how often a browser draws the page's map of 100,000 objects in a second.

python -m bench.map_page
"""

from __future__ import annotations

import argparse
import json
import uuid
from datetime import UTC, datetime
from urllib.parse import urlsplit

import numpy as np
from playwright.sync_api import Browser, Route

from bench.page_files import ORIGIN, SIDE, answer_file, open_browser
from schemas.object_map import ObjectMap, pack_map

_KINDS = 40
_MOVE = """(seconds) => new Promise((done) => {
  const map = document.getElementById("map").map, began = performance.now(), first = map.frames;
  let spent = 0;
  const paint = map.paint.bind(map);
  map.paint = () => {
    const start = performance.now();
    paint();
    spent += performance.now() - start;
  };
  const step = (now) => {
    const angle = (now - began) / 300;
    map.pan(3 * Math.cos(angle), 3 * Math.sin(angle));
    if (now - began < 1000 * seconds) requestAnimationFrame(step);
    else {
      map.paint = paint;
      const frames = map.frames - first;
      done([(1000 * frames) / (now - began), spent / frames]);
    }
  };
  requestAnimationFrame(step);
})"""


def draw_map(objects: int) -> bytes:
    """A map of clusters of many sizes, as UMAP makes them."""
    rng = np.random.default_rng(7)
    middles, spreads = rng.uniform(-0.9, 0.9, (_KINDS, 2)), rng.uniform(0.01, 0.08, (_KINDS, 1))
    kinds = (_KINDS * rng.random(objects) ** 2).astype(np.uint16)
    positions = middles[kinds] + spreads[kinds] * rng.standard_normal((objects, 2))
    made = ObjectMap(
        np.clip(positions, -1, 1).astype(np.float32),
        rng.integers(0, 256, (objects, 16), np.uint8),
        kinds,
        tuple(f"kind {kind}" for kind in range(_KINDS)),
        objects,
        "bench",
        datetime.now(UTC),
    )
    return pack_map(made)


def answer(route: Route, map_bytes: bytes, objects: int) -> None:
    """What the service would answer, as far as the map asks it."""
    path = urlsplit(route.request.url).path
    if path == "/v1/map":
        route.fulfill(body=map_bytes, content_type="application/octet-stream")
    elif path == "/v1/map/state":
        known = {"state": "done", "objects": objects, "of_objects": objects, "is_current": True}
        route.fulfill(body=json.dumps(known), content_type="application/json")
    else:
        answer_file(route)


def measure(
    browser: Browser, map_bytes: bytes, objects: int, sharpness: int, seconds: float
) -> None:
    page = browser.new_page(viewport=SIDE, device_scale_factor=sharpness)
    page.route("**/*", lambda route: answer(route, map_bytes, objects))
    page.goto(f"{ORIGIN}/?{uuid.uuid4().hex}")
    page.get_by_role("button", name="Map").click()
    page.wait_for_function("document.getElementById('map').map")
    canvas = page.evaluate(
        "(({width, height}) => [width, height])(document.getElementById('map').map)"
    )
    for name, script in (
        ("all of it", "map.fit()"),
        ("8 times larger", "map.enlarge(8, [600, 480])"),
        ("one label chosen", "map.fit(); document.querySelector('.map-legend button').click()"),
    ):
        page.evaluate(f"(() => {{ const map = document.getElementById('map').map; {script} }})()")
        rate, paint_ms = page.evaluate(_MOVE, seconds)
        size = f"{canvas[0]} x {canvas[1]} px"
        told = f"{rate:5.1f} frames/s  {paint_ms:5.1f} ms each"
        print(f"{objects:>7,} points  {size:<14} {name:<17} {told}")
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    map_bytes = draw_map(args.objects)
    with open_browser() as browser:
        for sharpness in (1, 2):
            measure(browser, map_bytes, args.objects, sharpness, args.seconds)


if __name__ == "__main__":
    main()
