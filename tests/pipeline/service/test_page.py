"""The page in a real browser, over scenes of the demo: every feature, at a desk and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from support.demo_world import build_demo, rle_of
from support.page_world import (
    DESK,
    PAGE_MARKS,
    PHONE,
    first,
    hits,
    keep,
    look_for,
    narrow,
    opened,
    pictures_are_there,
    serving,
    show_unlikely,
)
from support.waiting import until

from pipeline.settings import Settings
from schemas.coco import CocoTruth

pytestmark = PAGE_MARKS


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Settings, CocoTruth]:
    folder = tmp_path_factory.mktemp("page")
    settings, truth = build_demo(folder, 24)
    return folder, settings, truth


@pytest.fixture(scope="module")
def url(world: tuple[Path, Settings, CocoTruth]) -> Iterator[str]:
    with serving(world[1]) as address:
        yield address


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Page]:
    options = {"has_touch": True} if request.param is PHONE else {}
    with opened(browser, url, viewport=request.param, **options) as shown:
        shown.size = request.node.callspec.id  # type: ignore[attr-defined]
        yield shown


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
    expect(page.locator(".suggestions")).to_be_visible()


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
    expect(page.locator(".chip")).to_have_count(1)
    shared, label = page.url, first(page)
    with opened(browser, shared, viewport=page.viewport_size) as other:
        expect(other.locator(".tile .open").first).to_have_attribute("aria-label", label)
        expect(other.get_by_label("What to look for")).to_have_value("a crown")
        expect(other.locator(".chip")).to_have_count(1)


def test_words_can_be_weighed_and_unwanted(page: Page) -> None:
    look_for(page, "a lobster + a pizza^0.2")
    assert "lobster" in first(page)
    look_for(page, "a lobster^0.1 + a pizza")
    assert "pizza" in first(page)
    look_for(page, "a shrimp")
    show_unlikely(page)
    liked = [page.locator(".tile .open").nth(n).get_attribute("aria-label") for n in range(6)]
    look_for(page, "a shrimp -lobster")
    show_unlikely(page)
    without = [page.locator(".tile .open").nth(n).get_attribute("aria-label") for n in range(6)]
    assert liked != without


def test_what_is_not_there_is_said(page: Page) -> None:
    look_for(page, "a skyscraper made of glass")
    expect(page.locator("#notice")).to_contain_text("Most likely there is no such object here")
    keep(page, "not-there")


def test_filters_count_and_narrow(page: Page) -> None:
    look_for(page, "food")
    narrow(page)
    # There is no video: its fields would find nothing.
    expect(page.get_by_text("In videos")).to_have_count(0)
    everything = page.locator("#status").inner_text()
    label = page.locator("#filters .facet").first
    name, count = label.locator("span").first.inner_text(), label.locator(".count").inner_text()
    label.click()
    expect(page.locator("#filters .facet[aria-pressed=true]")).to_have_count(1)
    expect(page.locator("#status")).to_contain_text(f"{count} object")
    assert page.locator("#status").inner_text() != everything
    show_unlikely(page)
    assert hits(page) == int(count)
    expect(page.locator(".chip")).to_contain_text(f"label : {name}")
    keep(page, "filtered")
    page.get_by_role("button", name="Clear all filters").click()
    expect(page.locator(".chip")).to_have_count(0)
    page.get_by_role("button", name="middle centre", exact=True).click()
    expect(page.locator(".chip")).to_have_count(1)
    page.get_by_role("button", name="middle centre", exact=True).click()
    page.get_by_label("One per file").check()
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
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    show_unlikely(page)
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
    viewer.get_by_role("button", name="Search for this").click()
    expect(viewer).to_be_hidden()
    expect(page.locator(".chip")).to_contain_text("like what is in a box")
    expect(page.locator(".tile img.there").first).to_be_visible()


def test_an_image_of_ones_own_is_searched_with(
    page: Page, world: tuple[Path, Settings, CocoTruth]
) -> None:
    folder, _, truth = world
    names = {category.id: category.name for category in truth.categories}
    pizzas = [
        annotation for annotation in truth.annotations if names[annotation.category_id] == "pizza"
    ]
    pizza = max(pizzas, key=lambda annotation: annotation.visible_fraction)
    image = next(candidate for candidate in truth.images if candidate.id == pizza.image_id)
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

    show_unlikely(page)

    def scrolled_to_the_end() -> bool:
        page.mouse.wheel(0, 20_000)
        page.wait_for_timeout(100)
        return "the first" not in page.locator("#status").inner_text()

    until(scrolled_to_the_end)
    labels = page.locator(".tile .open").evaluate_all(
        "(all) => all.map((one) => one.closest('.tile').hit.object_id)"
    )
    assert len(labels) == len(set(labels)) > 100
