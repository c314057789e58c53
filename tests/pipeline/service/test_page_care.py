"""The page with keys alone, in the dark, with errors, with names that mean harm, with a key."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Route, expect
from support.demo_world import build_demo, mask_of
from support.page_world import (
    DESK,
    PAGE_MARKS,
    PHONE,
    TOKEN,
    keep,
    look_for,
    opened,
    pictures_are_there,
    serving,
    show_unlikely,
    violations,
)

from pipeline.search.source_images import query_image
from pipeline.service.api_keys import KeyFile, Scope
from pipeline.service.client import Client
from pipeline.settings import Settings
from schemas.api import SearchRequest
from schemas.coco import CocoTruth
from schemas.ingest_api import IngestRequest, IngestState, NewObject
from schemas.labels import Label, LabelEntry, Naming
from schemas.masks import CocoRle
from schemas.options import EmbedderOptions
from schemas.serve_options import ServeOptions
from workers.embedders.embed_objects import embed_segmented
from workers.indexes.open import open_index
from workers.registry import build_embedder

pytestmark = PAGE_MARKS


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Settings, CocoTruth]:
    folder = tmp_path_factory.mktemp("page")
    settings, truth = build_demo(folder, 12)
    return folder, settings, truth


@pytest.fixture(scope="module")
def url(world: tuple[Path, Settings, CocoTruth]) -> Iterator[str]:
    with serving(world[1]) as address:
        yield address


def test_all_of_it_can_be_done_with_keys(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.keyboard.press("/")
        page.keyboard.type("a crown")
        expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
        expect(page.locator(".tile img.there").first).to_be_visible()
        show_unlikely(page)
        page.keyboard.press("/")
        page.keyboard.press("ArrowDown")
        focused = "document.activeElement.getAttribute('aria-label')"
        assert page.evaluate(focused).startswith("Open 1:")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert page.evaluate(focused).startswith("Open 3:")
        page.keyboard.press("ArrowDown")
        below = page.evaluate(focused)
        page.keyboard.press("ArrowUp")
        assert page.evaluate(focused) != below
        page.keyboard.press("Enter")
        viewer = page.get_by_role("dialog")
        expect(viewer).to_be_visible()
        page.keyboard.press("Escape")
        expect(viewer).to_be_hidden()
        page.locator(".tile .open").first.focus()
        page.keyboard.press("+")
        expect(page.locator(".chip")).to_have_count(1)
        expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
        assert page.evaluate(focused).startswith("Open 1:")
        page.keyboard.press("Escape")
        expect(page.locator(".chip")).to_have_count(1)
        page.get_by_role("button", name="Clear the search").press("Enter")
        expect(page.locator(".suggestions")).to_be_visible()
        page.get_by_role("button", name="Keys and tips").click()
        expect(page.get_by_role("dialog", name="Keys and tips")).to_be_visible()


def test_who_writes_on_is_not_told_that_the_search_is_over(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        grid, held = page.locator("#grid"), list[Route]()

        def await_search() -> Route:
            page.clock.run_for(200)
            while not held:
                page.wait_for_timeout(10)
            return held.pop()

        page.clock.install(time=0)
        page.clock.pause_at(3_600)
        page.route("**/v1/search", lambda route: held.append(route))
        page.get_by_label("What to look for").fill("a")
        search = await_search()
        page.keyboard.type(" crown")
        search.continue_()
        expect(page.locator(".tile:not(.waiting)").first).to_be_visible()
        expect(grid).to_have_attribute("aria-busy", "true")
        await_search().continue_()
        expect(grid).to_have_attribute("aria-busy", "false")


def test_a_tall_screen_is_filled_without_scrolling(browser: Browser, url: str) -> None:
    with opened(browser, url, viewport={"width": 1280, "height": 6000}) as page:
        look_for(page, "a thing")
        show_unlikely(page)
        expect(page.locator("#status")).not_to_contain_text("the first")
        assert page.locator(".tile").count() > 30  # which come at first


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, url: str, scheme: str, size: dict[str, int]) -> None:
    touch = {"has_touch": True, "is_mobile": True} if size is PHONE else {}
    with opened(browser, url, color_scheme=scheme, viewport=size, **touch) as page:
        expect(page.locator(".suggestions button").first).to_be_visible()
        states = [violations(page)]
        look_for(page, "a lion")
        pictures_are_there(page)
        page.size = f"{scheme}-{size['width']}"  # type: ignore[attr-defined]
        keep(page, "lion")
        states.append(violations(page))
        show_unlikely(page)
        states.append(violations(page))
        look_for(page, "a skyscraper made of glass")
        states.append(violations(page))
        page.locator(".tile .open").first.click()
        expect(page.get_by_role("dialog").locator("li").first).to_be_visible()
        states.append(violations(page))
        assert states == [[]] * 5


def test_an_error_is_told_and_can_be_tried_again(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        page.route("**/v1/search", lambda route: route.abort())
        with page.expect_event("console"):
            page.get_by_label("What to look for").fill("a lion")
        expect(page.get_by_role("alert")).to_have_text("The service does not answer.")
        keep(page, "error")
        page.unroute("**/v1/search")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".tile img.there").first).to_be_visible()


def test_markup_in_names_stays_text(
    browser: Browser, tmp_path: Path, world: tuple[Path, Settings, CocoTruth]
) -> None:
    folder = tmp_path / "markup"
    settings, _ = build_demo(folder, 1)
    evil = folder / "scenes" / "<img src=x onerror=alert(1)>.jpg"
    shutil.copy(folder / "scenes" / "0001.jpg", evil)
    shutil.rmtree(folder / "index")
    image = query_image(str(evil), settings)
    inside = np.zeros(image.size_hw, bool)
    inside[50:150, 60:200] = True
    rle = CocoRle.from_mask(inside)
    mask = mask_of(rle)
    options = EmbedderOptions()
    (made,) = embed_segmented([image], [[mask]], build_embedder(options), options, "f", "s")
    label = Label(LabelEntry("<b onclick=alert(1)>bold</b>"), 0.9)
    naming = Naming((label,), 10.0)
    objects = tuple(replace(record, naming=naming) for record in made.objects)
    with closing(open_index(settings.index, 256, create=True)) as index:
        index.replace_images([replace(made, objects=objects, labelled_by="x")])
    with serving(settings) as address, opened(browser, address) as page:
        page.on("dialog", lambda dialog: pytest.fail("a script ran"))
        expect(page.locator(".suggestions button")).to_have_text("<b onclick=alert(1)>bold</b>")
        look_for(page, "<script>alert(1)</script>")
        page.locator(".tile .open").first.click()
        viewer = page.get_by_role("dialog")
        expect(viewer.locator("h2")).to_have_text("<img src=x onerror=alert(1)>.jpg")
        expect(viewer.locator("li")).to_contain_text("<b onclick=alert(1)>bold</b>")
        assert page.locator("img[src=x], b[onclick], script:not([src])").count() == 0


def test_a_key_is_asked_for_and_kept_for_the_tab(browser: Browser, tmp_path: Path) -> None:
    settings, _ = build_demo(tmp_path, 2)
    keys = KeyFile(tmp_path / "keys.json")
    _, text = keys.create("page", Scope.READ, days=1)
    serve = ServeOptions(keys=str(keys.path))
    settings = settings.model_copy(update={"serve": serve})
    with serving(settings) as address, opened(browser, address) as page:
        dialog = page.get_by_role("dialog", name="This service needs a key")
        expect(dialog).to_be_visible()
        keep(page, "key")
        page.get_by_label("Key", exact=True).fill("objseek_wrong")
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#key-error")).to_contain_text("unknown or expired")
        page.get_by_label("Key", exact=True).fill(text)
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("in 2 images")
        look_for(page, "a thing")
        page.reload()
        expect(page.locator(".tile img.there").first).to_be_visible()
        assert text not in page.url


def test_an_ingest_is_watched(browser: Browser, tmp_path: Path) -> None:
    settings, _ = build_demo(tmp_path, 3)
    more = tmp_path / "more"
    more.mkdir()
    for name in ("0001.jpg", "0002.jpg"):
        shutil.copy(tmp_path / "scenes" / name, more / f"new-{name}")
    sections = {"runner": {"name": "local"}, "segmenter": {"preset": "fast", "points_per_side": 4}}
    with serving(settings) as address, opened(browser, address) as page:
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_contain_text("in 3 images")
        with Client(address, TOKEN) as client:
            client.ingest(IngestRequest(sources=(str(more),), settings=sections))
        panel = page.get_by_role("region", name="Ingest")
        expect(panel).to_contain_text("Ingesting")
        keep(page, "ingest")
        expect(panel).to_contain_text("Ingested")
        expect(panel).to_contain_text("2 images of 2")
        expect(heading).to_contain_text("in 5 images")
        page.get_by_role("button", name="Close").click()
        expect(panel).to_be_hidden()


def test_what_an_ingest_finds_is_shown_while_it_runs(browser: Browser, url: str) -> None:
    with Client(url, TOKEN) as client:
        hits = client.search(SearchRequest(text="a thing", limit=14)).hits
    new = [NewObject(object_id=hit.object_id, label=f"thing {n}") for n, hit in enumerate(hits)]
    assert len(new) == 14
    states = [
        IngestState(state="running", note="loading the models"),
        IngestState(state="running", listed=9, all_listed=True, done=1, objects=2,
                    seconds_left=83.0, newest=tuple(new[:2])),
        IngestState(state="running", listed=9, all_listed=True, done=2, objects=14,
                    seconds_left=7.0, newest=tuple(new[1:])),
    ]  # fmt: skip

    def answer(route: Route) -> None:
        shown = states[:2] if len(asked) == 0 else states
        asked.append(route.request.url)
        body = "".join(f"data: {state.model_dump_json()}\n\n" for state in shown)
        route.fulfill(content_type="text/event-stream", body=body)

    asked: list[str] = []
    with opened(browser, f"{url}/docs") as page:
        page.route("**/v1/ingest/events", answer)
        page.goto(f"{url}/?q=a+thing")
        panel = page.get_by_role("region", name="Ingest")
        expect(panel).to_contain_text("1 min 23 s left")
        found = panel.get_by_role("img")
        assert [image.get_attribute("alt") for image in found.all()] == ["thing 1", "thing 0"]
        expect(panel).to_contain_text("7 s left")
        expect(found).to_have_count(12)
        expect(found.first).to_have_attribute("alt", "thing 13")
        for image in found.all():
            page.wait_for_function("image => image.naturalWidth > 0", arg=image.element_handle())
        keep(page, "ingest-newest")
