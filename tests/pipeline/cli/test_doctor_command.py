"""`objseek doctor`: settings, models, source and index, as a user sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.colour_world import build_index
from support.qdrant_server import qdrant_server
from support.s3_server import Reply, error_reply, listing_page, moto_server, scripted_server
from typer.testing import CliRunner

from pipeline.cli.checkup.machine import Devices
from pipeline.cli.main import app
from workers.indexes.open import open_index

SECRET = "a-key-that-nobody-may-see"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own: no torch to be imported, and no cache of its user."""
    monkeypatch.setattr("pipeline.cli.checkup.machine.find_devices", Devices)
    monkeypatch.setenv("OBJSEEK_CACHE_DIR", str(tmp_path / "cache"))


def diagnose(*arguments: str | Path) -> tuple[dict[str, dict[str, str]], bool, int]:
    """The checks by name, whether all is well, and the exit code."""
    result = CliRunner().invoke(app, ["doctor", "--json", *map(str, arguments)])
    report: dict[str, Any] = json.loads(result.stdout)
    return {check["name"]: check for check in report["checks"]}, report["ok"], result.exit_code


def test_an_index_and_its_images_are_well(tmp_path: Path) -> None:
    build_index(tmp_path)
    checks, is_ok, code = diagnose(tmp_path, "--index", tmp_path / "index")
    assert (is_ok, code) == (True, 0)
    assert checks["index"]["found"].endswith("a folder: 7 points of 4 numbers, 3 images")
    assert checks["record"]["found"] == f"3 done in {tmp_path / 'index' / 'manifest'}"
    assert checks["source"]["found"].startswith(f"{tmp_path}, its first image is ")
    assert "OBJSEEK_CACHE_DIR" in checks["settings"]["found"].partition("; ")[2]
    assert checks["cached models"]["found"] == f"none in {tmp_path / 'cache'}"
    assert not (tmp_path / "cache").exists()


def test_a_person_reads_what_to_do(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", str(tmp_path / "none"), "-i", str(tmp_path / "i")])
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("✗ source "))
    assert f"got nothing at '{tmp_path / 'none'}'" in lines[at]
    assert lines[at + 1].split()[0] == "->"
    assert any(line.startswith("! index ") for line in lines)
    assert lines[-1].endswith(": 1 wrong, 1 warning")


def test_an_index_that_another_process_has_is_a_warning(tmp_path: Path) -> None:
    settings = build_index(tmp_path)
    held = open_index(settings.index, None)
    try:
        checks, _, _ = diagnose("--index", tmp_path / "index")
    finally:
        held.close()
    assert checks["index"]["outcome"] == "warning"
    assert checks["index"]["advice"] == "wait for the job that has it open"


def test_a_folder_of_other_files_is_no_index(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    checks, is_ok, code = diagnose("--index", tmp_path)
    assert (is_ok, code, checks["index"]["outcome"]) == (False, 1, "wrong")


def test_the_version_of_a_server_is_told() -> None:
    with qdrant_server("1.18.3") as server:
        checks, _, code = diagnose("--index", f"{server.url}/photos")
    assert code == 0
    assert checks["server"]["found"] == "Qdrant 1.18.3"
    assert checks["server"]["outcome"] == "warning"
    assert checks["index"]["outcome"] == "warning"
    with qdrant_server("1.15.0") as server:
        checks, _, code = diagnose("--index", f"{server.url}/photos")
    assert (code, checks["index"]["outcome"]) == (1, "wrong")
    assert "version 1.16 or newer" in checks["index"]["found"]


def test_a_server_that_is_away_is_wrong() -> None:
    checks, _, code = diagnose("--index", "http://127.0.0.1:9/photos")
    assert (code, checks["index"]["outcome"]) == (1, "wrong")
    assert "does not answer" in checks["index"]["found"]
    assert checks["index"]["advice"].startswith("start the server")


def test_settings_that_are_wrong_are_told_and_what_needs_none_is_looked_at(
    tmp_path: Path,
) -> None:
    config = tmp_path / "odd.toml"
    config.write_text("[segmenter]\npoint_per_side = 5\n")
    checks, _, code = diagnose("--config", config)
    assert (code, checks["settings"]["outcome"]) == (1, "wrong")
    assert checks["settings"]["found"].startswith("unknown setting segmenter.point_per_side in ")
    assert "did you mean segmenter.points_per_side?" in checks["settings"]["found"]
    assert "index" not in checks
    assert checks["python"]["outcome"] == "ok"


def test_no_secret_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJSEEK_INDEX__API_KEY", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    result = CliRunner().invoke(app, ["doctor", f"s3://{SECRET}", "-i", str(tmp_path / "index")])
    assert "OBJSEEK_INDEX__API_KEY" in result.stdout
    assert SECRET not in result.stdout + result.stderr


def test_models_that_are_not_here_are_a_warning_and_unknown_ones_wrong() -> None:
    checks, _, code = diagnose("--segmenter", "sam_vit_b")
    assert (code, checks["segmenter"]["outcome"]) == (0, "warning")
    assert checks["segmenter"]["advice"] == "objseek models pull sam_vit_b"
    checks, _, code = diagnose("--segmenter", "sam_vit_x", "--embedder", "clip")
    assert code == 1
    assert "sam_vit_x" in checks["segmenter"]["found"]
    assert "no embedder is called 'clip'" in checks["embedder"]["found"]


def test_a_bucket_is_asked_for_one_key() -> None:
    asked = []

    def respond(request: Any) -> Reply:
        asked.append(request.target)
        return listing_page(["2026/a.jpg"])

    with scripted_server(respond) as endpoint:
        checks, _, code = diagnose("s3://photos/2026/", "--endpoint-url", endpoint)
    assert code == 0
    assert checks["source"]["found"] == "s3://photos/2026/ answers, its first key is 2026/a.jpg"
    assert checks["credentials"]["found"] == f"AWS_ variables; region us-east-1, {endpoint}"
    assert len(asked) == 1
    assert "max-keys=1&" in asked[0]


def test_a_bucket_that_refuses_or_is_empty() -> None:
    with scripted_server(lambda request: error_reply(403, "AccessDenied")) as endpoint:
        checks, _, code = diagnose("s3://photos", "--endpoint-url", endpoint)
        assert (code, checks["source"]["outcome"]) == (1, "wrong")
        assert "--anonymous" in checks["source"]["advice"]
    with scripted_server(lambda request: listing_page([])) as endpoint:
        checks, _, _ = diagnose("s3://photos", "--endpoint-url", endpoint, "--anonymous")
        assert checks["source"]["outcome"] == "warning"
        assert checks["credentials"]["found"].startswith("none, as set; ")
    checks, _, code = diagnose("s3://photos", "--endpoint-url", "http://127.0.0.1:9", "--anonymous")
    assert (code, "--endpoint-url" in checks["source"]["advice"]) == (1, True)


def test_a_record_in_a_bucket_that_is_not_there_is_wrong(tmp_path: Path) -> None:
    with moto_server() as server:
        checks, _, code = diagnose(
            "--index", tmp_path / "index", "--state", "s3://none/state",
            "--endpoint-url", server.endpoint_url,
        )  # fmt: skip
    assert (code, checks["record"]["outcome"]) == (1, "wrong")
