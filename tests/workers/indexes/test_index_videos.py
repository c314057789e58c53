"""What is in videos is filtered by time, grouped by video, and compared within one frame alone."""

from __future__ import annotations

import numpy as np
import pytest
from support.index_cases import DIM, embedded, unit
from support.index_videos import embedded_video, span_of

from pipeline.search.filter_syntax import parse_conditions
from schemas.points import IndexQuery
from schemas.records import Float32Matrix
from workers.indexes.point_index import PointIndex

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]


def near(count: int, spread: float = 0.05) -> Float32Matrix:
    """Unit vectors that come ever farther from the first axis."""
    rows = np.zeros((count, DIM), np.float32)
    rows[:, 0], rows[:, 1] = 1, spread * np.arange(count)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


FIRST_AXIS = near(1)[0]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["t_start<=12", "t_end>=12"], {0, 2}),
        (["t_start<=12.1", "t_end>=12.1"], {2}),
        (["duration<3"], {1}),
        (["duration>=10", "duration<=10"], {2}),
        (["shot=1"], {2}),
        (["motion>0.1"], {2}),
        (["t_key=0.5"], {0}),
        (["frames=4"], {0, 1, 2}),
        (["video_duration>60"], set()),
        (["video_duration<=20", "mean_area_frac>0.04"], {0, 1, 2}),
    ],
)
def test_objects_are_filtered_by_when_and_how_they_are_seen(
    index: PointIndex, filters: list[str], found: set[int]
) -> None:
    spans = [span_of(0.5, 12.0), span_of(2.0, 4.5), span_of(10.0, 20.0, shot=1)]
    video = embedded_video("a.mp4", unit(0, 5), spans, later_shots=[span_of(10.0, 20.0, shot=1)])
    # An image has no times, so no condition on them holds.
    index.replace_images([video, embedded("b.jpg", unit(1, 4))])
    conditions = parse_conditions(["kind=object", *filters])
    names = {str(record.object_id): place for place, record in enumerate(video.objects)}
    assert {names[point.id] for point in index.scroll(conditions)} == found
    assert index.count(conditions) == len(found)


def test_shots_are_points_of_their_video(index: PointIndex) -> None:
    later = [span_of(8.0, 12.0, shot=1), span_of(12.5, 20.0, shot=2)]
    video = embedded_video("a.mp4", unit(0, 4), [span_of(1.0, 2.0)], later_shots=later)
    index.replace_images([video])
    wholes = [point.parse_payload() for point in index.scroll(parse_conditions(["kind=image"]))]
    assert {(each.shot, each.t_start, each.t_end) for each in wholes} == {
        (0, 0.0, 7.5), (1, 8.0, 12.0), (2, 12.5, 20.0),
    }  # fmt: skip
    index.replace_images([embedded_video("a.mp4", unit(0, 2), [span_of(1.0, 2.0)])])
    assert index.count(parse_conditions(["kind=image"])) == 1


def test_hits_of_a_video_are_grouped(index: PointIndex) -> None:
    vectors = near(5)
    index.replace_images(
        [
            embedded_video("a.mp4", vectors[[4, 0, 2]], [span_of(0.0, 1.0), span_of(5.0, 9.0)]),
            embedded_video("b.mp4", vectors[[4, 1, 3]], [span_of(2.0, 3.0), span_of(4.0, 6.0)]),
        ]
    )
    query = IndexQuery(FIRST_AXIS, 2, parse_conditions(["kind=object"]), group_size=2)
    times = [(hit.payload.key, hit.payload.t_start) for hit in index.search(query)]
    assert times == [("a.mp4", 0.0), ("a.mp4", 5.0), ("b.mp4", 2.0), ("b.mp4", 4.0)]


@pytest.mark.parametrize("group_size", [None, 5])
def test_masks_of_other_frames_do_not_overlap(index: PointIndex, group_size: int | None) -> None:
    # The masks of `embedded` lie in one another.
    spans = [span_of(0.0, 4.0, 2.0), span_of(0.0, 4.0, 2.0), span_of(0.0, 4.0, 3.0)]
    index.replace_images([embedded_video("a.mp4", near(4), spans)])
    query = IndexQuery(
        FIRST_AXIS, 5, parse_conditions(["kind=object"]), max_overlap=0.5, group_size=group_size
    )
    hits = index.search(query)
    assert [hit.payload.t_key for hit in hits] == [2.0, 3.0]
    assert [hit.payload.ordinal for hit in hits] == [0, 2]
