"""What a lasso chooses on the map narrows the results, like other filters, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from support.demo_world import build_demo
from support.map_world import make_map_in_order
from support.page_map import draw_lasso, open_map
from support.page_world import (
    DESK,
    PAGE_MARKS,
    PHONE,
    keep,
    look_for,
    narrow,
    opened,
    serving,
    violations,
)

from pipeline.index_home import IndexHome
from pipeline.search.kept_map import read_map
from pipeline.settings import Settings
from schemas.map_region import find_within

pytestmark = PAGE_MARKS
HORSESHOE = [[0, 0], [6, 0], [6, 4], [4, 4], [4, 2], [2, 2], [2, 4], [0, 4]]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made, _ = build_demo(tmp_path_factory.mktemp("region"), 6)
    make_map_in_order(made)
    return made


@pytest.fixture(scope="module")
def url(settings: Settings) -> Iterator[str]:
    with serving(settings) as address:
        yield address


@pytest.fixture(params=["desk-light", "phone-dark"])
def page(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Page]:
    size, scheme = request.param.split("-")
    view = PHONE if size == "phone" else DESK
    with opened(browser, url, viewport=view, color_scheme=scheme) as shown:
        shown.size = request.param  # type: ignore[attr-defined]
        yield shown


def choose_left_half(page: Page) -> int:
    """Show what a lasso chooses in the results; how many the map lists."""
    open_map(page)
    draw_lasso(page)
    words = page.locator(".map-list [role=status]")
    expect(words).to_contain_text("within the lasso")
    page.get_by_role("button", name="Show in the results").click()
    expect(page.locator("#map")).not_to_be_visible()
    return int((words.text_content() or "0").split()[0])


def test_the_results_are_what_was_chosen(page: Page, settings: Settings) -> None:
    count = choose_left_half(page)
    chip = page.locator("#chips .chip .words")
    expect(chip).to_have_text(f"{count} objects of the map")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{count} objects of the map")
    expect(page.locator("#grid .tile:not(.waiting)")).to_have_count(count)
    made = read_map(IndexHome.current(settings))
    assert made is not None
    # The layout is a line: the lasso goes round its first objects.
    chosen = {bytes(each).hex() for each in made.ids[np.argsort(made.positions[:, 0])][:count]}
    shown = page.evaluate(
        "[...document.querySelectorAll('#grid .tile')].map((tile) => tile.hit.object_id)"
    )
    assert {each.replace("-", "") for each in shown} == chosen
    keep(page, "map-region")
    assert violations(page) == []
    page.get_by_role("button", name="Remove: ").click()
    expect(page.locator("#chips")).not_to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("images")
    page.go_back()
    expect(chip).to_have_text(f"{count} objects of the map")
    expect(page.locator("#grid .tile:not(.waiting)")).to_have_count(count)


def test_it_holds_beside_other_filters_and_a_search(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        count = choose_left_half(page)
        expect(page.get_by_role("heading", level=1)).to_have_text(f"{count} objects of the map")
        narrow(page)
        facet = page.locator("#filters .facet[data-id^='labels=']").first
        number = int(facet.locator(".count").text_content() or "0")
        assert 0 < number < count
        facet.click()
        expect(page.locator("#chips .chip")).to_have_count(2)
        expect(page.locator("#grid .tile:not(.waiting)")).to_have_count(number)
        expect(page.get_by_role("heading", level=1)).to_contain_text(f"{number} object")
        look_for(page, "a bird")
        with page.expect_response("**/v1/search") as answered:
            page.reload()
        sent = answered.value.request.post_data_json["conditions"]
        assert {condition["field"] for condition in sent} == {"labels", "on_map"}
        assert len(answered.value.json()["hits"]) <= number
        expect(page.locator("#chips .chip")).to_have_count(2)


def test_the_map_shows_again_what_was_chosen(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        count = choose_left_half(page)
        open_map(page)
        listed = page.locator(".map-list [role=status]")
        expect(listed).to_have_text(f"{count} objects within the lasso")
        bright = "document.getElementById('map').map.chosen.reduce((sum, each) => sum + each)"
        assert page.evaluate(bright) == count
        draw_lasso(page, 0.7, 0.98)
        expect(listed).not_to_have_text(f"{count} objects within the lasso")
        page.get_by_role("button", name="Show in the results").click()
        expect(page.locator("#chips .chip")).to_have_count(1)
        page.go_back()
        expect(page.locator("#chips .words")).to_have_text(f"{count} objects of the map")
        open_map(page)
        page.go_back()
        expect(page.locator("#map")).not_to_be_visible()
        expect(page.locator("#chips")).not_to_be_visible()


def test_a_label_of_the_legend_narrows_the_results_too(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        open_map(page)
        label = page.locator(".map-legend .facet").first
        name = label.locator("span").first.text_content()
        label.click()
        page.get_by_role("button", name="Show in the results").click()
        expect(page.locator("#chips .words")).to_have_text(f"label : {name}")


def test_a_finger_draws_or_moves_the_map(browser: Browser, url: str) -> None:
    with opened(browser, url, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        open_map(page)
        touch = page.context.new_cdp_session(page)
        box = page.locator(".map-canvas").bounding_box()
        assert box is not None

        def drag(*shares: tuple[float, float]) -> None:
            at = [
                {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
                for x, y in shares
            ]
            send = "Input.dispatchTouchEvent"
            touch.send(send, {"type": "touchStart", "touchPoints": [at[0]]})
            for place in at[1:]:
                touch.send(send, {"type": "touchMove", "touchPoints": [place]})
            touch.send(send, {"type": "touchEnd", "touchPoints": []})

        drag((0.2, 0.5), (0.4, 0.5), (0.6, 0.5))
        centre = "document.getElementById('map').map.centre[0]"
        page.wait_for_function(f"() => {centre} < -0.1")
        expect(page.locator(".map-list [role=status]")).not_to_contain_text("within")
        page.get_by_role("button", name="Show all").click()
        page.get_by_role("button", name="Lasso").click()
        drag((0.02, 0.3), (0.5, 0.3), (0.5, 0.7), (0.02, 0.7))
        expect(page.locator(".map-list [role=status]")).to_contain_text("within the lasso")
        assert page.evaluate(centre) == 0


def test_of_a_map_that_was_made_anew_it_says_so(
    browser: Browser, url: str, settings: Settings
) -> None:
    made = read_map(IndexHome.current(settings))
    assert made is not None
    other = int(made.made_at.timestamp()) - 60
    with opened(browser, f"{url}/?q=bird&filter=on_map={other}:0,0,1,0,1,1") as page:
        notice = page.locator("#notice")
        expect(notice).to_contain_text("chosen on a map that was made anew since")
        page.get_by_role("button", name="Remove: objects of the map").click()
        expect(page.locator("#grid .tile img.there").first).to_be_visible()
        expect(notice).not_to_be_visible()


def test_the_page_counts_as_the_service_does(browser: Browser, url: str) -> None:
    points = np.random.default_rng(5).uniform(-1, 7, (400, 2))
    # Not on a corner's line alone: on it, too.
    points = np.vstack([points, [[1, 3], [3, 3], [2, 2], [5, 4]]])
    with opened(browser, url) as page:
        inside = page.evaluate(
            "async ([points, corners]) => {"
            " const { isWithin } = await import('/static/polygon.js');"
            " return points.map(([x, y]) => isWithin(x, y, corners)); }",
            [points.tolist(), HORSESHOE],
        )
        assert inside == find_within(points, tuple(map(tuple, HORSESHOE))).tolist()
        corners = page.evaluate(
            "async () => {"
            " const { simplify } = await import('/static/polygon.js');"
            " const line = Array.from({ length: 900 }, (_, at) =>"
            "  [100 * Math.cos(at / 143), 100 * Math.sin(at / 143)]);"
            " return [simplify(line, 60), simplify(line.slice(0, 3), 60)]; }"
        )
        assert 20 < len(corners[0]) <= 60
        assert len(corners[1]) == 3
        assert np.allclose(np.hypot(*np.array(corners[0]).T), 100)
