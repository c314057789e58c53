"""The deployment files are true: their flags, ports, paths and versions are the code's."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.paths import ROOT

from pipeline.cli.main import load_command
from pipeline.settings import load_settings
from schemas.options import SegmenterOptions
from workers.segmenters.parameters import effective_parameters

DEPLOY = ROOT / "deploy"


def parse(arguments: list[str]) -> dict[str, Any]:
    """Parse a command line with the real command; raises for an unknown flag or a bad value."""
    command = load_command(arguments[0])
    with command.make_context(arguments[0], arguments[1:]) as context:
        return dict(context.params)


def job() -> dict[str, Any]:
    documents = yaml.safe_load_all((DEPLOY / "rayjob.yaml").read_text())
    return next(document for document in documents if document["kind"] == "RayJob")


def test_example_settings_load_and_leave_out_no_section() -> None:
    settings = load_settings(DEPLOY / "objseek.toml", {})
    assert settings.segmenter.name == "sam_vit_b"
    sections = tomllib.loads((DEPLOY / "objseek.toml").read_text())
    fields = type(settings).model_fields
    single = {"boxes", "cache_dir", "limit", "text_prompts"}
    assert set(sections) == set(fields) - single


def test_example_settings_show_the_defaults() -> None:
    shown = load_settings(DEPLOY / "objseek.toml", {})
    for section in ("store", "decode", "index", "runner"):
        part = getattr(shown, section)
        assert part == type(part)(), section
    segmenter = SegmenterOptions(name="sam_vit_b").model_dump(exclude_none=True)
    assert shown.segmenter.model_dump(exclude_none=True) == segmenter | package()


def package() -> dict[str, float]:
    """The parameters of `sam_vit_*`, but for those that depend on the device."""
    speed = {"points_per_batch", "images_per_batch"}
    every = effective_parameters(SegmenterOptions(name="sam_vit_b"), {})
    return {name: value for name, value in every.items() if name not in speed}


def test_compose_ingest_is_a_real_command_line() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    service = compose["services"]["ingest"]
    params = parse(service["command"])
    assert params["sources"] == ["s3://images"]
    assert params["index"] == "http://qdrant:6333/objects"
    config = Path(params["config"])
    mounts = dict(volume.split(":")[:2] for volume in service["volumes"])
    assert mounts["./objseek.toml"] == str(config)
    assert "127.0.0.1:6333:6333" in compose["services"]["qdrant"]["ports"]
    port = params["endpoint_url"].rsplit(":", 1)[1]
    assert f"-s3.port={port}" in compose["services"]["s3"]["command"]
    assert service["build"]["target"] in targets()


def test_commands_in_the_comments_of_compose_are_real() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    searches = re.findall(r"run --rm ingest (search .+)", text)
    assert len(searches) == 1
    assert parse(shlex.split(searches[0]))["index"] == "http://qdrant:6333/objects"


def test_rayjob_entrypoint_is_a_real_command_line() -> None:
    words = shlex.split(job()["spec"]["entrypoint"])
    assert words[0] == "objseek"
    params = parse(words[1:])
    assert params["ray_address"] == "auto"
    cluster = job()["spec"]["rayClusterSpec"]
    (nodes,) = cluster["workerGroupSpecs"]
    # From none to one for each worker, whatever the head could do itself.
    assert cluster["enableInTreeAutoscaling"]
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0", "num-gpus": "0"}
    replicas = [nodes[name] for name in ("replicas", "minReplicas", "maxReplicas")]
    assert replicas == [0, 0, params["workers"]]


def test_nobody_talks_to_what_asks_for_no_key() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert job()["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}


def test_rayjob_runs_the_locked_ray() -> None:
    locked = re.search(r"^ray==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert locked is not None
    assert job()["spec"]["rayClusterSpec"]["rayVersion"] == locked.group(1)


def targets() -> list[str]:
    return re.findall(r"^FROM .+ AS (\w+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)


def test_dockerfile_copies_what_exists_and_runs_the_console_script() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert {"cpu", "cuda"} <= set(targets())
    sources = [
        word for line in re.findall(r"^COPY (.+)$", text, re.M) for word in line.split()[:-1]
    ]
    assert sources
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert 'ENTRYPOINT ["objseek"]' in text
    assert "objseek" in scripts


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_dockerfile_variables_are_settings(
    target: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    stage = text.split(f"AS {target}\n")[1].split("FROM ")[0]
    for name, value in re.findall(r"(OBJSEEK_\w+)=(\S+)", stage):
        monkeypatch.setenv(name, value)
    settings = load_settings(None, {})
    assert settings.segmenter.device == target
    assert settings.embedder.device == target
    assert settings.runner.gpus_per_worker == (1 if target == "cuda" else 0)
