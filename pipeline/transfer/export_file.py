"""Checks files that exports are to be written to, and sums up what was written."""

from __future__ import annotations

from pathlib import Path

from pipeline.transfer.export_parquet import ExportSummary
from pipeline.transfer.object_stream import ObjectStream
from schemas.errors import UsageError
from workers.durable_files import check_output_file


def check_target(path: Path, what: str, *, replacing: bool) -> None:
    """Raise UsageError unless `what` can be written to a file, or if one is there already."""
    check_output_file(path, what)
    if path.exists() and not replacing:
        raise UsageError(
            f"expected a new file to write to, {path} is there: --force writes over it"
        )


def summarize(stream: ObjectStream, images: int, *files: Path) -> ExportSummary:
    """What was written to files, and left out; links count by themselves."""
    return ExportSummary(
        objects=stream.count,
        images=images,
        files=len(files),
        size_bytes=sum(path.lstat().st_size for path in files),
        queued=0,
        broken=stream.broken,
        of_videos=stream.of_videos,
    )
