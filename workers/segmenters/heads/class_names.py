"""Names the classes of COCO, ADE20K and Cityscapes, for models that come without."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownClasses:
    """`stuff`: the numbers of those without instances, None: not decided."""

    names: tuple[str, ...]
    stuff: frozenset[int] | None


def _split(names: str) -> tuple[str, ...]:
    return tuple(names.split(", "))


_COCO_THINGS = _split(
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire "
    "hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, "
    "bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, "
    "snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, "
    "tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, "
    "sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted "
    "plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, "
    "microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, "
    "hair drier, toothbrush"
)
_COCO_STUFF = _split(
    "banner, blanket, bridge, cardboard, counter, curtain, door-stuff, floor-wood, flower, "
    "fruit, gravel, house, light, mirror-stuff, net, pillow, platform, playingfield, "
    "railroad, river, road, roof, sand, sea, shelf, snow, stairs, tent, towel, wall-brick, "
    "wall-stone, wall-tile, wall-wood, water-other, window-blind, window-other, tree-merged, "
    "fence-merged, ceiling-merged, sky-other-merged, cabinet-merged, table-merged, "
    "floor-other-merged, pavement-merged, mountain-merged, grass-merged, dirt-merged, "
    "paper-merged, food-other-merged, building-other-merged, rock-merged, wall-other-merged, "
    "rug-merged"
)
# COCO's numbers as its files have them: from 1, with gaps.
_COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
_CITYSCAPES = _split(
    "road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, "
    "terrain, sky, person, rider, car, truck, bus, train, motorcycle, bicycle"
)
_ADE = _split(
    "wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, "
    "sidewalk, person, earth, door, table, mountain, plant, curtain, chair, car, water, "
    "painting, sofa, shelf, house, sea, mirror, rug, field, armchair, seat, fence, desk, "
    "rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard, chest of "
    "drawers, counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, "
    "stairs, runway, case, pool table, pillow, screen door, stairway, river, bridge, "
    "bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop, stove, "
    "palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, "
    "towel, light, truck, tower, chandelier, awning, streetlight, booth, television receiver, "
    "airplane, dirt track, apparel, pole, land, bannister, escalator, ottoman, bottle, "
    "buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything, "
    "swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, "
    "ball, food, step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, "
    "screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, "
    "crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag"
)


def _with_gaps() -> tuple[str, ...]:
    names = iter(_COCO_THINGS)
    none = (0, *_COCO_GAPS)
    return tuple("N/A" if number in none else next(names) for number in range(91))


KNOWN = {
    80: KnownClasses(_COCO_THINGS, frozenset()),
    91: KnownClasses(_with_gaps(), frozenset()),
    133: KnownClasses(_COCO_THINGS + _COCO_STUFF, frozenset(range(80, 133))),
    19: KnownClasses(_CITYSCAPES, frozenset(range(11))),
    150: KnownClasses(_ADE, None),
}
"""By how many there are."""
