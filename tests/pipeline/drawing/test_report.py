"""A report: what it says, that it needs nothing else, and that nobody is kept out of it."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from support.page_world import DESK, PAGE_MARKS, PHONE, chromium, violations

from pipeline.drawing.report.contents import (
    Axis,
    Cell,
    Gallery,
    Plot,
    Report,
    Section,
    Series,
    Table,
)
from pipeline.drawing.report.pictures import encode_picture
from pipeline.drawing.report.plots import HEIGHT_PX, WIDTH_PX, Frame, draw_plot
from pipeline.drawing.report.report_file import check_report_file, render_report, write_report
from pipeline.drawing.report.scales import fit_scale, show_tick
from schemas.errors import UsageError

HOSTILE = """<script>alert("1")</script>"""
UNIT = Axis("share", 0, 1)
POINTS = Plot(
    "Calibration", "near the diagonal", replace(UNIT, title="score"), UNIT,
    [
        Series("first", [0.1, 0.9], [0.2, 0.8], "points", [0.1, 0.7], [0.3, 0.9]),
        Series("second", [0.1, 0.9], [0.3, 0.7], "points"),
    ],
    diagonal="perfect",
)  # fmt: skip
BARS = Plot(
    "IoU of pairs", "most above 0.9", Axis("IoU"), Axis("pairs"),
    [Series("all", [0.5, 0.75, 1.0], [10, 40], "bars")],
)  # fmt: skip
TABLE = Table(
    "Figures",
    ["figure", "A", "B", "difference"],
    [
        ["AP", Cell("0.5", "0.4 to 0.6"), "0.7", Cell("+0.2", "0.1 to 0.3", "better")],
        ["AR", "0.6", "0.5", Cell("-0.1", "-0.2 to -0.01", "worse")],
        [HOSTILE, "0.6", "0.6", Cell("0.0", "-0.1 to 0.1", "same")],
    ],
)


def make_report() -> Report:
    picture = encode_picture(
        Image.new("RGB", (960, 400), (200, 30, 30)), "cats/1.jpg", "a cat, red", ["IoU 0.5", "cat"]
    )
    sections = [
        Section("Figures", [TABLE], "in brackets are intervals"),
        Section("Plots", [POINTS, BARS]),
        Section(f"Gains {HOSTILE}", [Gallery("Largest gains", [picture])]),
    ]
    return Report("Masks compared", f"B is better in {HOSTILE}.", sections)


def test_it_says_what_it_holds_and_escapes_it() -> None:
    page = render_report(make_report())
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;") == 4  # one in the list
    assert re.search(r"<h1>\s*Masks compared\s*</h1>", page)
    assert '<span class="verdict better"><span aria-hidden="true">▲</span> better</span>' in page
    assert '<span class="verdict worse"><span aria-hidden="true">▼</span> worse</span>' in page
    assert "within noise" in page
    assert '<span class="note"> 0.1 to 0.3</span>' in page
    assert "<caption>Figures</caption>" in page
    assert page.count("<svg") == 2 + 3  # plots, and keys of the first: one has nothing to tell
    assert "<title>Calibration: near the diagonal</title>" in page


def test_it_fetches_nothing() -> None:
    page = render_report(make_report())
    assert not re.search(r"https?:|@import|url\(", page)
    assert set(re.findall(r'(?:src|href)="(.{5})', page)) == {"data:", '#s1">', '#s2">', '#s3">'}
    assert "default-src 'none'" in page


def test_pictures_are_small_and_whole() -> None:
    page = render_report(make_report())
    found = re.search(r'src="data:image/webp;base64,([^"]+)" width="648" height="270"', page)
    assert found is not None
    picture = Image.open(BytesIO(base64.b64decode(found[1])))
    assert (picture.size, picture.format) == ((648, 270), "WEBP")
    assert 'alt="a cat, red"' in page
    assert 'loading="lazy"' in page


def test_control_characters_and_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abcdefghijklmnop")
    odd = "a\x1b[31m\udcff abcdefghijklmnop"
    page = render_report(Report(odd, odd, [Section(odd, [replace(POINTS, title=odd)])]))
    assert "\x1b" not in page
    assert "abcdefghijklmnop" not in page
    assert "a\\x1b[31m\\udcff" in page
    page.encode()


def test_it_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("earlier")
    write_report(path, make_report())
    assert path.read_text().startswith("<!doctype html>")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(UsageError, match="expected a file for the report, got the folder"):
        check_report_file(tmp_path)
    with pytest.raises(UsageError, match="the report cannot be written to"):
        write_report(tmp_path / "nowhere" / "report.html", make_report())


def test_a_plot_places_its_values() -> None:
    line = Series("one", [0, 0.5, 1], [1, 0.5, 0])
    svg = ElementTree.fromstring(draw_plot(Plot("t", "a", UNIT, UNIT, [line])))
    assert svg.get("viewBox") == f"0 0 {WIDTH_PX} {HEIGHT_PX}"
    (path,) = [each for each in svg.iter("path") if each.get("class") == "line"]
    assert path.get("d") == "M58 12L212 117L366 222"
    texts = [each.text for each in svg.iter("text")]
    assert texts == ["0", "0.2", "0.4", "0.6", "0.8", "1"] * 2 + ["share", "share"]


def test_bars_stand_on_zero() -> None:
    svg = ElementTree.fromstring(draw_plot(BARS))
    (path,) = [each for each in svg.iter("path") if each.get("class") == "line"]
    # The highest has a little room above it.
    assert path.get("d") == "M58 222L58 171.5L212 171.5L212 20.1L366 20.1L366 222"


def test_an_area_has_gaps_and_a_frame_its_room() -> None:
    nan = float("nan")
    upper = Series("b", [0, 0.5, 1], [1, nan, 0.5], "area", lows=[0.5, 0.5, 0])
    axes = (UNIT, replace(UNIT, title="", show=lambda value: f"{value:.0%}"))
    frame = Frame(width=234, height=142, left=20, bottom=30)
    svg = ElementTree.fromstring(draw_plot(Plot("t", "a", *axes, [upper]), frame))
    assert svg.get("viewBox") == "0 0 234 142"
    paths = [(each.get("class"), each.get("d")) for each in svg.iter("path")]
    assert [each for each in paths if each[0] in ("area", "line")] == [
        ("area", "M20 12L20 62"),
        ("line", "M20 12L20 12"),
        ("area", "M220 62L220 112"),
        ("line", "M220 62L220 62"),
    ]
    assert [each.text for each in svg.iter("text")][:6] == [
        "0%",
        "20%",
        "40%",
        "60%",
        "80%",
        "100%",
    ]


def test_points_of_series_lie_beside_each_other() -> None:
    svg = ElementTree.fromstring(draw_plot(POINTS))
    whiskers = [each.get("d") for each in svg.iter("path") if each.get("class") == "whisker"]
    assert whiskers == ["M88.8 201L88.8 159", "M335.2 75L335.2 33"]
    marks = [each for each in svg.iter() if each.get("class") == "mark"]
    assert [mark.tag for mark in marks] == ["circle", "circle", "path", "path"]
    assert (marks[0].get("cx"), marks[0].get("cy")) == ("88.8", "180")
    assert (marks[2].get("d") or "").startswith("M93.3 ")  # 9 to the right, its corner 4.5 less
    assert marks[0][0].text == "first: 0.1, 0.200"


def test_an_axis_has_round_ticks() -> None:
    fitted = fit_scale(Axis("n"), [0, 43], 0, 100, room=0)
    assert fitted.list_ticks() == [0, 10, 20, 30, 40]
    logarithmic = fit_scale(Axis("px", is_logarithmic=True), [0, 100, 10_000], 0, 100, room=0)
    assert logarithmic.list_ticks() == [100, 300, 1000, 3000, 10_000]
    assert logarithmic.place(1000) == pytest.approx(50)
    assert logarithmic.place(0) == 0
    assert [show_tick(tick) for tick in (0.1 + 0.2, 25.0, 10_000.0)] == ["0.3", "25", "10,000"]
    same = fit_scale(Axis("n"), [3, 3], 0, 100, room=0)
    assert (same.low, same.high) == (2.5, 3.5)
    assert fit_scale(Axis("n"), [], 0, 100, room=0).list_ticks()


class TestInABrowser:
    pytestmark = PAGE_MARKS

    def test_it_is_for_everybody_on_every_screen(self, tmp_path: Path) -> None:
        path = tmp_path / "report.html"
        write_report(path, make_report())
        with chromium() as browser:
            for viewport in (DESK, PHONE):
                for scheme in ("light", "dark"):
                    context = browser.new_context(viewport=viewport, color_scheme=scheme)
                    page = context.new_page()
                    asked: list[str] = []
                    page.on("request", lambda request, asked=asked: asked.append(request.url))
                    page.goto(path.as_uri())
                    assert violations(page) == []
                    width = page.evaluate("document.documentElement.scrollWidth")
                    assert width == viewport["width"]
                    assert [url[:5] for url in asked] in (["file:"], ["file:", "data:"])
                    context.close()
