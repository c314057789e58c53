"""Every segmenter, held to the protocol; and the grid segmenter on a model that sees colours."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco
from safetensors.torch import save_file
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam
from support.colour_prompter import SHA, Cramped, colour_segmenter, painted
from support.tiny_sam import make_noise, make_tiny_sam
from support.tiny_segmenters import SAM2, write_folder

from pipeline.demo.bucket import write_bucket
from schemas.errors import UsageError
from schemas.images import ImageRef, UInt8Image
from schemas.masks import ObjectMask
from schemas.options import DecodeOptions, SegmenterOptions
from workers.images.decode import decode
from workers.models import catalog
from workers.models.sam_demo_architecture import build_sam_demo
from workers.models.weights import fill, read_weights
from workers.registry import build_segmenter
from workers.segmenter_protocols import Segmenter
from workers.segmenters import sam_demo
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.parameters import batch_sizes
from workers.segmenters.sam_demo import DEFAULTS
from workers.segmenters.sam_prompter import SamPrompter

EVERYTHING = SegmenterOptions(
    device="cpu",
    points_per_side=2,
    pred_iou_thresh=0,
    stability_score_thresh=0,
    stability_score_offset=0.001,
    max_area_frac=1,
)
BUNDLED = catalog.bundled_path(catalog.find("sam_demo"))


@pytest.fixture(scope="module")
def demo_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    state = build_sam_demo().state_dict()
    path = tmp_path_factory.mktemp("demo") / "random.safetensors"
    save_file({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, path)
    return path


@pytest.fixture(scope="module")
def sam2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(SAM2, tmp_path_factory.mktemp("sam2") / "tiny")


@pytest.fixture(scope="module", params=["vit", "sam_demo", "sam2"])
def build(
    request: pytest.FixtureRequest, demo_checkpoint: Path, sam2_folder: Path
) -> Callable[..., Segmenter]:
    def of(**changes: object) -> Segmenter:
        options = EVERYTHING.model_copy(update=changes)
        if request.param == "sam2":
            of_sam2 = {"name": SAM2.name, "checkpoint": str(sam2_folder)}
            return build_segmenter(options.model_copy(update=of_sam2))
        if request.param == "vit":
            return GridSegmenter(
                SamPrompter(make_tiny_sam(), "cpu"), weights_sha256=SHA, options=options
            )
        return build_segmenter(options.model_copy(update={"checkpoint": str(demo_checkpoint)}))

    return of


def check(mask: ObjectMask, image: UInt8Image) -> None:
    pixels = mask.rle.decode()
    assert pixels.shape == image.shape[:2]
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    tight = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert mask.bbox_xyxy == tight
    assert all(type(side) is int for side in mask.bbox_xyxy)
    encoded = {"size": list(mask.rle.size_hw), "counts": mask.rle.counts}
    assert mask.area_px == pixels.sum() == coco.area(encoded)
    assert math.isfinite(mask.predicted_iou)
    assert 0 <= mask.stability_score <= 1
    height, width = image.shape[:2]
    assert 0 <= mask.point_xy[0] <= width
    assert 0 <= mask.point_xy[1] <= height


def test_contract(build: Callable[..., Segmenter]) -> None:
    images = [
        make_noise(37, 91),
        make_noise(91, 37),
        make_noise(1, 1),
        make_noise(1, 300),
        make_noise(2, 3),
    ]
    segmenter = build()
    found = segmenter.segment(images)
    assert len(found) == len(images)
    assert sum(map(len, found)) > 0
    for image, masks in zip(images, found, strict=True):
        for mask in masks:
            check(mask, image)
        assert len({mask.rle for mask in masks}) == len(masks)
        order = [(-mask.area_px, mask.bbox_xyxy, mask.rle.counts) for mask in masks]
        assert order == sorted(order)
    assert segmenter.segment([images[0]]) == found[:1]
    assert build().segment(images[:1]) == found[:1]


def test_contract_of_nothing(build: Callable[..., Segmenter]) -> None:
    assert build().segment([]) == []
    assert build(pred_iou_thresh=1.0).segment([make_noise(20, 30)]) == [[]]


def test_fingerprint_covers_what_changes_the_result(build: Callable[..., Segmenter]) -> None:
    same = build()
    assert len(same.fingerprint) == 16
    speeds = {"points_per_batch": 3}, {"images_per_batch": 3}, {"precision": "bf16"}
    assert {build(**speed).fingerprint for speed in speeds} == {same.fingerprint}
    changes = [{"points_per_side": 3}, {"box_nms_thresh": 0.5}, {"max_objects": 9}]
    changes += [{"min_mask_region_area": 9}, {"max_area_frac": 0.5}, {"mask_nms_thresh": 0.5}]
    changes += [{"part_thresh": 0.5}, {"levels": "wholes"}]
    prints = {build(**change).fingerprint for change in changes} | {same.fingerprint}
    assert len(prints) == len(changes) + 1


def test_fingerprint_covers_weights_and_not_the_way_a_default_is_written() -> None:
    options = SegmenterOptions(name="sam_vit_b", device="cpu")
    spelled = options.model_copy(update={"points_per_side": 32, "pred_iou_thresh": 0.88})
    prints = [
        GridSegmenter(
            SamPrompter(make_tiny_sam(), "cpu"), weights_sha256=sha, options=chosen
        ).fingerprint
        for sha, chosen in [(SHA, options), (SHA, spelled), ("1" * 64, options)]
    ]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.long
@pytest.mark.parametrize("batch", [2, 9])
def test_images_encoded_at_once_are_segmented_each_on_its_own(
    build: Callable[..., Segmenter], batch: int
) -> None:
    images = [make_noise(37, 91), make_noise(64, 64), make_noise(80, 20)]
    one_by_one = build(crop_n_layers=1).segment(images)
    together = build(crop_n_layers=1, images_per_batch=batch).segment(images)
    assert sum(map(len, one_by_one)) > 0
    for alone, beside in zip(one_by_one, together, strict=True):
        assert [mask.point_xy for mask in alone] == [mask.point_xy for mask in beside]
        for lone_mask, other_mask in zip(alone, beside, strict=True):
            assert other_mask.predicted_iou == pytest.approx(lone_mask.predicted_iou, abs=1e-4)


def test_fewer_images_are_encoded_at_once_where_there_is_no_room() -> None:
    images = [painted((0, 0, 10 + side, 20, 240)) for side in range(9)]
    options = SegmenterOptions(device="cpu", points_per_side=8, images_per_batch=5)
    wanted = colour_segmenter(points_per_side=8).segment(images)
    prompter = Cramped(2)
    segmenter = GridSegmenter(prompter, weights_sha256=SHA, options=options)
    assert segmenter.segment(images) == wanted
    assert prompter.tried == [5, 3, 2, 1, 2, 2, 2]
    with pytest.raises(torch.OutOfMemoryError):
        GridSegmenter(Cramped(0), weights_sha256=SHA, options=options).segment(images)


def test_fewer_points_are_prompted_at_once_where_there_is_no_room() -> None:
    images = [painted((0, 0, 10 + side, 20, 240), (40, 40, 60, 60, 250)) for side in range(2)]
    options = SegmenterOptions(device="cpu", points_per_side=8, points_per_batch=64)
    wanted = colour_segmenter(points_per_side=8).segment(images)
    for room in (63, 5, 1):
        prompter = Cramped(1, room_for_points=room)
        assert (
            GridSegmenter(prompter, weights_sha256=SHA, options=options).segment(images) == wanted
        )
    hopeless = Cramped(1, room_for_points=0)
    with pytest.raises(torch.OutOfMemoryError):
        GridSegmenter(hopeless, weights_sha256=SHA, options=options).segment(images)


@pytest.mark.long
def test_bfloat16_finds_the_same_objects(tmp_path: Path) -> None:
    truth = write_bucket(tmp_path, 1, seed=3)
    image = np.asarray(Image.open(tmp_path / truth.images[0].file_name))
    found = {}
    for precision in ("fp32", "bf16"):
        options = SegmenterOptions(device="cpu", precision=precision, points_per_side=12)
        masks = build_segmenter(options).segment([image])[0]
        for mask in masks:
            check(mask, image)
        found[precision] = [{"size": m.rle.size_hw, "counts": m.rle.counts} for m in masks]
    iou = coco.iou(found["fp32"], found["bf16"], [0] * len(found["bf16"]))
    assert len(iou) > 3
    assert np.median(iou.max(axis=1)) > 0.97
    assert np.median(iou.max(axis=0)) > 0.97


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        ("fast", {"points_per_side": 16, "crop_n_layers": 0, "prompts": "adaptive"}),
        ("balanced", {}),
        ("thorough", {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2}),
    ],
)
def test_a_preset_stands_for_the_packages_own_parameters(
    preset: str, parameters: dict[str, float]
) -> None:
    def fingerprint(**chosen: object) -> str:
        options = SegmenterOptions(name="sam_vit_b", device="cpu", **chosen)
        prompter = SamPrompter(make_tiny_sam(), "cpu")
        return GridSegmenter(prompter, weights_sha256=SHA, options=options).fingerprint

    assert fingerprint(preset=preset) == fingerprint(**parameters)
    named = {"preset": preset, "points_per_side": 9}
    assert fingerprint(**named) == fingerprint(**parameters | {"points_per_side": 9})


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 200), (200, 1), (3, 5), (64, 2), (17, 33)])
@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("pred_iou_thresh", [0.0, 1.0])
def test_any_size_with_any_crops(
    size_hw: tuple[int, int], layers: int, pred_iou_thresh: float
) -> None:
    options = EVERYTHING.model_copy(
        update={"crop_n_layers": layers, "pred_iou_thresh": pred_iou_thresh}
    )
    segmenter = GridSegmenter(
        SamPrompter(make_tiny_sam(), "cpu"), weights_sha256=SHA, options=options
    )
    image = make_noise(*size_hw)
    for mask in segmenter.segment([image])[0]:
        check(mask, image)
        assert pred_iou_thresh < 1


def test_rectangles_are_found_exactly_largest_first() -> None:
    image = painted((0, 0, 20, 30, 240), (40, 40, 64, 64, 250), (30, 4, 34, 9, 230))
    masks = colour_segmenter().segment([image])[0]
    boxes = [mask.bbox_xyxy for mask in masks]
    assert boxes == [(0, 0, 20, 30), (40, 40, 64, 64), (30, 4, 34, 9)]
    assert [mask.area_px for mask in masks] == [600, 576, 20]
    ious = [mask.predicted_iou for mask in masks]
    assert ious == pytest.approx([240 / 255, 250 / 255, 230 / 255])
    for mask in masks:
        check(mask, image)
        x, y = (int(value) for value in mask.point_xy)
        assert mask.rle.decode()[y, x]


def test_crops_find_what_lies_between_the_points() -> None:
    image = painted((0, 0, 20, 30, 240), (50, 50, 57, 57, 250))
    whole = colour_segmenter(points_per_side=2).segment([image])[0]
    crops = colour_segmenter(points_per_side=2, crop_n_layers=1).segment([image])[0]
    assert [mask.bbox_xyxy for mask in whole] == [(0, 0, 20, 30)]
    (small,) = [mask for mask in crops if mask.predicted_iou > 0.97]
    check(small, image)
    pixels = small.rle.decode()
    assert pixels[50:57, 50:57].sum() == small.area_px >= 25


def test_a_grey_file_is_segmented_as_any_other() -> None:
    file = io.BytesIO()
    Image.fromarray(painted((10, 10, 40, 30, 240))[..., 0]).save(file, "PNG")
    ref = ImageRef("file", "", "grey.png", "1", len(file.getvalue()))
    image = decode(file.getvalue(), ref, DecodeOptions()).pixels
    (square,) = colour_segmenter().segment([image])[0]
    assert (square.bbox_xyxy, square.area_px) == ((10, 10, 40, 30), 600)


def test_area_limits_come_before_the_best_are_kept() -> None:
    image = painted((0, 0, 40, 40, 255), (44, 0, 64, 20, 230), (44, 30, 60, 46, 250))
    image[52:60, 4:12] = (254, 1, 1)
    limits = {"min_area_frac": 100 / 4096, "max_area_frac": 1000 / 4096}
    boxes = [(44, 0, 64, 20), (44, 30, 60, 46)]
    found = colour_segmenter(**limits).segment([image])[0]
    assert [mask.bbox_xyxy for mask in found] == boxes
    best = colour_segmenter(**limits, max_objects=1).segment([image])[0]
    assert [mask.bbox_xyxy for mask in best] == boxes[1:]


def test_small_regions_are_removed() -> None:
    image = painted((0, 0, 30, 30, 240))
    image[10:12, 10:12] = 0
    image[50:52, 50:52] = image[0, 0]
    plain = colour_segmenter().segment([image])[0]
    cleaned = colour_segmenter(min_mask_region_area=10).segment([image])[0]
    assert [(mask.bbox_xyxy, mask.area_px) for mask in plain] == [((0, 0, 52, 52), 900)]
    assert [(mask.bbox_xyxy, mask.area_px) for mask in cleaned] == [((0, 0, 30, 30), 900)]
    check(cleaned[0], image)
    assert colour_segmenter(min_mask_region_area=10).segment([make_noise(64, 64) * 0]) == [[]]


def pairs_with_the_packages(
    model: Sam, image: UInt8Image, **parameters: float
) -> list[tuple[ObjectMask, dict[str, Any]]]:
    """Each of our masks with the package's that it agrees with, and none left over.

    A pixel whose logit is 0 but for rounding may differ.
    """
    options = SegmenterOptions(device="cpu", max_area_frac=1, max_objects=10**6, **parameters)
    ours = GridSegmenter(SamPrompter(model, "cpu"), weights_sha256=SHA, options=options)
    found = ours.segment([image])[0]
    notes = SamAutomaticMaskGenerator(model, output_mode="coco_rle", **parameters).generate(image)
    distinct = {note["segmentation"]["counts"]: note for note in notes if note["area"]}
    wanted = list(distinct.values())
    assert len(found) == len(wanted) > 0
    our_rles = [{"size": mask.rle.size_hw, "counts": mask.rle.counts} for mask in found]
    iou = coco.iou(our_rles, [note["segmentation"] for note in wanted], [0] * len(wanted))
    assert (iou.max(axis=1) >= 0.99).all()
    assert sorted(iou.argmax(axis=1)) == list(range(len(wanted)))
    return [(mask, wanted[at]) for mask, at in zip(found, iou.argmax(axis=1), strict=True)]


@pytest.mark.parametrize("size_hw", [(37, 91), (120, 64), (64, 64), (200, 333)])
@pytest.mark.parametrize("layers", [0, 1])
def test_masks_are_the_packages(size_hw: tuple[int, int], layers: int) -> None:
    model = make_tiny_sam()
    for name, weights in model.mask_decoder.named_parameters():
        if "q_proj" in name or "k_proj" in name or "hypernetworks" in name:
            weights.data *= 3  # so that masks depend on their points
    pairs = pairs_with_the_packages(
        model, make_noise(*size_hw), points_per_side=6, points_per_batch=5, crop_n_layers=layers,
        pred_iou_thresh=0.0, stability_score_thresh=0.1, stability_score_offset=0.01,
        box_nms_thresh=0.9, crop_nms_thresh=0.9,
    )  # fmt: skip
    for mask, note in pairs:
        assert mask.area_px == pytest.approx(note["area"], rel=0.01)
        assert mask.point_xy == pytest.approx(note["point_coords"][0])
        assert mask.predicted_iou == pytest.approx(note["predicted_iou"], abs=1e-5)
        assert mask.stability_score == pytest.approx(note["stability_score"], abs=0.01)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_the_bundled_models_masks_are_the_packages(seed: int, tmp_path: Path) -> None:
    truth = write_bucket(tmp_path, 1, seed)
    image = np.asarray(Image.open(tmp_path / truth.images[0].file_name))
    model = build_sam_demo()
    fill(model, read_weights(BUNDLED), "sam_demo")
    # The package needs OpenCV for small regions, and does not hold masks against each other.
    left_out = "min_mask_region_area", "mask_nms_thresh", "part_thresh"
    parameters = {name: value for name, value in DEFAULTS.items() if name not in left_out}
    # A quarter of the points: the package's own way with each takes a second a batch.
    parameters |= {"points_per_side": 16, "points_per_batch": 16}
    pairs = pairs_with_the_packages(model.eval(), image, **parameters)
    equal = [mask.rle.counts == note["segmentation"]["counts"] for mask, note in pairs]
    assert np.mean(equal) > 0.8


@pytest.mark.long
def test_masks_traced_as_on_an_accelerator_are_the_same(tmp_path: Path) -> None:
    truth = write_bucket(tmp_path, 1, 3)
    image = np.asarray(Image.open(tmp_path / truth.images[0].file_name))
    options = SegmenterOptions(device="cpu", precision="fp32", points_per_side=12)
    here, there = (sam_demo.build(options) for _ in range(2))
    there._prompter.device = torch.device("cuda")  # where it says that its logits lie
    wanted, found = (segmenter.segment([image])[0] for segmenter in (here, there))
    assert len(found) == len(wanted) > 3
    equal = [a.rle == b.rle for a, b in zip(wanted, found, strict=True)]
    assert np.mean(equal) > 0.8
    for mask, other in zip(wanted, found, strict=True):
        assert other.predicted_iou == mask.predicted_iou
        assert other.bbox_xyxy == mask.bbox_xyxy
        assert other.area_px == pytest.approx(mask.area_px, rel=0.001)
        assert other.stability_score == pytest.approx(mask.stability_score, abs=0.001)


def test_an_accelerator_takes_more_at_once() -> None:
    assert batch_sizes("cpu") == {"points_per_batch": 16}
    assert batch_sizes("cuda")["images_per_batch"] > 1


def test_crops_without_points_are_refused() -> None:
    with pytest.raises(UsageError, match=r"points_per_side 2 .* at least 4"):
        colour_segmenter(points_per_side=2, crop_n_layers=2, crop_n_points_downscale_factor=2)


def test_the_bundled_model_finds_a_disc() -> None:
    y, x = np.mgrid[:240, :320]
    disc = (x - 200) ** 2 + (y - 100) ** 2 < 50**2
    image = np.where(disc[:, :, None], (200, 30, 30), (90, 160, 90)).astype(np.uint8)
    masks = build_segmenter(SegmenterOptions(device="cpu", points_per_side=8)).segment([image])[0]
    overlaps = [(mask.rle.decode() & disc).sum() for mask in masks]
    unions = [(mask.rle.decode() | disc).sum() for mask in masks]
    assert max(a / b for a, b in zip(overlaps, unions, strict=True)) > 0.85
