"""A `Segmenter` over segment-anything's own automatic mask generator."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam
from segment_anything.utils.amg import generate_crop_boxes
from segment_anything.utils.transforms import ResizeLongestSide
from torchvision.ops import nms

from schemas.errors import UsageError
from schemas.ids import fingerprint
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.options import SegmenterOptions
from workers.segmenters.regions import remove_small_regions

_MAX_LOGITS = 1 << 27  # mask logits of one batch of points: half a GiB of float32
_SPEED_ONLY = {"points_per_batch"}
_LIMITS = ("max_objects", "min_area_frac", "max_area_frac")


class _Transform(ResizeLongestSide):  # type: ignore[misc]
    """Coordinates in float32, for devices without float64."""

    def apply_coords(self, coords: Any, original_size: tuple[int, ...]) -> Any:
        return super().apply_coords(coords, original_size).astype(np.float32)


class _Generator(SamAutomaticMaskGenerator):  # type: ignore[misc]
    """The package's, made to end well when no mask of a crop survives."""

    def _process_crop(self, *args: Any) -> Any:
        data = super()._process_crop(*args)
        # Of no masks the package makes crop boxes (0,), which it then indexes as (0, 4).
        data["crop_boxes"] = data["crop_boxes"].reshape(-1, 4)
        return data


