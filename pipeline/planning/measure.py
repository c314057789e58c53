"""Measures this machine: a real ingest of some images into an index that is thrown away."""

from __future__ import annotations

import math
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.index_home import IndexHome
from pipeline.ingestion.session import IngestSession
from pipeline.messages import quantify
from pipeline.planning.profile import PointBytes, Profile, StageSeconds
from pipeline.planning.sample import Sample
from pipeline.planning.stage_clock import CountedHome, StageClock
from pipeline.planning.timed_writes import time_writing
from pipeline.progress import Progress
from pipeline.runners.recipe import Recipe, build_recipe
from pipeline.settings import Settings
from pipeline.throughput import Throughput
from schemas.errors import UsageError
from schemas.images import ImageRef
from schemas.options import IndexOptions
from schemas.records import EmbeddedImage
from workers.indexes.location import kind_of
from workers.indexes.open import open_index
from workers.models.threads import count_usable_cpus

_LEAST_IMAGES = 4
_FIRST_ROUND = 4
_LEAST_TIMED, _LONGEST = 16, 2
"""Of fewer images there is more chance than time in what they take; unless that takes so many times
as long as was asked for."""
_FINISHING = ("label", "check", "thumbnail")
_S3_READ_S, _S3_READ_SOURCE = 0.063, "the median of a GET that turbopuffer's documentation gives"
_S3_PAGE_S, _S3_PAGE_SOURCE = 0.1, "docs/scale.md, as a rule"


@dataclass(frozen=True, slots=True)
class _Rounds:
    """What ingesting in rounds took, by the clock and of all cores."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class _Timing:
    """What was timed beside the stages: `start_s` until work began, `write_s` of a point."""

    workers: int
    start_s: float
    rounds: _Rounds
    write_s: float


class _Begun(Progress):
    """Shows what another shows, and notes when work on images begins."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note
        self.begun_s = self.begun_cpu_s = 0.0

    def note(self, text: str) -> None:
        self._note(text)

    def begin(self, throughput: Throughput | None = None) -> None:
        super().begin(throughput)
        self.begun_s, self.begun_cpu_s = self.seconds, time.process_time()


def measure(
    settings: Settings,
    sample: Sample,
    seconds: float,
    note: Callable[[str], None] = lambda text: None,
    build: Callable[[Settings], Recipe] = build_recipe,
) -> Profile:
    """This machine's profile with the models of `settings`, after about so many seconds of work.

    As many workers as the settings say, but no more than there are CPUs, are threads of this
    process. `note` gets what is being waited for; `build` makes the workers. Raises UsageError
    where there are too few images, and what an ingest raises.
    """
    if len(sample.refs) < _LEAST_IMAGES:
        raise UsageError(
            f"expected {_LEAST_IMAGES} images or more to measure with, got {len(sample.refs)}: "
            "name a profile, or no source"
        )
    local = settings.runner.model_copy(
        update={"name": "local", "workers": _count_workers(settings)}
    )
    clock = StageClock()
    with tempfile.TemporaryDirectory(prefix="objseek-plan-") as folder:
        measured = settings.model_copy(
            update={
                "runner": local,
                "index": _temporary_index(settings, Path(folder)),
                "store": settings.store.without_videos(),
                "boxes": None,
                "limit": None,
            }
        )
        home = IndexHome.current(measured)
        timed = CountedHome(home.location, home.generation, home.index, home.store, clock)

        def build_alike(settled: Settings) -> Recipe:
            return build(_with_threads_of(settings, settled))

        with IngestSession(measured, build_alike, observer=clock) as session:
            return _measure(session, timed, sample, seconds, settings, note)


def assume_bucket(profile: Profile) -> Profile:
    """The same where images will be read from a bucket, and not from files as they were here."""
    seconds = profile.seconds.model_copy(update={"read": _S3_READ_S, "list_page": _S3_PAGE_S})
    sources = {"read": _S3_READ_SOURCE, "list_page": _S3_PAGE_SOURCE}
    return profile.model_copy(update={"seconds": seconds, "sources": profile.sources | sources})


def add_imports(profile: Profile, seconds: float) -> Profile:
    """The same with what a command takes to import before it measures, as an ingest's does, too."""
    started = profile.seconds.model_copy(update={"start": profile.seconds.start + seconds})
    return profile.model_copy(update={"seconds": started})


def _temporary_index(settings: Settings, folder: Path) -> IndexOptions:
    """An index of the settings' kind where that is files, else a folder: nothing of the user's."""
    kind = kind_of(settings.index.location)
    place = f"lance+file://{folder}/index" if kind == "lance" else str(folder / "index")
    return IndexOptions(
        location=place,
        thumbnail_px=settings.index.thumbnail_px,
        upsert_batch=settings.index.upsert_batch,
    )


def _count_workers(settings: Settings) -> int:
    return min(settings.runner.workers, count_usable_cpus())


