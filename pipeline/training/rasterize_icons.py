"""Renders the openly licensed emoji art that the demo models learn from.

The art comes from npm packages (`npm pack` each and unpack into one folder, each into its own):
`@iconify-json/noto` (Apache-2.0), `@iconify-json/fluent-emoji` (MIT) and `@iconify-json/twemoji`
(CC-BY-4.0), of which some drawings are held out; `@iconify-json/noto-v1` (Apache-2.0),
`@iconify-json/fluent-emoji-flat` and `@iconify-json/fluent-emoji-high-contrast` (MIT),
`@iconify-json/emojione`, `@iconify-json/emojione-monotone` and `@iconify-json/streamline-emojis`
(CC-BY-4.0), `@iconify-json/fxemoji` (Apache-2.0), `@iconify-json/openmoji` and
`@iconify-json/emojione-v1` (CC-BY-SA-4.0), and the icons `@iconify-json/game-icons` (CC-BY-3.0),
`@iconify-json/mdi` (Apache-2.0), `@iconify-json/fa6-solid` (CC-BY-4.0) and `@iconify-json/ph`
(MIT) to learn from only; `emojibase-data` (MIT) has labels, keywords and groups.

    python -m pipeline.training.rasterize_icons ART_FOLDER --out sprites.npz \\
        --bundle pipeline/demo/sprites.parquet
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.demo.sprites import STYLES, Concept, Sprite, trim, write_bundle

SPRITE_SIDE_PX = 192
HELD_OUT_SHARE = 0.15
HELD_OUT_SEED = 7
# Styles that only training uses, each with the style that it is another version of, if any: what is
# held out in that one is left out here.
KIN = {
    "noto-v1": "noto",
    "fluent-emoji-flat": "fluent-emoji",
    "emojione": None,
    "fxemoji": None,
    "streamline-emojis": None,
    "emojione-monotone": None,
    "fluent-emoji-high-contrast": "fluent-emoji",
    "openmoji": None,
    "emojione-v1": None,
    "game-icons": None,
    "mdi": None,
    "fa6-solid": None,
    "ph": None,
}
PLAIN = (
    "emojione-monotone", "fluent-emoji-high-contrast", "game-icons", "mdi", "fa6-solid", "ph",
)  # fmt: skip

CONCRETE_GROUPS = {3, 4, 5, 6, 7}  # emojibase: animals, food, travel, activities, objects
_PEOPLE_AND_SIGNS = {0, 1, 8}  # emojibase: faces, people, symbols
_GENDERED = re.compile(r"\b(wo)?m[ae]n\b|\bfacing right\b|\b(girl|boy)\b")
LOOK_ALIKES = re.compile(
    r"o\u2019clock|-thirty|^(new|waxing|waning|first quarter|last quarter) .*moon|quarter moon"
    r"|^globe showing (Asia|Europe)|envelope with arrow|^(in|out)box tray|mobile phone with arrow"
    r"|incoming envelope|^open mailbox|mailbox with lowered|speaker (low|medium) volume"
    r"|^(increasing|decreasing)|locked with (key|pen)|^sun behind (small|large|rain)"
    r"|bullet train|oncoming|^suspension|spiral notepad|page with curl|tear-off calendar"
)


def read_packs(art_dir: Path) -> dict[str, Any]:
    """The icon packs under `art_dir` by their style's name."""
    loaded = (json.loads(path.read_text()) for path in art_dir.rglob("package/icons.json"))
    packs = {pack["prefix"]: pack for pack in loaded}
    if missing := [style for style in (*STYLES, *KIN) if style not in packs]:
        raise SystemExit(f"{art_dir} lacks {', '.join(missing)}: unpack the npm packages there")
    return packs


def read_emoji(art_dir: Path) -> list[Mapping[str, Any]]:
    """The entries of emojibase-data in English."""
    paths = sorted(art_dir.rglob("package/en/data.json"))
    if not paths:
        raise SystemExit(f"{art_dir} lacks emojibase-data: unpack the npm package there")
    entries: list[Mapping[str, Any]] = json.loads(paths[0].read_text())
    return entries


def icon_name(label: str) -> str:
    """Icon name that the iconify packs give to an emojibase label."""
    bare = re.sub(r"[:,\u2019'.()&\u201c\u201d!]", "", label.lower())
    return re.sub(r"\s+", "-", bare.strip())


def concept_of(entry: Mapping[str, Any]) -> Concept:
    label = entry["label"].replace("\u2019", "'")
    tags = (tag.lower() for tag in entry.get("tags", ()))
    keywords = tuple(tag for tag in tags if tag.isascii() and len(tag) > 1 and tag != label)
    return Concept(name=icon_name(entry["label"]), label=label, keywords=keywords)


def select_concepts(emoji: list[Mapping[str, Any]], packs: Mapping[str, Any]) -> list[Concept]:
    """Concrete things drawn in all styles, in emojibase's order."""
    shared = set.intersection(*(set(packs[style]["icons"]) for style in STYLES))
    concepts = []
    for entry in emoji:
        name = icon_name(entry["label"])
        if entry.get("group") not in CONCRETE_GROUPS or name not in shared:
            continue
        if LOOK_ALIKES.search(entry["label"]):
            continue
        concepts.append(concept_of(entry))
    return concepts


