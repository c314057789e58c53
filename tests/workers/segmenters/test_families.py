"""Every family of segmenters that know classes, or need no model, in one contract."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from pycocotools import mask as coco
from safetensors.torch import load_file, save_file
from support.tiny_segmenters import FAMILIES, NAMES, Family, write_folder

from schemas.errors import ModelError, UsageError
from schemas.images import UInt8Image
from schemas.masks import BoolMask, ObjectMask
from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.weights import read_weights
from workers.registry import build_segmenter, check_segmenter
from workers.segmenter_protocols import BoxSegmenter, Segmenter, stuff_labels_of
from workers.segmenters import mask_rcnn
from workers.segmenters.heads.classes import Classes, read_classes
from workers.segmenters.heads.pasted_masks import paste_mask
from workers.segmenters.oneformer import TASK_TOKENS

SURE_OF_ALL = {
    "device": "cpu", "score_thresh": 0.0, "overlap_mask_area_threshold": 0.0, "max_area_frac": 1.0,
    "min_mask_region_area": 1,
}  # fmt: skip
BY_NAME = {family.name: family for family in FAMILIES}
Build = Callable[..., Segmenter]


def noise(height: int, width: int) -> UInt8Image:
    rng = np.random.default_rng(height * 10_000 + width)
    blocks = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width].copy()


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Family], Path]:
    """The files of a family's tiny model, written at most once."""
    root, written = tmp_path_factory.mktemp("families"), {}

    def folder_of(family: Family) -> Path:
        if family.name not in written:
            written[family.name] = write_folder(family, root / family.name)
        return written[family.name]

    return folder_of


def tiny_mask_rcnn() -> torch.nn.Module:
    torch.manual_seed(3)
    backbone = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 8, 1), torch.nn.ReLU())
    backbone.out_channels = 8
    align = torchvision.ops.MultiScaleRoIAlign
    model = torchvision.models.detection.MaskRCNN(
        backbone, min_size=64, max_size=128,
        rpn_anchor_generator=torchvision.models.detection.anchor_utils.AnchorGenerator(((16, 32),)),
        box_roi_pool=align(["0"], 3, 2), mask_roi_pool=align(["0"], 4, 2),
        box_head=torchvision.models.detection.faster_rcnn.TwoMLPHead(8 * 9, 16),
        box_predictor=torchvision.models.detection.faster_rcnn.FastRCNNPredictor(16, 6),
        mask_head=torch.nn.Sequential(torch.nn.Conv2d(8, 16, 3, 1, 1), torch.nn.ReLU()),
        mask_predictor=torchvision.models.detection.mask_rcnn.MaskRCNNPredictor(16, 8, 6),
        rpn_post_nms_top_n_test=10,
    )  # fmt: skip
    return model


def options_of(name: str, changes: dict[str, object]) -> SegmenterOptions:
    return SegmenterOptions.model_validate({"name": name, **SURE_OF_ALL, **changes})


@pytest.fixture(params=[*BY_NAME, "mask_rcnn", "grid"])
def build(request: pytest.FixtureRequest, folders: Callable[[Family], Path]) -> Build:
    name = request.param

    def of(**changes: object) -> Segmenter:
        if name == "mask_rcnn":
            options = options_of("maskrcnn_resnet50_fpn", changes)
            sha256 = str(changes.get("checkpoint", ""))
            return mask_rcnn.build_from(tiny_mask_rcnn(), Classes((None, *NAMES)), options, sha256)
        if name == "grid":
            return build_segmenter(options_of(name, changes))
        return build_segmenter(
            options_of(name, {"checkpoint": str(folders(BY_NAME[name])), **changes})
        )

    of.name = name  # type: ignore[attr-defined]
    return of


def check(mask: ObjectMask, image: UInt8Image, has_classes: bool) -> None:
    pixels = mask.rle.decode()
    assert pixels.shape == image.shape[:2]
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    assert mask.bbox_xyxy == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    encoded = {"size": list(mask.rle.size_hw), "counts": mask.rle.counts}
    assert mask.area_px == pixels.sum() == coco.area(encoded)
    assert mask.predicted_iou is None
    assert mask.stability_score is None
    if has_classes:
        assert mask.segmenter_label in NAMES
        assert 0 <= mask.segmenter_score <= 1
    else:
        assert mask.segmenter_label is mask.segmenter_score is None


