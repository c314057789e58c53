"""A head without nodes, and Ray's own autoscaler, which makes nodes of processes when needed.

`ray.cluster_utils.AutoscalingCluster` does as much, and begins by killing every Ray on the machine.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from support.processes import descendants, kill

_HEAD_ID = "f" * 51 + "00000"
_SEEN_AGAIN_S = "1"
_NOTHING = ("auth", "docker", "file_mounts")
_NONE = (
    *("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files"),
    *("rsync_exclude", "rsync_filter"),
)


@contextmanager
def autoscaling_cluster(node: dict[str, float], most: int, idle_s: float) -> Iterator[str]:
    """The address of a cluster of up to `most` nodes with the resources `node`.

    One that has been idle for `idle_s` goes. Its key is that of Ray's variables.
    """
    host = ray.util.get_node_ip_address()
    with socket.socket() as free:
        free.bind(("", 0))
        address = f"{host}:{free.getsockname()[1]}"
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as name:
        config = Path(name) / "autoscaler.json"
        config.write_text(json.dumps(_configure(address, node, most, idle_s)))
        head = _start_head(address, name, config)
        try:
            assert head.stdout is not None
            assert any("Ray runtime started." in line for line in head.stdout)
            yield address
        finally:
            for pid in [head.pid, *descendants(head.pid)]:
                kill(pid)
            head.communicate()


def _start_head(address: str, folder: str, config: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(Path(sys.executable).with_name("ray"), "start", "--head", "--block"),
            *(f"--port={address.rpartition(':')[2]}", f"--temp-dir={folder}", "--num-cpus=0"),
            *("--include-dashboard=false", "--disable-usage-stats"),
            *("--object-store-memory=80000000", f"--autoscaling-config={config}"),
        ],
        env={**os.environ, "AUTOSCALER_UPDATE_INTERVAL_S": _SEEN_AGAIN_S, "RAY_FAKE_CLUSTER": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _configure(address: str, node: dict[str, float], most: int, idle_s: float) -> dict[str, object]:
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    worker = {"resources": node, "node_config": {}, "min_workers": 0, "max_workers": most}
    return {
        "cluster_name": "fake",
        "max_workers": most,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": idle_s / 60,
        "provider": {
            "type": "fake_multinode",
            "head_node_id": _HEAD_ID,
            "gcs_address": address,
            # All of them are at the address of this machine.
            "use_node_id_as_ip": True,
            # As KubeRay has it: whoever makes a node has it join by itself.
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "foreground_node_launch": True,
            "worker_liveness_check": False,
        },
        "available_node_types": {"ray.head.default": head, "worker": worker},
        "head_node_type": "ray.head.default",
        "file_mounts_sync_continuously": False,
        **{name: {} for name in _NOTHING},
        **{name: [] for name in _NONE},
    }