def _with_threads_of(settings: Settings, settled: Settings) -> Settings:
    """The settled precision, with the threads that workers of the real run would have."""
    runner = settings.runner if settings.runner.name == "ray" else settled.runner
    return settled.model_copy(update={"runner": runner})


def _measure(
    session: IngestSession,
    home: CountedHome,
    sample: Sample,
    seconds: float,
    settings: Settings,
    note: Callable[[str], None],
) -> Profile:
    workers, refs, clock = _count_workers(settings), _shuffle(sample.refs), home.clock
    warm = min(2 * workers, len(refs) // 2)
    begun = _Begun(note)
    session.run([refs[:warm]], home, begun)
    clock.reset()
    note(f"measuring for about {seconds:.0f} s")
    rounds = _time_rounds(session, refs[warm:], home, seconds, note)
    if not clock.images:
        raise UsageError("expected images to measure with, got none that could be worked on")
    timing = _Timing(workers, begun.begun_s, rounds, _time_writing(home, clock.kept))
    return _build_profile(settings, sample, clock, timing)


def _time_rounds(
    session: IngestSession,
    refs: Sequence[ImageRef],
    home: CountedHome,
    seconds: float,
    note: Callable[[str], None],
    clock: Callable[[], float] = time.perf_counter,
) -> _Rounds:
    """Ingest `refs` in rounds, each of as many as there is time for by the one before."""
    cpu_s = wall_s = 0.0
    done, size = 0, _FIRST_ROUND
    while done < len(refs) and size:
        progress = _Begun(note)
        started = clock()
        session.run([list(refs[done : done + size])], home, progress)
        cpu_s += time.process_time() - progress.begun_cpu_s
        wall_s += clock() - started
        done += size
        size = _choose_round(done, wall_s, seconds)
    return _Rounds(wall_s, cpu_s - home.clock.counting_cpu_s)


def _choose_round(done: int, wall_s: float, seconds: float) -> int:
    """Images of the next round, after `done` have taken `wall_s`; 0: it is enough."""
    lacking = max(0, _LEAST_TIMED - done)
    limit_s = _LONGEST * seconds if lacking else seconds
    if wall_s >= limit_s:
        return 0
    timely, at_most = (int((limit - wall_s) / wall_s * done) for limit in (seconds, limit_s))
    return max(1, timely, min(lacking, at_most))


def _time_writing(home: CountedHome, images: Sequence[EmbeddedImage]) -> float:
    """Seconds a point, of an index of its own beside the one that was written to."""
    place = home.index.model_copy(update={"location": f"{home.index.location}-writes"})
    with closing(open_index(place, home.clock.dim, create=True)) as index:
        return time_writing(index, images)


def _shuffle(refs: Sequence[ImageRef]) -> list[ImageRef]:
    """All of them, so that any first ones are spread over the listing; always the same way."""
    step = max(1, round(len(refs) * 0.618))
    while math.gcd(step, len(refs)) != 1:
        step += 1
    return [refs[number * step % len(refs)] for number in range(len(refs))]


def _build_profile(
    settings: Settings, sample: Sample, clock: StageClock, timing: _Timing
) -> Profile:
    images, points = clock.images, clock.points
    return Profile(
        name=platform.node() or "this machine",
        hardware=f"{platform.processor() or platform.machine()}, {count_usable_cpus()} CPUs",
        models=f"{settings.segmenter.name}, {settings.embedder.name}",
        cores=count_usable_cpus(),
        gpus=_count_gpus(settings),
        workers=timing.workers,
        megapixels=sample.megapixels,
        image_bytes=sample.image_bytes,
        objects=points / images - 1,
        dim=clock.dim,
        cpu_s=timing.rounds.cpu_s / images,
        seconds=_divide_seconds(sample, clock, timing),
        bytes=PointBytes(
            payload=clock.payload_bytes / points, thumbnail=clock.thumbnail_bytes / points
        ),
        sources={"all": _describe_source(images, timing)},
    )


def _divide_seconds(sample: Sample, clock: StageClock, timing: _Timing) -> StageSeconds:
    """Seconds of each stage; what a worker does to objects after its models is `finish`."""
    images, points, stages = clock.images, clock.points, clock.seconds
    return StageSeconds(
        start=timing.start_s,
        list_page=sample.list_page_s,
        read=sample.read_s,
        decode_mpx=sample.decode_mpx_s,
        segment=stages.get("segment", 0.0) / images,
        embed=stages.get("embed", 0.0) / points,
        finish=sum(stages.get(name, 0.0) for name in _FINISHING) / points,
        write=timing.write_s,
    )


def _describe_source(images: int, timing: _Timing) -> str:
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"measured on {quantify(images, 'image')} in {timing.rounds.wall_s:.0f} s by "
        f"{quantify(timing.workers, 'worker')}, {datetime.now(UTC):%Y-%m-%d}, at a load of {load}"
    )


def _count_gpus(settings: Settings) -> int:
    """GPUs that the measured workers were on: they share one."""
    from workers.registry import resolve_device

    return 1 if resolve_device(settings.segmenter.device) == "cuda" else 0
