"""Commands, variables, ports and paths of the Kubernetes files are the code's, and Ray's."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from fastapi import FastAPI
from ray._private import ray_constants
from starlette.datastructures import Headers
from support.deploy_files import DEPLOY, load_with, parse
from support.dockerfile import environment, read_stages
from support.kustomize import build
from support.paths import ROOT

from pipeline.service.access import Access
from pipeline.service.routes import ops
from schemas.serve_options import ServeOptions

FOLDER = DEPLOY / "kubernetes"
NAMES = ["base", "cpu", "gpu", "spot"]
EVERY = pytest.mark.parametrize("name", NAMES)


@cache
def objects(name: str) -> dict[tuple[str, str], dict[str, Any]]:
    folder = FOLDER / "base" if name == "base" else FOLDER / "overlays" / name
    return {(each["kind"], each["metadata"]["name"]): each for each in build(folder)}


def job(name: str) -> dict[str, Any]:
    return objects(name)["RayJob", "ingest"]["spec"]


def pod(name: str, deployment: str) -> dict[str, Any]:
    return objects(name)["Deployment", deployment]["spec"]["template"]


def settings_of(name: str, image: str) -> Any:
    """The settings of a pod: the variables of its image, and those of the ConfigMap."""
    stages = read_stages(DEPLOY / "Dockerfile")
    data = objects(name)["ConfigMap", "settings"]["data"]
    return load_with({**environment(stages, image.rpartition("-")[2]), **data})


@EVERY
def test_the_job_runs_a_real_command(name: str) -> None:
    words = shlex.split(job(name)["entrypoint"])
    assert words[0] == "objseek"
    params = parse(words[1:])
    assert params["sources"] == ["s3://images"]
    assert params["ray_address"] == "auto"
    (group,) = job(name)["rayClusterSpec"]["workerGroupSpecs"]
    assert params["workers"] == group["maxReplicas"]
    assert group["replicas"] == group["minReplicas"] == 0


@EVERY
def test_a_worker_and_what_reads_for_it_fit_on_a_node(name: str) -> None:
    (group,) = job(name)["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    settings = settings_of(name, container["image"])
    cpus = int(container["resources"]["limits"]["cpu"])
    assert settings.runner.cpus_per_worker + 1 == cpus
    gpus = int(container["resources"]["limits"].get("nvidia.com/gpu", 0))
    assert settings.runner.gpus_per_worker == gpus
    assert settings.segmenter.device == ("cuda" if gpus else "cpu")


@EVERY
def test_settings_are_settings(name: str) -> None:
    settings = settings_of(name, "cpu")
    assert settings.index.location == "http://qdrant:6333/objects"
    assert settings.index.state == "s3://objseek-state/manifest"
    assert settings.segmenter.name == "sam_vit_b"
    assert settings.segmenter.points_per_side == (16 if name == "cpu" else None)


@EVERY
def test_deployments_run_real_commands(name: str) -> None:
    (watch,) = pod(name, "watch")["spec"]["containers"]
    params = parse(watch["args"])
    assert params["sources"] == ["s3://images"]
    assert params["queue"].endswith("/objseek-events")
    assert "objseek-events" in f"{variables()['name']}-events"
    (search,) = pod(name, "search")["spec"]["containers"]
    served = parse(search["args"])
    assert served["host"] == "0.0.0.0"
    folder = next(each["mountPath"] for each in search["volumeMounts"] if each["name"] == "keys")
    assert served["keys"] == f"{folder}/keys.json"


def variables() -> dict[str, str]:
    """The defaults of the Terraform module's variables."""
    text = (DEPLOY / "terraform" / "variables.tf").read_text()
    return dict(re.findall(r'variable "(\w+)" {[^}]*default +=  ?"(.+)"', text))


def test_the_module_and_the_files_name_the_same_namespace() -> None:
    assert variables()["namespace"] == objects("base")["Namespace", "objseek"]["metadata"]["name"]


