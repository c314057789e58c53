"""Between pieces of videos what was freed goes back to the system."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support import fakes

from pipeline.runners import read_sources as module
from schemas.errors import BadImageError
from schemas.images import Failure, ImageRef
from schemas.videos import DecodedPiece, VideoInfo, VideoPiece

_VIDEO = ImageRef("s3", "b", "videos/1.mp4", "v", 1)


def test_freed_memory_is_given_back_before_each_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[object] = []

    def read(piece: VideoPiece) -> DecodedPiece:
        steps.append(piece.number)
        if piece.number == 1:
            raise BadImageError("expected frames, got none")
        return DecodedPiece(piece, VideoInfo((2, 2)), (), (), is_last=True)

    monkeypatch.setattr(module, "return_freed_memory", lambda: steps.append("given back"))
    recipe = replace(fakes.recipe(fakes.settings(tmp_path / "index")), piece_reader=read)
    first, second = module.read_sources([VideoPiece(_VIDEO, k) for k in range(2)], recipe)
    assert steps == ["given back", 0, "given back", 1]
    assert isinstance(first, DecodedPiece)
    assert isinstance(second, Failure)
