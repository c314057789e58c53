"""How many images a second each stage of a run gets through, and so how long the run takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.planning.profile import Profile
from pipeline.planning.workload import Layout, Workload

RAY_CPU_S = 0.019
"""Of a core an image: Ray's own processes 9 ms, and the idling of its readers, half of 16 to 20."""
RAY_START_S = 8.0
"""Until Ray's processes are there, before models load (bench/RESULTS.md, "Ingest")."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One of the things that images have to pass; `images_per_s` is of all machines together."""

    name: str
    images_per_s: float


@dataclass(frozen=True, slots=True)
class Marginal:
    """How long the run would take with one more of something."""

    what: str
    seconds: float


def read_seconds(workload: Workload, profile: Profile, layout: Layout) -> tuple[float, float]:
    """Of one reader for one image: until it is fetched, others in flight; until it is decoded."""
    fetch = profile.seconds.read / layout.reads_at_once
    return fetch, profile.seconds.decode_mpx * workload.megapixels


def model_seconds(workload: Workload, profile: Profile) -> tuple[float, float, float]:
    """Of one worker for one image: segmenting, embedding, and what else is done to objects."""
    seconds, points = profile.seconds, workload.points_an_image
    segment = seconds.segment + seconds.segment_mpx * workload.megapixels
    return segment, seconds.embed * points, seconds.finish * points


def write_seconds(workload: Workload, profile: Profile) -> float:
    """Of the writer for one image."""
    return profile.seconds.write * workload.points_an_image


def count_workers(profile: Profile, layout: Layout) -> int:
    """Workers of all machines that make a difference.

    A GPU is full with those it was timed with, and a machine without one with one a core.
    """
    most = profile.gpus * profile.workers or max(profile.cores, profile.workers)
    return layout.machines * min(layout.workers, most)


def list_stages(workload: Workload, profile: Profile, layout: Layout) -> list[Stage]:
    """What images have to pass, at the same time but for what one worker does after the other."""
    reading = sum(read_seconds(workload, profile, layout))
    modelling = sum(model_seconds(workload, profile))
    writing = write_seconds(workload, profile)
    workers = count_workers(profile, layout)
    stages = [Stage("listing", _rate(1000 * layout.jobs, profile.seconds.list_page))]
    if layout.runner == "ray":
        stages.append(Stage("readers", _rate(layout.machines * layout.readers, reading)))
    else:
        modelling += reading
        # A single worker writes, too: there is no other thread.
        modelling += writing if layout.workers == 1 else 0
    stages.append(Stage("workers", _rate(workers, modelling)))
    stages.append(Stage("writer", _rate(layout.jobs, writing)))
    if (cpu_s := _cpu_seconds(workload, profile, layout)) is not None:
        stages.append(Stage("cores", _rate(layout.machines * profile.cores, cpu_s)))
    return stages


def find_bottleneck(stages: list[Stage]) -> Stage:
    """The stage that all others wait for."""
    return min(stages, key=lambda stage: stage.images_per_s)


def start_seconds(profile: Profile, layout: Layout) -> float:
    """Until work on the first image begins."""
    return profile.seconds.start + (RAY_START_S if layout.runner == "ray" else 0)


def estimate_seconds(workload: Workload, profile: Profile, layout: Layout) -> float:
    """By the clock, from the start of the command to its end."""
    slowest = find_bottleneck(list_stages(workload, profile, layout))
    return start_seconds(profile, layout) + workload.images / slowest.images_per_s


def list_marginals(workload: Workload, profile: Profile, layout: Layout) -> list[Marginal]:
    """What one more worker, reader or machine would change."""
    more = [("worker on each machine", replace(layout, workers=layout.workers + 1))]
    if layout.runner == "ray":
        more.append(("reader on each machine", replace(layout, readers=layout.readers + 1)))
    if layout.runner == "ray" or layout.jobs == layout.machines > 1:
        machine = "GPU, with a machine around it" if profile.gpus else "machine"
        jobs = layout.jobs + 1 if layout.jobs == layout.machines > 1 else layout.jobs
        more.append((machine, replace(layout, machines=layout.machines + 1, jobs=jobs)))
    return [Marginal(what, estimate_seconds(workload, profile, each)) for what, each in more]


def _cpu_seconds(workload: Workload, profile: Profile, layout: Layout) -> float | None:
    """Of all cores for one image, as it was measured, and as much more as stages take longer."""
    if profile.cpu_s is None:
        return None
    measured = replace(workload, megapixels=profile.megapixels, objects=profile.objects)
    share = _busy_seconds(workload, profile) / max(_busy_seconds(measured, profile), 1e-9)
    return profile.cpu_s * share + (RAY_CPU_S if layout.runner == "ray" else 0)


def _busy_seconds(workload: Workload, profile: Profile) -> float:
    decoding = profile.seconds.decode_mpx * workload.megapixels
    computing = decoding + sum(model_seconds(workload, profile))
    return computing + write_seconds(workload, profile)


def _rate(at_once: float, seconds: float) -> float:
    return at_once / max(seconds, 1e-12)
