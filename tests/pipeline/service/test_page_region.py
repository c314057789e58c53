"""A box that is searched with stays in sight beside the hits, and can be adjusted there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from support.page_world import DESK, PAGE_MARKS, PHONE, TOKEN, keep, opened, violations

from pipeline.service.client import Client
from schemas.api import ObjectAnswer, SearchRequest

pytestmark = PAGE_MARKS


@pytest.fixture(scope="module")
def apart(parts_url: str) -> list[ObjectAnswer]:
    """The two objects of an image that are furthest from each other."""
    with Client(parts_url, TOKEN) as client:
        hit = client.search(SearchRequest(text="a thing", limit=1)).hits[0]
        objects = client.image(hit.payload.image_id).objects
    wholes = [each for each in objects if each.payload.parent_id is None]
    return sorted(wholes, key=lambda each: each.payload.center_x_frac or 0)[:: len(wholes) - 1]


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, parts_url: str) -> Iterator[Page]:
    options: dict[str, Any] = {"viewport": request.param}
    with opened(browser, parts_url, **options) as shown:
        shown.size = request.node.callspec.id  # type: ignore[attr-defined]
        yield shown


def test_the_box_is_moved_beside_the_hits(page: Page, apart: list[ObjectAnswer]) -> None:
    one, other = (each.payload for each in apart)
    box = "%2C".join(map(str, one.bbox))
    first = f"{page.url}?like=i%3A{one.image_id}%40{box}"
    page.goto(first)
    panel = page.get_by_role("complementary", name="Searched picture")
    expect(panel.locator("p")).to_have_text("Drag the handles if it is another object.")
    expect(page.locator(".tile img.there").first).to_be_visible()
    page.wait_for_function("() => document.querySelector('.region img').naturalWidth > 0")
    page.wait_for_function("() => document.querySelector('.region canvas').width !== 300")
    keep(page, "region")
    assert violations(page) == []
    area = panel.locator("canvas").bounding_box()
    assert area is not None
    scale = area["width"] / one.width

    def place(x: float, y: float) -> tuple[float, float]:
        return area["x"] + x * scale, area["y"] + y * scale

    # A box round the other object; it is drawn anew from outside of the first.
    x0, y0, x1, y1 = other.bbox
    page.mouse.move(*place(x0 + 1, y0 + 1))
    page.mouse.down()
    page.mouse.move(*place(x1 - 1, y1 - 1), steps=4)
    page.mouse.up()
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    expect(page).not_to_have_url(first)
    expect(panel).to_be_visible()
    # Keys move it, and Back brings the first one back.
    before = page.url
    panel.locator("canvas").focus()
    page.keyboard.press("Shift+ArrowLeft")
    expect(page).not_to_have_url(before)
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    page.go_back()
    page.go_back()
    expect(page).to_have_url(first)
    panel.get_by_role("button", name="Open").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    panel.get_by_role("button", name="The box as it is").click()
    expect(panel.locator("p")).to_have_text("The box is searched with as it is.")
    page.get_by_role("button", name="Clear the search").click()
    expect(panel).to_be_hidden()