def select_extras(
    emoji: list[Mapping[str, Any]], packs: Mapping[str, Any], chosen: Sequence[Concept]
) -> list[Concept]:
    """Faces, people and signs that are drawn in two styles, for training only.

    They too teach how two artists draw the same concept. Other concepts that were not `chosen`
    might look like a drawing that is held out.
    """
    own, extras = {concept.name for concept in chosen}, []
    for entry in emoji:
        name = icon_name(entry["label"])
        style_count = sum(name in packs[style]["icons"] for style in STYLES)
        if name in own or style_count < 2 or entry.get("group") not in _PEOPLE_AND_SIGNS:
            continue
        if not _GENDERED.search(entry["label"]):
            extras.append(concept_of(entry))
    return extras


def choose_held_out(count: int) -> np.ndarray:
    """Choose the pairs that training never sees, bool (concepts, styles).

    Every concept keeps a style to learn from.
    """
    draw = np.random.default_rng(HELD_OUT_SEED).random((count, len(STYLES)))
    held = draw < HELD_OUT_SHARE
    held[held.all(axis=1), 0] = False
    return held


def choose_training(drawn: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The pairs of `drawn` that training may see: bool (concepts, styles and their kin), both.

    A drawing is left out with the held-out one (`held`, bool (concepts, styles)) that it is
    another version of.
    """
    learnt = drawn.copy()
    for column, style in enumerate((*STYLES, *KIN)):
        if kin := KIN.get(style, style):
            learnt[:, column] &= ~held[:, STYLES.index(kin)]
    return learnt


def find_icons(concepts: Sequence[Concept], icons: Collection[str]) -> list[str | None]:
    """Each concept's icon in a pack.

    A pack may write a name without hyphens, as the first of several, filled, or an animal's as its
    face, unless that is a concept of its own.
    """
    by_bare = {name.replace("-", ""): name for name in sorted(icons)}
    bare_names = [concept.name.replace("-", "") for concept in concepts]
    own = set(bare_names)
    icons_found = []
    for bare in bare_names:
        others = [name for name in (f"{bare}1", f"{bare}face") if name not in own]
        names = (f"{bare}fill", bare, *others)
        icons_found.append(next((by_bare[name] for name in names if name in by_bare), None))
    return icons_found


def render_icon(pack: Mapping[str, Any], name: str, side_px: int) -> np.ndarray:
    """One icon as uint8 (side, side, 4) RGBA, straight alpha."""
    import resvg_py

    icon = pack["icons"][name]
    width, height = icon.get("width", pack["width"]), icon.get("height", pack["height"])
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width} {height}" width="{side_px}" height="{side_px}">{icon["body"]}</svg>'
    )
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side_px, height=side_px))
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    return np.asarray(image.resize((side_px, side_px)))


def colour_plain(sprites: np.ndarray, seen: np.ndarray, styles: Sequence[str]) -> None:
    """Give drawings of one colour the mean colour of the others that training sees, in place.

    sprites uint8 (concepts, styles, side, side, 4); seen bool (concepts, styles).
    """
    plain = [styles.index(style) for style in PLAIN]
    for row, learnt in enumerate(seen):
        others = [column for column in np.flatnonzero(learnt).tolist() if column not in plain]
        if not others:
            continue
        pixels = sprites[row, others].reshape(-1, 4).astype(np.float64)
        mean = np.average(pixels[:, :3], axis=0, weights=pixels[:, 3])
        sprites[row, plain, ..., :3] = mean.astype(np.uint8)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("art", type=Path, help="folder with the unpacked npm packages")
    parser.add_argument("--out", type=Path, required=True, help="all sprites, for training (.npz)")
    parser.add_argument("--bundle", type=Path, help="held-out sprites, for the wheel (.parquet)")
    args = parser.parse_args(argv)

    packs = read_packs(args.art)
    emoji = read_emoji(args.art)
    chosen = select_concepts(emoji, packs)
    concepts = [*chosen, *select_extras(emoji, packs, chosen)]
    held = np.zeros((len(concepts), len(STYLES)), bool)
    held[: len(chosen)] = choose_held_out(len(chosen))
    styles = (*STYLES, *KIN)
    shape = (len(concepts), len(styles), SPRITE_SIDE_PX, SPRITE_SIDE_PX, 4)
    sprites = np.zeros(shape, np.uint8)
    for column, style in enumerate(styles):
        icons = find_icons(concepts, packs[style]["icons"])
        for row, icon in enumerate(icons):
            if icon is not None:
                sprites[row, column] = render_icon(packs[style], icon, SPRITE_SIDE_PX)
        print(f"{style}: {sum(icon is not None for icon in icons)} sprites", file=sys.stderr)
    drawn = sprites[..., 3].max(axis=(2, 3)) > 0
    seen = choose_training(drawn, held)
    colour_plain(sprites, seen, styles)
    print(f"{seen.sum()} of {drawn.sum()} sprites to learn from", file=sys.stderr)
    rows = json.dumps([concept.__dict__ for concept in concepts])
    np.savez(
        args.out,
        sprites=sprites,
        seen=seen,
        held=held,
        concepts=np.array(rows),
        styles=np.array(styles),
        chosen=np.array(len(chosen)),
    )
    if args.bundle:
        pairs = zip(*np.nonzero(held), strict=True)
        write_bundle(
            args.bundle,
            (
                Sprite(concepts[row], STYLES[column], trim(sprites[row, column]))
                for row, column in pairs
            ),
        )


if __name__ == "__main__":
    main()
