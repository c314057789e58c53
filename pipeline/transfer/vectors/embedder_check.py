"""Holds vectors against those that the embedder makes which is said to have made them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from pipeline.messages import quantify
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.vectors.plan import ImportPlan
from pipeline.transfer.vectors.rows import RowPlace, VectorRow
from schemas.errors import BadImageError, EmbedderMismatchError, StoreError
from schemas.images import UInt8Image
from schemas.records import Float32Vector
from workers.read_images import read_image
from workers.registry import build_embedder

_COMPARED = 4  # images
_TRIED = 64  # rows, to find so many images that can be read
# Another program cuts and scales images otherwise, and another precision rounds otherwise. Vectors
# of other images by the same CLIP may be as near as this, those of another CLIP are far away.
_LEAST_COSINE = 0.75


def check_vectors(plan: ImportPlan, settings: Settings, progress: Progress) -> str:
    """Embed a few of the images, and compare. Says what came of it.

    Raises EmbedderMismatchError if the vectors are not the embedder's, ModelError.
    """
    progress.note("reading a few images, to check the embedder")
    pairs = list(islice(_readable(plan, settings), _COMPARED))
    if not pairs:
        return (
            f"whether {plan.embedder} made these vectors was not checked: no image of the first "
            "rows that are of whole images can be read"
        )
    embedder = build_embedder(settings.embedder)
    if embedder.dim != plan.dim:
        raise EmbedderMismatchError(
            f"expected vectors of {embedder.dim} numbers, as {plan.embedder} makes them, got "
            f"{plan.dim}"
        )
    made = embedder.embed_images([pixels for pixels, _ in pairs])
    cosines = np.sum(made * np.stack([vector for _, vector in pairs]), axis=1)
    middle = float(np.median(cosines))
    if middle < _LEAST_COSINE:
        raise EmbedderMismatchError(
            f"expected vectors as {plan.embedder} makes them, got others: those of "
            f"{quantify(len(pairs), 'image')} have a cosine of {middle:.2f} with its own "
            "(--no-check imports them all the same)"
        )
    return (
        f"{plan.embedder} made these vectors: those of {quantify(len(pairs), 'image')} have a "
        f"cosine of {middle:.3f} with its own"
    )


def _readable(plan: ImportPlan, settings: Settings) -> Iterator[tuple[UInt8Image, Float32Vector]]:
    for row in islice(_wholes(plan), _TRIED):
        try:
            yield read_image(row.ref, settings.store, settings.decode).pixels, row.vector
        except (StoreError, BadImageError):
            continue


def _wholes(plan: ImportPlan) -> Iterator[VectorRow]:
    reader = plan.reader
    for batch in plan.source.batches(plan.mapping.read):
        places = [RowPlace(batch.file, 0)] * batch.rows.num_rows
        for row in reader.read(batch.rows, places):
            if isinstance(row, VectorRow) and not row.is_object:
                yield row
