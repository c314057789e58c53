"""`objseek ingest`: make the images and videos of a bucket or folder searchable."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.console import err, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import (
    INGEST_OPTIONS,
    Boxes,
    Sources,
    TextPrompts,
)
from pipeline.cli.output_options import AsJson, DryRun
from pipeline.cli.part_options import PART_OPTIONS, Shards
from pipeline.cli.shared_options import Load, add_options

with lazy_imports():
    from pipeline.cli import forecast_output, progress_bars, run_job, run_shards, service_fallback
    from pipeline.jobs import forecast, ingest
    from pipeline.service import delegation

_HELP = """Segment every image, embed every object, and write both to the index.

Images are JPEG, PNG, WebP, GIF, TIFF, BMP and AVIF, and HEIC where pillow-heif is installed.

Videos are MP4, MOV, MKV, WebM, AVI, MPEG, WMV and others, read where PyAV is installed (the extra
`video`), and with --animations GIF and WebP. What is followed through the frames of a video is one
object, with a time span; sound is not read. See docs/video.md.

A bucket of many millions is listed from its S3 Inventory: name its manifest.json, or inventory+ and
where its folders by date are, for the newest. See docs/scale.md.

What an earlier run has done is left alone, so an interrupted run continues where it stopped.
--dry-run says how much is left to do, and how long that takes at the pace of an earlier run.

Examples:

    objseek ingest s3://photos/2026/ --index photos-index --workers 4

    objseek ingest s3://photos/2026/ --index photos-index --dry-run

    objseek ingest s3://public-bucket --anonymous --include '*.jpg' --limit 1000

    objseek ingest ~/Pictures --segmenter sam_vit_b --embedder ViT-B-32/laion2b_s34b_b79k

    objseek ingest ~/Pictures --segmenter sam_vit_b --boxes detections.json

    objseek ingest s3://clips --index clips-index --video-fps 4

    objseek ingest ~/Pictures --segmenter "grounded:a red mug,a plate"

    objseek ingest s3://inventories/photos/daily/2026-11-01T01-00Z/manifest.json

    objseek ingest inventory+s3://inventories/photos/daily

    objseek ingest s3://photos --shard 3/8 --index http://qdrant:6333/photos --state s3://state/photos

    objseek ingest s3://photos --shards 8 --ray-address auto --index http://qdrant:6333/photos

    objseek ingest s3://photos --key-range 2026/03..2026/06

    objseek ingest s3://photos --endpoint-url http://minio:9000 --index http://qdrant:6333/photos
"""


def register(app: typer.Typer) -> None:
    """Add `ingest` to the command line."""
    app.command("ingest", help=_HELP)(ingest_command)


@add_options(*INGEST_OPTIONS, *PART_OPTIONS)
@user_errors
def ingest_command(
    load: Load,
    sources: Sources,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", help="Stop after this many images and videos."),
    ] = None,
    boxes: Boxes = None,
    text_prompts: TextPrompts = None,
    shards: Shards = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    settings = load(limit=limit, boxes=boxes, text_prompts=text_prompts)
    if dry_run:
        run_job.check_models(settings)
        with progress_bars.show_progress(err()) as progress:
            found = forecast.forecast_ingest(sources, settings, progress)
        forecast_output.print_ingest(found, as_json=as_json)
        return
    if shards is not None:
        run_shards.run_shards(sources, settings, shards, as_json=as_json)
        return
    summary = run_job.run_with_progress(
        settings,
        lambda progress: service_fallback.run_or_delegate(
            settings.index.location,
            lambda: ingest.ingest(sources, settings, progress),
            lambda service: delegation.delegate_ingest(service, sources, settings, progress),
        ),
    )
    run_job.print_summary(summary, settings, as_json=as_json)
