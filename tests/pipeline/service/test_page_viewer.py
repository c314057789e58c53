"""The viewer: outlines, the way from hit to hit, closer looks, files of an object."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, CDPSession, Locator, Page, expect
from support.page_world import PAGE_MARKS, PHONE, keep, look_for, opened, violations
from support.waiting import PATIENCE_S, until

pytestmark = PAGE_MARKS

# How many pixels of the canvas are drawn on.
DRAWN = """(canvas) => {
  const { width, height } = canvas, copy = new OffscreenCanvas(width, height).getContext("2d");
  copy.drawImage(canvas, 0, 0);
  const data = copy.getImageData(0, 0, width, height).data;
  return data.filter((value, at) => at % 4 === 3 && value > 0).length / (width * height);
}"""


def open_first(page: Page) -> Locator:
    look_for(page, "a thing")
    page.locator(".tile .open").first.press("Enter")
    viewer = page.get_by_role("dialog")
    expect(viewer.locator("li.lit")).to_have_count(1)
    page.wait_for_function("() => document.querySelector('.frame img').naturalWidth > 0")
    return viewer


def test_all_objects_are_outlined_and_files_of_each_can_be_had(
    browser: Browser, parts_url: str
) -> None:
    with opened(browser, parts_url) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        viewer = open_first(page)
        canvas = viewer.locator("canvas")
        page.mouse.move(1, 1)
        viewer.locator("li button.object").first.focus()
        lit: float = canvas.evaluate(DRAWN)
        assert lit > 0.5  # all else is dimmed
        area = canvas.bounding_box()
        assert area is not None
        page.mouse.move(area["x"] + 2, area["y"] + 2)
        expect(viewer.locator("li.lit")).to_have_count(0)
        outlined: float = canvas.evaluate(DRAWN)
        assert 0.005 < outlined < 0.3
        keep(page, "outlines")
        assert violations(page) == []
        viewer.get_by_role("button", name="Outlines").press("o")
        assert canvas.evaluate(DRAWN) == 0
        viewer.get_by_role("button", name="Outlines").press("o")
        assert canvas.evaluate(DRAWN) == outlined
        # The whole path, and the files of an object.
        path = viewer.locator(".path").inner_text()
        assert path.endswith(".jpg")
        assert Path(path).is_file()
        viewer.get_by_role("button", name="Copy the path").click()
        expect(viewer.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == path
        link = viewer.get_by_role("link", name="Full size")
        assert re.search(
            r"/v1/images/[\w-]+/preview.jpg\?size=4096$", link.get_attribute("href") or ""
        )
        crop, mask, coco = download_all(page, viewer)
        payload = json.loads(coco)
        assert Image.open(io.BytesIO(crop)).format == "JPEG"
        inside = np.asarray(Image.open(io.BytesIO(mask)).convert("L")) > 127
        assert inside.sum() == payload["annotations"][0]["area"]
        assert payload["images"][0]["file_name"] == Path(unquote(path)).name


def download_all(page: Page, viewer: Locator) -> list[bytes]:
    files = []
    for entry in ("Crop as JPEG", "Mask as PNG", "Mask as COCO JSON"):
        row = viewer.locator("ul.list > li").first
        row.locator(".object").first.hover()
        row.locator(".save").first.click()
        with page.expect_download() as saved:
            viewer.get_by_role("button", name=entry).click()
        files.append(Path(saved.value.path()).read_bytes())
    return files


def test_hits_are_gone_through_and_looked_at_closely(browser: Browser, parts_url: str) -> None:
    with opened(browser, parts_url) as page:
        viewer = open_first(page)
        step = viewer.locator(".step span")
        expect(step).to_have_text(re.compile("^1 of "))
        expect(viewer.get_by_role("button", name="Hit before")).to_be_disabled()
        names = page.locator(".tile").evaluate_all("(all) => all.map((one) => one.hit.object_id)")
        page.keyboard.press("ArrowRight")
        expect(step).to_have_text(re.compile("^2 of "))
        viewer.get_by_role("button", name="Next hit").click()
        expect(step).to_have_text(re.compile("^3 of "))
        expect(viewer.get_by_role("button", name="Next hit")).to_be_focused()
        page.keyboard.press("ArrowLeft")
        expect(step).to_have_text(re.compile("^2 of "))
        expect(viewer.locator("li.lit")).to_have_count(1)
        frame = viewer.locator(".frame")
        width = box_of(frame)[2]
        x, y = middle(frame)
        page.mouse.move(x - width / 4, y)
        page.mouse.wheel(0, -400)
        until(lambda: box_of(frame)[2] > 2 * width)
        # What is pointed at stays where it is.
        assert abs((x - width / 4 - box_of(frame)[0]) / box_of(frame)[2] - 0.25) < 0.05
        keep(page, "close-up")
        left = box_of(frame)[0]
        page.mouse.down()
        page.mouse.move(x - width / 4 - 60, y, steps=4)
        page.mouse.up()
        expect(viewer).to_be_visible()
        assert abs(box_of(frame)[0] - (left - 60)) < 2
        page.keyboard.press("ArrowLeft")
        assert box_of(frame)[0] > left - 60
        page.keyboard.press("0")
        assert abs(box_of(frame)[2] - width) < 1
        viewer.get_by_role("button", name="Zoom in").click()
        assert abs(box_of(frame)[2] - 1.5 * width) < 1
        page.keyboard.press("Escape")
        expect(viewer).to_be_hidden()
        # The browser gives the focus to the first hit again, and the page to this one after that.
        focused = "(id) => document.activeElement.closest('.tile')?.hit.object_id === id"
        page.wait_for_function(focused, arg=names[1], timeout=1000 * PATIENCE_S)


def box_of(element: Locator) -> tuple[float, float, float, float]:
    box = element.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"], box["height"]


def middle(element: Locator) -> tuple[float, float]:
    x, y, width, height = box_of(element)
    return x + width / 2, y + height / 2


def test_fingers_wipe_pinch_and_tap(browser: Browser, parts_url: str) -> None:
    options = {"viewport": PHONE, "has_touch": True, "is_mobile": True}
    with opened(browser, parts_url, **options) as page:
        viewer = open_first(page)
        hand, step = page.context.new_cdp_session(page), viewer.locator(".step span")
        frame, close = viewer.locator(".frame"), viewer.get_by_role("button", name="Close")
        x, y = middle(frame)
        # Nothing lies on the picture, and nothing beside it is out of sight.
        assert box_of(close)[1] > box_of(frame)[1] + box_of(frame)[3]
        assert box_of(viewer.locator(".about"))[2] <= PHONE["width"]
        move(hand, [[(x + 80, y)], [(x, y)], [(x - 80, y)]])
        expect(step).to_have_text(re.compile("^2 of "))
        move(hand, [[(x - 80, y)], [(x, y)], [(x + 80, y)]])
        expect(step).to_have_text(re.compile("^1 of "))
        expect(viewer.locator("li.lit")).to_have_count(1)
        width = box_of(frame)[2]
        move(hand, [[(x - 30, y), (x + 30, y)], [(x - 60, y), (x + 60, y)]])
        assert abs(box_of(frame)[2] - 2 * width) < 2
        keep(page, "pinch")
        # Twice at once: back to all of it.
        move(hand, [[(x, y)]])
        move(hand, [[(x, y)]])
        until(lambda: abs(box_of(frame)[2] - width) < 1)
        expect(viewer).to_be_visible()
        # A tap lights, another one searches.
        viewer.locator(".list button.object").last.evaluate("(one) => one.focus()")
        lit = viewer.locator("li.lit > .object")
        name = lit.inner_text()
        place = page.locator("canvas").evaluate(CLEAR)
        move(hand, [[place]])
        expect(lit).to_have_text(name.replace("\n", ""))
        expect(viewer).to_be_hidden()
        expect(page.locator(".chip")).to_contain_text("like this object")


# A place on the screen that is not dimmed.
CLEAR = """(canvas) => {
  const { width, height } = canvas, area = canvas.getBoundingClientRect();
  const copy = new OffscreenCanvas(width, height).getContext("2d");
  copy.drawImage(canvas, 0, 0);
  const data = copy.getImageData(0, 0, width, height).data;
  const clear = [];
  for (let at = 0; at < width * height; at++) if (data[at * 4 + 3] === 0) clear.push(at);
  const at = clear[Math.floor(clear.length / 2)];
  const x = (at % width) / width, y = Math.floor(at / width) / height;
  return [area.x + x * area.width, area.y + y * area.height];
}"""


def move(hand: CDPSession, places: Sequence[Sequence[tuple[float, float]]]) -> None:
    """Put fingers down at the first places, move them on to the others, and lift them."""
    for number, fingers in enumerate(places):
        points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(fingers)]
        kind = "touchMove" if number else "touchStart"
        hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    hand.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
