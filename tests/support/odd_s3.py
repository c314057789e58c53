"""An S3 server whose listings and objects are as odd as some servers' are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from support.s3_server import Reply, Request, error_reply, scripted_server

LATER = "Tue, 02 Jan 2024 00:00:00 GMT"
_WHEN = "Mon, 01 Jan 2024 00:00:00 GMT"


def md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


@dataclass
class OddObject:
    """An object and what is said of it; `{etag}` and `{size}` stand for what would be true.

    `listed` are the elements of its entry beside the key; `headers` those of an answer to GET and
    HEAD; `refused` answers either instead. `matches` are the ETags that `If-Match` may name, None:
    the header is not looked at.
    """

    body: bytes
    listed: str = "<LastModified>2024-01-01T00:00:00.123Z</LastModified>{etag_xml}{size_xml}"
    headers: Mapping[str, str] = field(
        default_factory=lambda: {"ETag": '"{etag}"', "Last-Modified": _WHEN}
    )
    refused: Reply | None = None
    refused_if_match: Reply | None = None
    matches: tuple[str, ...] | None = None

    def entry(self, key: str) -> str:
        etag, size = md5(self.body), len(self.body)
        texts = {
            "etag": etag, "size": str(size), "etag_xml": f'<ETag>"{etag}"</ETag>',
            "size_xml": f"<Size>{size}</Size>",
        }  # fmt: skip
        return f"<Contents><Key>{key}</Key>{self.listed.format(**texts)}</Contents>"

    def answer(self, request: Request) -> Reply:
        if self.refused is not None:
            return self.refused
        named = request.headers.get("If-Match")
        if named is not None and self.refused_if_match is not None:
            return self.refused_if_match
        etag = md5(self.body)
        allowed = [text.format(etag=etag) for text in self.matches or ()]
        if named is not None and self.matches is not None and named not in allowed:
            return error_reply(412, "PreconditionFailed")
        said = {name: text.format(etag=etag) for name, text in self.headers.items()}
        return Reply(200, self.body, headers=said)


@dataclass
class OddStore:
    """One bucket, whatever it is called; `tail` is what follows the entries of its one page."""

    objects: dict[str, OddObject]
    tail: str = "<IsTruncated>false</IsTruncated><Name>photos</Name>"
    requests: list[Request] = field(default_factory=list)

    def respond(self, request: Request) -> Reply:
        self.requests.append(request)
        parts = urlsplit(request.target)
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        if not key:
            assert parse_qs(parts.query)["list-type"] == ["2"]
            entries = "".join(found.entry(name) for name, found in self.objects.items())
            return Reply(200, f"<ListBucketResult>{entries}{self.tail}</ListBucketResult>".encode())
        if key not in self.objects:
            return error_reply(404, "NoSuchKey")
        return self.objects[key].answer(request)


@contextmanager
def odd_store(objects: dict[str, OddObject]) -> Iterator[tuple[OddStore, str]]:
    """The store and its endpoint."""
    store = OddStore(objects)
    with scripted_server(store.respond) as endpoint:
        yield store, endpoint
