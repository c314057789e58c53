"""What a listing names twice is found, in order or not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.s3_server import Reply, Request, listing_page, scripted_server

from pipeline.ingestion.listing import list_images
from pipeline.ingestion.seen_images import SeenImages
from schemas.images import ImageRef
from schemas.options import StoreOptions

pytestmark = pytest.mark.trials


def ref(key: str, bucket: str = "b") -> ImageRef:
    return ImageRef("s3", bucket, key, "v", 3)


@given(st.lists(st.text("abcé", max_size=2)), st.booleans())
def test_an_image_is_new_once(keys: list[str], in_order: bool) -> None:
    keys = sorted(keys) if in_order else keys
    seen, known = SeenImages(), set()
    for key in keys:
        assert seen.add(ref(key or "x")) == ((key or "x") not in known)
        known.add(key or "x")


def test_the_same_key_of_another_bucket_is_another_image() -> None:
    seen = SeenImages()
    assert [seen.add(ref("a", bucket)) for bucket in ("b", "c", "b", "c")] == [True] * 2 + [
        False
    ] * 2


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
