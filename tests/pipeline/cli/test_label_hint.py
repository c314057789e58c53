"""A filter by a label that nothing has says which labels there are."""

from __future__ import annotations

import pytest

from pipeline.cli.label_hint import find_near_labels, print_label_hint
from pipeline.search.filter_syntax import parse_conditions

LABELS = ("red apple", "green apple", "crocodile", "mug", "tea cup", "heart", "star")


def test_labels_with_the_word_come_first_then_what_is_spelt_alike() -> None:
    assert find_near_labels("apple", LABELS) == ["red apple", "green apple"]
    assert find_near_labels("Cup of tea", LABELS) == ["tea cup"]
    assert find_near_labels("crocodil", LABELS) == ["crocodile"]
    assert find_near_labels("zzz", LABELS) == list(LABELS[:5])
    assert find_near_labels("apple", ()) == []


def test_only_a_label_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> list[str]:
        raise AssertionError("nothing names a label")

    print_label_hint(parse_conditions(["area>5", "labels!=apple", "labels^=red"]), refuse)
    print_label_hint(parse_conditions(["labels=mug"]), lambda: LABELS)
    assert capsys.readouterr().err == ""
    print_label_hint(parse_conditions(["labels=apple", "labels=mug"]), lambda: LABELS)
    told = "no object is labelled 'apple'; there are: red apple, green apple\n"
    assert capsys.readouterr().err == told
    print_label_hint(parse_conditions(["labels=apple"]), lambda: ())
    assert capsys.readouterr().err == "no object is labelled 'apple'; there are: none\n"