def test_contract(build: Build) -> None:
    images = [noise(37, 91), noise(91, 37), noise(1, 1), noise(1, 200), noise(64, 64)]
    segmenter = build()
    found = segmenter.segment(images)
    assert len(found) == len(images)
    assert found[0]
    assert found[4]
    for image, masks in zip(images, found, strict=True):
        for mask in masks:
            check(mask, image, has_classes=build.name != "grid")
        assert len({mask.rle for mask in masks}) == len(masks)
        order = [(-mask.area_px, mask.bbox_xyxy, mask.rle.counts) for mask in masks]
        assert order == sorted(order)
    assert segmenter.segment([images[1]]) == found[1:2]
    assert build().segment(images[:1]) == found[:1]
    assert segmenter.segment([]) == []


def test_limits_and_a_point(build: Build) -> None:
    image = noise(64, 96)
    (masks,) = build().segment([image])
    (few,) = build(max_objects=1).segment([image])
    assert len(few) == 1
    assert few[0].sureness == max(mask.sureness for mask in masks)
    (large,) = build(min_area_frac=0.05).segment([image])
    assert all(mask.area_px >= 0.05 * 64 * 96 for mask in large)
    x, y = np.argwhere(masks[-1].rle.decode())[0][::-1].tolist()
    assert build().segment_at(image, (x + 0.5, y + 0.5)) == masks[-1]
    with pytest.raises(UsageError, match="96 x 64 pixels, got 96,3"):
        build().segment_at(image, (96.0, 3.0))


def test_fingerprint_covers_what_changes_the_result(build: Build) -> None:
    same = build().fingerprint
    assert len(same) == 16
    alike = {"accept_licence": True}, {"precision": "bf16"}, {"images_per_batch": 3}
    assert {build(**change).fingerprint for change in alike} == {same}
    changes = [{"max_objects": 9}, {"max_area_frac": 0.5}]
    name = build.name
    if name == "grid":
        changes += [{"tiles_per_side": 3}]
    elif "segformer" in name or "semantic" in name:
        changes += [{"regions": "whole"}, {"min_mask_region_area": 3}]
    else:
        changes += [{"score_thresh": 0.1}, {"mask_thresh": 0.4}]
    if "panoptic" in name:
        changes += [{"overlap_mask_area_threshold": 0.5}, {"task": "instance"}]
    if name == "mask_rcnn":
        changes += [{"checkpoint": "1" * 64}]
    prints = {build(**change).fingerprint for change in changes} | {same}
    assert len(prints) == len(changes) + 1


@pytest.mark.parametrize("name", BY_NAME)
def test_fingerprint_covers_weights_and_preparation(
    name: str, folders: Callable[[Family], Path], tmp_path: Path
) -> None:
    def fingerprint(folder: Path) -> str:
        options = SegmenterOptions(name=name, device="cpu", checkpoint=str(folder))
        return build_segmenter(options).fingerprint

    source = folders(BY_NAME[name])
    before = fingerprint(source)
    copy = shutil.copytree(source, tmp_path / "copy")
    assert fingerprint(copy) == before
    (copy / "preprocessor_config.json").write_text('{"size": {"height": 96, "width": 96}}')
    resized = fingerprint(copy)
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    first = next(key for key in tensors if key.endswith("weight"))
    save_file({**tensors, first: tensors[first] + 1}, copy / "model.safetensors")
    assert len({before, resized, fingerprint(copy)}) == 3


def test_a_file_of_weights_stands_for_its_folder(folders: Callable[[Family], Path]) -> None:
    folder = folders(BY_NAME["segformer_b0_ade"])
    options = SegmenterOptions(name="segformer_b0_ade", device="cpu", checkpoint=str(folder))
    file = options.model_copy(update={"checkpoint": str(folder / "model.safetensors")})
    assert build_segmenter(file).fingerprint == build_segmenter(options).fingerprint


