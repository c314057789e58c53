"""compose.yaml keeps its schema; its commands, ports, variables and paths are the code's."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from support.deploy_files import DEPLOY, load_with, parse
from support.dockerfile import read_stages
from support.paths import IMPORTS
from support.s3_server import moto_server

from pipeline.service.api_keys import KeyFile
from pipeline.settings import load_settings
from schemas.serve_options import ServeOptions

TEXT = (DEPLOY / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: each for name, each in SERVICES.items() if each["image"].startswith("objseek:")}
KEY = "/etc/prometheus/objseek-key"
"""Where Prometheus looks for its key of the service."""

COMMANDS = {name: each for name, each in OURS.items() if "entrypoint" not in each}


def mounts(name: str) -> dict[str, str]:
    """What is mounted into a container, by where."""
    split = (volume.split(":") for volume in SERVICES[name]["volumes"])
    return {parts[1]: parts[0] for parts in split}


def in_comments(pattern: str) -> list[str]:
    return re.findall(rf"^#   docker compose -f deploy/compose.yaml {pattern}$", TEXT, re.M)


def test_it_keeps_the_schema_of_compose() -> None:
    jsonschema.validate(COMPOSE, get_builtin_schema("vendor.compose-spec"))
    wrong = {**COMPOSE, "services": {"s3": {"image": "x", "port": ["80"]}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, get_builtin_schema("vendor.compose-spec"))


def test_it_has_what_one_machine_needs() -> None:
    wanted = {"qdrant", "s3", "bucket", "ingest", "service", "prometheus", "grafana"}
    assert wanted <= set(SERVICES)
    for name, each in SERVICES.items():
        assert set(each.get("depends_on", {})) <= set(SERVICES), name


@pytest.mark.parametrize("name", ["ingest", "service"])
def test_a_command_is_real(name: str) -> None:
    params = parse(COMMANDS[name]["command"])
    assert params["index"] == "http://qdrant:6333/objects"
    assert "qdrant" in SERVICES
    if name == "ingest":
        assert params["sources"] == ["s3://images"]
    else:
        assert (params["host"], params["keys"]) == ("0.0.0.0", "/keys/keys.json")


def test_commands_in_the_comments_are_real() -> None:
    runs = in_comments(r"run --rm objseek (.+)")
    assert [shlex.split(run)[0] for run in runs] == ["keys", "search"]
    for run in runs:
        parse(shlex.split(run))
    assert "localhost:8765" in TEXT
    for names in in_comments(r"up -d(?: --wait)? (.+)"):
        assert set(names.split()) <= set(SERVICES)
    # Prometheus finds the container of a run by the service's name only with this.
    assert in_comments(r"run --rm --use-aliases (\w+)") == ["ingest"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_variables_are_settings(name: str) -> None:
    variables = OURS[name]["environment"]
    load_with(variables)
    config = variables["OBJSEEK_CONFIG"]
    assert mounts(name)[config] == "./objseek.toml"
    assert load_settings(DEPLOY / "objseek.toml", {}).segmenter.name == "sam_vit_b"
    store = urlsplit(variables["AWS_ENDPOINT_URL_S3"])
    assert f"-s3.port={store.port}" in SERVICES[str(store.hostname)]["command"]


def test_who_reaches_the_store_has_its_keys() -> None:
    store = SERVICES["s3"]["environment"]
    for each in OURS.values():
        assert store.items() <= each["environment"].items()


@pytest.mark.parametrize("name", sorted(OURS))
def test_containers_may_do_little(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "user" not in service  # the image's own


def test_nobody_else_talks_to_what_asks_for_no_key() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_service_is_where_it_listens_and_is_healthy_when_its_image_is() -> None:
    port = ServeOptions().port
    assert SERVICES["service"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    (check,) = read_stages(DEPLOY / "Dockerfile")["runtime"].all("HEALTHCHECK")
    test = SERVICES["service"]["healthcheck"]["test"]
    assert test == ["CMD", *json.loads(check.partition("CMD ")[2])]
    jobs = [name for name in OURS if name != "service"]
    assert all(OURS[name]["healthcheck"] == {"disable": True} for name in jobs)


def test_mounts_exist() -> None:
    for name in SERVICES:
        for place, source in mounts(name).items() if "volumes" in SERVICES[name] else ():
            assert place.startswith("/")
            if not source.startswith("./"):
                assert source in COMPOSE["volumes"]
            else:
                assert (DEPLOY / source).exists(), source


def test_prometheus_and_grafana_find_what_they_are_given() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    jobs = config["scrape_configs"]
    targets = [
        target for job in jobs for each in job["static_configs"] for target in each["targets"]
    ]
    assert {f"service:{ServeOptions().port}", "ingest:9464"} <= set(targets)
    keys = {job["authorization"]["credentials_file"] for job in jobs if "authorization" in job}
    assert keys == {KEY}
    providers = DEPLOY / "grafana" / "provisioning" / "dashboards"
    for path in providers.glob("*.yaml"):
        for provider in yaml.safe_load(path.read_text())["providers"]:
            folder = provider["options"]["path"]
            assert mounts("grafana")[folder] == "./grafana/dashboards"
    sources = DEPLOY / "grafana" / "provisioning" / "datasources"
    for path in sources.glob("*.yaml"):
        for source in yaml.safe_load(path.read_text())["datasources"]:
            assert source["url"] == "http://prometheus:9090"


def test_prometheus_reads_its_configuration() -> None:
    command = SERVICES["prometheus"]["command"]
    assert "--config.file=/etc/objseek/prometheus.yaml" in command
    assert mounts("prometheus")["/etc/objseek"] == "./prometheus"
    ingest = OURS["ingest"]
    assert ingest["expose"] == [ingest["environment"]["OBJSEEK_OBSERVE__METRICS_PORT"]] == ["9464"]


def test_the_bucket_is_made_once() -> None:
    (code,) = SERVICES["bucket"]["command"]
    assert SERVICES["bucket"]["entrypoint"] == ["python", "-c"]
    with moto_server() as server:
        environment = {**os.environ, "AWS_ENDPOINT_URL_S3": server.endpoint_url}
        # moto keeps what other tests of this process made.
        before = list_buckets(server.client)
        for _ in range(2):
            subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        made = list_buckets(server.client) - before
        server.client.close()
    assert made == {"images"}


def list_buckets(client: Any) -> set[str]:
    return {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}


def test_the_key_of_prometheus_is_made_once(tmp_path: Path) -> None:
    keys = SERVICES["keys"]
    assert keys["entrypoint"] == ["sh", "-c"]
    (script,) = keys["command"]
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, **IMPORTS, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    for _ in range(2):
        subprocess.run(
            ["sh", "-c", script.replace("/keys/", f"{tmp_path}/")], env=environment, check=True
        )
    (stored,) = KeyFile(tmp_path / "keys.json").load()
    assert (stored.name, stored.scope) == ("prometheus", "read")
    folder, _, name = KEY.rpartition("/")
    assert (tmp_path / name).read_text().startswith("objseek_")
    assert mounts("prometheus")[folder] == mounts("keys")["/keys"] == "keys"
    cluster = (DEPLOY / "kubernetes" / "scrape-configs.yaml").read_text()
    assert f"credentials_file: {KEY}\n" in cluster
