"""Splits names and texts into words by Unicode's rules, in every script, for BM25.

Words are compared in NFKC with full case folding (Unicode Standard Annex 15, and chapter 3.13 of
the standard): names that are stored decomposed, as macOS does, in full-width letters or in another
case are found by their words. A mark belongs to the letter before it (Unicode Standard Annex 29,
WB4). Scripts that are written without blanks between words have no words without a dictionary:
their runs become pairs of neighbouring characters, as search engines do for Chinese; a character
is a grapheme cluster (GB1 to GB999 of the same annex). Only words are changed; keys never are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby, pairwise

import regex

# Korean has blanks, but not between a noun and its particles.
_SCRIPTS = (
    "Han", "Hiragana", "Katakana", "Bopomofo", "Hangul", "Yi", "Thai", "Lao", "Khmer", "Myanmar",
    "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Javanese", "Balinese",
)  # fmt: skip
# The sign for a long vowel is of no script, the ideograph for zero is no letter.
_ZERO = "\u3007"
_UNSPACED = "".join(rf"\p{{Script={script}}}" for script in _SCRIPTS) + f"\u30fc{_ZERO}"
_UNSPACED_CHARACTER = regex.compile(rf"[{_UNSPACED}]")
_IDEOGRAPH = regex.compile(r"\p{Script=Han}")
_LETTERS = regex.compile(rf"[\p{{L}}{_ZERO}][\p{{L}}\p{{M}}{_ZERO}]*")
_CHARACTER = regex.compile(r"\X")
# Of a name: a letter alone, or a short number, says nothing; a character of these scripts does.
_OF_NAMES = regex.compile(rf"\p{{L}}[\p{{L}}\p{{M}}]+|[{_UNSPACED}]|\p{{Nd}}{{4,}}")
_OTHER_DIGITS = regex.compile(r"[^\P{Nd}0-9]")
_BREAK = "\u200b"  # an invisible end of a word, in Thai and Khmer texts
_IGNORED = regex.compile(r"\p{Default_Ignorable_Code_Point}")
_TEXTS = 4096  # in memory: labels come again and again
_DOTTED_I = "i\u0307"  # which the Turkish capital is folded to


def normalize_words(text: str) -> str:
    """`text` as words are compared: NFKC, case folded, without what is invisible; 0 to 9."""
    visible = _IGNORED.sub("", text.replace(_BREAK, " "))
    folded = unicodedata.normalize("NFKC", visible).casefold().replace(_DOTTED_I, "i")
    composed = unicodedata.normalize("NFKC", folded)
    return str(_OTHER_DIGITS.sub(lambda digit: str(unicodedata.decimal(digit[0])), composed))


def words_of_name(name: str) -> list[str]:
    """The words of a name that say something: letters, and numbers as long as a year."""
    return list(_OF_NAMES.findall(normalize_words(name)))


def segment_document(text: str) -> str:
    """`text` with a blank at each end of a word, for a splitter at all but letters and digits.

    Pairs of characters stand for the runs of scripts without blanks, and ideographs alone too: one
    may be a word.
    """
    return _segment(text, with_ideographs=True)


def segment_query(text: str) -> str:
    """As `segment_document`, of what is searched for: pairs alone where there are any."""
    return _segment(text, with_ideographs=False)


@lru_cache(_TEXTS)
def _segment(text: str, *, with_ideographs: bool) -> str:
    def split(run: regex.Match[str]) -> str:
        return " ".join(_split_run(run[0], with_ideographs))

    return str(_LETTERS.sub(split, normalize_words(text)))


def _split_run(run: str, with_ideographs: bool) -> Iterator[str]:
    """The words of a run of letters with their marks."""
    characters = _CHARACTER.findall(run)
    for unspaced, group in groupby(characters, lambda each: bool(_UNSPACED_CHARACTER.match(each))):
        part = list(group)
        if not unspaced:
            yield _spell("".join(part))
            continue
        if len(part) == 1 or with_ideographs:
            yield from (_spell(each) for each in part if len(part) == 1 or _IDEOGRAPH.match(each))
        yield from (_spell(first + second) for first, second in pairwise(part))


def _spell(word: str) -> str:
    # Qdrant's own splitter ends a word at marks that are not alphabetic, a virama among them.
    return "".join(each if each.isalnum() else f"{ord(each):x}" for each in word)
