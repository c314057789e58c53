"""The dashboard and the alerts ask for what is exported, and their files fit together."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
import yaml
from prometheus_client import CollectorRegistry
from support.dashboard import (
    ALERTS,
    CONFIG,
    DASHBOARD,
    METRICS,
    Query,
    alert_queries,
    find_metric,
    panel_queries,
)
from support.paths import ROOT

from pipeline.observing.ingest_metrics import IngestMetrics
from pipeline.observing.metric_names import INGEST_METRICS, SERVICE_METRICS, MetricSpec
from pipeline.service.metrics import Metrics
from schemas.serve_options import ServeOptions

QUERIES = [*panel_queries(), *alert_queries()]
PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"
OF_PROMETHEUS = {"job", "instance"}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.title)
def test_a_query_asks_for_what_is_exported(query: Query) -> None:
    found = {series: find_metric(series) for series in query.metrics()}
    assert not [series for series, spec in found.items() if spec is None]
    labels = {label for spec in found.values() if spec for label in spec.labels}
    if any(spec and spec.kind == "histogram" for spec in found.values()):
        labels.add("le")
    assert query.labels() <= labels | OF_PROMETHEUS


def test_every_metric_is_shown_somewhere() -> None:
    shown = {find_metric(series) for query in QUERIES for series in query.metrics()}
    assert {spec for spec in METRICS.values() if spec not in shown} == set()


def exported(registry: CollectorRegistry) -> set[tuple[str, str]]:
    return {
        (f"{family.name}_total" if family.type == "counter" else family.name, family.type)
        for family in registry.collect()
    }


def listed(specs: Iterable[MetricSpec]) -> set[tuple[str, str]]:
    return {(spec.name, spec.kind) for spec in specs}


def test_what_is_listed_is_what_is_exported() -> None:
    assert exported(IngestMetrics().registry) == listed(INGEST_METRICS)
    assert exported(Metrics()._registry) == listed(SERVICE_METRICS)


def test_names_follow_prometheus_conventions() -> None:
    for spec in METRICS.values():
        assert spec.name.endswith("_total") == (spec.kind == "counter"), spec.name
        assert "_ms" not in spec.name
        assert "_mb" not in spec.name
        assert spec.about.endswith("."), spec.name
        assert bool(spec.buckets) == (spec.kind == "histogram"), spec.name


def test_panels_have_a_place_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_dashboard_uses_the_source_that_is_provisioned() -> None:
    sources = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yaml").read_text())
    (uid,) = {source["uid"] for source in sources["datasources"]}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    used = {target["datasource"]["uid"] for panel in panels for target in panel.get("targets", ())}
    assert used == {uid}
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards" / "objseek.yaml").read_text())[
        "providers"
    ]
    assert provider["type"] == "file"


def test_the_configuration_names_the_alerts_and_the_ports() -> None:
    config = yaml.safe_load(CONFIG.read_text())
    assert config["rule_files"] == [ALERTS.name]
    targets = {job["job_name"]: job["static_configs"] for job in config["scrape_configs"]}
    assert targets == {
        "objseek-service": [{"targets": [f"service:{ServeOptions().port}"]}],
        "objseek-ingest": [{"targets": ["ingest:9464"]}],
    }
