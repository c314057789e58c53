"""One contract over every embedder, and what each of them refuses."""

import json
import logging
import pickle
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from support.object_masks import object_mask
from support.tiny_clip import HALVES, TINY, exactly, local, tiny_model, write_folder

from pipeline.demo.scenes import compose
from pipeline.demo.sprites import bundled_sprites
from schemas.errors import DownloadError, ModelError, UnknownModelError, UsageError
from workers.embedders import clip_demo, openclip
from workers.embedders.clip_embedder import silence_loading
from workers.embedders.embed_objects import embed_masks
from workers.images.crops import square_image
from workers.models.catalog import bundled_path, find
from workers.models.clip_demo_architecture import create_clip_demo


def put_into_hub_cache(monkeypatch, cache, weights):
    """A tag of a tiny architecture, its weights in a cache laid out as the hub's client does."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    tag = {"hf_hub": "objseek/tiny/", "quick_gelu": True, **HALVES}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "objseek-tiny", {"random": tag})
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "objseek-tiny", TINY)
    repository = cache / "models--objseek--tiny"
    snapshot = repository / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    if weights is not None:
        save_file(weights, snapshot / "open_clip_model.safetensors")
    return "objseek-tiny/random"


@dataclass
class Kind:
    build: object
    dim: int


@pytest.fixture(scope="module")
def demo_weights(tmp_path_factory):
    torch.manual_seed(0)
    with silence_loading():
        state = create_clip_demo().half().state_dict()
    path = tmp_path_factory.mktemp("demo") / "clip_demo.safetensors"
    save_file(state, path)
    return path


@pytest.fixture(params=["clip_demo", "local-dir", "architecture/pretrained"])
def kind(request, tmp_path, monkeypatch, demo_weights):
    if request.param == "clip_demo":
        return Kind(
            lambda **options: clip_demo.from_weights(demo_weights, exactly(**options)),
            256,
        )
    if request.param == "local-dir":
        folder = write_folder(tmp_path / "model")
        return Kind(lambda **options: local(folder, **options), 24)
    name = put_into_hub_cache(monkeypatch, tmp_path, tiny_model(quick_gelu=True).state_dict())
    return Kind(lambda **options: openclip.build(exactly(name=name, **options)), 24)


def crops_of_any_size(seed=0):
    rng = np.random.default_rng(seed)
    sizes = [(40, 40), (1, 1), (17, 90), (90, 17), (64, 64), (1, 50), (300, 200)]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_images_become_unit_rows_the_same_in_any_batch(kind):
    embedder = kind.build(batch_size=3)
    crops = crops_of_any_size()
    vectors = embedder.embed_images(crops)
    assert vectors.shape == (len(crops), embedder.dim) == (7, kind.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for crop, vector in zip(crops, vectors, strict=True):
        np.testing.assert_allclose(embedder.embed_images([crop])[0], vector, atol=1e-5)
    np.testing.assert_allclose(embedder.embed_images(crops[::-1])[::-1], vectors, atol=1e-5)


def test_texts_become_unit_rows_of_the_same_space(kind):
    embedder = kind.build(batch_size=2)
    texts = ["a red apple", "кошка 🐈", "apple " * 100]
    vectors = embedder.embed_texts(texts)
    assert vectors.shape == (3, embedder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embedder.embed_texts(texts[:1]), vectors[:1], atol=1e-5)
    assert not np.allclose(vectors[0], vectors[1], atol=1e-3)


def test_flat_crops_and_no_crops_are_fine(kind):
    embedder = kind.build()
    flat = [np.full((side, side, 3), value, np.uint8) for side in (1, 30) for value in (0, 128)]
    vectors = embedder.embed_images(flat)
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)
    np.testing.assert_allclose(vectors[1], vectors[3], atol=1e-5)
    assert embedder.embed_images([]).shape == (0, kind.dim)
    assert embedder.embed_texts([]).shape == (0, kind.dim)


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_is_refused(kind, text):
    with pytest.raises(UsageError, match="got an empty one"):
        kind.build().embed_texts(["a cat", text])


def test_a_crop_that_is_not_square_is_shown_whole(kind):
    embedder = kind.build(cutout_fill=(10, 20, 30))
    crop = crops_of_any_size()[2]
    padded = square_image(crop, (10, 20, 30))
    np.testing.assert_allclose(
        embedder.embed_images([crop]), embedder.embed_images([padded]), atol=1e-6
    )
    changed = crop.copy()
    changed[:, :4] = 255 - changed[:, :4]
    assert not np.allclose(
        embedder.embed_images([crop]), embedder.embed_images([changed]), atol=1e-5
    )


@pytest.mark.parametrize(
    "crops",
    [
        {"views": "both"},
        {"views": "both", "context_margin": 0.0, "to_square": "squash", "cutout_weight": 0.9},
        {"views": "cutout", "cutout_background": "blur", "context_margin": 0.3},
        {"views": "both", "cutout_background": "mean", "to_square": "pad"},
    ],
)
def test_whatever_the_crops_a_model_of_open_clip_is_fed_squares_of_its_size(tmp_path, crops):
    options = exactly(**crops)
    embedder = local(write_folder(tmp_path / "model"), **crops)
    fed, encode = [], embedder._model.encode_image
    embedder._model.encode_image = lambda batch: fed.append(tuple(batch.shape)) or encode(batch)
    image = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    rows, columns = np.ogrid[:90, :160]
    masks = [object_mask(abs(rows - y) + 3 * abs(columns - x) < 30) for x, y in ((8, 80), (80, 40))]
    vectors = embed_masks(image, masks, embedder, options)
    assert fed == [(2 * len(options.view_weights), 3, 32, 32)]
    assert vectors.shape == (2, 24)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def _natural_crops(count):
    """Squares of scenes, most of them small."""
    rng = np.random.default_rng(0)
    sprites = bundled_sprites()
    scenes = [compose(rng, sprites).image for _ in range(4)]
    crops = []
    for number in range(count):
        side = int(np.exp(rng.uniform(np.log(12), np.log(480))))
        image = scenes[number % len(scenes)]
        top, left = (int(rng.integers(length - side + 1)) for length in image.shape[:2])
        crops.append(image[top : top + side, left : left + side])
    return crops


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_squares_are_preprocessed_as_open_clip_does(count):
    embedder = clip_demo.build(exactly())
    with silence_loading():
        model = create_clip_demo().eval()
        model.load_state_dict(embedder._model.state_dict())
    preprocess = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg), is_train=False
    )
    crops = _natural_crops(count)
    with torch.inference_mode():
        batch = torch.stack([preprocess(Image.fromarray(crop)) for crop in crops])
        wanted = model.encode_image(batch, normalize=True).numpy()
    cosines = (embedder.embed_images(crops) * wanted).sum(axis=1)
    assert np.median(cosines) >= 0.999
    assert cosines.min() >= 0.99


def test_in_bfloat16_objects_keep_their_vectors():
    crops = _natural_crops(200)
    exact, half = (clip_demo.build(exactly(precision=name)) for name in ("fp32", "bf16"))
    convolved = [x for x in half._model.visual.modules() if isinstance(x, torch.nn.Conv2d)]
    assert {convolution.weight.dtype for convolution in convolved} == {torch.bfloat16}
    vectors = half.embed_images(crops)
    assert vectors.dtype == np.float32
    cosines = (vectors * exact.embed_images(crops)).sum(axis=1)
    assert np.median(cosines) >= 0.999
    assert 0.99 <= cosines.min() < 1 - 1e-6
    np.testing.assert_array_equal(half.embed_texts(["a cup"]), exact.embed_texts(["a cup"]))
    assert half.fingerprint == exact.fingerprint


def test_a_tag_brings_its_own_activation_and_colours(tmp_path, monkeypatch):
    model = tiny_model(quick_gelu=True)
    name = put_into_hub_cache(monkeypatch, tmp_path, model.state_dict())
    embedder = openclip.build(exactly(name=name))
    crop = np.full((32, 32, 3), 255, np.uint8)
    white = torch.full((1, 3, 32, 32), (1 - 0.5) / 0.25)
    with torch.inference_mode():
        expected = model.eval().encode_image(white, normalize=True).numpy()
    np.testing.assert_allclose(embedder.embed_images([crop]), expected, atol=1e-6)
    assert embedder.name == name


def test_the_fingerprint_is_of_what_makes_the_vectors(kind):
    same = kind.build()
    assert kind.build(batch_size=5).fingerprint == same.fingerprint
    others = [
        kind.build(views="context"),
        kind.build(context_margin=0.2),
        kind.build(cutout_fill=(0, 0, 0)),
        kind.build(views="cutout", cutout_background="blur"),
        kind.build(views="both", cutout_weight=0.75),
        kind.build(to_square="pad"),
    ]
    assert len({same.fingerprint, *(other.fingerprint for other in others)}) == 7


def test_the_fingerprint_covers_weights_and_preprocessing(tmp_path):
    folder = write_folder(tmp_path / "model")
    first = local(folder).fingerprint
    elsewhere = write_folder(tmp_path / "elsewhere")
    assert local(elsewhere).fingerprint == first
    assert local(write_folder(folder, seed=1)).fingerprint != first
    assert local(write_folder(folder, preprocess={})).fingerprint != first
    (folder / "open_clip_model.safetensors").unlink()
    torch.save(tiny_model(0).state_dict(), folder / "open_clip_model.bin")
    write_config = {"model_cfg": TINY, "preprocess_cfg": HALVES}
    (folder / "open_clip_config.json").write_text(json.dumps(write_config))
    assert local(folder).fingerprint == first


@pytest.mark.filterwarnings("error")
def test_making_a_model_says_nothing_and_leaves_logging_alone(kind, capfd, caplog):
    root = logging.getLogger()
    before = list(root.handlers), list(root.filters), root.level
    with caplog.at_level(logging.INFO):
        kind.build()
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
    assert (list(root.handlers), list(root.filters), root.level) == before


def test_vectors_that_are_not_finite_are_refused(tmp_path):
    model = tiny_model()
    with torch.no_grad():
        model.visual.proj.fill_(float("nan"))
        model.text_projection.zero_()
    folder = write_folder(tmp_path / "model")
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    embedder = local(folder)
    with pytest.raises(ModelError, match="got 2 of 2 image vectors that are not"):
        embedder.embed_images(crops_of_any_size()[:2])
    with pytest.raises(ModelError, match="got 1 of 1 text vectors that are not"):
        embedder.embed_texts(["a cat"])


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ViT-B-32/openia", "'ViT-B-32/openai'"),
        ("vit-b-32/laion2b_s34b_b79k", "'ViT-B-32/laion2b_s34b_b79k'"),
        ("ViT-B-32", "'ViT-B-32/openai'"),
        ("§§/§§", "models --all"),
    ],
)
def test_an_unknown_name_is_refused_with_those_near_it(name, near):
    with pytest.raises(UnknownModelError) as caught:
        openclip.build(exactly(name=name))
    assert str(caught.value).startswith(f"no embedder is called {name!r}: ")
    assert near in str(caught.value)


def test_without_network_the_error_says_what_to_put_where(tmp_path, monkeypatch):
    name = put_into_hub_cache(monkeypatch, tmp_path, None)
    with pytest.raises(DownloadError) as caught:
        openclip.build(exactly(name=name))
    message = str(caught.value)
    for part in (name, "objseek/tiny", "open_clip_model.safetensors", str(tmp_path), "local-dir:"):
        assert part in message
    assert "\n" not in message
    assert isinstance(caught.value, ModelError)


def test_every_tag_of_open_clip_lies_on_the_hub():
    for architecture, tag in open_clip.list_pretrained():
        assert "/" in open_clip.get_pretrained_cfg(architecture, tag)["hf_hub"]


def damaged_folders():
    def without_folder(folder):
        return folder / "nowhere", "nowhere/open_clip_config.json"

    def without_config(folder):
        (folder / "open_clip_config.json").unlink()
        return folder, "open_clip_config.json, and there is no such file"

    def without_weights(folder):
        (folder / "open_clip_model.safetensors").unlink()
        return folder, "such as open_clip_model.safetensors"

    def broken_config(folder):
        (folder / "open_clip_config.json").write_text("{")
        return folder, "Could not load valid config"

    def truncated(folder):
        weights = folder / "open_clip_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        return folder, "SafetensorError"

    def of_another_model(folder):
        save_file({"logit_scale": torch.ones(())}, folder / "open_clip_model.safetensors")
        return folder, "state_dict"

    def with_code(folder):
        (folder / "open_clip_model.safetensors").unlink()
        (folder / "open_clip_model.bin").write_bytes(pickle.dumps({"state_dict": Path.home}))
        return folder, "Weights only load failed"

    return [
        without_folder, without_config, without_weights, broken_config, truncated,
        of_another_model, with_code,
    ]  # fmt: skip


@pytest.mark.parametrize("damage", damaged_folders(), ids=lambda damage: damage.__name__)
def test_a_damaged_folder_is_refused_in_one_sentence(tmp_path, damage):
    folder, expected = damage(write_folder(tmp_path / "model"))
    with pytest.raises(ModelError) as caught:
        local(folder)
    assert expected in str(caught.value)
    assert f"local-dir:{folder}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_demo_weights_that_are_absent_or_of_another_model_are_refused(tmp_path):
    options = exactly()
    with pytest.raises(ModelError, match=r"none\.safetensors"):
        clip_demo.from_weights(tmp_path / "none.safetensors", options)
    save_file(tiny_model().state_dict(), tmp_path / "tiny.safetensors")
    with pytest.raises(ModelError, match="clip_demo"):
        clip_demo.from_weights(tmp_path / "tiny.safetensors", options)


def test_half_precision_weights_are_widened(demo_weights):
    embedder = clip_demo.from_weights(demo_weights, exactly())
    model = embedder._model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not model.training


def test_the_bundled_weights_know_what_a_cat_is():
    if not bundled_path(find("clip_demo")).is_file():
        pytest.skip("the trained weights of clip_demo are not bundled in this checkout")
    embedder = clip_demo.build(exactly())
    cat, photo, airplane = embedder.embed_texts(["cat", "a photo of a cat", "airplane"])
    assert cat @ photo > cat @ airplane
    assert embedder.embed_images(crops_of_any_size()).shape == (7, 256)


def test_without_its_text_tower_an_embedder_makes_the_same_vectors_of_images(kind):
    whole, images_only = kind.build(), kind.build()
    images_only.forget_texts()
    crops = crops_of_any_size()
    np.testing.assert_array_equal(images_only.embed_images(crops), whole.embed_images(crops))
    assert images_only.fingerprint == whole.fingerprint


def test_a_text_tower_that_is_forgotten_takes_no_memory(tmp_path):
    images_only = local(write_folder(tmp_path / "model"))
    before = sum(weights.numel() for weights in images_only._model.parameters())
    images_only.forget_texts()
    left = sum(weights.numel() for weights in images_only._model.parameters())
    towers = images_only._model.visual.parameters()
    assert left < before
    assert left <= sum(weights.numel() for weights in towers) + 2  # scale and bias of the logits
