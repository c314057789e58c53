"""Gathers what `objseek status` reports of an index, and prints it above the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.cli.console import err, out, print_line
from pipeline.cli.progress_bars import show_progress
from pipeline.index_home import IndexHome, list_generations
from pipeline.ingestion.listing import ignore_skipped, list_images
from pipeline.manifest.coverage import Coverage, measure_coverage
from pipeline.manifest.manifest import Manifest
from pipeline.messages import quantify
from pipeline.progress import Progress
from pipeline.settings import Settings
from schemas.errors import IndexBusyError, IndexMissingError
from schemas.options import IndexOptions
from schemas.pipelines import Pipeline
from schemas.points import IndexInfo
from workers.indexes.location import is_bucket_table
from workers.indexes.open import open_index


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What an index holds.

    `fields` are its figures as JSON has them, `coverage` counts its images by prefix, day and
    pipeline, and `models` are what the pipelines' fingerprints stand for, where that is known.
    """

    fields: dict[str, Any]
    coverage: Coverage
    models: Mapping[str, Pipeline | None]

    def group_fields(self) -> dict[str, Any]:
        """Every group as JSON has it, of which a person sees the largest."""
        pipelines = []
        for counts in self.coverage.pipelines():
            models = self.models[counts.fingerprint]
            pipelines.append(
                asdict(counts)
                | {
                    "segmenter": models.segmenter if models else None,
                    "embedder": models.embedder if models else None,
                }
            )
        return {
            "prefixes": self.coverage.prefixes().to_pylist(),
            "days": self.coverage.days().to_pylist(),
            "pipelines": pipelines,
        }


def gather_report(settings: Settings, sources: Sequence[str], depth: int) -> StatusReport:
    """Read index and manifest, and list `sources` for what is waiting.

    Prefixes are `depth` levels deep. Raises ObjseekError, an IndexMissingError where there is
    neither index nor manifest.
    """
    home = IndexHome.current(settings)
    info, note = _read_info(home.index, home.manifest)
    listed = list_images(sources, home.store, ignore_skipped) if sources else None
    with show_progress(err()) if sources else Progress() as progress:
        progress.note("listing images, to find those that are waiting")
        coverage = measure_coverage(home.manifest, listed, depth)
    added = len(home.manifest.added.all())
    fields = _index_fields(settings.index.location, coverage, info, note, added)
    precision = home.pipelines.precision()
    fields["precision"] = precision.model_dump() if precision else None
    fields["kept"] = [asdict(generation) for generation in list_generations(settings)]
    fingerprints = [counts.fingerprint for counts in coverage.pipelines()]
    return StatusReport(
        fields,
        coverage,
        {fingerprint: home.pipelines.look_up(fingerprint) for fingerprint in fingerprints},
    )


def _read_info(options: IndexOptions, manifest: Manifest) -> tuple[IndexInfo | None, str]:
    """What the index reports of itself, or a note why only its manifest is read.

    Raises IndexMissingError where there is neither.
    """
    try:
        with closing(open_index(options, None)) as index:
            return index.info(), ""
    except IndexBusyError:
        return None, "in use by another process; this is what its manifest knows"
    except IndexMissingError:
        if not manifest.has_parts():
            raise
        return None, "nothing has been indexed yet; this is what its manifest knows"


def _index_fields(
    location: str, coverage: Coverage, info: IndexInfo | None, note: str, added: int
) -> dict[str, Any]:
    return {
        "index": location,
        "note": note,
        "images": coverage.images(),
        "videos": coverage.videos(),
        "objects": info.objects if info else coverage.objects() + added,
        "added": added,
        "generations": info.pipelines if info else len(coverage.pipelines()),
        "segmenters": list(info.segmenters) if info else None,
        "embedders": {used.embedder: used.points for used in info.embedders} if info else None,
        "dim": info.dim if info else None,
        "points": info.points if info else None,
        "size_bytes": info.size_bytes if info else None,
        "waiting": coverage.waiting,
        "versions_by_time": coverage.by_time,
    }


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print the figures of an index for a person, one a line."""
    images = [f"{count:,} {state}" for state, count in fields["images"].items() if count]
    if fields["waiting"] is not None:
        images.append(f"{fields['waiting']:,} waiting")
    lines = {
        "index": fields["index"],
        "note": fields["note"],
        "files" if fields["videos"] else "images": ", ".join(images) or "none",
        "videos": f"{fields['videos']:,} of those that are done" if fields["videos"] else "",
        "objects": f"{fields['objects']:,}"
        + (f", {fields['added']:,} of them added by hand" if fields["added"] else ""),
        "pipelines": f"{fields['generations']:,}",
    }
    if fields["dim"] is not None:
        embedders = [f"{name} ({points:,} points)" for name, points in fields["embedders"].items()]
        lines |= {
            "segmenter": ", ".join(fields["segmenters"]),
            "embedder": ", ".join(embedders),
            "vectors": f"{fields['points']:,} of {fields['dim']} numbers",
        }
    if fields["precision"]:
        used = fields["precision"]
        both = f"{used['segmenter']} (segmenter), {used['embedder']} (embedder)"
        lines["precision"] = used["segmenter"] if len(set(used.values())) == 1 else both
    if fields["versions_by_time"]:
        lines["versions"] = (
            f"{quantify(fields['versions_by_time'], 'image')} by time and size, without ETags: a "
            "replacement of the same size within a second is not noticed"
        )
    if len(fields["kept"]) > 1:
        kept = (kept["name"] + " (in use)" * kept["current"] for kept in fields["kept"])
        lines["generations"] = ", ".join(kept)
    if fields["size_bytes"] is not None:
        place = "in its bucket" if is_bucket_table(fields["index"]) else "on disk"
        lines["size"] = f"{fields['size_bytes'] / 1e6:,.1f} MB {place}"
    for name, value in lines.items():
        if value:
            print_line(out(), f"{name + ':':<13}{value}")
