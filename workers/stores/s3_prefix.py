"""Reads and writes objseek's own objects below a prefix of a bucket."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from schemas.errors import UsageError
from schemas.images import split_s3_uri
from schemas.options import StoreOptions
from workers.stores.s3_client import client_for, for_first_request, raising_store_errors, retry

_T = TypeVar("_T")
_TAKEN = 412


class S3Prefix:
    """The objects below a key prefix, each named by the rest of its key.

    Requests are retried as reads of images are. Raises StoreAccessError, StoreUnavailableError, and
    UsageError for a source that names no bucket.
    """

    def __init__(self, source: str, options: StoreOptions) -> None:
        self._bucket, prefix = split_s3_uri(source)
        if not self._bucket:
            raise UsageError(f"expected s3://bucket/prefix, got {source!r}")
        self._prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        self._options = options
        self._retry_options = for_first_request(options)
        self.uri = f"s3://{self._bucket}/{self._prefix}"

    def sizes(self, start: str) -> dict[str, int]:
        """Bytes of each object whose name starts with `start`."""

        def list_sizes(client: Any) -> dict[str, int]:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + start
            )
            items = (item for page in pages for item in page.get("Contents", []))
            return {item["Key"].removeprefix(self._prefix): item.get("Size", 0) for item in items}

        return self._request(list_sizes, start)

    def folders(self, start: str) -> list[str]:
        """What names have between `start`, which ends in a slash, and the next slash; sorted."""

        def list_folders(client: Any) -> list[str]:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + start, Delimiter="/"
            )
            found = (entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", []))
            return sorted(name.removeprefix(self._prefix + start).rstrip("/") for name in found)

        return self._request(list_folders, start)

    def read(self, name: str) -> bytes:
        """The content of a small object. Raises ObjectGoneError if there is none."""

        def get(client: Any) -> bytes:
            reply = client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            with reply["Body"] as body:
                content: bytes = body.read()
            return content

        return self._request(get, name)

    def write(self, name: str, content: bytes) -> None:
        """Create or replace a small object."""
        self._request(
            lambda client: client.put_object(
                Bucket=self._bucket, Key=self._prefix + name, Body=content
            ),
            name,
        )

    def create(self, name: str, content: bytes) -> bool:
        """Create a small object, unless there is one; whether there was none.

        False too if it was created and the answer was lost, as it is sent again then.
        """

        def put(client: Any) -> bool:
            try:
                client.put_object(
                    Bucket=self._bucket, Key=self._prefix + name, Body=content, IfNoneMatch="*"
                )
            except client.exceptions.ClientError as exc:
                if exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == _TAKEN:
                    return False
                raise
            return True

        return self._request(put, name)

    def download(self, name: str, file: BinaryIO) -> None:
        """Write an object to a file. Raises ObjectGoneError if there is none."""

        def fetch(client: Any) -> None:
            file.seek(0)
            file.truncate()  # of what an attempt before has left
            client.download_fileobj(self._bucket, self._prefix + name, file)

        self._request(fetch, name)

    def upload(self, path: Path, name: str) -> None:
        """Store a file as an object, whole or not at all; a large one in several parts."""

        def send(client: Any) -> None:
            with path.open("rb") as file:
                client.upload_fileobj(file, self._bucket, self._prefix + name)

        self._request(send, name)

    def rename(self, name: str, new_name: str) -> None:
        """Give an object another name. Raises ObjectGoneError if there is none."""
        source = {"Bucket": self._bucket, "Key": self._prefix + name}
        self._request(
            lambda client: client.copy(source, self._bucket, self._prefix + new_name), name
        )
        self.remove([name])

    def remove(self, names: Sequence[str]) -> None:
        """Delete objects; it is no error if some are not there."""
        for name in names:
            self._request(partial(_delete, self._bucket, self._prefix + name), name)

    def _request(self, send: Callable[[Any], _T], name: str) -> _T:
        uri = self.uri + name

        def send_once() -> _T:
            with raising_store_errors(uri, self._options):
                return send(client_for(self._options, self._bucket))

        result = retry(send_once, uri, self._retry_options)
        self._retry_options = self._options
        return result


def _delete(bucket: str, key: str, client: Any) -> None:
    client.delete_object(Bucket=bucket, Key=key)
