"""Remembers which points of an index were found broken, and logs the first of them."""

from __future__ import annotations

import logging
import threading

_log = logging.getLogger(__name__)
_MOST_REMEMBERED = 100_000
_MOST_LOGGED = 20


class BrokenPoints:
    """The ids of points that do not hold what objseek writes. Thread-safe."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def note(self, point_id: str, reason: str) -> None:
        """Remember a point; `reason` says which it is, and what is wrong with it."""
        with self._lock:
            if point_id in self._ids or len(self._ids) == _MOST_REMEMBERED:
                return
            self._ids.add(point_id)
            known = len(self._ids)
        if known <= _MOST_LOGGED:
            _log.warning("%s: `objseek verify --repair` has its image done again", reason)
        elif known == _MOST_LOGGED + 1:
            _log.warning("more points are broken: `objseek verify` names their images")