def test_weights_of_another_architecture_are_refused(
    folders: Callable[[Family], Path], tmp_path: Path
) -> None:
    source = folders(BY_NAME["segformer_b0_ade"])
    for name in ("eomt_coco_panoptic_s", "rf_detr_seg_nano"):
        options = SegmenterOptions(name=name, device="cpu", checkpoint=str(source))
        with pytest.raises(ModelError, match=name):
            build_segmenter(options)
    broken = shutil.copytree(source, tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    tensors = load_file(source / "model.safetensors")
    tensors.pop("decode_head.classifier.bias")
    save_file(tensors, broken / "model.safetensors")
    options = SegmenterOptions(name="segformer_b0_ade", device="cpu", checkpoint=str(broken))
    with pytest.raises(ModelError, match=r"1 tensors are missing.*'decode_head.classifier.bias'"):
        build_segmenter(options)
    (broken / "config.json").write_text('{"hidden_sizes": "many"}')
    with pytest.raises(ModelError, match="segformer_b0_ade's"):
        build_segmenter(options)
    (broken / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config.json cannot be read: No such file"):
        check_segmenter(options)


def test_licences_are_accepted_or_refused() -> None:
    restricted = [entry.name for entry in catalog.CATALOG if entry.restriction]
    assert len(restricted) == 24
    for name in restricted:
        options = SegmenterOptions(name=name, device="cpu")
        for use in (check_segmenter, build_segmenter):
            with pytest.raises(UsageError, match=f"the weights of {name} are (not )?for"):
                use(options)
        check_segmenter(options.model_copy(update={"accept_licence": True}))
    with pytest.raises(UsageError, match=r"NVIDIA Source Code License: --accept-licence"):
        check_segmenter(SegmenterOptions(name="segformer_b2_ade"))


def test_tasks_that_a_model_cannot_do_are_refused(folders: Callable[[Family], Path]) -> None:
    def build(name: str, task: str) -> Segmenter:
        folder = str(folders(BY_NAME[name]))
        return build_segmenter(
            SegmenterOptions(name=name, device="cpu", checkpoint=folder, task=task)
        )

    with pytest.raises(UsageError, match="expected semantic for segformer_b0_ade, got panoptic"):
        build("segformer_b0_ade", "panoptic")
    with pytest.raises(UsageError, match="expected instance for rf_detr_seg_nano, got semantic"):
        build("rf_detr_seg_nano", "semantic")
    with pytest.raises(UsageError, match=r"expected semantic .*in parts, got instance"):
        build("eomt_ade_semantic_l", "instance")


def test_instances_are_things(folders: Callable[[Family], Path]) -> None:
    folder = str(folders(BY_NAME["eomt_coco_panoptic_s"]))
    options = options_of("eomt_coco_panoptic_s", {"checkpoint": folder, "task": "instance"})
    (masks,) = build_segmenter(options).segment([noise(64, 64)])
    assert {mask.segmenter_label for mask in masks} <= {"cat", "dog", "mug"}


def test_a_segmenter_knows_its_stuff(folders: Callable[[Family], Path]) -> None:
    folder = str(folders(BY_NAME["eomt_coco_panoptic_s"]))
    options = options_of("eomt_coco_panoptic_s", {"checkpoint": folder})
    refined = options.model_copy(update={"refine": ("tidy",)})
    for each in (options, refined):
        assert stuff_labels_of(build_segmenter(each)) == {"sky", "grass"}
    assert stuff_labels_of(build_segmenter(SegmenterOptions(name="grid"))) == frozenset()


def test_the_tasks_of_oneformer_are_in_the_tokens_of_clip() -> None:
    from open_clip import get_tokenizer

    for task, tokens in TASK_TOKENS.items():
        theirs = get_tokenizer("ViT-B-32")([f"the task is {task}"])[0].tolist()
        assert theirs == [*tokens, *[0] * (77 - len(tokens))]


def test_tiles_cover_the_image_once() -> None:
    (tiles,) = build_segmenter(
        SegmenterOptions(name="grid", device="cpu", tiles_per_side=3, max_area_frac=1)
    ).segment([noise(10, 8)])
    assert len(tiles) == 9
    assert (sum(tile.rle.decode().astype(int) for tile in tiles) == 1).all()
    (pixel,) = build_segmenter(
        SegmenterOptions(name="grid", device="cpu", max_area_frac=1)
    ).segment([noise(1, 1)])
    assert [tile.bbox_xyxy for tile in pixel] == [(0, 0, 1, 1)]


def test_boxes_are_masks() -> None:
    segmenter = build_segmenter(SegmenterOptions(name="boxes", device="cpu"))
    assert isinstance(segmenter, BoxSegmenter)
    images = [noise(20, 30), noise(10, 10)]
    assert segmenter.segment(images) == [[], []]
    boxes = [[(1.0, 2.0, 11.4, 12.0), (0.0, 0.0, 30.0, 20.0), (9.9, 9.95, 10.0, 10.0)], []]
    first, second = segmenter.segment_with_boxes(images, boxes)
    assert [mask.bbox_xyxy for mask in first] == [
        (0, 0, 30, 20),
        (1, 2, 11, 12),
        (9, 9, 10, 10),
    ]
    assert [mask.area_px for mask in first] == [600, 100, 1]
    assert second == []
    assert segmenter.segment_at(images[0], (3.0, 3.0)) is None


def test_boxes_are_as_fine_in_bfloat16() -> None:
    def detect(precision: str) -> dict[str, torch.Tensor]:
        model, detected = tiny_mask_rcnn(), []
        model.transform.min_size, model.transform.max_size = (512,), 1024
        model.roi_heads.register_forward_hook(lambda module, args, found: detected.append(found[0]))
        options = options_of("maskrcnn_resnet50_fpn", {"precision": precision})
        mask_rcnn.build_from(model, Classes((None, *NAMES)), options, "").segment([noise(64, 96)])
        ((found,),) = detected
        return found

    exact, low = detect("fp32"), detect("bf16")
    assert low["boxes"].dtype == torch.float32
    # Random scores are close to each other, so that others may come first.
    apart = (exact["boxes"][:, None] - low["boxes"]).abs().amax(dim=2).amin(dim=1)
    assert apart.median() < 0.01


def box_of_whole_pixels(box: torch.Tensor) -> np.ndarray:
    """Where torchvision pastes: the box is padded by a place of its 28, then rounded outwards."""
    middle, half = (box[2:] + box[:2]) / 2, (box[2:] - box[:2]) / 2 * (30 / 28)
    first, end = (middle - half).long(), (middle + half).long() + 1
    place = (end - first) / 30
    return torch.cat([first + place, end - place]).numpy()


def count_beyond_a_pixel(mask: BoolMask, other: BoolMask) -> int:
    """The pixels of which `other` says what `mask` does of none that is next to them."""
    padded = np.pad(mask, 1)
    (height, width), steps = mask.shape, range(3)
    around = [padded[y : y + height, x : x + width] for y in steps for x in steps]
    return int((other & ~np.any(around, axis=0)).sum() + (~other & np.all(around, axis=0)).sum())


@pytest.mark.long
@pytest.mark.parametrize("name", ["maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"])
def test_torchvisions_own_weights_and_masks(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = getattr(torchvision.models.detection, name)(
        weights=None, weights_backbone=None, box_detections_per_img=20, box_score_thresh=0.0
    ).eval()
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    options = SegmenterOptions(
        name=name, device="cpu", checkpoint=str(tmp_path / "weights.pth"), score_thresh=0.0
    )
    finder = build_segmenter(options)._finder
    ours = finder._model
    assert sorted(read_weights(tmp_path / "weights.pth")) == sorted(ours.state_dict())
    ours.roi_heads.detections_per_img = 20
    small: list[dict[str, torch.Tensor]] = []  # detections in the frame, masks before pasting
    for roi_heads in (ours.roi_heads, model.roi_heads):
        roi_heads.register_forward_hook(lambda module, args, found: small.append({**found[0][0]}))
    # Twice as large as its frame: with boxes of many pixels, most masks are coarser than these.
    size_hw = (1600, 2400)
    image = noise(40, 60).repeat(40, axis=0).repeat(40, axis=1)
    found = finder.find(image)
    with torch.inference_mode():
        (theirs,) = model([torch.tensor(image).permute(2, 0, 1) / 255])

    assert set(small[0]) == {"boxes", "labels", "scores", "masks"}
    assert small[0]["masks"].shape == (20, 1, 28, 28)
    torch.testing.assert_close(small[0], small[1])
    names = read_classes({}, 91).names
    assert [mask.segmenter_label for mask in found] == [names[at] for at in theirs["labels"]]
    np.testing.assert_allclose([mask.segmenter_score for mask in found], theirs["scores"])
    beyond, areas = [], []
    for at, mask in enumerate(found):
        box, soft = theirs["boxes"][at], theirs["masks"][at, 0]
        pasted = (soft >= 0.5).numpy()
        # Theirs is what ours would be in a box of whole pixels, but for rounding at the threshold.
        low = small[0]["masks"][at, 0].numpy()
        same = paste_mask(low, box_of_whole_pixels(box), size_hw, 0.5).decode()
        assert not ((same != pasted) & ((soft - 0.5).abs() > 1e-4).numpy()).any()
        if (box[2:] - box[:2]).min() < 2 * 28:
            continue  # the noise of random weights is as fine as the pixels
        beyond.append(count_beyond_a_pixel(mask.rle.decode(), pasted))
        areas.append(pasted.sum())
    assert len(areas) >= 5
    # Theirs fills a box that is less than a pixel larger on each side, so that every pixel shows
    # what ours has less than a pixel away; between the middles of pixels there may be finer noise.
    assert sum(beyond) <= 0.001 * sum(areas)
