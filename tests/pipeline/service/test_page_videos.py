"""The page over a video of two shots: clips in the grid, and the viewer with its timeline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from support import fakes
from support.moving_squares import write_squares
from support.page_world import (
    DESK,
    PAGE_MARKS,
    PHONE,
    keep,
    look_for,
    narrow,
    opened,
    serving,
    show_unlikely,
    violations,
)
from support.waiting import until

from pipeline.jobs.ingest import ingest

pytestmark = PAGE_MARKS
CLIP = "**/clip.mp4*"
INTENT_MS = 200
WITH_CONTRAST = pytest.mark.parametrize(
    "page", ["desk-light", "phone-dark", "desk-dark", "phone-light"], indirect=True
)
"""For tests that look at colours too: every size in every scheme."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("videos")
    write_squares(made / "videos" / "two shots.mp4", 3.0, 2.0)
    fakes.write_images(made / "videos", 2)
    settings = fakes.settings(made / "index")
    ingest([str(made / "videos")], settings, recipe=fakes.recipe(settings))
    return made


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    settings = fakes.settings(folder / "index")
    with serving(settings, fakes.BrightSegmenter(), fakes.embedder()) as address:
        yield address


@pytest.fixture(params=["desk-light", "phone-dark"])
def page(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Page]:
    size, scheme = request.param.split("-")
    options = {"viewport": PHONE, "has_touch": True} if size == "phone" else {"viewport": DESK}
    with opened(browser, url, color_scheme=scheme, **options) as shown:
        shown.size = request.param  # type: ignore[attr-defined]
        yield shown


def find_tile(page: Page, shot: int = 0) -> Locator:
    """The tile of the square that moves in a shot."""
    look_for(page, "a square")
    show_unlikely(page)
    tiles = page.locator(".tile")
    number = tiles.evaluate_all(
        """(all, shot) => all.findIndex(({ hit: { payload } }) => payload.shot === shot
            && payload.kind === "object" && payload.bbox[0] > 0)""",
        shot,
    )
    return tiles.nth(number)


def open_video(page: Page, shot: int = 0) -> Locator:
    tile = find_tile(page, shot)
    page.mouse.move(1, 1)
    tile.locator(".open").press("Enter")
    viewer = page.get_by_role("dialog")
    expect(viewer.locator("li.lit")).to_have_count(1)
    return viewer


def time_of(viewer: Locator) -> float:
    return float(viewer.get_by_role("slider", name="Time").get_attribute("aria-valuenow") or "nan")


def shown_time(viewer: Locator) -> str:
    """The time of the frame that is on show, as its address says."""
    return (viewer.locator(".frame img").get_attribute("src") or "").partition("&t=")[2]


def plays(video: Locator) -> None:
    until(lambda: video.count() and video.evaluate("(video) => video.currentTime > 0"))


@WITH_CONTRAST
def test_a_tile_plays_while_it_is_pointed_at(page: Page) -> None:
    tile = find_tile(page)
    expect(tile.locator(".time")).to_have_text("0:00\N{EN DASH}0:02")
    expect(tile.locator(".open")).to_have_attribute("aria-label", re.compile("0:00 to 0:02$"))
    images = page.locator(".tile:not(:has(.time))")
    expect(images.first).to_be_visible()
    tile.hover()
    video = tile.locator("video")
    plays(video)
    assert video.evaluate("(one) => one.muted && one.loop && !one.controls")
    keep(page, "video-tile")
    page.mouse.move(1, 1)
    expect(page.locator("video")).to_have_count(0)
    assert violations(page) == []


