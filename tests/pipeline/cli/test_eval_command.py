"""`objseek eval demo`: its figures, with the truth for masks so that nothing is segmented."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from support.demo_world import build_demo
from typer.testing import CliRunner

from pipeline.cli.commands import eval as eval_command
from pipeline.demo import bucket
from pipeline.demo.sprites import Sprite, bundled_sprites, held_out_sprites
from pipeline.jobs import ingest

SCENES = 3
app = typer.Typer()
eval_command.register(app)


@pytest.mark.long
def test_boxes_and_copies_are_among_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def index_truth(sources: Sequence[str], *_: object) -> None:
        build_demo(Path(sources[0]).parent, SCENES)

    drawings: list[Sequence[Sprite]] = []
    monkeypatch.setattr(bucket, "write_bucket", lambda *given: drawings.append(given[-1]))
    monkeypatch.setattr(ingest, "ingest", index_truth)
    file = tmp_path / "figures.json"
    result = CliRunner().invoke(app, ["demo", "--scenes", str(SCENES), "--json", str(file)])
    assert result.exit_code == 0, result.output
    columns: list[dict[str, str]] = [{}, {}]
    for line in result.stdout.splitlines():
        name, *cells = line.rsplit(maxsplit=2)
        for column, cell in zip(columns, cells, strict=True):
            column[" ".join(name.split())] = cell
    printed, held_out = columns
    assert drawings == [bundled_sprites(), held_out_sprites()]
    assert printed["tight box to its own object, first hit"] == "1.000"
    assert printed["box wider by 25% at each side, first hit"] == "1.000"
    assert float(printed["box wider by 50% at each side, first hit"]) >= 0.8
    assert printed["exact copies of images recognised"] == "1.000"
    assert printed["smaller copies, encoded again, recognised"] == "1.000"
    assert printed["images taken for copies of others"] == "0.000"
    assert held_out["label to object, first 10"] == printed["label to object, first 10"]
    figures = json.loads(file.read_text())
    assert figures["held_out"]["box_r1"] == 1
    assert (figures["box_r1"], figures["near_copies"], figures["mistaken_copies"]) == (1, 1, 0)
    assert "left_out" not in figures
