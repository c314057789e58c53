"""Videos to put into indexes, without a file of any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from support.index_cases import embedded

from schemas.ids import image_id, object_id, shot_ordinal
from schemas.records import VECTOR_NAME, EmbeddedImage, Float32Matrix, ImageRecord, TimeSpan

DURATION_S = 20.0


def span_of(start_s: float, end_s: float, key_s: float | None = None, shot: int = 0) -> TimeSpan:
    """A span of four frames, best seen at its start unless said otherwise."""
    key_s = start_s if key_s is None else key_s
    return TimeSpan(start_s, end_s, key_s, 4, shot, 0.05, 0.01 * (1 + start_s))


def embedded_video(
    key: str,
    vectors: Float32Matrix,
    spans: Sequence[TimeSpan],
    *,
    later_shots: Sequence[TimeSpan] = (),
) -> EmbeddedImage:
    """A video: the first vector is its first shot's, then its objects', then its later shots'."""
    image = embedded(key, vectors[: 1 + len(spans)])
    objects = tuple(
        replace(record, span=span) for record, span in zip(image.objects, spans, strict=True)
    )
    rest = np.asarray(vectors[1 + len(spans) :])
    ids = image_id(image.ref)
    shots = tuple(
        ImageRecord(
            object_id(ids, image.revision, shot_ordinal(number)), {VECTOR_NAME: vector}, span=span
        )
        for number, (vector, span) in enumerate(zip(rest, later_shots, strict=True), start=1)
    )
    ends_s = later_shots[0].start_s - 0.5 if later_shots else DURATION_S
    whole = replace(image.whole, span=span_of(0.0, ends_s))
    return replace(image, objects=objects, whole=whole, later_shots=shots, duration_s=DURATION_S)
