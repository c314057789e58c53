"""Objects of our own below a prefix of a bucket: files that are written once, and small texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from schemas.errors import UsageError
from schemas.options import StoreOptions
from workers.stores.s3 import client_for, for_a_first_answer, mapped, retried

_T = TypeVar("_T")


class S3Objects:
    """Objects by what follows the prefix in their keys.

    Each request is tried again as the read of an image is. Raises StoreAccessError,
    StoreUnavailableError, and UsageError for a source that names no bucket.
    """

    def __init__(self, source: str, options: StoreOptions) -> None:
        self._bucket, _, prefix = source.removeprefix("s3://").partition("/")
        if not self._bucket:
            raise UsageError(f"expected s3://bucket/prefix, got {source!r}")
        self._prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        self._options = options
        self._patience = for_a_first_answer(options)
        self.uri = f"s3://{self._bucket}/{self._prefix}"

    def sizes(self, start: str) -> dict[str, int]:
        """Bytes of each object whose name starts so."""

        def listed(client: Any) -> dict[str, int]:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + start
            )
            items = (item for page in pages for item in page.get("Contents", []))
            return {item["Key"].removeprefix(self._prefix): item["Size"] for item in items}

        return self._asked(listed, start)

    def read(self, name: str) -> bytes:
        """What a small object holds. Raises ObjectGoneError if there is none."""

        def got(client: Any) -> bytes:
            reply = client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            with reply["Body"] as body:
                content: bytes = body.read()
            return content

        return self._asked(got, name)

    def write(self, name: str, content: bytes) -> None:
        """Make, or replace, a small object."""
        self._asked(
            lambda client: client.put_object(
                Bucket=self._bucket, Key=self._prefix + name, Body=content
            ),
            name,
        )

    def download(self, name: str, path: Path) -> None:
        """An object into a file. Raises ObjectGoneError if there is none."""

        def fetched(client: Any) -> None:
            with path.open("wb") as file:
                client.download_fileobj(self._bucket, self._prefix + name, file)

        self._asked(fetched, name)

    def upload(self, path: Path, name: str) -> None:
        """A file as an object, in several parts where it is large; whole or not at all."""

        def sent(client: Any) -> None:
            with path.open("rb") as file:
                client.upload_fileobj(file, self._bucket, self._prefix + name)

        self._asked(sent, name)

    def rename(self, name: str, new_name: str) -> None:
        """Another name for what an object holds. Raises ObjectGoneError if there is none."""
        source = {"Bucket": self._bucket, "Key": self._prefix + name}
        self._asked(lambda client: client.copy(source, self._bucket, self._prefix + new_name), name)
        self.remove([name])

    def remove(self, names: Sequence[str]) -> None:
        """Delete objects; those that are not there are no error."""
        for name in names:
            self._asked(partial(_delete, self._bucket, self._prefix + name), name)

    def _asked(self, ask: Callable[[Any], _T], name: str) -> _T:
        uri = self.uri + name

        def once() -> _T:
            with mapped(uri, self._options):
                return ask(client_for(self._options))

        result = retried(once, uri, self._patience)
        self._patience = self._options
        return result


def _delete(bucket: str, key: str, client: Any) -> None:
    client.delete_object(Bucket=bucket, Key=key)
