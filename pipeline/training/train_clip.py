"""Trains `clip_demo`, a small open_clip model, on composed crops of the training sprites.

    python -m pipeline.training.train_clip sprites.npz --checkpoint clip.pt --steps 3000

Resumes from the checkpoint if it exists. A step takes concepts with two drawings of each (in
different styles where training has them) and a caption of each (label, keyword or two keywords);
captions of other concepts as further negatives; and crops of no object at all, which should match
nothing. With `--found`, half of the drawings and of the crops of no object are what sam_demo found
in scenes. Losses: CLIP's, both ways; the same between the two drawings; and between each drawing
and a vector per concept, which only training has. A caption that is also true of another concept
is not counted as a negative of it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip import CLIP
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from pipeline.demo.sprites import Concept, trim
from pipeline.training.crops import junk_crops, training_crops, vary_found_crops
from pipeline.training.found_crops import FoundCrops, load_found
from pipeline.training.loop import (
    BF16_HELP,
    Ema,
    MuonAdamW,
    learning_rate,
    resume,
    save_checkpoint,
    start_from,
)
from pipeline.training.rasterize_icons import PLAIN
from pipeline.training.scene_cache import Art, load_art
from workers.models.clip_demo_architecture import create_clip_demo

_SPRITE_PX = 96
_CONCEPTS, _EXTRA_CAPTIONS, _JUNK = 64, 128, 48
_PEAK_LR = 1.2e-3
_FOUND_SHARE = 0.5  # of the drawings and of the junk, where `found_crops` has some
_PLAIN_WEIGHT = 0.3  # how often a drawing of one colour is shown, against the others
_EXTRA_WEIGHT = 0.4  # how often a concept is drawn that no scene shows, against the others
_BLENDED_SHARE, _MOST_BLENDED = 0.3, 0.6
_PAIR_WEIGHT, _CONCEPT_WEIGHT = 1.0, 0.5
TEMPLATES = ("{}", "{}", "{}", "a {}", "the {}", "a photo of a {}", "a picture of {}")


def fit_sprites(sprites: np.ndarray) -> Tensor:
    """Trim sprites and fit them into a square: uint8 (n, styles, 4, 96, 96), premultiplied RGBA.

    Sprites that a style lacks stay empty.
    """
    out = np.zeros((*sprites.shape[:2], _SPRITE_PX, _SPRITE_PX, 4), np.uint8)
    for row, column in np.argwhere(sprites[..., 3].any(axis=(2, 3))):
        rgba = trim(sprites[row, column]).astype(np.float32)
        rgba[..., :3] *= rgba[..., 3:] / 255
        height, width = rgba.shape[:2]
        side = max(height, width)
        square = np.zeros((side, side, 4), np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = rgba
        # Premultiplied already: resizing as RGBA would multiply by alpha once more.
        for channel in range(4):
            image = Image.fromarray(square[..., channel])
            small = image.resize((_SPRITE_PX, _SPRITE_PX), Image.Resampling.BOX)
            out[row, column, ..., channel] = np.asarray(small)
    return torch.from_numpy(out).permute(0, 1, 4, 2, 3).contiguous()


class Captions:
    """The captions of each concept, and which concepts each phrase is true of."""

    def __init__(self, concepts: Sequence[Concept]) -> None:
        self.concepts = concepts
        phrases = {phrase for c in concepts for phrase in (c.label, *c.keywords)}
        self.number = {phrase: n for n, phrase in enumerate(sorted(phrases))}
        self.true_of = np.zeros((len(self.number), len(concepts)), bool)
        for row, concept in enumerate(concepts):
            for phrase in (concept.label, *concept.keywords):
                self.true_of[self.number[phrase], row] = True

    def draw(self, rng: np.random.Generator, row: int) -> tuple[str, np.ndarray]:
        """Draw a caption of a concept; with it bool (concepts), the concepts it is true of."""
        concept, kind = self.concepts[row], rng.random()
        template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
        if kind < 0.5 or not concept.keywords:
            words = (concept.label,)
        else:
            count = 2 if kind > 0.88 and len(concept.keywords) > 1 else 1
            words = tuple(rng.choice(concept.keywords, count, replace=False))
        true_of: np.ndarray = np.logical_and.reduce([self.true_of[self.number[w]] for w in words])
        return template.format(" ".join(words)), true_of


def matching_loss(logits: Tensor, own: Tensor, also_true: Tensor) -> Tensor:
    """Cross-entropy of each row against its own columns; other true columns are ignored.

    logits float (n, m), own bool (n, m), also_true bool (n, m). Rows without an own column are
    not counted.
    """
    logits = logits.masked_fill(also_true & ~own, float("-inf"))
    log_share = logits.log_softmax(dim=1).masked_fill(~own, 0.0)
    counts = own.sum(dim=1)
    counted = counts > 0
    return -(log_share.sum(dim=1)[counted] / counts[counted]).mean()


class Learner(nn.Module):
    """The model with a vector for each concept, which only training needs.

    So all concepts are negatives of every drawing, though a batch holds just 64 of them.
    """

    def __init__(self, model: CLIP, concepts: int) -> None:
        super().__init__()
        self.clip = model
        self.vectors = nn.Embedding(concepts, model.text_projection.shape[1])
        nn.init.normal_(self.vectors.weight, std=self.vectors.embedding_dim**-0.5)

    @torch.no_grad()
    def start_from_labels(self, tokens: Tensor) -> None:
        """Set each concept's vector to that of its label; `tokens` int64 (concepts, context)."""
        parts = [self.clip.encode_text(part) for part in torch.split(tokens, 128)]
        self.vectors.weight.copy_(functional.normalize(torch.cat(parts), dim=-1))


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What a step learns from, c concepts of it.

    images (2c + j, 3, s, s): two drawings of concept k in rows k and k + c, then j of no object.
    tokens int64 (t, context) of captions. owner (t,): row of the concept in the batch that a
    caption was drawn for, -1 for an extra one. true_of bool (t, c). rows (c,): the concepts' rows
    among all concepts.
    """

    images: Tensor
    tokens: Tensor
    owner: Tensor
    true_of: Tensor
    rows: Tensor


def step_loss(learner: Learner, batch: Batch, *, bf16: bool = False) -> Tensor:
    """The loss of a batch; `bf16` multiplies in bfloat16."""
    model = learner.clip
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        encoded = model.encode_image(batch.images), model.encode_text(batch.tokens)
    image, text = (functional.normalize(features.float(), dim=-1) for features in encoded)
    scale = model.logit_scale.exp().clamp(max=100)
    count = len(batch.rows)
    drawings, junk = image[: 2 * count], len(batch.images) - 2 * count

    def pad_junk(columns: Tensor) -> Tensor:
        return functional.pad(columns, (0, junk), value=False)

    own = batch.owner[:, None] == torch.arange(count)[None]
    own, true = pad_junk(own.repeat(1, 2)), pad_junk(batch.true_of.repeat(1, 2))
    to_image = scale * text @ image.T
    loss = matching_loss(to_image, own, true) + matching_loss(to_image.T, own.T, true.T)
    numbers = torch.arange(2 * count)
    pair = (numbers[:, None] % count == numbers[None] % count) & (numbers[:, None] != numbers[None])
    itself = torch.eye(2 * count, dtype=torch.bool)
    similarity = scale * drawings @ image.T
    pair_loss = matching_loss(similarity, pad_junk(pair), pad_junk(itself))
    vectors = functional.normalize(learner.vectors.weight, dim=-1)
    to_concept = scale * drawings @ vectors.T
    concept_loss = functional.cross_entropy(to_concept, batch.rows.repeat(2))
    return loss / 2 + _PAIR_WEIGHT * pair_loss + _CONCEPT_WEIGHT * concept_loss


class Batches:
    """Draws training batches, reproducibly from its seed."""

    def __init__(self, rendered: Art, found: FoundCrops | None = None) -> None:
        self.captions = Captions(rendered.concepts)
        self.sprites = fit_sprites(rendered.sprites)
        self.seen, self.held = rendered.seen, rendered.held
        plain = [style in PLAIN for style in rendered.styles]
        self.style_weights = np.where(plain, _PLAIN_WEIGHT, 1.0)
        chosen = np.arange(len(rendered.concepts)) < rendered.chosen
        self.weights = np.where(chosen, 1.0, _EXTRA_WEIGHT)
        self.weights /= self.weights.sum()
        self.tokenizer = open_clip.SimpleTokenizer(context_length=16)
        self.found = found
        self.found_of: dict[tuple[int, int], list[int]] = defaultdict(list)
        if found:
            for number, pair in enumerate(zip(found.concepts, found.styles, strict=True)):
                self.found_of[int(pair[0]), int(pair[1])].append(number)
        self.reseed(0)

    def reseed(self, seed: int) -> None:
        """Restart both generators from `seed`."""
        self.rng = np.random.default_rng(seed)
        self.torch_rng = torch.Generator().manual_seed(seed)

    def labels(self, rows: Sequence[int]) -> Tensor:
        """Tokens of the concepts' labels: int64 (n, context)."""
        tokens: Tensor = self.tokenizer([self.captions.concepts[row].label for row in rows])
        return tokens

    def _draw_styles(self, row: int) -> tuple[int, int]:
        styles = np.flatnonzero(self.seen[row])
        weights = self.style_weights[styles] / self.style_weights[styles].sum()
        pair = self.rng.choice(styles, min(2, len(styles)), replace=False, p=weights)
        return int(pair[0]), int(pair[-1])

    def _blend_styles(self, drawings: Tensor, rows: Sequence[int]) -> Tensor:
        """Blend a share of the drawings with another style's, as of an artist between the two."""
        _, others = zip(*(self._draw_styles(row) for row in rows), strict=True)
        share = self.rng.uniform(0, _MOST_BLENDED, len(rows))
        share *= self.rng.random(len(rows)) < _BLENDED_SHARE
        weight = torch.from_numpy(share.astype(np.float32))[:, None, None, None]
        return torch.lerp(drawings, self.load_sprites(rows, others), weight)

    def load_sprites(self, rows: Sequence[int], styles: Sequence[int]) -> Tensor:
        return self.sprites[list(rows), list(styles)].float() / 255

    def _replace_by_found(self, images: Tensor, pairs: Sequence[tuple[int, int]]) -> None:
        """Replace a share of the crops by what a segmenter found of the same drawing, in place.

        images (n, 3, s, s); pairs: concept and style of each, -1 and -1 for no object.
        """
        rows, numbers = [], []
        for row, pair in enumerate(pairs):
            if pair in self.found_of and self.rng.random() < _FOUND_SHARE:
                rows.append(row)
                numbers.append(int(self.rng.choice(self.found_of[pair])))
        if rows and self.found:
            cut_out = torch.from_numpy(self.found.crops[numbers]).float() / 255
            images[rows] = vary_found_crops(cut_out, self.torch_rng)

    def draw(self) -> Batch:
        """Draw the next batch."""
        total = len(self.weights)
        count = min(total, _CONCEPTS + _EXTRA_CAPTIONS)
        order = self.rng.choice(total, count, replace=False, p=self.weights)
        rows, extra = order[:_CONCEPTS], order[_CONCEPTS:]
        first, second = zip(*(self._draw_styles(row) for row in rows), strict=True)
        targets = self.load_sprites([*rows, *rows], [*first, *second])
        targets = self._blend_styles(targets, [*rows, *rows])
        seen = np.argwhere(self.seen)
        others = seen[self.rng.integers(len(seen), size=2 * len(targets))]
        beside = self.load_sprites(others[:, 0].tolist(), others[:, 1].tolist())
        scraps = seen[self.rng.integers(len(seen), size=_JUNK)]
        scrap_sprites = self.load_sprites(scraps[:, 0].tolist(), scraps[:, 1].tolist())
        junk = junk_crops(scrap_sprites, self.torch_rng)
        images = torch.cat([training_crops(targets, beside, self.torch_rng), junk])
        pairs = [*zip([*rows.tolist()] * 2, [*first, *second], strict=True)]
        self._replace_by_found(images, [*pairs, *[(-1, -1)] * _JUNK])
        captions = [self.captions.draw(self.rng, int(row)) for row in (*rows, *extra)]
        tokens = self.tokenizer([text for text, _ in captions])
        true_of = torch.from_numpy(np.stack([true[rows] for _, true in captions]))
        owner = torch.cat([torch.arange(len(rows)), torch.full((len(extra),), -1)])
        return Batch(images, tokens, owner, true_of, torch.from_numpy(rows))


