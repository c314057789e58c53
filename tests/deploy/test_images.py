"""Images are pinned, and each is named with one tag everywhere."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import pytest
from support.deploy_files import DEPLOY, VERSION, images, load_yaml
from support.dockerfile import read_stages
from support.paths import ROOT

FILES = sorted(
    path
    for path in DEPLOY.glob("**/*.yaml")
    if "grafana" not in path.parts and "prometheus" not in path.parts
)


def named() -> dict[str, set[str]]:
    """The tags of each image, in all files."""
    tags: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        documents: list[Any] = load_yaml(path)
        found = images(documents)
        for patch in (each for each in documents if isinstance(each, list)):
            found += [op["value"] for op in patch if op["path"].endswith("/image")]
        if path.name == "qdrant-values.yaml":
            found.append(f"qdrant/qdrant:{documents[0]['image']['tag']}")
        for image in found:
            name, _, tag = image.partition(":")
            tags[name].add(tag)
    return tags


def test_images_of_others_are_pinned_to_one_version() -> None:
    tags = named()
    own = tags.pop("objseek")
    assert set(tags) == {
        "qdrant/qdrant", "chrislusf/seaweedfs", "prom/prometheus", "grafana/grafana",
    }  # fmt: skip
    for name, versions in tags.items():
        assert len(versions) == 1, name
        assert re.fullmatch(r"v?\d+(\.\d+){1,2}", versions.pop()), name
    assert own == {f"{VERSION}-cpu", f"{VERSION}-cuda"}


@pytest.mark.parametrize("place", ["deploy/Dockerfile", "docs/deployment.md"])
def test_images_are_built_under_these_names(place: str) -> None:
    text = (ROOT / place).read_text()
    built = re.findall(r"docker build .*--target ([\w-]+) +-t (\S+) +\.", text)
    assert built
    for target, image in built:
        assert image == f"objseek:{VERSION}-{target}"
        assert target in read_stages(DEPLOY / "Dockerfile")


def test_the_server_fits_the_client() -> None:
    """Of Qdrant, a client and a server are made for each other up to one minor version apart."""
    lock = (ROOT / "requirements.txt").read_text()
    client = re.search(r"^qdrant-client==1\.(\d+)\.", lock, re.MULTILINE)
    (tag,) = named()["qdrant/qdrant"]
    server = re.fullmatch(r"v1\.(\d+)\.\d+", tag)
    assert client is not None
    assert server is not None
    assert abs(int(client[1]) - int(server[1])) <= 1
    assert f"the lock, 1.{client[1]}:" in (DEPLOY / "compose.yaml").read_text()
