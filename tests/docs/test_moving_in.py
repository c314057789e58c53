"""What docs/moving-in.md says: what others have exported comes in by the commands of the page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from support import fakes, vector_files
from support.doc_pages import DocPage, prepare, run_all, write_photos

from schemas.options import EmbedderOptions, IndexOptions
from schemas.payload import PointPayload
from workers.indexes.open import open_index
from workers.registry import build_embedder

PAGE = DocPage("moving-in.md")
CODE = PAGE.blocks("python")


def write_fiftyone(folder: Path) -> None:
    """What its COCO exporter leaves: nulls, categories from 0, polygons, and an object unmasked."""
    (folder / "data").mkdir(parents=True)
    images = []
    for number in (1, 2):
        path = fakes.write_image(folder / "data" / f"{number}.png", number)
        images.append(
            {"id": number, "file_name": path.name, "height": 16, "width": 24, "license": None,
             "coco_url": None}
        )  # fmt: skip
    square = [[2.5, 2.0, 8.5, 2.0, 8.5, 6.0, 2.5, 6.0]]
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 0, "bbox": [2.5, 2.0, 6.0, 4.0], "area": 24.0,
         "segmentation": square, "iscrowd": 0, "score": 0.8, "supercategory": None},
        {"id": 2, "image_id": 2, "category_id": 1, "bbox": [2.5, 2.0, 6.0, 4.0], "area": 24.0},
    ]  # fmt: skip
    document = {
        "info": {"year": "", "version": "", "description": "Exported from FiftyOne"},
        "licenses": [],
        "categories": [
            {"id": number, "name": name, "supercategory": None}
            for number, name in enumerate(("cup", "mug"))
        ],
        "images": images,
        "annotations": annotations,
    }
    (folder / "labels.json").write_text(json.dumps(document))


class Dataset:
    """Answers as FiftyOne's `Dataset` does, in what the page asks of it."""

    def __init__(self, paths: list[Path], vectors: np.ndarray) -> None:
        self._fields = {"filepath": [str(path) for path in paths], "clip_embedding": list(vectors)}

    def values(self, names: list[str]) -> list[list[Any]]:
        return [self._fields[name] for name in names]


def write_clip_retrieval(folder: Path, vectors: np.ndarray) -> None:
    (folder / "img_emb").mkdir(parents=True)
    np.save(folder / "img_emb" / "img_emb_0.npy", vectors.astype(np.float16))
    rows = {
        "url": [f"https://images.test/{row}.jpg" for row in range(len(vectors))],
        "caption": [f"picture {row}" for row in range(len(vectors))],
    }
    vector_files.write_parquet(folder / "metadata" / "metadata_0.parquet", pa.table(rows))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what others have left, of two photos."""
    folder = tmp_path_factory.mktemp("moving-in")
    write_photos(folder)
    write_fiftyone(folder / "fiftyone")
    photos = sorted((folder / "photos").iterdir())
    embedder = build_embedder(EmbedderOptions(name="clip_demo"))
    vectors = 3 * embedder.embed_images([np.asarray(Image.open(path)) for path in photos])
    write_clip_retrieval(folder / "embeddings", vectors)
    with pytest.MonkeyPatch.context() as monkeypatch:
        prepare(folder, monkeypatch)
        (block,) = (each for each in CODE if "pq.write_table" in each)
        exec(compile(block, "embeddings", "exec"), {"dataset": Dataset(photos, vectors)})
        yield folder


def payloads(location: Path) -> list[PointPayload]:
    with closing(open_index(IndexOptions(location=str(location)), None)) as index:
        return [point.parse_payload() for point in index.scroll()]


@pytest.mark.long
def test_its_commands_bring_in_what_there_is(place: Path) -> None:
    commands = [
        re.sub(r"ViT-B-32/\S+", "clip_demo", line) for line in PAGE.commands()
    ]  # of which there are no weights here
    *commands, back = commands
    assert len(commands) == 5
    masks, boxes, vectors, retrieved, found = run_all(commands)
    assert "left out: annotation 2 (id 2): expected segmentation" in masks
    assert re.search(r"^done +2$", masks, re.MULTILINE), masks
    kept = payloads(place / "from-masks")
    (square,) = (each for each in kept if each.rle is not None)
    assert (square.uri.rpartition("/")[2], square.area) == ("1.png", 24)
    assert any(each.rle is not None for each in payloads(place / "from-boxes")), boxes
    assert (
        len(payloads(place / "from-vectors")) == len(payloads(place / "from-clip-retrieval")) == 2
    )
    assert "those of 2 images have a cosine of 1.000" in vectors
    assert "https://images.test/" in found, retrieved
    words = [re.findall(r"--\w+", command) for command in (commands[0], back)]
    assert words[0] == words[1] == ["--images", "--index"]


def test_its_code_names_what_its_commands_read() -> None:
    export = next(block for block in CODE if "COCODetectionDataset" in block)
    assert 'export_dir="fiftyone"' in export
    assert all("fiftyone/" in line for line in PAGE.commands()[:2])
