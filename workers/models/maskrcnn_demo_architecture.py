"""Builds `maskrcnn_demo`: torchvision's Mask R-CNN over two networks of the other demo models.

Where objects are is read from the embedding of `sam_demo`'s image encoder, which ends at stride 8;
the pyramid adds strides 16 and 32. What they are it does not know: of each proposed box the pixels
are looked at by the image tower of `clip_demo`. Both stay what they are, so that only the heads
have weights of their own.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import (
    MultiScaleRoIAlign,
    clip_boxes_to_image,
    nms,
    remove_small_boxes,
    roi_align,
)

from workers.models.clip_demo_architecture import create_trunk
from workers.models.sam_demo_architecture import EMBED_DIM, IMG_SIZE, DemoImageEncoder

ENCODER, TOWER = "backbone.encoder.", "roi_heads.box_head.tower."
"""What the names of the weights begin with that are `sam_demo`'s and `clip_demo`'s."""
IMAGE_ENCODER, TRUNK = "image_encoder.", "visual.trunk."
"""The same weights' names there."""
_LEVELS = ("8", "16", "32")
_PIXELS = "pixels"
_BOX_WIDTH = 192
_ROI_BOX, _ROI_MASK, _ROI_PX = 7, 14, 96
_TOWER_DIM = 512
# Objects of the demo's scenes are 29 to 210 pixels long in a frame of 448.
_ANCHORS_PX = ((24, 40), (64, 96), (144, 208))
_RATIOS = (0.5, 1.0, 2.0)
_PROPOSALS = {"training": 100, "testing": 60}
_BEFORE_NMS = {"training": 400, "testing": 400}
# segment-anything's and CLIP's, of 0..1.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class DemoPyramid(nn.Module):
    """Feature maps of strides 8, 16 and 32, each of 96 channels, and the frames themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = DemoImageEncoder()
        self.level8 = _block(1)
        self.level16 = _block(2)
        self.level32 = _block(2)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """float32 (n, 3, 448, 448), normalised."""
        return self.spread(self.encoder(pixels), pixels)

    def spread(self, embedding: Tensor, pixels: Tensor) -> dict[str, Tensor]:
        """The levels of float32 (n, 96, 56, 56) from the encoder."""
        maps = [self.level8(embedding)]
        for level in (self.level16, self.level32):
            maps.append(level(maps[-1]))
        return OrderedDict([*zip(_LEVELS, maps, strict=True), (_PIXELS, pixels)])


def _block(stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(EMBED_DIM, EMBED_DIM, 3, stride, 1), nn.GroupNorm(8, EMBED_DIM), nn.ReLU(),
        nn.Conv2d(EMBED_DIM, EMBED_DIM, 3, 1, 1), nn.GroupNorm(8, EMBED_DIM), nn.ReLU(),
    )  # fmt: skip


class _LevelsProposer(RegionProposalNetwork):  # type: ignore[misc]
    """torchvision's, of the levels alone."""

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        levels = OrderedDict((name, features[name]) for name in _LEVELS)
        found: tuple[list[Tensor], dict[str, Tensor]] = super().forward(images, levels, targets)
        return found


class _BoxPool(nn.Module):
    """Of each box what the levels say, (n, 96, 7, 7), and its pixels, (n, 3, 96, 96)."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = MultiScaleRoIAlign(list(_LEVELS), _ROI_BOX, 2)

    def forward(
        self, features: dict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor]:
        return self.levels(features, boxes, sizes), pool_pixels(features[_PIXELS], boxes)


def pool_pixels(frames: Tensor, boxes: list[Tensor]) -> Tensor:
    """The pixels of each frame's boxes, whatever their shape: (n, 3, 96, 96)."""
    pooled: Tensor = roi_align(frames, boxes, _ROI_PX, 1.0, 2, aligned=True)
    return pooled


