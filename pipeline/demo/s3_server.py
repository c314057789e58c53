"""Serves the demo bucket over a real S3 API on loopback, if moto is installed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.environment import set_environment

BUCKET = "objseek-demo"
_ACCESS = {
    "AWS_ACCESS_KEY_ID": "demo",
    "AWS_SECRET_ACCESS_KEY": "demo",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_OVERRIDING = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """Where the demo images are read from; `endpoint_url` is None for a plain folder."""

    source: str
    endpoint_url: str | None


@contextmanager
def serve_bucket(folder: Path, name: str = "scenes") -> Iterator[BucketAddress]:
    """Serve `folder`/scenes, or another one, as s3://objseek-demo/scenes within the block.

    Without moto, the address is that of the folder.
    """
    try:
        from moto.server import ThreadedMotoServer
    except ModuleNotFoundError:
        yield BucketAddress(str(folder / name), None)
        return
    import boto3

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # The server's own keys, whatever the user's are.
    with set_environment(dict.fromkeys(_OVERRIDING) | _ACCESS):
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        endpoint_url = f"http://{host}:{port}"
        try:
            client = boto3.client("s3", endpoint_url=endpoint_url)
            client.create_bucket(Bucket=BUCKET)
            for path in sorted((folder / name).iterdir()):
                client.upload_file(str(path), BUCKET, f"{name}/{path.name}")
            client.close()
            yield BucketAddress(f"s3://{BUCKET}/{name}/", endpoint_url)
        finally:
            # moto keeps buckets as long as the process lives, whichever server made them.
            _empty(endpoint_url)
            server.stop()


def _empty(endpoint_url: str) -> None:
    import boto3

    bucket = boto3.resource("s3", endpoint_url=endpoint_url).Bucket(BUCKET)
    bucket.objects.all().delete()
    bucket.delete()
    bucket.meta.client.close()
