"""The page in a real browser: boxes drawn round objects, and images of the user's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from support.demo_world import build_demo, mask_of, rle_of
from support.page_world import (
    DESK,
    PAGE_MARKS,
    PHONE,
    keep,
    opened,
    pictures_are_there,
    serving,
)
from support.waiting import until

from pipeline.evaluation.boxes import grow_box
from pipeline.settings import Settings
from schemas.coco import CocoAnnotation, CocoImage, CocoTruth
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.search import Box

pytestmark = PAGE_MARKS
World = tuple[Path, Settings, CocoTruth]


class TruthSegmenter:
    """Finds the true objects of one image."""

    name = fingerprint = "truth"
    notes: tuple[str, ...] = ()

    def __init__(self, masks: Sequence[ObjectMask]) -> None:
        self.masks = sorted(masks, key=lambda mask: -mask.area_px)

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        return [self.masks for _ in images]

    def segment_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask | None:
        x, y = int(point_xy[0]), int(point_xy[1])
        return next((mask for mask in self.masks if mask.rle.decode()[y, x]), None)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("pictures")
    settings, truth = build_demo(folder, 8)
    with Image.open(folder / truth.images[0].file_name) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored.png")
        image.resize((image.width // 2, image.height // 2)).save(folder / "small.jpg")
    return folder, settings, truth


@pytest.fixture(scope="module")
def url(world: World) -> Iterator[str]:
    _, settings, truth = world
    mirrored = [
        mask_of(CocoRle.from_mask(rle_of(annotation, truth.images[0]).decode()[:, ::-1]))
        for annotation in seen_in(truth, truth.images[0])
    ]
    with serving(settings, TruthSegmenter(mirrored)) as address:
        yield address


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Page]:
    options = {"has_touch": True} if request.param is PHONE else {}
    with opened(browser, url, viewport=request.param, **options) as shown:
        shown.size = request.node.callspec.id  # type: ignore[attr-defined]
        yield shown


def seen_in(truth: CocoTruth, image: CocoImage) -> list[CocoAnnotation]:
    own = (item for item in truth.annotations if item.image_id == image.id)
    return [item for item in own if item.visible_fraction > 0.3]


def give(page: Page, path: Path) -> Locator:
    page.set_input_files("#file", str(path))
    viewer = page.get_by_role("dialog")
    expect(viewer.locator("h2")).to_have_text(path.name)
    expect(viewer.locator("li").first).to_be_visible()
    return viewer


def to_screen(viewer: Locator, image: CocoImage, x: float, y: float) -> tuple[float, float]:
    area = viewer.locator("canvas").bounding_box()
    assert area is not None
    scale = area["width"] / image.width
    return area["x"] + x * scale, area["y"] + y * scale


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=5)
    page.mouse.up()


def draw(page: Page, viewer: Locator, image: CocoImage, box: Box) -> None:
    viewer.get_by_role("button", name="Draw a box").click()
    x0, y0, x1, y1 = box
    drag(page, to_screen(viewer, image, x0, y0), to_screen(viewer, image, x1, y1))


def darkness(viewer: Locator, image: CocoImage, x: float, y: float) -> int:
    """How opaque what is drawn over a pixel of the image is, of 255."""
    script = """(canvas, [x, y]) => {
        const copy = new OffscreenCanvas(1, 1).getContext("2d");
        copy.drawImage(canvas, -Math.floor(x * canvas.width), -Math.floor(y * canvas.height));
        return copy.getImageData(0, 0, 1, 1).data[3];
    }"""
    place = [(x + 0.5) / image.width, (y + 0.5) / image.height]
    opacity: int = viewer.locator("canvas").evaluate(script, place)
    return opacity


def pick(truth: CocoTruth) -> tuple[CocoImage, CocoAnnotation]:
    """An object of medium size away from the border, wholly visible, in its image."""
    for image in truth.images:
        for item in seen_in(truth, image):
            x, y, width, height = item.bbox
            inner = min(x, y, image.width - x - width, image.height - y - height) > 0.3 * width
            if item.visible_fraction > 0.99 and 60 < width < 130 and inner:
                return image, item
    raise AssertionError("no such object in these scenes")


def inner_pixel(item: CocoAnnotation, image: CocoImage) -> tuple[int, int]:
    rows, columns = np.nonzero(rle_of(item, image).decode())
    middle = len(rows) // 2
    return int(columns[middle]), int(rows[middle])


def first_box(page: Page) -> list[int]:
    expect(page.locator("#results:not(.start) .tile .open").first).to_be_visible()
    box: list[int] = page.locator(".tile").first.evaluate("(tile) => tile.hit.payload.bbox")
    return box


def test_a_box_is_drawn_round_an_object_and_its_mask_is_shown(page: Page, world: World) -> None:
    folder, _, truth = world
    image, item = pick(truth)
    viewer = give(page, folder / image.file_name)
    box = grow_box(item, 0.3, image.size_hw)
    draw(page, viewer, image, box)
    expect(viewer.locator(".said")).to_contain_text("This is what is searched for")
    x, y = inner_pixel(item, image)
    assert darkness(viewer, image, x, y) == 0
    corner = box[0] + 12, box[1] + 12
    assert not rle_of(item, image).decode()[corner[1], corner[0]]
    assert darkness(viewer, image, *corner) > 100
    keep(page, "box-mask")
    # A handle makes the box smaller; the mask stays that of the object.
    x1, y1 = to_screen(viewer, image, box[2], box[3])
    tight = grow_box(item, 0.05, image.size_hw)
    drag(page, (x1, y1), to_screen(viewer, image, tight[2], tight[3]))
    expect(viewer.locator(".said")).to_contain_text("This is what is searched for")
    keep(page, "box-handle")
    viewer.get_by_role("button", name="Search for this").click()
    expect(viewer).to_be_hidden()
    expect(page.locator(".chip")).to_contain_text("like what is in a box")
    x0, y0, width, height = (int(side) for side in item.bbox)
    assert first_box(page) == [x0, y0, x0 + width, y0 + height]
    drawn = re.search(r"%40(\d+)%2C(\d+)%2C(\d+)%2C(\d+)$", page.url)
    assert drawn is not None
    sides = [int(side) for side in drawn.groups()]
    near = [box[0], box[1], tight[2], tight[3]]
    assert np.abs(np.array(sides) - near).max() <= 4
    # It is the same search when the address is opened again.
    page.reload()
    assert first_box(page) == [x0, y0, x0 + width, y0 + height]


def test_the_box_as_it_is_is_a_choice(page: Page, world: World) -> None:
    folder, _, truth = world
    image, item = pick(truth)
    viewer = give(page, folder / image.file_name)
    draw(page, viewer, image, grow_box(item, 0.3, image.size_hw))
    with page.expect_request(lambda request: "exact_box" in (request.post_data or "")):
        viewer.get_by_role("button", name="The box as it is").click()
    expect(viewer).to_be_hidden()
    expect(page.locator(".chip")).to_contain_text("like a box in an image")
    assert page.url.endswith("%21") or page.url.endswith("!")
    with page.expect_request(lambda request: "exact_box" in (request.post_data or "")):
        page.reload()
    expect(page.locator(".chip")).to_contain_text("like a box in an image")


def test_a_box_over_nothing_is_said_to_be_one(page: Page, world: World) -> None:
    folder, _, truth = world
    image, item = pick(truth)
    viewer = give(page, folder / image.file_name)
    x, y = inner_pixel(item, image)
    draw(page, viewer, image, (x - 5, y - 5, x + 5, y + 5))
    expect(viewer.locator(".said")).to_contain_text("No object fits the box")
    viewer.get_by_role("button", name="Draw a box").click()
    expect(viewer.get_by_role("button", name="Search for this")).to_have_count(0)
    expect(viewer.locator(".said")).to_have_text("")


def test_an_image_that_is_indexed_is_said_to_be(page: Page, world: World) -> None:
    folder, _, truth = world
    image = truth.images[0]
    viewer = give(page, folder / image.file_name)
    note = viewer.locator(".copies")
    expect(note).to_have_text("This very image is in the index: 0001.jpg")
    expect(viewer.locator("li")).to_have_count(len(seen_in(truth, image)))
    keep(page, "upload-indexed")
    viewer.get_by_role("button", name="Whole image").click()
    notice = page.locator("#notice")
    expect(notice).to_have_text("This very image is in the index: 0001.jpg")
    label = re.compile("Open 1: whole image, strong 100%, in 0001.jpg")
    expect(page.locator(".tile .open").first).to_have_attribute("aria-label", label)
    pictures_are_there(page)
    keep(page, "upload-whole")
    notice.get_by_role("button", name="0001.jpg").click()
    expect(viewer.locator("h2")).to_have_text("0001.jpg")
    expect(viewer.locator("li.lit")).to_have_count(0)


def test_a_smaller_copy_is_said_to_look_the_same(page: Page, world: World) -> None:
    folder, _, _ = world
    page.set_input_files("#file", str(folder / "small.jpg"))
    viewer = page.get_by_role("dialog")
    note = viewer.locator(".copies")
    expect(note).to_have_text("An image that looks the same is in the index: 0001.jpg")
    viewer.get_by_role("button", name="Whole image").click()
    expect(page.locator("#notice")).to_contain_text("An image that looks the same is in the index")


def test_the_objects_of_an_image_of_ones_own_can_be_clicked(page: Page, world: World) -> None:
    folder, _, truth = world
    image = truth.images[0]
    viewer = give(page, folder / "mirrored.png")
    seen = seen_in(truth, image)
    expect(viewer.locator("li")).to_have_count(len(seen))
    expect(viewer.locator(".copies")).to_have_count(0)
    item = max(seen, key=lambda item: item.visible_fraction * item.area)
    x, y = inner_pixel(item, image)
    place = to_screen(viewer, image, image.width - 1 - x, y)
    page.mouse.move(*place)
    until(lambda: darkness(viewer, image, image.width - 1 - x, y) == 0)
    keep(page, "upload-objects")
    page.mouse.click(*place)
    expect(viewer).to_be_hidden()
    expect(page.locator(".chip")).to_contain_text("like an object in an image")
    assert re.search(r"like=u%3A[\w-]+%40\d+$", page.url)
    left, top, width, height = (int(side) for side in item.bbox)
    assert first_box(page) == [left, top, left + width, top + height]
