"""Remembers which points of an index were found broken, and logs each once."""

from __future__ import annotations

import logging
import threading

_log = logging.getLogger(__name__)
_MOST_REMEMBERED = 100_000


class BrokenPoints:
    """The ids of points that do not hold what objseek writes. Thread-safe."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def note(self, point_id: str, reason: str) -> None:
        """Remember a point; `reason` is what is wrong with it, and where it is."""
        with self._lock:
            if point_id in self._ids or len(self._ids) == _MOST_REMEMBERED:
                return
            self._ids.add(point_id)
        _log.warning(
            "point %s is broken, %s: `objseek verify --repair` has its image done again",
            point_id,
            reason,
        )
