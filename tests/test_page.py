"""The page in a real browser, over scenes of the demo: every feature, at a desk and on a phone."""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from demo_world import build_demo, mask_of, rle_of
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pipeline.client import Client
from pipeline.pictures import query_image
from pipeline.search import Searcher
from pipeline.service.app import build_app
from pipeline.service.keys import KeyFile, Scope
from pipeline.settings import ServeOptions, Settings
from pipeline.truth import CocoTruth
from schemas.api import IngestRequest
from schemas.labels import Label, LabelEntry, Naming
from schemas.masks import CocoRle
from schemas.options import EmbedderOptions
from workers.embedding import embed_segmented
from workers.indexes import open_index
from workers.registry import build_embedder

CHROMIUM = os.environ.get("OBJSEEK_TEST_CHROMIUM") or shutil.which("chromium")
ARTEFACTS = Path(__file__).parent.parent / "build" / "screenshots"
TOKEN = "the-owner's-token"
DESK, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
SERIOUS = {"serious", "critical"}

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    searcher = Searcher.open(settings)
    app = build_app(searcher, settings, TOKEN)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="critical", http="h11", lifespan="on", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Settings, CocoTruth]:
    folder = tmp_path_factory.mktemp("page")
    settings, truth = build_demo(folder, 24)
    return folder, settings, truth


@pytest.fixture(scope="module")
def url(world: tuple[Path, Settings, CocoTruth]) -> Iterator[str]:
    with serving(world[1]) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield launched
        launched.close()


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page that says nothing in its console, and asks nobody but the service."""
    context = browser.new_context(**{"viewport": DESK, **options})
    page = context.new_page()
    page.set_default_timeout(20_000)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if _foreign(request.url) else None)
    page.goto(url)
    yield page
    context.close()
    expected = re.compile(r"status of (401|409|410|422|503)|net::ERR_FAILED")
    assert [line for line in said if not expected.search(line)] == []


def _foreign(address: str) -> bool:
    return not address.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:", "data:"))


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Page]:
    options = {"has_touch": True} if request.param is PHONE else {}
    with opened(browser, url, viewport=request.param, **options) as shown:
        shown.size = request.node.callspec.id  # type: ignore[attr-defined]
        yield shown


def keep(page: Page, name: str) -> None:
    """A screenshot, to be looked at."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}-{getattr(page, 'size', 'desk')}.png")


def look_for(page: Page, text: str) -> None:
    page.get_by_label("What to look for").fill(text)
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".tile img.there").first).to_be_visible()


def first(page: Page) -> str:
    return page.locator(".tile .open").first.get_attribute("aria-label") or ""


def pictures_are_there(page: Page) -> None:
    expect(page.locator(".tile img").first).to_be_visible()
    expect(page.locator(".tile:nth-child(-n+8) img:not(.there)")).to_have_count(0)


def hits(page: Page) -> int:
    return page.locator(".tile:not(.waiting)").count()


def narrow(page: Page) -> None:
    """Show the filters where there is no room for them beside the results."""
    button = page.get_by_role("button", name="Filters")
    if button.is_visible() and button.get_attribute("aria-expanded") == "false":
        button.click()


