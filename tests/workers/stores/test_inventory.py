"""An S3 Inventory lists a bucket as the bucket itself does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.inventories import FIELDS, entries_of, inventory_files
from support.listed import listed
from support.s3_server import moto_server

from schemas.errors import DatasetError, UsageError
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.stores.inventory.manifest import InventoryFormat
from workers.stores.open import build_store
from workers.stores.selection import DELETE_MARKER, OLDER_VERSION

FORMATS: tuple[InventoryFormat, ...] = ("Parquet", "ORC", "CSV")
OBJECTS = {
    "2026/a b.jpg": b"1",
    "2026/a+b%20.jpg": b"22",
    '2026/"ü", 1.png': b"333",
    "2026/empty.jpg": b"",
    "2026/folder/": b"",
    "notes.txt": b"4",
}
DAILY = "inventories/photos/daily"


def write(folder: Path, objects: dict[str, bytes]) -> Path:
    """A copy of an inventory in `folder`; where its folders by date are."""
    for key, content in objects.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(content)
    return folder / DAILY


def entry(key: str, **more: object) -> dict[str, object]:
    return {"key": key, "size": 3, "e_tag": f"tag of {key}", **more}


@pytest.mark.parametrize("format", FORMATS)
def test_an_inventory_lists_what_the_bucket_lists(format: InventoryFormat) -> None:
    with moto_server() as server:
        bucket = server.make_bucket(OBJECTS)
        server.client.put_object(
            Bucket=bucket, Key="cold.jpg", Body=b"55", StorageClass="DEEP_ARCHIVE"
        )
        entries = entries_of(server.client, bucket)
        files = inventory_files(bucket, format, [entries[:3], entries[3:]])
        inventories = server.make_bucket(files)
        options = StoreOptions(endpoint_url=server.endpoint_url)
        by_listing = listed(build_store(f"s3://{bucket}", options))
        manifest = f"s3://{inventories}/inventories/{bucket}/daily/2026-11-01T01-00Z/manifest.json"
        store = build_store(manifest, options)
        by_inventory = listed(store)
        assert [store.read(ref) for ref in by_inventory[0]] == [b"333", b"1", b"22"]
    assert len(by_listing[0]) == 3
    assert by_inventory == by_listing


@pytest.mark.parametrize("format", FORMATS)
def test_columns_may_be_missing(tmp_path: Path, format: InventoryFormat) -> None:
    files = inventory_files("photos", format, [[entry("a.jpg")]], ["key", "size", "e_tag"])
    home = write(tmp_path, files)
    found = listed(build_store(f"{home}/2026-11-01T01-00Z/manifest.json", StoreOptions()))
    assert found == ([ImageRef("s3", "photos", "a.jpg", "tag of a.jpg", 3)], [])


@pytest.mark.parametrize("format", FORMATS)
def test_without_etags_the_bucket_is_asked_for_those_of_images(format: InventoryFormat) -> None:
    fields = [name for name in FIELDS if name != "e_tag"]
    with moto_server() as server:
        bucket = server.make_bucket({"a.jpg": b"1", "b.txt": b"2", "gone.jpg": b"3"})
        entries = entries_of(server.client, bucket)
        server.client.delete_object(Bucket=bucket, Key="gone.jpg")
        inventories = server.make_bucket(inventory_files(bucket, format, [entries], fields))
        options = StoreOptions(endpoint_url=server.endpoint_url)
        by_listing = listed(build_store(f"s3://{bucket}", options))
        by_inventory = listed(build_store(f"inventory+s3://{inventories}", options))
    assert by_inventory == by_listing


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_no_longer_current_is_left_out_and_counted(
    tmp_path: Path, format: InventoryFormat
) -> None:
    entries = [
        entry("a.jpg", is_latest=True, is_delete_marker=False, e_tag="new"),
        entry("a.jpg", is_latest=False, is_delete_marker=False, e_tag="old"),
        entry("b.jpg", is_latest=True, is_delete_marker=True, size=None, e_tag=None),
    ]
    home = write(tmp_path, inventory_files("photos", format, [entries]))
    refs, skipped = listed(build_store(f"inventory+file://{home}", StoreOptions()))
    assert [(ref.key, ref.version) for ref in refs] == [("a.jpg", "new")]
    assert skipped == [(OLDER_VERSION, "s3://photos/a.jpg"), (DELETE_MARKER, "s3://photos/b.jpg")]


def test_the_newest_that_is_complete_is_taken(tmp_path: Path) -> None:
    for day in (9, 10, 11):
        files = inventory_files(
            "photos", "CSV", [[entry(f"{day}.jpg")]], dated=f"2026-11-{day:02}T01-00Z"
        )
        home = write(tmp_path, files)
    (home / "2026-11-11T01-00Z" / "manifest.json").unlink()
    for below in (home, home.parent, tmp_path):
        refs, _ = listed(build_store(f"inventory+file://{below}", StoreOptions()))
        assert [ref.key for ref in refs] == ["10.jpg"]


def test_inventories_of_two_configurations_are_not_mixed_up(tmp_path: Path) -> None:
    for bucket in ("photos", "films"):
        write(tmp_path, inventory_files(bucket, "CSV", [[]]))
    message = r"got those of 2, such as 'inventories/films/daily' and 'inventories/photos/daily'"
    with pytest.raises(UsageError, match=message):
        listed(build_store(f"inventory+file://{tmp_path}", StoreOptions()))


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_inventory_lists_nothing(tmp_path: Path, format: InventoryFormat) -> None:
    home = write(tmp_path, inventory_files("photos", format, [[]]))
    assert listed(build_store(f"inventory+file://{home}", StoreOptions())) == ([], [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sourceBucket": None}, "with a text in sourceBucket, got nothing"),
        ({"sourceBucket": ""}, "with the name of a bucket in sourceBucket, got ''"),
        ({"fileFormat": "XML"}, "with Parquet, ORC or CSV in fileFormat, got 'XML'"),
        ({"files": {}}, "with a list in files, got {}"),
        ({"files": ["a.csv"]}, "with an object for each of files, got 'a.csv'"),
        ({"files": [{"size": 3}]}, "with the key of each of files, got nothing"),
        ({"files": [{"key": "a", "size": "3"}]}, "the size in bytes of the file 'a', got '3'"),
        ({"files": [{"key": "a", "MD5checksum": "x"}]}, "32 hex digits as MD5checksum of the file"),
        ({"fileSchema": "Key, Size, Size"}, "with different names of columns in fileSchema"),
        ({"fileSchema": None}, "with a text in fileSchema, got nothing"),
        ({"fileSchema": "Bucket, Size, A, B, C, D, E, F, G, H"}, "expected a column with keys"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    home = write(tmp_path, inventory_files("photos", "CSV", [[entry("a.jpg")]]))
    path = home / "2026-11-01T01-00Z" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DatasetError) as caught:
        listed(build_store(str(path), StoreOptions()))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b'{"sourceBucket": "pho', b"[]", b"\xff"])
def test_a_truncated_or_foreign_manifest_is_refused_at_once(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    store = build_store(str(path), StoreOptions())
    with pytest.raises(DatasetError, match=r"expected the manifest.json of an S3 Inventory"):
        store.list_images(lambda reason, uri: None)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("said", [True, False])
def test_a_file_of_other_content_is_refused(
    tmp_path: Path, format: InventoryFormat, said: bool
) -> None:
    files = inventory_files("photos", format, [[entry("a.jpg"), entry("b.jpg")]])
    data = next(key for key in files if "/data/" in key)
    home = write(tmp_path, files | {data: files[data][: len(files[data]) // 2] + b"x"})
    path = home / "2026-11-01T01-00Z" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"][0]["size"]
    if not said:
        del manifest["files"][0]["MD5checksum"]
    path.write_text(json.dumps(manifest))
    message = "expected a file of MD5" if said else "it cannot be read"
    with pytest.raises(DatasetError, match=message):
        listed(build_store(str(path), StoreOptions()))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    home = write(tmp_path, inventory_files("photos", "CSV", [[entry("a.jpg")]]))
    (home / "data" / "2026-11-01T01-00Z-0.csv.gz").unlink()
    with pytest.raises(DatasetError, match="expected a file of an inventory, got none"):
        listed(build_store(f"inventory+file://{home}", StoreOptions()))
    with pytest.raises(UsageError, match=r"expected the manifest of an inventory at .*, got none"):
        listed(build_store(str(tmp_path / "manifest.json"), StoreOptions()))
    with pytest.raises(UsageError, match=r"got none that has a manifest\.json"):
        listed(build_store(f"inventory+file://{home}/data", StoreOptions()))
