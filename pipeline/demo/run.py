"""The demo: compose a bucket, ingest it, ask it a few things, draw the answers."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.demo.bucket import write_bucket
from pipeline.demo.s3_server import served
from pipeline.drawing.search_sheet import describe_query, draw_sheet, find_subject, save_sheet
from pipeline.evaluation.matching import MIN_VISIBLE_FRACTION
from pipeline.jobs.ingest import IngestSummary, ingest
from pipeline.progress import Progress
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings, load_settings
from schemas.coco import CocoTruth
from schemas.search import ObjectExample, SearchQuery

QUERIES = 5
CHUNK_IMAGES = 2  # the demo models run on CPUs: progress is to be seen every few seconds
_HITS = 5  # scenes are few: beyond these there is seldom another right one
_NAME_LENGTH = 80  # of a sheet's file
# Asked first, those that the bucket shows most often before others: what people like to look for.
_FAVOURITES = (
    "red apple", "dog", "guitar", "strawberry", "airplane", "pizza", "cat", "elephant", "sunflower",
    "car", "teddy bear", "rocket", "hamburger", "penguin", "bicycle", "turtle", "banana", "owl",
    "watermelon", "butterfly", "sailboat", "whale", "cactus", "balloon", "compass", "motorcycle",
    "lobster", "teapot", "cupcake", "locomotive", "lion", "sunglasses", "piano", "camera",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """A query, the best hit and where the sheet of all of them lies."""

    query: str
    hits: int
    best_score: float
    seconds: float
    sheet: Path


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """What the demo made, and where."""

    ingest: IngestSummary
    answers: tuple[Answer, ...]
    bucket: Path
    index: Path
    sheets: Path


def queries_for(truth: CocoTruth, count: int = QUERIES) -> list[str]:
    """`count` labels that the scenes show well: favourites first, each the most frequent first."""
    names = {category.id: category.name for category in truth.categories}
    shown = Counter(
        names[annotation.category_id]
        for annotation in truth.annotations
        if annotation.visible_fraction >= MIN_VISIBLE_FRACTION
    )
    often = [name for name, _ in shown.most_common()]
    return sorted(often, key=lambda name: name not in _FAVOURITES)[:count]


def run_demo(
    folder: Path, scenes: int, seed: int, runner: str, progress: Progress, workers: int,
    texts: Sequence[str] = (), then: Callable[[DemoSummary, Settings], None] | None = None,
) -> DemoSummary:  # fmt: skip
    """Everything that `objseek demo` does, in `folder`. Raises ObjseekError.

    Asks for `texts` if there are any, else for what the scenes show well and for things like one.
    `then` is called while the bucket is still served.
    """
    bucket, index, sheets = folder / "bucket", folder / "index", folder / "sheets"
    progress.note(f"composing {scenes} scenes")
    truth = write_bucket(bucket, scenes, seed)
    sheets.mkdir(parents=True, exist_ok=True)
    with served(bucket) as place:
        overrides = {
            "index": {"location": str(index)},
            "store": {"endpoint_url": place.endpoint_url},
            "runner": {"name": runner, "workers": workers, "batch_size": CHUNK_IMAGES},
        }
        settings = load_settings(None, overrides)
        summary = ingest([place.source], settings, progress)
        with Searcher.open(settings) as searcher:
            queries = [SearchQuery(text=text, limit=_HITS) for text in texts]
            queries = queries or _queries(truth, searcher)
            answers = [ask(searcher, query, settings, sheets) for query in queries]
        done = DemoSummary(summary, tuple(answers), bucket, index, sheets)
        if then is not None:
            then(done, settings)
    return done


def _queries(truth: CocoTruth, searcher: Searcher) -> list[SearchQuery]:
    """Text queries, and one by an object: the best hit of the first."""
    texts = [SearchQuery(text=with_article(name), limit=_HITS) for name in queries_for(truth)]
    best = searcher.search(texts[0]).hits[:1]
    likes = (ObjectExample(object_id=hit.object_id) for hit in best)
    return [*texts, *(SearchQuery(positive=(like,), limit=_HITS) for like in likes)]


def with_article(name: str) -> str:
    """`name` as people would ask for one."""
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def ask(searcher: Searcher, query: SearchQuery, settings: Settings, sheets: Path) -> Answer:
    """Search, and write the contact sheet into the folder `sheets`."""
    searcher.prepare(query)
    started = time.perf_counter()
    page = searcher.search(query)
    seconds = time.perf_counter() - started
    name = re.sub(r"[^\w-]+", "-", query.text or "like an object")[:_NAME_LENGTH]
    path = sheets / f"{name}.png"
    subject = find_subject(query, searcher, page, settings)
    sheet = draw_sheet(query, page.hits, settings, searcher.embedder_name, subject)
    save_sheet(sheet.picture, path)
    # Where words count too, the first hit need not be the nearest.
    best = max((hit.score for hit in page.hits), default=0.0)
    return Answer(describe_query(query), len(page.hits), best, seconds, path)
