"""Says what embedding an index again would do: by its manifest, with nothing loaded."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.index_home import IndexHome, list_generations
from pipeline.jobs.reembed import reembed_job, require_change
from pipeline.kept_paces import KeptPace, find_pace
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.manifest import State
from schemas.pipelines import IMPORTED


@dataclass(frozen=True, slots=True)
class ReembedForecast:
    """What a run would do with the images that are done in the generation in use.

    `unchanged` ones are in the new generation already; `objects` are those of the others, and so
    are `videos`. `generation` is the name of the new one, None as long as only its models tell.
    `pace` is that of the last run with this embedder on this machine.
    """

    images: int
    unchanged: int
    objects: int
    videos: int
    before: str
    generation: str | None
    pace: KeptPace | None = None

    @property
    def work(self) -> int:
        """Images that a run would embed."""
        return self.images - self.unchanged


def forecast_reembed(settings: Settings) -> ReembedForecast:
    """What `reembed` would do now. Nothing is written.

    Raises UsageError if nothing would change or it cannot be done, and what the manifest raises.
    """
    require_change(settings)
    old = IndexHome.current(settings)
    for fingerprint in sorted(old.manifest.fingerprints()):
        pipeline = old.pipelines.look_up(fingerprint)
        if pipeline is not None and pipeline.segmenter == IMPORTED:
            raise UsageError(
                f"expected images that an ingest has done, {settings.index.location} has imported "
                f"vectors of {pipeline.embedder}"
            )
    name = _find_begun(settings, old)
    there = set()
    if name is not None:
        new = IndexHome.at(settings, name).manifest
        there = {(row.image_id, row.version) for row in new.latest() if row.state is State.DONE}
    done = [row for row in old.manifest.latest() if row.state is State.DONE]
    left = [row for row in done if (row.image_id, row.version) not in there]
    return ReembedForecast(
        images=len(done),
        unchanged=len(done) - len(left),
        objects=sum(row.objects for row in left),
        videos=sum(row.shots > 0 for row in left),
        before=old.generation,
        generation=name,
        pace=find_pace(settings, reembed_job(settings)),
    )


def _find_begun(settings: Settings, old: IndexHome) -> str | None:
    """The generation that an earlier run with this embedder has begun, if there is one."""
    for generation in list_generations(settings):
        known = IndexHome.at(settings, generation.name).pipelines
        if generation.name != old.generation and known.find_embedding(settings) is not None:
            return generation.name
    return None
