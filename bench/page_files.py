"""Opens the page in a browser without a service: its own files are answered, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Route, sync_playwright

ORIGIN = "http://127.0.0.1:9"
"""Nobody listens there: all is answered by routes."""
SIDE = {"width": 1600, "height": 1000}
_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
}


def answer_file(route: Route) -> None:
    """Send the file of the page that is asked for; what is none of them is not found."""
    path = urlsplit(route.request.url).path
    if path != "/" and not path.startswith("/static/"):
        route.fulfill(status=404, body=json.dumps({"detail": "none"}))
        return
    folder = Path(str(resources.files("pipeline.service"))) / "page"
    file = folder / (path.removeprefix("/static/").lstrip("/") or "index.html")
    route.fulfill(body=file.read_bytes(), content_type=_TYPES.get(file.suffix, "text/plain"))


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A Chromium without a GPU."""
    chromium = os.environ.get("OBJSEEK_TEST_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()