class GridSegmenter:
    """Prompts a `Sam` with a grid of points.

    `defaults` are the model's own parameters: they stand over the package's and under those of
    `options`. `fingerprint` covers the weights and every parameter that changes the result, so
    neither the device nor `points_per_batch`. Points are batched by fewer than `points_per_batch`
    where the masks of a large image would not fit into memory.
    """

    def __init__(
        self,
        model: Sam,
        *,
        weights_sha256: str,
        options: SegmenterOptions,
        defaults: Mapping[str, float] | None = None,
    ) -> None:
        parameters = _effective(options, defaults or {})
        self.name = options.name
        self.fingerprint = fingerprint(
            {
                "segmenter": options.name,
                "weights_sha256": weights_sha256,
                "generator": SamAutomaticMaskGenerator.__name__,
                "parameters": {k: v for k, v in parameters.items() if k not in _SPEED_ONLY},
                "limits": options.model_dump(include=set(_LIMITS)),
            }
        )
        self._options = options
        self._img_size: int = model.image_encoder.img_size
        self._layers = int(parameters["crop_n_layers"])
        self._overlap = parameters["crop_overlap_ratio"]
        self._points_per_batch = int(parameters["points_per_batch"])
        self._min_region_px = int(parameters["min_mask_region_area"])
        self._region_nms = max(parameters["box_nms_thresh"], parameters["crop_nms_thresh"])
        model = model.eval().to(options.device)
        # The package removes small regions with OpenCV, which is not among our dependencies.
        package = {**parameters, "min_mask_region_area": 0, "output_mode": "coco_rle"}
        self._generator = _Generator(model, **package)
        if options.device == "mps":
            self._generator.predictor.transform = _Transform(self._img_size)

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        """Masks of each uint8 (height, width, 3) RGB image, largest first; empty if none is found.

        Masks outside the area limits are dropped, then all but the `max_objects` of the highest
        `predicted_iou`.
        """
        return [self._segment(image) for image in images]

    def _segment(self, image: UInt8Image) -> list[ObjectMask]:
        size_hw = image.shape[0], image.shape[1]
        padded_hw = self._workable(size_hw)
        (height, width), (padded_height, padded_width) = size_hw, padded_hw
        if padded_hw != size_hw:
            margins = ((0, padded_height - height), (0, padded_width - width), (0, 0))
            image = np.pad(image, margins, mode="edge")
        fitting = _MAX_LOGITS // (3 * padded_height * padded_width)
        self._generator.points_per_batch = max(1, min(self._points_per_batch, fitting))
        found = (_object_mask(note, size_hw) for note in self._generator.generate(image))
        masks = _distinct(mask for mask in found if mask is not None)
        if self._min_region_px:
            masks = _cleaned(masks, self._min_region_px, self._region_nms)
        return _selected(masks, self._options)

    def _workable(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """The size to pad an image to, so that no crop and no resized crop is empty."""
        height, width = size_hw
        while not self._divisible(height, width):
            if height <= width:
                height *= 2
            else:
                width *= 2
        return height, width

    def _divisible(self, height: int, width: int) -> bool:
        boxes, _ = generate_crop_boxes((height, width), self._layers, self._overlap)
        sides = ((y1 - y0, x1 - x0) for x0, y0, x1, y1 in boxes)
        return all(
            min(side) > 0 and min(ResizeLongestSide.get_preprocess_shape(*side, self._img_size)) > 0
            for side in sides
        )


def _effective(options: SegmenterOptions, defaults: Mapping[str, float]) -> dict[str, float]:
    """All parameters of the package that are settings of ours, with the values in force."""
    signature = inspect.signature(SamAutomaticMaskGenerator.__init__).parameters
    names = [name for name in signature if name in SegmenterOptions.model_fields]
    package = {name: signature[name].default for name in names}
    chosen = {name: getattr(options, name) for name in names}
    given = {name: value for name, value in chosen.items() if value is not None}
    parameters: dict[str, float] = {**package, **defaults, **given}
    scale = parameters["crop_n_points_downscale_factor"] ** parameters["crop_n_layers"]
    if parameters["points_per_side"] < scale:
        raise UsageError(
            f"points_per_side {parameters['points_per_side']} leaves no point in the smallest "
            f"crops: with these crop_n_layers and crop_n_points_downscale_factor it must be at "
            f"least {scale}"
        )
    return parameters


def _object_mask(note: Mapping[str, Any], size_hw: tuple[int, int]) -> ObjectMask | None:
    """The package's annotation as ours, cut to `size_hw`; None if nothing of it is left."""
    rle = CocoRle(tuple(note["segmentation"]["size"]), note["segmentation"]["counts"])
    height, width = size_hw
    if rle.size_hw != size_hw:
        rle = CocoRle.from_mask(rle.decode()[:height, :width])
    x, y = note["point_coords"][0]
    return _measured(
        rle,
        predicted_iou=note["predicted_iou"],
        stability_score=note["stability_score"],
        point_xy=(min(x, float(width)), min(y, float(height))),
    )


def _measured(
    rle: CocoRle, *, predicted_iou: float, stability_score: float, point_xy: tuple[float, float]
) -> ObjectMask | None:
    # The package's own boxes leave out the last row and column.
    encoded = {"size": rle.size_hw, "counts": rle.counts}
    area = int(coco.area(encoded))
    if not area:
        return None
    x, y, width, height = (int(side) for side in coco.toBbox(encoded))
    return ObjectMask(
        rle, (x, y, x + width, y + height), area, predicted_iou, stability_score, point_xy
    )


def _distinct(masks: Iterable[ObjectMask]) -> list[ObjectMask]:
    # The package takes the area of a box one pixel wide for 0, so its NMS keeps equal masks.
    rising = sorted(masks, key=lambda mask: mask.predicted_iou)
    return list({mask.rle: mask for mask in rising}.values())


def _cleaned(masks: list[ObjectMask], min_area_px: int, nms_thresh: float) -> list[ObjectMask]:
    """Masks without small holes and islands; of what are duplicates then, unchanged ones stay."""
    cleaned = [_clean(mask, min_area_px) for mask in masks]
    if not cleaned:
        return cleaned
    boxes = torch.tensor([mask.bbox_xyxy for mask in cleaned], dtype=torch.float32)
    unchanged = [float(new is old) for new, old in zip(cleaned, masks, strict=True)]
    return [cleaned[i] for i in nms(boxes, torch.tensor(unchanged), nms_thresh).tolist()]


def _clean(mask: ObjectMask, min_area_px: int) -> ObjectMask:
    rle = CocoRle.from_mask(remove_small_regions(mask.rle.decode(), min_area_px))
    cleaned = _measured(
        rle,
        predicted_iou=mask.predicted_iou,
        stability_score=mask.stability_score,
        point_xy=mask.point_xy,
    )
    return mask if rle == mask.rle or cleaned is None else cleaned


def _selected(masks: Iterable[ObjectMask], options: SegmenterOptions) -> list[ObjectMask]:
    low, high = options.min_area_frac, options.max_area_frac
    ordered = sorted((mask for mask in masks if low <= mask.area_frac <= high), key=_order)
    best = sorted(ordered, key=lambda mask: -mask.predicted_iou)[: options.max_objects]
    return sorted(best, key=_order)


def _order(mask: ObjectMask) -> tuple[object, ...]:
    return (-mask.area_px, mask.bbox_xyxy, mask.rle.counts, -mask.predicted_iou, mask.point_xy)
