"""`sam3:TEXT,TEXT`: SAM 3, masks for texts by itself (SAM License; weights of the user's own)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.models.clip.tokenization_clip import CLIPTokenizer
from transformers.models.sam3 import modeling_sam3
from transformers.models.sam3.configuration_sam3 import Sam3Config

from schemas.errors import ModelError, UsageError, first_line
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.grounded_options import read_texts
from workers.models.hub import find_tokenizer
from workers.models.model_entry import ModelEntry
from workers.models.weights import sha256_of
from workers.segmenters.compute import computing
from workers.segmenters.fixed_texts import FixedTextSegmenter, select_surest
from workers.segmenters.heads.trace_logits import keep_sure, label_masks, to_logit, trace_logits
from workers.segmenters.hub_loading import LoadedModel, load_model
from workers.segmenters.preparation import Preparation, read_preparation
from workers.segmenters.tasks import choose_score

_HALF = (0.5, 0.5, 0.5)
_USUAL = Preparation("stretch", 1008, 1008, mean=_HALF, std=_HALF)


def build(
    options: SegmenterOptions, cache_dir: Path | None = None, entry: ModelEntry | None = None
) -> FixedTextSegmenter:
    """SAM 3 from the folder `options.checkpoint`, looking for the texts in `options.name`.

    Raises UsageError and ModelError.
    """
    entry = entry or catalog.find(options.name, "segmenter")
    texts = read_texts(options.name)
    loaded = load_model(options, cache_dir, entry, modeling_sam3, "Sam3Model", Sam3Config)
    finder = Sam3Finder(loaded, options)
    finder.check(texts)
    return FixedTextSegmenter(finder, texts, options, finder.describe())


class Sam3Finder:
    """See `TextFinder`. An image is encoded once, and each text looked for by itself."""

    name = "sam3"

    def __init__(self, loaded: LoadedModel, options: SegmenterOptions) -> None:
        self._model: Any = loaded.model
        self._options = options
        self._preparation = read_preparation(loaded.preparation, _USUAL)
        path = find_tokenizer(loaded.folder)
        self._hashes = {"weights": loaded.weights_sha256, "tokenizer": sha256_of(path)}
        self._longest: int = loaded.model.config.text_config.max_position_embeddings
        try:
            tokenizer: Any = CLIPTokenizer.from_pretrained(str(path.parent), local_files_only=True)
        # tokenizers raises plain exceptions.
        except Exception as exc:
            raise ModelError(f"expected a tokenizer of CLIP in {path}: {first_line(exc)}") from exc
        self._tokenizer = tokenizer

    def check(self, texts: Sequence[str]) -> None:
        """See `TextFinder`."""
        for text in texts:
            self._tokenize(text)

    def find(
        self, image: UInt8Image, texts: Sequence[str], least: float | None = None
    ) -> list[ObjectMask]:
        """See `TextFinder`."""
        bound = choose_score(self._options, "text") if least is None else least
        place = self._preparation.place((image.shape[0], image.shape[1]))[0]
        with computing(self._options):
            frame = self._preparation.make_frames(image, [place], self._model.device)
            seen = self._model.get_vision_features(frame)
            answers = [self._ask(seen, text, bound) for text in texts]
        found = []
        with torch.inference_mode():
            for text, (scores, logits) in zip(texts, answers, strict=True):
                rles = trace_logits(logits, place, to_logit(self._options.mask_thresh))
                found += label_masks(rles, [text] * len(rles), scores)
        return select_surest(found, self._options)

    def _ask(self, seen: Any, text: str, least: float) -> tuple[Tensor, Tensor]:
        """Scores (n,) and logits (n, height, width) of the queries that are sure of a text.

        The others' logits, 66 MB a text, are not kept. A score is the probability of the query,
        times that of the text being in the image at all.
        """
        tokens = {
            name: torch.tensor([numbers], device=self._model.device)
            for name, numbers in self._tokenize(text).items()
        }
        outputs = self._model(vision_embeds=seen, **tokens)
        present = outputs.presence_logits.float().sigmoid()
        scores = (outputs.pred_logits.float().sigmoid() * present)[0]
        kept = keep_sure(scores, least)
        return scores[kept], outputs.pred_masks[0, kept].float()

    def _tokenize(self, text: str) -> dict[str, list[int]]:
        encoded = self._tokenizer(text, padding="max_length", max_length=self._longest)
        tokens = {name: encoded[name] for name in ("input_ids", "attention_mask")}
        if len(tokens["input_ids"]) > self._longest:
            raise UsageError(
                f"expected a text of at most {self._longest} tokens, got "
                f"{len(tokens['input_ids'])} in {text[:40]!r} and what follows"
            )
        return tokens

    def describe(self) -> dict[str, object]:
        """For a fingerprint."""
        return {
            "head": "SAM 3 1",
            "sha256": self._hashes,
            "preparation": self._preparation.describe(),
            "score_thresh": choose_score(self._options, "text"),
            "mask_thresh": self._options.mask_thresh,
        }
