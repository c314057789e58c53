"""Texts embedded without torch are the texts that open_clip embeds."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import ftfy
import huggingface_hub
import numpy as np
import open_clip
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from safetensors.torch import save_file
from support.tiny_clip import TINY, local, tiny_model, write_folder

from schemas.errors import ModelError, UsageError
from schemas.options import EmbedderOptions
from workers.embedders import clip_demo, numpy_text_encoder, openclip
from workers.embedders.clip_tokenizer import ClipTokenizer
from workers.models.catalog import CATALOG
from workers.registry import build_text_embedder

TEXTS = (
    "a red apple", "don't  STOP &amp;amp; go", "ünïcode 漢字 ☂️ 123", "w" * 300, "apple " * 100,
    "<end_of_text> and <START_OF_TEXT>", "ﬁve \t\n it's 5'11\"",
)  # fmt: skip
OURS, THEIRS = ClipTokenizer(20), open_clip.SimpleTokenizer(context_length=20)


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_open_clips(text: str) -> None:
    np.testing.assert_array_equal(OURS([text]), THEIRS([text]).numpy())


# Newer letters than Python knows are letters to one library and not yet to the other; ftfy may make
# one of two that Python does know.
@given(st.text(st.characters(exclude_categories=("Cn", "Cs"))))
def test_tokens_of_any_text_are_open_clips(text: str) -> None:
    assume(all(unicodedata.category(letter) != "Cn" for letter in ftfy.fix_text(text)))
    np.testing.assert_array_equal(OURS([text]), THEIRS([text]).numpy())


def test_vectors_of_the_demo_model_are_open_clips() -> None:
    options = EmbedderOptions(name="clip_demo", device="cpu")
    tower = numpy_text_encoder.build(options)
    assert tower is not None
    whole = clip_demo.build(options)
    assert (tower.name, tower.dim) == (whole.name, whole.dim)
    np.testing.assert_allclose(tower.embed_texts(TEXTS), whole.embed_texts(TEXTS), atol=2e-6)
    assert tower.embed_texts([]).shape == (0, whole.dim)


def test_vectors_of_a_folder_are_open_clips(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model")
    tower = numpy_text_encoder.build(EmbedderOptions(name=f"local-dir:{folder}"))
    assert tower is not None
    expected = local(folder).embed_texts(TEXTS)
    np.testing.assert_allclose(tower.embed_texts(TEXTS), expected, atol=2e-6)


@pytest.mark.long
def test_vectors_of_a_cached_model_are_open_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "ViT-B-32/laion2b_s34b_b79k"
    weights = tmp_path / "open_clip_model.safetensors"
    with openclip.silence_loading():
        model = open_clip.create_model("ViT-B-32", pretrained=None).eval()
    save_file(model.state_dict(), weights)
    lookups = []

    def cached(repository: str, file: str) -> str:
        lookups.append((repository, file))
        return str(weights)

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    tower = numpy_text_encoder.build(EmbedderOptions(name=name))
    assert tower is not None
    assert lookups == [("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_model.safetensors")]
    tokens = open_clip.get_tokenizer("ViT-B-32")(list(TEXTS))
    expected = model.encode_text(tokens, normalize=True).detach().numpy()
    np.testing.assert_allclose(tower.embed_texts(TEXTS), expected, atol=5e-6)


@pytest.mark.parametrize(
    ("change", "device"),
    [
        ({}, "cuda"),
        ({"quick_gelu": True}, "cpu"),
        ({"custom_text": True}, "cpu"),
        ({"text_cfg": {**TINY["text_cfg"], "pool_type": "last"}}, "cpu"),
    ],
)
def test_other_kinds_are_left_to_open_clip(
    tmp_path: Path, change: dict[str, object], device: str
) -> None:
    folder = write_folder(tmp_path / "model")
    description = folder / "open_clip_config.json"
    description.write_text(json.dumps({"model_cfg": {**TINY, **change}}))
    options = EmbedderOptions(name=f"local-dir:{folder}", device=device)
    assert numpy_text_encoder.build(options) is None


@pytest.mark.parametrize("written", ["{", "[]", '{"model_cfg": 3}', "\xff"])
def test_a_description_that_is_none_is_left_to_open_clips_error(
    tmp_path: Path, written: str
) -> None:
    folder = write_folder(tmp_path / "model")
    (folder / "open_clip_config.json").write_bytes(written.encode("latin-1"))
    options = EmbedderOptions(name=f"local-dir:{folder}", device="cpu")
    assert numpy_text_encoder.build(options) is None
    with pytest.raises(ModelError, match="expected a model that open_clip can load"):
        build_text_embedder(options)


def test_the_named_models_have_the_activation_that_the_tower_has() -> None:
    for entry in CATALOG:
        if entry.hub_repo:
            architecture, _, tag = entry.name.rpartition("/")
            assert not open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu")


def test_weights_that_are_not_there_are_left_to_open_clip(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model")
    (folder / "open_clip_model.safetensors").unlink()
    name = f"local-dir:{folder}"
    assert numpy_text_encoder.build(EmbedderOptions(name=name)) is None
    with pytest.raises(ModelError, match="such as open_clip_model"):
        build_text_embedder(EmbedderOptions(name=name, device="cpu"))


def test_damaged_and_foreign_weights_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model")
    options = EmbedderOptions(name=f"local-dir:{folder}")
    weights = folder / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="is damaged or no safetensors file"):
        numpy_text_encoder.build(options)
    state = tiny_model().state_dict()
    save_file({key: value for key, value in state.items() if "token" not in key}, weights)
    with pytest.raises(ModelError, match=r"token_embedding\.weight of shape .*, got none"):
        numpy_text_encoder.build(options)
    save_file({key: value for key, value in state.items() if "ln_final" not in key}, weights)
    tower = numpy_text_encoder.build(options)
    assert tower is not None
    with pytest.raises(ModelError, match="ln_final"):
        tower.embed_texts(["a cat"])
    state["text_projection"].zero_()
    save_file(state, weights)
    tower = numpy_text_encoder.build(options)
    assert tower is not None
    with pytest.raises(ModelError, match="finite text vectors"):
        tower.embed_texts(["a cat"])
    with pytest.raises(UsageError, match="got an empty one"):
        tower.embed_texts([" "])


def test_torch_is_not_imported_for_a_text() -> None:
    code = (
        "import sys\n"
        "from workers.registry import build_text_embedder\n"
        "from schemas.options import EmbedderOptions\n"
        "import pipeline.search.searcher\n"
        "build_text_embedder(EmbedderOptions(name='clip_demo')).embed_texts(['a cat'])\n"
        "print(sorted({'torch', 'open_clip'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
