"""Writes S3 Inventories of a bucket, in each of their formats, as AWS lays them out."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq

from workers.stores.inventory.manifest import InventoryFormat

Entry = Mapping[str, Any]
FIELDS = (
    "bucket", "key", "version_id", "is_latest", "is_delete_marker", "size", "last_modified_date",
    "e_tag", "storage_class", "encryption_status",
)  # fmt: skip
_CSV_NAMES = {
    "bucket": "Bucket", "key": "Key", "version_id": "VersionId", "is_latest": "IsLatest",
    "is_delete_marker": "IsDeleteMarker", "size": "Size", "last_modified_date": "LastModifiedDate",
    "e_tag": "ETag", "storage_class": "StorageClass", "encryption_status": "EncryptionStatus",
}  # fmt: skip
_TYPES = {"size": pa.int64(), "is_latest": pa.bool_(), "is_delete_marker": pa.bool_()}
_SUFFIXES = {"Parquet": "parquet", "ORC": "orc", "CSV": "csv.gz"}


def inventory_files(
    bucket: str,
    format: InventoryFormat,
    files: Sequence[Sequence[Entry]],
    fields: Sequence[str] = FIELDS,
    dated: str = "2026-11-01T01-00Z",
) -> dict[str, bytes]:
    """The objects of an inventory by their keys; each entry has some of `FIELDS`."""
    home, objects, listed = f"inventories/{bucket}/daily", {}, []
    for number, entries in enumerate(files):
        rows = [{"bucket": bucket, **entry} for entry in entries]
        content = _encode(rows, format, fields)
        key = f"{home}/data/{dated}-{number}.{_SUFFIXES[format]}"
        objects[key] = content
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        listed.append({"key": key, "size": len(content), "MD5checksum": digest})
    schema = ", ".join(_CSV_NAMES[name] for name in fields) if format == "CSV" else "message s3 {}"
    manifest = {
        "sourceBucket": bucket, "destinationBucket": "arn:aws:s3:::inventories",
        "version": "2016-11-30", "creationTimestamp": "1793926800000", "fileFormat": format,
        "fileSchema": schema, "files": listed,
    }  # fmt: skip
    objects[f"{home}/{dated}/manifest.json"] = json.dumps(manifest).encode()
    return objects


def entries_of(client: Any, bucket: str) -> list[dict[str, Any]]:
    """What an inventory has of the objects of a bucket."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [
        {
            "key": item["Key"],
            "size": item["Size"],
            "e_tag": item["ETag"].strip('"'),
            "last_modified_date": item["LastModified"].isoformat(),
            "storage_class": item.get("StorageClass", "STANDARD"),
            "is_latest": True,
            "is_delete_marker": False,
        }
        for page in pages
        for item in page.get("Contents", [])
    ]


def _encode(rows: Sequence[Entry], format: InventoryFormat, fields: Sequence[str]) -> bytes:
    buffer = io.BytesIO()
    if format == "CSV":
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for row in rows:
            key = quote_plus(row["key"], safe="/")
            writer.writerow([_to_text({**row, "key": key}.get(name)) for name in fields])
        return gzip.compress(text.getvalue().encode(), mtime=0)
    columns = {
        name: pa.array([row.get(name) for row in rows], _TYPES.get(name, pa.string()))
        for name in fields
    }
    if format == "Parquet":
        pq.write_table(pa.table(columns), buffer)
    else:
        pyarrow.orc.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def _to_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