def list_muon_modules(model: CLIP) -> list[nn.Module]:
    """What Muon trains: all but the last stage, whose large kernels would take half of a step."""
    parts = dict(model.visual.trunk.named_children())
    del parts["layer4"]
    return [*parts.values(), model.visual.head, model.transformer]


@torch.no_grad()
def measure_recall(model: CLIP, batches: Batches) -> str:
    """Measure how well held-out pairs are found among all their crops, as a line of text.

    Recall@1 and @10 of the label; @10 of the same concept in another style, if held out too.
    """
    model.eval()
    rows, styles = np.nonzero(batches.held)
    generator = torch.Generator().manual_seed(1)
    targets = batches.load_sprites(rows.tolist(), styles.tolist())
    beside = targets.roll(7, 0).repeat(2, 1, 1, 1)
    image = torch.zeros(len(rows), 256)
    for _ in range(2):
        crops = normalize(training_crops(targets, beside, generator, vary=False))
        features = torch.cat([model.encode_image(part) for part in torch.split(crops, 64)])
        image += functional.normalize(features, dim=-1)
    image = functional.normalize(image, dim=-1)
    text = functional.normalize(model.encode_text(batches.labels(rows.tolist())), dim=-1)
    scores = text @ image.T
    same = torch.from_numpy(rows[:, None] == rows[None])
    best = scores.masked_fill(~same, -2).max(dim=1).values
    rank = (scores.masked_fill(same, -2) > best[:, None]).sum(dim=1)
    alike = image @ image.T
    others = same & ~torch.eye(len(rows), dtype=torch.bool)
    best = alike.masked_fill(~others, -2).max(dim=1).values
    similar_rank = (alike.masked_fill(same, -2) > best[:, None]).sum(dim=1)[others.any(dim=1)]
    model.train()
    shares = [(rank < 1), (rank < 10), (similar_rank < 10)]
    first, ten, similar = (share.float().mean().item() for share in shares)
    return f"R@1 {first:.3f} R@10 {ten:.3f} similar R@10 {similar:.3f}"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sprites", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights-from", type=Path, help="exported weights to train further")
    parser.add_argument("--found", type=Path, help="crops that `found_crops` wrote, learnt too")
    parser.add_argument("--bf16", action="store_true", help=BF16_HELP)
    return parser.parse_args()


