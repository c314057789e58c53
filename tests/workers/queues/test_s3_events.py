"""What event notifications name, in each of their shapes; nothing else is believed of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.s3_events import s3_event

from workers.queues.s3_events import read_notification


def uris(body: str) -> list[str]:
    notification = read_notification(body)
    assert notification.unread == ()
    return [ref.uri for ref in notification.images]


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
        s3_event("a" * 1025),
    ],
)  # fmt: skip
def test_what_is_no_event_is_told(body: str) -> None:
    with pytest.raises(ValueError, match="expected an S3 event notification, got"):
        read_notification(body)


def rec(key: object, source: str = "aws:s3", bucket: object = "b", **more: object) -> Any:
    event = {"bucket": {"name": bucket}, "object": {"key": key}}
    return {"eventSource": source, "eventName": "ObjectCreated:Put", "s3": event, **more}


def sns(message: object) -> dict[str, object]:
    text = message if isinstance(message, str) else json.dumps(message)
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": text}


def bridge(kind: str, **detail: object) -> dict[str, object]:
    return {"version": "0", "source": "aws.s3", "detail-type": kind, "detail": detail}


def body_of(*records: object) -> str:
    return json.dumps({"Records": records})


NAMED = {"bucket": {"name": "b"}, "object": {"key": "a+b%20c.jpg"}}
TRAIL = {"eventName": "PutObject", "requestParameters": {"bucketName": "b", "key": "a b.jpg"}}
TEST = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}


@pytest.mark.trials
@pytest.mark.parametrize(
    ("body", "keys"),
    [
        # What was removed, restored or has another class is asked for like what was created.
        (rec("a.jpg", eventName="ObjectRemoved:DeleteMarkerCreated"), ["a.jpg"]),
        (rec("a.jpg", eventName="LifecycleExpiration:Delete"), ["a.jpg"]),
        (rec("a.jpg", eventName="ObjectRestore:Completed"), ["a.jpg"]),
        (rec("a.jpg", eventName=None), ["a.jpg"]),
        # Quoted by UTF-8 as S3 does, or as nobody should.
        (rec("%F0%9F%98%80/na%CC%88.jpg"), ["\U0001f600/na\u0308.jpg"]),
        (rec("foto%E9.jpg"), ["foto%E9.jpg", "foto\u00e9.jpg"]),
        (rec("foto%E9.jpg", "ceph:s3"), ["foto%E9.jpg", "foto\u00e9.jpg"]),
        (rec("a+foto%E9.jpg"), ["a+foto%E9.jpg", "a foto%E9.jpg", "a foto\u00e9.jpg"]),
        (rec("%FF.png"), ["%FF.png", "\u00ff.png"]),
        (rec("100%.jpg"), ["100%.jpg"]),
        (rec("100%25.jpg"), ["100%.jpg"]),
        (rec("foto\u00e9.jpg"), ["foto\u00e9.jpg"]),
        (rec("a b+c.jpg", "ceph:s3"), ["a b c.jpg", "a b+c.jpg"]),
        (rec("x%2Fa.jpg", "minio:s3"), ["x/a.jpg", "x%2Fa.jpg"]),
        # One message in another.
        (sns({"Records": [rec("a.jpg")]}), ["a.jpg"]),
        (sns(sns({"Records": [rec("a.jpg")]})), ["a.jpg"]),
        (sns(bridge("Object Created", **NAMED)), ["a+b%20c.jpg"]),
        (sns(TEST), []),
        (sns(sns(TEST)), []),
        ({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": body_of(rec("a.jpg"))}}]},
         ["a.jpg"]),
        ({"Records": [{"eventSource": "aws:sqs", "body": body_of(rec("a.jpg"))}]}, ["a.jpg"]),
        ({"Records": [{"eventSource": "aws:sqs", "body": json.dumps(sns(TEST))}]}, []),
        # Others that send events of objects.
        (bridge("Object Deleted", **NAMED, reason="DeleteObject"), ["a+b%20c.jpg"]),
        (bridge("Object Access Tier Changed", **NAMED), ["a+b%20c.jpg"]),
        (bridge("AWS API Call via CloudTrail", **TRAIL), ["a b.jpg"]),
        ({"EventName": "s3:ObjectCreated:Put", "Key": "b/a.jpg", "Records": [rec("a.jpg")]},
         ["a.jpg"]),
        ([rec("a.jpg"), rec("b.jpg")], ["a.jpg", "b.jpg"]),
        ({"Records": [rec("a.jpg"), rec("a.jpg")]}, ["a.jpg"]),
        ({"Records": []}, []),
    ],
)  # fmt: skip
def test_what_many_senders_mean(body: Any, keys: list[str]) -> None:
    if isinstance(body, dict) and "s3" in body:
        body = {"Records": [body]}
    assert uris(json.dumps(body)) == [f"s3://b/{key}" for key in keys]


FOREIGN = {"eventSource": "aws:sqs", "foo": 1}


@pytest.mark.trials
@pytest.mark.parametrize(
    "unread",
    [
        FOREIGN, {"eventSource": "aws:dynamodb", "dynamodb": {}}, {}, [], None, 5, "text",
        rec(""), rec(5), rec(None), rec(["a"]), rec("a" * 1025), rec("a.jpg", bucket=""),
        rec("a.jpg", bucket=None), {"s3": {}}, {"s3": []}, {"s3": {"bucket": "b", "object": "a"}},
        {"eventSource": "aws:sqs", "body": "hello"}, {"Sns": {"Message": "hello"}},
        {"Sns": {"Message": 5}}, {"eventSource": "aws:sqs", "body": "{}"},
    ],
)  # fmt: skip
def test_what_is_not_understood_spoils_nothing_else(unread: object) -> None:
    notification = read_notification(body_of(rec("a.jpg"), unread, rec("b.jpg")))
    assert [ref.uri for ref in notification.images] == ["s3://b/a.jpg", "s3://b/b.jpg"]
    assert [json.loads(text) for text in notification.unread] == [unread]


@pytest.mark.trials
@pytest.mark.parametrize(
    "records",
    [[FOREIGN], [FOREIGN, FOREIGN], [{"EventSource": "aws:sns", "Sns": {"Message": "hello"}}]],
)
def test_a_message_of_another_service_is_none_of_s3(records: list[object]) -> None:
    notification = read_notification(body_of(*records))
    assert notification.images == ()
    assert len(notification.unread) == len(records)


@pytest.mark.trials
@pytest.mark.parametrize("records", [[{}], [rec("")], [FOREIGN, {}], [{"eventSource": 5}]])
def test_a_message_that_may_be_of_s3_is_not_taken_for_another(records: list[object]) -> None:
    with pytest.raises(ValueError, match="expected an S3 event notification, got"):
        read_notification(body_of(*records))


@pytest.mark.trials
def test_messages_within_each_other_come_to_an_end() -> None:
    message: object = {"Records": [rec("a.jpg")]}
    for _ in range(5):
        message = sns(message)
    assert uris(json.dumps(message)) == ["s3://b/a.jpg"]
    for _ in range(5):
        message = sns(message)
    with pytest.raises(ValueError, match="expected an S3 event notification, got"):
        read_notification(json.dumps(message))


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
                        "Sns",
                        "body",
                        "eventSource",
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
        named = read_notification(body).images
    except ValueError:
        with pytest.raises(ValueError, match="expected an S3 event notification"):
            read_notification(body)
    else:
        assert all(ref.bucket and ref.key for ref in named)
