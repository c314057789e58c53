"""A Lance index in a bucket with versions, in which some stores keep no condition."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from support.index_cases import DIM
from support.s3_server import S3Server, real_server

from schemas.errors import IndexUnavailableError
from schemas.options import IndexOptions
from workers.indexes.open import open_index


@pytest.fixture(name="server")
def a_server() -> Iterator[S3Server]:
    with real_server() as server:
        yield server


def keeps_conditions(server: S3Server, bucket: str) -> bool:
    """Whether the store sees that there is an object already."""
    client = server.client
    client.put_object(Bucket=bucket, Key="taken", Body=b"1")
    try:
        client.put_object(Bucket=bucket, Key="taken", Body=b"2", IfNoneMatch="*")
    except client.exceptions.ClientError as exc:
        status: int = exc.response["ResponseMetadata"]["HTTPStatusCode"]
        return status == 412
    return False


def remove_versions(server: S3Server, bucket: str) -> None:
    pages = server.client.get_paginator("list_object_versions").paginate(Bucket=bucket)
    for page in pages:
        for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            server.client.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])


def test_it_is_refused_where_two_writers_would_not_see_each_other(server: S3Server) -> None:
    bucket = server.make_bucket()
    server.client.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    options = IndexOptions(location=f"lance+s3://{bucket}/index", endpoint_url=server.endpoint_url)
    try:
        safe = keeps_conditions(server, bucket)
        refused = pytest.raises(IndexUnavailableError, match="or with versions")
        with nullcontext() if safe else refused:
            open_index(options, DIM, create=True).close()
        keys = [item["Key"] for item in server.client.list_objects_v2(Bucket=bucket)["Contents"]]
        assert any(key.startswith("index/points.lance/") for key in keys) == safe
    finally:
        remove_versions(server, bucket)
