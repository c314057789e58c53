"""Measures how evenly a browser scrolls the page over 900 hits.

python -m bench.scroll_page
"""

from __future__ import annotations

import argparse
import io
import json
import uuid
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, CDPSession, Route

from bench.page_files import ORIGIN, SIDE, answer_file, open_browser

_PICTURES = 40
_PICTURE_WH = (384, 288)
_LOAD = """(hits) => new Promise((done) => {
  const step = () => {
    scrollTo(0, document.documentElement.scrollHeight);
    const there = document.querySelectorAll("#grid .tile img.there").length;
    if (there < hits) setTimeout(step, 50);
    else done(scrollTo(0, 0));
  };
  step();
})"""
_SCROLL = """([speed, seconds]) => new Promise((done) => {
  const frames = [], long = [], began = performance.now();
  const watch = new PerformanceObserver((list) => long.push(...list.getEntries()));
  watch.observe({ type: "longtask" });
  let before = began, way = speed;
  const step = (now) => {
    frames.push(now - before);
    before = now;
    const top = scrollY;
    scrollBy({ top: way, behavior: "instant" });
    if (scrollY === top) way = -way;
    if (now - began < 1000 * seconds) requestAnimationFrame(step);
    else done({ frames: frames.slice(2), long: long.map((each) => each.duration) });
  };
  requestAnimationFrame(step);
})"""


def draw_pictures() -> list[bytes]:
    """Crops as the service sends them, each unlike the others."""
    rng = np.random.default_rng(7)
    pictures = []
    for _ in range(_PICTURES):
        small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
        data = io.BytesIO()
        small.resize(_PICTURE_WH, Image.Resampling.BICUBIC).save(data, "JPEG", quality=85)
        pictures.append(data.getvalue())
    return pictures


def make_hit(number: int) -> dict[str, object]:
    """A hit of a shape of its own."""
    width, height = 200 + 37 * number % 211, 180 + 53 * number % 173
    payload = {
        "kind": "object", "uri": f"s3://photos/{number}.jpg",
        "image_id": str(uuid.UUID(int=number)),
        "width": 640, "height": 480, "bbox": [20, 20, width, height], "area_frac": 0.1,
        "labels": [f"thing {number % 17}"], "label_scores": [0.9],
        "tags": ["seen"] * (number % 5 == 0),
    }  # fmt: skip
    probability = 0.95 - number / 2000
    return {
        "object_id": str(uuid.UUID(int=10_000 + number)), "score": 0.4 - number / 10_000,
        "payload": payload, "probability": probability, "relevance": "likely", "alike": None,
    }  # fmt: skip


class Answers:
    """What the service would answer, as far as a search asks it."""

    def __init__(self, hits: int) -> None:
        self.hits = [make_hit(number) for number in range(hits)]
        self.pictures = draw_pictures()

    def __call__(self, route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path == "/v1/search":
            self._search(route)
        elif path.endswith("/crop.jpg"):
            number = uuid.UUID(path.split("/")[3]).int % _PICTURES
            route.fulfill(body=self.pictures[number], content_type="image/jpeg")
        else:
            answer_file(route)

    def _search(self, route: Route) -> None:
        query = route.request.post_data_json
        begin = int(query.get("cursor") or 0)
        end = begin + query["limit"]
        page = {
            "hits": self.hits[begin:end], "cursor": str(end) if end < len(self.hits) else None,
            "relevance": "likely", "hybrid": False, "regions": [], "copies": [],
        }  # fmt: skip
        route.fulfill(body=json.dumps(page), content_type="application/json")


def read_durations(session: CDPSession) -> dict[str, float]:
    """What the page's main thread has spent so far, in ms, by kind."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    found = {each["name"]: each["value"] for each in metrics}
    kinds = {"all": "Task", "script": "Script", "style": "RecalcStyle", "layout": "Layout"}
    return {name: 1000 * found[f"{kind}Duration"] for name, kind in kinds.items()}


def measure(browser: Browser, answers: Answers, speed: int, seconds: float) -> None:
    """Print how long frames took while the page was scrolled by `speed` px in each."""
    page = browser.new_page(viewport=SIDE)
    page.set_default_timeout(300_000)
    page.route("**/*", answers)
    page.goto(f"{ORIGIN}/?q=thing")
    page.evaluate(_LOAD, len(answers.hits))
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    before = read_durations(session)
    found = page.evaluate(_SCROLL, [speed, seconds])
    spent = {name: value - before[name] for name, value in read_durations(session).items()}
    frames = np.array(found["frames"])
    median, late = np.percentile(frames, [50, 95])
    each = ", ".join(f"{name} {value / len(frames):.1f}" for name, value in spent.items())
    print(
        f"{len(answers.hits)} hits, {speed} px a frame: median {median:.1f} ms, 95th percentile "
        f"{late:.1f} ms of {len(frames)} frames; main thread, ms a frame: {each}; "
        f"{len(found['long'])} long tasks, {sum(found['long']):.0f} ms",
        flush=True,
    )
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--hits", type=int, default=900)
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    answers = Answers(args.hits)
    with open_browser() as browser:
        for speed in (20, 120):
            measure(browser, answers, speed, args.seconds)


if __name__ == "__main__":
    main()
