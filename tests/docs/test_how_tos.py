"""Every command and example of the tutorial and of the short how-tos does what its page says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from support.doc_pages import DocPage, prepare, run, run_all, write_photos
from support.map_world import lay_out_in_order
from support.paths import IMPORTS, ROOT
from support.qdrant_server import qdrant_server
from support.tiny_clip import write_folder as write_clip
from support.tiny_segmenters import SAM2
from support.tiny_segmenters import write_folder as write_segmenter
from support.waiting import PATIENCE_S

from pipeline.jobs import object_map


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with photos and an index of them, in which everything runs."""
    folder = tmp_path_factory.mktemp("how-tos")
    write_photos(folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        prepare(folder, monkeypatch)
        run_all(["objseek ingest ./photos --index ./index"])
        yield folder


@pytest.mark.long
def test_tutorial(place: Path) -> None:
    *commands, own = DocPage("tutorial.md").commands()
    assert len(commands) == 7
    first, second, status, *searches = run_all(commands)
    for output, sheets in ((first, ("a-crocodile", "french-fries")), (second, ("a-house",))):
        for name in sheets:
            assert f"six/sheets/{name}.png" in output
            with Image.open(place / "six" / "sheets" / f"{name}.png") as sheet:
                assert sheet.width > 600
    assert "6 done" in status
    assert {"uri", "rle"} <= json.loads(searches[1])[0]["payload"].keys()
    # There is no network here: it says in one sentence what to put where.
    without = run(own)
    assert without.exit_code == 1
    assert "sam_vit_b_01ec64.pth" in without.stderr


@pytest.mark.long
def test_own_models(place: Path) -> None:
    write_clip(place / "my-clip")
    write_segmenter(SAM2, place / "my-sam2")
    # Others want the index as it is.
    shutil.copytree(place / "index", place / "another")
    commands = DocPage("own-models.md").commands()
    assert len(commands) == 4
    run_all([line.replace("--index ./index", "--index ./another") for line in commands])
    (generations,) = run_all(["objseek generations --index ./another"])
    assert re.search(r"local-dir-my-clip-\w+ +in use", generations)


@pytest.mark.long
def test_qdrant_server(place: Path) -> None:
    commands = DocPage("qdrant-server.md").commands()
    assert len(commands) == 5
    with qdrant_server() as server:
        run_all([line.replace("http://localhost:6333", server.url) for line in commands])
        made = [each.body for each in server.requests if each.operation == "PUT /"]
    assert made[0]["shard_number"] == 2


@pytest.mark.long
def test_coco(place: Path) -> None:
    page = DocPage("coco.md")
    commands = page.commands()
    assert len(commands) == 6
    run_all(commands)
    written = json.loads((place / "masks.json").read_text())
    assert len(written["images"]) == 2
    (code,) = page.blocks("python")
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **IMPORTS},
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert ".jpg" in result.stdout


@pytest.mark.long
def test_duplicates(place: Path) -> None:
    shutil.copy(place / "photos" / "0001.jpg", place / "photos" / "copy.jpg")
    run_all(["objseek ingest ./photos --index ./with-copy"])
    commands = DocPage("duplicates.md").commands()
    assert len(commands) == 4
    groups = run_all([line.replace("./index", "./with-copy") for line in commands])
    assert (place / "duplicates.png").is_file()
    assert "copy.jpg" in groups[0]
    assert [1 + len(group["others"]) for group in json.loads(groups[2])] == [2]


@pytest.mark.long
def test_map(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_map, "lay_out", lay_out_in_order)
    made, _ = DocPage("map.md").commands()
    (told,) = run_all([made])
    assert re.match(r"map of \d+ objects in ", told)
    assert (place / "index" / "manifest" / "map" / "objects.map").is_file()


@pytest.mark.parametrize(
    "name",
    [
        "tutorial", "own-models", "qdrant-server", "coco", "how-it-works", "new-embedder",
        "new-segmenter", "duplicates", "map",
    ],
)  # fmt: skip
def test_files_that_it_names_exist(name: str) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", DocPage(f"{name}.md").text):
        assert (ROOT / "docs" / target).exists(), target
