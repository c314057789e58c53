"""Writes the log file of a run: what does not belong on the screen."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.messages import sanitize
from schemas.errors import IndexUnavailableError

_KEPT = 20
_OURS = ("pipeline", "workers")


class OneLine(logging.Formatter):
    """One line per record, whatever is in a key, with an exception's traceback indented below."""

    def format(self, record: logging.LogRecord) -> str:
        # Formatters cache there how they format an exception, for the next formatter.
        kept, record.exc_text = record.exc_text, None
        try:
            return super().format(record)
        finally:
            record.exc_text = kept

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return sanitize(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        lines = super().formatException(ei).splitlines()
        return "\n".join(f"    {sanitize(line)}" for line in lines)


def show_warnings_as_text() -> None:
    """Print log messages to the screen without secrets where there is no log file."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(OneLine("%(message)s"))


@contextmanager
def job_log(folder: Path) -> Iterator[Path]:
    """A new log file in `folder`, which takes everything that is logged meanwhile.

    Only the last few files are kept. Raises IndexUnavailableError if the folder cannot be written.
    """
    # Jobs may begin in the same second.
    begun = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = folder / f"ingest-{begun}-{os.getpid()}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
        for old in sorted(folder.glob("ingest-*.log"))[:-_KEPT]:
            old.unlink(missing_ok=True)
    except OSError as exc:
        raise IndexUnavailableError(
            f"the log cannot be written to the folder {folder}: {exc.strerror}"
        ) from exc
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in _OURS]
    root.addHandler(handler)
    levels = [logger.level for logger in ours]
    for logger in ours:
        logger.setLevel(logging.INFO)
    try:
        yield path
    finally:
        for logger, level in zip(ours, levels, strict=True):
            logger.setLevel(level)
        root.removeHandler(handler)
        handler.close()
