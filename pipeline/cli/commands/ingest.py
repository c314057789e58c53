"""`objseek ingest`: make the images of a bucket or folder searchable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import user_errors
from pipeline.cli.options import Load, Sources, with_settings
from pipeline.cli.run_job import conclude, shown

if TYPE_CHECKING:
    from pipeline.jobs.ingest import IngestSummary
    from pipeline.progress import Progress

_HELP = """Segment every image, embed every object, and write both to the index.

What an earlier run has done is left alone, so an interrupted run goes on where it stopped.

Examples:

    objseek ingest s3://photos/2026/ --index photos-index --workers 4

    objseek ingest s3://public-bucket --anonymous --include '*.jpg' --limit 1000

    objseek ingest ~/Pictures --segmenter sam_vit_b --embedder ViT-B-32/laion2b_s34b_b79k

    objseek ingest s3://photos --endpoint-url http://minio:9000 --index http://qdrant:6333/photos
"""


def register(app: typer.Typer) -> None:
    """Add `ingest` to the command line."""
    app.command("ingest", help=_HELP)(with_settings(ingest_command))


@user_errors
def ingest_command(
    load: Load,
    sources: Sources,
    limit: Annotated[int | None, typer.Option(help="Stop after so many images.")] = None,
) -> None:
    """The command; its help stands above."""
    from pipeline.jobs.ingest import ingest
    from pipeline.service.delegation import delegate_ingest, find_service
    from schemas.errors import IndexBusyError

    settings = load(limit=limit)

    def work(progress: Progress) -> IngestSummary:
        try:
            return ingest(sources, settings, progress)
        except IndexBusyError:
            service = find_service(settings.index.location)
            if service is None:
                raise
        with service:
            return delegate_ingest(service, sources, settings, progress)

    conclude(shown(settings, work), settings)
