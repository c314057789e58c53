"""Asks a Prometheus for what a panel shows, as Grafana does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from bench.dashboard_panels.dashboard import Panel, Target, Window
from schemas.errors import UsageError


@dataclass(frozen=True, slots=True)
class Curve:
    """A series: its values at the times of the window, NaN where it has none."""

    name: str
    values: Sequence[float]

    @property
    def last(self) -> float:
        """Its last value."""
        return next(value for value in reversed(self.values) if math.isfinite(value))


def ask_curves(client: httpx.Client, panel: Panel, window: Window) -> list[Curve]:
    """All series of a panel that have a value in `window`; raises UsageError for no answer."""
    return [
        curve for target in panel.targets for curve in _ask_target(client, panel, target, window)
    ]


def _ask_target(
    client: httpx.Client, panel: Panel, target: Target, window: Window
) -> Iterator[Curve]:
    times = window.list_times()
    question = {
        "query": window.replace_variables(target.expr),
        "start": str(times[0]),
        "end": str(times[-1]),
        "step": str(window.step_s),
    }
    where = f"for the panel {panel.title!r} from {client.base_url}"
    try:
        answer = client.get("/api/v1/query_range", params=question).json()
    except (httpx.HTTPError, ValueError) as exc:
        raise UsageError(f"expected an answer of a Prometheus {where}, got {exc!r}") from exc
    if answer["status"] != "success":
        raise UsageError(f"expected series {where}, got {answer['error']}")
    for series in answer["data"]["result"]:
        values = _align(series["values"], times)
        if any(map(math.isfinite, values)):
            yield Curve(target.name_series(series["metric"]), values)


def _align(samples: Sequence[Any], times: Sequence[int]) -> list[float]:
    """The values of pairs of time and text at each of `times`."""
    found = {round(at): float(value) for at, value in samples}
    values = (found.get(at, math.nan) for at in times)
    return [value if math.isfinite(value) else math.nan for value in values]
