"""The page over objects with parts, and with labels of their segmenter: tree, details, filters."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect
from support.page_world import (
    PAGE_MARKS,
    hits,
    keep,
    look_for,
    narrow,
    show_unlikely,
)

pytestmark = PAGE_MARKS
SCENES = 3


def open_subpart(page: Page) -> Locator:
    """The viewer, with the part of a part lit."""
    look_for(page, "a thing")
    narrow(page)
    page.get_by_role("button", name="subpart").click()
    expect(page.locator("#status")).to_contain_text(f"{SCENES} objects")
    show_unlikely(page)
    page.mouse.move(1, 1)  # a row under it would be lit
    page.locator(".tile .open").first.press("Enter")
    viewer = page.get_by_role("dialog")
    expect(viewer.locator("li.lit")).to_have_count(1)
    return viewer


def seen(page: Page) -> int:
    """How many pixels of the canvas are clear: those of the mask that is lit."""
    count: int = page.locator("canvas").evaluate(
        """(canvas) => {
          const { width, height } = canvas;
          const copy = new OffscreenCanvas(width, height).getContext("2d");
          copy.drawImage(canvas, 0, 0);
          const data = copy.getImageData(0, 0, width, height).data;
          return data.filter((value, at) => at % 4 === 3 && value === 0).length;
        }"""
    )
    return count


def test_parts_stand_under_their_wholes(parts_page: Page) -> None:
    page = parts_page
    viewer = open_subpart(page)
    subpart = viewer.locator("li li li")
    expect(subpart).to_have_count(1)
    expect(subpart).to_have_class("lit")
    page.wait_for_timeout(300)
    keep(page, "tree")
    sizes = [seen(page)]
    part = viewer.locator("li li > .object").first
    part.hover()
    sizes.append(seen(page))
    whole = viewer.locator("ul.list > li:has(ul) > .object")
    whole.focus()
    sizes.append(seen(page))
    assert 0 < sizes[0] < sizes[1] < sizes[2]
    expect(viewer.locator("li.lit > .object")).to_have_text(whole.inner_text().replace("\n", ""))
    # Folded, a part is shown by what it is folded into.
    fold = viewer.locator("ul.list > li > .fold")
    expect(fold).to_have_attribute("aria-expanded", "true")
    fold.press("Enter")
    expect(fold).to_have_attribute("aria-expanded", "false")
    expect(subpart).to_be_hidden()


def test_details_are_of_the_lit_object(parts_page: Page) -> None:
    page = parts_page
    viewer = open_subpart(page)
    details = viewer.locator("#details")
    expect(details.locator("dd").nth(1)).to_have_text("\N{EN DASH}")
    expect(details.locator("dd").nth(2)).to_contain_text("subpart of ")
    whole = viewer.locator("ul.list > li:has(ul) > .object")
    whole.focus()
    expect(details.locator("dd").nth(1)).to_have_text("big thing 90%")
    expect(details.locator("dd").nth(2)).to_have_text("whole")
    expect(details.locator("dd").first).to_contain_text("%")


def test_levels_and_labels_of_a_segmenter_narrow(parts_page: Page) -> None:
    page = parts_page
    look_for(page, "a thing")
    narrow(page)
    panel = page.locator("#filters")
    for level, count in (("part", SCENES), ("subpart", SCENES)):
        button = panel.locator(f"[data-id='level={level}']")
        expect(button).to_have_text(f"{level}{count}")
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".chip")).to_have_text([f"level : {level}✕"])
        expect(page.locator("#status")).to_contain_text(f"{count} objects")
    keep(page, "levels")
    page.get_by_role("button", name="Clear all filters").click()
    button = panel.locator("[data-id='segmenter_label=big thing']")
    expect(button).to_have_text(f"big thing{SCENES}")
    button.click()
    expect(page.locator(".chip")).to_have_text(["segmenter label : big thing✕"])
    expect(page.locator("#status")).to_contain_text(f"{SCENES} objects")
    show_unlikely(page)
    assert hits(page) == SCENES
    title = page.locator(".tile").first.get_attribute("title") or ""
    assert title.endswith("segmenter: big thing 90%")