def test_only_who_stays_asks_for_a_clip(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        asked: list[str] = []
        page.route(CLIP, lambda route: (asked.append(route.request.url), route.continue_()))
        tile = find_tile(page)
        page.clock.install(time=0)
        page.clock.pause_at(3_600)
        tile.hover()
        page.clock.run_for(INTENT_MS - 1)
        page.mouse.move(1, 1)
        page.clock.run_for(10 * INTENT_MS)
        assert asked == []
        tile.hover()
        with page.expect_response(CLIP):
            page.clock.run_for(INTENT_MS + 1)
        assert [url.rpartition("/")[2] for url in asked] == ["clip.mp4?around=true"]


def test_a_tile_plays_with_the_focus_or_a_finger(browser: Browser, url: str) -> None:
    with opened(browser, url, viewport=PHONE, has_touch=True) as page:
        tile = find_tile(page)
        page.keyboard.press("Tab")
        tile.locator(".open").focus()
        plays(tile.locator("video"))
        page.get_by_label("What to look for").focus()
        expect(page.locator("video")).to_have_count(0)
        tile.dispatch_event("pointerenter", {"pointerType": "touch"})
        plays(tile.locator("video"))
        tile.dispatch_event("pointercancel", {"pointerType": "touch"})
        expect(page.locator("video")).to_have_count(0)


def test_nothing_moves_for_who_wants_no_motion(browser: Browser, url: str) -> None:
    with opened(browser, url, reduced_motion="reduce") as page:
        asked: list[str] = []
        page.route(CLIP, lambda route: (asked.append(route.request.url), route.continue_()))
        tile = find_tile(page)
        page.clock.install(time=0)
        page.clock.pause_at(3_600)
        tile.hover()
        page.clock.run_for(10 * INTENT_MS)
        assert asked == []
        page.clock.resume()
        # Who wants it nevertheless presses a button.
        tile.locator(".open").click()
        viewer = page.get_by_role("dialog")
        viewer.get_by_role("button", name=re.compile("^Play")).click()
        plays(viewer.locator("video"))


@WITH_CONTRAST
def test_the_viewer_begins_with_the_best_frame(page: Page) -> None:
    viewer = open_video(page)
    expect(viewer.locator("h2")).to_have_text("two shots.mp4")
    expect(viewer.locator("header p")).to_contain_text(
        "64 \N{MULTIPLICATION SIGN} 48 px · 0:05 · 4 objects"
    )
    expect(viewer.get_by_role("region", name="Timeline")).to_be_visible()
    expect(viewer.locator(".shot")).to_have_text(["Shot 1", "Shot 2"])
    tracks = viewer.locator(".track")
    expect(tracks).to_have_count(4)
    current = viewer.locator(".track[aria-current]")
    expect(current).to_have_count(1)
    expect(current).to_have_attribute("aria-label", "object, 0:00 to 0:02, shot 1")
    expect(viewer.locator("#details")).to_contain_text("0:00\N{EN DASH}0:02")
    slider = viewer.get_by_role("slider", name="Time")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^0:0[0-2]\.\d of 0:05\.0$"))
    keep(page, "video")
    assert violations(page) == []


def test_the_timeline_seeks(page: Page) -> None:
    viewer = open_video(page)
    bar = viewer.locator(".track", has_not_text="nothing").last
    expect(bar).to_have_attribute("aria-label", re.compile("shot 2$"))
    bar.click()
    expect(bar).to_have_attribute("aria-current", "true")
    until(lambda: shown_time(viewer) == f"{time_of(viewer):.3f}")
    assert 3.0 <= time_of(viewer) <= 4.9
    expect(viewer.locator("li.lit")).to_have_count(1)
    expect(viewer.locator("#details")).to_contain_text("0:03\N{EN DASH}0:04")
    # Between the bars it is the time alone that is chosen.
    area = viewer.locator(".sheet").bounding_box()
    assert area is not None
    page.mouse.click(area["x"] + area["width"] * 0.25, area["y"] + 8)
    until(lambda: abs(time_of(viewer) - 1.25) < 0.05)
    expect(bar).to_have_attribute("aria-current", "true")
    until(lambda: shown_time(viewer) == f"{time_of(viewer):.3f}")
    expect(viewer.locator("li.lit")).to_have_count(0)
    expect(viewer.locator(".list li")).to_have_count(2)


def test_the_timeline_is_gone_along_with_keys(page: Page) -> None:
    viewer = open_video(page)
    slider = viewer.get_by_role("slider", name="Time")
    slider.focus()
    page.keyboard.press("Home")
    until(lambda: time_of(viewer) == 0)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    until(lambda: time_of(viewer) == 0.5)
    until(lambda: shown_time(viewer) == "0.500")
    page.keyboard.press("End")
    until(lambda: time_of(viewer) > 4.9)
    focused = "document.activeElement.getAttribute('aria-label')"
    page.keyboard.press("ArrowDown")
    labels = [page.evaluate(focused)]
    for _ in range(3):
        page.keyboard.press("ArrowDown")
        labels.append(page.evaluate(focused))
    assert sorted(labels) == sorted(
        viewer.locator(".track").evaluate_all("(all) => all.map((one) => one.ariaLabel)")
    )
    page.keyboard.press("Enter")
    chosen = viewer.locator(".track[aria-current]")
    expect(chosen).to_have_attribute("aria-label", labels[-1])
    expect(viewer.locator("li.lit")).to_have_count(1)
    # One track alone is on the way of the Tab key.
    expect(viewer.locator(".track[tabindex='0']")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()


def test_pointing_at_a_lane_lights_its_mask(page: Page) -> None:
    viewer = open_video(page)
    before = shown_time(viewer)
    square = viewer.locator("li.lit .count").inner_text()
    same_shot = viewer.locator(".track:not([aria-current])[aria-label$='shot 1']")
    same_shot.hover()
    expect(viewer.locator("li.lit .count")).not_to_have_text(square)
    assert shown_time(viewer) == before
    keep(page, "video-lane")
    # One that is not to be seen now is shown at its best, and then what was there again.
    other_shot = viewer.locator(".track[aria-label$='shot 2']").first
    other_shot.hover()
    until(lambda: float(shown_time(viewer)) >= 3.0)
    expect(viewer.locator("li.lit")).to_have_count(1)
    assert f"{time_of(viewer):.3f}" == before
    page.mouse.move(1, 1)
    until(lambda: shown_time(viewer) == before)
    expect(viewer.locator("li.lit .count")).to_have_text(square)


@WITH_CONTRAST
def test_the_clip_plays_in_the_viewer(page: Page) -> None:
    viewer = open_video(page)
    button = viewer.locator(".play")
    expect(button).to_have_accessible_name("Play the clip of this object")
    started = time_of(viewer)
    button.click()
    plays(viewer.locator(".frame video"))
    expect(button).to_have_accessible_name("Pause the clip of this object")
    until(lambda: time_of(viewer) != started)
    keep(page, "video-plays")
    assert violations(page) == []
    button.click()
    expect(viewer.locator("video")).to_have_count(0)
    expect(viewer.locator("canvas")).to_be_visible()
    until(lambda: shown_time(viewer) == f"{time_of(viewer):.3f}")
    button.click()
    plays(viewer.locator(".frame video"))
    page.keyboard.press("Escape")
    expect(page.locator("video")).to_have_count(0)


def test_a_frame_is_searched_with(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        viewer = open_video(page)
        viewer.get_by_role("button", name="Search with this frame").click()
        expect(viewer.locator("h2")).to_have_text(re.compile(r"^two shots\.mp4 at 0:0\d\.\d$"))
        viewer.get_by_role("button", name="Whole image").click()
        expect(page.locator(".chip")).to_contain_text("like this image")
        expect(page.locator(".tile img.there").first).to_be_visible()


def test_a_video_that_is_gone_is_said(browser: Browser, url: str, folder: Path) -> None:
    video = folder / "videos" / "two shots.mp4"
    away = video.rename(video.with_suffix(".away"))
    try:
        with opened(browser, url) as page:
            # A time that is in no cache yet.
            page.route(
                "**/frame.jpg*",
                lambda route: route.continue_(url=re.sub("t=[^&]+", "t=0.07", route.request.url)),
            )
            tile = find_tile(page, 1)
            tile.locator(".open").press("Enter")
            said = page.get_by_role("dialog").locator(".said")
            expect(said).to_contain_text("two%20shots.mp4")
    finally:
        away.rename(video)


@WITH_CONTRAST
def test_what_is_in_videos_is_narrowed_by_its_times(page: Page) -> None:
    look_for(page, "a square")
    narrow(page)
    everything = page.locator("#status").inner_text().split(" object")[0]
    expect(page.get_by_label("Seen from, s")).to_be_visible()
    assert violations(page) == []
    page.get_by_label("Seen from, s").focus()
    page.keyboard.type("3")
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_count(1)
    expect(page.get_by_label("Seen from, s")).to_be_focused()
    expect(page.locator("#status")).not_to_contain_text(f"{everything} objects")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Seen until, s")).to_be_focused()
    page.keyboard.type("4.5")
    page.keyboard.press("Tab")
    expect(page.locator(".chip")).to_have_count(2)
    page.get_by_label("Lasts at least, s").fill("1")
    page.get_by_label("Lasts at least, s").press("Enter")
    expect(page.locator(".chip")).to_have_count(3)
    page.get_by_label("Speed at least").fill("0.01")
    page.get_by_label("Speed at least").press("Enter")
    expect(page.locator(".chip")).to_have_count(4)
    filters = parse_qs(urlsplit(page.url).query)["filter"]
    assert filters == ["t_end>=3", "t_start<=4.5", "duration>=1", "motion>=0.01"]
    expect(page.locator("#status")).to_contain_text("1 object")
    keep(page, "video-filters")
    # No speed is below 0: nothing is asked.
    page.get_by_label("Speed at least").fill("-1")
    page.get_by_label("Speed at least").press("Enter")
    expect(page.locator(".chip")).to_have_count(4)
    page.get_by_label("Speed at least").fill("")
    page.get_by_label("Speed at least").press("Enter")
    expect(page.locator(".chip")).to_have_count(3)
    page.get_by_role("button", name="Clear all filters").click()
    expect(page.locator(".chip")).to_have_count(0)
    expect(page.locator("#status")).to_contain_text(f"{everything} objects")


@pytest.mark.parametrize("page", ["desk-light"], indirect=True)
def test_what_is_written_while_counts_come_is_kept(page: Page) -> None:
    look_for(page, "a square")
    narrow(page)
    expect(page.get_by_label("Seen from, s")).to_be_visible()
    held: list[Route] = []
    page.route("**/v1/facets*", lambda route: route.continue_() if held else held.append(route))
    page.get_by_label("Seen from, s").focus()
    page.keyboard.type("3")
    with page.expect_request("**/v1/facets*"):
        page.keyboard.press("Tab")
    expect(page.locator(".chip")).to_have_count(1)
    expect(page.get_by_label("Seen until, s")).to_be_focused()
    page.keyboard.type("4.5")
    with page.expect_response("**/v1/facets*"):
        held[0].continue_()
    expect(page.get_by_label("Seen until, s")).to_have_value("4.5")
    page.keyboard.press("Tab")
    expect(page.locator(".chip")).to_have_count(2)
    expect(page.get_by_label("Lasts at least, s")).to_be_focused()
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_count(3)
    filters = parse_qs(urlsplit(page.url).query)["filter"]
    assert filters == ["t_end>=3", "t_start<=4.5", "duration>=1"]
