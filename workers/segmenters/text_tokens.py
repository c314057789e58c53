"""Turns texts into the tokens that a grounding detector reads, in as many passes as they need."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.models.bert.tokenization_bert import BertTokenizer

from schemas.errors import ModelError, UsageError, first_line

# Full stops and question marks end a text, and brackets might spell a special token.
_SEPARATING = re.compile(r"[.?\[\]]+")


@dataclass(frozen=True, slots=True)
class TextPass:
    """Texts that a model reads at once: their numbers, tokens, and where each stands in these.

    `spans` are first and end of each text in `token_ids`.
    """

    texts: tuple[int, ...]
    token_ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


class TextTokens:
    """BERT's tokens by the tokenizer in `folder`, `longest` at most in a pass.

    Texts are joined as they were in training: "a cat. a dog." Raises ModelError for files that are
    no tokenizer.
    """

    def __init__(self, folder: Path, longest: int) -> None:
        try:
            tokenizer: Any = BertTokenizer.from_pretrained(str(folder), local_files_only=True)
        # tokenizers raises plain exceptions.
        except Exception as exc:
            raise ModelError(
                f"expected a tokenizer of BERT in {folder}: {first_line(exc)}"
            ) from exc
        self._tokenizer, self._longest = tokenizer, longest
        self._stop: int = tokenizer.convert_tokens_to_ids(".")

    def split(self, texts: Sequence[str]) -> list[TextPass]:
        """The passes of texts, in their order. Raises UsageError for a text that fits into none."""
        passes: list[TextPass] = []
        numbers: list[int] = []
        tokens = [self._tokenize(text) for text in texts]
        room = self._longest - 2  # the first and last token
        used = 0
        for number, own in enumerate(tokens):
            if numbers and used + len(own) + 1 > room:
                passes.append(self._join(numbers, tokens))
                numbers, used = [], 0
            numbers.append(number)
            used += len(own) + 1
        return [*passes, self._join(numbers, tokens)] if numbers else passes

    def _tokenize(self, text: str) -> list[int]:
        plain = _SEPARATING.sub(" ", text).strip()
        encoded = self._tokenizer(plain, add_special_tokens=False, truncation=False)
        tokens: list[int] = encoded["input_ids"]
        if set(tokens) <= {self._tokenizer.unk_token_id}:
            raise UsageError(f"expected a text of words that the detector knows, got {text!r}")
        most = self._longest - 3
        if len(tokens) > most:
            raise UsageError(
                f"expected a text of at most {most} tokens, got {len(tokens)} in "
                f"{text[:40]!r} and what follows"
            )
        return tokens

    def _join(self, numbers: Sequence[int], tokens: Sequence[Sequence[int]]) -> TextPass:
        ids = [self._tokenizer.cls_token_id]
        spans = []
        for number in numbers:
            spans.append((len(ids), len(ids) + len(tokens[number])))
            ids += [*tokens[number], self._stop]
        ids.append(self._tokenizer.sep_token_id)
        return TextPass(tuple(numbers), tuple(ids), tuple(spans))
