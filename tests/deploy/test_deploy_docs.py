"""What docs/deployment.md names is there, and its commands are real."""

from __future__ import annotations

import re
import shlex

import lightkube.models
import pytest
import yaml
from support.deploy_files import DEPLOY, parse
from support.dockerfile import read_stages
from support.kustomize import build
from support.paths import ROOT
from support.terraform import Module

PAGE = (ROOT / "docs" / "deployment.md").read_text()
BLOCKS = re.findall(r"^```\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]


def test_commands_are_real() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    ours = [line for line in LINES if line.startswith("objseek ")]
    ours += re.findall(r"compose.yaml run --rm (objseek (?!COMMAND).+)", "\n".join(LINES))
    assert len(ours) == 2
    for line in ours:
        parse(shlex.split(line)[1:])
    (status,) = re.findall(r"such as `(status .+?)`", PAGE)
    parse(shlex.split(status))
    for line in LINES:
        up = re.search(r"compose.yaml up -d(?: --wait)? (.+)", line)
        assert up is None or set(up[1].split()) <= set(services)


def test_files_and_folders_that_are_named_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    for path in re.findall(r"\bdeploy/[\w./-]+\w", PAGE):
        assert (ROOT / path).exists(), path


def test_versions_are_those_of_schemas_and_lock() -> None:
    kubernetes = re.search(r"Kubernetes (1\.\d+)", PAGE)
    assert kubernetes is not None
    assert lightkube.models.__version__.startswith(f"{kubernetes[1]}.")
    # Of CUDA 13, which needs this driver.
    assert "a driver, 580 or newer" in PAGE
    assert "\nnvidia-cublas==13." in (ROOT / "requirements.txt").read_text()


def test_targets_are_stages() -> None:
    targets = set(re.findall(r"--target ([\w-]+)", PAGE))
    assert {"cpu", "cuda", "cuda-with-weights", "sbom"} == targets
    assert targets <= set(read_stages(DEPLOY / "Dockerfile"))


@pytest.mark.parametrize("name", ["cpu", "gpu", "spot"])
def test_overlays_are_described_as_they_are(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \| (.+) \|$", PAGE, re.MULTILINE)
    built = build(DEPLOY / "kubernetes" / "overlays" / name)
    (job,) = (each for each in built if each["kind"] == "RayJob")
    most = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplicas"]
    assert re.search(rf"\b{most} (machines|workers)", row)


def test_roles_are_described_as_they_are() -> None:
    documents = Module(DEPLOY / "terraform").named("data")
    for part, role in (("write_state", "ingest"), ("take_events", "watch")):
        body = documents["aws_iam_policy_document", part]
        (row,) = re.findall(rf"^\| `{role}` \| (.+) \|$", PAGE, re.MULTILINE)
        for statement in body["statement"]:
            assert all(f"`{action}`" in row for action in statement["actions"])
