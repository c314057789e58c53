"""What images are segmented by."""

from __future__ import annotations

import numpy as np
import pytest
from support.colour_world import ColourSegmenter, paint
from support.segment_world import PromptableColours, models_of

from pipeline.search.source_images import query_image
from pipeline.segmentation.queries import (
    BoxesQuery,
    EverythingQuery,
    LabelsQuery,
    PromptQuery,
    SegmentQuery,
    TextQuery,
)
from pipeline.segmentation.segment import check_query, segment
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.labels import LabelEntry
from schemas.options import LabelOptions

PINK, BLUE = (10, 10, 40, 50), (60, 20, 100, 70)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("labels")
    (folder / "labels.txt").write_text("red\ngreen\nblue\n")
    labels = LabelOptions(names=str(folder / "labels.txt"))
    return Settings(labels=labels, cache_dir=folder)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> UInt8Image:
    folder = tmp_path_factory.mktemp("pictures")
    paint(folder)
    return query_image(str(folder / "two.png"), Settings()).pixels


def boxes(image: UInt8Image, query: SegmentQuery, settings: Settings) -> list[tuple[int, ...]]:
    return [mask.bbox_xyxy for mask in segment([image], query, models_of(settings))[0]]


def test_everything(two: UInt8Image, settings: Settings) -> None:
    assert boxes(two, EverythingQuery(), settings) == [BLUE, PINK]


def test_points_box_and_mask_are_one_prompt(two: UInt8Image, settings: Settings) -> None:
    segmenter = PromptableColours()
    mask = np.zeros(two.shape[:2], np.bool_)
    mask[25:35, 15:25] = True
    query = PromptQuery(((70.0, 30.0), (20.0, 20.0)), (1, 0), (1.0, 1.0, 9.0, 9.0), mask)
    (found,) = segment([two], query, models_of(settings, segmenter))[0]
    assert found.bbox_xyxy == BLUE
    assert segmenter.asked == [(query.points_xy, (1, 0), query.box_xyxy, True)]
    # A mask alone is asked with a click on the middle of it.
    (found,) = segment([two], PromptQuery(mask=mask), models_of(settings, segmenter))[0]
    assert found.bbox_xyxy == PINK
    (points, labels, box, fed_back) = segmenter.asked[-1]
    assert (labels, box, fed_back) == ((1,), None, True)
    assert mask[int(points[0][1]), int(points[0][0])]


def test_boxes_that_leave_the_image_are_cut(two: UInt8Image, settings: Settings) -> None:
    query = BoxesQuery(((55.0, 10.0, 300.0, 80.0), (-5.0, 0.0, 45.0, 55.0)))
    assert boxes(two, query, settings) == [BLUE, PINK]
    assert boxes(two, BoxesQuery(()), settings) == []
    with pytest.raises(UsageError, match="expected a box within 120 x 80 pixels"):
        boxes(two, BoxesQuery(((200.0, 0.0, 300.0, 9.0),)), settings)


def test_texts_are_told_from_the_labels(two: UInt8Image, settings: Settings) -> None:
    (found,) = segment([two], TextQuery(("blue",)), models_of(settings))[0]
    assert (found.bbox_xyxy, found.segmenter_label) == (BLUE, "blue")
    assert found.segmenter_score is not None
    assert found.segmenter_score > 0.9
    assert boxes(two, TextQuery(("green",)), settings) == []


def test_every_pixel_by_labels(two: UInt8Image, settings: Settings) -> None:
    query = LabelsQuery((LabelEntry("blue"), LabelEntry("pink"), LabelEntry("green")))
    found = segment([two], query, models_of(settings))[0]
    assert {(mask.bbox_xyxy, mask.segmenter_label) for mask in found} == {
        (BLUE, "blue"),
        (PINK, "pink"),
    }


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (PromptQuery(((1.0, 1.0),), (1,)), "expected a segmenter that takes points, boxes and mas"),
        (BoxesQuery(()), "expected a segmenter that takes boxes, got squares"),
        (TextQuery(("cyan",)), "expected a text of words that clip_demo has learnt, got 'cyan'"),
    ],
)
def test_what_no_model_can_do_is_told_at_once(
    query: SegmentQuery, sentence: str, settings: Settings
) -> None:
    with pytest.raises(UsageError, match=sentence):
        check_query(query, models_of(settings, ColourSegmenter()))


def test_without_a_list_no_text_can_be_told(settings: Settings) -> None:
    none = settings.model_copy(update={"labels": LabelOptions(names="none")})
    with pytest.raises(UsageError, match=r"got the setting labels\.names of none"):
        check_query(TextQuery(("blue",)), models_of(none))