def test_it_begins_with_what_is_there(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("157 objects in 24 images")
    suggestion = page.locator(".suggestions button").first
    expect(suggestion).to_be_visible()
    keep(page, "start")
    label = suggestion.inner_text()
    suggestion.click()
    expect(page.get_by_label("What to look for")).to_have_value(label)
    assert f"q={label.split()[0]}" in page.url
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_what_is_written_is_found_while_it_is_written(page: Page) -> None:
    for text in ("a lobster", "a pizza", "a teapot", "a lion"):
        look_for(page, text)
        expect(page.locator(".tile .open").first).to_have_attribute(
            "aria-label", re.compile(rf"Open 1: {text.removeprefix('a ')}, strong")
        )
    expect(page).to_have_title("a lion · objseek")
    assert page.url.endswith("?q=a+lion")
    pictures_are_there(page)
    keep(page, "lion")
    # The mask is drawn crisply: the picture has as many pixels as it is shown with.
    shown = page.locator(".tile img").first
    natural, drawn = shown.evaluate("(one) => [one.naturalHeight, one.clientHeight]")
    assert natural >= drawn


def test_the_address_holds_the_search(page: Page, browser: Browser) -> None:
    look_for(page, "a crown")
    narrow(page)
    page.get_by_role("button", name=re.compile("^small, 1 to 5%")).click()
    expect(page.locator(".chip")).to_have_count(2)
    shared, label = page.url, first(page)
    with opened(browser, shared, viewport=page.viewport_size) as other:
        expect(other.locator(".tile .open").first).to_have_attribute("aria-label", label)
        expect(other.get_by_label("What to look for")).to_have_value("a crown")
        expect(other.locator(".chip")).to_have_count(2)


def test_words_can_be_weighed_and_unwanted(page: Page) -> None:
    look_for(page, "a lobster + a pizza^0.2")
    assert "lobster" in first(page)
    look_for(page, "a lobster^0.1 + a pizza")
    assert "pizza" in first(page)
    look_for(page, "a shrimp")
    liked = [page.locator(".tile .open").nth(n).get_attribute("aria-label") for n in range(6)]
    look_for(page, "a shrimp -lobster")
    without = [page.locator(".tile .open").nth(n).get_attribute("aria-label") for n in range(6)]
    assert liked != without


def test_what_is_not_there_is_said(page: Page) -> None:
    look_for(page, "a skyscraper made of glass")
    expect(page.locator("#notice")).to_contain_text("Most likely there is no such object here")
    keep(page, "not-there")


def test_filters_count_and_narrow(page: Page) -> None:
    look_for(page, "food")
    narrow(page)
    everything = hits(page)
    label = page.locator("#filters .facet").first
    name, count = label.locator("span").first.inner_text(), label.locator(".count").inner_text()
    label.click()
    expect(page.locator("#filters .facet[aria-pressed=true]")).to_have_count(1)
    expect(page.locator("#status")).to_contain_text(f"{count} object")
    assert hits(page) == int(count) < everything
    expect(page.locator(".chip")).to_contain_text(f"label : {name}")
    keep(page, "filtered")
    page.get_by_role("button", name="Clear all filters").click()
    expect(page.locator(".chip")).to_have_count(0)
    page.get_by_role("button", name="middle centre").click()
    expect(page.locator(".chip")).to_have_count(4)
    page.get_by_role("button", name="middle centre").click()
    page.get_by_label("One per image").check()
    expect(page.locator("#status")).to_contain_text("24 objects")
    assert "group=1" in page.url
    page.get_by_label("Whole images").check()
    expect(page.locator("#status")).to_contain_text("24 images")
    page.get_by_label("Begins with").fill("s3://elsewhere/")
    page.get_by_label("Begins with").press("Enter")
    expect(page.locator("#notice")).to_contain_text("Nothing meets all filters")
    keep(page, "nothing")
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator("#notice")).to_be_hidden()


def test_more_and_less_like_this(page: Page) -> None:
    look_for(page, "a ring")
    tile = page.locator(".tile").first
    tile.hover()
    tile.locator(".more").click()
    expect(page.locator(".chip")).to_have_count(1)
    assert "like=o%3A" in page.url
    expect(page.locator(".chip img")).to_be_visible()
    second = page.locator(".tile").nth(1)
    expect(second).to_be_visible()
    second.hover()
    second.locator(".less").click()
    expect(page.locator(".chip.minus")).to_have_count(1)
    pictures_are_there(page)
    keep(page, "more-and-less")
    page.get_by_role("button", name="Remove: unlike this object").click()
    expect(page.locator(".chip.minus")).to_have_count(0)


def test_an_image_shows_its_objects_and_finds_by_them(page: Page) -> None:
    look_for(page, "a pizza")
    page.locator(".tile .open").first.click()
    viewer = page.get_by_role("dialog")
    expect(viewer.locator("li.lit")).to_have_count(1)
    expect(viewer.locator("li.lit")).to_contain_text("pizza")
    page.wait_for_timeout(500)
    keep(page, "image")
    other = viewer.locator("li:not(.lit) button.object").first
    other.hover()
    expect(viewer.locator("li.lit")).to_have_count(1)
    expect(viewer.locator("li.lit")).not_to_contain_text("pizza")
    other.click()
    expect(viewer).to_be_hidden()
    expect(page.locator(".chip")).to_contain_text("like this object")
    # Clicking on the object itself does the same.
    look_for(page, "a pizza")
    page.locator(".tile .open").first.click()
    expect(viewer.locator("li.lit")).to_have_count(1)
    canvas = viewer.locator("canvas")
    at = canvas.evaluate(POINT_IN_LIT)
    canvas.click(position={"x": at[0], "y": at[1]})
    expect(viewer).to_be_hidden()


# The middle of what is not dimmed: the canvas is clear there.
POINT_IN_LIT = """(canvas) => {
  const { width, height } = canvas;
  const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const clear = [];
  for (let at = 0; at < width * height; at++) if (data[at * 4 + 3] === 0) clear.push(at);
  const at = clear[Math.floor(clear.length / 2)];
  const scale = canvas.clientWidth / width;
  return [(at % width) * scale, Math.floor(at / width) * scale];
}"""


