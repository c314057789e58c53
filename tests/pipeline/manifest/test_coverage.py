"""Images by prefix, day and pipeline: what counting them one by one finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.manifest import coverage as module
from pipeline.manifest.coverage import Coverage, PipelineCounts, largest, latest, measure_coverage
from pipeline.manifest.manifest import Manifest
from schemas.ids import ImageRevision
from schemas.images import ImageRef, Stage
from schemas.manifest import ManifestRow, State

START = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)
STATES = [state.value for state in State]


def ref(key: str, bucket: str = "photos", version: str = "v1") -> ImageRef:
    return ImageRef("s3" if bucket else "file", bucket, key, version, 10)


def row(
    image: ImageRef, state: State = State.DONE, pipeline: str = "f1", at: datetime = START
) -> ManifestRow:
    done = ManifestRow.done(image, ImageRevision(image.version, pipeline), 3, at)
    if state is State.DONE:
        return done
    return done.with_failure(state, Stage.READ, "SomeError", "why", at, retryable=True)


def manifest(folder: Path, *rows: ManifestRow) -> Manifest:
    made = Manifest(folder / "manifest")
    made.append(rows)
    made.flush()
    return made


def of_done(folder: Path, *images: ImageRef, depth: int = 1) -> Coverage:
    return measure_coverage(manifest(folder, *map(row, images)), depth=depth)


def done(coverage: Coverage) -> dict[str, int]:
    """The images that are done, by prefix."""
    return {found["prefix"]: found["done"] for found in coverage.prefixes().to_pylist()}


def test_images_are_counted_by_folder_below_the_one_that_all_are_in(tmp_path: Path) -> None:
    rows = [
        row(ref("trips/2026/rome/1.jpg")),
        row(ref("trips/2026/rome/night/2.jpg"), State.REJECTED),
        row(ref("trips/2026/oslo/3.jpg"), State.FAILED),
        row(ref("trips/2026/4.jpg"), State.GONE),
    ]
    known = manifest(tmp_path, *rows)
    found = measure_coverage(known)
    assert found.common() == "s3://photos/trips/2026/"
    none = {"done": 0, "rejected": 0, "failed": 0, "gone": 0, "waiting": None}
    assert found.prefixes().to_pylist() == [
        {"prefix": "s3://photos/trips/2026/", **none, "gone": 1},
        {"prefix": "s3://photos/trips/2026/oslo/", **none, "failed": 1},
        {"prefix": "s3://photos/trips/2026/rome/", **none, "done": 1, "rejected": 1},
    ]
    assert measure_coverage(known, depth=2).prefixes().to_pylist()[2:] == [
        {"prefix": "s3://photos/trips/2026/rome/", **none, "done": 1},
        {"prefix": "s3://photos/trips/2026/rome/night/", **none, "rejected": 1},
    ]
    assert found.images() == dict.fromkeys(STATES, 1)
    assert (found.objects(), found.waiting) == (3, None)


def test_keys_are_opaque(tmp_path: Path) -> None:
    keys = [
        "bare.jpg",
        "a//b.jpg",
        "/lead.jpg",
        "ä ö/1.jpg",
        "ä ö/2.jpg",
        "a+%20?#/x.jpg",
        "n\nl/x",
    ]
    found = of_done(tmp_path, *map(ref, keys))
    assert found.common() == "s3://photos/"
    assert done(found) == {
        "s3://photos/": 1,
        "s3://photos//": 1,
        "s3://photos/a/": 1,
        "s3://photos/a+%20?#/": 1,
        "s3://photos/n\nl/": 1,
        "s3://photos/ä ö/": 2,
    }
    assert done(of_done(tmp_path, *map(ref, keys), depth=2))["s3://photos/a//"] == 1


def test_buckets_and_stores_have_nothing_in_common(tmp_path: Path) -> None:
    images = ref("a/1.jpg", "one"), ref("a/1.jpg", "once"), ref("/a/1.jpg", "")
    buckets = of_done(tmp_path / "1", *images[:2])
    assert buckets.common() == "s3://"
    assert done(buckets) == {"s3://once/": 1, "s3://one/": 1}
    assert done(of_done(tmp_path / "1", *images[:2], depth=2)) == {
        "s3://once/a/": 1,
        "s3://one/a/": 1,
    }
    stores = of_done(tmp_path / "2", *images[::2])
    assert stores.common() == ""
    assert done(stores) == {"file:///": 1, "s3://one/": 1}
    assert done(of_done(tmp_path / "2", *images[::2], depth=100)) == {
        "file:///a/": 1,
        "s3://one/a/": 1,
    }


def test_files_stand_under_their_uris(tmp_path: Path) -> None:
    found = of_done(tmp_path, ref("/data/ä b/x.jpg", ""), ref("/data/\udcff%/y.jpg", ""))
    assert found.common() == "file:///data/"
    assert done(found) == {"file:///data/%C3%A4%20b/": 1, "file:///data/%FF%25/": 1}


def test_one_image_is_a_group_of_its_folder(tmp_path: Path) -> None:
    found = of_done(tmp_path, ref("a/b/c.jpg"), depth=7)
    assert found.common() == "s3://photos/a/b/"
    assert done(found) == {"s3://photos/a/b/": 1}


def test_an_empty_manifest_has_no_groups(tmp_path: Path) -> None:
    found = measure_coverage(Manifest(tmp_path / "none"))
    assert found.images() == dict.fromkeys(STATES, 0)
    assert (found.common(), found.objects(), found.pipelines()) == ("", 0, [])
    assert found.prefixes().to_pylist() == found.days().to_pylist() == []
    assert measure_coverage(Manifest(tmp_path / "none"), [ref("a.jpg")]).prefixes().to_pylist() == [
        {"prefix": "s3://photos/", **dict.fromkeys(STATES, 0), "waiting": 1}
    ]


def test_days_are_those_of_the_last_attempts_in_utc(tmp_path: Path) -> None:
    later = START + timedelta(microseconds=1)
    rows = [
        row(ref("1.jpg"), State.FAILED),
        row(ref("1.jpg"), State.DONE, at=later),
        row(ref("2.jpg")),
        row(ref("3.jpg"), State.GONE, at=later),
    ]
    assert measure_coverage(manifest(tmp_path, *rows)).days().to_pylist() == [
        {"day": "2026-01-31", "done": 1, "rejected": 0, "failed": 0, "gone": 0},
        {"day": "2026-02-01", "done": 1, "rejected": 0, "failed": 0, "gone": 1},
    ]


def test_pipelines_are_told_by_what_they_have_done(tmp_path: Path) -> None:
    days = [START + timedelta(days=number) for number in range(4)]
    rows = [
        row(ref("1.jpg"), pipeline="new", at=days[2]),
        row(ref("2.jpg"), pipeline="new", at=days[3]),
        row(ref("3.jpg"), pipeline="old", at=days[0]),
        row(ref("4.jpg"), State.FAILED, pipeline="none", at=days[1]),
    ]
    assert measure_coverage(manifest(tmp_path, *rows)).pipelines() == [
        PipelineCounts("old", 1, 3, "2026-01-31", "2026-01-31"),
        PipelineCounts("new", 2, 6, "2026-02-02", "2026-02-03"),
    ]


def test_what_is_listed_and_was_not_tried_in_that_version_is_waiting(tmp_path: Path) -> None:
    known = manifest(
        tmp_path,
        row(ref("a/done.jpg")),
        row(ref("a/failed.jpg"), State.FAILED),
        row(ref("a/rejected.jpg"), State.REJECTED),
        row(ref("a/back.jpg"), State.GONE),
        row(ref("a/changed.jpg")),
    )
    listed = [ref(f"a/{name}.jpg") for name in ("done", "failed", "rejected", "back")]
    listed += [ref("a/changed.jpg", version="v2"), ref("b/new.jpg"), ref("b/newer.jpg")]
    found = measure_coverage(known, listed)
    assert found.waiting == 4
    assert found.images() == {"done": 2, "rejected": 1, "failed": 1, "gone": 1}
    assert found.prefixes().to_pylist() == [
        {
            "prefix": "s3://photos/a/",
            **{"done": 2, "rejected": 1, "failed": 1, "gone": 1, "waiting": 2},
        },
        {"prefix": "s3://photos/b/", **dict.fromkeys(STATES, 0), "waiting": 2},
    ]
    assert measure_coverage(known, listed[:3]).waiting == 0
    assert measure_coverage(known, []).prefixes()["waiting"].to_pylist() == [0]


def test_many_prefixes_are_shown_as_the_largest_and_others(tmp_path: Path) -> None:
    sizes = {"a": 1, "b": 3, "c": 2, "d": 1, "e": 3}
    images = [ref(f"{folder}/{n}.jpg") for folder, size in sizes.items() for n in range(size)]
    prefixes = of_done(tmp_path, *images).prefixes()
    assert largest(prefixes, 5) is prefixes
    assert largest(prefixes, 3).select(["prefix", "done", "waiting"]).to_pylist() == [
        {"prefix": "s3://photos/b/", "done": 3, "waiting": None},
        {"prefix": "s3://photos/e/", "done": 3, "waiting": None},
        {"prefix": "others", "done": 4, "waiting": None},
    ]


def test_many_days_are_shown_as_the_last_and_earlier(tmp_path: Path) -> None:
    rows = [row(ref(f"{n}.jpg"), at=START + timedelta(days=n)) for n in range(5)]
    days = measure_coverage(manifest(tmp_path, *rows)).days()
    assert latest(days, 5) is days
    shown = latest(days, 2).select(["day", "done"]).to_pylist()
    assert shown == [
        {"day": "earlier", "done": 3},
        {"day": "2026-02-03", "done": 1},
        {"day": "2026-02-04", "done": 1},
    ]


KEYS = st.text("a/ä%.\n", min_size=1, max_size=8)
IMAGES = st.lists(st.tuples(st.sampled_from(["one", "two"]), KEYS), max_size=12, unique=True)


@given(
    images=IMAGES, waiting=IMAGES, depth=st.integers(1, 4), at_once=st.sampled_from([0, 1 << 18])
)
@settings(max_examples=60)
def test_prefixes_are_what_counting_one_by_one_finds(
    images: list[tuple[str, str]], waiting: list[tuple[str, str]], depth: int, at_once: int
) -> None:
    known, listed = ([ref(key, bucket) for bucket, key in pairs] for pairs in (images, waiting))
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SUMMED_AT_ONCE", at_once)
        patch.setattr(module, "_LISTED_AT_ONCE", 5)
        found = measure_coverage(manifest(Path(folder), *map(row, known)), listed, depth).prefixes()
    new = [image for image in listed if image not in known]
    expected = _one_by_one([image.uri for image in known + new], depth)
    counts = {entry["prefix"]: entry["done"] + entry["waiting"] for entry in found.to_pylist()}
    assert Counter(counts) == expected
    assert sum(found["waiting"].to_pylist()) == len(new)
    assert found["prefix"].to_pylist() == sorted(expected)


def _one_by_one(uris: Sequence[str], depth: int) -> Counter[str]:
    folders = [uri.split("/")[:-1] for uri in uris]
    shared = 0
    while folders and all(
        len(folder) > shared and folder[shared] == folders[0][shared] for folder in folders
    ):
        shared += 1
    return Counter("/".join([*folder[: shared + depth], ""]) for folder in folders)
