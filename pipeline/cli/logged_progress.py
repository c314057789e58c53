"""Logs how far a run is, every so many seconds, for those who collect logs."""

from __future__ import annotations

import logging
import time

from pipeline.progress import Progress

_log = logging.getLogger(__name__)


class LoggedProgress(Progress):
    """An event with the counts every `every_s`, and one for each wait."""

    def __init__(self, every_s: float) -> None:
        super().__init__()
        self._every_s = every_s
        self._last_s = time.monotonic()
        self._noted = ""

    def __exit__(self, *exc_info: object) -> None:
        self._log_counts()

    def note(self, text: str) -> None:
        if text != self._noted:
            self._noted = text
            _log.info("%s", text, extra={"fields": {"event": "note"}})

    def advance(self) -> None:
        if time.monotonic() - self._last_s >= self._every_s:
            self._log_counts()

    def _log_counts(self) -> None:
        self._last_s = time.monotonic()
        fields = {"event": "progress", "counts": self.counts.model_dump()}
        _log.info("%s", self.describe(), extra={"fields": fields})
