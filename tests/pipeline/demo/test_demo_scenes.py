"""Scenes and their ground truth: deterministic, exact, of held-out pairs only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.demo.bucket import TRUTH_FILE, write_bucket
from pipeline.demo.scenes import MAX_OBJECTS, SCENE_HW, compose
from pipeline.demo.sprites import HELD_OUT_LICENCES as STYLES_APART
from pipeline.demo.sprites import (
    LICENCES,
    STYLES,
    Concept,
    Sprite,
    bundled_sprites,
    held_out_sprites,
    trim,
)
from pipeline.training.held_out_styles import find_body
from pipeline.training.rasterize_icons import (
    KIN,
    PLAIN,
    choose_held_out,
    choose_training,
    colour_plain,
    find_icons,
    icon_name,
    select_concepts,
    select_extras,
)
from schemas.coco_reader import load_truth
from schemas.masks import CocoRle


def test_bundle_holds_named_licensed_sprites() -> None:
    sprites = bundled_sprites()
    assert len(sprites) == 352
    assert len({(sprite.concept.name, sprite.style) for sprite in sprites}) == 352
    assert {sprite.style for sprite in sprites} == set(LICENCES)
    assert all(sprite.concept.label and sprite.rgba.shape[2] == 4 for sprite in sprites)
    assert sum(bool(sprite.concept.keywords) for sprite in sprites) > 340


def test_a_bundle_holds_styles_that_nothing_has_learnt_from() -> None:
    sprites = held_out_sprites()
    assert len(sprites) == 600
    drawn = {style: {s.concept.name for s in sprites if s.style == style} for style in STYLES_APART}
    # Each thing in both styles, so that one can be searched with for the other.
    assert [len(names) for names in drawn.values()] == [300, 300]
    assert len(set.union(*drawn.values())) == 300
    assert not set(STYLES_APART) & {*STYLES, *KIN}
    assert all(sprite.rgba[..., 3].max() == 255 for sprite in sprites)


def test_a_glyph_is_filled_but_for_what_is_open() -> None:
    ink = np.zeros((20, 20), np.float32)
    ink[5:15, 5:15] = 1
    ink[7:12, 7:12] = 0
    assert find_body(ink).sum() == 100
    ink[5:15, 10] = 0
    assert find_body(ink).sum() == 70


def test_bundle_is_the_held_out_share() -> None:
    held = choose_held_out(790)
    assert held.sum() == len(bundled_sprites())
    assert not held.all(axis=1).any()


def test_another_version_of_a_held_out_drawing_is_not_learnt() -> None:
    styles = [*STYLES, *KIN]
    held = np.zeros((2, len(STYLES)), bool)
    held[0, styles.index("noto")] = True
    drawn = np.ones((2, len(styles)), bool)
    drawn[1, styles.index("fxemoji")] = False
    learnt = choose_training(drawn, held)
    assert {styles[column] for column in np.flatnonzero(~learnt[0])} == {"noto", "noto-v1"}
    assert {styles[column] for column in np.flatnonzero(~learnt[1])} == {"fxemoji"}


def test_drawings_of_one_colour_take_that_of_the_others_that_are_learnt() -> None:
    styles = [*STYLES, *KIN]
    sprites = np.zeros((2, len(styles), 4, 4, 4), np.uint8)
    sprites[..., 3] = 255
    sprites[0, 0, ..., :3], sprites[0, 1, ..., :3] = (200, 100, 0), (0, 0, 200)
    seen = np.zeros((2, len(styles)), bool)
    seen[0, [0, *map(styles.index, PLAIN)]] = True
    colour_plain(sprites, seen, styles)
    for style in PLAIN:
        assert (sprites[0, styles.index(style), ..., :3] == (200, 100, 0)).all()
        assert not sprites[1, styles.index(style), ..., :3].any()
    assert (sprites[0, 1, ..., :3] == (0, 0, 200)).all()


def test_icons_are_found_however_a_pack_joins_their_words() -> None:
    names = ("red-apple", "maple-leaf", "kite", "fox", "pie", "pig", "pig-face")
    icons = ["mapleleaf", "red-apple", "fox-face", "pie-1", "pie-2", "kites", "pig-face"]
    found = find_icons([Concept(name, name, ()) for name in names], icons)
    # A pig's face is not what a pig looks like where both are asked for.
    assert found == ["red-apple", "mapleleaf", None, "fox-face", "pie-1", None, "pig-face"]


def test_people_and_signs_are_learnt_from_but_no_twin_of_a_held_out_thing() -> None:
    entries = [
        {"label": "black bird", "group": 3, "tags": ["raven"]},
        {"label": "bird", "group": 3},
        {"label": "artist", "group": 1, "tags": ["painter", "artist"]},
        {"label": "woman artist", "group": 1},
        {"label": "flag: Malta", "group": 9},
        {"label": "sign seen once", "group": 8},
    ]
    names = {"black-bird", "bird", "artist", "woman-artist", "flag-malta"}
    packs = {style: {"icons": dict.fromkeys(names)} for style in STYLES}
    packs[STYLES[0]]["icons"]["sign-seen-once"] = None
    del packs[STYLES[1]]["icons"]["black-bird"]
    chosen = select_concepts(entries, packs)
    assert [concept.name for concept in chosen] == ["bird"]
    assert select_extras(entries, packs, chosen) == [Concept("artist", "artist", ("painter",))]


def test_icon_names_follow_the_packs() -> None:
    assert icon_name("woman\u2019s hat") == "womans-hat"
    assert icon_name("T-Rex") == "t-rex"


def test_compose_is_deterministic_for_a_seed() -> None:
    first = compose(np.random.default_rng(5), bundled_sprites())
    again = compose(np.random.default_rng(5), bundled_sprites())
    other = compose(np.random.default_rng(6), bundled_sprites())
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
    assert [o.concept for o in first.objects] == [o.concept for o in again.objects]


@pytest.mark.parametrize("seed", range(6))
def test_masks_are_disjoint_and_fractions_true(seed: int) -> None:
    scene = compose(np.random.default_rng(seed), bundled_sprites())
    assert scene.image.shape == (*SCENE_HW, 3)
    assert scene.image.dtype == np.uint8
    assert len(scene.objects) <= MAX_OBJECTS
    if scene.objects:
        assert np.sum([item.mask for item in scene.objects], axis=0).max() == 1
    assert all(0 < item.visible_fraction <= 1 for item in scene.objects)


def test_mask_is_where_the_sprite_is() -> None:
    red = np.zeros((60, 40, 4), np.uint8)
    red[..., 0], red[..., 3] = 255, 255
    sprite = Sprite(Concept("red", "red", ()), "noto", red)
    scene = compose(np.random.default_rng(3), [sprite])
    item = scene.objects[-1]
    inside = scene.image[item.mask].astype(int)
    assert (inside[:, 0] > inside[:, 1] + 60).mean() > 0.95


def test_trim_cuts_to_what_is_visible() -> None:
    rgba = np.zeros((20, 30, 4), np.uint8)
    rgba[4:9, 10:12, 3] = 255
    assert trim(rgba).shape == (5, 2, 4)
    with pytest.raises(ValueError, match="no visible pixel"):
        trim(np.zeros((4, 4, 4), np.uint8))


def test_bucket_and_truth_agree(tmp_path: Path) -> None:
    written = write_bucket(tmp_path, scenes=4, seed=1)
    truth = load_truth(tmp_path / TRUTH_FILE)
    assert truth == written
    assert len(truth.images) == 4
    held_out = {sprite.concept.label for sprite in bundled_sprites()}
    assert {category.name for category in truth.categories} <= held_out
    sizes = {image.id: (image.height, image.width) for image in truth.images}
    for image in truth.images:
        with Image.open(tmp_path / image.file_name) as picture:
            assert picture.size == (image.width, image.height)
    assert truth.annotations
    for annotation in truth.annotations:
        assert isinstance(annotation.segmentation, dict)
        rle = CocoRle(sizes[annotation.image_id], annotation.segmentation["counts"])
        assert tuple(annotation.segmentation["size"]) == rle.size_hw
        mask = rle.decode()
        assert mask.sum() == annotation.area
        ys, xs = np.nonzero(mask)
        x, y, width, height = annotation.bbox
        assert (xs.min(), ys.min()) == (x, y)
        assert (xs.max() + 1 - x, ys.max() + 1 - y) == (width, height)


def test_bucket_is_deterministic(tmp_path: Path) -> None:
    first = write_bucket(tmp_path / "a", scenes=2, seed=9)
    second = write_bucket(tmp_path / "b", scenes=2, seed=9)
    assert first == second
    name = first.images[0].file_name
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_only_what_differs_is_written_again(tmp_path: Path) -> None:
    write_bucket(tmp_path, 3, seed=1)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 4
    before = {path: path.read_bytes() for path in files}
    stamps = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in files}
    files[0].write_bytes(b"damaged")
    files[1].unlink()
    write_bucket(tmp_path, 3, seed=1)
    assert {path: path.read_bytes() for path in files} == before
    for path in files[2:]:
        assert (path.stat().st_mtime_ns, path.stat().st_ino) == stamps[path]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == files
