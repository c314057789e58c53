"""The drawn dashboard: what is asked, where panels are, units, stacks, and the picture of docs."""

from __future__ import annotations

import math
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from support.paths import ROOT

from bench.dashboard_panels.curves import Curve, ask_curves
from bench.dashboard_panels.dashboard import (
    DASHBOARD,
    Dashboard,
    Panel,
    Target,
    Window,
    read_dashboard,
)
from bench.dashboard_panels.plotting import plot_panel, show_clock
from bench.dashboard_panels.sheet import draw_dashboard, place_keys, place_panel
from bench.dashboard_panels.units import choose_measure, show_value
from pipeline.drawing.fonts import choose_font
from schemas.errors import UsageError

NAN = math.nan
# From 0:00:07 to 0:00:20 of a day.
WINDOW = Window(1_700_006_407, 1_700_006_420, 5)
TARGET = Target('sum by (stage) (rate(seconds{a="b"}[$__rate_interval]))', "{{stage}}: {{ what }}")
PANEL = Panel("Time", "timeseries", (8, 1, 8, 8), "s", low=0, targets=(TARGET,))


def test_variables_are_those_of_grafana() -> None:
    hour = Window(0, 3600, 15)
    assert (hour.step_s, hour.replace_variables("[$__rate_interval]")) == (15, "[60s]")
    month = Window(0, 30 * 86_400, 15)
    assert (month.step_s, month.replace_variables("a[${__rate_interval}]")) == (4320, "a[4335s]")
    assert month.replace_variables("$__interval $__range") == "4320s 2592000s"
    with pytest.raises(UsageError, match=r"expected a variable among .*, got \$job in 'a\$job'"):
        hour.replace_variables("a$job")


def test_points_are_at_multiples_of_the_step() -> None:
    assert WINDOW.list_times() == [1_700_006_405 + 5 * number for number in range(4)]


def test_units_and_kinds_of_the_dashboard_are_known() -> None:
    dashboard = read_dashboard(DASHBOARD)
    assert {panel.kind for panel in dashboard.panels} == {"row", "timeseries", "stat"}
    for panel in dashboard.panels:
        assert choose_measure(panel.unit, 1.0).factor > 0
        for target in panel.targets:
            assert "$" not in WINDOW.replace_variables(target.expr)
    boxes = [place_panel(panel) for panel in dashboard.panels]
    for number, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:number]:
            assert left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]


@pytest.mark.parametrize(
    ("unit", "value", "shown"),
    [
        ("ops", 0.25, "0.25 ops/s"),
        ("reqps", 1234.0, "1.23k req/s"),
        ("Bps", 60_000.0, "60 kB/s"),
        ("bytes", 3 * 2**20, "3 MiB"),
        ("percentunit", 0.9412, "94.1%"),
        ("s", 0.0042, "4.2 ms"),
        ("s", 178.8, "2.98 min"),
        ("s", 0.0, "0 s"),
        ("short", 12_000.0, "12 K"),
    ],
)
def test_values_have_their_units(unit: str, value: float, shown: str) -> None:
    assert show_value(unit, value) == shown


def test_what_is_not_known_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a unit among short, .*, got 'furlong'"):
        show_value("furlong", 1.0)
    (tmp_path / "a.json").write_text('{"title": "a", "panels": [{"type": "pie", "title": "b"}]}')
    with pytest.raises(UsageError, match="row, timeseries, stat, got 'pie' of 'b'"):
        read_dashboard(tmp_path / "a.json")
    with pytest.raises(UsageError, match=r"expected a dashboard of Grafana in .*none.json, got"):
        read_dashboard(tmp_path / "none.json")


def answering(answer: object) -> httpx.Client:
    def respond(request: httpx.Request) -> httpx.Response:
        assert request.url.params["query"] == 'sum by (stage) (rate(seconds{a="b"}[20s]))'
        assert request.url.params["start"] == "1700006405"
        assert (request.url.params["end"], request.url.params["step"]) == ("1700006420", "5")
        return httpx.Response(200, json=answer)

    return httpx.Client(base_url="http://prometheus", transport=httpx.MockTransport(respond))


