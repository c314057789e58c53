"""Labels: lists, probabilities and words."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.colour_world import ColourEmbedder

import workers.labelling.labeller
from schemas.checksums import digest
from schemas.errors import UsageError
from schemas.labels import MAX_LABEL_CHARS, Label, LabelEntry, parse_labels
from schemas.options import EmbedderOptions, LabelOptions
from schemas.payload import PointPayload, best_labels
from schemas.points import WordShares
from schemas.search import Relevance
from workers.indexes.bm25 import query_words, uri_text, words_of
from workers.labelling.calibration import (
    Curve,
    LikelyBound,
    calibration_of,
    plain,
    softmax_odds,
    text_probability,
)
from workers.labelling.labeller import Labeller, build_labeller, entries_of

RED, BLUE = LabelEntry("red", ("scarlet",)), LabelEntry("blue")


def test_a_list_is_read_with_its_keywords() -> None:
    lines = ["# things", "", "mug: cup,  kitchen , cup", "  polar   bear ", "dog:"]
    assert parse_labels(lines) == (
        LabelEntry("mug", ("cup", "kitchen")),
        LabelEntry("polar bear"),
        LabelEntry("dog"),
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "it holds no label"),
        (["# only a comment"], "it holds no label"),
        (["dog", ": pet"], "line 2: expected a label before the colon"),
        (["dog", "cat", "dog: pet"], "line 3: the label 'dog' stands twice"),
        (["x" * (MAX_LABEL_CHARS + 1)], f"line 1: expected at most {MAX_LABEL_CHARS}"),
        ([f"label {n}" for n in range(20_001)], "expected at most 20,000 labels, got 20,001"),
    ],
)
def test_what_is_no_list_is_said(lines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_labels(lines)


def test_the_lists_that_come_along_are_whole() -> None:
    general = entries_of(LabelOptions(names="general"), "any")
    emoji = entries_of(LabelOptions(), "clip_demo")
    assert general is not None
    assert emoji is not None
    assert (len(general), len(emoji)) == (1202, 310)
    assert entries_of(LabelOptions(), "ViT-B-32/openai") == general
    assert entries_of(LabelOptions(names="none"), "clip_demo") is None


def test_a_list_of_ones_own_is_read_or_said_why_not(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("mug: cup\n")
    assert entries_of(LabelOptions(names=str(path)), "x") == (LabelEntry("mug", ("cup",)),)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not valid"):
        entries_of(LabelOptions(names=str(path)), "x")
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        entries_of(LabelOptions(names=str(tmp_path / "absent")), "x")


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_labels_are_the_most_likely_of_a_softmax(seed: int, top_k: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((9, 6)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    entries = [LabelEntry(f"label {n}") for n in range(5)]
    labeller = Labeller(entries, rows[:5], LabelOptions(top_k=top_k, min_score=0.01), "clip_demo")
    scale = calibration_of("clip_demo").label_scale
    logits = scale * (rows[5:] @ rows[:5].T).astype(np.float64)
    total = np.log(np.exp(logits).sum(axis=1))
    for naming, row, logsumexp in zip(labeller.name(rows[5:]), logits, total, strict=True):
        assert naming.logsumexp == pytest.approx(logsumexp, abs=1e-3)
        shares = np.exp(row - logsumexp)
        expected = [n for n in np.argsort(-shares)[:top_k] if shares[n] >= 0.0101]
        names = [chosen.name for chosen in naming.labels]
        assert names[: len(expected)] == [f"label {n}" for n in expected]
        assert [chosen.score for chosen in naming.labels] == sorted(
            (chosen.score for chosen in naming.labels), reverse=True
        )


def test_vectors_of_labels_are_kept_and_made_anew_for_another_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[str]] = []

    class Texts(ColourEmbedder):
        def embed_texts(self, texts):  # type: ignore[no-untyped-def]
            batches.append(list(texts))
            return super().embed_texts(texts)

    monkeypatch.setattr(workers.labelling.labeller, "build_text_embedder", lambda options: Texts())
    (tmp_path / "list.txt").write_text("red\nblue\n")
    options = LabelOptions(names=str(tmp_path / "list.txt"))
    for _ in range(2):
        made = build_labeller(options, EmbedderOptions(), tmp_path / "cache" / "models")
        assert made is not None
        assert [entry.name for entry in made.entries] == ["red", "blue"]
    assert batches == [["red", "blue"]]
    (kept,) = (tmp_path / "cache" / "labels").iterdir()
    kept.write_bytes(b"torn")
    (tmp_path / "list.txt").write_text("red\nblue\ngreen\n")
    build_labeller(options, EmbedderOptions(), tmp_path / "cache" / "models")
    (tmp_path / "list.txt").write_text("red\nblue\n")
    build_labeller(options, EmbedderOptions(), tmp_path / "cache" / "models")
    assert batches[1:] == [["red", "blue", "green"], ["red", "blue"]]


def test_words_weigh_as_much_as_their_label_is_sure() -> None:
    sure = words_of([Label(RED, 0.9)], "s3://bucket/x.jpg")
    unsure = words_of([Label(RED, 0.3)], "s3://bucket/x.jpg")
    assert sure.indices.tolist() == unsure.indices.tolist()
    np.testing.assert_allclose(sure.values, 3 * unsure.values, rtol=1e-5)
    word_query = query_words(["SCARLET things"])
    assert word_query is not None
    assert set(word_query.indices.tolist()) & set(sure.indices.tolist())
    assert sorted(sure.indices.tolist()) == sure.indices.tolist()


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://bucket/holiday_2026/IMG-12 beach.jpeg", "holiday 2026 img beach"),
        ("file:///home/me/caf%C3%A9/a.png", "me café"),
        ("s3://bucket/", ""),
        ("s3://bucket", ""),
    ],
)
def test_the_words_of_a_uri(uri: str, words: str) -> None:
    text = uri_text(uri)
    assert all(word in text.split() for word in words.split())
    assert "jpeg" not in text
    assert "bucket" not in text


def payload(**fields: object) -> PointPayload:
    plain_fields = {
        "kind": "object", "ordinal": 0, "store": "s3", "bucket": "b", "key": "k", "uri": "s3://b/k",
        "image_id": "i", "version": "v", "generation": "g", "fingerprint": "f", "segmenter": "s",
        "embedder": "clip_demo", "width": 10, "height": 10, "bbox": (0, 0, 5, 5), "area": 25,
        "area_frac": 0.25, "predicted_iou": 0.9, "stability_score": 0.95,
        "ingested_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return PointPayload.model_validate({**plain_fields, **fields})


def test_labels_do_not_change_what_a_verification_compares() -> None:
    named = payload(labels=("red",), label_scores=(0.5,), label_logsumexp=3.0, labelled_by="x")
    moved = payload(center_x_frac=0.25, center_y_frac=0.25)
    assert digest("id", payload()) == digest("id", named) == digest("id", moved)
    assert digest("id", payload(area=24)) != digest("id", payload())


def test_the_labels_of_an_image_are_its_objects_at_their_best() -> None:
    labels = [Label(RED, 0.4), Label(BLUE, 0.6), Label(RED, 0.8)]
    assert best_labels(labels) == (Label(RED, 0.8), Label(BLUE, 0.6))
    many = [Label(LabelEntry(str(n)), n / 100) for n in range(50)]
    assert [chosen.name for chosen in best_labels(many)] == [str(n) for n in range(49, 29, -1)]


def test_the_odds_of_a_text_that_is_a_label_and_of_one_that_is_none() -> None:
    named = payload(labels=("red apple",), label_scores=(0.8,), label_logsumexp=20.0)
    for text in ("red apple", "a red apple", "The red apple "):
        assert softmax_odds(30.0, text, 0.1, named) == pytest.approx(math.log(4))
    assert softmax_odds(30.0, "a pear", 0.7, named) == pytest.approx(1.0)
    # Labels with all of its words, if those are more likely.
    assert softmax_odds(30.0, "a pear", 0.7, named, WordShares(0.9)) == pytest.approx(math.log(9))
    assert softmax_odds(30.0, "a pear", 0.7, named, WordShares(0.6)) == pytest.approx(1.0)
    assert plain("another thing") == "another thing"
    sure = payload(labels=("red apple",), label_scores=(1.0,), label_logsumexp=20.0)
    assert math.isfinite(softmax_odds(30.0, "red apple", 0.1, sure))


def test_the_probability_of_a_text_is_a_curve_of_the_sum_it_is_ranked_by() -> None:
    demo = calibration_of("clip_demo")
    assert demo.text is not None
    named = payload(labels=("red apple",), label_scores=(0.8,), label_logsumexp=20.0)
    weights = demo.text_sum("fruit", label_words=True, uri_words=True)
    total = 30 * 0.7 + 5 * 0.9 - 0.5 * 20 + 4.5 * 0.6 + 2
    assert 30 * weights.add_up(0.7, 0.9, 20.0, WordShares(0.6, True)) == pytest.approx(total)
    found = text_probability(demo, weights, 0.7, named, WordShares(0.6, True))
    assert found == pytest.approx(demo.text.probability(total))
    without = demo.text_sum("fruit", label_words=False, uri_words=False)
    assert (without.label_words, without.uri_words, without.counts_words) == (0, 0, False)
    bare = text_probability(demo, without, 0.7, named, WordShares(0.6, True))
    assert bare == pytest.approx(demo.text.probability(total - 4.5 * 0.6 - 2))
    assert text_probability(demo, weights, 0.7, payload()) is None
    # Nothing was fitted for others: CLIP's own softmax, at its scale.
    other = calibration_of("another")
    softmax = text_probability(other, other.text_sum("a pear", label_words=True, uri_words=True),
                               0.21, named)  # fmt: skip
    assert softmax == pytest.approx(1 / (1 + math.exp(-1)))
    assert other.text_sum("x", label_words=True, uri_words=True).label_words == 0.045


def test_probabilities_become_words() -> None:
    demo = calibration_of("clip_demo")
    assert demo.relevance(0.99, 0.05) is Relevance.STRONG
    assert demo.relevance(0.05, 0.05) is Relevance.LIKELY
    assert demo.relevance(0.04, 0.05) is Relevance.WEAK
    assert Curve(0.0, (1.0,)).probability(math.log(3)) == pytest.approx(0.75)
    assert Curve(0.0, (1.0,)).probability(1e9) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="zip"):
        Curve(0.0, (1.0,)).probability(1.0, 2.0)


def test_more_objects_take_a_surer_hit() -> None:
    bound = LikelyBound(most=0.06, of_thousand=0.04)
    assert bound.among(0) == 0
    assert bound.among(250) == pytest.approx(0.02)
    assert bound.among(1000) == pytest.approx(0.04)
    assert bound.enough_objects == 2250
    assert bound.among(2250) == bound.among(10**6) == 0.06
    assert bound.among(2200) < 0.06
    fixed = LikelyBound(most=0.2)
    assert (fixed.among(1), fixed.among(10**6), fixed.enough_objects) == (0.2, 0.2, 0)


def test_a_score_from_which_on_a_label_is_right() -> None:
    for name in ("clip_demo", "ViT-B-32/laion2b_s34b_b79k"):
        known = calibration_of(name)
        scores = [known.label_score(step / 20) for step in range(21)]
        assert scores == sorted(scores)
        assert (scores[0], scores[-1] > 0.99) == (0.0, True)
        for probability in (0.25, 0.5, 0.8):
            score = known.label_score(probability)
            odds = math.log(score / (1 - score))
            assert known.label.probability(odds) == pytest.approx(probability, abs=0.001)
    assert calibration_of("another").label_score(0.5) == 0.5


def test_words_of_unlikely_labels_are_left_out() -> None:
    labels = [Label(RED, 0.9), Label(BLUE, 0.2)]
    both = words_of(labels, "s3://bucket/")
    sure = words_of(labels, "s3://bucket/", 0.21)
    assert len(both.indices) == len(sure.indices) + 1
    assert sure.indices.tolist() == words_of(labels[:1], "s3://bucket/").indices.tolist()
