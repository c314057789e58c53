"""Runs `objseek segment`: images in, masks to files, a table or JSON on the screen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain, islice

import typer

from pipeline.cli.console import EXIT_FAILED, EXIT_USAGE, err, out, print_line, print_note
from pipeline.cli.progress_bars import show_progress
from pipeline.cli.run_job import prepare_models
from pipeline.cli.segment_output import MaskTable, Outputs
from pipeline.ingestion.box_file import read_setting_boxes
from pipeline.ingestion.listing import describe_nothing, list_images
from pipeline.messages import quantify, sanitize
from pipeline.progress import Progress
from pipeline.segmentation.loaded_models import LoadedModels, ModelSource
from pipeline.segmentation.queries import SegmentQuery, TextQuery
from pipeline.segmentation.results import Refused, SegmentedImage, describe_image
from pipeline.segmentation.run import segment_sources
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.images import Failure, ImageRef
from workers.segmenter_protocols import stuff_labels_of


def run_segment(
    sources: Sequence[str],
    query: SegmentQuery | None,
    settings: Settings,
    outputs: Outputs,
    *,
    as_json: bool,
) -> None:
    """Segment the images of the sources; `query` None: by the boxes that the settings name.

    What is wrong with an image is told, and the others go on; ends with an exit code for that.
    Raises ObjseekError for what is wrong with all of them.
    """
    boxes = read_setting_boxes(settings, sources)
    with show_progress(err()) as progress:
        refs = _list(sources, settings, progress)
        first = list(islice(refs, 2))
        outputs.check(several=len(first) > 1)
        prepare_models(settings, for_texts=isinstance(query, TextQuery))
        models = LoadedModels(ModelSource.of(settings))
        results = segment_sources(
            chain(first, refs),
            boxes if query is None else query,
            models,
            settings,
            _Counter(progress) if len(first) > 1 else lambda refs: None,
        )
        report = _Report(as_json=as_json)
        with outputs.open(lambda: stuff_labels_of(models.segmenter())) as writers:
            for result in results:
                report.add(result)
                if isinstance(result, SegmentedImage):
                    for writer in writers:
                        writer.write(result)
    notes = models.segmenter().notes
    if isinstance(query, TextQuery) and (finder := models.text_finder()) is not None:
        notes = (f"the texts are found by {finder.name}", *notes)
    for note in (*notes, *_describe_skipped(progress)):
        print_note(f"note: {sanitize(note)}")
    report.print()


def _list(sources: Sequence[str], settings: Settings, progress: Progress) -> Iterator[ImageRef]:
    """The images of the sources. Raises UsageError if there are none."""
    store = settings.store.without_videos()
    refs = list_images(sources, store, progress.details.skip)
    first = next(refs, None)
    if first is None:
        raise UsageError(describe_nothing(sources, progress.details.skipped, store))
    return chain([first], refs)


def _describe_skipped(progress: Progress) -> list[str]:
    skipped = progress.details.skipped
    return [f"skipped {number:,} as {reason}" for reason, number in sorted(skipped.items())]


class _Counter:
    """Notes how many images are being worked on, and the first of them."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._done = progress, 0

    def __call__(self, refs: Sequence[ImageRef]) -> None:
        self._progress.note(f"{quantify(self._done, 'image')} segmented, now {refs[0].uri}")
        self._done += len(refs)


class _Report:
    """What is shown at the end: the masks, and images that have none because something is wrong."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json, self._table = as_json, MaskTable()
        self._described: list[dict[str, object]] = []
        self._failures: list[dict[str, str]] = []
        self._refused = self._masks = self._images = 0

    def add(self, result: SegmentedImage | Refused | Failure) -> None:
        """Count the result of an image."""
        if isinstance(result, SegmentedImage):
            self._images += 1
            self._masks += len(result.masks)
            if self._as_json:
                self._described.append(describe_image(result))
            else:
                self._table.write(result)
            return
        message = result.message if isinstance(result, Failure) else str(result.error)
        self._refused += isinstance(result, Refused)
        self._failures.append({"uri": result.ref.uri, "message": message})

    def print(self) -> None:
        """Print it. Raises typer.Exit if an image is left out: 2 if none fits what was wanted."""
        if self._as_json:
            typer.echo(json.dumps({"images": self._described, "failures": self._failures}))
        elif self._images:
            if self._masks:
                self._table.print()
            found = f"{quantify(self._masks, 'mask')} in {quantify(self._images, 'image')}"
            out().print(found)
        for failure in self._failures:
            where = "" if failure["uri"] in failure["message"] else f" ({failure['uri']})"
            print_line(err(), f"Error: {sanitize(failure['message'] + where)}")
        if self._failures:
            nothing_fits = self._refused == len(self._failures) and not self._images
            raise typer.Exit(EXIT_USAGE if nothing_fits else EXIT_FAILED)
