"""Takes pictures of the page for the documentation: `python -m support.film docs FOLDER`.

They are `page.webp`, which moves, and `page.png`. FOLDER is where the demo's scenes, their index
and its map are made, or were before; that needs UMAP. Run it from `tests/`, with the repository on
the path.
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect
from support.demo_world import build_demo
from support.page_map import open_map
from support.page_world import TOKEN, chromium, look_for, opened, pictures_are_there, serving

from pipeline.index_home import IndexHome
from pipeline.jobs.object_map import make_map
from pipeline.search.kept_map import read_map
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.options import IndexOptions

SCENES = 12
SIZE = {"width": 1000, "height": 640}
TEXT, TAG = "a crocodile", "to print"
_KEY_MS, _LOOK_MS, _CORNERS = 90, 1000, 48
_MOST_BYTES, _MOST_MS = 400_000, 12_000

Frame = tuple[Image.Image, int]
"""What is seen, and for how many milliseconds."""


def act(page: Page) -> Iterator[Frame]:
    """Look at the wall, search, look at an object and tag it, go back, and choose on the map."""
    pictures_are_there(page)
    yield take(page), _LOOK_MS
    yield from search(page)
    yield from look_closely(page)
    page.go_back()
    expect(page.locator(".tile .tags").first).to_be_visible()
    yield take(page), _LOOK_MS
    yield from choose_on_map(page)


def search(page: Page) -> Iterator[Frame]:
    box = page.get_by_label("What to look for")
    for end in range(2, len(TEXT), 3):
        box.evaluate("(box, text) => { box.value = text }", TEXT[:end])
        yield take(page), _KEY_MS
    look_for(page, TEXT)
    pictures_are_there(page)
    yield take(page), _LOOK_MS


def look_closely(page: Page) -> Iterator[Frame]:
    """The viewer with its object lit, the outlines of all, then a tag for the object."""
    page.locator(".tile .open").nth(1).click()
    expect(page.locator("#viewer li.lit")).to_have_count(1)
    page.wait_for_function("() => document.querySelector('#viewer .frame img').naturalWidth > 0")
    page.mouse.move(1, 1)
    yield take(page), _LOOK_MS
    box = page.locator("#viewer canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    yield take(page), _LOOK_MS
    page.mouse.move(1, 1)
    page.keyboard.press("t")
    page.keyboard.type(TAG)
    yield take(page), _LOOK_MS
    page.keyboard.press("Enter")
    expect(page.locator("#tagging li")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#details")).to_contain_text(TAG)
    yield take(page), _LOOK_MS


def choose_on_map(page: Page) -> Iterator[Frame]:
    """The map, a lasso on it, and what is within it as the results."""
    page.get_by_role("button", name="Clear the search").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("objects")
    open_map(page)
    yield take(page), _LOOK_MS
    box = page.locator(".map-canvas").bounding_box()
    assert box is not None
    page.get_by_role("button", name="Lasso").click()
    for number in range(_CORNERS):
        angle = 2 * math.pi * number / _CORNERS
        across, down = 0.38 + 0.24 * math.cos(angle), 0.45 + 0.3 * math.sin(angle)
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        if number == 0:
            page.mouse.down()
    yield take(page), _LOOK_MS // 2
    page.mouse.up()
    expect(page.locator(".map-list [role=status]")).to_contain_text("within")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.map-tiles img')].every((each) => each.naturalWidth)"
    )
    yield take(page), _LOOK_MS
    page.get_by_role("button", name="Show in the results").click()
    expect(page.locator("#chips .words")).to_contain_text("objects of the map")
    expect(page.get_by_role("heading", level=1)).to_contain_text("of the map")
    pictures_are_there(page)
    yield take(page), 2 * _LOOK_MS


def take(page: Page) -> Image.Image:
    """The page as it is now, with what fades in there already."""
    page.wait_for_timeout(400)
    return Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")


def open_demo(folder: Path) -> Settings:
    """The demo's index with a map, made where there is none."""
    if (folder / "index").exists():
        settings = Settings(index=IndexOptions(location=str(folder / "index")))
    else:
        settings, _ = build_demo(folder, SCENES)
    home = IndexHome.current(settings)
    if read_map(home) is None:
        with Searcher.open(settings) as searcher:
            make_map(searcher, home, 1000, print)
    return settings


def film(folder: Path, docs: Path) -> None:
    """Write the pictures into `docs`. Raises ValueError if the film is too large or too long."""
    with (
        serving(open_demo(folder)) as url,
        chromium() as browser,
        opened(browser, "about:blank", viewport=SIZE, color_scheme="light") as page,
    ):
        page.add_init_script(f'sessionStorage.setItem("objseek-key", "{TOKEN}")')
        change = {"filter": ["kind=object"], "remove": [TAG]}
        key = {"Authorization": f"Bearer {TOKEN}"}
        page.request.post(f"{url}/v1/objects/tags", data=change, headers=key)
        page.goto(url)
        pictures, lengths = zip(*act(page), strict=True)
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto(f"{url}/?q={TEXT}")
        pictures_are_there(page)
        take(page).quantize(256).save(docs / "page.png", optimize=True)
    path = docs / "page.webp"
    pictures[0].save(
        path, "WEBP", save_all=True, append_images=pictures[1:], duration=list(lengths),
        loop=0, quality=60, method=6, kmin=0, kmax=1,  # else what was shown before shines through
    )  # fmt: skip
    size, length = path.stat().st_size, sum(lengths)
    if size > _MOST_BYTES or length > _MOST_MS:
        limits = f"at most {_MOST_BYTES:,} bytes and {_MOST_MS / 1000:g} s"
        raise ValueError(f"expected {path} of {limits}, got {size:,} and {length / 1000:g} s")
    print(f"{path}: {size:,} bytes, {len(pictures)} pictures, {length / 1000:g} s")


if __name__ == "__main__":
    film(Path(sys.argv[2]), Path(sys.argv[1]))
