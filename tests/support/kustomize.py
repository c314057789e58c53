"""Builds a kustomization as far as the deployment files use it: resources and JSON patches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from support.deploy_files import load_yaml

_KNOWN = {"apiVersion", "kind", "namespace", "labels", "resources", "patches"}


def build(folder: Path) -> list[dict[str, Any]]:
    """The objects of a kustomization, patched. Raises ValueError for what cannot be built."""
    (root,) = load_yaml(folder / "kustomization.yaml")
    if root["kind"] != "Kustomization" or set(root) - _KNOWN:
        raise ValueError(f"unknown fields in {folder}: {sorted(set(root) - _KNOWN)}")
    objects: list[dict[str, Any]] = []
    for name in root["resources"]:
        place = folder / name
        objects += build(place.resolve()) if place.is_dir() else load_yaml(place)
    for patch in root.get("patches", []):
        text = patch["patch"] if "patch" in patch else (folder / patch["path"]).read_text()
        _apply_patch(objects, patch["target"], yaml.safe_load(text))
    for each in objects:
        if root.get("namespace") and each["kind"] != "Namespace":
            each["metadata"]["namespace"] = root["namespace"]
    return objects


def _apply_patch(
    objects: list[dict[str, Any]], target: dict[str, str], operations: list[dict[str, Any]]
) -> None:
    api_version = "/".join(filter(None, (target.get("group"), target["version"])))
    key = api_version, target["kind"], target["name"]
    found = [
        each for each in objects
        if (each["apiVersion"], each["kind"], each["metadata"]["name"]) == key
    ]  # fmt: skip
    if len(found) != 1:
        raise ValueError(f"expected one object {key} to patch, found {len(found)}")
    for operation in operations:
        _apply_operation(found[0], **operation)


def _apply_operation(node: Any, *, op: str, path: str, value: Any = None) -> None:
    """As RFC 6902 has it; of its operations those that are used."""
    *parents, last = [
        part.replace("~1", "/").replace("~0", "~") for part in path.removeprefix("/").split("/")
    ]
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node[part]
    if op == "replace" and last not in node:
        raise ValueError(f"there is nothing to replace at {path}")
    if op not in ("add", "replace") or not isinstance(node, dict):
        raise ValueError(f"expected to add or replace a field, got {op} at {path}")
    node[last] = value
