"""Looks at what a machine has: devices, CPUs, memory, room for files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.cli.checkup.check import Check, failed, passed, warned
from pipeline.messages import quantify
from schemas.options import DeviceName
from workers.models.threads import count_usable_cpus

_GIB = 1 << 30
_LEAST_MEMORY = 4 * _GIB
_LEAST_ROOM = 1 * _GIB
_NVIDIA = Path("/proc/driver/nvidia/version")
_SHARED_MEMORY = Path("/dev/shm")
_CGROUPS = Path("/sys/fs/cgroup")
_LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Of a container's memory, by version of cgroups: files of the most, and of what is in use."""


@dataclass(frozen=True, slots=True)
class Devices:
    """What torch computes on here: CUDA's devices by name and bytes, and whether there is MPS.

    `built_for` is the CUDA version that torch was built for, None: for none.
    """

    cuda: tuple[tuple[str, int], ...] = ()
    mps: bool = False
    built_for: str | None = None


def find_devices() -> Devices:
    """Ask torch, which takes seconds to import. Raises ImportError, OSError."""
    import torch

    cuda: tuple[tuple[str, int], ...] = ()
    if torch.cuda.is_available():
        found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        cuda = tuple((each.name, each.total_memory) for each in found)
    return Devices(cuda, torch.backends.mps.is_available(), torch.version.cuda)


def check_device(
    wanted: DeviceName,
    find: Callable[[], Devices] = find_devices,
    driver: Path = _NVIDIA,
) -> Check:
    """What models run on, and in what they compute there; `wanted` is the setting."""
    try:
        devices = find()
    except (ImportError, OSError) as exc:
        advice = "pip install --force-reinstall torch torchvision"
        return failed("device", f"torch cannot be imported: {exc}", advice)
    there = {"cpu": True, "auto": True, "cuda": bool(devices.cuda), "mps": devices.mps}
    if not there[wanted]:
        advice = "--device auto takes what is there"
        return failed("device", f"expected {wanted}, as set, it is not there", advice)
    if devices.cuda and wanted in ("auto", "cuda"):
        gpus = ", ".join(f"{name} ({_show(memory)})" for name, memory in devices.cuda)
        return passed("device", f"cuda: {gpus}; --precision auto is bf16")
    if wanted == "auto" and driver.exists():
        built = f"torch is built for CUDA {devices.built_for}" if devices.built_for else ""
        advice = "compare the driver's CUDA version (nvidia-smi) with torch's, or --device cpu"
        found = f"cpu, though there is an NVIDIA driver; {built or 'torch is built for CPUs alone'}"
        return warned("device", found, advice)
    device = "mps" if wanted == "mps" or (wanted == "auto" and devices.mps) else "cpu"
    return passed("device", f"{device}; --precision auto is fp32")


def check_cpus() -> Check:
    """The CPUs that this process may use."""
    usable, there = count_usable_cpus(), os.cpu_count() or 1
    found = quantify(usable, "CPU")
    return passed("cpus", found if usable >= there else f"{found} of {there} may be used")


def check_memory(free_bytes: int | None = None) -> Check:
    """The memory that is free; None: measured."""
    free = _free_memory() if free_bytes is None else free_bytes
    if free is None:
        return warned("memory", "this system does not tell", "look at it with its own tools")
    if free >= _LEAST_MEMORY:
        return passed("memory", f"{_show(free)} free")
    advice = "fewer --workers, --runner local, or runner.reader_memory_mb lower than 2048"
    return warned("memory", f"{_show(free)} free, models and readers want 4 GiB", advice)


def check_room(runner: str, cache: Path, index_folder: Path | None) -> Iterator[Check]:
    """Room where files come to lie; `index_folder` None: the index is elsewhere."""
    if runner == "ray" and _SHARED_MEMORY.is_dir():
        advice = "docker run --shm-size=2g, or --runner local: Ray keeps what it passes on there"
        yield check_folder("shared memory", _SHARED_MEMORY, advice)
    advice = "TMPDIR names another folder"
    yield check_folder("temporary files", Path(tempfile.gettempdir()), advice)
    yield check_folder("weights", cache, "cache_dir in the settings names another folder")
    if index_folder is not None:
        yield check_folder("index folder", index_folder, "--index names another folder")


def check_folder(
    name: str, folder: Path, advice: str, free_bytes: Callable[[Path], int] | None = None
) -> Check:
    """Whether files can be written to a folder, or to where it would be made, and how many bytes.

    `advice` is what to do where there is too little room.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        return failed(name, f"{folder}: nothing can be written there", advice)
    free = shutil.disk_usage(there).free if free_bytes is None else free_bytes(there)
    found = f"{folder}: {_show(free)} free"
    return passed(name, found) if free >= _LEAST_ROOM else warned(name, found, advice)


def _free_memory() -> int | None:
    """Bytes that are free by the system and by this process's container; None: it does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = dict(line.split(":", 1) for line in lines if ":" in line)
    free = [int(sizes["MemAvailable"].split()[0]) << 10] if "MemAvailable" in sizes else []
    return min([*free, *read_container_room()], default=None)


def read_container_room(cgroups: Path = _CGROUPS) -> Iterator[int]:
    """Bytes that the container of this process may still take, where it has a limit."""
    for most, used in _LIMITS:
        try:
            numbers = [int((cgroups / name).read_text(encoding="ascii")) for name in (most, used)]
        except (OSError, ValueError):  # not there, or "max"
            continue
        yield max(0, numbers[0] - numbers[1])


def _show(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:,.1f} GiB"
