"""The page's start: a wall of what there is, labels, a first step where there is nothing yet."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Browser, Page, Route, expect
from support.page_world import DESK, PAGE_MARKS, PHONE, TOKEN, keep, opened, serving, violations

from pipeline.service.client import Client
from pipeline.settings import Settings
from schemas.browsing import VarietyAnswer
from schemas.ingest_api import IngestState, NewObject
from schemas.options import IndexOptions
from workers.indexes.open import open_index

pytestmark = PAGE_MARKS


def ids(page: Page) -> list[str]:
    found: list[str] = page.locator(".tile").evaluate_all(
        "(all) => all.map((one) => one.hit.object_id)"
    )
    return found


def test_it_is_a_wall_of_what_there_is(parts_page: Page) -> None:
    page = parts_page
    expect(page.get_by_role("heading", level=1)).to_contain_text("in 3 images")
    expect(page.locator(".tile img.there").first).to_be_visible()
    expect(page.locator(".tile:nth-child(-n+6) img:not(.there)")).to_have_count(0)
    keep(page, "wall")
    assert len(ids(page)) == len(set(ids(page))) > 12
    # What is here can be opened, and be begun with.
    page.locator(".tile .open").nth(1).press("Enter")
    viewer = page.get_by_role("dialog")
    expect(viewer.locator("li.lit")).to_have_count(1)
    expect(viewer.locator(".step")).to_contain_text(re.compile(r"2 of \d+"))
    page.go_back()
    expect(viewer).to_be_hidden()
    before = ids(page)
    with page.expect_response("**/v1/variety?*turn=1"):
        page.get_by_role("button", name="Show others").click()
    expect(page.get_by_role("button", name="Show others")).to_be_focused()
    assert set(ids(page)) == set(before)  # there are no more


def test_filters_hold_on_the_wall(browser: Browser, parts_url: str) -> None:
    with opened(browser, parts_url) as page:
        everything = page.locator(".tile")
        expect(everything.first).to_be_visible()
        page.get_by_role("button", name="subpart").click()
        expect(everything).to_have_count(3)
        page.go_back()
        expect(everything.nth(12)).to_be_visible()


def test_where_there_is_nothing_the_first_step_is_told(browser: Browser, tmp_path: Path) -> None:
    settings = Settings(index=IndexOptions(location=str(tmp_path / "an index")))
    with closing(open_index(settings.index, 256, create=True)):
        pass
    with serving(settings) as address:
        for view in (DESK, PHONE):
            with opened(browser, address, viewport=view) as page:
                heading = page.get_by_role("heading", level=1)
                expect(heading).to_have_text("There is nothing here yet")
                command = f"objseek ingest PATH --index '{tmp_path / 'an index'}'"
                expect(page.locator(".command code")).to_have_text(command)
                page.size = str(view["width"])  # type: ignore[attr-defined]
                keep(page, "nothing-yet")
                assert violations(page) == []


def test_what_an_ingest_finds_comes_first(browser: Browser, parts_url: str) -> None:
    with Client(parts_url, TOKEN) as client:
        objects = client.variety(20).objects
    old, new = objects[:8], objects[8:11]
    newest = tuple(NewObject(object_id=each.object_id, label="new") for each in new)
    states = [
        IngestState(state="running", note="loading the models"),
        IngestState(state="running", listed=9, all_listed=True, done=1, objects=2),
        IngestState(state="running", listed=9, all_listed=True, done=2, objects=5, newest=newest),
    ]
    held = list[Route]()
    with opened(browser, f"{parts_url}/docs") as page:
        answer = VarietyAnswer(objects=old).model_dump_json()
        page.route(
            "**/v1/variety*",
            lambda route: route.fulfill(content_type="application/json", body=answer),
        )
        page.route("**/v1/ingest/events", lambda route: held.append(route))
        page.goto(parts_url)
        expect(page.locator(".tile")).to_have_count(len(old))
        body = "".join(f"data: {state.model_dump_json()}\n\n" for state in states)
        held[0].fulfill(content_type="text/event-stream", body=body)
        expect(page.locator(".tile")).to_have_count(len(old) + len(new))
        assert ids(page) == [each.object_id for each in (*new, *old)]
        expect(page.locator(".tile.new img.there")).to_have_count(len(new))
        keep(page, "wall-ingest")