def normalize(crops: Tensor) -> Tensor:
    """Normalize crops, float (n, 3, s, s), 0..1, as CLIP does."""
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN)[:, None, None]
    std = torch.tensor(open_clip.OPENAI_DATASET_STD)[:, None, None]
    return ((crops - mean) / std).contiguous(memory_format=torch.channels_last)


def main() -> None:
    args = parse_arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    model = create_clip_demo()
    model.visual.to(memory_format=torch.channels_last)
    found = load_found(args.found) if args.found else None
    batches = Batches(load_art(args.sprites), found)
    learner = Learner(model, len(batches.captions.concepts))
    optimizer = MuonAdamW(learner, list_muon_modules(model), _PEAK_LR, 0.05)
    if args.weights_from:
        start_from(model, args.weights_from)
        learner.start_from_labels(batches.labels(range(len(batches.captions.concepts))))
    ema = Ema(model, 0.998)
    start = resume(args.checkpoint, learner, optimizer, ema)
    batches.reseed(args.seed + start)

    started, smooth = time.monotonic(), float("nan")
    learner.train()
    for step in range(start, args.steps):
        batch = batches.draw()
        batch = replace(batch, images=normalize(batch.images))
        loss = step_loss(learner, batch, bf16=args.bf16)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step(learning_rate(step, args.steps, _PEAK_LR))
        ema.update(model)
        smooth = loss.item() if step == start else 0.98 * smooth + 0.02 * loss.item()
        if step % 25 == 0:
            rate = (time.monotonic() - started) / (step - start + 1)
            print(f"{step} loss {smooth:.3f} {rate:.2f} s/step", flush=True)
        if step % 200 == 199 or step == args.steps - 1:
            print(f"{step + 1} held-out pairs: {measure_recall(ema.model, batches)}", flush=True)
            save_checkpoint(args.checkpoint, learner, optimizer, ema, step + 1)


if __name__ == "__main__":
    main()
