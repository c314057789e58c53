"""The page in a real browser: hits are selected, tagged and exported; searches are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from support.page_world import (
    DESK,
    PAGE_MARKS,
    PHONE,
    TOKEN,
    keep,
    look_for,
    narrow,
    opened,
    serving,
    show_unlikely,
    violations,
)
from support.service_world import NAME, AnyTextEmbedder, SquareSegmenter, settings_of

pytestmark = PAGE_MARKS


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service over four squares."""
    settings = settings_of(tmp_path_factory.mktemp("selection"))
    with serving(settings, SquareSegmenter(), AnyTextEmbedder(NAME)) as address:  # type: ignore[arg-type]
        yield address


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened(browser, url, viewport=DESK) as shown:
        find_squares(shown)
        yield shown


def find_squares(page: Page) -> None:
    look_for(page, "red")
    show_unlikely(page)
    expect(page.locator(".tile img.there")).to_have_count(4)


def tick(page: Page, place: int) -> Locator:
    return page.get_by_role("checkbox", name=re.compile(rf"^Select {place}:"))


def selected(page: Page) -> list[int]:
    """The places of the tiles that are selected, from 1."""
    states = page.locator(".tick").evaluate_all(
        "(all) => all.map((one) => one.getAttribute('aria-checked'))"
    )
    return [place for place, state in enumerate(states, 1) if state == "true"]


def told(page: Page) -> Locator:
    return page.get_by_role("region", name="Selection").get_by_role("status")


def give_key(page: Page) -> None:
    page.locator("#key-text").fill(TOKEN)
    page.get_by_role("button", name="Use it").click()


def test_ticks_ranges_and_keys_select(page: Page) -> None:
    bar = page.get_by_role("region", name="Selection")
    expect(bar).to_be_hidden()
    tick(page, 1).click()
    expect(told(page)).to_have_text("1 selected")
    tick(page, 3).click(modifiers=["Shift"])
    assert selected(page) == [1, 2, 3]
    page.locator(".tile .open").nth(1).click(modifiers=["Control"])
    assert selected(page) == [1, 3]
    expect(page.get_by_role("dialog")).to_be_hidden()
    keep(page, "selection")
    assert violations(page) == []
    bar.get_by_role("button", name="Select all").click()
    assert selected(page) == [1, 2, 3, 4]
    # What is selected stays from search to search.
    look_for(page, "blue")
    show_unlikely(page)
    expect(told(page)).to_have_text("4 selected")
    bar.get_by_role("button", name="Clear").click()
    expect(bar).to_be_hidden()
    assert page.evaluate("document.activeElement.className") == "open"
    page.locator(".tile .open").first.focus()
    page.keyboard.press("x")
    page.keyboard.press("Shift+ArrowRight")
    assert selected(page) == [1, 2]
    page.keyboard.press("Control+a")
    assert selected(page) == [1, 2, 3, 4]
    page.keyboard.press("Escape")
    assert selected(page) == []


def test_a_rectangle_selects(page: Page) -> None:
    tiles = page.locator(".tile")
    first, second = (tiles.nth(place).bounding_box() for place in (0, 1))
    assert first is not None
    assert second is not None
    page.mouse.move(first["x"] + 12, first["y"] + 12)
    page.mouse.down()
    page.mouse.move(first["x"] + 20, first["y"] + 20)
    expect(page.locator(".lasso")).to_be_visible()
    page.mouse.move(second["x"] + 12, second["y"] + 40, steps=4)
    page.mouse.up()
    expect(page.locator(".lasso")).to_have_count(0)
    expect(told(page)).to_have_text("2 selected")
    # The click that ended it opened nothing; the next one does.
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.locator(".tile .open").first.click()
    expect(page.locator("#viewer")).to_be_visible()