def test_probes_ask_routes_that_exist_and_need_no_key() -> None:
    app = FastAPI()
    app.include_router(ops.router)
    routes = set(app.openapi()["paths"])
    (search,) = pod("base", "search")["spec"]["containers"]
    (port,) = search["ports"]
    assert port["containerPort"] == ServeOptions().port
    asked = {
        search[probe]["httpGet"]["path"]: search[probe]["httpGet"]["port"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert asked == {"/readyz": port["name"], "/healthz": port["name"]}
    assert set(asked) <= routes
    access = Access(host="0.0.0.0", keys=Path("none"), owner_token="x")
    for path in asked:
        assert access.authenticate(Headers({}), "10.0.0.1", path).name.startswith("open")


def test_probes_of_ray_are_rays() -> None:
    cluster = job("base")["rayClusterSpec"]
    package = Path(ray.__file__).parent / "dashboard"
    for template, source, port in (
        (cluster["headGroupSpec"]["template"], "http_server_head.py",
         ray_constants.DEFAULT_DASHBOARD_PORT),
        (cluster["workerGroupSpecs"][0]["template"], "http_server_agent.py",
         ray_constants.DEFAULT_DASHBOARD_AGENT_LISTEN_PORT),
    ):  # fmt: skip
        (container,) = template["spec"]["containers"]
        for probe in ("readinessProbe", "livenessProbe"):
            asked = container[probe]["httpGet"]
            assert asked["port"] == port
            # Among the paths that need no key.
            assert f'"{asked["path"]}"' in (package / source).read_text()


def test_ray_is_the_locked_one_and_has_a_key() -> None:
    lock = (ROOT / "requirements.txt").read_text()
    cluster = job("base")["rayClusterSpec"]
    assert f"\nray=={cluster['rayVersion']} " in lock
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def policies() -> dict[str, Any]:
    return {
        name: each["spec"]
        for (kind, name), each in objects("base").items()
        if kind == "NetworkPolicy"
    }


def ports(rules: list[dict[str, Any]]) -> set[int]:
    return {port["port"] for rule in rules for port in rule.get("ports", [])}


def test_the_network_lets_through_what_is_needed_and_no_more() -> None:
    found = policies()
    assert found["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert ports(found["objseek-out"]["egress"]) == {53, 6333, 443}
    assert ports(found["search-in"]["ingress"]) == {ServeOptions().port}
    assert ports(found["ray"]["ingress"]) == ports(found["submitter-out"]["egress"]) == {8265}
    for spec in found.values():
        for rule in spec.get("egress", []):
            for to in rule["to"]:
                # A machine's own credentials are at such an address.
                assert "ipBlock" not in to or to["ipBlock"]["except"] == ["169.254.0.0/16"]


def test_metrics_are_scraped_where_they_are() -> None:
    data = objects("base")["ConfigMap", "settings"]["data"]
    cluster = job("base")["rayClusterSpec"]
    annotated = {
        "head": cluster["headGroupSpec"]["template"],
        "watch": pod("base", "watch"),
        "search": pod("base", "search"),
    }
    scraped = {
        name: int(each["metadata"]["annotations"]["prometheus.io/port"])
        for name, each in annotated.items()
    }
    metrics = int(data["OBJSEEK_OBSERVE__METRICS_PORT"])
    assert scraped == {"head": metrics, "watch": metrics, "search": ServeOptions().port}
    for name, each in annotated.items():
        (container,) = each["spec"]["containers"]
        assert scraped[name] in {port["containerPort"] for port in container["ports"]}
    assert ports(policies()["metrics-in"]["ingress"]) == set(scraped.values())
    (scrape,) = yaml.safe_load((FOLDER / "scrape-configs.yaml").read_text())["scrape_configs"]
    (place,) = scrape["kubernetes_sd_configs"]
    assert place == {"role": "pod", "namespaces": {"names": ["objseek"]}}
    kept = scrape["relabel_configs"][0]
    assert (kept["action"], kept["regex"]) == ("keep", "true")
