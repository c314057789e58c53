"""The log file of a run: what does not belong on the screen."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import IndexUnavailableError

_KEPT = 20
_OURS = "pipeline"


@contextmanager
def job_log(folder: Path) -> Iterator[Path]:
    """A new log file in `folder/logs`, which takes everything that is logged meanwhile.

    Only the last few are kept. Raises IndexUnavailableError if the folder cannot be written.
    """
    logs = folder / "logs"
    path = logs / f"ingest-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.log"
    try:
        logs.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
        for old in sorted(logs.glob("ingest-*.log"))[:-_KEPT]:
            old.unlink(missing_ok=True)
    except OSError as exc:
        raise IndexUnavailableError(
            f"the index folder {folder.parent} cannot be used: {exc.strerror}"
        ) from exc
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, ours = logging.getLogger(), logging.getLogger(_OURS)
    root.addHandler(handler)
    level = ours.level
    ours.setLevel(logging.INFO)
    try:
        yield path
    finally:
        ours.setLevel(level)
        root.removeHandler(handler)
        handler.close()
