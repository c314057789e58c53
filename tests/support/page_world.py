"""A service that a real browser can look at, and what its tests have in common."""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright
from support.paths import ROOT
from support.waiting import PATIENCE_S

from pipeline.search.searcher import Searcher
from pipeline.service.app import build_app
from pipeline.settings import Settings
from workers.indexes.open import open_index
from workers.protocols import Embedder
from workers.segmenter_protocols import Segmenter

CHROMIUM = os.environ.get("OBJSEEK_TEST_CHROMIUM") or shutil.which("chromium")
ARTEFACTS = ROOT / "build" / "screenshots"
TOKEN = "the-owner's-token"
DESK, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
expect.set_options(timeout=1000 * PATIENCE_S)

PAGE_MARKS = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here"),
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
"""Of tests that drive the page in a browser."""


@contextmanager
def serving(
    settings: Settings, segmenter: Segmenter | None = None, embedder: Embedder | None = None
) -> Iterator[str]:
    """The address of a service; with these models instead of those that are set."""
    unhurried = {"request_timeout_s": PATIENCE_S, "body_timeout_s": PATIENCE_S}
    serve = settings.serve.model_copy(update=unhurried)
    settings = settings.model_copy(update={"serve": serve})
    if embedder is None:
        searcher = Searcher.open(settings)
    else:
        searcher = Searcher(open_index(settings.index, None), embedder, settings)
    if segmenter is not None:
        searcher.models._segmenter = segmenter
    app = build_app(searcher, settings, TOKEN)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="critical", http="h11", lifespan="on", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; one for many tests."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield launched
        launched.close()


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page that says nothing in its console, and asks nobody but the service."""
    context = browser.new_context(**{"viewport": DESK, **options})
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE_S)
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on(
        "request", lambda request: messages.append(request.url) if _foreign(request.url) else None
    )
    page.goto(url)
    yield page
    context.close()
    expected = re.compile(r"status of (401|403|409|410|422|503)|net::ERR_FAILED")
    assert [line for line in messages if not expected.search(line)] == []


def _foreign(address: str) -> bool:
    return not address.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:", "data:"))


def keep(page: Page, name: str) -> None:
    """A screenshot, to be looked at."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}-{getattr(page, 'size', 'desk')}.png")


def look_for(page: Page, text: str) -> None:
    page.get_by_label("What to look for").fill(text)
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".tile img.there").first).to_be_visible()


def first(page: Page) -> str:
    return page.locator(".tile .open").first.get_attribute("aria-label") or ""


def pictures_are_there(page: Page) -> None:
    expect(page.locator(".tile img").first).to_be_visible()
    expect(page.locator(".tile:nth-child(-n+8) img:not(.there)")).to_have_count(0)


def hits(page: Page) -> int:
    return page.locator(".tile:not(.waiting)").count()


def show_unlikely(page: Page) -> None:
    """Show the unlikely hits too, where there are some behind their divider."""
    button = page.locator("#show-unlikely")
    if button.is_visible() and button.get_attribute("aria-expanded") == "false":
        button.click()


def narrow(page: Page) -> None:
    """Show the filters where there is no room for them beside the results."""
    button = page.get_by_role("button", name="Filters")
    if button.is_visible() and button.get_attribute("aria-expanded") == "false":
        button.click()


def violations(page: Page) -> list[str]:
    """What axe finds that keeps people out."""
    found = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {node['html'][:120]} {node['failureSummary']}"
        for violation in found
        for node in violation["nodes"]
    ]
