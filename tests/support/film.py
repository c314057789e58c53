"""Films the page in a browser, for the README: `python -m support.film docs/page.webp FOLDER`.

FOLDER is where the demo's scenes and their index are made, or were before. Run it from `tests/`,
with the repository on the path.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect
from support.demo_world import build_demo
from support.page_world import chromium, first, look_for, opened, pictures_are_there, serving

from pipeline.settings import Settings
from schemas.options import IndexOptions

SCENES = 12
SIZE = {"width": 1000, "height": 640}
TEXTS = ("a crocodile", "french fries")
_KEY_MS, _LOOK_MS = 70, 1700
_MOST_BYTES = 2_000_000

Frame = tuple[Image.Image, int]
"""What is seen, and for how many milliseconds."""


def act(page: Page) -> Iterator[Frame]:
    """Ask for two things, then look at the first object in its image."""
    box = page.get_by_label("What to look for")
    for text in TEXTS:
        box.fill("")
        for end in range(2, len(text), 2):
            box.evaluate("(box, text) => { box.value = text }", text[:end])
            yield take(page), _KEY_MS
        look_for(page, text)
        pictures_are_there(page)
        yield take(page), _LOOK_MS
    assert first(page)
    page.locator(".tile .open").first.click()
    picture = page.locator("dialog[open] .frame img")
    expect(picture).to_have_js_property("complete", True)
    expect(page.locator("dialog[open] canvas")).to_be_visible()
    yield take(page), 2 * _LOOK_MS


def take(page: Page) -> Image.Image:
    """The page as it is now."""
    return Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")


def film(folder: Path, path: Path) -> None:
    """Write the film to `path`. Raises ValueError if it is too large for a README."""
    if (folder / "index").exists():
        settings = Settings(index=IndexOptions(location=str(folder / "index")))
    else:
        settings, _ = build_demo(folder, SCENES)
    with (
        serving(settings) as url,
        chromium() as browser,
        opened(browser, url, viewport=SIZE, color_scheme="light") as page,
    ):
        pictures, lengths = zip(*act(page), strict=True)
    pictures[0].save(
        path, "WEBP", save_all=True, append_images=pictures[1:], duration=list(lengths),
        loop=0, quality=72, method=6,
    )  # fmt: skip
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"expected a film of at most {_MOST_BYTES:,} bytes, got more in {path}")


if __name__ == "__main__":
    film(Path(sys.argv[2]), Path(sys.argv[1]))
