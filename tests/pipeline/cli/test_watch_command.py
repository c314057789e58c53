"""The command `objseek watch`: what it prints, how it ends, what it says of mistakes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import PATIENCE_S
from support.watch_world import World, watched_bucket


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with watched_bucket(tmp_path) as world:
        yield world


def command(world: World, *more: str) -> list[str]:
    script = str(Path(sys.executable).parent / "objseek")
    return [
        script, "watch", world.source, "--index", world.settings.index.location,
        "--endpoint-url", world.server.endpoint_url, "--runner", "local", *more,
    ]  # fmt: skip


@pytest.mark.long
def test_on_ray_rounds_are_told_and_a_sigterm_ends_it(world: World) -> None:
    world.put("0.png", 0)
    process = subprocess.Popen(
        [*command(world, "--json", "--preset", "fast"), "--runner", "ray"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    # Ray has both streams, and would have the signal.
    assert json.loads(process.stdout.readline())["done"] == 1
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, ""), err
    assert err.splitlines()[-1] == "1 image ingested and 0 removed in 1 round."


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it(world: World, number: int, code: int) -> None:
    world.sqs.send_message(QueueUrl=world.queue.url, MessageBody="hello")
    process = subprocess.Popen(
        command(world, "--queue", world.queue.url, "--json"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert "Watching" in process.stderr.readline()
    # Of the message it tells when it is at it.
    assert "left in the queue" in process.stderr.readline()
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, err
    assert out == ""
    assert "0 images ingested and 0 removed in " in err
    assert "Traceback" not in err


@pytest.mark.long
def test_rounds_are_told(world: World) -> None:
    world.server.client.put_object(Bucket=world.bucket, Key="0.png", Body=b"no image")
    done = subprocess.run(
        command(world, "--once", "--json"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    printed = json.loads(done.stdout)
    assert (printed["cause"], printed["rejected"], printed["removed"]) == ("listing", 1, 0)
    world.delete("0.png")
    done = subprocess.run(
        command(world, "--once", "--max-delete", "1"),
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    assert "listing  0 images, 0 objects, 1 removed" in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (["--queue", "photos"], 2, "expected the URL of an SQS queue, such as https://sqs."),
        (["--queue", "http://[::1/photos"], 2, "expected the URL of an SQS queue, such as https"),
        (["--queue", "QUEUE", "--profile", "none"], 1, "got: The config profile (none) could not"),
        (["--every", "0"], 2, "should be greater than or equal to 1"),
        (["--queue", "QUEUE-that-is-not-there"], 1, "expected an SQS queue, there is none at http"),
    ],
)
def test_mistakes(world: World, args: list[str], code: int, sentence: str) -> None:
    args = [arg.replace("QUEUE", world.queue.url) for arg in args]
    done = subprocess.run(
        command(world, *args), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.returncode, sentence in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
