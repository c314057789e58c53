"""The site as built: nothing comes from elsewhere, and every page fits a desk and a phone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser
from support.page_world import ARTEFACTS, DESK, PAGE_MARKS, PHONE, chromium

from docs.site.build import SITE, build_site
from docs.site.pages import REFERENCES, list_pages

pytestmark = PAGE_MARKS


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    build_site()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.mark.parametrize(("device", "size"), [("desk", DESK), ("phone", PHONE)])
def test_pages_fit_and_ask_no_other_host(
    address: str, browser: Browser, device: str, size: dict[str, int]
) -> None:
    page = browser.new_page(viewport=size, color_scheme="dark" if device == "phone" else "light")
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(error))
    places = [name.removesuffix(".md") for name in (*list_pages().values(), *REFERENCES)]
    for place in places:
        answer = page.goto(f"{address}/{'' if place == 'index' else place + '/'}")
        assert answer is not None
        assert answer.ok, place
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), place
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth)"), place
        if place in ("index", "tutorial", "reference/settings", "how-it-works"):
            ARTEFACTS.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=ARTEFACTS / f"docs-{place.replace('/', '-')}-{device}.png")
    assert errors == []
    assert [url for url in asked if not url.startswith(address)] == []
    page.close()
