"""Masks of a video are compared with those of the same frame alone, whatever is searched for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from support.index_cases import embedded, one_index, unit
from support.index_videos import embedded_video, span_of

from pipeline.evaluation.search.judging import Answers, judge_hits
from pipeline.evaluation.search.query_result import Verdict
from pipeline.evaluation.search.true_objects import Target
from pipeline.search.found_objects import find_image, list_indexed
from pipeline.search.same_object import gather_object
from schemas.ids import image_id
from schemas.points import IndexQuery
from schemas.records import EmbeddedImage
from schemas.search import Condition
from workers.indexes.point_index import PointIndex

# Masks 0, 1 and 2 lie in one another, with an IoU of 0.8 and more.
VIDEO = embedded_video(
    "a.mp4", unit(3, 4), [span_of(0, 9, 0.1 + 0.2), span_of(0, 9, 0.1 + 0.2), span_of(0, 9, 7)]
)
IMAGE = embedded("b.jpg", unit(4, 4))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PointIndex]:
    with one_index("edge", tmp_path_factory.mktemp("frames")) as made:
        made.replace_images([VIDEO, IMAGE])
        yield made


def ids_of(image: EmbeddedImage, *places: int) -> set[str]:
    return {str(image.objects[place].object_id) for place in places}


@pytest.mark.parametrize(
    ("image", "place", "same"),
    [(VIDEO, 0, {0, 1}), (VIDEO, 2, {2}), (IMAGE, 0, {0, 1, 2})],
    ids=["two in a frame", "alone in its frame", "of an image"],
)
def test_all_masks_of_an_object_are_of_one_frame(
    index: PointIndex, image: EmbeddedImage, place: int, same: set[int]
) -> None:
    gathered = gather_object(index, image.objects[place].object_id, max_overlap=0.5)
    assert gathered is not None
    assert gathered.overlapping == ids_of(image, *same)
    vectors = [image.objects[each].vectors["clip"] for each in same]
    if len(same) == 1:
        np.testing.assert_allclose(gathered.vector, vectors[0], atol=1e-6)


def test_the_objects_of_a_shot_are_those_of_its_frame(index: PointIndex) -> None:
    frame = index.stored([VIDEO.objects[1].object_id])[VIDEO.objects[1].object_id]
    assert {found.object_id for found in list_indexed(index, frame)} == ids_of(VIDEO, 0, 1)
    image = find_image(index, str(image_id(IMAGE.ref)))
    assert {found.object_id for found in list_indexed(index, image)} == ids_of(IMAGE, 0, 1, 2)


def test_a_hit_shows_what_is_right_in_its_own_frame(index: PointIndex) -> None:
    wanted = VIDEO.objects[0]
    video = Condition(field="key", op="=", value="a.mp4")
    objects = Condition(field="kind", op="=", value="object")
    hits = index.search(IndexQuery(wanted.vectors["clip"], 9, (video, objects)))
    own = hits[0].payload
    target = Target(own.image_id, own.sound_mask(), str(wanted.object_id), t_key=own.t_key)
    verdicts = judge_hits(hits, Answers([target], 0.5))
    of_place = dict(zip((hit.payload.ordinal for hit in hits), verdicts, strict=True))
    assert of_place == {0: Verdict.RIGHT, 1: Verdict.AGAIN, 2: Verdict.WRONG}
