"""A process that writes images to a Lance index, many or few, or keeps the index tidy meanwhile."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from support.index_cases import DIM, embedded, ids_of, unit

from pipeline.environment import prepare_lance
from schemas.options import IndexOptions
from schemas.records import EmbeddedImage
from workers.indexes.lance import upkeep
from workers.indexes.open import open_index

FIRST_RUN = datetime(2026, 1, 31, tzinfo=UTC)
SHARED = 5
"""Images that all writers write; half of what each writes are these."""


def run_of(writer: int) -> datetime:
    """When the run of a writer started: each later than that of the one before."""
    return FIRST_RUN + timedelta(hours=writer)


def image_of(writer: int, commit: int) -> EmbeddedImage:
    """What a writer writes in a commit: an image of its own, then one of those that all write."""
    vectors = unit(1000 * writer + commit, 3 + writer % 2)
    if commit % 2:
        key = f"shared-{commit // 2 % SHARED}.jpg"
        return embedded(key, vectors, version=f"v{writer}-{commit}")
    return embedded(f"{writer}-{commit}.jpg", vectors)


def expected_points(writers: int, commits: int) -> Counter[str]:
    """Of an image that all write, the last that the latest run has written of it."""
    images = {}
    for writer in range(writers):
        for commit in range(commits):
            image = image_of(writer, commit)
            images[image.ref.key] = image
    return Counter(identity for image in images.values() for identity in ids_of(image))


def main(what: str, location: str, endpoint: str, writer: str, commits: str) -> None:
    prepare_lance()
    options = IndexOptions(
        location=location, endpoint_url=endpoint or None, retry_budget_s=600, timeout_s=60
    )
    # So that a few hundred rows are indexed, and put together often.
    upkeep._ROWS_TO_INDEX = 100
    with open_index(options, DIM) as index:
        index.require_writable()
        print("ready", flush=True)
        for _ in sys.stdin:
            if what == "tidy":
                index.optimize()
                print("tidied", flush=True)
            else:
                for report in _write(index, int(writer), int(commits)):
                    print(json.dumps(report), flush=True)


def _write(index: object, writer: int, commits: int) -> Iterator[int]:
    for commit in range(commits):
        index.replace_images([image_of(writer, commit)], run_of(writer))  # type: ignore[attr-defined]
        yield commit


if __name__ == "__main__":
    main(*sys.argv[1:])
