"""`objseek models`, and `objseek models pull` from a loopback server."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

import pipeline.cli.tables
from pipeline.cli.commands import models
from schemas.errors import UnknownModelError
from workers.models import catalog

BODY = bytes(range(256)) * 50_000  # 12.8 MB


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> typer.Typer:
    monkeypatch.setenv("OBJSEEK_CACHE_DIR", str(tmp_path / "models"))
    app = typer.Typer()
    models.register(app)
    return app


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`sam_vit_b` of the catalogue, but from a loopback server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        entry = replace(
            catalog.find("sam_vit_b"),
            url=f"http://127.0.0.1:{server.server_port}/sam_vit_b_01ec64.pth",
            size_bytes=len(BODY),
            sha256=hashlib.sha256(BODY).hexdigest(),
        )
        others = [other for other in catalog.CATALOG if other.name != entry.name]
        monkeypatch.setattr(catalog, "CATALOG", (*others, entry))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield
        server.shutdown()
        thread.join()


def line_of(output: str, name: str) -> list[str]:
    (line,) = [line for line in output.splitlines() if line.startswith(name + " ")]
    return line.split()


def test_the_list_is_plain_off_a_terminal(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 0
    assert result.output.splitlines()[0].split() == list(models._COLUMNS)
    row = line_of(result.output, "sam_vit_h")
    assert row[:6] == ["sam_vit_h", "segmenter", "2.56", "GB", "Apache-2.0", "-"]
    assert line_of(result.output, "ViT-B-32/laion2b_s34b_b79k")[4] == "MIT"
    assert str(tmp_path / "models") in result.output
    for entry in catalog.CATALOG:
        assert line_of(result.output, entry.name)


def test_the_list_is_a_table_on_a_terminal(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=160, color_system=None)
    monkeypatch.setattr(pipeline.cli.tables, "out", lambda: console)
    assert CliRunner().invoke(app, ["models"]).exit_code == 0
    (line,) = (line for line in stream.getvalue().splitlines() if line.startswith("sam_vit_b "))
    assert line.split()[:6] == ["sam_vit_b", "segmenter", "375", "MB", "Apache-2.0", "-"]
    assert line.rstrip().endswith("  Segment Anything, ViT-B")


def test_whole_names_and_descriptions_on_a_terminal_of_80_columns(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(pipeline.cli.tables, "out", lambda: console)
    assert CliRunner().invoke(app, ["models"]).exit_code == 0
    lines = stream.getvalue().splitlines()
    for entry in catalog.CATALOG:
        (place,) = (at for at, line in enumerate(lines) if line.startswith(entry.name + " "))
        assert entry.licence in lines[place]
        assert lines[place + 1].strip() == entry.about
    assert max(map(len, lines)) <= 80


def test_all_lists_what_open_clip_knows(app: typer.Typer) -> None:
    lines = CliRunner().invoke(app, ["models", "--all"]).output.splitlines()
    assert "RN50/openai" in lines


@pytest.mark.usefixtures("served")
def test_pull_fetches_once_and_replaces_what_was_changed(app: typer.Typer, tmp_path: Path) -> None:
    path = tmp_path / "models" / "sam_vit_b_01ec64.pth"
    path.with_name(path.name + ".partial").parent.mkdir()
    path.with_name(path.name + ".partial").write_bytes(b"begun")
    assert line_of(CliRunner().invoke(app, ["models"]).output, "sam_vit_b")[5] == "begun"
    result = CliRunner().invoke(app, ["models", "pull", "sam_vit_b"])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"sam_vit_b: {path}\n"
    assert "sam_vit_b: 0.0 MB of 13 MB" in result.stderr
    assert "sam_vit_b: 13 MB of 13 MB" in result.stderr
    assert path.read_bytes() == BODY
    assert line_of(CliRunner().invoke(app, ["models"]).output, "sam_vit_b")[5] == "cached"
    again = CliRunner().invoke(app, ["models", "pull", "sam_vit_b"])
    assert again.stderr == ""
    path.write_bytes(b"changed")
    assert CliRunner().invoke(app, ["models", "pull", "sam_vit_b"]).exit_code == 0
    assert path.read_bytes() == BODY


@pytest.mark.usefixtures("served")
def test_pull_shows_a_bar_on_a_terminal(tmp_path: Path) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    path = models.fetch_model("sam_vit_b", tmp_path, console)
    assert path.read_bytes() == BODY
    assert "12.8/12.8 MB" in stream.getvalue()


def test_pull_without_network_is_one_sentence(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = replace(catalog.find("sam_vit_l"), url="http://127.0.0.1:1/sam_vit_l_0b3195.pth")
    monkeypatch.setattr(catalog, "CATALOG", (entry,))
    result = CliRunner().invoke(app, ["models", "pull", "sam_vit_l"])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    for part in (entry.url, entry.file_name, str(tmp_path / "models")):
        assert part in line
    assert not any((tmp_path / "models").iterdir())


def test_pull_of_an_unknown_name_lists_near_ones(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["models", "pull", "sam_vit_bb"])
    assert result.exit_code == 2
    assert "no model is called 'sam_vit_bb': did you mean 'sam_vit_b'" in result.stderr
    with pytest.raises(UnknownModelError, match="ViT-B-32/laion2b_s34b_b79k"):
        models.fetch_model("ViT-B-32/laion2b_s34b_b79", None, Console())


def test_a_bundled_model_needs_no_pull(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(catalog, "bundled_path", lambda entry: tmp_path / entry.file_name)
    absent = CliRunner().invoke(app, ["models", "pull", "sam_demo"])
    assert absent.exit_code == 1
    assert "incomplete" in absent.stderr
    (tmp_path / "sam_demo.safetensors").write_bytes(b"x" * 1_500_000)
    present = CliRunner().invoke(app, ["models", "pull", "sam_demo"])
    assert present.stdout == f"sam_demo: {tmp_path / 'sam_demo.safetensors'}\n"
    row = line_of(CliRunner().invoke(app, ["models"]).output, "sam_demo")
    assert row[2:6] == ["1.5", "MB", "Apache-2.0", "bundled"]


def test_the_recommended_tags_are_open_clips_own() -> None:
    from open_clip import get_pretrained_cfg

    for entry in catalog.CATALOG:
        if entry.source == "open_clip":
            assert get_pretrained_cfg(*entry.name.split("/"))["hf_hub"] == entry.hub_repo + "/"


def test_licences_that_do_not_allow_every_use_are_asked_about(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = CliRunner().invoke(app, ["models"]).output
    assert "Weights under CC-BY-NC-4.0 are not for commercial use" in listed
    refused = CliRunner().invoke(app, ["models", "pull", "segformer_b0_ade"])
    assert refused.exit_code == 2
    assert "NVIDIA Source Code License: --accept-licence says that you accept it" in refused.stderr
    fetched: list[str] = []
    monkeypatch.setattr(models, "fetch_model", lambda name, *_: fetched.append(name))
    accepted = ["models", "pull", "segformer_b0_ade", "--accept-licence"]
    assert CliRunner().invoke(app, accepted).exit_code == 0
    assert fetched == ["segformer_b0_ade"]


def test_what_needs_no_weights_has_none_to_fetch(app: typer.Typer) -> None:
    assert line_of(CliRunner().invoke(app, ["models"]).output, "grid")[:4] == [
        "grid", "segmenter", "-", "none",
    ]  # fmt: skip
    refused = CliRunner().invoke(app, ["models", "pull", "grid"])
    assert refused.exit_code == 2
    assert "grid has no weights" in refused.stderr
