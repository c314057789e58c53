"""The page never shows hits of another query as if they were this one's, nor wrong ones as right.

Answers are held back by routes, and the page's time is the test's: nothing waits for a clock.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from support.demo_world import build_demo
from support.page_world import (
    DESK,
    PAGE_MARKS,
    PHONE,
    hits,
    keep,
    look_for,
    narrow,
    opened,
    serving,
    show_unlikely,
)

pytestmark = PAGE_MARKS


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings, _ = build_demo(tmp_path_factory.mktemp("page"), 12)
    with serving(settings) as address:
        yield address


@pytest.fixture(params=["desk-light", "phone-dark"])
def page(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Page]:
    size, scheme = request.param.split("-")
    options = {"viewport": DESK} if size == "desk" else {"viewport": PHONE, "is_mobile": True}
    with opened(browser, url, color_scheme=scheme, has_touch=size == "phone", **options) as shown:
        shown.size = request.param  # type: ignore[attr-defined]
        yield shown


class HeldSearches:
    """Searches of a page that are answered when the test says so, in a time that it moves."""

    def __init__(self, page: Page) -> None:
        self._page, self._held = page, list[Route]()
        page.clock.install(time=0)
        page.clock.pause_at(3_600)
        page.route("**/v1/search", lambda route: self._held.append(route))

    def write(self, text: str) -> None:
        self._page.get_by_label("What to look for").fill(text)

    def pass_ms(self, milliseconds: int) -> None:
        self._page.clock.run_for(milliseconds)

    def take(self) -> Route:
        while not self._held:
            self._page.wait_for_timeout(10)
        return self._held.pop(0)


def test_old_hits_are_veiled_and_then_replaced(page: Page) -> None:
    look_for(page, "a lion")
    searches = HeldSearches(page)
    tiles, results = page.locator(".tile:not(.waiting)"), page.locator("#results")
    searches.write("a motorcycle")
    searches.pass_ms(150)
    expect(results).to_have_class("stale")
    expect(page.locator("#moving")).to_be_visible()
    expect(page.locator("#status")).to_have_text("Searching…")
    expect(page.locator("#grid")).not_to_have_css("opacity", "1")
    keep(page, "stale")
    searches.pass_ms(200)
    search = searches.take()
    searches.pass_ms(650)
    expect(page.locator(".tile.waiting").first).to_be_visible()
    expect(tiles).to_have_count(0)
    keep(page, "placeholders")
    search.continue_()
    expect(tiles.first).to_be_visible()
    expect(page.locator(".tile.waiting")).to_have_count(0)
    expect(results).not_to_have_class("stale")
    expect(page.locator("#moving")).to_be_hidden()


def test_hits_of_a_filter_or_an_example_are_marked_likewise(page: Page) -> None:
    look_for(page, "a lion")
    narrow(page)
    searches = HeldSearches(page)
    page.get_by_role("button", name="middle centre", exact=True).click()
    searches.pass_ms(150)
    expect(page.locator("#results")).to_have_class("stale")
    searches.take().continue_()
    expect(page.locator("#results")).not_to_have_class("stale")


def test_quick_answers_come_without_a_flicker(page: Page) -> None:
    look_for(page, "a lion")
    searches = HeldSearches(page)
    page.get_by_label("What to look for").press("Enter")
    searches.pass_ms(50)
    searches.take().continue_()
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    searches.pass_ms(5_000)
    expect(page.locator("#results")).not_to_have_class("stale")
    expect(page.locator(".tile.waiting")).to_have_count(0)


def test_unlikely_hits_stand_behind_a_divider(page: Page) -> None:
    look_for(page, page.locator(".suggestions button").first.inner_text())
    numbers = page.locator("#grid .tile").evaluate_all("(all) => all.map((one) => one.hit)")
    assert {hit["relevance"] for hit in numbers} <= {"strong", "likely"}
    likely, button = len(numbers), page.locator("#show-unlikely")
    assert 0 < likely < 30
    expect(page.locator("#status")).to_contain_text(f"{likely} likely match")
    expect(button).to_have_text(f"Show {30 - likely} unlikely")
    assert hits(page) == likely
    keep(page, "likely")
    show_unlikely(page)
    quiet = page.locator("#unlikely-grid .tile")
    expect(quiet.first).to_be_visible()
    assert quiet.first.evaluate("(tile) => tile.hit.relevance") == "weak"
    smaller, larger = (
        page.locator(f"{grid} .open").first.evaluate("(one) => one.clientHeight")
        for grid in ("#unlikely-grid", "#grid")
    )
    assert smaller < 0.8 * larger
    shown = page.locator(".tile").evaluate_all("(all) => all.map((one) => one.hit.probability)")
    assert shown[:30] == sorted(shown[:30], reverse=True)
    keep(page, "unlikely")
    button.click()
    expect(quiet.first).to_be_hidden()


def test_where_nothing_is_likely_the_nearest_few_are_shown(page: Page) -> None:
    look_for(page, "a skyscraper made of glass")
    expect(page.locator("#notice")).to_contain_text("Most likely there is no such object here")
    expect(page.locator("#status")).to_contain_text("no likely match in the first 30 objects")
    expect(page.locator("#grid.quiet .tile")).to_have_count(5)
    expect(page.locator("#show-unlikely")).to_have_text("Show 25 more unlikely")


def test_a_scroll_during_a_search_asks_for_nothing(page: Page) -> None:
    look_for(page, "a lion")
    show_unlikely(page)
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.post_data or ""))
    answers = list[int]()
    page.on("response", lambda response: answers.append(response.status))
    held = list[Route]()
    page.route("**/v1/search", lambda route: held.append(route))
    with page.expect_request("**/v1/search"):
        page.get_by_label("What to look for").fill("a crown")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    for route in held:
        route.continue_()
    page.unroute("**/v1/search")
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    cursors = [body for body in asked if "cursor" in body and "crown" in body]
    assert len(cursors) <= 1  # of the answer itself, once it is there
    assert 422 not in answers


def test_a_failed_upload_leaves_the_hits(page: Page) -> None:
    look_for(page, "a lion")
    before, status = hits(page), page.locator("#status").inner_text()
    data = {"name": "list.json", "mimeType": "application/json", "buffer": b'{"images": []}'}
    page.set_input_files("#file", files=[data])
    complaint = page.locator("#complaint")
    expect(complaint).to_contain_text("list.json is no picture that can be searched with")
    assert "b'" not in complaint.inner_text()
    keep(page, "failed-upload")
    assert hits(page) == before
    expect(page.locator("#status")).to_have_text(status)
    complaint.get_by_role("button", name="Close").click()
    expect(complaint).to_be_hidden()


def test_escape_never_wipes_a_search(page: Page) -> None:
    look_for(page, "a lion")
    page.locator(".tile .open").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_label("What to look for").focus()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.get_by_label("What to look for")).to_have_value("a lion")
    assert hits(page) > 0
    page.get_by_role("button", name="Clear the search").click()
    expect(page.locator(".suggestions")).to_be_visible()


def test_buttons_cover_no_object_on_a_phone(page: Page) -> None:
    look_for(page, "a lion")
    tile = page.locator(".tile").first
    picture, button = tile.locator(".open").bounding_box(), tile.locator(".more").bounding_box()
    assert picture is not None
    assert button is not None
    if page.viewport_size == PHONE:
        assert button["y"] >= picture["y"] + picture["height"]
        assert min(button["width"], button["height"]) >= 40


def test_every_label_can_be_sought(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    suggestions = page.locator(".suggestions button")
    expect(suggestions).to_have_count(12)
    suggested = suggestions.all_inner_texts()
    narrow(page)
    labels = page.locator("#filters section").first.locator(".facet span:first-child")
    expect(labels).to_have_count(12)
    assert suggested == labels.all_inner_texts()
    everything = page.evaluate(
        "async () => (await (await fetch('/v1/facets?limit=1000')).json()).labels"
    )
    assert len(everything) > 12
    rare = everything[-1]["value"]
    page.get_by_label("Find a label").press_sequentially(rare)
    expect(labels.first).to_have_text(rare)
    expect(page.get_by_label("Find a label")).to_be_focused()
    expect(page.get_by_label("Find a label")).to_have_value(rare)
    # What is suggested is there.
    page.locator(".suggestions button").first.click()
    expect(page.locator("#status")).to_contain_text("likely match")
