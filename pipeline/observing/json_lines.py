"""Writes what is logged as JSON, a line for each event, for those who collect logs."""

from __future__ import annotations

import json
import logging
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from pipeline.messages import sanitize
from schemas.errors import ObjseekError
from schemas.observe_options import ObserveOptions

_log = logging.getLogger(__name__)
_OURS = ("pipeline", "workers")
# What a worker says of an image that fails, with its traceback, the driver says once more as the
# event; on Ray it is in another process.
_LOGGED_BY_DRIVER = "pipeline.runners.model_worker"


class JsonLine(logging.Formatter):
    """A record as one JSON object without secrets; `run` tells one process's run from others.

    Keys: time (ISO, UTC), level, logger, message, run, and the fields that the event has: event,
    image, uri, stage, reason, what, counts.
    """

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": sanitize(record.getMessage()),
            "run": self._run,
        }
        for name, value in getattr(record, "fields", {}).items():
            line[name] = sanitize(value) if isinstance(value, str) else value
        if record.exc_info:
            line["exception"] = sanitize(self.formatException(record.exc_info))
        return json.dumps(line)


class _JsonHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """To the stream that was standard error when it was made: Ray's output goes elsewhere."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name != _LOGGED_BY_DRIVER and bool(super().filter(record))


@contextmanager
def json_log(options: ObserveOptions) -> Iterator[None]:
    """Log as JSON on standard error during the block, if that is the format of `options`.

    An error that ends the outermost such block is its last event.
    """
    root = logging.getLogger()
    if options.log_format != "json" or any(
        isinstance(each, _JsonHandler) for each in root.handlers
    ):
        yield
        return
    handler = _JsonHandler(sys.stderr)
    handler.setFormatter(JsonLine(uuid.uuid4().hex))
    ours = [logging.getLogger(name) for name in _OURS]
    levels = [logger.level for logger in ours]
    root.addHandler(handler)
    for logger in ours:
        logger.setLevel(logging.INFO)
    try:
        yield
    except ObjseekError as exc:
        _log.error("%s", exc, extra={"fields": {"event": "error", "reason": type(exc).__name__}})
        raise
    finally:
        for logger, level in zip(ours, levels, strict=True):
            logger.setLevel(level)
        root.removeHandler(handler)
