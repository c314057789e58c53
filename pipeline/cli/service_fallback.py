"""Has a running service do what a command cannot, while the service has the index open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pipeline.service.client import Client
from pipeline.service.delegation import find_service
from schemas.errors import IndexBusyError

_T = TypeVar("_T")


def run_or_delegate(location: str, run: Callable[[], _T], delegate: Callable[[Client], _T]) -> _T:
    """Do the work here; if a service has the index at `location` open, have the service do it.

    Raises IndexBusyError if another process has it open.
    """
    try:
        return run()
    except IndexBusyError:
        service = find_service(location)
        if service is None:
            raise
    with service:
        return delegate(service)
