"""Holds objects against the schemas of Kubernetes, and of what is used here of KubeRay's."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

import msgspec
from lightkube.models import core_v1, meta_v1


class _RayPart(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Fields of ray.io/v1 as of KubeRay 1.5, those alone that the files have."""


class AuthOptions(_RayPart):
    mode: Literal["disabled", "token"]


class AutoscalerOptions(_RayPart):
    idle_timeout_seconds: int
    resources: core_v1.ResourceRequirements
    security_context: core_v1.SecurityContext
    env: list[core_v1.EnvVar]
    volume_mounts: list[core_v1.VolumeMount]


class HeadGroup(_RayPart):
    ray_start_params: dict[str, str]
    template: core_v1.PodTemplateSpec


class WorkerGroup(_RayPart):
    group_name: str
    replicas: int
    min_replicas: int
    max_replicas: int
    ray_start_params: dict[str, str]
    template: core_v1.PodTemplateSpec


class RayClusterSpec(_RayPart):
    ray_version: str
    auth_options: AuthOptions
    enable_in_tree_autoscaling: bool
    autoscaler_options: AutoscalerOptions
    head_group_spec: HeadGroup
    worker_group_specs: list[WorkerGroup]


class RayJobSpec(_RayPart):
    entrypoint: str
    backoff_limit: int
    shutdown_after_job_finishes: bool
    ttl_seconds_after_finished: int
    submission_mode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]
    submitter_pod_template: core_v1.PodTemplateSpec
    ray_cluster_spec: RayClusterSpec


class RayJob(_RayPart):
    api_version: str
    kind: str
    metadata: meta_v1.ObjectMeta
    spec: RayJobSpec


def check_object(given: dict[str, Any]) -> None:
    """Raise ValueError or msgspec.ValidationError for what its kind does not have."""
    parsed = msgspec.convert(given, _model_of(given["apiVersion"], given["kind"]))
    # Kubernetes' models read past what they do not know.
    lost = list(_find_lost(given, msgspec.to_builtins(parsed), given["kind"]))
    if lost:
        raise ValueError(f"no such fields: {', '.join(lost)}")


def _model_of(api_version: str, kind: str) -> Any:
    if api_version == "ray.io/v1" and kind == "RayJob":
        return RayJob
    group, _, version = api_version.rpartition("/")
    module = f"lightkube.models.{group.split('.')[0] or 'core'}_{version}"
    return getattr(import_module(module), kind)


def _find_lost(given: Any, kept: Any, place: str) -> Any:
    if isinstance(given, dict):
        for name, value in given.items():
            if not isinstance(kept, dict) or name not in kept:
                yield f"{place}.{name}"
            else:
                yield from _find_lost(value, kept[name], f"{place}.{name}")
    elif isinstance(given, list):
        for number, (each, found) in enumerate(zip(given, kept, strict=True)):
            yield from _find_lost(each, found, f"{place}[{number}]")
