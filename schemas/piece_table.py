"""Writes tracked pieces of videos as tables of their sightings, and reads them again."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.images import ImageRef
from schemas.masks import CocoRle, ObjectMask
from schemas.records import Float32Vector
from schemas.thumbnails import Thumbnail, parse_webp, to_text
from schemas.videos import ShotPart, Sighting, Track, TrackedPiece, VideoInfo, VideoPiece

_METADATA = b"objseek.piece"
MASK_FIELDS = [
    pa.field("time_s", pa.float64(), nullable=False),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("width", pa.int32(), nullable=False),
    pa.field("counts", pa.string(), nullable=False),
    pa.field("predicted_iou", pa.float64()),
    pa.field("stability_score", pa.float64()),
    pa.field("point_xy", pa.list_(pa.float64(), 2), nullable=False),
    pa.field("segmenter_label", pa.string()),
    pa.field("segmenter_score", pa.float64()),
]
PIECE_SCHEMA = pa.schema(
    [
        pa.field("shot", pa.int32(), nullable=False),
        pa.field("track", pa.int32(), nullable=False),
        *MASK_FIELDS,
        pa.field("worth", pa.float64(), nullable=False),
        pa.field("vector", pa.binary()),
        # Of the track, with its first sighting.
        pa.field("vector_sum", pa.binary()),
        pa.field("thumbnail_box", pa.list_(pa.int32(), 4)),
        pa.field("thumbnail", pa.binary()),
    ]
)


def piece_to_table(piece: TrackedPiece) -> pa.Table:
    """`PIECE_SCHEMA`, a row for each sighting; what is of the piece or its shots is metadata."""
    rows = [
        {"shot": shot, "track": number, **_of_track(track, place), **_of_sighting(sighting)}
        for shot, tracks in enumerate(piece.tracks)
        for number, track in enumerate(tracks)
        for place, sighting in enumerate(track.sightings)
    ]
    about = {
        "number": piece.piece.number,
        "steps": piece.piece.steps,
        "is_last": piece.is_last,
        "size_hw": piece.info.size_hw,
        "duration_s": piece.info.duration_s,
        "notes": piece.info.notes,
        "shots": [_shot_to_json(shot) for shot in piece.shots],
    }
    schema = PIECE_SCHEMA.with_metadata({_METADATA: json.dumps(about).encode()})
    return pa.Table.from_pylist(rows, schema=schema)


def piece_from_table(table: pa.Table, ref: ImageRef) -> TrackedPiece:
    """The piece of video `ref` that a table was made of. Raises ValueError for another table."""
    try:
        about = json.loads((table.schema.metadata or {})[_METADATA])
        height, width = about["size_hw"]
        shots = tuple(map(_shot_from_json, about["shots"]))
        by_shot = {
            shot: tuple(_read_tracks(rows))
            for shot, rows in groupby(table.to_pylist(), key=itemgetter("shot"))
        }
        return TrackedPiece(
            VideoPiece(ref, about["number"], about["steps"]),
            VideoInfo((height, width), about["duration_s"], tuple(about["notes"])),
            shots,
            tuple(by_shot.get(shot, ()) for shot in range(len(shots))),
            about["is_last"],
        )
    except (KeyError, TypeError) as exc:
        raise ValueError(f"expected a piece of a video, got another table ({exc})") from exc


def mask_row(sighting: Sighting) -> dict[str, object]:
    """What a table of masks holds of a sighting."""
    mask = sighting.mask
    return {
        "time_s": sighting.time_s,
        "height": mask.rle.size_hw[0],
        "width": mask.rle.size_hw[1],
        "counts": mask.rle.counts,
        "predicted_iou": mask.predicted_iou,
        "stability_score": mask.stability_score,
        "point_xy": mask.point_xy,
        "segmenter_label": mask.segmenter_label,
        "segmenter_score": mask.segmenter_score,
    }


def mask_of(row: dict[str, Any]) -> ObjectMask:
    """The mask of a row. Raises ValueError for one that is none, or is empty."""
    mask = ObjectMask.measure(
        CocoRle((row["height"], row["width"]), row["counts"]),
        predicted_iou=row["predicted_iou"],
        stability_score=row["stability_score"],
        point_xy=tuple(row["point_xy"]),
        segmenter_label=row["segmenter_label"],
        segmenter_score=row["segmenter_score"],
    )
    if mask is None:
        raise ValueError("expected a mask, got an empty one")
    return mask


def _of_sighting(sighting: Sighting) -> dict[str, object]:
    vector = None if sighting.vector is None else _vector_to_bytes(sighting.vector)
    return {**mask_row(sighting), "worth": sighting.worth, "vector": vector}


def _of_track(track: Track, place: int) -> dict[str, object]:
    if place:
        return {}
    thumbnail = track.thumbnail
    return {
        "vector_sum": _vector_to_bytes(track.vector_sum),
        "thumbnail_box": None if thumbnail is None else thumbnail.box_xyxy,
        "thumbnail": None if thumbnail is None else thumbnail.webp,
    }


def _read_tracks(rows: Iterator[dict[str, Any]]) -> Iterator[Track]:
    for _, group in groupby(rows, key=itemgetter("track")):
        own = list(group)
        sightings = tuple(
            Sighting(row["time_s"], mask_of(row), row["worth"], _vector_from_bytes(row["vector"]))
            for row in own
        )
        first, total = own[0], _vector_from_bytes(own[0]["vector_sum"])
        if total is None:
            raise KeyError("vector_sum")
        webp = first["thumbnail"]
        thumbnail = None if webp is None else Thumbnail(tuple(first["thumbnail_box"]), webp)
        yield Track(sightings, total, thumbnail)


def _shot_to_json(shot: ShotPart) -> dict[str, object]:
    thumbnail = shot.typical_thumbnail
    return {
        "times_s": shot.times_s,
        "vector_sum": to_text(_vector_to_bytes(shot.vector_sum)),
        "typical_s": shot.typical_s,
        "typical_vector": to_text(_vector_to_bytes(shot.typical_vector)),
        "thumbnail": None if thumbnail is None else [list(thumbnail.box_xyxy), thumbnail.to_text()],
    }


def _shot_from_json(given: dict[str, Any]) -> ShotPart:
    kept = given["thumbnail"]
    total, typical = (
        np.frombuffer(base64.b64decode(given[name]), "<f4").astype(np.float32)
        for name in ("vector_sum", "typical_vector")
    )
    return ShotPart(
        tuple(given["times_s"]),
        total,
        given["typical_s"],
        typical,
        None if kept is None else Thumbnail(tuple(kept[0]), parse_webp(kept[1])),
    )


def _vector_to_bytes(vector: Float32Vector) -> bytes:
    return np.asarray(vector, "<f4").tobytes()


def _vector_from_bytes(data: bytes | None) -> Float32Vector | None:
    return None if data is None else np.frombuffer(data, "<f4").astype(np.float32)
