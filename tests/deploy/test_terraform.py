"""The Terraform module grants what the code's requests need, and nothing more."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from support.deploy_files import DEPLOY
from support.kustomize import build
from support.paths import ROOT
from support.terraform import Module

FOLDER = DEPLOY / "terraform"
MODULE = Module(FOLDER)
TEXT = "\n".join(path.read_text() for path in FOLDER.glob("*.tf"))
# What each method of boto3's clients needs; those that move files do so in parts, and end what they
# cannot finish.
NEEDS = {
    "get_object": {"s3:GetObject"},
    "head_object": {"s3:GetObject"},
    "download_fileobj": {"s3:GetObject"},
    "list_objects_v2": {"s3:ListBucket"},
    "put_object": {"s3:PutObject"},
    "upload_fileobj": {"s3:PutObject", "s3:AbortMultipartUpload"},
    "copy": {"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"},
    "delete_object": {"s3:DeleteObject"},
    "receive_message": {"sqs:ReceiveMessage"},
    "delete_message_batch": {"sqs:DeleteMessage"},
    "change_message_visibility_batch": {"sqs:ChangeMessageVisibility"},
}
NO_REQUESTS = {"meta", "endpoint_url", "exceptions", "get_paginator", "cache_clear"}
STATE_FILES = {ROOT / "workers" / "stores" / "s3_prefix.py"}


def requests(paths: set[Path]) -> set[str]:
    """The methods of boto3's clients that are called in these files."""
    return {name for path in paths for name in _methods(path)} - NO_REQUESTS


def _methods(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "get_paginator":
            yield ast.literal_eval(node.args[0])
        elif isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            if re.search(r"(^|[._])client$", owner) or owner.startswith("client_for("):
                yield node.attr


def files(folder: str) -> set[Path]:
    return set((ROOT / "workers" / folder).rglob("*.py"))


def needed(paths: set[Path]) -> set[str]:
    return set().union(*(NEEDS[name] for name in requests(paths)))


def granted(document: str) -> set[str]:
    """The actions of a policy document, with those that it takes in."""
    body = MODULE.named("data")["aws_iam_policy_document", document]
    actions = {action for each in body.get("statement", []) for action in each["actions"]}
    for source in body.get("source_policy_documents", []):
        (name,) = re.findall(r"aws_iam_policy_document\.(\w+)\.json", source)
        actions |= granted(name)
    return actions


def test_requests_of_the_code_are_known() -> None:
    every = requests(files("stores")) | requests(files("queues"))
    assert every == set(NEEDS)


def test_roles_may_do_what_their_requests_need_and_no_more() -> None:
    source = files("stores") - STATE_FILES
    assert granted("read_source") == needed(source) == {"s3:GetObject", "s3:ListBucket"}
    assert granted("read_state") == granted("read_source")
    assert granted("write_state") == needed(STATE_FILES)
    assert granted("take_events") == needed(files("queues"))
    assert granted("ingest") == granted("read_source") | granted("write_state")
    assert granted("watch") == granted("ingest") | granted("take_events")
    assert granted("search") == granted("read_source")


def test_nothing_of_the_images_is_written_and_no_right_is_a_pattern() -> None:
    for labels, body in MODULE.named("data").items():
        if labels[0] != "aws_iam_policy_document":
            continue
        for statement in body.get("statement", []):
            allows = statement.get("effect", "Allow") == "Allow"
            assert not allows or not any("*" in action for action in statement["actions"])
            writes = {"s3:PutObject", "s3:DeleteObject"} & set(statement["actions"])
            for resource in statement.get("resources", []):
                assert resource != "*"
                assert not writes or "aws_s3_bucket.state" in resource


def test_there_is_a_role_for_each_account_of_the_cluster() -> None:
    accounts = {
        each["metadata"]["name"]
        for each in build(DEPLOY / "kubernetes" / "base")
        if each["kind"] == "ServiceAccount"
    }
    (roles,) = (each["policies"] for each in MODULE.blocks("locals") if "policies" in each)
    assert set(roles) == accounts
    trust = MODULE.named("data")["aws_iam_policy_document", "service_account"]["statement"][0]
    subject = trust["condition"][0]["values"]
    assert subject == ["system:serviceaccount:${var.namespace}:${each.key}"]


def test_the_bucket_of_the_state_has_no_versions_and_is_nobody_elses() -> None:
    made = MODULE.named("resource")
    (versions,) = made["aws_s3_bucket_versioning", "state"]["versioning_configuration"]
    assert versions == {"status": "Disabled"}
    blocked = made["aws_s3_bucket_public_access_block", "state"]
    assert [value for key, value in blocked.items() if key != "bucket"] == [True] * 4


def test_the_bucket_of_the_images_sends_what_watch_takes() -> None:
    made = MODULE.named("resource")
    (queue,) = made["aws_s3_bucket_notification", "source"]["queue"]
    page = (ROOT / "docs" / "watch.md").read_text()
    assert all(f"`{event}`" in page for event in queue["events"])
    assert "deadLetterTargetArn" in made["aws_sqs_queue", "events"]["redrive_policy"]
    (statement,) = MODULE.named("data")["aws_iam_policy_document", "bucket_sends"]["statement"]
    assert statement["actions"] == ["sqs:SendMessage"]
    asked = {each["variable"] for each in statement["condition"]}
    assert asked == {"aws:SourceArn", "aws:SourceAccount"}


def test_what_is_named_is_declared() -> None:
    variables = {labels[0] for labels in MODULE.named("variable")}
    assert set(re.findall(r"\bvar\.(\w+)", TEXT)) == variables
    declared = {name for each in MODULE.blocks("locals") for name in each}
    assert set(re.findall(r"\blocal\.(\w+)", TEXT)) <= declared
    data = set(MODULE.named("data"))
    assert set(re.findall(r"\bdata\.(\w+)\.(\w+)", TEXT)) == data
    made = set(MODULE.named("resource"))
    assert set(re.findall(r"(?<![\w.\"])(aws_\w+)\.(\w+)", TEXT)) <= made
    assert all("description" in body for body in MODULE.named("variable").values())
