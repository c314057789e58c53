"""What a listing names twice is found, in order or not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.s3_server import Reply, Request, listing_page, scripted_server

from pipeline.ingestion import seen_images
from pipeline.ingestion.listing import ignore_skipped, list_images
from pipeline.ingestion.seen_images import drop_repeated
from schemas.images import ImageRef
from schemas.options import StoreOptions

pytestmark = pytest.mark.trials


def ref(key: str, bucket: str = "b") -> ImageRef:
    return ImageRef("s3", bucket, key, "v", 3)


def take(refs: list[ImageRef]) -> tuple[list[ImageRef], list[str]]:
    """What comes through, and the uris of what does not."""
    repeated: list[str] = []
    return list(drop_repeated(refs, lambda reason, uri: repeated.append(uri))), repeated


@given(
    st.lists(st.text("abcé", min_size=1, max_size=3), max_size=50),
    st.booleans(),
    st.integers(1, 4),
    st.sampled_from([1, 2, 8]),
    st.integers(1, 5),
)
def test_an_image_is_new_once(
    keys: list[str], in_order: bool, at_once: int, largest_merged: int, latest: int
) -> None:
    keys = sorted(keys) if in_order else keys
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen_images, "_LOOKED_UP_AT_ONCE", at_once)
        patch.setattr(seen_images, "_LARGEST_MERGED", largest_merged)
        patch.setattr(seen_images, "_LATEST", latest)
        new, repeated = take([ref(key) for key in keys])
    assert [image.key for image in new] == list(dict.fromkeys(keys))
    again = [key for number, key in enumerate(keys) if key in keys[:number]]
    assert repeated == [ref(key).uri for key in again]


def test_the_same_key_of_another_bucket_is_another_image() -> None:
    listed = [ref("a", bucket) for bucket in ("b", "c", "b", "c")]
    assert take(listed) == (listed[:2], ["s3://b/a", "s3://c/a"])


def test_images_in_order_are_passed_on_one_by_one() -> None:
    taken: list[str] = []
    source = (taken.append(key) or ref(key) for key in "abc")  # type: ignore[func-returns-value]
    assert next(drop_repeated(source, ignore_skipped)).key == "a"
    assert taken == ["a"]


@pytest.mark.parametrize(
    "pages",
    [
        [["a.jpg", "a.jpg", "b.jpg"]],
        [["a.jpg", "b.jpg"], ["b.jpg"]],
        [["a.jpg", "b.jpg"], ["a.jpg", "b.jpg"]],
        [["b.jpg", "a.jpg"], ["b.jpg"]],
    ],
)
def test_a_bucket_that_lists_a_key_twice_gives_it_once(pages: list[list[str]]) -> None:
    def respond(request: Request) -> Reply:
        number = next((n for n in (1, 2) if f"token-{n}" in request.target), 0)
        more = f"token-{number + 1}" if number + 1 < len(pages) else None
        return listing_page(pages[number], more)

    skipped: list[tuple[str, str]] = []
    with scripted_server(respond) as endpoint:
        options = StoreOptions(endpoint_url=endpoint)
        found = list_images(["s3://b"], options, lambda *what: skipped.append(what))
        assert sorted(image.key for image in found) == ["a.jpg", "b.jpg"]
    # Those that follow one another are one to the store already.
    listed = [key for page in pages for key in page]
    apart = [key for before, key in zip([None, *listed], listed, strict=False) if key != before]
    assert skipped == [("listed more than once", f"s3://b/{key}") for key in apart[2:]]
