"""Plans a run: what is to be done, by what, on which figures; and says what it assumes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.messages import quantify
from pipeline.planning.estimate import Estimate, estimate
from pipeline.planning.prices import Prices
from pipeline.planning.profile import Profile
from pipeline.planning.sample import Sample
from pipeline.planning.searches import Searches, read_searches
from pipeline.planning.workload import IndexPlan, Layout, TransferName, Workload
from pipeline.settings import Settings
from schemas.errors import UsageError
from workers.indexes.location import kind_of

_DESTINATIONS: dict[TransferName, str] = {
    "same-region": "a machine in the bucket's region",
    "other-region": "another region",
    "internet": "the internet",
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a user says of the images beside, or instead of, a sample. None: as it was found."""

    images: int | None = None
    objects: float | None = None
    megapixels: float | None = None
    megabytes: float | None = None
    transfer: TransferName = "same-region"


@dataclass(frozen=True, slots=True)
class Plan:
    """A bill with all that it was made of."""

    workload: Workload
    layout: Layout
    index: IndexPlan
    profile: Profile
    estimate: Estimate
    assumptions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return asdict(self) | {"profile": self.profile.model_dump()}


def build_plan(
    settings: Settings,
    machines: int,
    wishes: Wishes,
    sample: Sample | None,
    profile: Profile,
    prices: Prices,
) -> Plan:
    """The bill of an ingest with `settings` on so many machines of `profile`.

    Raises UsageError where the number of images is not known, or several machines are to be threads
    of one process.
    """
    kind = kind_of(settings.index.location)
    if machines > 1 and kind == "folder" and settings.runner.name == "local":
        raise UsageError(
            f"expected --runner ray, or an index that several may write, for {machines} machines, "
            "got a folder and --runner local"
        )
    workload = build_workload(wishes, sample, profile)
    runner = settings.runner
    layout = Layout(
        runner=runner.name,
        machines=machines,
        workers=runner.workers,
        readers=runner.readers or math.ceil(runner.workers / 2),
        read_concurrency=runner.read_concurrency,
        batch_size=runner.batch_size,
        # A folder has one writer; else each machine has prefixes of its own.
        jobs=1 if kind == "folder" else machines,
    )
    index = IndexPlan(kind, profile.dim)
    searches = read_searches()
    bill = estimate(workload, profile, layout, index, prices, searches)
    assumptions = (
        *_list_assumptions(workload, profile, layout, index, sample),
        *_list_sources(profile, prices, searches, index),
    )
    return Plan(workload, layout, index, profile, bill, assumptions)


def build_workload(wishes: Wishes, sample: Sample | None, profile: Profile) -> Workload:
    """What is to be done: as wished, else as sampled, else as the profile's images were."""
    images = count_images(wishes, sample)
    found_bytes = profile.image_bytes if sample is None else sample.image_bytes
    found_megapixels = profile.megapixels if sample is None else sample.megapixels
    return Workload(
        images=images,
        image_bytes=found_bytes if wishes.megabytes is None else wishes.megabytes * 1e6,
        megapixels=found_megapixels if wishes.megapixels is None else wishes.megapixels,
        objects=profile.objects if wishes.objects is None else wishes.objects,
        from_s3=sample is None or sample.from_s3,
        transfer=wishes.transfer,
    )


def count_images(wishes: Wishes, sample: Sample | None) -> int:
    """How many there are. Raises UsageError where nobody knows."""
    if wishes.images is not None:
        return wishes.images
    if sample is None:
        raise UsageError("expected a source or --images, got neither")
    if not sample.is_complete:
        raise UsageError(
            f"expected --images or --count, as there are more than {len(sample.refs):,} images "
            "there: how many was not counted"
        )
    return len(sample.refs)


def _list_assumptions(
    workload: Workload, profile: Profile, layout: Layout, index: IndexPlan, sample: Sample | None
) -> Iterator[str]:
    if sample is not None:
        formats = ", ".join(f"{count} {name}" for name, count in sample.formats.items())
        listed = "all" if sample.is_complete else "the first"
        yield (
            f"Images are like {len(sample.images)} that were read of {listed} {len(sample.refs):,} "
            f"listed ({formats})"
            + (f"; {sample.unreadable} more could not be read" if sample.unreadable else "")
        )
    yield (
        f"An image has {workload.objects:.1f} objects, {workload.megapixels:.2f} megapixels and "
        f"{workload.image_bytes / 1e6:.2f} MB; all are new, and none is a video"
    )
    yield "Stages overlap, so that the slowest decides; segmenting takes as long whatever is found"
    workers = quantify(profile.workers, "worker")
    yield f"The models are {profile.models}, measured with {workers} at once"
    if layout.machines > 1:
        yield "Machines get as far together as each alone, and the store and the index keep up"
        yield (
            "One machine lists and writes for all"
            if layout.jobs == 1
            else "Each machine lists prefixes of its own and writes what it has found"
        )
    if index.kind == "server":
        yield "A server keeps all vectors in memory, with half as much again for its graph"
    if workload.from_s3:
        yield (
            f"Each image is one GET; its bytes go to {_DESTINATIONS[workload.transfer]}, "
            "and nothing is asked for again"
        )


def _list_sources(
    profile: Profile, prices: Prices, searches: Searches, index: IndexPlan
) -> Iterator[str]:
    for source in dict.fromkeys(profile.sources.values()):
        names = [name for name, each in profile.sources.items() if each == source]
        yield f"{profile.name}, {', '.join(names)}: {source}"
    yield f"Prices: {prices.source}"
    if index.kind == "lance":
        yield f"Searches: {searches.gets_warm:,.0f} GETs each, by {searches.source}"
