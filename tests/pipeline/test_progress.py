"""What a run's progress says: counts, what was found last, and the time that is left."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from support.index_cases import embedded, unit

from pipeline.cli.progress_bars import LiveProgress, PlainProgress
from pipeline.progress import Progress, list_newest
from pipeline.throughput import Throughput, WorkedChunk
from schemas.counts import IngestCounts
from schemas.images import Failure, Stage
from schemas.ingest_api import NewObject
from schemas.labels import Label, LabelEntry, Naming
from schemas.records import EmbeddedImage


def labelled(key: str, *namings: tuple[tuple[str, float], ...]) -> EmbeddedImage:
    """An image with an object for each naming: its labels with their scores."""
    image = embedded(key, unit(0, 1 + len(namings)))
    objects = (
        replace(
            record, naming=Naming(tuple(Label(LabelEntry(name), score) for name, score in naming))
        )
        for record, naming in zip(image.objects, namings, strict=True)
    )
    return replace(image, objects=tuple(objects))


def gone(key: str) -> Failure:
    return Failure(
        embedded(key, unit(0, 1)).ref, Stage.READ, "ObjectGoneError", "gone", False, gone=True
    )


def test_sure_labels_are_the_first_of_an_object_once_each_and_surest_first() -> None:
    results = [
        labelled("a.jpg", (("pizza", 0.8), ("cheese", 0.7)), (("tooth", 0.1),)),
        gone("b.jpg"),
        labelled("c.jpg", (("cat", 0.99),), (("pizza", 0.9),), ()),
    ]
    newest = list_newest(results)
    assert [new.label for new in newest] == ["cat", "pizza"]
    third = results[2]
    assert isinstance(third, EmbeddedImage)
    assert [new.object_id for new in newest] == [
        str(record.object_id) for record in third.objects[:2]
    ]
    many = [labelled("d.jpg", *(((f"{n}", 0.99 - n / 100),) for n in range(9)))]
    assert [new.label for new in list_newest(many)] == ["0", "1", "2", "3"]
    assert list_newest([embedded("e.jpg", unit(0, 2))]) == ()


def test_the_time_left_is_by_what_workers_are_done_with() -> None:
    progress, throughput = Progress(), Throughput(workers=2)
    progress.add_listed(9)
    progress.begin(throughput)
    throughput.record(WorkedChunk(1, 60.0, first=True))
    throughput.record(WorkedChunk(1, 3.0))
    progress.add_finished(2)
    progress.add_results([labelled("a.jpg", (("cat", 0.99),))])
    assert progress.seconds_left is None  # more may be listed
    assert progress.describe() == "1 of 9 or more images, 1 object, 0.67 images/s"
    progress.end_listing()
    assert progress.seconds_left == pytest.approx(6.5 / (2 / 3))
    assert progress.describe() == "1 of 9 images, 1 object, 0.67 images/s, 0:00:10 left"
    progress.add_finished(7)
    progress.add_results([gone(f"{number}.jpg") for number in range(8)])
    assert progress.describe() == "9 of 9 images, 1 object, 0.67 images/s, 8 gone"


def test_what_a_service_tells_of_its_work_is_shown_as_it_is() -> None:
    progress = Progress()
    progress.begin()
    counts = IngestCounts(listed=5, all_listed=True, done=2, objects=3)
    newest = (NewObject(object_id="o1", label="cat"), NewObject(object_id="o2", label="pizza"))
    progress.take(counts, newest, 75.0)
    assert progress.seconds_left == 75.0
    assert progress.describe().endswith(", 0:01:15 left")
    assert progress.describe_newest() == "newest: cat, pizza"
    progress.take(counts, (), None)
    assert progress.seconds_left is None
    assert progress.describe_newest() == ""


def test_a_log_shows_the_first_objects_at_once_and_then_only_now_and_then() -> None:
    written = io.StringIO()
    progress = PlainProgress(Console(file=written, width=200))
    progress.note("listing images")
    progress.note("listing images")
    assert written.getvalue() == "Listing images\n"
    progress.add_listed(3)
    progress.advance()
    progress.add_results([labelled("a.jpg", (("cat\x1b", 0.99),), (("pizza", 0.9),))])
    progress.advance()
    progress.add_results([labelled("b.jpg", (("dog", 0.99),))])
    progress.advance()
    _, line = written.getvalue().splitlines()
    assert line.startswith("1 of 3 or more images, 2 objects")
    assert line.endswith(", newest: cat\\x1b, pizza")


def test_a_terminal_shows_below_its_bar_what_was_found_last() -> None:
    written = io.StringIO()
    with LiveProgress(Console(file=written, width=100, force_terminal=True)) as progress:
        progress.add_listed(2)
        progress.add_results([labelled("a.jpg", (("cat", 0.99),))])
        progress.advance()
        progress.add_results([gone("b.jpg")])
        progress.advance()
    shown = written.getvalue()
    assert "2 of 2 or more images, 1 object" in shown
    assert "newest: cat" in shown
