"""Fetching and loading weights: checkpoints of the real architecture over a loopback server."""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from segment_anything import sam_model_registry

from schemas.errors import DownloadError, ModelError
from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.download import download
from workers.models.model_entry import ModelEntry
from workers.models.weights import (
    cache_folder,
    fetch,
    fill,
    no_report,
    read_weights,
    sha256_of,
    verify,
)
from workers.segmenters import sam

SMALL = bytes(range(256)) * 8192  # two blocks of the download


@dataclass
class Served:
    """What the server has: its answers, and the requests it got as (Range, If-Range)."""

    body: bytes = SMALL
    etag: str = '"one"'
    cut_after: int | None = None
    ranges: bool = True
    status: int = 200
    url: str = ""
    requests: list[tuple[str | None, str | None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    served: Served

    def do_GET(self) -> None:
        served = self.served
        wanted, only_if = self.headers["Range"], self.headers["If-Range"]
        served.requests.append((wanted, only_if))
        if served.status != 200:
            self.send_error(served.status)
            return
        start = 0
        if wanted and served.ranges and only_if == served.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(served.body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if served.etag:
            self.send_header("ETag", served.etag)
        self.send_header("Content-Length", str(len(served.body) - start))
        self.end_headers()
        self.wfile.write(memoryview(served.body)[start : served.cut_after])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    handler = type("ServedHandler", (Handler,), {"served": served})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        served.url = f"http://127.0.0.1:{server.server_port}/models/sam_vit_b_01ec64.pth"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield served
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sam_vit_b with its real names and shapes."""
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in sam_model_registry["vit_b"]().state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "sam_vit_b.pth"
    torch.save({name: torch.full(shape, 0.25) for name, shape in shapes.items()}, path)
    return path


def entry_of(served: Served, body: bytes | None = None, name: str = "sam_vit_b") -> ModelEntry:
    body = served.body if body is None else body
    return replace(
        catalog.find(name),
        url=served.url,
        file_name="weights.pth",
        size_bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
    )


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


OPTIONS = SegmenterOptions(name="sam_vit_b", device="cpu")


@pytest.mark.long
def test_a_real_checkpoint_is_fetched_resumed_and_loaded(
    served: Served, checkpoint: Path, tmp_path: Path
) -> None:
    served.body = checkpoint.read_bytes()
    served.cut_after = 100_000_000
    entry = entry_of(served)
    with pytest.raises(DownloadError, match=f"ended after 100000000 of {len(served.body)} bytes"):
        sam.build(OPTIONS, tmp_path, entry)
    assert listed(tmp_path) == ["weights.pth.partial", "weights.pth.partial-etag"]
    served.cut_after = None
    segmenter = sam.build(OPTIONS, tmp_path, entry)
    assert served.requests == [(None, None), ("bytes=100000000-", '"one"')]
    assert listed(tmp_path) == ["weights.pth"]
    model = segmenter._prompter._model
    assert all((value == 0.25).all() for value in model.parameters())
    assert model.pixel_mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    local = OPTIONS.model_copy(update={"checkpoint": str(checkpoint)})
    assert sam.build(local).fingerprint == segmenter.fingerprint
    assert len(served.requests) == 2


def test_a_real_checkpoint_of_another_architecture_is_refused(checkpoint: Path) -> None:
    options = SegmenterOptions(name="sam_vit_l", device="cpu", checkpoint=str(checkpoint))
    with pytest.raises(ModelError, match=r"of another architecture than sam_vit_l: .*tensors"):
        sam.build(options)


def test_a_real_checkpoint_cut_short_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.pth"
    with checkpoint.open("rb") as file:
        short.write_bytes(file.read(1_000_000))
    with pytest.raises(ModelError, match=r"short\.pth is truncated"):
        sam.build(OPTIONS.model_copy(update={"checkpoint": str(short)}))


class Code:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("archive", [True, False])
def test_pickled_code_is_refused(served: Served, tmp_path: Path, archive: bool) -> None:
    evil, mark = tmp_path / "evil.pth", tmp_path / "it_ran"
    if archive:
        torch.save({"weight": Code(mark)}, evil)
    else:
        evil.write_bytes(pickle.dumps({"weight": Code(mark)}, protocol=2))
    served.body = evil.read_bytes()
    with pytest.raises(ModelError, match=r"holds pickled code or objects"):
        sam.build(OPTIONS, tmp_path / "cache", entry_of(served))
    assert not mark.exists()


def test_a_wrong_hash_is_refused_and_nothing_is_kept(served: Served, tmp_path: Path) -> None:
    entry = replace(entry_of(served), sha256="0" * 64)
    with pytest.raises(ModelError, match=f"expected sha256 {'0' * 64} from {served.url}, got "):
        sam.build(OPTIONS, tmp_path, entry)
    assert listed(tmp_path) == []


def test_a_shorter_file_is_refused_and_nothing_is_kept(served: Served, tmp_path: Path) -> None:
    entry = entry_of(served)
    served.body = served.body[:-5]
    with pytest.raises(ModelError, match=rf"expected 2097152 bytes from {served.url}, got 2097147"):
        fetch(entry, tmp_path)
    assert listed(tmp_path) == []


def test_a_changed_file_is_fetched_anew(served: Served, tmp_path: Path) -> None:
    served.cut_after = 1_500_000
    with pytest.raises(DownloadError):
        fetch(entry_of(served), tmp_path)
    served.body, served.etag, served.cut_after = served.body[::-1], '"two"', None
    path = fetch(entry_of(served), tmp_path)
    assert path.read_bytes() == served.body
    assert served.requests[1] == ("bytes=1500000-", '"one"')
    assert listed(tmp_path) == ["weights.pth"]


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_validator_it_starts_over(
    served: Served, tmp_path: Path, etag: str
) -> None:
    served.cut_after, served.etag = 1_500_000, etag
    with pytest.raises(DownloadError):
        fetch(entry_of(served), tmp_path)
    served.cut_after = None
    assert fetch(entry_of(served), tmp_path).read_bytes() == served.body
    assert served.requests == [(None, None), (None, None)]


def test_a_server_without_ranges_is_taken_from_the_start(served: Served, tmp_path: Path) -> None:
    served.cut_after, served.ranges = 1_500_000, False
    with pytest.raises(DownloadError):
        fetch(entry_of(served), tmp_path)
    served.cut_after = None
    assert fetch(entry_of(served), tmp_path).read_bytes() == served.body


def test_a_partial_file_longer_than_the_whole_starts_over(served: Served, tmp_path: Path) -> None:
    (tmp_path / "weights.pth.partial").write_bytes(SMALL + b"more")
    (tmp_path / "weights.pth.partial-etag").write_text('"one"')
    assert fetch(entry_of(served), tmp_path).read_bytes() == served.body
    assert len(served.requests) == 2
    assert listed(tmp_path) == ["weights.pth"]


def test_a_whole_partial_file_is_only_checked(served: Served, tmp_path: Path) -> None:
    (tmp_path / "weights.pth.partial").write_bytes(SMALL)
    assert fetch(entry_of(served), tmp_path).read_bytes() == SMALL
    assert served.requests == []
    assert listed(tmp_path) == ["weights.pth"]


def test_two_at_once_download_once(served: Served, tmp_path: Path) -> None:
    entry, paths = entry_of(served), []
    threads = [
        threading.Thread(target=lambda: paths.append(fetch(entry, tmp_path))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [tmp_path / "weights.pth"] * 4
    assert len(served.requests) == 1
    assert listed(tmp_path) == ["weights.pth"]


def test_many_that_come_late_leave_what_is_there(served: Served, tmp_path: Path) -> None:
    target = fetch(entry_of(served), tmp_path)
    errors: list[Exception] = []

    def come_late() -> None:
        try:
            for _ in range(200):
                download(served.url, target, report=no_report)
        except Exception as exc:
            errors.append(exc)

    threads = [threading.Thread(target=come_late) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(served.requests) == 1
    assert listed(tmp_path) == ["weights.pth"]


def test_progress_is_reported(served: Served, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch(entry_of(served), tmp_path, lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2097152), (1048576, 2097152), (2097152, 2097152)]


def test_no_network_is_one_sentence(served: Served, tmp_path: Path) -> None:
    entry = replace(entry_of(served), url="http://127.0.0.1:1/weights.pth")
    with pytest.raises(DownloadError) as caught:
        fetch(entry, tmp_path)
    message = str(caught.value)
    assert caught.value.retryable
    assert "http://127.0.0.1:1/weights.pth cannot be reached (Connection refused)" in message
    assert message.endswith(
        f"get weights.pth from http://127.0.0.1:1/weights.pth elsewhere and put it into {tmp_path}"
    )
    assert listed(tmp_path) == []


def test_an_answer_other_than_the_file_is_one_sentence(served: Served, tmp_path: Path) -> None:
    served.status = 404
    with pytest.raises(DownloadError, match="answered 404 Not Found"):
        fetch(entry_of(served), tmp_path)
    assert listed(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_one_sentence(served: Served, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"weights\.pth cannot be written: Not a directory"):
        fetch(entry_of(served), tmp_path / "file" / "cache")


def test_a_cached_file_that_was_changed_is_refused(served: Served, tmp_path: Path) -> None:
    entry = entry_of(served)
    path = fetch(entry, tmp_path)
    assert verify(path, entry) == entry.sha256
    path.write_bytes(b"something else")
    with pytest.raises(ModelError, match=r"is not the published sam_vit_b.*`objseek models pull"):
        sam.build(OPTIONS, tmp_path, entry)


@pytest.mark.parametrize("content", [b"", b"hello, weights", b"PK", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=name):
        fill(torch.nn.Linear(1, 1), read_weights(path), name)


def test_weights_must_be_tensors_by_name(tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(ModelError, match="expected tensors by name"):
        read_weights(tmp_path / "list.pth")
    with pytest.raises(ModelError, match="there are no weights at"):
        read_weights(tmp_path / "absent.pth")
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        sha256_of(tmp_path / "absent.pth")


@pytest.mark.parametrize("name", ["half.pth", "half.safetensors"])
def test_half_precision_becomes_float32(tmp_path: Path, name: str) -> None:
    tensors = {"weight": torch.tensor([[0.5]]).half(), "bias": torch.tensor([2.0]).half()}
    if name.endswith(".pth"):
        torch.save(tensors, tmp_path / name)
    else:
        save_file(tensors, tmp_path / name)
    model = torch.nn.Linear(1, 1)
    fill(model, read_weights(tmp_path / name), "line")
    assert model(torch.tensor([[3.0]])).tolist() == [[3.5]]


def test_other_shapes_are_named() -> None:
    tensors = {"weight": torch.ones(2), "bias": torch.ones(1), "more": torch.ones(1)}
    with pytest.raises(ModelError, match=r"2 of 3 .*'weight', expected shape \(1, 1\), got \(2,\)"):
        fill(torch.nn.Linear(1, 1), tensors, "line")


def test_the_users_cache_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "objseek" / "models"
    assert cache_folder(tmp_path) == tmp_path


def test_official_entries_are_complete() -> None:
    official = [entry for entry in catalog.CATALOG if entry.source == "official"]
    sams = [entry for entry in official if entry.module == "sam"]
    assert [entry.name for entry in sams] == ["sam_vit_b", "sam_vit_l", "sam_vit_h"]
    for entry in official:
        assert entry.url.startswith("https://")
        assert entry.url.endswith("/" + entry.file_name)
    for entry in sams:
        assert len(bytes.fromhex(entry.sha256)) == 32
        assert entry.exact_size_bytes == entry.size_bytes
        assert entry.name.removeprefix("sam_") in sam_model_registry


def test_torchvisions_entries_are_its_own() -> None:
    detection = torchvision.models.detection
    published = {
        "maskrcnn_resnet50_fpn": detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1,
        "maskrcnn_resnet50_fpn_v2": detection.MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
    }
    for name, weights in published.items():
        entry = catalog.find(name)
        assert entry.url == weights.url
        assert weights.url.endswith(f"-{entry.sha256}.pth")
        # Theirs is in MiB.
        assert entry.size_bytes == pytest.approx(weights.meta["_file_size"] * 2**20, rel=0.01)
        assert entry.exact_size_bytes is None


def test_the_first_digits_of_a_sha256_are_checked(served: Served, tmp_path: Path) -> None:
    digits = hashlib.sha256(SMALL).hexdigest()[:8]
    entry = replace(entry_of(served), sha256=digits, size_bytes=2_000_000)
    path = fetch(entry, tmp_path)
    assert verify(path, entry).startswith(digits)
    path.unlink()
    with pytest.raises(ModelError, match="expected sha256 00000000 from"):
        fetch(replace(entry, sha256="0" * 8), tmp_path)
    path.write_bytes(SMALL + b"more")
    with pytest.raises(ModelError, match=f"expected sha256 {digits}, got"):
        verify(path, entry)
