"""Fixtures that more than one test file uses."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

settings.register_profile("objseek", deadline=None)  # no test is about how fast the machine is
settings.load_profile("objseek")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collecting makes stays: looking through it for garbage took half of that time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of long tests come first: what ends the run, with processes idle, is short then."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


def pytest_sessionfinish() -> None:
    """Libraries complain at the end of a process of what nobody has freed."""
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> Iterator[None]:
    """A shell starts what runs in the background deaf to Ctrl-C, which some tests send."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="module")
def _garbage_is_the_files_own() -> Iterator[None]:
    """What a file left unclosed is told with it; what stays is not looked through again.

    Looking through all that was ever imported took a twelfth of the tests' time.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> Iterator[None]:
    """The settings of whoever runs the tests must not reach them; those of a file's fixtures do."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in list(os.environ):
            if name.startswith("OBJSEEK_") and not name.startswith("OBJSEEK_TEST_"):
                monkeypatch.delenv(name)
        yield
