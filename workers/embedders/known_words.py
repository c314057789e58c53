"""Tells whether an embedder of texts has learnt the words of a text: others say nothing to it."""

from __future__ import annotations

import unicodedata
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import regex

from schemas.labels import parse_labels
from workers.embedders.clip_tokenizer import ClipTokenizer
from workers.models.catalog import DEMO_EMBEDDER, bundled_file

_DEMO_LABELS = "labels_emoji.txt"
# They join what is searched for: a text is understood without them.
_JOINING = frozenset(
    {
        "a", "an", "and", "are", "at", "by", "for", "from", "in", "is", "it", "my", "of", "on",
        "or", "some", "that", "the", "this", "to", "with", "s",
    }
)  # fmt: skip
_PART_LETTERS = 3  # fewer are found in any word by chance
_WORD = regex.compile(r"[\p{L}\p{M}]+")


class Vocabulary(Protocol):
    """The words that an embedder of texts has learnt."""

    def knows(self, text: str) -> bool:
        """Whether all that `text` says has been learnt; False if it says nothing."""
        ...


def says_something(text: str) -> bool:
    """Whether there is a letter, a number or a picture (an emoji, say) in it."""
    return any(unicodedata.category(each)[0] in "LN" or _is_picture(each) for each in text)


def _is_picture(character: str) -> bool:
    return unicodedata.category(character) == "So"


class AnyWords:
    """Of a tokenizer that is not known: whatever says something."""

    def knows(self, text: str) -> bool:
        """See `Vocabulary`."""
        return says_something(text)


class HubWords:
    """Of a tokenizer of the Hugging Face hub, which has a token for what it does not know."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def knows(self, text: str) -> bool:
        """See `Vocabulary`."""
        unknown = getattr(self._tokenizer, "unk_token_id", None)
        numbers = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return says_something(text) and unknown not in numbers


class ClipWords:
    """Of CLIP's tokenizer: words whose tokens are whole characters, and have been learnt.

    `token_embedding` (vocabulary, width) is zero for a token that no text of the training had.
    Where there are such, a word of several tokens was learnt if it is one of `taught`, or if its
    parts are words that were learnt.
    """

    def __init__(
        self,
        tokenizer: ClipTokenizer,
        token_embedding: npt.NDArray[np.floating[Any]],
        taught: frozenset[str] = frozenset(),
    ) -> None:
        self._tokenizer, self._taught = tokenizer, taught
        self._learnt: npt.NDArray[np.bool_] = np.any(token_embedding != 0, axis=1)
        self._in_part = not self._learnt[: tokenizer.words_end].all()

    def knows(self, text: str) -> bool:
        """See `Vocabulary`."""
        words = [word for word in self._tokenizer.split(text) if says_something(word.text)]
        telling = [word for word in words if word.text not in _JOINING]
        return bool(telling) and all(
            word.is_whole and self._has_learnt(word.text, word.tokens) for word in telling
        )

    def _has_learnt(self, word: str, tokens: tuple[int, ...]) -> bool:
        if not self._in_part:
            return True
        if len(tokens) == 1:
            return bool(self._learnt[tokens[0]])
        taught = word in self._taught and bool(self._learnt[list(tokens)].all())
        return taught or self._is_compound(tokens)

    def _is_compound(self, tokens: tuple[int, ...]) -> bool:
        parts = map(self._tokenizer.as_word, tokens)
        return all(
            len(part.text) >= _PART_LETTERS
            and len(part.tokens) == 1
            and bool(self._learnt[part.tokens[0]])
            for part in parts
        )


def taught_words(embedder_name: str) -> frozenset[str]:
    """The words that a bundled embedder was taught by its list of labels; of others none."""
    if embedder_name != DEMO_EMBEDDER:
        return frozenset()
    lines = bundled_file(_DEMO_LABELS).read_text(encoding="utf-8").splitlines()
    texts = (text for entry in parse_labels(lines) for text in (entry.name, *entry.keywords))
    return frozenset(word for text in texts for word in _WORD.findall(text.lower()))
