"""Files of vectors as other programs write them, small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DIM = 8


def unit_rows(count: int, seed: int = 0) -> np.ndarray:
    """float32 (count, DIM), unit rows, the same ones at any time."""
    rows = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def table(count: int = 6, **columns: Any) -> pa.Table:
    """Rows of `count` images at `s3://shop/N.jpg`, with their vectors and these columns."""
    uris = [f"s3://shop/{number}.jpg" for number in range(count)]
    values = {"uri": uris, "embedding": list(unit_rows(count)), **columns}
    return pa.table({name: each for name, each in values.items() if each is not None})


def write_parquet(path: Path, rows: pa.Table, row_group_size: int | None = None) -> Path:
    """The rows as a Parquet file at `path`, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path, row_group_size=row_group_size)
    return path


def write_array(path: Path, vectors: np.ndarray, rows: list[dict[str, Any]]) -> Path:
    """An .npy file at `path` with a .jsonl of its rows beside it."""
    np.save(path, vectors)
    path.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_clip_retrieval(folder: Path, counts: tuple[int, ...] = (3, 2)) -> Path:
    """What clip-retrieval's inference leaves of images that img2dataset has fetched."""
    vectors = unit_rows(sum(counts)).astype(np.float16)
    (folder / "img_emb").mkdir(parents=True)
    (folder / "text_emb").mkdir()
    start = 0
    for number, count in enumerate(counts):
        rows = range(start, start + count)
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", vectors[start : start + count])
        np.save(folder / "text_emb" / f"text_emb_{number}.npy", vectors[start : start + count])
        metadata = {
            "image_path": [f"{row:09}" for row in rows],
            "caption": [f"picture {row}" for row in rows],
            "url": [f"https://images.test/{row}.jpg" for row in rows],
            "width": [64 + row for row in rows],
            "height": [48 for _ in rows],
            "similarity": [0.3 + row / 100 for row in rows],
        }
        write_parquet(folder / "metadata" / f"metadata_{number}.parquet", pa.table(metadata))
        start += count
    return folder


def write_img2dataset(folder: Path, count: int = 4) -> Path:
    """What img2dataset leaves, with a column of vectors that somebody has added."""
    rows = {
        "url": [f"https://images.test/{row}.jpg" for row in range(count)],
        "caption": [f"picture {row}" for row in range(count)],
        "key": [f"{row:09}" for row in range(count)],
        "status": ["success"] * count,
        "error_message": pa.array([None] * count, pa.string()),
        "width": [256] * count,
        "height": [192] * count,
        "original_width": [1024] * count,
        "original_height": [768] * count,
        "exif": ["{}"] * count,
        "sha256": [f"{row:064x}" for row in range(count)],
        "embedding": list(unit_rows(count)),
    }
    write_parquet(folder / "00000.parquet", pa.table(rows))
    (folder / "00000.tar").write_bytes(b"no archive")
    (folder / "00000_stats.json").write_text("{}")
    return folder
