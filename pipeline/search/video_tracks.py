"""Finds the shots and the objects of an indexed video, and the masks that they have over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.index_home import IndexHome
from pipeline.manifest.track_files import TrackFiles
from pipeline.search.found_objects import find_image
from pipeline.search.moving_mask import MovingMask, PlacedMask
from schemas.errors import NotIndexedError, UsageError, VectorIndexError
from schemas.masks import ObjectMask
from schemas.payload import Kind, PointPayload, RlePayload
from schemas.points import Point
from schemas.search import Condition
from schemas.videos import Sighting
from workers.protocols import VectorIndex


def require_video(payload: PointPayload) -> None:
    """Raise NotIndexedError for what is not in a video."""
    if payload.t_key is None:
        raise NotIndexedError(f"expected something in a video, got an image ({payload.uri})")


def find_video(index: VectorIndex, identity: str) -> PointPayload:
    """The first shot of the video of an id. Raises NotIndexedError if there is no such video."""
    try:
        payload = find_image(index, identity).parse_payload()
    except UsageError as exc:
        raise NotIndexedError(str(exc)) from exc
    require_video(payload)
    return payload


def list_points(
    index: VectorIndex,
    video: PointPayload,
    kind: Kind,
    from_s: float | None = None,
    to_s: float | None = None,
) -> list[tuple[Point, PointPayload]]:
    """The objects ("object") or shots ("image") of a video, in the revision of a point of it.

    Without those that end before `from_s` or begin after `to_s`. Points that objseek did not write
    are noted.
    """
    conditions = [
        Condition(field="image_id", op="=", value=video.image_id),
        Condition(field="kind", op="=", value=kind),
        Condition(field="generation", op="=", value=video.generation),
    ]
    if from_s is not None:
        conditions.append(Condition(field="t_end", op=">=", value=from_s))
    if to_s is not None:
        conditions.append(Condition(field="t_start", op="<=", value=to_s))
    found = []
    for point in index.scroll(conditions):
        try:
            payload = point.parse_payload()
        except VectorIndexError as exc:
            index.note_broken(point.id, str(exc))
            continue
        if payload.t_start is not None and payload.t_end is not None:
            found.append((point, payload))
    return found


def find_shot(index: VectorIndex, payload: PointPayload) -> PointPayload | None:
    """The shot that something in a video is in; None if the index lacks it."""
    if payload.kind == "image":
        return payload
    key_s = payload.t_key or 0.0
    shots = list_points(index, payload, "image", key_s, key_s)
    return next((shot for _, shot in shots if shot.shot == payload.shot), None)


def find_step(shot: PointPayload | None) -> float | None:
    """The mean time between the frames of a shot that were looked at; None if nobody knows."""
    if shot is None or not shot.duration or not shot.frames or shot.frames < 2:
        return None
    return shot.duration / (shot.frames - 1)


def read_masks(
    payloads: Sequence[PointPayload], home: IndexHome, step_s: float | None
) -> Mapping[int, MovingMask]:
    """The masks of objects of one video, by their ordinals.

    Where none are kept, that of an object's best frame alone. Raises ManifestError for a damaged
    file. `step_s` is `find_step`'s.
    """
    if not payloads:
        return {}
    first = payloads[0]
    ordinals = [payload.ordinal for payload in payloads]
    try:
        kept = TrackFiles(home.parts).read_many(first.image_id, first.generation, ordinals)
    except NotIndexedError:
        kept = {}
    return {
        payload.ordinal: MovingMask(kept.get(payload.ordinal) or _key_sighting(payload), step_s)
        for payload in payloads
    }


def place_at(
    payload: PointPayload, placed: PlacedMask | None, time_s: float
) -> PointPayload | None:
    """An object as it is at a time: its box, mask and area there; None where it is not seen."""
    mask = None if placed is None else ObjectMask.measure(placed.to_rle())
    if mask is None:
        return None
    x0, y0, x1, y1 = mask.bbox_xyxy
    return payload.model_copy(
        update={
            "bbox": mask.bbox_xyxy,
            "rle": RlePayload(size=mask.rle.size_hw, counts=mask.rle.counts),
            "area": mask.area_px,
            "area_frac": mask.area_frac,
            "center_x_frac": (x0 + x1) / 2 / payload.width,
            "center_y_frac": (y0 + y1) / 2 / payload.height,
            "t_key": time_s,
        }
    )


def _key_sighting(payload: PointPayload) -> list[Sighting]:
    rle = payload.sound_mask()
    mask = None if rle is None else ObjectMask.measure(rle)
    return [] if mask is None or payload.t_key is None else [Sighting(payload.t_key, mask, 0.0)]
