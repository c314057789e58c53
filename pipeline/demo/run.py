"""Runs the demo: composes a bucket, ingests it, searches it, and draws the answers."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.demo.bucket import write_bucket, write_clip_bucket
from pipeline.demo.s3_server import serve_bucket
from pipeline.demo.warm_up import start_warm_up
from pipeline.drawing.search_sheet import describe_query, draw_sheet, find_subject, save_sheet
from pipeline.evaluation.matching import MIN_VISIBLE_FRACTION
from pipeline.jobs.ingest import IngestSummary, ingest
from pipeline.progress import Progress
from pipeline.search.kept_pictures import PictureSource
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings, load_settings
from schemas.coco import CocoTruth
from schemas.search import ObjectExample, SearchQuery

QUERIES = 5
CHUNK_IMAGES = 1  # the demo models run on CPUs: progress should show every few seconds
_HITS = 5  # scenes are few: beyond these there is seldom another right one
_NAME_LENGTH = 80  # of a sheet's file
# What people like to search for: these come first, the most frequent in the bucket before others.
_FAVOURITES = (
    "red apple", "dog", "guitar", "strawberry", "airplane", "pizza", "cat", "elephant", "sunflower",
    "car", "teddy bear", "rocket", "hamburger", "penguin", "bicycle", "turtle", "banana", "owl",
    "watermelon", "butterfly", "sailboat", "whale", "cactus", "balloon", "compass", "motorcycle",
    "lobster", "teapot", "cupcake", "locomotive", "lion", "sunglasses", "piano", "camera",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """A query, its best hit, and the file of the sheet with all hits."""

    query: str
    hits: int
    best_score: float
    seconds: float
    sheet: Path


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the demo makes in `folder`, and the `texts` it searches for.

    With `video` it makes clips, as many as `scenes` says. `place` is where the index is made, None:
    in the folder.
    """

    folder: Path
    scenes: int
    seed: int
    runner: str
    workers: int
    texts: Sequence[str] = ()
    video: bool = False
    place: str | None = None

    @property
    def bucket(self) -> Path:
        return self.folder / "bucket"

    @property
    def index(self) -> str:
        return self.place or str(self.folder / "index")

    @property
    def sheets(self) -> Path:
        return self.folder / "sheets"


@dataclass(frozen=True, slots=True)
class OpenBucket:
    """The demo's images or clips at `source`, how they are ingested, and what they show well."""

    source: str
    settings: Settings
    labels: Sequence[str]


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """What the demo made, and where."""

    ingest: IngestSummary
    answers: tuple[Answer, ...]
    bucket: Path
    index: str
    sheets: Path


def choose_labels(truth: CocoTruth, count: int = QUERIES) -> list[str]:
    """Choose `count` labels that the scenes show well: favourites first, then by frequency."""
    names = {category.id: category.name for category in truth.categories}
    frequency = Counter(
        names[annotation.category_id]
        for annotation in truth.annotations
        if annotation.visible_fraction >= MIN_VISIBLE_FRACTION
    )
    return _rank_labels(frequency)[:count]


def _rank_labels(frequency: Counter[str]) -> list[str]:
    often = [name for name, _ in frequency.most_common()]
    return sorted(often, key=lambda name: name not in _FAVOURITES)


def run_demo(
    options: DemoOptions,
    progress: Progress,
    while_served: Callable[[DemoSummary, Settings], None] | None = None,
) -> DemoSummary:
    """Do everything that `objseek demo` does. Raises ObjseekError.

    Without texts it searches for what the scenes show well, and for objects like a hit of these.
    `while_served` is called while the bucket is still served.
    """
    with open_bucket(options, progress) as opened:
        settings, sheets = opened.settings, options.sheets
        sheets.mkdir(parents=True, exist_ok=True)
        summary = ingest([opened.source], settings, progress)
        with Searcher.open(settings) as searcher:
            queries = [SearchQuery(text=text, limit=_HITS) for text in options.texts]
            queries = queries or _choose_queries(opened.labels, searcher)
            answers = [answer(searcher, query, settings, sheets) for query in queries]
        done = DemoSummary(summary, tuple(answers), options.bucket, options.index, sheets)
        if while_served is not None:
            while_served(done, settings)
    return done


@contextmanager
def open_bucket(options: DemoOptions, progress: Progress) -> Iterator[OpenBucket]:
    """Compose the scenes or clips, and serve them within the block; models get ready meanwhile.

    Raises UsageError for clips where what writes them is not installed.
    """
    progress.note(f"composing {options.scenes} {'clips' if options.video else 'scenes'}")
    if options.runner == "local" and not Path(options.index).exists():
        start_warm_up()
    if options.video:
        shown = write_clip_bucket(options.bucket, options.scenes, options.seed)
        labels = _rank_labels(Counter(shown))[:QUERIES]
    else:
        labels = choose_labels(write_bucket(options.bucket, options.scenes, options.seed))
    with serve_bucket(options.bucket, "clips" if options.video else "scenes") as address:
        overrides = {
            "index": {"location": options.index},
            "store": {"endpoint_url": address.endpoint_url},
            "runner": {
                "name": options.runner,
                "workers": options.workers,
                "batch_size": CHUNK_IMAGES,
            },
        }
        yield OpenBucket(address.source, load_settings(None, overrides), labels)


def _choose_queries(labels: Sequence[str], searcher: Searcher) -> list[SearchQuery]:
    """Text queries, and a query by an object: the best hit of the first."""
    texts = [SearchQuery(text=add_article(name), limit=_HITS) for name in labels]
    best = searcher.search(texts[0]).hits[:1]
    likes = (ObjectExample(object_id=hit.object_id) for hit in best)
    return [*texts, *(SearchQuery(positive=(like,), limit=_HITS) for like in likes)]


def add_article(name: str) -> str:
    """`name` with the article that people would write."""
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def answer(searcher: Searcher, query: SearchQuery, settings: Settings, sheets: Path) -> Answer:
    """Search, and write the contact sheet of the hits into the folder `sheets`."""
    searcher.prepare(query)
    started = time.perf_counter()
    page = searcher.search(query)
    seconds = time.perf_counter() - started
    name = re.sub(r"[^\w-]+", "-", query.text or "like an object")[:_NAME_LENGTH]
    path = sheets / f"{name}.png"
    subject = find_subject(query, searcher, page, settings)
    source = PictureSource.of_index(searcher.index, settings)
    sheet = draw_sheet(query, page.hits, settings, searcher.embedder_name, source, subject)
    save_sheet(sheet.picture, path)
    # In a hybrid search the first hit need not be the nearest.
    best = max((hit.score for hit in page.hits), default=0.0)
    return Answer(describe_query(query), len(page.hits), best, seconds, path)
