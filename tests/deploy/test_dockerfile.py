"""The Dockerfile keeps hadolint's rules, and says what the code reads."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.deploy_files import DEPLOY, VERSION, load_with
from support.dockerfile import environment, lineage, read_stages
from support.paths import ROOT

from pipeline.index_home import manifest_folder
from schemas.serve_options import ServeOptions

STAGES = read_stages(DEPLOY / "Dockerfile")
IMAGES = ("cpu", "cuda", "cpu-with-weights", "cuda-with-weights")
WRITABLE = ("/data", "/tmp")
RUNS = [(stage.name, rest) for stage in STAGES.values() for rest in stage.all("RUN")]


def sources() -> list[str]:
    """What is copied from the checkout."""
    copies = [
        rest
        for stage in STAGES.values()
        for rest in stage.all("COPY")
        if not rest.startswith("--from")
    ]
    return [word for rest in copies for word in rest.split()[:-1]]


def test_bases_are_pinned_and_the_same() -> None:
    bases = {stage.base for stage in STAGES.values()} - set(STAGES) - {"scratch"}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", bases.pop())
    named = re.search(r"base.name=\"docker.io/library/(\S+)\"", (DEPLOY / "Dockerfile").read_text())
    assert named is not None
    assert named[1] == STAGES["runtime"].base == STAGES["builder"].base


def test_nothing_is_added_or_run_as_hadolint_would_not_have_it() -> None:
    for stage in STAGES.values():
        assert not stage.all("ADD")
        assert not stage.all("MAINTAINER")
        for word in stage.all("WORKDIR"):
            assert word.startswith("/")
        for form in (*stage.all("CMD"), *stage.all("ENTRYPOINT")):
            assert isinstance(json.loads(form), list)
    for _, run in RUNS:
        assert "sudo" not in run
        assert not re.search(r"\bcd /", run)
        # Packages of Debian would be pinned, and their lists removed; there are none.
        assert "apt" not in run
        for install in re.findall(r"pip install (.+?)(?:&&|$)", run):
            assert "--no-cache" in install
            assert "--require-hashes" in install or "--no-deps" in install


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_runs_as_a_numbered_user_and_is_the_command(name: str) -> None:
    steps = [step for stage in lineage(STAGES, name) for step in stage.steps]
    users = [rest for word, rest in steps if word == "USER"]
    assert users[-1] == "10001:10001"
    assert [rest for word, rest in steps if word == "ENTRYPOINT"] == ['["objseek"]']
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert "objseek" in scripts


def test_what_is_copied_exists_and_is_sent_to_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    for source in sources():
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source
    sent = {line[1:] for line in ignored if line.startswith("!")}
    assert sent == set(sources())


def test_all_of_the_package_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    built = project["tool"]["setuptools"]
    modules = [f"{name}.py" for name in built["py-modules"]]
    folders = {name.partition(".")[0] for name in built["packages"]}
    read = [project["project"]["readme"], *project["project"]["license-files"]]
    assert {*modules, *folders, *read, "pyproject.toml"} <= set(sources())


@pytest.mark.parametrize("name", ["requirements", "requirements-sbom", "requirements-uv"])
def test_locks_have_hashes_and_name_no_index(name: str) -> None:
    text = (ROOT / f"{name}.txt").read_text()
    assert "://" not in text
    assert "--index" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_lock_has_what_a_cluster_needs() -> None:
    """Ray alone has no job API, by which KubeRay submits, and no health checks."""
    lock = (ROOT / "requirements.txt").read_text()
    locked = set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))
    wanted = [Requirement(text) for text in requires("ray") or []]
    names = {
        each.name.replace("_", "-").lower()
        for each in wanted
        if each.marker is not None and each.marker.evaluate({"extra": "default"})
    }
    assert "aiohttp-cors" in names
    assert names <= locked
    assert "pylance" in locked


@pytest.mark.parametrize("name", IMAGES)
def test_variables_are_settings(name: str) -> None:
    settings = load_with(environment(STAGES, name))
    device = name.partition("-")[0]
    assert settings.segmenter.device == device
    assert settings.embedder.device == device
    assert settings.runner.gpus_per_worker == (1 if device == "cuda" else 0)
    weights = "/opt/weights" if name.endswith("weights") else "/data"
    assert settings.cache_dir == Path(weights, "models")


def test_folders_that_are_written_to_lie_where_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variables = environment(STAGES, "cpu")
    for name in ("HOME", "HF_HOME", "NUMBA_CACHE_DIR", "XDG_DATA_HOME", "OBJSEEK_CACHE_DIR"):
        assert variables[name].startswith(WRITABLE)
    monkeypatch.setenv("XDG_DATA_HOME", variables["XDG_DATA_HOME"])
    assert str(manifest_folder("http://qdrant:6333/objects")).startswith("/data/objseek/")
    volumes = [rest for stage in lineage(STAGES, "cpu") for rest in stage.all("VOLUME")]
    assert volumes == ["/data"]


def test_libraries_read_these_variables() -> None:
    variables = environment(STAGES, "cpu")
    code = (
        "import numba, pathlib; from huggingface_hub import constants;"
        "print(numba.config.CACHE_DIR, constants.HF_HUB_CACHE, pathlib.Path.home())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables, "PATH": os.environ["PATH"]},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.split() == ["/data/numba", "/data/huggingface/hub", "/data"]


def test_weights_come_by_a_command_into_a_layer_of_their_own() -> None:
    (models,) = STAGES["weights"].all("ARG")
    assert models == 'MODELS="sam_vit_b ViT-B-32/laion2b_s34b_b79k"'
    (run,) = STAGES["weights"].all("RUN")
    assert "objseek models pull" in run
    kept = environment(STAGES, "weights")
    folder = kept["OBJSEEK_CACHE_DIR"].removesuffix("/models")
    for name in ("cpu-with-weights", "cuda-with-weights"):
        (copy,) = STAGES[name].all("COPY")
        assert copy == f"--from=weights --chown=0:0 {folder} /opt/weights"
        there = environment(STAGES, name)
        assert there["HF_HOME"] == kept["HF_HOME"].replace(folder, "/opt/weights")
        assert there["HF_HUB_OFFLINE"] == "1"


def test_health_is_asked_where_the_service_tells_it() -> None:
    port = ServeOptions().port
    runtime = STAGES["runtime"]
    assert runtime.all("EXPOSE") == [str(port)]
    (check,) = runtime.all("HEALTHCHECK")
    assert f"http://127.0.0.1:{port}/readyz" in check


def test_labels_are_true() -> None:
    (labels,) = STAGES["runtime"].all("LABEL")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f'image.version="{VERSION}"' in labels
    assert f'image.licenses="{project["license"]}"' in labels
    assert f'image.title="{project["name"]}"' in labels
