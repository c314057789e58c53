"""Compiles the loops that most tests run, so that each of their processes finds them compiled.

python tests/support/compile_kernels.py
"""

from __future__ import annotations

import numpy as np

from pipeline.demo.scenes import compose
from pipeline.demo.sprites import bundled_sprites
from schemas.options import SegmenterOptions
from workers.registry import build_segmenter


def main() -> None:
    scene = compose(np.random.default_rng(0), bundled_sprites())
    options = SegmenterOptions(
        name="sam_demo", device="cpu", precision="fp32", points_per_side=4, refine=("edges",)
    )
    build_segmenter(options).segment([scene.image])


if __name__ == "__main__":
    main()
