"""Back, on the page: it closes the viewer, and brings back the same hits at the same place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from support.page_world import DESK, PAGE_MARKS, PHONE, look_for, narrow, opened, show_unlikely
from support.waiting import until

pytestmark = PAGE_MARKS


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Browser, parts_url: str) -> Iterator[Page]:
    size = {**getattr(request, "param", DESK), "height": 480}
    with opened(browser, parts_url, viewport=size) as shown:
        yield shown


def shown(page: Page) -> tuple[list[str], str]:
    objects: list[str] = page.locator(".tile").evaluate_all(
        "(all) => all.map((one) => one.hit?.object_id)"
    )
    return objects, page.locator("#status").inner_text()


def scroll(page: Page) -> int:
    place: int = page.evaluate("Math.round(scrollY)")
    return place


@pytest.mark.parametrize("page", [DESK, PHONE], ids=["desk", "phone"], indirect=True)
def test_back_brings_the_same_hits_at_the_same_place(page: Page) -> None:
    look_for(page, "a thing")
    show_unlikely(page)
    expect(page.locator("#more")).to_be_attached()
    until(lambda: "the first" not in shown(page)[1])
    page.locator(".tile").last.scroll_into_view_if_needed()
    before, place = shown(page), scroll(page)
    assert place > 100
    searches = list[str]()
    page.on("request", lambda request: searches.append(request.url))
    tile = page.locator(".tile .open").last
    tile.click()
    viewer = page.get_by_role("dialog")
    expect(viewer.locator("li.lit")).to_have_count(1)
    page.go_back()
    expect(viewer).to_be_hidden()
    assert (shown(page), scroll(page)) == (before, place)
    page.go_forward()
    expect(viewer.locator("li.lit")).to_have_count(1)
    # A search of what is in it takes its place in the history.
    viewer.locator("li button.object").first.click()
    expect(viewer).to_be_hidden()
    expect(page.locator(".chip")).to_contain_text("like this object")
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    assert scroll(page) == 0
    asked = len([url for url in searches if url.endswith("/v1/search")])
    page.go_back()
    expect(page.locator(".chip")).to_have_count(0)
    assert (shown(page), scroll(page)) == (before, place)
    expect(viewer).to_be_hidden()
    assert len([url for url in searches if url.endswith("/v1/search")]) == asked
    page.go_forward()
    expect(page.locator(".chip")).to_contain_text("like this object")
    assert len([url for url in searches if url.endswith("/v1/search")]) == asked


def test_what_is_written_is_one_entry_and_a_closed_viewer_none(page: Page) -> None:
    wall = page.locator("#results.start .tile")
    expect(wall.first).to_be_visible()
    length = page.evaluate("history.length")
    page.get_by_label("What to look for").press_sequentially("a lion", delay=40)
    expect(page).to_have_title("a lion · objseek")
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    assert page.evaluate("history.length") == length + 1
    page.locator(".tile .open").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.go_back()
    expect(wall.first).to_be_visible()
    expect(page.get_by_label("What to look for")).to_have_value("")


MEDIUM_LABELS = """async () => {
  const path = "/v1/facets?limit=12&filter=area_frac%3E%3D0.05&filter=area_frac%3C0.2";
  return (await (await fetch(path)).json()).labels.map((label) => label.value);
}"""


def test_a_choice_is_one_chip_and_leaves_the_others_to_choose(page: Page) -> None:
    look_for(page, "a thing")
    narrow(page)
    sizes = page.locator("#filters [data-id^='size ']")
    expect(sizes.first).to_be_visible()
    counts = sizes.locator(".count").all_inner_texts()
    medium = page.get_by_role("button", name="medium, 5 to 20%")
    medium.click()
    expect(page.locator(".chip .words")).to_have_text(["5% to 20% of the image"])
    expect(sizes.locator(".count")).to_have_text(counts)
    labels = page.locator("#filters [data-id^='labels=']")
    names = page.evaluate(MEDIUM_LABELS)
    assert len(names) > 1
    expect(labels.locator("span:first-child")).to_have_text(names)
    labels.first.click()
    expect(labels.first).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    expect(labels.locator("span:first-child")).to_have_text(names)
    # Another label is chosen in its place.
    labels.last.click()
    expect(page.locator("#filters [aria-pressed=true][data-id^='labels=']")).to_have_count(1)
    page.get_by_role("button", name="middle centre", exact=True).click()
    expect(page.locator(".chip .words").last).to_have_text("in the middle centre")
    page.get_by_role("button", name="Remove: in the middle centre").click()
    page.get_by_role("button", name="Remove: 5% to 20% of the image").click()
    expect(page.locator(".chip")).to_have_count(1)
