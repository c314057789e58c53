"""Files of texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.manifest.known_pipelines import _settings_key
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.options import LabelOptions
from workers.labelling.text_file import read_texts
from workers.labelling.text_match import build_matcher


def test_a_text_a_line(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("# fruit\na red apple\n\n  a pear \na red apple\n")
    assert read_texts(path) == ("a red apple", "a pear")
    path.write_text("# none\n")
    with pytest.raises(UsageError, match=r"expected a text a line in .*, got none"):
        read_texts(path)
    with pytest.raises(UsageError, match=r"the texts .*none\.txt cannot be read"):
        read_texts(tmp_path / "none.txt")


def test_settings_with_other_texts_are_another_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    keys = {_settings_key(Settings())}
    for text in ("an apple", "a pear"):
        path.write_text(text)
        keys.add(_settings_key(Settings(text_prompts=path)))
    keys.add(_settings_key(Settings(text_prompts=path, labels=LabelOptions(names="general"))))
    assert len(keys) == 4


def test_the_demo_matches_what_it_has_learnt(tmp_path: Path) -> None:
    options = Settings().embedder
    matcher = build_matcher(("a red apple",), LabelOptions(), options, tmp_path)
    assert matcher.texts == ("a red apple",)
    with pytest.raises(UsageError, match="expected a text of words that clip_demo has learnt, got"):
        build_matcher(("qwertzu",), LabelOptions(), options, tmp_path)
    with pytest.raises(UsageError, match=r"got the setting labels\.names of none"):
        build_matcher(("a red apple",), LabelOptions(names="none"), options, tmp_path)
