"""Computes the losses `sam_demo` is trained on: mask, predicted IoU, the encoder's own."""

from __future__ import annotations

import torch
from segment_anything.modeling import MaskDecoder
from torch import Tensor, nn
from torch.nn import functional

from pipeline.training.sam_samples import MASK_STRIDE
from workers.models.sam_demo_architecture import EMBED_DIM, STRIDE
from workers.segmenters.decoder.torch_decoder import TorchDecoder

_CODE_DIM = 16
_MAX_INSTANCES = 13  # the background and twelve objects
_OTHERS_WEIGHT = 0.2
_IOU_WEIGHT = 3.0


class DenseHead(nn.Module):
    """What the encoder must know of every pixel; used in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(EMBED_DIM, 4 + 2 * (STRIDE // MASK_STRIDE) ** 2, 1)
        self.codes = nn.Conv2d(EMBED_DIM, _CODE_DIM, 1)

    def loss(self, embedding: Tensor, batch: dict[str, Tensor]) -> Tensor:
        out = self.head(embedding)
        maps = functional.pixel_shuffle(out[:, 4:], STRIDE // MASK_STRIDE)
        map_loss = functional.binary_cross_entropy_with_logits(maps, batch["maps"])
        error = functional.smooth_l1_loss(out[:, :4], batch["sides"], reduction="none", beta=0.2)
        weight = batch["sides_weight"][:, None]
        side_loss = (error * weight).sum() / (4 * weight.sum() + 1)
        return map_loss + 0.25 * side_loss + 0.5 * code_loss(self.codes(embedding), batch["cells"])


def code_loss(codes: Tensor, cells: Tensor) -> Tensor:
    """Cross-entropy of each cell's code against the mean codes of the scene's instances.

    codes float (n, c, h, w); cells int (n, h, w), the instance of each cell. Every instance weighs
    the same, whatever its size.
    """
    flat, ids = codes.flatten(2), cells.flatten(1)
    members = (ids[:, None] == torch.arange(_MAX_INSTANCES)[None, :, None]).float()
    sizes = members.sum(dim=2, keepdim=True)
    means = members @ flat.mT / sizes.clamp(min=1)
    distances = torch.cdist(flat.mT, means).square()
    logits = (-distances).masked_fill(sizes.mT == 0, -1e4)
    shares = logits.log_softmax(dim=2).mT * members
    each = -shares.sum(dim=2) / sizes[..., 0].clamp(min=1)
    return each.sum() / (sizes > 0).sum()


def mask_losses(
    logits: Tensor, predicted: Tensor, target: Tensor, weights: Tensor, on_object: Tensor
) -> tuple[Tensor, Tensor]:
    """Loss, and the mean IoU of the masks with the highest predicted and the highest true IoU.

    logits (n, 3, k, p, p), predicted (n, 3), target (n, k, p, p): patches of p * p mask pixels;
    weights (n, k): patches that each stands for; on_object bool (n,).
    """
    target, weights = target[:, None], weights[:, None, :, None, None]
    probability = logits.sigmoid()
    cross = functional.binary_cross_entropy_with_logits(
        logits, target.expand_as(logits), reduction="none"
    )
    wrong = probability + target - 2 * probability * target
    area = weights.sum((-1, -2, -3)) * target.shape[-1] ** 2
    focal = (weights * wrong.square() * cross).sum((-1, -2, -3)) / area
    overlap = (weights * probability * target).sum((-1, -2, -3))
    both = (weights * (probability + target)).sum((-1, -2, -3))
    dice = 1 - (2 * overlap + 1) / (both + 1)
    shape_loss = 20 * focal + dice
    with torch.no_grad():
        mask, truth = logits > 0, target > 0.5
        union = (weights * (mask | truth)).sum((-1, -2, -3)).clamp(min=1)
        iou = (weights * (mask & truth)).sum((-1, -2, -3)) / union
    counted = on_object.float()
    # The best mask learns most, so that the three stay different guesses; a share for the others
    # keeps each of them usable.
    each = shape_loss.min(dim=1).values + _OTHERS_WEIGHT * shape_loss.mean(dim=1)
    mask_loss = (each * counted).sum() / counted.sum().clamp(min=1)
    iou_loss = (predicted - iou * counted[:, None]).square().mean()
    chosen = iou.gather(1, predicted.argmax(dim=1, keepdim=True))[:, 0]
    ious = torch.stack([chosen, iou.max(dim=1).values]) @ counted / counted.sum().clamp(min=1)
    return mask_loss + _IOU_WEIGHT * iou_loss, ious


def masks_at(
    decoder: MaskDecoder, image: Tensor, position: Tensor, sparse: Tensor, cells: Tensor
) -> tuple[Tensor, Tensor]:
    """What `decoder.predict_masks` predicts for the prompts of one image, at some cells only.

    image, position and sparse: see `TorchDecoder`. cells int64 (n, k): image tokens, each a cell of
    p * p mask pixels. Returns the logits of the three multimask outputs, (n, 3, k, p, p), and
    their predicted IoU (n, 3).
    """
    torch_decoder = TorchDecoder(decoder, position)
    state = torch_decoder.attend(sparse, torch_decoder.prepare(image))
    return torch_decoder.cell_logits(state, cells), state.predicted_iou
