"""Models get ready while scenes are drawn; what is compiled beforehand is what is called then."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import nullcontext

import numpy as np
import pytest

from pipeline.demo import warm_up
from pipeline.demo.scenes import compose
from pipeline.demo.sprites import bundled_sprites
from schemas.options import SegmenterOptions
from workers.refiners import small_regions
from workers.registry import build_segmenter
from workers.segmenters.masks import trace_cpu


@pytest.mark.long
def test_the_loops_are_compiled_for_what_the_segmenter_calls_them_with() -> None:
    warm_up.compile_mask_loops()
    loops = (trace_cpu._trace, small_regions._clean)
    before = [loop.signatures for loop in loops]  # type: ignore[attr-defined]
    assert all(before)
    segmenter = build_segmenter(SegmenterOptions(points_per_side=8, min_mask_region_area=20))
    scene = compose(np.random.default_rng(3), bundled_sprites())
    assert segmenter.segment([scene.image])[0]
    assert [loop.signatures for loop in loops] == before  # type: ignore[attr-defined]


@pytest.mark.parametrize("compiled", [True, False])
def test_another_process_compiles_where_nothing_is_compiled(
    monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    started: list[list[str]] = []
    used: list[bool] = []
    ended = threading.Event()

    def start(command: list[str], **streams: object) -> nullcontext[None]:
        started.append(command)
        return nullcontext()

    def use(*, never_done: bool) -> None:
        used.append(never_done)
        ended.set()

    monkeypatch.setattr(warm_up, "_is_compiled", lambda: compiled)
    monkeypatch.setattr(warm_up, "_use_models", use)
    monkeypatch.setattr(subprocess, "Popen", start)
    warm_up.start_warm_up()
    assert ended.wait(30)
    assert used == [not compiled]
    command = [sys.executable, "-P", "-m", "pipeline.demo.warm_up"]
    assert started == ([] if compiled else [command])
