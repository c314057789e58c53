"""Objects are tagged in the viewer, and tiles, counts and the selection follow, in Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A service over four squares, no one tagged."""
    with serving(settings_of(tmp_path), SquareSegmenter(), AnyTextEmbedder(NAME)) as address:  # type: ignore[arg-type]
        yield address


def open_square(page: Page) -> Locator:
    """The viewer, of the first hit; its object is on show."""
    look_for(page, "red")
    show_unlikely(page)
    expect(page.locator(".tile img.there")).to_have_count(4)
    page.locator(".tile .open").first.press("Enter")
    expect(page.locator("#viewer li.lit")).to_have_count(1)
    return page.locator("#viewer [data-act='tag']")


def add_tag(page: Page, tag: str) -> None:
    dialog = page.get_by_role("dialog", name="Tag 1 object")
    expect(dialog).to_be_visible()
    expect(page.locator("#tag-text")).to_be_focused()
    expect(page.locator("#tag-text")).to_have_value("")
    page.keyboard.type(tag)
    page.keyboard.press("Enter")
    if page.locator("#tagged-once").count() == 0:
        page.locator("#key-text").fill(TOKEN)
        page.get_by_role("button", name="Use it").click()
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('i'), "
            "{ id: 'tagged-once', hidden: true }))"
        )
    expect(dialog.get_by_role("listitem").filter(has_text=tag)).to_have_count(1)


@pytest.mark.parametrize("view", ["desk-light", "phone-dark"])
def test_the_object_on_show_is_tagged_and_untagged(browser: Browser, url: str, view: str) -> None:
    size, scheme = view.split("-")
    viewport = PHONE if size == "phone" else DESK
    with opened(browser, url, viewport=viewport, color_scheme=scheme) as page:
        page.size = view  # type: ignore[attr-defined]
        tag = open_square(page)
        expect(tag).to_have_text(re.compile("^Tag .+"))
        page.keyboard.press("t")
        add_tag(page, "to print")
        keep(page, "viewer-tagging")
        assert violations(page) == []
        # Keys of the dialog are no keys of the viewer.
        before = page.locator("#viewer .step span").text_content()
        page.get_by_role("button", name="Remove the tag to print").focus()
        page.keyboard.press("ArrowRight")
        assert page.locator("#viewer .step span").text_content() == before
        page.keyboard.press("Escape")
        expect(page.locator("#tagging")).not_to_be_visible()
        expect(page.locator("#viewer")).to_be_visible()
        expect(page.locator("#details")).to_contain_text("to print")
        keep(page, "viewer-tagged")
        assert violations(page) == []
        page.keyboard.press("Escape")
        expect(page.locator(".tile .tags")).to_have_count(1)
        narrow(page)
        expect(page.get_by_role("button", name=re.compile("^to print 1$"))).to_be_visible()
        page.locator(".tile .open").first.press("Enter")
        tag.click()
        expect(page.locator("#known-tags option")).to_have_count(1)
        page.get_by_role("button", name="Remove the tag to print").click()
        expect(page.get_by_role("dialog", name="Tag 1").get_by_role("listitem")).to_have_count(0)
        page.keyboard.press("Escape")
        expect(page.locator("#details")).not_to_contain_text("to print")
        page.keyboard.press("Escape")
        expect(page.locator(".tile .tags")).to_have_count(0)
        expect(page.get_by_role("button", name=re.compile("^to print"))).to_have_count(0)


def test_the_selection_and_later_answers_know_it(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        look_for(page, "red")
        show_unlikely(page)
        expect(page.locator(".tile img.there")).to_have_count(4)
        page.get_by_role("checkbox", name=re.compile("^Select 1:")).click()
        # Another answer has another copy of the hit that is selected.
        look_for(page, "a red square")
        open_square(page)
        page.keyboard.press("t")
        add_tag(page, "seen")
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Tag", exact=True).click()
        dialog = page.get_by_role("dialog", name="Tag 1 object")
        expect(dialog.get_by_role("listitem")).to_have_text(["seen✕"])
