"""Draws the dashboard for Grafana from its own JSON and a Prometheus's answers, without Grafana.

    python -m bench.dashboard_panels docs/dashboard.webp --prometheus http://127.0.0.1:9090 \\
        --minutes 4 --scrape-s 5

`--scrape-s` is the scrape interval of the data source, as Grafana is told it. The picture of the
documentation is that of a run made for it, which `python -m support.dashboard_film` starts: a
service, an ingest and a Prometheus that scrapes both by deploy/prometheus/prometheus.yaml.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import httpx

from bench.dashboard_panels.curves import ask_curves
from bench.dashboard_panels.dashboard import DASHBOARD, Window, read_dashboard
from bench.dashboard_panels.sheet import draw_dashboard
from schemas.errors import ObjseekError


def draw_file(out: Path, prometheus: str, window: Window) -> list[str]:
    """Write the picture of the dashboard; the titles of panels that have no data."""
    dashboard = read_dashboard(DASHBOARD)
    with httpx.Client(base_url=prometheus, timeout=60) as client:
        curves = [ask_curves(client, panel, window) for panel in dashboard.panels]
    draw_dashboard(dashboard, curves, window).save(out, quality=75, method=6)
    shown = zip(dashboard.panels, curves, strict=True)
    return [panel.title for panel, found in shown if panel.targets and not found]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--scrape-s", type=int, default=15)
    args = parser.parse_args()
    now_s = int(time.time())
    window = Window(now_s - int(args.minutes * 60), now_s, args.scrape_s)
    try:
        without = draw_file(args.out, args.prometheus, window)
    except ObjseekError as exc:
        raise SystemExit(f"error: {exc}") from None
    print(f"{args.out}: {args.out.stat().st_size} bytes; no data: {', '.join(without) or 'none'}")


if __name__ == "__main__":
    main()
