"""S3 servers for tests: moto, a real one where the environment names it, and a scripted one."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler
from typing import Any

import boto3
import pytest
from botocore.config import Config
from support.loopback_server import running_server

REAL_ENDPOINT = "OBJSEEK_TEST_S3_ENDPOINT"
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass
class S3Server:
    """An S3 endpoint; `close` removes the buckets that were made here."""

    endpoint_url: str
    _buckets: list[str] = field(default_factory=list)

    @cached_property
    def client(self) -> Any:
        style = Config(s3={"addressing_style": "path"})
        # A session of its own: the default one keeps the credentials that it first saw.
        return boto3.Session().client("s3", endpoint_url=self.endpoint_url, config=style)

    def make_bucket(self, objects: Mapping[str, bytes] | None = None) -> str:
        """The name of a new bucket with these objects."""
        name = f"objseek-test-{uuid.uuid4().hex}"
        client = self.client
        client.create_bucket(Bucket=name)
        self._buckets.append(name)
        for key, body in (objects or {}).items():
            client.put_object(Bucket=name, Key=key, Body=body)
        return name

    def close(self) -> None:
        client = self.client
        for name in self._buckets:
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
                for item in page.get("Contents", []):
                    client.delete_object(Bucket=name, Key=item["Key"])
            client.delete_bucket(Bucket=name)
        self._buckets.clear()


@contextmanager
def made_up_credentials() -> Iterator[None]:
    """AWS_ variables with made-up credentials, and no configuration file."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, os.devnull)
        for name, value in _CREDENTIALS.items():
            patch.setenv(name, value)
        yield


@contextmanager
def moto_server() -> Iterator[S3Server]:
    """moto behind HTTP on loopback, empty; the AWS_ variables fit it meanwhile."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with made_up_credentials():
            yield S3Server(f"http://{host}:{port}")
    finally:
        server.stop()


@contextmanager
def real_server() -> Iterator[S3Server]:
    """The server that OBJSEEK_TEST_S3_ENDPOINT names, with the usual AWS_ variables; or a skip."""
    endpoint = os.environ.get(REAL_ENDPOINT)
    if not endpoint:
        pytest.skip(f"{REAL_ENDPOINT} names no S3 server")
    server = S3Server(endpoint)
    try:
        yield server
    finally:
        server.close()


@dataclass(frozen=True)
class Request:
    """`target` is the raw request target: encoded path and query."""

    target: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """`declared` is the Content-Length to claim, where it differs from the body's.

    `pause_s` is how long to wait after each byte of the body.
    """

    status: int
    body: bytes = b""
    declared: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_s: float = 0.0


@contextmanager
def scripted_server(respond: Callable[[Request], Reply]) -> Iterator[str]:
    """The endpoint of an HTTP server on loopback that answers every GET and HEAD by `respond`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = respond(Request(self.path, dict(self.headers)))
            self.send_response(reply.status)
            declared = len(reply.body) if reply.declared is None else reply.declared
            self.send_header("Content-Length", str(declared))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):  # whoever asked may wait no longer
                self._write(reply)

        do_HEAD = do_GET  # noqa: N815

        def _write(self, reply: Reply) -> None:
            if not reply.pause_s:
                self.wfile.write(reply.body)
            for byte in reply.body if reply.pause_s else b"":
                self.wfile.write(bytes([byte]))
                time.sleep(reply.pause_s)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with running_server(Handler) as endpoint, made_up_credentials():
        yield endpoint


def error_reply(status: int, code: str) -> Reply:
    """S3's own error document."""
    text = f"<Error><Code>{code}</Code><Message>No, because of {code}.</Message></Error>"
    return Reply(status, text.encode())


def listing_page(keys: list[str], next_token: str | None = None) -> Reply:
    """One page of list_objects_v2; every object has 3 bytes and the ETag "e"."""
    items = "".join(
        f"<Contents><Key>{key}</Key><ETag>&quot;e&quot;</ETag><Size>3</Size></Contents>"
        for key in keys
    )
    token = f"<NextContinuationToken>{next_token}</NextContinuationToken>" if next_token else ""
    more = str(bool(next_token)).lower()
    body = f"<IsTruncated>{more}</IsTruncated><EncodingType>url</EncodingType>{token}{items}"
    return Reply(200, f"<ListBucketResult>{body}</ListBucketResult>".encode())
