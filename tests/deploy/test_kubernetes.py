"""The kustomizations build into objects that Kubernetes and KubeRay know, and that fit together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from support.deploy_files import DEPLOY, load_with, load_yaml, walk
from support.kubernetes_schemas import check_object
from support.kustomize import build

from schemas.errors import UsageError

FOLDER = DEPLOY / "kubernetes"
BUILDS = {
    path.parent.name: build(path.parent) for path in sorted(FOLDER.glob("**/kustomization.yaml"))
}
EVERY = pytest.mark.parametrize("name", sorted(BUILDS))


def find(name: str, kind: str, called: str) -> dict[str, Any]:
    (found,) = (
        each for each in BUILDS[name] if (each["kind"], each["metadata"]["name"]) == (kind, called)
    )
    return found


def templates(name: str) -> dict[str, dict[str, Any]]:
    """The templates of pods, by who makes them."""
    job = find(name, "RayJob", "ingest")["spec"]
    cluster = job["rayClusterSpec"]
    return {
        "submitter": job["submitterPodTemplate"],
        "head": cluster["headGroupSpec"]["template"],
        **{f"worker {group['groupName']}": group["template"]
           for group in cluster["workerGroupSpecs"]},
        **{each["metadata"]["name"]: each["spec"]["template"]
           for each in BUILDS[name] if each["kind"] == "Deployment"},
    }  # fmt: skip


def containers(name: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each container with who makes its pod, and the pod."""
    for maker, template in templates(name).items():
        for each in template["spec"]["containers"]:
            yield maker, template["spec"], each


def test_there_is_a_base_and_three_overlays() -> None:
    assert set(BUILDS) == {"base", "cpu", "gpu", "spot"}


@EVERY
def test_objects_keep_their_schemas(name: str) -> None:
    for each in BUILDS[name]:
        check_object(each)
    keys = [(each["kind"], each["metadata"]["name"]) for each in BUILDS[name]]
    assert len(keys) == len(set(keys))
    kinds = {kind for kind, _ in keys}
    assert {"RayJob", "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget"} <= kinds
    assert {"NetworkPolicy", "ServiceAccount", "Service", "ConfigMap"} <= kinds
    assert "Secret" not in kinds


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "template", "spec", "containers", 0, "imagee"), "x"),
        (("spec", "replicas"), "two"),
        (("spec", "template", "spec", "containers", 0), {"image": "x"}),
    ],
)
def test_what_does_not_keep_them_is_found(path: tuple[str | int, ...], value: object) -> None:
    broken = build(FOLDER / "base")
    (node,) = (each for each in broken if each["metadata"]["name"] == "watch" and "spec" in each)
    check_object(node)
    whole: Any = node
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    with pytest.raises((ValueError, msgspec.ValidationError)):
        check_object(whole)


