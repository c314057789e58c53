"""The tables and names of docs/observability.md are those of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from support import fakes
from support.dashboard import CONFIG
from support.paths import ROOT

from pipeline.ingestion.listing import ignore_skipped, list_chunks
from pipeline.observing.event_log import log_failures
from pipeline.observing.json_lines import json_log
from pipeline.observing.metric_names import INGEST_METRICS, SERVICE_METRICS, MetricSpec
from schemas.errors import BadImageError
from schemas.images import Failure, Stage
from schemas.observe_options import ObserveOptions

PAGE = (ROOT / "docs" / "observability.md").read_text()
PACKAGES = ("pipeline", "workers")


def row(spec: MetricSpec) -> str:
    labels = ", ".join(f"`{label}`" for label in spec.labels)
    return f"| `{spec.name}` | {spec.kind} | {labels} | {spec.about} |"


def test_the_tables_list_what_is_exported() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `objseek_")]
    assert rows == [row(spec) for spec in (*INGEST_METRICS, *SERVICE_METRICS)]


def test_settings_and_defaults() -> None:
    options = ObserveOptions()
    named = set(re.findall(r"`observe\.(\w+)", PAGE))
    assert named <= set(ObserveOptions.model_fields)
    assert f"is `{options.metrics_host}` unless" in PAGE
    assert f"`observe.push_every_s` ({options.push_every_s:g} s)" in PAGE
    assert f"`observe.progress_every_s` ({options.progress_every_s:g} s)" in PAGE
    assert f"`observe.trace_share`, {options.trace_share:g})" in PAGE
    for variable in re.findall(r"OBJSEEK_OBSERVE__(\w+)=", PAGE):
        assert variable.lower() in ObserveOptions.model_fields


def test_events_are_those_that_are_logged() -> None:
    """All names of events in the code, but for those of images, which are their outcomes."""
    sources = [path.read_text() for name in PACKAGES for path in Path(ROOT, name).rglob("*.py")]
    in_code = {name for text in sources for name in re.findall(r'"event": "(\w+)"', text)}
    section = PAGE.split("| `event` |")[1].split("\n\n")[0]
    in_page = {
        name
        for line in section.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert in_page == in_code | {"rejected", "failed", "gone"}


def test_the_line_of_an_event_has_its_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fakes.write_images(tmp_path, 1)
    ((ref,),) = list_chunks(
        [str(tmp_path)], fakes.settings(tmp_path).store, 4, None, ignore_skipped
    )
    with json_log(ObserveOptions(log_format="json")):
        log_failures([Failure.from_error(ref, Stage.READ, BadImageError("bad"))])
    shown = json.loads(re.findall(r"^```json\n(.+?)^```", PAGE, re.M | re.S)[0])
    assert list(json.loads(capsys.readouterr().err)) == list(shown)


def test_targets_and_job_are_named() -> None:
    for job in yaml.safe_load(CONFIG.read_text())["scrape_configs"]:
        for config in job["static_configs"]:
            assert all(f"`{target}`" in PAGE for target in config["targets"])