def test_a_box_or_a_point_of_an_image_is_searched_by(page: Page) -> None:
    look_for(page, "a lobster")
    page.locator(".tile .open").first.click()
    viewer = page.get_by_role("dialog")
    expect(viewer.locator("li.lit")).to_have_count(1)
    canvas = viewer.locator("canvas")
    at = canvas.evaluate(POINT_IN_LIT)
    viewer.get_by_role("button", name="Click a point").click()
    canvas.click(position={"x": at[0], "y": at[1]})
    expect(viewer).to_be_hidden()
    expect(page.locator(".chip")).to_contain_text("like what is at a point")
    expect(page.locator(".tile .open").first).to_have_attribute(
        "aria-label", re.compile("Open 1: lobster")
    )
    look_for(page, "a lobster")
    page.locator(".tile .open").first.click()
    expect(viewer.locator("li.lit")).to_have_count(1)
    viewer.get_by_role("button", name="Draw a box").click()
    area = canvas.bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + at[0] - 40, area["y"] + at[1] - 40)
    page.mouse.down()
    page.mouse.move(area["x"] + at[0] + 40, area["y"] + at[1] + 40, steps=5)
    keep(page, "box")
    page.mouse.up()
    expect(viewer).to_be_hidden()
    expect(page.locator(".chip")).to_contain_text("like a box in an image")
    expect(page.locator(".tile img.there").first).to_be_visible()


def test_an_image_of_ones_own_is_searched_with(
    page: Page, world: tuple[Path, Settings, CocoTruth]
) -> None:
    folder, _, truth = world
    names = {one.id: one.name for one in truth.categories}
    pizzas = [one for one in truth.annotations if names[one.category_id] == "pizza"]
    pizza = max(pizzas, key=lambda one: one.visible_fraction)
    image = next(one for one in truth.images if one.id == pizza.image_id)
    page.set_input_files("#file", str(folder / image.file_name))
    viewer = page.get_by_role("dialog")
    expect(viewer.locator("h2")).to_have_text(Path(image.file_name).name)
    keep(page, "upload")
    canvas = viewer.locator("canvas")
    area = canvas.bounding_box()
    assert area is not None
    scale = area["width"] / image.width
    rows, columns = np.nonzero(rle_of(pizza, image).decode())
    middle = len(rows) // 2  # other things lie on it
    canvas.click(position={"x": columns[middle] * scale, "y": rows[middle] * scale})
    expect(viewer).to_be_hidden()
    expect(page.locator(".tile .open").first).to_have_attribute(
        "aria-label", re.compile("Open 1: pizza, strong")
    )
    # Dropped, it is taken as well.
    transfer = page.evaluate_handle(
        "async () => { const data = new DataTransfer();"
        "const blob = await (await fetch(document.querySelector('.tile img').src)).blob();"
        "data.items.add(new File([blob], 'dropped.jpg', { type: 'image/jpeg' })); return data; }"
    )
    page.dispatch_event("body", "dragover", {"dataTransfer": transfer})
    expect(page.locator("#drop")).to_be_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    expect(viewer.locator("h2")).to_have_text("dropped.jpg")
    viewer.get_by_role("button", name="Whole image").click()
    expect(page.locator(".chip")).to_contain_text("like this image")


def test_scrolling_brings_everything_once(page: Page) -> None:
    look_for(page, "a thing")
    seen = 0
    while hits(page) != seen:
        seen = hits(page)
        page.mouse.wheel(0, 20_000)
        page.wait_for_timeout(700)
    labels = page.locator(".tile .open").evaluate_all(
        "(all) => all.map((one) => one.closest('.tile').hit.object_id)"
    )
    assert len(labels) == len(set(labels)) > 100


def test_all_of_it_can_be_done_with_keys(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.keyboard.press("/")
        page.keyboard.type("a crown")
        expect(page.locator(".tile img.there").first).to_be_visible()
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
        page.keyboard.press("Escape")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.get_by_role("button", name="Keys and tips").click()
        expect(page.get_by_role("dialog", name="Keys and tips")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, url: str, scheme: str) -> None:
    with opened(browser, url, color_scheme=scheme) as page:
        expect(page.locator(".suggestions button").first).to_be_visible()
        states = [violations(page)]
        look_for(page, "a lion")
        pictures_are_there(page)
        page.size = scheme  # type: ignore[attr-defined]
        keep(page, "lion")
        states.append(violations(page))
        look_for(page, "a skyscraper made of glass")
        states.append(violations(page))
        page.locator(".tile .open").first.click()
        expect(page.get_by_role("dialog").locator("li").first).to_be_visible()
        states.append(violations(page))
        assert states == [[]] * 4


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:120]} {node['failureSummary']}"
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


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
    objects = tuple(replace(one, naming=naming) for one in made.objects)
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
        asked = page.get_by_role("dialog", name="This service needs a key")
        expect(asked).to_be_visible()
        keep(page, "key")
        page.get_by_label("Key", exact=True).fill("objseek_wrong")
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#key-error")).to_contain_text("not known")
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
        expect(panel).to_contain_text("Ingested", timeout=120_000)
        expect(panel).to_contain_text("2 images of 2")
        expect(heading).to_contain_text("in 5 images")
        page.get_by_role("button", name="Close").click()
        expect(panel).to_be_hidden()
