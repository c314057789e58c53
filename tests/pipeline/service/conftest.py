"""What the tests of the page share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from support.demo_world import add_parts, build_demo
from support.page_world import DESK, PHONE, chromium, opened, serving

SCENES = 3


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="session")
def parts_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service over three scenes, in each of which an object has a part that has a part."""
    settings, _ = build_demo(tmp_path_factory.mktemp("parts"), SCENES, change=add_parts)
    with serving(settings) as address:
        yield address


@pytest.fixture(params=["desk-light", "phone-dark"])
def parts_page(request: pytest.FixtureRequest, browser: Browser, parts_url: str) -> Iterator[Page]:
    size, scheme = request.param.split("-")
    view = PHONE if size == "phone" else DESK
    with opened(browser, parts_url, viewport=view, color_scheme=scheme) as shown:
        shown.size = request.param  # type: ignore[attr-defined]
        yield shown
