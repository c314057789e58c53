"""What the tests of imported vectors share: an import, and what the index has after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from support import fakes

from pipeline.index_home import IndexHome
from pipeline.jobs.verify import verify
from pipeline.settings import Settings
from pipeline.transfer.vectors.import_vectors import VectorImport, import_vectors
from pipeline.transfer.vectors.plan import ImportOptions
from schemas.manifest import ManifestRow
from schemas.points import Point
from workers.indexes.open import open_index


def settings(index: Path, embedder: str | None = None) -> Settings:
    """Settings in which nobody has named an embedder, unless it is given."""
    named = fakes.settings(index)
    values = named.embedder.model_dump(exclude={"name"})
    if embedder is not None:
        values["name"] = embedder
    options = type(named.embedder).model_validate(values)
    return named.model_copy(update={"embedder": options})


def bring(
    of: Settings,
    place: object,
    columns: Mapping[str, tuple[str, ...]] | None = None,
    *,
    strict: bool = False,
    images: str | None = None,
) -> VectorImport:
    """Import what is at a place."""
    options = ImportOptions(columns or {}, images=images, strict=strict)
    return import_vectors(of, str(place), options, lambda plan: True)


def points(of: Settings) -> list[Point]:
    """Every point, by uri and ordinal."""
    with closing(open_index(of.index, None)) as index:
        found = list(index.scan(words=True))
    return sorted(found, key=lambda point: (point.payload["uri"], point.payload["ordinal"]))


def rows(of: Settings) -> dict[str, ManifestRow]:
    """What the manifest records of each image, by its uri."""
    return {row.uri: row for row in IndexHome.current(of).manifest.latest()}


def faults(of: Settings, sources: Sequence[str] = ()) -> list[str]:
    """What a verification finds."""
    return list(map(str, verify(of, sources).findings))
