"""What tests do with the map on the page."""

from __future__ import annotations

from playwright.sync_api import Page, expect


def open_map(page: Page) -> None:
    page.get_by_role("button", name="Map", exact=True).click()
    expect(page.locator(".map-canvas")).to_be_visible()


def draw_lasso(page: Page, left: float = 0.02, right: float = 0.5) -> None:
    """Round what lies between two shares of the map's width."""
    button = page.get_by_role("button", name="Lasso")
    if button.get_attribute("aria-pressed") == "false":
        button.click()
    box = page.locator(".map-canvas").bounding_box()
    assert box is not None
    corners = ((left, 0.3), (right, 0.3), (right, 0.7), (left, 0.7))
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for x, y in places[1:]:
        page.mouse.move(x, y, steps=3)
    page.mouse.up()