def test_the_selection_is_tagged_and_narrowed_by(page: Page) -> None:
    tick(page, 1).click()
    tick(page, 2).click()
    page.get_by_role("button", name="Tag", exact=True).click()
    dialog = page.get_by_role("dialog", name="Tag 2 objects")
    expect(dialog).to_be_visible()
    page.keyboard.type("to print")
    page.keyboard.press("Enter")
    give_key(page)
    expect(dialog.get_by_role("listitem")).to_have_text(["to print✕"])
    expect(page.locator(".tile .tags")).to_have_count(2)
    assert violations(page) == []
    keep(page, "tagging")
    page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("^to print 2$")).click()
    expect(page.locator(".tile:not(.waiting)")).to_have_count(2)
    expect(page.locator("#chips .chip")).to_contain_text("tag : to print")
    # One of them is taken out of it again; both have it in their lines.
    page.get_by_role("region", name="Selection").get_by_role("button", name="Clear").click()
    tick(page, 1).click()
    page.get_by_role("button", name="Tag", exact=True).click()
    expect(page.locator("#known-tags option")).to_have_count(1)
    page.get_by_role("button", name="Remove the tag to print").click()
    expect(page.get_by_role("dialog").get_by_role("listitem")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator(".tile .tags")).to_have_count(1)
    expect(page.get_by_role("button", name=re.compile("^to print 1$"))).to_be_visible()
    page.locator(".tile .open").nth(1).click()
    expect(page.locator("#details")).to_contain_text("Tags")


def test_the_selection_is_exported(page: Page) -> None:
    tick(page, 1).click()
    tick(page, 2).click()
    page.get_by_role("button", name="Export").click()
    menu = page.get_by_role("group", name="Export as")
    expect(menu.get_by_role("button")).to_have_count(4)
    assert violations(page) == []
    with page.expect_download() as coming:
        menu.get_by_role("button", name="COCO").click()
    assert coming.value.suggested_filename == "objects.json"
    document = json.loads(coming.value.path().read_text())
    assert len(document["annotations"]) == 2
    expect(menu).to_be_hidden()
    expect(page.get_by_role("button", name="Export")).to_be_focused()


def test_searches_are_kept_by_name(page: Page) -> None:
    page.get_by_role("button", name="Save search").click()
    dialog = page.get_by_role("dialog", name="Save this search")
    expect(dialog.get_by_label("Name")).to_have_value("red")
    dialog.get_by_label("Name").fill("my <b>reds</b>")
    page.keyboard.press("Enter")
    kept = page.get_by_role("navigation", name="Saved searches")
    expect(kept.get_by_role("link")).to_have_text(["my <b>reds</b>"])
    expect(page.get_by_role("button", name="★ Saved")).to_be_visible()
    assert violations(page) == []
    # At the start too, and after the page was loaded anew.
    page.get_by_role("link", name="objseek: start anew").click()
    expect(page.locator("#empty")).to_be_visible()
    page.reload()
    keep(page, "saved")
    expect(page.get_by_role("button", name="Save search")).to_be_hidden()
    kept.get_by_role("link").click()
    expect(page.get_by_label("What to look for")).to_have_value("red")
    expect(page.locator(".tile:not(.waiting)").first).to_be_visible()
    page.get_by_role("button", name="Rename or delete").click()
    page.get_by_role("textbox", name="Name").fill("reds")
    page.keyboard.press("Enter")
    expect(kept.get_by_role("link")).to_have_text(["reds"])
    page.get_by_role("button", name="Rename or delete").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(kept).to_be_hidden()


def test_a_long_press_selects_on_a_phone(browser: Browser, url: str) -> None:
    with opened(browser, url, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        find_squares(page)
        tile = page.locator(".tile .open").first
        at = {"pointerType": "touch", "clientX": 40, "clientY": 300, "bubbles": True}
        tile.dispatch_event("pointerdown", at)
        expect(told(page)).to_have_text("1 selected")
        tile.dispatch_event("pointerup", at)
        tile.dispatch_event("click")
        # The click that ends it does nothing; from now on a tap selects.
        assert selected(page) == [1]
        page.locator(".tile .open").nth(1).tap()
        assert selected(page) == [1, 2]
        assert violations(page) == []
        keep(page, "selection-phone")
        box = page.get_by_role("region", name="Selection").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
        narrow(page)
        page.get_by_role("button", name="Clear", exact=True).click()
        expect(page.get_by_role("region", name="Selection")).to_be_hidden()
