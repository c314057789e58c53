"""Reaches into Ray's private modules, for what Ray 2.60 offers no public way to do.

Nothing else in this product does. `tests/pipeline/runners/test_private_ray.py` names what a new Ray
has moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]
from ray.job_config import JobConfig

_ROOT = Path(__file__).resolve().parents[3]
CLUSTER_VARIABLE = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
"""The environment variable from which Ray's own processes read `ENABLE_RAY_CLUSTER`."""


@contextmanager
def listen_on_loopback() -> Iterator[None]:
    """Have the processes of a Ray that is started listen on loopback alone.

    As they do where Ray has no clusters. This process has read the variable when Ray was imported,
    and a node's own address of 127.0.0.1 Ray replaces.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def reload_authentication() -> None:
    """Have Ray read from the environment again how to authenticate, and with which key.

    It reads the first when it is imported, and keeps the first key that it sees.
    """
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


class OwnPathAlone(JobConfig):
    """Has workers look for objseek where it is, and not first in the user's working directory.

    A folder there called `pipeline` is imported in its place otherwise.
    """

    def __init__(self) -> None:
        super().__init__(_py_driver_sys_path=[str(_ROOT)])

    def _runtime_env_has_working_dir(self) -> bool:
        # What Ray asks before it puts that directory, and the script's, before all others.
        return True
