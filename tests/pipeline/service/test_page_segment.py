"""The page's segment tool: clicks, boxes, texts and keys, and what is done with their masks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect
from support.page_world import PAGE_MARKS, TOKEN, keep, look_for, opened, violations
from support.waiting import until

from schemas.masks import CocoRle
from schemas.segment_api import SegmentRequest

pytestmark = PAGE_MARKS
SEGMENT, OBJECTS = "**/v1/segment", "**/v1/objects"


def open_tool(page: Page) -> Locator:
    """The viewer of the first image found, with the tool in hand."""
    look_for(page, "a thing")
    page.locator(".tile .open").first.press("Enter")
    viewer = page.get_by_role("dialog")
    expect(viewer.locator("li.lit")).to_have_count(1)
    viewer.get_by_role("button", name="Segment", exact=True).click()
    return viewer


def objects_of(page: Page, url: str) -> list[dict[str, Any]]:
    """The objects of the image on show, largest first."""
    uri = page.locator(".viewer h2").inner_text()
    answer = page.request.post(f"{url}/v1/search", data={"text": "a thing", "limit": 100}).json()
    hit = next(hit for hit in answer["hits"] if hit["payload"]["uri"].endswith(uri))
    image = page.request.get(f"{url}/v1/images/{hit['payload']['image_id']}").json()
    found: list[dict[str, Any]] = image["objects"]
    return found


def masks_of(objects: list[dict[str, Any]], **known: object) -> dict[str, object]:
    """An answer of the segment route with the masks of these objects."""
    names = ("bbox", "rle", "area", "area_frac", "predicted_iou")
    masks = [{**{name: one["payload"][name] for name in names}, **known} for one in objects]
    return {"width": 1, "height": 1, "segmenter": "sam_demo", "masks": masks}


def middle_of(item: dict[str, Any]) -> tuple[float, float]:
    """A pixel that the object's mask has about it, well inside."""
    rle = item["payload"]["rle"]
    rows, columns = np.nonzero(CocoRle(tuple(rle["size"]), rle["counts"]).decode())
    return float(columns[len(columns) // 2]), float(rows[len(rows) // 2])


def on_screen(viewer: Locator, item: dict[str, Any], x: float, y: float) -> tuple[float, float]:
    area = viewer.locator("canvas").bounding_box()
    assert area is not None
    scale = area["width"] / item["payload"]["width"]
    return area["x"] + x * scale, area["y"] + y * scale


def asked(route_or_request: Route | Request) -> SegmentRequest:
    request = route_or_request.request if isinstance(route_or_request, Route) else route_or_request
    return SegmentRequest.model_validate_json(request.post_data or "")


def test_clicks_add_and_take_away(parts_page: Page, parts_url: str) -> None:
    page, viewer = parts_page, open_tool(parts_page)
    said, canvas = viewer.locator(".said"), viewer.locator("canvas")
    whole = objects_of(page, parts_url)[0]
    place = on_screen(viewer, whole, *middle_of(whole))
    viewer.get_by_role("button", name="Take away").click()
    page.mouse.click(*place)
    expect(said).to_contain_text("Add a point on an object first")
    viewer.get_by_role("button", name="+ Add").click()
    with page.expect_request(SEGMENT) as first:
        page.mouse.click(*place)
    expect(said).to_contain_text("predicted IoU")
    expect(canvas).to_have_attribute("aria-busy", "false")
    (point,) = asked(first.value).points
    assert point.label == 1
    assert np.allclose((point.x, point.y), middle_of(whole), atol=1.5)
    keep(page, "segment")
    before = said.inner_text()
    page.keyboard.down("Alt")
    with page.expect_request(SEGMENT) as second:
        page.mouse.click(place[0] + 12, place[1])
    page.keyboard.up("Alt")
    expect(said).not_to_have_text(before)
    assert [point.label for point in asked(second.value).points] == [1, 0]
    assert asked(second.value).mask is not None
    expect(canvas).to_have_attribute("aria-busy", "false")
    assert violations(page) == []
    viewer.get_by_role("button", name="Undo").click()
    expect(said).to_have_text(before)
    viewer.get_by_role("button", name="Clear").click()
    expect(said).to_contain_text("Click on an object")
    expect(viewer.get_by_role("button", name="Search with this")).to_be_hidden()
    viewer.get_by_role("button", name="Undo").click()
    expect(said).to_have_text(before)


def test_a_box_and_a_text(parts_page: Page, parts_url: str) -> None:
    page, viewer = parts_page, open_tool(parts_page)
    found = objects_of(page, parts_url)[:2]
    x0, y0, x1, y1 = found[0]["payload"]["bbox"]
    page.route(SEGMENT, lambda route: route.fulfill(json=masks_of(found[:1])))
    page.mouse.move(*on_screen(viewer, found[0], x0, y0))
    page.mouse.down()
    page.mouse.move(*on_screen(viewer, found[0], x1, y1), steps=4)
    with page.expect_request(SEGMENT) as boxed:
        page.mouse.up()
    box = asked(boxed.value).box
    assert box is not None
    assert np.allclose(box, (x0, y0, x1, y1), atol=2.5)
    page.unroute(SEGMENT)
    told = masks_of(found, label="a red apple", score=0.9)
    page.route(SEGMENT, lambda route: route.fulfill(json=told))
    viewer.get_by_label("Segment what a text names").fill("a red apple")
    with page.expect_request(SEGMENT) as texts:
        page.keyboard.press("Enter")
    assert asked(texts.value).texts == ("a red apple",)
    rows = viewer.locator(".found button")
    expect(rows).to_have_count(2)
    keep(page, "segment-text")
    share = f"{found[1]['payload']['area_frac'] * 100:.1f}% of the image"
    rows.nth(1).click()
    expect(viewer.locator(".said")).to_contain_text(f"a red apple 90% · {share}")
    expect(rows.nth(1)).to_have_attribute("aria-pressed", "true")


def test_late_answers_and_errors(parts_page: Page, parts_url: str) -> None:
    page, viewer = parts_page, open_tool(parts_page)
    canvas, said = viewer.locator("canvas"), viewer.locator(".said")
    found = objects_of(page, parts_url)
    held: list[Route] = []
    page.route(SEGMENT, lambda route: held.append(route))
    canvas.click(position={"x": 90, "y": 90})
    until(lambda: page.wait_for_timeout(20) is None and len(held) == 1)
    expect(canvas).to_have_attribute("aria-busy", "true")
    expect(said).to_have_text("Segmenting…")
    canvas.click(position={"x": 60, "y": 60})
    until(lambda: page.wait_for_timeout(20) is None and len(held) == 2)
    held[1].fulfill(json=masks_of(found[1:2]))
    expect(said).to_contain_text(f"{found[1]['payload']['area_frac'] * 100:.1f}% of the image")
    held[0].fulfill(json=masks_of(found[:1]))
    page.wait_for_timeout(200)
    expect(said).to_contain_text(f"{found[1]['payload']['area_frac'] * 100:.1f}% of the image")
    canvas.click(position={"x": 80, "y": 60})
    until(lambda: page.wait_for_timeout(20) is None and len(held) == 3)
    held[2].fulfill(status=422, json={"detail": "expected a segmenter that takes points"})
    expect(said).to_have_text("expected a segmenter that takes points")
    expect(canvas).to_have_attribute("aria-busy", "false")
    # What went wrong is no step: the next prompt does without it.
    canvas.click(position={"x": 30, "y": 30})
    until(lambda: page.wait_for_timeout(20) is None and len(held) == 4)
    assert len(asked(held[3]).points) == 3


def test_keys_alone(parts_page: Page, parts_url: str) -> None:
    page, viewer = parts_page, open_tool(parts_page)
    found = objects_of(page, parts_url)
    size = found[0]["payload"]["width"], found[0]["payload"]["height"]
    page.route(SEGMENT, lambda route: route.fulfill(json=masks_of(found[:1])))
    canvas = viewer.locator("canvas")
    canvas.focus()
    step = max(size) / 64
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    with page.expect_request(SEGMENT) as pressed:
        page.keyboard.press("Enter")
    (point,) = asked(pressed.value).points
    assert np.allclose((point.x, point.y), (size[0] / 2 - step, size[1] / 2 - step), atol=0.11)
    page.keyboard.press("b")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    with page.expect_request(SEGMENT) as boxed:
        page.keyboard.press("b")
    box = asked(boxed.value).box
    assert box is not None
    assert np.allclose((box[2] - box[0], box[3] - box[1]), 2 * step, atol=2)
    keep(page, "segment-keys")
    undo = viewer.get_by_role("button", name="Undo")
    for _ in range(2):
        expect(undo).to_be_enabled()
        canvas.press("Backspace")
    expect(undo).to_be_disabled()


def test_a_mask_is_searched_with(parts_page: Page, parts_url: str) -> None:
    page, viewer = parts_page, open_tool(parts_page)
    found = objects_of(page, parts_url)
    other = {**found[0]["payload"], "bbox": [3, 4, 13, 24], "area": 200, "area_frac": 0.01}
    size = found[0]["payload"]["height"], found[0]["payload"]["width"]
    inside = np.zeros(size, bool)
    inside[4:24, 3:13] = True
    other["rle"] = {"size": size, "counts": CocoRle.from_mask(inside).counts}
    answers = [masks_of([{"payload": other}]), masks_of(found[:1])]
    page.route(SEGMENT, lambda route: route.fulfill(json=answers.pop()))
    viewer.locator("canvas").click(position={"x": 30, "y": 30})
    viewer.get_by_role("button", name="Search with this").click()
    expect(viewer).to_be_hidden()
    expect(page.locator(".chip")).to_contain_text("like this object")
    assert f"like=o%3A{found[0]['object_id']}" in page.url
    page.go_back()
    viewer = open_tool(page)
    viewer.locator("canvas").click(position={"x": 30, "y": 30})
    with page.expect_request("**/v1/search") as asked:
        viewer.get_by_role("button", name="Search with this").click()
    expect(page.locator(".chip")).to_contain_text("like what a mask shows")
    wanted = {"size": [*size], "counts": other["rle"]["counts"]}
    (example,) = asked.value.post_data_json["positive"]
    assert example["mask"] == wanted
    # The address holds it, too.
    with page.expect_request("**/v1/search") as asked_again:
        page.reload()
    (example,) = asked_again.value.post_data_json["positive"]
    assert example["mask"] == wanted


def test_a_mask_is_saved(parts_page: Page, parts_url: str, tmp_path: Path) -> None:
    page = parts_page
    viewer = open_tool(page)
    (item, *_) = objects_of(page, parts_url)
    page.route(SEGMENT, lambda route: route.fulfill(json=masks_of([item])))
    told_object = {"payload": {"segmenter_label": "my mug"}}
    page.route(OBJECTS, lambda route: route.fulfill(status=201, json=told_object))
    viewer.locator("canvas").click(position={"x": 30, "y": 30})
    viewer.get_by_label("Label of the object").fill("my  mug")
    with page.expect_request(OBJECTS) as saved:
        viewer.get_by_role("button", name="Save to the index").click()
    assert json.loads(saved.value.post_data or "") == {
        "uri": item["payload"]["uri"],
        "segmentation": item["payload"]["rle"],
        "label": "my  mug",
    }
    expect(viewer.locator(".said")).to_have_text("Saved to the index as “my mug”.")
    assert violations(page) == []
    keep(page, "segment-save")
    # The same mask keeps its label.
    viewer.get_by_label("Label of the object").fill("cup")
    viewer.get_by_role("button", name="Save to the index").click()
    expect(viewer.locator(".said")).to_have_text("The index has it already as “my mug”.")
    viewer.get_by_label("Label of the object").fill("my  mug")
    page.unroute(OBJECTS)
    sentence = "its image has changed since it was indexed"
    page.route(OBJECTS, lambda route: route.fulfill(status=409, json={"detail": sentence}))
    viewer.get_by_role("button", name="Save to the index").click()
    expect(viewer.locator(".said")).to_have_text(sentence)
    with page.expect_download() as png:
        viewer.get_by_role("button", name="Download the mask as a PNG").click()
    png.value.save_as(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as picture:
        white = np.asarray(picture.convert("L")) > 127
    rle = CocoRle(tuple(item["payload"]["rle"]["size"]), item["payload"]["rle"]["counts"])
    assert (white == rle.decode()).all()
    with page.expect_download() as coco:
        viewer.get_by_role("button", name="Download the mask as COCO").click()
    told = json.loads(Path(coco.value.path()).read_text())
    assert told["annotations"][0]["segmentation"] == item["payload"]["rle"]
    assert told["categories"] == [{"id": 1, "name": "my  mug"}]
    # The keys are still told of.
    expect(viewer.get_by_role("application")).to_have_accessible_name(re.compile("arrow keys"))


def test_a_key_is_wanted_to_save(parts_page: Page, parts_url: str) -> None:
    page = parts_page
    viewer = open_tool(page)
    item = objects_of(page, parts_url)[0]
    page.route(SEGMENT, lambda route: route.fulfill(json=masks_of([item])))
    viewer.locator("canvas").click(position={"x": 30, "y": 30})
    sentence = "this needs a key of the scope ingest"

    def guard(route: Route) -> None:
        if route.request.headers.get("authorization") == f"Bearer {TOKEN}":
            route.fulfill(status=200, json={"payload": {}})
        else:
            route.fulfill(status=403, json={"detail": sentence})

    page.route(OBJECTS, guard)
    save = page.get_by_role("button", name="Save to the index")
    save.click()
    dialog = page.get_by_role("dialog", name="This service needs a key")
    expect(dialog.get_by_role("alert")).to_have_text(sentence)
    page.keyboard.press("Escape")
    expect(viewer.locator(".said")).to_have_text(sentence)
    save.click()
    dialog.get_by_label("Key").fill(TOKEN)
    dialog.get_by_role("button", name="Use it").click()
    expect(page.locator(".said")).to_have_text("Saved to the index without a label.")


def test_an_upload_is_segmented_but_not_saved(
    browser: Browser, parts_url: str, tmp_path: Path
) -> None:
    Image.new("RGB", (64, 48), "white").save(tmp_path / "own.png")
    with opened(browser, parts_url) as page:
        nothing = {"state": "found", "copies": [], "objects": []}
        page.route("**/objects", lambda route: route.fulfill(json=nothing))
        inside = np.zeros((48, 64), bool)
        inside[10:20, 10:30] = True
        rle = {"size": [48, 64], "counts": CocoRle.from_mask(inside).counts}
        mask = {"bbox": [10, 10, 30, 20], "rle": rle, "area": 200, "area_frac": 0.0651}
        told = {"width": 64, "height": 48, "segmenter": "sam_demo", "masks": [mask]}
        page.route(SEGMENT, lambda route: route.fulfill(json=told))
        page.set_input_files("#file", str(tmp_path / "own.png"))
        viewer = page.get_by_role("dialog")
        viewer.get_by_role("button", name="Segment", exact=True).click()
        with page.expect_request(SEGMENT) as sent:
            viewer.locator("canvas").click()
        assert asked(sent.value).upload_id is not None
        expect(viewer.locator(".said")).to_have_text("6.5% of the image")
        expect(viewer.get_by_role("button", name="Save to the index")).to_be_hidden()
