"""Draws things in styles that nothing has learnt from, for `objseek eval demo`.

The art comes from npm packages (`npm pack` each and unpack into one folder, each into its own):
`@lobehub/fluent-emoji-3d` (MIT), renders, of which the models know flat drawings, and
`@expo-google-fonts/noto-emoji` (OFL-1.1), glyphs, whose outlines are filled with one colour each;
`emojibase-data` (MIT) has labels, keywords and groups.

    python -m pipeline.training.held_out_styles ART_FOLDER \\
        --out pipeline/demo/held_out_sprites.parquet
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.demo.sprites import Sprite, trim, write_bundle
from pipeline.training.rasterize_icons import (
    CONCRETE_GROUPS,
    LOOK_ALIKES,
    SPRITE_SIDE_PX,
    concept_of,
    read_emoji,
)

CONCEPTS = 300
SEED = 11
_QUALITY = 70
_FONT_PX, _CANVAS_PX = 150, 224
_INK = 0.4  # of a pixel that nothing is filled across
_NO_CHARACTER = "\U000ffff0"

Draw = Callable[[Mapping[str, Any]], np.ndarray | None]
"""uint8 (height, width, 4) of one of emojibase's entries; None where the style lacks it."""


def open_renders(art_dir: Path) -> Draw:
    """The style `fluent-emoji-3d`."""
    folder = next(art_dir.rglob("*fluent-emoji-3d*/package/assets"))

    def draw(entry: Mapping[str, Any]) -> np.ndarray | None:
        code = entry["hexcode"].lower()
        for name in (code, code.replace("-fe0f", ""), f"{code}-fe0f"):
            if (path := folder / f"{name}.webp").is_file():
                image = Image.open(path).convert("RGBA")
                side = (SPRITE_SIDE_PX, SPRITE_SIDE_PX)
                return np.asarray(image.resize(side, Image.Resampling.LANCZOS))
        return None

    return draw


def open_glyphs(art_dir: Path) -> Draw:
    """The style `noto-line`: each outline in a dark colour, filled with a light one."""
    path = next(art_dir.rglob("NotoEmoji_600SemiBold.ttf"))
    font = ImageFont.truetype(str(path), _FONT_PX)
    missing = font.getmask(_NO_CHARACTER).getbbox()
    rng = np.random.default_rng(SEED)

    def draw(entry: Mapping[str, Any]) -> np.ndarray | None:
        text = entry["emoji"].replace("\ufe0f", "")
        if len(text) != 1 or font.getmask(text).getbbox() in (missing, None):
            return None
        ink = Image.new("L", (_CANVAS_PX, _CANVAS_PX))
        centre = (_CANVAS_PX // 2, _CANVAS_PX // 2)
        ImageDraw.Draw(ink).text(centre, text, 255, font, anchor="mm")
        share = np.asarray(ink, np.float32)[..., None] / 255
        fill, line = rng.integers(120, 256, 3), rng.integers(0, 60, 3)
        alpha = np.maximum(255 * find_body(share[..., 0])[..., None], 255 * share)
        return np.dstack([fill * (1 - share) + line * share, alpha]).astype(np.uint8)

    return draw


def find_body(ink: np.ndarray) -> np.ndarray:
    """Ink, and what it surrounds: bool (height, width) of float32 (height, width), 0 to 1.

    The margin has no ink.
    """
    # A copy: that of an array cannot be drawn into.
    drawn = Image.fromarray(np.where(ink > _INK, 255, 0).astype(np.uint8)).copy()
    ImageDraw.floodfill(drawn, (0, 0), 128)
    body: np.ndarray = np.asarray(drawn) != 128
    return body


def draw_sprites(art_dir: Path, count: int) -> Iterator[Sprite]:
    """`count` concrete things that both styles draw, chosen by chance, in both."""
    emoji = [
        entry
        for entry in read_emoji(art_dir)
        if entry.get("group") in CONCRETE_GROUPS and not LOOK_ALIKES.search(entry["label"])
    ]
    styles = {"fluent-emoji-3d": open_renders(art_dir), "noto-line": open_glyphs(art_dir)}
    order = np.random.default_rng(SEED).permutation(len(emoji))
    chosen = 0
    for position in order:
        entry = emoji[position]
        drawn = {style: draw(entry) for style, draw in styles.items()}
        if chosen == count:
            return
        if any(rgba is None for rgba in drawn.values()):
            continue
        chosen += 1
        for style, rgba in drawn.items():
            if rgba is not None:
                yield Sprite(concept_of(entry), style, trim(rgba))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("art", type=Path, help="folder with the unpacked npm packages")
    parser.add_argument("--out", type=Path, required=True, help="the sprites, for the wheel")
    parser.add_argument("--concepts", type=int, default=CONCEPTS)
    args = parser.parse_args(argv)
    sprites = list(draw_sprites(args.art, args.concepts))
    write_bundle(args.out, sprites, _QUALITY)
    print(f"{len(sprites)} sprites, {args.out.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
