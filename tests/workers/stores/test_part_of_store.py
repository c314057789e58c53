"""The parts of a source are all of it, and none of it twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from support.inventories import inventory_files
from support.listed import listed
from support.s3_server import Reply, Request, listing_page, moto_server, scripted_server

from pipeline.manifest.image_keys import in_shard, keys_of_images
from schemas.images import ImageRef
from schemas.listed_part import Shard
from schemas.options import StoreOptions
from workers.stores.open import build_store
from workers.stores.part_of_store import shard_of

OBJECTS = {
    f"{folder}/{number}.{suffix}": b"x"
    for folder in ("a", "a b", "é", "m", "z")
    for number in range(12)
    for suffix in ("jpg", "txt")
} | {"a": b"1", "m": b"2", "m.jpg": b"3", "z/empty.png": b""}


def parts(source: str, options: StoreOptions, texts: dict[str, list[str]]) -> None:
    """Assert that the parts which are named by `texts` make up a source."""
    refs, skipped = listed(build_store(source, options))
    (name, values), *_ = texts.items()
    found = [
        listed(build_store(source, options.model_copy(update={name: text}))) for text in values
    ]
    assert Counter(ref for part, _ in found for ref in part) == Counter(refs)
    assert Counter(each for _, part in found for each in part) == Counter(skipped)
    for part, _ in found:
        assert part == [ref for ref in refs if ref in part]


@pytest.mark.parametrize(
    "texts",
    [
        {"shard": [f"{number}/4" for number in (1, 2, 3, 4)]},
        {"key_range": ["..m", "m.."]},
        {"key_range": ["..a b/3", "a b/3..m.jpg", "m.jpg..é/11.jpg", "é/11.jpg.."]},
    ],
)
@pytest.mark.parametrize("prefix", ["", "a", "m/", "z"])
def test_parts_of_a_bucket(
    monkeypatch: pytest.MonkeyPatch, texts: dict[str, list[str]], prefix: str
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
    with moto_server() as server:
        bucket = server.make_bucket(OBJECTS)
        parts(f"s3://{bucket}/{prefix}", StoreOptions(endpoint_url=server.endpoint_url), texts)


def test_parts_of_a_folder_and_of_an_inventory(tmp_path: Path) -> None:
    for key in ("b/1.jpg", "b/2.txt", "c/3.png", "d.jpg", "e.jpg", "f.jpg", "g.jpg"):
        (tmp_path / "images" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / key).write_bytes(b"x")
    shards = {"shard": ["1/3", "2/3", "3/3"]}
    parts(str(tmp_path / "images"), StoreOptions(), shards)
    at = tmp_path / "images" / "c"
    parts(str(tmp_path / "images"), StoreOptions(), {"key_range": [f"..{at}", f"{at}.."]})
    entries = [{"key": key, "size": 3, "e_tag": "e"} for key in OBJECTS]
    for key, body in inventory_files("photos", "Parquet", [entries]).items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(body)
    inventory = f"inventory+file://{tmp_path}/inventories"
    parts(inventory, StoreOptions(), shards)
    parts(inventory, StoreOptions(), {"key_range": ["..m", "m.."]})


def test_a_range_lists_no_more_of_a_bucket_than_it_needs() -> None:
    keys = [f"{number:02}.jpg" for number in range(40)]
    answered: list[list[str]] = []

    def respond(request: Request) -> Reply:
        query = parse_qs(urlsplit(request.target).query)
        after = query.get("start-after", query.get("continuation-token", [""]))[0]
        prefix = query.get("prefix", [""])[0]
        following = [key for key in keys if key > after and key.startswith(prefix)]
        answered.append(following[:5])
        return listing_page(following[:5], following[4] if len(following) > 5 else None)

    with scripted_server(respond) as endpoint:
        options = StoreOptions(endpoint_url=endpoint, key_range="20.jpg..27")
        refs, skipped = listed(build_store("s3://bucket", options))
    assert [ref.key for ref in refs] == keys[20:27]
    assert skipped == []
    assert answered == [["20.jpg"], keys[21:26], keys[26:31]]


def test_shards_are_even_and_stay_what_they_are() -> None:
    refs = [ImageRef("s3", "photos", f"{number}.jpg", "v", 3) for number in range(8000)]
    shards = [shard_of(ref, 8) for ref in refs]
    assert set(shards) == set(range(1, 9))
    assert max(Counter(shards).values()) < 1100
    assert min(Counter(shards).values()) > 900
    # For ever: jobs of other versions share a manifest.
    assert shards[:6] == [8, 6, 2, 2, 1, 6]


def test_a_manifest_knows_the_shards_of_its_rows() -> None:
    refs = [ImageRef("s3", "photos", f"{number}.jpg", "v", 3) for number in range(500)]
    keys = keys_of_images(refs)
    for count in (1, 3, 8):
        shards = np.array([shard_of(ref, count) for ref in refs])
        for number in range(1, count + 1):
            assert (in_shard(keys, Shard(number, count)) == (shards == number)).all()
