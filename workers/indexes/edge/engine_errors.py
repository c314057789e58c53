"""Says what the errors of Qdrant Edge, and of the folder that it works in, mean for an index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import IndexBusyError, IndexUnavailableError, VectorIndexError, one_line


@contextmanager
def raising_index_errors(folder: Path) -> Iterator[None]:
    """Raise as IndexBusyError, IndexUnavailableError or VectorIndexError what is raised inside."""
    try:
        yield
    except BlockingIOError as exc:
        raise IndexBusyError(
            f"the index in {folder} is in use: an ingest or another process has it open"
        ) from exc
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise IndexUnavailableError(f"the index folder {folder} cannot be used: {reason}") from exc
    except Exception as exc:
        # Edge raises a bare Exception for everything that is its own.
        if type(exc) is not Exception:
            raise
        text = one_line(exc)
        if "os error" in text:
            raise IndexUnavailableError(
                f"the index folder {folder} cannot be used: {text}"
            ) from exc
        raise VectorIndexError(f"the index in {folder} failed: {text}") from exc
