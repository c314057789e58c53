"""Keys of all sorts: each comes back as it was, is an image of its own, and is shown escaped."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from support import fakes
from support.paths import ROOT
from support.s3_server import S3Server, moto_server, real_server

from pipeline.index_home import open_manifest
from pipeline.jobs.ingest import IngestSummary, ingest
from pipeline.jobs.sync import sync
from pipeline.jobs.verify import verify
from pipeline.settings import Settings
from schemas.images import ImageRef
from schemas.manifest import State
from schemas.options import StoreOptions
from workers.indexes.open import open_index
from workers.stores.selection import FOLDER_MARKER

KEYS = (
    "plain.png", "new\nline.png", "carriage\rreturn.png", "nul\0.png", "tab\t.png",
    "../../up.png", "./here.png", "a/../b.png", "%2e%2e%2fescaped.png", "%252e.png", "100%.png",
    "+plus+.png", " space before.png", "space behind .png", "two  spaces.png",
    unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png"),
    "\u202egnp.bidi.png", "zero\u200bwidth.png", "\x1b[31mred\x1b[0m.png", "\x07bell.png",
    "//two//slashes.png", "/slash before.png", "question?x=y#fragment.png", "quote'\".png",
    "back\\slash.png", "emoji😀.png", "木の葉.png", "star*.png", "[a-z].png", "{brace}.png",
    "semi;colon&and.png", "<markup>.png", "$(echo).png", "`echo`.png", "-rf.png", "~.png",
    "dots...png", "x" * 1020 + ".png", "é" * 510 + ".png", "CAPITAL.PNG", "\x7f.png",
    "\ufeffmark.png", "a:b.png", "key=value.png", "@at.png", "two\u2028lines.png",
)  # fmt: skip


RAW = [chr(code) for code in (0, 7, 10, 13, 27, 127, 0x200B, 0x202E, 0x2028, 0xFEFF)]
"""Marks that steer a terminal, break a line or hide."""


@pytest.fixture(params=["moto", "real"])
def server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    with moto_server() if request.param == "moto" else real_server() as opened:
        yield opened
        opened.close()


def test_keys_of_a_bucket_come_back_as_they_were(
    server: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = fakes.write_image(tmp_path / "one.png", 1).read_bytes()
    bucket, keys = taken(server, body)
    server.client.put_object(Bucket=bucket, Key="a folder/", Body=b"")
    settings = fakes.settings(tmp_path / "index").model_copy(
        update={"store": StoreOptions(endpoint_url=server.endpoint_url)}
    )
    done = ingest_all(f"s3://{bucket}", settings, len(keys))
    assert done.details.skipped == {FOLDER_MARKER: 1}
    assert indexed(settings) == set(keys)
    rows = list(open_manifest(settings.index, settings.store).latest())
    assert {row.uri for row in rows} == {f"s3://{bucket}/{key}" for key in keys}
    refs = [ImageRef.from_uri(row.uri, row.version, row.size_bytes) for row in rows]
    assert {ref.key for ref in refs} == set(keys)
    assert len({row.image_id for row in rows}) == len(keys)
    # One after the other goes, and it alone.
    left = set(keys)
    for removed in (keys[0::3], keys[1::3]):
        for key in removed:
            server.client.delete_object(Bucket=bucket, Key=key)
        left -= set(removed)
        summary = sync([f"s3://{bucket}"], settings, 1, recipe=fakes.recipe(settings))
        assert summary.removed == len(removed)
        assert indexed(settings) == left
    assert verify(settings, [f"s3://{bucket}"]).findings == []
    with capsys.disabled():
        refused = ", ".join(repr(key)[:40] for key in KEYS if key not in keys)
        print(
            f"\n{len(KEYS)} keys, of which the server itself takes {len(keys)} "
            f"(not {refused or 'one'}): {len(rows)} came back as they were, "
            f"{len({row.image_id for row in rows})} images, each removed alone"
        )
    assert len(keys) >= len(KEYS) - 3


def test_names_of_files_come_back_as_they_were(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    names = [os.fsencode(key) for key in KEYS if "/" not in key and "\0" not in key]
    names = [name for name in names if len(name) < 256] + [b"not utf-8 \xff.png"]
    body = fakes.write_image(folder / "one.png", 1).read_bytes()
    (folder / "one.png").unlink()
    for name in names:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(body)
    settings = fakes.settings(tmp_path / "index")
    ingest_all(str(folder), settings, len(names))
    rows = list(open_manifest(settings.index, settings.store).latest())
    refs = [ImageRef.from_uri(row.uri, row.version, row.size_bytes) for row in rows]
    assert {os.fsencode(ref.key).rpartition(b"/")[2] for ref in refs} == set(names)
    for name in names[::2]:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).unlink()
    summary = sync([str(folder)], settings, 1, recipe=fakes.recipe(settings))
    assert summary.removed == len(names[::2])
    assert verify(settings, [str(folder)]).findings == []


@pytest.mark.long
def test_commands_show_no_key_raw(tmp_path: Path) -> None:
    with moto_server() as server:
        bucket, keys = taken(server, b"no image")
        options = ("--endpoint-url", server.endpoint_url, "--index", str(tmp_path / "index"))
        source = f"s3://{bucket}"
        ingested = objseek("ingest", source, *options, "--runner", "local")
        for key in keys[::2]:
            server.client.delete_object(Bucket=bucket, Key=key)
        outputs = [
            ingested,
            objseek("failures", "--index", str(tmp_path / "index")),
            objseek("failures", "--index", str(tmp_path / "index"), "--json"),
            objseek("verify", source, *options),
            objseek("verify", source, *options, "--json"),
            objseek("status", "--index", str(tmp_path / "index")),
        ]
        server.close()
    for text in outputs:
        lines = text.replace("\n", "")
        assert [mark for mark in RAW if mark in lines] == []
    assert re.search(rf"^rejected +{len(keys)}$", outputs[0], re.MULTILINE)
    assert "tab\\t.png" in outputs[1]
    assert "\\u202egnp.bidi.png" in outputs[1]
    rows = [json.loads(line) for line in outputs[2].splitlines() if line.startswith("{")]
    assert {row["uri"].removeprefix(f"{source}/") for row in rows} == set(keys)
    gone = json.loads(outputs[4])["findings"]
    assert {finding["uri"].removeprefix(f"{source}/") for finding in gone} == set(keys[::2])
    logs = b"".join(path.read_bytes() for path in (tmp_path / "index").rglob("*.log"))
    assert len(logs.splitlines()) >= len(keys)
    assert all(line[:2] == b"20" for line in logs.splitlines())


def taken(server: S3Server, body: bytes) -> tuple[str, list[str]]:
    """A new bucket with an object of each key that the server itself takes, and those keys."""
    bucket, keys = server.make_bucket(), []
    for key in KEYS:
        with suppress(ClientError):
            server.client.put_object(Bucket=bucket, Key=key, Body=body)
            keys.append(key)
    pages = server.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    assert {item["Key"] for page in pages for item in page["Contents"]} == set(keys)
    return bucket, keys


def ingest_all(source: str, settings: Settings, images: int) -> IngestSummary:
    """All of a source, twice; what the first time came to."""
    recipe = fakes.recipe(settings)
    summary = ingest([source], settings, recipe=recipe)
    counts = summary.counts
    assert (counts.listed, counts.done) == (images, images)
    assert ingest([source], settings, recipe=recipe).counts.unchanged == images
    assert verify(settings, [source]).findings == []
    assert {row.state for row in fakes.rows(settings).values()} == {State.DONE}
    return summary


def indexed(settings: Settings) -> set[str]:
    with closing(open_index(settings.index, None)) as index:
        return {point.payload["key"] for point in index.scroll()}


def objseek(*arguments: str) -> str:
    """What a command prints on both streams; it may end with 1, never with a traceback."""
    found = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert found.returncode in (0, 1), found.stderr
    assert "Traceback" not in found.stderr
    return found.stdout if "--json" in arguments else found.stdout + found.stderr
