"""Reads a dashboard of Grafana: its panels, where they are, and their queries."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import UsageError

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards" / "objseek.json"
GRID_COLUMNS = 24
_MOST_POINTS = 600
"""Of a curve: Grafana asks for one for each pixel of a panel."""
KINDS = ("row", "timeseries", "stat")


@dataclass(frozen=True, slots=True)
class Target:
    """A query in PromQL; `legend` names its series, with `{{label}}` for the values of labels."""

    expr: str
    legend: str

    def name_series(self, labels: dict[str, str]) -> str:
        """What the series with these labels is called; a label that it lacks is empty."""
        return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), self.legend)


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: `place_xywh` in columns and lines of the grid; `fill` from 0 to 1."""

    title: str
    kind: str
    place_xywh: tuple[int, int, int, int]
    unit: str = "short"
    low: float | None = None
    high: float | None = None
    fill: float = 0.0
    is_stacked: bool = False
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class Dashboard:
    """All panels of a dashboard, and the lines of its grid."""

    title: str
    panels: tuple[Panel, ...]

    @property
    def lines(self) -> int:
        return max(y + height for _, y, _, height in (panel.place_xywh for panel in self.panels))


@dataclass(frozen=True, slots=True)
class Window:
    """What is shown: seconds since the epoch, and how often the data source says it scrapes."""

    start_s: int
    end_s: int
    scrape_s: int

    @property
    def step_s(self) -> int:
        """Between two points of a curve: never less than between two scrapes."""
        return max(self.scrape_s, math.ceil((self.end_s - self.start_s) / _MOST_POINTS))

    def list_times(self) -> list[int]:
        """The times of all points: multiples of the step, as Grafana aligns them."""
        first = self.start_s // self.step_s * self.step_s
        return list(range(first, self.end_s + 1, self.step_s))

    def replace_variables(self, expr: str) -> str:
        """`expr` as Grafana sends it; raises UsageError for a variable that it does not know."""
        rate_s = max(self.step_s + self.scrape_s, 4 * self.scrape_s)
        values = {
            "__rate_interval": f"{rate_s}s",
            "__interval": f"{self.step_s}s",
            "__range": f"{self.end_s - self.start_s}s",
        }

        def replace(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            if name not in values:
                known = ", ".join(f"${each}" for each in values)
                raise UsageError(f"expected a variable among {known}, got ${name} in {expr!r}")
            return values[name]

        return re.sub(r"\$(?:(\w+)|{(\w+)})", replace, expr)


def read_dashboard(path: Path) -> Dashboard:
    """The dashboard of a JSON file that Grafana provisions; raises UsageError if it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        panels = tuple(_read_panel(panel) for panel in content["panels"])
        return Dashboard(content["title"], panels)
    except (OSError, ValueError, KeyError) as exc:
        raise UsageError(f"expected a dashboard of Grafana in {path}, got {exc!r}") from exc


def _read_panel(panel: dict[str, Any]) -> Panel:
    if panel["type"] not in KINDS:
        raise UsageError(
            f"expected a panel of a type among {', '.join(KINDS)}, got {panel['type']!r} "
            f"of {panel['title']!r}"
        )
    place, field = panel["gridPos"], panel.get("fieldConfig", {}).get("defaults", {})
    custom = field.get("custom", {})
    return Panel(
        title=panel["title"],
        kind=panel["type"],
        place_xywh=(place["x"], place["y"], place["w"], place["h"]),
        unit=field.get("unit", "short"),
        low=field.get("min"),
        high=field.get("max"),
        fill=custom.get("fillOpacity", 0) / 100,
        is_stacked=custom.get("stacking", {}).get("mode") == "normal",
        targets=tuple(
            Target(target["expr"], target["legendFormat"]) for target in panel.get("targets", ())
        ),
    )
