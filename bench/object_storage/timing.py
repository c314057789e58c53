"""Times questions in fresh processes: the first query of each, then others."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np

from bench.object_storage.filling import EMBEDDER, peak_mb
from bench.object_storage.proxy import ProxyControl
from bench.object_storage.questions import QUESTIONS, Answer, Queries
from bench.object_storage.traffic import Traffic
from bench.synthetic import OBJECTS_AN_IMAGE, Cone, make_image
from pipeline.environment import prepare_lance
from schemas.options import IndexOptions
from schemas.points import IndexQuery
from schemas.records import VECTOR_NAME
from workers.indexes.open import open_index
from workers.indexes.point_index import PointIndex

_REPLACED = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where an index is, and the proxy before it, if there is one."""

    options: IndexOptions
    proxy: ProxyControl | None = None

    def take_traffic(self) -> Traffic:
        return Traffic.of(self.proxy.take_log() if self.proxy else ())


@dataclass(frozen=True, slots=True)
class First:
    """The first query of a process."""

    seconds: float
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class Others:
    """All queries but the first; `requests` and `received_mb` are of one, on average."""

    seconds: list[float]
    requests: float
    received_mb: float
    cpu_s: float
    peak_mb: float
    answers: list[Answer]

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.seconds, percent)) * 1e3


@contextmanager
def opened(place: Place) -> Iterator[PointIndex]:
    """The index as a process of objseek has it."""
    prepare_lance()
    # Lance would ask that server, not the proxy.
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        os.environ.pop(name, None)
    with closing(open_index(place.options, None)) as index:
        assert isinstance(index, PointIndex)
        yield index


def time_question(
    place: Place, name: str, queries: Queries, count: int
) -> tuple[First, Others | None]:
    """Ask `count` queries, of which the first meets nothing in memory."""
    ask = QUESTIONS[name]
    with opened(place) as index:
        place.take_traffic()  # that of opening it
        started = time.perf_counter()
        answers = [ask(index, queries, 0)]
        first = First(time.perf_counter() - started, place.take_traffic())
        if count == 1:
            return first, None
        spent, cpu = [], time.process_time()
        for number in range(1, count):
            started = time.perf_counter()
            answers.append(ask(index, queries, number))
            spent.append(time.perf_counter() - started)
        cpu = (time.process_time() - cpu) / len(spent)
        traffic = place.take_traffic()
        per_query = traffic.requests / len(spent), traffic.received_mb / len(spent)
        return first, Others(spent, *per_query, cpu, peak_mb(), answers)


def time_replacing(place: Place, seed: int) -> tuple[list[float], list[float]]:
    """Seconds of replacing an image, and of the next query, which has to find it."""
    replacing, finding = [], []
    with opened(place) as index:
        for number in range(_REPLACED):
            vectors, kinds = Cone().rows(OBJECTS_AN_IMAGE, 10**9 + 1000 * seed + number)
            changed = make_image(number, vectors, kinds, EMBEDDER)
            started = time.perf_counter()
            index.replace_images([changed])
            replacing.append(time.perf_counter() - started)
            wanted = changed.objects[0]
            query = IndexQuery(wanted.vectors[VECTOR_NAME], 1)
            started = time.perf_counter()
            hits = index.search(query)
            finding.append(time.perf_counter() - started)
            if hits[0].object_id != str(wanted.object_id):
                raise SystemExit("expected the replaced image to be found, got another")
    return replacing, finding
