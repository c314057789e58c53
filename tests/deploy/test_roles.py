"""The code does its work with the rights of the Terraform module's roles, on a server that asks."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.core.responses import ActionAuthenticatorMixin
from support.deploy_files import DEPLOY
from support.s3_server import S3Server, moto_server
from support.terraform import Module

from schemas.errors import ObjseekError, StoreAccessError
from schemas.options import StoreOptions
from workers.queues.sqs import SqsQueue
from workers.stores import open as stores
from workers.stores import s3_client
from workers.stores.s3_prefix import S3Prefix

OPTIONS = StoreOptions(retry_budget_s=0)
MODULE = Module(DEPLOY / "terraform")


def policy(document: str) -> list[dict[str, Any]]:
    """The statements of a document.

    moto looks at no resources, and takes a batch for an action of its own, which AWS does not.
    """
    body = MODULE.named("data")["aws_iam_policy_document", document]
    statements = [
        {
            "Effect": "Allow",
            "Action": [f"{name}{ending}" for name in each["actions"] for ending in ("", "Batch")],
            "Resource": "*",
        }
        for each in body.get("statement", [])
    ]
    for source in body.get("source_policy_documents", []):
        (name,) = re.findall(r"aws_iam_policy_document\.(\w+)\.json", source)
        statements += policy(name)
    return statements


@dataclass(frozen=True)
class Account:
    """A bucket of an image, one of the state, and a queue with an event."""

    server: S3Server
    images: str
    state: str
    queue_url: str


@pytest.fixture
def account() -> Iterator[Account]:
    with moto_server() as server:
        sqs = boto3.Session().client("sqs", endpoint_url=server.endpoint_url)
        queue_url = sqs.create_queue(QueueName=f"events-{uuid.uuid4().hex}")["QueueUrl"]
        sqs.send_message(QueueUrl=queue_url, MessageBody="event")
        sqs.close()
        images = server.make_bucket({"a.jpg": b"image"})
        yield Account(server, images, server.make_bucket({"manifest/old": b"old"}), queue_url)
        server.close()
        server.client.close()


@contextmanager
def acting_as(
    role: str, account: Account, monkeypatch: pytest.MonkeyPatch, without: str = ""
) -> Iterator[None]:
    """Send requests with the rights of a role, but for one, to a server that looks at them."""
    endpoint_url = account.server.endpoint_url
    iam = boto3.Session().client("iam", endpoint_url=endpoint_url)
    user = f"{role}-{uuid.uuid4().hex}"
    iam.create_user(UserName=user)
    statements = policy(role)
    for each in statements:
        each["Action"] = [action for action in each["Action"] if action != without]
    document = {
        "Version": "2012-10-17",
        "Statement": [each for each in statements if each["Action"]],
    }
    iam.put_user_policy(UserName=user, PolicyName=role, PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    iam.close()
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        patch.setenv("AWS_ENDPOINT_URL", endpoint_url)
        patch.setattr(ActionAuthenticatorMixin, "request_count", 1)
        patch.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0)
        s3_client._client.cache_clear()  # of clients with the rights of another
        yield
    s3_client._client.cache_clear()


def write_state(account: Account, folder: Path) -> None:
    state = S3Prefix(f"s3://{account.state}/manifest", OPTIONS)
    state.write("new", b"new")
    assert not state.create("new", b"other")
    (folder / "part").write_bytes(bytes(9 * 2**20))  # sent in several parts
    state.upload(folder / "part", "part")
    state.rename("part", "moved")
    with (folder / "copy").open("wb") as file:
        state.download("moved", file)
    assert state.sizes("") == {"old": 3, "new": 3, "moved": 9 * 2**20}
    state.remove(["new", "moved"])


def read_everything(account: Account) -> None:
    (ref,) = stores.build_store(f"s3://{account.images}", OPTIONS).list_images(lambda *_: None)
    assert stores.read(ref, OPTIONS) == b"image"
    assert stores.find(ref, OPTIONS) == ref
    assert S3Prefix(f"s3://{account.state}/manifest", OPTIONS).read("old") == b"old"


def take_events(account: Account) -> None:
    queue = SqsQueue(account.queue_url, OPTIONS)
    messages = queue.receive(0, 1)
    assert [message.body for message in messages] == ["event"]
    with pytest.raises(ObjseekError), queue.hold(messages):
        raise ObjseekError("to have them delivered again soon")
    queue.delete(messages)


@pytest.mark.parametrize("role", ["ingest", "watch", "search"])
def test_a_role_may_do_what_it_is_for_and_nothing_else(
    role: str, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with acting_as(role, account, monkeypatch):
        read_everything(account)
        if role == "search":
            with pytest.raises(StoreAccessError, match="AccessDenied"):
                write_state(account, tmp_path)
        else:
            write_state(account, tmp_path)
        if role == "watch":
            take_events(account)
        else:
            with pytest.raises(StoreAccessError, match="AccessDenied"):
                take_events(account)


@pytest.mark.long
def test_roles_without_one_of_their_rights_could_not(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is granted is looked at, right by right."""
    rights = {
        action
        for each in policy("write_state")
        for action in each["Action"]
        if not action.endswith("Batch")
    }
    for right in sorted(rights - {"s3:AbortMultipartUpload"}):  # of what fails half way
        with (
            acting_as("ingest", account, monkeypatch, without=right),
            pytest.raises(StoreAccessError, match=r"AccessDenied|Forbidden"),
        ):
            write_state(account, tmp_path)
