"""Makes the models of this process ready in the background, while scenes are still drawn.

The segmenter's loops are compiled when they are first called, and kept: of the very first run on a
machine that is most of the time until anything is found. One thing at a time is compiled in a
process, so that the loops over masks are compiled in another one.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from pipeline.demo.scenes import compose
from pipeline.demo.sprites import bundled_sprites
from pipeline.runners.recipe import build_recipe
from pipeline.settings import load_settings
from schemas.errors import ObjseekError
from schemas.masks import CocoRle


def start_warm_up() -> None:
    """Import, build and, where that was never done, compile what the models of the demo need.

    Whoever needs them meanwhile waits for what is done already, and is told what is wrong.
    """
    threading.Thread(target=_warm_up, name="warm up", daemon=True).start()


def _warm_up() -> None:
    if _is_compiled():
        return _use_models(never_done=False)
    # A folder of the user's called `pipeline` is none of ours: -P.
    command = [sys.executable, "-P", "-m", "pipeline.demo.warm_up"]
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere):
        _use_models(never_done=True)


def _is_compiled() -> bool:
    """Whether there is machine code beside the loops; it may be elsewhere, where none can be."""
    import workers.segmenters.masks

    (folder,) = workers.segmenters.masks.__path__
    return any(Path(folder, "__pycache__").glob("*.nbi"))


def _use_models(*, never_done: bool) -> None:
    with suppress(ObjseekError):
        recipe = build_recipe(load_settings(None, {}))
        segmenter = recipe.segmenter()
        if never_done:
            scene = compose(np.random.default_rng(0), bundled_sprites())
            segmenter.segment([scene.image])
        recipe.embedder()
        recipe.labeller()


def compile_mask_loops() -> None:
    """Trace and clean a mask, so that the loops which do it are compiled and kept."""
    from workers.refiners.small_regions import remove_small_regions
    from workers.segmenters.masks.trace_cpu import trace
    from workers.segmenters.masks.tracer import Frame, make_axis

    side = 8
    axis = make_axis(side, side, side, side)
    logits = np.full((1, side, side), -1, np.float32)
    logits[0, 2:6, 2:6] = 1
    trace(logits, axis, axis, Frame((side, side), 0, 0, (side, side)), 0.0, 1.0)
    remove_small_regions(CocoRle.from_mask(logits[0] > 0), 2)


if __name__ == "__main__":
    compile_mask_loops()
