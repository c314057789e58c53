"""Models of the hub over a loopback server: fetched whole, verified, and loaded."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from support.tiny_segmenters import COMMIT, FAMILIES, HubHandler, write_folder

from pipeline.cli.weights import fetch_model
from schemas.errors import DownloadError, ModelError
from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.hub import (
    cached_weights,
    fetch_from_hub,
    find_tokenizer,
    open_folder,
    verify_file,
    verify_hub,
)
from workers.models.model_entry import ModelEntry
from workers.models.weights import sha256_of
from workers.registry import build_segmenter

ENTRY = catalog.find("eomt_coco_panoptic_s")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    family = next(family for family in FAMILIES if family.name == ENTRY.name)
    return write_folder(family, tmp_path_factory.mktemp("hub") / "tiny")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path) -> Iterator[type[HubHandler]]:
    """A hub that has the tiny model, in place of the real one."""
    handler = type("Hub", (HubHandler,), {"repositories": {ENTRY.hub_repo: tiny}, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield handler
        server.shutdown()
        thread.join()


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_model_is_fetched_once_at_one_commit(
    hub: type[HubHandler], tiny: Path, tmp_path: Path
) -> None:
    options = SegmenterOptions(name=ENTRY.name, device="cpu")
    segmenter = build_segmenter(options, tmp_path)
    folder = tmp_path / ENTRY.name
    assert listed(folder) == [
        "config.json", "model.safetensors", "preprocessor_config.json", "source.json",
    ]  # fmt: skip
    downloads = [request for request in hub.asked if request.startswith("GET")]
    assert sorted(downloads) == [
        f"GET {name} {COMMIT}"
        for name in ("config.json", "model.safetensors", "preprocessor_config.json")
    ]
    source = json.loads((folder / "source.json").read_text())
    assert (source["repo"], source["commit"]) == (ENTRY.hub_repo, COMMIT)
    count = len(hub.asked)
    again = build_segmenter(options, tmp_path)
    assert len(hub.asked) == count
    local = build_segmenter(options.model_copy(update={"checkpoint": str(tiny)}))
    assert again.fingerprint == segmenter.fingerprint == local.fingerprint


def test_weights_that_are_not_the_hubs_are_refused(hub: type[HubHandler], tmp_path: Path) -> None:
    hub.wrong = True
    with pytest.raises(ModelError, match=f"expected sha256 {'0' * 64}"):
        fetch_from_hub(ENTRY, tmp_path)
    assert cached_weights(ENTRY, tmp_path) is None
    hub.wrong = False
    folder = fetch_from_hub(ENTRY, tmp_path)
    weights = cached_weights(ENTRY, tmp_path)
    assert weights == folder / "model.safetensors"
    assert len(verify_hub(open_folder(folder), ENTRY)) == 64
    weights.write_bytes(weights.read_bytes() + b"more")
    with pytest.raises(ModelError, match=r"is not the published .*`objseek models pull eomt_coco"):
        build_segmenter(SegmenterOptions(name=ENTRY.name, device="cpu"), tmp_path)


def test_a_try_that_was_cut_short_goes_on_at_its_commit(
    hub: type[HubHandler], tmp_path: Path
) -> None:
    hub.wrong = True
    with pytest.raises(ModelError, match="expected sha256"):
        fetch_from_hub(ENTRY, tmp_path)
    assert listed(tmp_path / ENTRY.name)[0] == "config.json"
    hub.wrong = False
    hub.asked.clear()
    fetch_from_hub(ENTRY, tmp_path)
    assert {request.rpartition(" ")[2] for request in hub.asked} == {COMMIT}
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=r"file.* cannot be written: Not a directory"):
        fetch_from_hub(ENTRY, tmp_path / "file")


def test_older_files_are_weights_alone(hub: type[HubHandler], tiny: Path, tmp_path: Path) -> None:
    """A repository that has no safetensors; its pickle may hold nothing but tensors."""
    older = tmp_path / "older"
    older.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (older / name).write_bytes((tiny / name).read_bytes())
    torch.save(load_file(tiny / "model.safetensors"), older / "pytorch_model.bin")
    hub.repositories = {ENTRY.hub_repo: older}
    options = SegmenterOptions(name=ENTRY.name, device="cpu")
    build_segmenter(options, tmp_path / "cache")
    torch.save({"weight": print}, older / "pytorch_model.bin")
    with pytest.raises(ModelError, match="holds pickled code"):
        build_segmenter(options.model_copy(update={"checkpoint": str(older)}))


def test_a_repository_without_weights_is_one_sentence(
    hub: type[HubHandler], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    hub.repositories = {ENTRY.hub_repo: tmp_path / "empty"}
    with pytest.raises(ModelError, match=r"has no config\.json at main"):
        fetch_from_hub(ENTRY, tmp_path / "cache")
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"has none of model\.safetensors and pytorch_model\.bin"):
        fetch_from_hub(ENTRY, tmp_path / "cache")


def test_no_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    template = "http://127.0.0.1:1/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DownloadError) as caught:
        fetch_from_hub(ENTRY, tmp_path)
    message = str(caught.value)
    assert caught.value.retryable
    assert "\n" not in message
    assert message.startswith(f"the weights of {ENTRY.name} could not be downloaded, as http://127")
    assert message.endswith(
        f"get config.json, preprocessor_config.json and model.safetensors of {ENTRY.hub_repo} "
        f"elsewhere and put them into {tmp_path / ENTRY.name}"
    )


def test_a_detector_is_fetched_with_its_tokenizer(hub: type[HubHandler], tmp_path: Path) -> None:
    entry = catalog.find("llmdet_base", "detector")
    remote = tmp_path / "remote"
    remote.mkdir()
    for name in ("config.json", "vocab.txt", "model.safetensors"):
        (remote / name).write_bytes(b"{}")
    hub.repositories = {entry.hub_repo: remote}
    folder = fetch_from_hub(entry, tmp_path)
    assert listed(folder) == ["config.json", "model.safetensors", "source.json", "vocab.txt"]
    hashes = json.loads((folder / "source.json").read_text())["sha256"]
    assert hashes == dict.fromkeys(
        ("vocab.txt", "model.safetensors"), sha256_of(remote / "vocab.txt")
    )
    (folder / "vocab.txt").write_bytes(b"another")
    with pytest.raises(ModelError, match=r"vocab\.txt is not the published llmdet_base, expected"):
        verify_file(find_tokenizer(folder), entry)
    console = Console(file=io.StringIO())
    assert fetch_model(entry.name, tmp_path, console) == folder
    assert (folder / "vocab.txt").read_bytes() == b"{}"
    (folder / "vocab.txt").unlink()
    assert cached_weights(entry, tmp_path) is None
    (remote / "vocab.txt").unlink()
    with pytest.raises(ModelError, match=r"has none of tokenizer\.json and vocab\.txt at c"):
        fetch_from_hub(entry, tmp_path)


def test_entries_of_the_hub_are_complete() -> None:
    entries = [entry for entry in catalog.CATALOG if entry.source == "hub"]
    assert len({entry.hub_repo for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.hub_repo.count("/") == 1
        assert entry.size_bytes
        assert entry.module
        assert entry.exact_size_bytes is None


def test_weights_may_lie_beside_a_config_of_their_name(tiny: Path, tmp_path: Path) -> None:
    """As bundled models do."""
    config = json.loads((tiny / "config.json").read_text())
    config["preprocessor"] = {"size": {"shortest_edge": 64, "longest_edge": 64}}
    (tmp_path / "small.json").write_text(json.dumps(config))
    (tmp_path / "small.safetensors").write_bytes((tiny / "model.safetensors").read_bytes())
    found = open_folder(tmp_path / "small.safetensors")
    assert found.preparation == {"size": {"shortest_edge": 64, "longest_edge": 64}}
    assert found.config["stuff_ids"] == [3, 4]


def bundled_entry(path: Path) -> ModelEntry:
    return replace(ENTRY, source="bundled", file_name=path.name)


def test_a_bundled_model_is_one_more_entry(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "small.json").write_bytes((tiny / "config.json").read_bytes())
    weights = tmp_path / "small.safetensors"
    weights.write_bytes((tiny / "model.safetensors").read_bytes())
    monkeypatch.setattr(catalog, "bundled_file", lambda name: tmp_path / name)
    others = [entry for entry in catalog.CATALOG if entry.name != ENTRY.name]
    monkeypatch.setattr(catalog, "CATALOG", (*others, bundled_entry(weights)))
    segmenter = build_segmenter(SegmenterOptions(name=ENTRY.name, device="cpu"))
    assert segmenter.name == ENTRY.name