@EVERY
def test_pods_may_do_little(name: str) -> None:
    for _, pod, container in containers(name):
        assert pod["securityContext"] == {
            "runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
    scaler = find(name, "RayJob", "ingest")["spec"]["rayClusterSpec"]["autoscalerOptions"]
    assert scaler["securityContext"]["readOnlyRootFilesystem"] is True


@EVERY
def test_what_is_written_to_is_a_volume(name: str) -> None:
    for _, pod, container in containers(name):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        places = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        for folder in ("/data", "/tmp"):
            assert places[folder]["emptyDir"] == {}


@EVERY
def test_services_of_kubernetes_become_no_variables(name: str) -> None:
    """OBJSEEK_SERVICE_HOST would be refused: it is no setting."""
    for _, pod, _ in containers(name):
        assert pod["enableServiceLinks"] is False
    with pytest.raises(UsageError, match="OBJSEEK_SERVICE_HOST"):
        load_with({"OBJSEEK_SERVICE_HOST": "10.0.0.1"})


@EVERY
def test_containers_have_requests_and_limits(name: str) -> None:
    for _, _, container in containers(name):
        resources = container["resources"]
        assert {"cpu", "memory"} <= set(resources["requests"]) & set(resources["limits"])
        assert resources["requests"]["memory"] == resources["limits"]["memory"] or (
            container["name"] == "ray-job-submitter"
        )


@EVERY
def test_secrets_are_named_and_never_written(name: str) -> None:
    found = {
        reference["name"]
        for each in BUILDS[name]
        for node in walk(each)
        for reference in (node.get("secretKeyRef"), node.get("secretRef"))
        if reference
    }
    mounted = {
        node["secret"]["secretName"]
        for each in BUILDS[name]
        for node in walk(each)
        if "secret" in node
    }
    page = (DEPLOY.parent / "docs" / "deployment.md").read_text()
    for secret in found | mounted:
        assert f"kubectl -n objseek create secret generic {secret} " in page
    settings = find(name, "ConfigMap", "settings")["data"]
    assert not [key for key in settings if re.search(r"KEY|SECRET|TOKEN|PASSWORD", key)]


@EVERY
def test_accounts_and_settings_that_are_named_exist(name: str) -> None:
    there = {(each["kind"], each["metadata"]["name"]) for each in BUILDS[name]}
    for maker, template in templates(name).items():
        pod = template["spec"]
        if maker != "submitter":
            assert ("ServiceAccount", pod["serviceAccountName"]) in there
    for each in BUILDS[name]:
        for node in walk(each):
            if "configMapRef" in node:
                assert ("ConfigMap", node["configMapRef"]["name"]) in there


@EVERY
def test_only_rays_head_may_ask_the_api_of_the_cluster(name: str) -> None:
    for maker, template in templates(name).items():
        asks = template["spec"].get("automountServiceAccountToken", True)
        assert asks is (maker == "head")


@EVERY
def test_selectors_find_pods(name: str) -> None:
    labels = [template["metadata"]["labels"] for template in templates(name).values()]
    search = find(name, "Deployment", "search")["spec"]
    assert search["selector"]["matchLabels"] == search["template"]["metadata"]["labels"]
    for kind in ("PodDisruptionBudget", "Service"):
        selector = find(name, kind, "search")["spec"]["selector"]
        assert selector.get("matchLabels", selector) == search["selector"]["matchLabels"]
    for each in BUILDS[name]:
        if each["kind"] != "NetworkPolicy":
            continue
        wanted = each["spec"]["podSelector"].get("matchLabels", {})
        if wanted != {"app.kubernetes.io/name": "qdrant"}:
            assert any(wanted.items() <= found.items() for found in labels), each["metadata"]


@EVERY
def test_search_is_scaled_and_kept_up(name: str) -> None:
    scaler = find(name, "HorizontalPodAutoscaler", "search")["spec"]
    target = scaler["scaleTargetRef"]
    search = find(name, target["kind"], target["name"])
    assert search["apiVersion"] == target["apiVersion"]
    assert "replicas" not in search["spec"]
    budget = find(name, "PodDisruptionBudget", "search")["spec"]
    assert 0 < budget["maxUnavailable"] < scaler["minReplicas"] <= scaler["maxReplicas"]
    # What was uploaded lies in the memory of one of them.
    assert find(name, "Service", "search")["spec"]["sessionAffinity"] == "ClientIP"


def test_gpus_are_asked_for_where_models_work() -> None:
    for name, wanted in (("base", set()), ("cpu", set()), ("gpu", {"worker gpu", "watch"})):
        found = {
            maker
            for maker, _, container in containers(name)
            if "nvidia.com/gpu" in container["resources"]["limits"]
        }
        assert found == wanted
    for name in ("gpu", "spot"):
        for maker, _, container in containers(name):
            variant = "cpu" if maker == "search" else "cuda"
            assert container["image"].endswith(f"-{variant}"), maker


def test_spot_machines_take_workers_alone() -> None:
    label = "karpenter.sh/capacity-type"
    places = {
        maker: template["spec"].get("nodeSelector", {}).get(label)
        for maker, template in templates("spot").items()
    }
    assert places == {
        "submitter": None, "head": "on-demand", "worker gpu": "spot", "watch": None, "search": None,
    }  # fmt: skip


def test_values_of_qdrants_chart_fit() -> None:
    (values,) = load_yaml(FOLDER / "qdrant-values.yaml")
    location = find("base", "ConfigMap", "settings")["data"]["OBJSEEK_INDEX__LOCATION"]
    assert location == f"http://{values['fullnameOverride']}:6333/objects"
    key = values["apiKey"]["valueFrom"]["secretKeyRef"]
    (head,) = templates("base")["head"]["spec"]["containers"]
    assert head["env"][0]["valueFrom"]["secretKeyRef"] == key
    # The namespace takes no pods that may do more.
    assert values["containerSecurityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert values["image"]["useUnprivilegedImage"] is True
    assert values["updateVolumeFsOwnership"] is False
    enforced = find("base", "Namespace", "objseek")["metadata"]["labels"]
    assert enforced == {"pod-security.kubernetes.io/enforce": "restricted"}
