# ruff: noqa: RUF001
"""Texts that an embedder has learnt, and those that say nothing to it."""

from __future__ import annotations

import numpy as np
import pytest
from support.tiny_clip import exactly, local, write_folder

from schemas.options import EmbedderOptions, LabelOptions
from workers.embedders import clip_demo, numpy_text_encoder
from workers.embedders.clip_tokenizer import ClipTokenizer
from workers.embedders.known_words import AnyWords, ClipWords, HubWords, taught_words
from workers.labelling.labeller import entries_of
from workers.protocols import TextEmbedder

pytestmark = pytest.mark.trials

KNOWN = [
    "a red apple", "apple", "RED APPLE", "  red   apple ", "red apple!", "(red) \"apple\"",
    "a photo of a dog", "dog's", "the dog", "T-shirt", "snowman", "traffic light", "a cat & dog",
    "happy face", "black and white", "zebra fish", "zebrafish", "ｒｅｄ ａｐｐｌｅ",
    "red&nbsp;apple", "red&amp;apple", "cafe", "guitar, guitar; guitar",
]  # fmt: skip
UNKNOWN = [
    "^", "`", "~", "|", "...", "!?", "—", "“”", "\u200b", "\ufe0f", "$", "%%%", "_", "()", "\u0301",
    "🐶", "😂", "👨\u200d👩\u200d👧", "🇩🇪", "©", "①", "½", "∞",
    "東京", "猫", "ねこ", "고양이", "แมว", "ပန်း", "мяч", "собака", "σκύλος", "כלב", "كلب", "कुत्ता",
    "ein Hund", "chien", "perro", "un gato", "Äpfel", "A\u0308pfel", "résumé",
    "zyxwv", "asdfgh", "qwerty", "hjkl", "vxzq", "blorptastic", "IMG_zq", "a", "the", "of the",
    "red zyxwv", "zyxwv apple", "a dog and a zyxwv", "red 猫", "guitar 🎸", "carburetor",
    "http://xkqj.example", "<script>zq</script>", "'; DROP TABLE zq; --", "\x00", "\ufffd",
]  # fmt: skip


@pytest.fixture(scope="module")
def demo() -> TextEmbedder:
    tower = numpy_text_encoder.build(EmbedderOptions())
    assert tower is not None
    return tower


@pytest.mark.parametrize("text", KNOWN)
def test_the_demo_knows_what_it_was_taught(demo: TextEmbedder, text: str) -> None:
    assert demo.knows_text(text)


@pytest.mark.parametrize("text", UNKNOWN)
def test_the_demo_does_not_know_what_it_never_saw(demo: TextEmbedder, text: str) -> None:
    assert not demo.knows_text(text)


def test_the_demo_knows_all_labels_and_their_words(demo: TextEmbedder) -> None:
    entries = entries_of(LabelOptions(), "clip_demo")
    assert entries is not None
    texts = {text for entry in entries for text in (entry.name, *entry.keywords)}
    assert len(texts) > 500
    assert [text for text in sorted(texts) if not demo.knows_text(text)] == []


@pytest.mark.long
def test_both_implementations_know_the_same(demo: TextEmbedder) -> None:
    other = clip_demo.build(exactly())
    for text in (*KNOWN, *UNKNOWN):
        assert other.knows_text(text) == demo.knows_text(text), text


def test_a_model_that_learnt_every_token_knows_words_of_whole_characters(tmp_path) -> None:
    for model in (
        local(write_folder(tmp_path / "model")),
        numpy_text_encoder.build(exactly(name=f"local-dir:{tmp_path / 'model'}")),
    ):
        assert model is not None
        for text in ("zyxwv", "a carburetor", "perro", "Äpfel", "🐶", "résumé", "123"):
            assert model.knows_text(text), text
        for text in ("東京", "แมว", "^", "...", "猫 dog"):
            assert not model.knows_text(text), text


def test_a_token_that_was_never_learnt_is_not_known() -> None:
    tokenizer = ClipTokenizer(16)
    rows = np.ones((49408, 2), np.float16)
    assert ClipWords(tokenizer, rows).knows("a red apple")
    (apple,) = tokenizer.split("apple")
    rows[list(apple.tokens)] = 0
    assert not ClipWords(tokenizer, rows).knows("a red apple")
    assert ClipWords(tokenizer, rows).knows("a red dog")


def test_what_is_cut_off_does_not_count() -> None:
    rows = np.ones((49408, 2), np.float16)
    assert ClipWords(ClipTokenizer(4), rows).knows("red apple 東京")
    assert not ClipWords(ClipTokenizer(8), rows).knows("red apple 東京")


def test_words_are_split_with_their_tokens() -> None:
    words = ClipTokenizer(16).split("A Zebrafish's 🐶")
    assert [word.text for word in words] == ["a", "zebrafish", "'s", "🐶"]
    assert [len(word.tokens) for word in words] == [1, 2, 1, 1]
    assert [word.is_whole for word in ClipTokenizer(16).split("猫 東京")] == [False, False]


def test_a_tokenizer_of_the_hub_says_itself_what_it_does_not_know() -> None:
    class Hub:
        unk_token_id = 3

        def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
            assert not add_special_tokens
            return {"input_ids": [3 if word == "zyxwv" else 7 for word in text.split()]}

    assert HubWords(Hub()).knows("ein Hund")
    assert not HubWords(Hub()).knows("ein zyxwv")
    assert not HubWords(Hub()).knows("^")
    assert AnyWords().knows("ein Hund")
    assert not AnyWords().knows("^")


def test_only_the_demo_was_taught_a_list() -> None:
    assert {"apple", "animal"} <= taught_words("clip_demo")
    assert taught_words("ViT-B-32/laion2b_s34b_b79k") == frozenset()
