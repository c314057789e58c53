"""`objseek doctor`, the machine: devices, memory, room, and ports."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pipeline.cli.checkup.check import Outcome, failed, passed, warned
from pipeline.cli.checkup.machine import (
    Devices,
    check_cpus,
    check_device,
    check_folder,
    check_memory,
    check_room,
    read_container_room,
)
from pipeline.cli.checkup.ports import check_cluster, check_port, check_ports
from pipeline.settings import Settings
from schemas.observe_options import ObserveOptions
from schemas.options import RunnerOptions

GIB = 1 << 30
H200 = Devices(cuda=(("NVIDIA H200", 140 * GIB),), built_for="12.8")


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    path = tmp_path / "driver"
    path.touch()
    return path


def test_the_device_and_what_it_computes_in() -> None:
    assert check_device("auto", lambda: H200) == passed(
        "device", "cuda: NVIDIA H200 (140.0 GiB); --precision auto is bf16"
    )
    assert check_device("cpu", lambda: H200).found == "cpu; --precision auto is fp32"
    assert check_device("auto", lambda: Devices(mps=True)).found.startswith("mps;")


def test_a_device_that_is_set_and_not_there_is_wrong() -> None:
    assert check_device("cuda", Devices) == failed(
        "device", "expected cuda, as set, it is not there", "--device auto takes what is there"
    )
    assert check_device("mps", Devices).outcome is Outcome.WRONG


def test_a_driver_that_torch_does_not_use_is_a_warning(driver: Path) -> None:
    check = check_device("auto", Devices, driver)
    assert check.outcome is Outcome.WARNING
    assert check.found == "cpu, though there is an NVIDIA driver; torch is built for CPUs alone"
    built = check_device("auto", lambda: Devices(built_for="13.0"), driver)
    assert built.found.endswith("torch is built for CUDA 13.0")


def test_a_torch_that_cannot_be_imported_is_wrong() -> None:
    def fail() -> Devices:
        raise OSError("libcudart.so.12: cannot open shared object file")

    check = check_device("auto", fail)
    assert (check.outcome, "libcudart.so.12" in check.found) == (Outcome.WRONG, True)


def test_cpus_that_may_not_be_used_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.cli.checkup.machine.count_usable_cpus", lambda: 1)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert check_cpus() == passed("cpus", "1 CPU of 8 may be used")


def test_little_memory_is_a_warning() -> None:
    assert check_memory(8 * GIB) == passed("memory", "8.0 GiB free")
    check = check_memory(GIB)
    assert check.outcome is Outcome.WARNING
    assert check.found == "1.0 GiB free, models and readers want 4 GiB"


def test_a_container_has_the_memory_that_its_cgroup_leaves(tmp_path: Path) -> None:
    assert list(read_container_room(tmp_path)) == []
    (tmp_path / "memory.current").write_text(f"{GIB}\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert list(read_container_room(tmp_path)) == []
    (tmp_path / "memory.max").write_text(f"{4 * GIB}\n")
    assert list(read_container_room(tmp_path)) == [3 * GIB]


def test_a_folder_with_little_room_is_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "index"
    assert check_folder("index", folder, "", lambda path: 2 * GIB) == passed(
        "index", f"{folder}: 2.0 GiB free"
    )
    assert check_folder("index", folder, "elsewhere", lambda path: GIB // 2) == warned(
        "index", f"{folder}: 0.5 GiB free", "elsewhere"
    )
    assert not folder.parent.exists()


def test_a_folder_below_a_file_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check = check_folder("index", tmp_path / "file" / "index", "elsewhere")
    assert (check.outcome, check.advice) == (Outcome.WRONG, "elsewhere")


def test_shared_memory_matters_with_ray_alone(tmp_path: Path) -> None:
    names = [check.name for check in check_room("local", tmp_path, None)]
    assert names == ["temporary files", "weights"]
    names = [check.name for check in check_room("ray", tmp_path, tmp_path)]
    assert names[-1] == "index folder"
    assert ("shared memory" in names) is Path("/dev/shm").is_dir()


def test_a_port_in_use_is_a_warning() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        check = check_port("port of serve", "127.0.0.1", port, "another")
        assert (check.outcome, check.advice) == (Outcome.WARNING, "another")
        assert check.found.startswith(f"127.0.0.1:{port} cannot be taken: ")
        assert check_cluster(f"ray://127.0.0.1:{port}").outcome is Outcome.OK
        settings = Settings(
            observe=ObserveOptions(metrics_port=port),
            runner=RunnerOptions(ray_address=f"127.0.0.1:{port}"),
        )
        names = {check.name: check.outcome for check in check_ports(settings)}
    assert names["port of metrics"] is Outcome.WARNING
    assert names["ray cluster"] is Outcome.OK


def test_a_cluster_that_does_not_answer_is_wrong() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    assert check_cluster(f"127.0.0.1:{port}").outcome is Outcome.WRONG
    assert check_cluster("head").found == "expected host:port or auto, got head"


def test_an_address_of_ipv6_can_be_taken() -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert check_port("port of serve", "::1", 0, "another").outcome is Outcome.OK


@pytest.mark.parametrize("host", ["none..", "a" * 70 + ".b"])
def test_what_can_be_no_hosts_name_does_not_answer(host: str) -> None:
    check = check_cluster(f"{host}:6379")
    assert check.outcome is Outcome.WRONG
    assert f"{host}:6379 does not answer" in check.found
