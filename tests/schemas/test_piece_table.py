"""Tables of tracked pieces: what is written is what is read."""

from __future__ import annotations

from dataclasses import astuple
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.images import ImageRef
from schemas.masks import CocoRle, ObjectMask
from schemas.piece_table import piece_from_table, piece_to_table
from schemas.thumbnails import Thumbnail
from schemas.videos import ShotPart, Sighting, Track, TrackedPiece, VideoInfo, VideoPiece

REF = ImageRef("s3", "b", "videos/\udcff.mp4", "v", 1)
_DIM = 3

times = st.floats(0, 1e6)
scores = st.none() | st.floats(0, 1)
vectors = st.lists(st.floats(-1, 1, width=32), min_size=_DIM, max_size=_DIM).map(
    lambda numbers: np.array(numbers, np.float32)
)
thumbnails = st.none() | st.builds(
    Thumbnail, st.tuples(*[st.integers(0, 9000)] * 4), st.binary(min_size=1, max_size=9)
)


@st.composite
def masks(draw: st.DrawFn) -> ObjectMask:
    height, width = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    on = draw(st.sets(st.integers(0, height * width - 1), min_size=1))
    mask = np.zeros(height * width, bool)
    mask[sorted(on)] = True
    measured = ObjectMask.measure(
        CocoRle.from_mask(mask.reshape(height, width)),
        predicted_iou=draw(scores),
        stability_score=draw(scores),
        point_xy=draw(st.none() | st.tuples(times, times)),
        segmenter_label=draw(st.none() | st.text(st.characters(exclude_categories=["Cs"]))),
        segmenter_score=draw(scores),
    )
    assert measured is not None
    return measured


sightings = st.builds(Sighting, times, masks(), st.floats(0, 1), st.none() | vectors)
tracks = st.builds(
    Track, st.lists(sightings, min_size=1, max_size=3).map(tuple), vectors, thumbnails
)
shots = st.builds(
    ShotPart, st.lists(times, min_size=1).map(tuple), vectors, times, vectors, thumbnails
)


@st.composite
def pieces(draw: st.DrawFn) -> TrackedPiece:
    parts = draw(st.lists(shots, max_size=3))
    return TrackedPiece(
        VideoPiece(REF, draw(st.integers(0, 10**6)), draw(st.integers(1, 960))),
        VideoInfo((6, 6), draw(st.none() | times), tuple(draw(st.lists(st.text())))),
        tuple(parts),
        tuple(tuple(draw(st.lists(tracks, max_size=3))) for _ in parts),
        draw(st.booleans()),
    )


def plain(value: object) -> object:
    """The same to be compared: arrays as bytes, with their types."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    if isinstance(value, tuple | list):
        return tuple(map(plain, value))
    return value


@given(pieces())
def test_a_piece_is_the_same_after_it_was_a_file(piece: TrackedPiece) -> None:
    file = BytesIO()
    pq.write_table(piece_to_table(piece), file, compression="zstd")
    again = piece_from_table(pq.read_table(BytesIO(file.getvalue())), REF)
    assert plain(astuple(again)) == plain(astuple(piece))


def test_another_table_is_no_piece() -> None:
    with pytest.raises(ValueError, match="expected a piece of a video"):
        piece_from_table(pa.table({"a": [1]}), REF)