def test_curves_have_gaps_and_names() -> None:
    first = {"metric": {"stage": "read"}, "values": [[1_700_006_410, "1.5"], [1_700_006_420, "2"]]}
    empty = {"metric": {"stage": "write"}, "values": [[1_700_006_410, "NaN"]]}
    with answering({"status": "success", "data": {"result": [first, empty]}}) as client:
        (curve,) = ask_curves(client, PANEL, WINDOW)
    assert curve.name == "read: "
    assert curve.last == 2
    np.testing.assert_array_equal(curve.values, [NAN, 1.5, NAN, 2])


def test_a_refusal_is_told() -> None:
    with (
        answering({"status": "error", "error": "a parse error"}) as client,
        pytest.raises(UsageError, match=r"expected series for the panel 'Time' from .* a parse e"),
    ):
        ask_curves(client, PANEL, WINDOW)


def test_layers_lie_on_each_other() -> None:
    stacked = Panel("Time", "timeseries", (0, 0, 8, 8), "s", low=0, is_stacked=True)
    curves = [Curve("a", [0.001, NAN, 0.002, 0.001]), Curve("b", [0.003, 0.001, NAN, 0.004])]
    plot = plot_panel(stacked, curves, WINDOW)
    lower, upper = plot.series
    np.testing.assert_allclose(lower.y, [1, NAN, 2, 1])
    np.testing.assert_allclose(upper.lows, [1, 0, 2, 1])
    np.testing.assert_allclose(upper.y, [4, 1, NAN, 5])
    assert plot.y.show is not None
    assert plot.y.show(2.5) == "2.5 ms"
    assert (plot.y.low, plot.y.high) == (0, None)
    zeros = plot_panel(PANEL, [Curve("a", [0.0] * 4)], WINDOW)
    assert (zeros.y.low, zeros.y.high) == (0, 1)


def test_times_are_those_of_the_clock() -> None:
    plot = plot_panel(PANEL, [Curve("a", [1.0] * 4)], WINDOW)
    assert plot.x.low is not None
    assert show_clock(plot.x.low) == "0:00:07"
    assert [show_clock(minutes) for minutes in (9 * 60 + 5, 60.5)] == ["9:05", "1:00:30"]


def test_names_of_a_legend_go_on_in_another_line() -> None:
    _, font = choose_font("name", 17)
    wide = 26 + int(font.getlength("name"))
    assert place_keys(["name"] * 3, 2 * wide + 20, font) == [(0, 0), (wide + 20, 0), (0, 1)]


def test_every_panel_is_drawn_in_its_place() -> None:
    panels = (
        Panel("A row", "row", (0, 0, 24, 1)),
        Panel("A stat", "stat", (0, 1, 8, 8), "percentunit"),
        PANEL,
        Panel("Nothing", "timeseries", (16, 1, 8, 8)),
    )
    curves = [[], [Curve("a", [0.5] * 4)], [Curve("b", [1.0] * 4)], []]
    sheet = np.asarray(draw_dashboard(Dashboard("all", panels), curves, WINDOW)).astype(int)
    assert sheet.shape == (64 + 9 * 36 + 12, 1800, 3)
    blue = np.abs(sheet - (0x1D, 0x5F, 0xC4)).max(axis=2) < 40
    counts = [blue[100:, left : left + 596].sum() for left in (0, 600, 1200)]
    assert counts[0] > 500
    assert counts[1] > 500
    assert counts[2] == 0


def test_the_picture_of_the_page() -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    assert re.search(r"!\[[^\]]{40,}\]\(dashboard\.webp\)\n\n\*[^*]*not by Grafana", page)
    path = ROOT / "docs" / "dashboard.webp"
    assert path.stat().st_size < 250_000
    with Image.open(path) as picture:
        assert picture.size == (1800, 64 + read_dashboard(DASHBOARD).lines * 36 + 12)
