"""Takes the picture of the dashboard: `python -m support.dashboard_film docs/dashboard.webp`.

For some minutes `objseek ingest` finds the objects of a bucket of drawn scenes, in which some files
are broken and whose store is busy at times, while `objseek serve` answers searches of the same
index. A Prometheus scrapes both. Run it from `tests/`, with the repository on the path.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from support.commands import BIN
from support.fault_proxy import FaultProxy
from support.fault_proxy import serving as serving_store
from support.prometheus_server import free_port, running_prometheus, write_config
from support.s3_server import error_reply
from support.waiting import PATIENCE_S, until

from bench.dashboard_panels.__main__ import draw_file
from bench.dashboard_panels.dashboard import Window
from pipeline.demo.bucket import write_bucket
from pipeline.demo.s3_server import serve_bucket
from pipeline.service.api_keys import KeyFile, Scope

SCENES, FIRST_SCENES, SEED, SCRAPE_S = 240, 8, 11, 5
BROKEN = dict.fromkeys((12, 41, 72, 73, 107, 150, 171, 203), b"no image")
"""Scenes that are other files, and their bytes."""
ARCHIVED, REFUSED = ("0040.jpg", "0086.jpg", "0087.jpg"), ("0057.jpg", "0094.jpg", "0165.jpg")
_BUSY_SHARE, _PAUSE_S, _REST_S = 0.12, 0.25, 15.0
_FOUND = ("a cat", "something to eat", "a car", "a house", "a ball", "a flower")
_UNLIKELY = ("an invoice of last year", "a signature", "the periodic table")


class BusyStore(FaultProxy):
    """Asks for patience at times; some objects it has in an archive, and of some it says no."""

    def next_fault(self) -> str | None:
        return "503" if self._chance.random() < _BUSY_SHARE else None

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        name = path.partition("?")[0].rpartition("/")[2]
        if name in ARCHIVED:
            return 403, {}, error_reply(403, "InvalidObjectState").body
        if name in REFUSED:
            return 403, {}, error_reply(403, "AccessDenied").body
        return super().answer(path, headers)


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command `objseek`, a little behind others, until the end of the block."""
    command = ["nice", "-n", "5", str(BIN), *arguments]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Return when `port` of loopback is listened on; fail if the process ends before."""

    def is_there() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    until(lambda: process.poll() is not None or is_there())
    assert process.poll() is None


def search_on(url: str, key: str, image: bytes, is_over: threading.Event) -> None:
    """Do what many do with a service, until it is over: most find something."""
    chance = random.Random(SEED)
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
        client.timeout = PATIENCE_S
        while not is_over.wait(chance.expovariate(1 / _PAUSE_S)):
            act = chance.choices(range(5), (60, 14, 10, 4, 1))[0]
            if act <= 1:
                text = chance.choice(_UNLIKELY if act else _FOUND)
                hits = client.post("/v1/search", json={"positive": [{"text": text}]}).json()
                if hits["hits"] and chance.random() < 0.5:
                    client.get(f"/v1/objects/{hits['hits'][0]['object_id']}/crop.jpg")
            elif act == 2:
                client.post("/v1/search", json={"k": "?"})
            elif act == 3:
                client.get("/v1/objects/00000000-0000-0000-0000-000000000000")
            else:
                client.post("/v1/uploads", content=image)


def write_source(folder: Path) -> bytes:
    """Write the scenes and the broken files; one of the scenes."""
    write_bucket(folder, SCENES, SEED)
    for number, content in BROKEN.items():
        (folder / "scenes" / f"{number:04}.jpg").write_bytes(content)
    return (folder / "scenes" / "0001.jpg").read_bytes()


def take_picture(folder: Path, out: Path) -> None:
    """Run everything in `folder`, and draw what came of it."""
    image = write_source(folder)
    key_file, port, metrics_port = folder / "keys.json", free_port(), free_port()
    _, key = KeyFile(key_file).create("prometheus", Scope.READ, None)
    os.environ["OBJSEEK_OBSERVE__METRICS_PORT"] = str(metrics_port)
    index = ("--index", f"lance+file://{folder}/index")
    with serve_bucket(folder) as bucket, serving_store(BusyStore(bucket.endpoint_url or "")) as url:
        source = ("ingest", bucket.source, "--endpoint-url", url, *index, "--runner", "local")
        models = ("--segmenter", "maskrcnn_demo", "--batch-size", "4", "--workers", "1")
        with running(*source, *models, "--limit", str(FIRST_SCENES)) as first:
            assert first.wait() == 0
        served, is_over = f"127.0.0.1:{port}", threading.Event()
        serve = ("serve", *index, "--port", str(port), "--keys", str(key_file))
        targets = {"objseek-service": served, "objseek-ingest": f"127.0.0.1:{metrics_port}"}
        config = write_config(folder, targets, key, f"{SCRAPE_S}s")
        with (
            running(*serve, "--endpoint-url", url) as service,
            running_prometheus(folder, config) as prometheus,
        ):
            wait_for(service, port)
            start_s = int(time.time())
            asking = (f"http://{served}", key, image, is_over)
            searching = threading.Thread(target=search_on, args=asking)
            searching.start()
            try:
                time.sleep(_REST_S)
                with running(*source, *models) as ingest:
                    ingest.wait()
                time.sleep(_REST_S)
            finally:
                is_over.set()
                searching.join()
            window = Window(start_s, int(time.time()), SCRAPE_S)
            without = draw_file(out, str(prometheus.client.base_url), window)
            print(json.dumps({"bytes": out.stat().st_size, "no data": without}))


if __name__ == "__main__":
    with TemporaryDirectory() as name:
        take_picture(Path(name), Path(sys.argv[1]))