class _BoxHead(nn.Module):
    """float32 (n, 192 + 192): of the levels, and of the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.place = TwoMLPHead(EMBED_DIM * _ROI_BOX**2, _BOX_WIDTH)
        self.tower = create_trunk()
        self.kind = nn.Linear(_TOWER_DIM, _BOX_WIDTH)
        self.dropout = nn.Dropout(0.3)

    def forward(self, pooled: tuple[Tensor, Tensor]) -> Tensor:
        levels, pixels = pooled
        kind = functional.relu(self.kind(self.dropout(self.look(pixels))))
        return torch.cat([self.place(levels), kind], dim=1)

    @torch.no_grad()
    def look(self, pixels: Tensor) -> Tensor:
        """What the tower says of float32 (n, 3, 96, 96), normalised: float32 (n, 512)."""
        seen: Tensor = self.tower(_normalise_as_clip(pixels))
        return seen


def _normalise_as_clip(pixels: Tensor) -> Tensor:
    """float32 (n, 3, h, w), normalised for segment-anything."""
    mean, std, clip_mean, clip_std = (
        pixels.new_tensor(numbers).view(3, 1, 1) for numbers in (MEAN, STD, _CLIP_MEAN, _CLIP_STD)
    )
    return (pixels * std + mean - clip_mean) / clip_std


class _LikeliestHeads(RoIHeads):  # type: ignore[misc]
    """torchvision's, but a proposal is one object at most, of its likeliest class.

    An object whose class is in doubt is then not found once as each of them.
    """

    def postprocess_detections(
        self,
        class_logits: Tensor,
        box_regression: Tensor,
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        counts = [len(boxes) for boxes in proposals]
        scores, kinds = class_logits.softmax(1)[:, 1:].max(1)
        moved = self.box_coder.decode(box_regression, proposals)
        boxes = moved[torch.arange(len(kinds)), kinds + 1]
        found: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
        parts = (part.split(counts) for part in (boxes, scores, kinds + 1))
        for of_boxes, of_scores, labels, size in zip(*parts, image_shapes, strict=True):
            clipped = clip_boxes_to_image(of_boxes, size)
            kept = torch.where(of_scores > self.score_thresh)[0]
            kept = kept[remove_small_boxes(clipped[kept], min_size=1e-2)]
            kept = kept[nms(clipped[kept], of_scores[kept], self.nms_thresh)]
            kept = kept[: self.detections_per_img]
            for list_, of_image in zip(found, (clipped, of_scores, labels), strict=True):
                list_.append(of_image[kept])
        return found


class _SamTransform(GeneralizedRCNNTransform):  # type: ignore[misc]
    """torchvision's, but resized as segment-anything does it: the longer side to the frame."""

    def __init__(self) -> None:
        # Padding up to a multiple of the frame's side is padding to the frame.
        super().__init__(IMG_SIZE, IMG_SIZE, list(MEAN), list(STD), size_divisible=IMG_SIZE)

    def resize(
        self, image: Tensor, target: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        height, width = image.shape[-2:]
        scale = IMG_SIZE / max(height, width)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        resized = functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
        return resized, target


def build_maskrcnn_demo(classes: int) -> GeneralizedRCNN:
    """Mask R-CNN with random weights for `classes`, the background, number 0, among them."""
    rpn = _LevelsProposer(
        AnchorGenerator(_ANCHORS_PX, (_RATIOS,) * len(_ANCHORS_PX)),
        RPNHead(EMBED_DIM, len(_RATIOS) * len(_ANCHORS_PX[0])),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=128,
        positive_fraction=0.5,
        pre_nms_top_n=_BEFORE_NMS,
        post_nms_top_n=_PROPOSALS,
        nms_thresh=0.7,
    )
    heads = _LikeliestHeads(
        _BoxPool(),
        _BoxHead(),
        FastRCNNPredictor(2 * _BOX_WIDTH, classes),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=24,
        positive_fraction=0.5,
        bbox_reg_weights=None,
        score_thresh=0.05,
        nms_thresh=0.5,
        detections_per_img=50,
        mask_roi_pool=MultiScaleRoIAlign(list(_LEVELS), _ROI_MASK, 2),
        mask_head=MaskRCNNHeads(EMBED_DIM, (EMBED_DIM,) * 3, 1),
        mask_predictor=MaskRCNNPredictor(EMBED_DIM, EMBED_DIM, classes),
    )
    return GeneralizedRCNN(DemoPyramid(), rpn, heads, _SamTransform())
