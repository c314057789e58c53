"""Boxes as prompts: SamPredictor's masks for them, then points where these cover nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor
from support.colour_prompter import SHA, Asked, AskedView, ColourGuesses, painted

from pipeline.demo.scenes import compose
from pipeline.demo.sprites import bundled_sprites
from schemas.masks import CocoRle
from schemas.options import SegmenterOptions
from schemas.overlaps import mask_iou
from workers.models import catalog
from workers.models.sam_demo_architecture import build_sam_demo
from workers.models.weights import fill, read_weights
from workers.segmenters import sam_demo
from workers.segmenters.grid_segmenter import GridSegmenter


@dataclass
class Boxed(Asked):
    """A box is answered as a point in its middle; there is `room` for so many at once."""

    boxes: list[list[float]] = field(default_factory=list)
    room: int = 99

    def encode(self, images: list[np.ndarray]) -> list[AskedView]:
        prompter = self

        class View(AskedView):
            def guess(self, points_xy: np.ndarray) -> ColourGuesses:
                if points_xy.shape[1] == 2:
                    return super().guess(points_xy)
                if len(points_xy) > prompter.room:
                    raise torch.OutOfMemoryError("no room")
                prompter.boxes.extend(points_xy.tolist())
                return ColourGuesses(self.image, (points_xy[:, :2] + points_xy[:, 2:]) / 2)

        return [View(image, self.guesses, self.points) for image in images]


def segmenter_of(prompter: Asked, **changes: object) -> GridSegmenter:
    options = SegmenterOptions.model_validate({"points_per_side": 16, "device": "cpu", **changes})
    return GridSegmenter(prompter, weights_sha256=SHA, options=options)


SURE, UNSURE, OTHER = (4, 4, 20, 20, 250), (30, 4, 50, 20, 100), (8, 40, 40, 60, 245)


def test_every_box_gives_a_mask_and_points_are_asked_where_none_covers() -> None:
    image = painted(SURE, UNSURE, OTHER)
    prompter = Boxed()
    segmenter = segmenter_of(prompter)
    boxes = [(4.0, 4.0, 20.0, 20.0), (30.0, 4.0, 50.0, 20.0)]
    (found,) = segmenter.segment_with_boxes([image], [boxes])
    # No threshold holds for a box: points alone do not find what is unsure.
    assert [mask.bbox_xyxy for mask in found] == [OTHER[:4], UNSURE[:4], SURE[:4]]
    assert [mask.bbox_xyxy for mask in segmenter.segment([image])[0]] == [OTHER[:4], SURE[:4]]
    assert prompter.boxes == [list(box) for box in boxes]
    asked = prompter.points[:-256]  # the last are those of the whole grid
    assert asked
    for x, y in asked:
        assert not any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1, _ in (SURE, UNSURE))
    assert any(8 <= x < 40 and 40 <= y < 60 for x, y in asked)
    assert found[1].predicted_iou == pytest.approx(100 / 255)
    assert found[1].point_xy == (40, 12)


def test_an_image_without_boxes_is_asked_as_ever() -> None:
    image = painted(SURE, UNSURE, OTHER)
    plain, boxed = Boxed(), Boxed()
    wanted = segmenter_of(plain).segment([image, image])
    box = [(4.0, 4.0, 20.0, 20.0)]
    found = segmenter_of(boxed).segment_with_boxes([image, image], [[], box])
    assert found[0] == wanted[0]
    assert [mask.rle for mask in found[1]] == [mask.rle for mask in wanted[1]]
    assert len(boxed.boxes) == 1


def test_equal_masks_are_one_and_what_points_find_again_is_dropped() -> None:
    image = painted(SURE)
    image[8:16, 8:16] = (250, 10, 9)  # where points are asked: not in the mask around it
    box = (4.0, 4.0, 8.0, 8.0)
    (found,) = segmenter_of(Boxed()).segment_with_boxes([image], [[box, (4.0, 4.0, 9.0, 9.0)]])
    assert [mask.area_px for mask in found] == [192, 64]
    few = segmenter_of(Boxed(), max_objects=1)
    (found,) = few.segment_with_boxes([image], [[box, (4.0, 4.0, 9.0, 9.0)]])
    assert [mask.area_px for mask in found] == [192]


def test_where_memory_runs_out_fewer_boxes_are_asked_at_once() -> None:
    boxes = [(x, 4.0, x + 4, 20.0) for x in (4.0, 8.0, 12.0, 30.0, 40.0)]
    image = painted(SURE, UNSURE)
    runs = []
    for room in (99, 2, 1):
        prompter = Boxed(room=room)
        runs.append((segmenter_of(prompter).segment_with_boxes([image], [boxes]), prompter.boxes))
    assert runs[0] == runs[1] == runs[2]
    assert len(runs[0][1]) == 5
    with pytest.raises(torch.OutOfMemoryError):
        segmenter_of(Boxed(room=0)).segment_with_boxes([image], [boxes])


def test_crops_are_not_asked_where_masks_of_boxes_are() -> None:
    prompter = Boxed()
    segmenter = segmenter_of(prompter, crop_n_layers=1)
    boxes = [(0.0, 0.0, 64.0, 64.0)]
    (found,) = segmenter.segment_with_boxes([painted((0, 0, 64, 64, 200))], [boxes])
    assert [mask.area_px for mask in found] == [4096]
    assert prompter.points == []


def test_a_box_gives_the_mask_of_segment_anythings_own_predictor() -> None:
    image = compose(np.random.default_rng(3), bundled_sprites(), (333, 501)).image
    sam = build_sam_demo()
    fill(sam, read_weights(catalog.bundled_path(catalog.find("sam_demo"))), "sam_demo")
    predictor = SamPredictor(sam.eval())
    predictor.set_image(image)
    boxes = [(20.0, 30.0, 120.5, 160.0), (200.0, 100.0, 330.0, 260.25), (400.0, 20.0, 501.0, 333.0)]
    options = SegmenterOptions(device="cpu", precision="fp32", crop_n_layers=0, points_per_side=1)
    (found,) = sam_demo.build(options).segment_with_boxes([image], [boxes])
    for box in boxes:
        masks, scores, _ = predictor.predict(box=np.array(box), multimask_output=True)
        wanted = CocoRle.from_mask(masks[scores.argmax()])
        iou = mask_iou([mask.rle for mask in found], [wanted])[:, 0]
        assert iou.max() > 0.999
        assert found[iou.argmax()].predicted_iou == pytest.approx(scores.max(), abs=1e-4)
        assert found[iou.argmax()].point_xy == ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
