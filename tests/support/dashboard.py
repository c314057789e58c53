"""Reads the queries of the dashboard and of the alerts that lie in deploy/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from support.paths import ROOT

from bench.dashboard_panels.dashboard import DASHBOARD, read_dashboard
from pipeline.observing.metric_names import INGEST_METRICS, SERVICE_METRICS, MetricSpec

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
CONFIG = ROOT / "deploy" / "prometheus" / "prometheus.yaml"
METRICS = {spec.name: spec for spec in (*INGEST_METRICS, *SERVICE_METRICS)}


@dataclass(frozen=True, slots=True)
class Query:
    """A query in PromQL of the panel or alert `title`; `legend` names its series."""

    title: str
    expr: str
    legend: str = ""

    def within(self, window: str) -> str:
        """The query where Grafana's interval is `window`."""
        return self.expr.replace("$__rate_interval", window)

    def metrics(self) -> set[str]:
        """Names of series in it."""
        return set(re.findall(r"\b(objseek_\w+)", self.expr))

    def labels(self) -> set[str]:
        """Labels that it selects or groups by, or that its legend shows."""
        selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", self.expr)
        grouped = re.findall(r"(?:by|without|ignoring|on)\s*\(([^)]*)\)", self.expr)
        shown = re.findall(r"{{\s*(\w+)\s*}}", self.legend)
        return {*selected, *shown, *re.findall(r"\w+", " ".join(grouped))}


def panel_queries() -> Iterator[Query]:
    """All queries of the dashboard."""
    for panel in read_dashboard(DASHBOARD).panels:
        for target in panel.targets:
            yield Query(panel.title, target.expr, target.legend)


def alert_queries() -> Iterator[Query]:
    """All queries of the alerts."""
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            yield Query(rule["alert"], rule["expr"])


def find_metric(series: str) -> MetricSpec | None:
    """The metric that exports a series of this name."""
    spec = METRICS.get(re.sub(r"_(bucket|sum|count)$", "", series))
    if spec is not None and spec.kind == "histogram":
        return spec if series != spec.name else None
    return METRICS.get(series)
