"""Listings of S3 servers that leave things out, and reads of what they list."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import pytest
from support.odd_s3 import LATER, OddObject, OddStore, md5, odd_store
from support.s3_server import Reply, error_reply, scripted_server

from schemas.errors import (
    ObjectArchivedError,
    ObjectChangedError,
    StoreUnavailableError,
)
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.stores import open as stores
from workers.stores import s3
from workers.stores.open import build_store
from workers.stores.s3_client import client_for
from workers.stores.selection import ARCHIVED, EMPTY, UNNAMED

pytestmark = pytest.mark.trials

BODY = b"an image"
TAG, SIZE = md5(BODY), len(BODY)
WHEN = "<LastModified>2024-01-01T00:00:00.123Z</LastModified>"
TIME = f"modified:2024-01-01T00:00:00Z,bytes:{SIZE}"
FUTURE = "<RestoreExpiryDate>2124-01-01T00:00:00Z</RestoreExpiryDate>"
PAST = "<RestoreExpiryDate>2014-01-01T00:00:00Z</RestoreExpiryDate>"


def options_for(endpoint: str) -> StoreOptions:
    return StoreOptions(endpoint_url=endpoint, max_attempts=1, retry_budget_s=0)


def list_all(endpoint: str) -> tuple[list[ImageRef], list[str]]:
    """The images of the bucket, and the reasons for which others were left out."""
    reasons: list[str] = []
    listing = build_store("s3://photos/", options_for(endpoint)).list_images(
        lambda reason, uri: reasons.append(reason)
    )
    return list(listing), reasons


@pytest.mark.parametrize(
    ("listed", "version", "size"),
    [
        (WHEN + "{etag_xml}{size_xml}", TAG, SIZE),
        (WHEN + "<ETag>W/{etag}</ETag>{size_xml}", TAG, SIZE),
        (WHEN + '<ETag>W/"{etag}"</ETag>{size_xml}', TAG, SIZE),
        (WHEN + '<ETag>"{etag}-gzip"</ETag>{size_xml}', TAG, SIZE),
        (WHEN + "<ETag>{etag}</ETag>{size_xml}", TAG, SIZE),
        (WHEN + "<ETag> &quot;{etag}&quot; </ETag>{size_xml}", TAG, SIZE),
        # No ETag: time and size.
        (WHEN + "{size_xml}", TIME, SIZE),
        (WHEN + "<ETag></ETag>{size_xml}", TIME, SIZE),
        (WHEN + "<ETag/>{size_xml}", TIME, SIZE),
        (WHEN + '<ETag>""</ETag>{size_xml}', TIME, SIZE),
        (WHEN + '<ETag>W/""</ETag>{size_xml}', TIME, SIZE),
        (WHEN + "{etag_xml}{etag_xml}{size_xml}", TIME, SIZE),
        ("<LastModified>1704067200</LastModified>{size_xml}", TIME, SIZE),
        ("<LastModified>Mon, 01 Jan 2024 00:00:00 GMT</LastModified>{size_xml}", TIME, SIZE),
        ("<LastModified>2024-01-01T01:00:00+01:00</LastModified>{size_xml}", TIME, SIZE),
        # No size: not known until it is read.
        (WHEN + "{etag_xml}", TAG, 0),
        (WHEN + "{etag_xml}<Size></Size>", TAG, 0),
        (WHEN + "{etag_xml}<Size/>", TAG, 0),
        (WHEN + "{etag_xml}<Size>-1</Size>", TAG, 0),
        (WHEN + "{etag_xml}<Size>3.0</Size>", TAG, 0),
        (WHEN + "{etag_xml}<Size>8 bytes</Size>", TAG, 0),
        # No time, or none that can be read; with an ETag none is needed.
        ("{etag_xml}{size_xml}", TAG, SIZE),
        ("<LastModified/>{etag_xml}{size_xml}", TAG, SIZE),
        ("<LastModified>yesterday</LastModified>{etag_xml}{size_xml}", TAG, SIZE),
        ("<LastModified>2024-13-45T99:00:00Z</LastModified>{etag_xml}{size_xml}", TAG, SIZE),
        # Too little: each is asked for.
        ("{size_xml}", TAG, SIZE),
        ("<LastModified/>{size_xml}", TAG, SIZE),
        (WHEN, TAG, SIZE),
        ("", TAG, SIZE),
        # What is read at once, and archives that were restored.
        (WHEN + "{etag_xml}{size_xml}<StorageClass>GLACIER_IR</StorageClass>", TAG, SIZE),
        (WHEN + "{etag_xml}{size_xml}<StorageClass>STANDARD_IA</StorageClass>", TAG, SIZE),
        (WHEN + "{etag_xml}{size_xml}<StorageClass/>", TAG, SIZE),
        (
            WHEN + "{etag_xml}{size_xml}<StorageClass>GLACIER</StorageClass><RestoreStatus>"
            f"<IsRestoreInProgress>false</IsRestoreInProgress>{FUTURE}</RestoreStatus>",
            TAG,
            SIZE,
        ),
    ],
)
def test_what_a_listing_leaves_out_is_made_up_for(listed: str, version: str, size: int) -> None:
    with odd_store({"a.jpg": OddObject(BODY, listed)}) as (store, endpoint):
        refs, reasons = list_all(endpoint)
        assert refs == [ImageRef("s3", "photos", "a.jpg", version, size)]
        assert reasons == []
        assert stores.read(refs[0], options_for(endpoint)) == BODY
        # A listing must not seem to have changed what an event has named.
        assert stores.find(refs[0], options_for(endpoint)) == replace(refs[0], size_bytes=SIZE)
        # What is listed again is the same again.
        assert list_all(endpoint)[0] == refs
        # And what is replaced is not.
        other = OddObject(b"another body", listed.replace("2024-01-01", "2024-01-02"))
        store.objects["a.jpg"] = replace(other, headers={"ETag": '"{etag}"'})
        changed = [ref.version for ref in list_all(endpoint)[0]]
        assert changed != [version]


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        (WHEN + "{etag_xml}{size_xml}<StorageClass>GLACIER</StorageClass>", ARCHIVED),
        (WHEN + "{etag_xml}{size_xml}<StorageClass>DEEP_ARCHIVE</StorageClass>", ARCHIVED),
        (WHEN + "{etag_xml}{size_xml}<StorageClass>Archive</StorageClass>", ARCHIVED),
        (WHEN + "{etag_xml}{size_xml}<StorageClass>ColdArchive</StorageClass>", ARCHIVED),
        ("<StorageClass>GLACIER</StorageClass>", ARCHIVED),
        (
            WHEN + "{etag_xml}{size_xml}<StorageClass>GLACIER</StorageClass><RestoreStatus>"
            "<IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>",
            ARCHIVED,
        ),
        (
            WHEN + "{etag_xml}{size_xml}<StorageClass>GLACIER</StorageClass><RestoreStatus>"
            f"<IsRestoreInProgress>false</IsRestoreInProgress>{PAST}</RestoreStatus>",
            ARCHIVED,
        ),
        (
            WHEN + "{etag_xml}{size_xml}<StorageClass>GLACIER</StorageClass><RestoreStatus>"
            "<IsRestoreInProgress>false</IsRestoreInProgress></RestoreStatus>",
            ARCHIVED,
        ),
        (WHEN + "{etag_xml}<Size>0</Size>", EMPTY),
        (WHEN + "<Size>0</Size>", EMPTY),
    ],
)
def test_what_cannot_be_read_is_counted_not_tried(listed: str, reason: str) -> None:
    objects = {"a.jpg": OddObject(BODY, listed), "b.jpg": OddObject(BODY)}
    with odd_store(objects) as (store, endpoint):
        refs, reasons = list_all(endpoint)
    assert [ref.key for ref in refs] == ["b.jpg"]
    assert reasons == [reason]
    assert len(store.requests) == 1


@pytest.mark.parametrize(
    "contents",
    [
        "<Contents></Contents>",
        "<Contents><Key/></Contents>",
        "<Contents><Size>3</Size></Contents>",
    ],
)
def test_what_has_no_key_is_counted(contents: str) -> None:
    with odd_store({"a.jpg": OddObject(BODY)}) as (store, endpoint):
        store.tail = contents + store.tail
        refs, reasons = list_all(endpoint)
    assert [ref.key for ref in refs] == ["a.jpg"]
    assert reasons == [UNNAMED]


def test_a_key_that_is_listed_twice_in_a_row_is_one_image() -> None:
    with odd_store({"a.jpg": OddObject(BODY)}) as (store, endpoint):
        store.tail = store.objects["a.jpg"].entry("a.jpg") + store.tail
        assert [ref.key for ref in list_all(endpoint)[0]] == ["a.jpg"]


@pytest.mark.parametrize(
    "tail",
    [
        "<Name>photos</Name>",
        "<KeyCount>1</KeyCount>",
        "<KeyCount/><MaxKeys>many</MaxKeys>",
        "<IsTruncated>false</IsTruncated><NextContinuationToken/>",
        "<IsTruncated></IsTruncated>",
        "",
    ],
)
def test_a_last_page_may_say_little(tail: str) -> None:
    with odd_store({"a.jpg": OddObject(BODY)}) as (store, endpoint):
        store.tail = tail
        assert [ref.key for ref in list_all(endpoint)[0]] == ["a.jpg"]


def test_a_bucket_without_objects_is_none_too_few() -> None:
    with odd_store({}) as (_, endpoint):
        assert list_all(endpoint) == ([], [])


def _page(keys: str, more: str) -> Reply:
    items = "".join(OddObject(BODY).entry(f"{key}.jpg") for key in keys)
    return Reply(200, f"<ListBucketResult>{more}{items}</ListBucketResult>".encode())


TOKEN = "<NextContinuationToken>t{}</NextContinuationToken>"
YES, NO = "<IsTruncated>true</IsTruncated>", "<IsTruncated>false</IsTruncated>"


@pytest.mark.parametrize(
    ("pages", "keys"),
    [
        ([_page("ab", YES + TOKEN.format(1)), _page("c", NO)], "abc"),
        # Only the flag: the next page starts after the last key.
        ([_page("ab", YES), _page("c", YES), _page("d", NO)], "abcd"),
        # Only the token, or the flag in another spelling: nothing may seem to be gone.
        ([_page("ab", TOKEN.format(1)), _page("c", "")], "abc"),
        ([_page("ab", "<IsTruncated>True</IsTruncated>" + TOKEN.format(1)), _page("c", NO)], "abc"),
        # A token that leads nowhere.
        ([_page("ab", NO + TOKEN.format(1)), _page("", NO + TOKEN.format(2))], "ab"),
        ([_page("ab", NO + TOKEN.format(1)), _page("", NO + TOKEN.format(1))], "ab"),
        # A page on which nothing is left over.
        ([_page("ab", YES + TOKEN.format(1)), _page("", YES + TOKEN.format(2)), _page("c", NO)],
         "abc"),
        # The last key of a page comes once more on the next.
        ([_page("ab", YES + TOKEN.format(1)), _page("bc", NO)], "abc"),
    ],
)  # fmt: skip
def test_pages_follow_each_other_to_the_last(pages: list[Reply], keys: str) -> None:
    left = list(pages)
    with scripted_server(lambda request: left.pop(0)) as endpoint:
        refs, _ = list_all(endpoint)
    assert [ref.key.removesuffix(".jpg") for ref in refs] == list(keys)
    assert left == []


@pytest.mark.parametrize(
    ("reply", "got"),
    [
        (_page("ab", YES), "the same page again"),
        (_page("ab", YES + TOKEN.format(1)), "the same page again"),
        (_page("", YES), "a page that names no other, though it is not the last"),
    ],
)
def test_a_listing_that_never_ends_is_given_up(reply: Reply, got: str) -> None:
    with (
        scripted_server(lambda request: reply) as endpoint,
        pytest.raises(StoreUnavailableError, match=got) as caught,
    ):
        list_all(endpoint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"matches": ('"{etag}"',)},
        {"matches": (), "headers": {"ETag": 'W/"{etag}"'}},  # a weak ETag matches nothing
        {"matches": (), "headers": {"ETag": '"{etag}-gzip"'}},
        {"headers": {"ETag": '"{etag}--gzip"'}},
        {"headers": {"ETag": "{etag}"}},
        {"headers": {}},
        {"headers": {"ETag": '""'}},
        {"headers": {"ETag": '"{etag}"', "Last-Modified": "never"}},
        {"refused_if_match": error_reply(501, "NotImplemented")},
    ],
)
def test_an_object_is_read_whatever_its_etag_looks_like(changes: Mapping[str, object]) -> None:
    made = replace(OddObject(BODY), **changes)  # type: ignore[arg-type]
    with odd_store({"a.jpg": made}) as (_, endpoint):
        (ref,), _ = list_all(endpoint)
        assert stores.read(ref, options_for(endpoint)) == BODY
        found = stores.find(ref, options_for(endpoint))
        assert found is not None
        assert found.size_bytes == SIZE


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {"ETag": '"other"'}},
        {"headers": {"ETag": 'W/"other"'}, "matches": ()},
        {"headers": {"ETag": '"other-gzip"'}},
        {"headers": {}, "matches": ()},
        {"headers": {"ETag": '"other"'}, "refused_if_match": error_reply(501, "NotImplemented")},
        {"headers": {}, "refused_if_match": error_reply(501, "NotImplemented")},
    ],
)
def test_another_version_is_never_taken_for_the_listed(changes: Mapping[str, object]) -> None:
    made = replace(OddObject(BODY), **changes)  # type: ignore[arg-type]
    with odd_store({"a.jpg": made}) as (_, endpoint):
        (ref,), _ = list_all(endpoint)
        with pytest.raises(ObjectChangedError, match=r"s3://photos/a\.jpg"):
            stores.read(ref, options_for(endpoint))


def test_without_an_etag_the_time_of_an_answer_tells() -> None:
    made = OddObject(BODY, WHEN + "{size_xml}", headers={"Last-Modified": LATER})
    with odd_store({"a.jpg": made}) as (_, endpoint):
        (ref,), _ = list_all(endpoint)
        with pytest.raises(ObjectChangedError, match="expected version modified:2024-01-01T"):
            stores.read(ref, options_for(endpoint))


def test_missing_etags_are_named_once_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_without_etags", set())
    made = OddObject(BODY, WHEN + "{size_xml}")
    with odd_store({"a.jpg": made, "b.jpg": made}) as (_, endpoint), caplog.at_level(logging.INFO):
        list_all(endpoint)
        list_all(endpoint)
        # From then on what an event names has its version in that form as well.
        found = stores.find(ImageRef("s3", "photos", "a.jpg", "", 0), options_for(endpoint))
    assert found is not None
    assert found.version == TIME
    assert [record.getMessage() for record in caplog.records if record.name == s3.__name__] == [
        "expected an ETag of each object, s3://photos lists some without: a change of these shows "
        "by their time and size only"
    ]


def test_what_is_archived_behind_the_listing_is_rejected_with_what_to_do() -> None:
    refused = error_reply(403, "InvalidObjectState")
    with odd_store({"a.jpg": OddObject(BODY, refused=refused)}) as (_, endpoint):
        (ref,), _ = list_all(endpoint)
        with pytest.raises(ObjectArchivedError, match="restore it") as caught:
            stores.read(ref, options_for(endpoint))
    assert caught.value.rejects_input
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("refused", "keys"),
    [
        (error_reply(404, "NoSuchKey"), ["b.jpg"]),  # gone since it was listed
        (error_reply(403, "AccessDenied"), ["a.jpg", "b.jpg"]),  # told when it is read
    ],
)
def test_an_object_that_cannot_be_asked_for_does_not_end_a_listing(
    refused: Reply, keys: list[str]
) -> None:
    objects = {"a.jpg": OddObject(BODY, "", refused=refused), "b.jpg": OddObject(BODY)}
    with odd_store(objects) as (_, endpoint):
        assert [ref.key for ref in list_all(endpoint)[0]] == keys


@pytest.mark.parametrize(
    "body", [b"<ListBucketResult>\xff</ListBucketResult>", b"{}", b"", b"<a><b></a>"]
)
def test_an_answer_that_is_no_listing_is_one_sentence(body: bytes) -> None:
    with (
        scripted_server(lambda request: Reply(200, body)) as endpoint,
        pytest.raises(StoreUnavailableError, match="s3://photos/") as caught,
    ):
        list_all(endpoint)
    assert "\n" not in str(caught.value)


def test_a_store_may_leave_out_the_size_in_a_head() -> None:
    store = OddStore({"a.jpg": OddObject(BODY)})
    with scripted_server(store.respond) as endpoint:
        (ref,), _ = list_all(endpoint)
        client = client_for(options_for(endpoint))
        client.meta.events.register("before-parse.s3.HeadObject", _without_length)
        assert stores.find(ref, options_for(endpoint)) == ref


def _without_length(response_dict: dict[str, dict[str, str]], **_: object) -> None:
    response_dict["headers"].pop("Content-Length")
