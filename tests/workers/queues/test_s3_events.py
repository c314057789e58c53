"""What event notifications name, in each of their shapes; nothing else is believed of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.s3_events import s3_event

from workers.queues.s3_events import images_named


def uris(body: str) -> list[str]:
    return [ref.uri for ref in images_named(body)]


def test_the_events_of_s3_name_objects() -> None:
    body = s3_event("2026/a.jpg", "with+space%2B%C3%A4.png")
    assert uris(body) == ["s3://photos/2026/a.jpg", "s3://photos/with space+ä.png"]


def test_events_come_through_sns() -> None:
    body = json.dumps({"Type": "Notification", "MessageId": "1", "Message": s3_event("a+b.jpg")})
    assert uris(body) == ["s3://photos/a b.jpg"]


def test_the_keys_of_eventbridge_are_not_quoted() -> None:
    body = json.dumps(
        {
            "version": "0",
            "detail-type": "Object Deleted",
            "source": "aws.s3",
            "detail": {
                "bucket": {"name": "photos"},
                "object": {"key": "a+b%20c.jpg"},
                "reason": "DeleteObject",
            },
        }
    )
    assert uris(body) == ["s3://photos/a+b%20c.jpg"]


def test_of_other_servers_both_readings_are_named() -> None:
    assert uris(s3_event("a+b.jpg", "c.jpg", source="minio:s3")) == [
        "s3://photos/a b.jpg", "s3://photos/a+b.jpg", "s3://photos/c.jpg",
    ]  # fmt: skip


def test_a_test_event_names_nothing() -> None:
    body = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos"}
    assert uris(json.dumps(body)) == []
    assert uris(json.dumps({"Records": []})) == []


@pytest.mark.parametrize(
    "body",
    [
        "", "no JSON", "[]", "null", "1", '"text"', "{}", '{"Records": [{}]}',
        '{"Records": 5}', '{"Records": [{"s3": {"bucket": {"name": 1}, "object": {"key": "a"}}}]}',
        '{"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": ""}}}]}',
        '{"source": "aws.s3", "detail": []}', '{"Type": "Notification", "Message": "hello"}',
        '{"Type": "Notification", "Message": 5}', "[" * 100_000,
        '{"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "\\ud800.png"}}}]}',
        s3_event("%FF.png"), s3_event("a" * 1025),
    ],
)  # fmt: skip
def test_what_is_no_event_is_told(body: str) -> None:
    with pytest.raises(ValueError, match="expected an S3 event notification, got"):
        images_named(body)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "Records",
                        "s3",
                        "bucket",
                        "name",
                        "object",
                        "key",
                        "source",
                        "detail",
                        "Type",
                        "Message",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_whatever_comes_is_named_or_refused(value: object) -> None:
    body = json.dumps(value)
    try:
        named = images_named(body)
    except ValueError:
        with pytest.raises(ValueError, match="expected an S3 event notification"):
            images_named(body)
    else:
        assert all(ref.bucket and ref.key for ref in named)
