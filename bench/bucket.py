"""A bucket of scenes behind an S3 server on loopback, and an ingest's settings for it."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from botocore.exceptions import BotoCoreError
from PIL import Image

from pipeline.demo.scenes import SCENE_HW, compose
from pipeline.demo.sprites import bundled_sprites
from pipeline.environment import set_environment
from pipeline.settings import Settings, load_settings

BUCKET = "bench"
_SERVER_START_S = 30.0
_DIFFERENT_SCENES = 100


@contextmanager
def s3_server() -> Iterator[Any]:
    """A client of moto's server, in a process of its own; the AWS_ variables fit it meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    access = {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": url,
    }
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with set_environment(access):
            client = boto3.client("s3")
            deadline = time.monotonic() + _SERVER_START_S
            while True:
                try:
                    client.create_bucket(Bucket=BUCKET)
                    break
                except BotoCoreError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.2)
            yield client
    finally:
        server.terminate()
        server.wait()


def put_images(client: Any, prefix: str, count: int) -> dict[str, str]:
    """Upload `count` scenes, none the same to the byte; their keys by name."""
    scenes = [
        compose(np.random.default_rng([5, n]), bundled_sprites(), SCENE_HW).image
        for n in range(min(count, _DIFFERENT_SCENES))
    ]
    keys = {}
    for number in range(count):
        body = io.BytesIO()
        picture = Image.fromarray(scenes[number % len(scenes)])
        picture.save(body, "JPEG", quality=60 + number // len(scenes) % 36, comment=f"{number}")
        name = f"{number:05d}.jpg"
        keys[name] = f"{prefix}/{name}"
        client.put_object(Bucket=BUCKET, Key=keys[name], Body=body.getvalue())
    return keys


def settings_for(
    index: Path, runner: Mapping[str, Any], segmenter: Mapping[str, Any], precision: str = "auto"
) -> Settings:
    """Of an ingest into the folder `index`, both models in `precision`."""
    return load_settings(
        None,
        {
            "index": {"location": str(index)},
            "runner": dict(runner),
            "segmenter": {"precision": precision, **segmenter},
            "embedder": {"precision": precision},
        },
    )
