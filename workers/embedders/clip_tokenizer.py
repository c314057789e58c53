"""Tokenizes texts as CLIP does, without torch, by the vocabulary that comes with open_clip."""

from __future__ import annotations

import gzip
import html
import importlib.util
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ftfy
import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

_VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
_MERGES = 49152 - 256 - 2  # of the file's lines, after its first; CLIP uses no more
_START, _END = "<start_of_text>", "<end_of_text>"
_END_OF_WORD = "</w>"
_CUT = "\ufffd"  # what is decoded of a part of a character
_WORDS = rf"(?i){_START}|{_END}|'s|'t|'re|'ve|'m|'ll|'d|\p{{L}}+|\p{{N}}|[^\s\p{{L}}\p{{N}}]+"


def open_clip_folder() -> Path:
    """Where the package lies, without importing it."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("open_clip is not installed")
    return Path(spec.origin).parent


@dataclass(frozen=True, slots=True)
class TokenizedWord:
    """A word, in lower case, with its tokens. `is_whole`: none of them ends within a character."""

    text: str
    tokens: tuple[int, ...]
    is_whole: bool


class ClipTokenizer:
    """What `open_clip.SimpleTokenizer` does to lower-cased text (A. Radford et al., CLIP, 2021)."""

    def __init__(self, context_length: int) -> None:
        self.context_length = context_length
        with gzip.open(open_clip_folder() / _VOCABULARY, "rt", encoding="utf-8") as file:
            lines = file.read().split("\n")[1 : _MERGES + 1]
        merges = [(first, second) for first, second in (line.split() for line in lines)]
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        vocabulary = [*letters, *(letter + _END_OF_WORD for letter in letters)]
        vocabulary += ["".join(merge) for merge in merges] + [_START, _END]
        numbers = {token: number for number, token in enumerate(vocabulary)}
        self._start, self._end = numbers[_START], numbers[_END]
        self.words_end = numbers[_START]
        self._decoder = decoders.ByteLevel()
        self._tokenizer = Tokenizer(
            models.BPE(vocab=numbers, merges=merges, end_of_word_suffix=_END_OF_WORD)
        )
        self._tokenizer.add_special_tokens([_START, _END])
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """int64 (len(texts), context_length), zero behind each text's end."""
        tokens = np.zeros((len(texts), self.context_length), np.int64)
        for row, text in zip(tokens, texts, strict=True):
            found = self._tokenizer.encode(_clean(text)).ids[: self.context_length - 2]
            row[: len(found) + 2] = [self._start, *found, self._end]
        return tokens

    def split(self, text: str) -> list[TokenizedWord]:
        """The words of a text, as far as they are not cut off."""
        encoding = self._tokenizer.encode(_clean(text))
        groups: dict[int | None, list[int]] = defaultdict(list)
        kept = encoding.ids[: self.context_length - 2]
        for token, word in zip(kept, encoding.word_ids, strict=False):
            groups[word].append(token)
        return [self._to_word(tuple(tokens)) for tokens in groups.values()]

    def as_word(self, token: int) -> TokenizedWord:
        """The word that the letters of a token would be if it stood alone."""
        letters = self._decode((token,))
        words = self._tokenizer.encode(letters).ids
        return TokenizedWord(letters, tuple(words), _CUT not in letters)

    def _to_word(self, tokens: tuple[int, ...]) -> TokenizedWord:
        is_whole = not any(_CUT in self._decode((token,)) for token in tokens)
        return TokenizedWord(self._decode(tokens), tokens, is_whole)

    def _decode(self, tokens: tuple[int, ...]) -> str:
        pieces = [self._tokenizer.id_to_token(token) or "" for token in tokens]
        return str(self._decoder.decode(["".join(pieces).removesuffix(_END_OF_WORD)]))


def _clean(text: str) -> str:
    clean = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(clean.split()).lower()
