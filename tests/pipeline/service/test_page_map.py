"""The map on the page, and near-duplicates that are collapsed there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect
from support.demo_world import build_demo
from support.map_world import make_map_in_order
from support.page_map import draw_lasso, open_map
from support.page_world import DESK, PAGE_MARKS, PHONE, keep, look_for, opened, serving, violations

from pipeline.search.source_images import query_image
from pipeline.settings import Settings
from schemas.ids import image_id
from workers.indexes.open import open_index

pytestmark = PAGE_MARKS


def copy_first_image(settings: Settings, folder: Path) -> str:
    """Have the index hold the first scene and its objects once more; what the largest is called."""
    first, *_ = sorted((folder / "scenes").iterdir())
    second = first.with_name("a-copy" + first.suffix)
    shutil.copy(first, second)
    old, new = (query_image(str(path), settings).ref for path in (first, second))
    with closing(open_index(settings.index, None)) as index:
        copies = []
        for point in index.scan(words=True):
            if point.payload["uri"] == old.uri:
                changed = {
                    "key": new.key, "uri": new.uri, "version": new.version,
                    "image_id": str(image_id(new)),
                }  # fmt: skip
                last = "0" if point.id[-1] != "0" else "1"
                payload = {**point.payload, **changed}
                payload.pop("thumbnail_check", None)
                copies.append(type(point)(point.id[:-1] + last, payload, point.vector, point.words))
        index.restore(copies)
    objects = [point.payload for point in copies if point.payload["kind"] == "object"]
    return str(max(objects, key=lambda payload: payload["area"])["labels"][0])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, str]:
    """An index with a map, and what an object of its first scene is called, which is there twice.

    That one covers the most of its image.
    """
    folder = tmp_path_factory.mktemp("map")
    settings, _ = build_demo(folder, 6)
    label = copy_first_image(settings, folder)
    make_map_in_order(settings)
    return settings, label


@pytest.fixture(scope="module")
def url(world: tuple[Settings, str]) -> Iterator[str]:
    with serving(world[0]) as address:
        yield address


@pytest.fixture(params=["desk-light", "phone-dark"])
def page(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Page]:
    size, scheme = request.param.split("-")
    view = PHONE if size == "phone" else DESK
    with opened(browser, url, viewport=view, color_scheme=scheme) as shown:
        shown.size = request.param  # type: ignore[attr-defined]
        yield shown


def test_a_label_or_a_lasso_lists_its_objects(page: Page) -> None:
    open_map(page)
    page.locator(".map-legend .facet").first.click()
    expect(page.locator(".map-tiles button").first).to_be_visible()
    assert violations(page) == []
    keep(page, "map")
    draw_lasso(page)
    within = page.locator(".map-list [role=status]")
    expect(within).to_contain_text("within the lasso")
    count = int((within.text_content() or "0").split()[0])
    assert 0 < count < page.evaluate("document.getElementById('map').map.map.count")


def test_the_viewer_opens_from_the_list_and_the_map_moves(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        open_map(page)
        canvas = page.locator(".map-canvas")
        canvas.focus()
        page.keyboard.press("+")
        page.keyboard.press("ArrowLeft")
        read = "(({zoom, centre}) => [zoom, centre[0]])(document.getElementById('map').map)"
        zoom, x = page.evaluate(read)
        assert (zoom, x < 0) == (1.25, True)
        page.keyboard.press("0")
        assert page.evaluate(read) == [1, 0]
        canvas.hover(position={"x": 5, "y": 5})
        page.mouse.wheel(0, -300)
        page.wait_for_function("document.getElementById('map').map.zoom > 1.4")
        page.get_by_role("button", name="Show all").click()
        place = page.evaluate(
            "(() => { const map = document.getElementById('map').map;"
            " return map.place(0).map((value) => value / map.sharpness); })()"
        )
        canvas.hover(position={"x": place[0], "y": place[1]})
        expect(page.locator(".map-tip")).to_be_visible()
        canvas.click(position={"x": place[0], "y": place[1]})
        expect(page.locator("#viewer")).to_be_visible()
        page.locator("#viewer .close").click()
        page.keyboard.press("Escape")
        expect(page.locator("#map")).not_to_be_visible()


def test_near_duplicates_stand_behind_a_hit_until_they_are_wanted(
    page: Page, url: str, world: tuple[Settings, str]
) -> None:
    look_for(page, world[1])
    button = page.locator(".tile .alike").first
    expect(button).to_have_text("Show 1 alike")
    before = page.locator(".grid:not([hidden]) .tile").count()
    button.click()
    expect(button).to_have_text("Hide 1 alike")
    expect(page.locator(".grid:not([hidden]) .tile")).to_have_count(before + 1)
    keep(page, "alike")
    assert violations(page) == []
    button.click()
    expect(page.locator(".grid:not([hidden]) .tile")).to_have_count(before)
    page.goto(f"{url}/?q={quote(world[1])}&alike=1")
    expect(page.locator(".tile img.there").first).to_be_visible()
    expect(page.locator(".tile .alike")).to_have_count(0)
