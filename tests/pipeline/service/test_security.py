"""What comes from outside runs no code, and what is secret is told nowhere."""

from __future__ import annotations

import ast
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import fakes
from support.paths import ROOT
from support.s3_server import Reply, Request, scripted_server

from pipeline.ingestion.log_file import job_log, show_warnings_as_text
from pipeline.messages import sanitize
from pipeline.settings import load_settings
from schemas.errors import StoreUnavailableError, UsageError
from schemas.images import Failure, ImageRef, Stage
from schemas.options import StoreOptions
from schemas.redaction import redact

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "canary-of-aws-0123456789",
    "AWS_SESSION_TOKEN": "canary-of-session-0123456789",
    "OBJSEEK_INDEX__API_KEY": "canary-of-index-0123456789",
    "HF_TOKEN": "canary-of-hub-0123456789",
}
PASSWORD = "canary-of-url"


def test_weights_are_never_unpickled_into_code() -> None:
    calls = 0
    for path in (
        path for layer in ("workers", "pipeline") for path in (ROOT / layer).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            options = {keyword.arg: keyword.value for keyword in node.keywords}
            assert not name.startswith(("pickle.load", "joblib.load", "marshal.load")), path
            assert "allow_pickle" not in options, path
            bare = "pretrained" in options and ast.unparse(options["pretrained"]) == "None"
            if name == "torch.load" or (name.endswith("create_model") and not bare):
                calls += 1
                assert ast.unparse(options["weights_only"]) == "True", path
    assert calls >= 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://me:pass@host:9000/x, got", "at http://***@host:9000/x, got"),
        ("s3://bucket/me@home.jpg", "s3://bucket/me@home.jpg"),
        ("file:///home/a:b@c.jpg", "file:///home/a:b@c.jpg"),
        ("https://h/k?X-Amz-Signature=abc&x=1", "https://h/k?X-Amz-Signature=***&x=1"),
        ("Authorization: Bearer abcdef0123456789", "Authorization: Bearer ***"),
        ("{'api-key': 'abcdef012345'}", "{'api-key': '***'}"),
        ("the key of a known-secret-1 here", "the key of a *** here"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_are_taken_out(text: str, shown: str) -> None:
    assert redact(text, ["known-secret-1", "to"]) == shown


def test_secrets_of_the_environment_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
        assert sanitize(f"refused {value}\x1b") == "refused ***\\x1b"


def test_settings_do_not_show_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJSEEK_INDEX__API_KEY", SECRETS["OBJSEEK_INDEX__API_KEY"])
    settings = load_settings(None, {})
    assert settings.index.api_key is not None
    assert settings.index.api_key.get_secret_value() == SECRETS["OBJSEEK_INDEX__API_KEY"]
    assert "canary" not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_credentials_in_an_endpoint_are_refused_and_not_repeated() -> None:
    endpoint = f"http://me:{PASSWORD}@localhost:9000"
    with pytest.raises(UsageError, match="credentials belong into the AWS_ variables") as caught:
        load_settings(None, {"store": {"endpoint_url": endpoint}})
    assert PASSWORD not in str(caught.value)


def test_failures_are_recorded_without_secrets() -> None:
    ref = ImageRef("s3", "b", "a.jpg", "v", 1)
    error = StoreUnavailableError(f"expected http://me:{PASSWORD}@host to answer (s3://b/a.jpg)")
    failure = Failure.from_error(ref, Stage.READ, error)
    assert failure.message == "expected http://***@host to answer (s3://b/a.jpg)"


def test_a_log_has_a_line_a_record_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRETS["HF_TOKEN"])
    log = logging.getLogger("pipeline.test")
    with job_log(tmp_path) as path:
        log.warning("read: %s", "s3://b/a\n2026-01-01 forged\u202e.jpg")
        try:
            raise ValueError(f"no\n{SECRETS['HF_TOKEN']}")
        except ValueError:
            log.exception("failed")
    lines = path.read_text().splitlines()
    assert lines[0].endswith("read: s3://b/a\\n2026-01-01 forged\\u202e.jpg")
    assert all(line.startswith("    ") for line in lines[2:])
    assert "canary" not in path.read_text()


def test_a_warning_without_a_log_is_shown_as_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRETS["HF_TOKEN"])
    assert isinstance(logging.lastResort, logging.Handler)
    monkeypatch.setattr(logging.lastResort, "formatter", None)
    show_warnings_as_text()
    record = logging.makeLogRecord(
        {"levelno": logging.WARNING, "msg": "s3://b/\x1b[31m: %s", "args": (SECRETS["HF_TOKEN"],)}
    )
    logging.lastResort.handle(record)
    assert capsys.readouterr().err == "s3://b/\\x1b[31m: ***\n"


def refused(request: Request) -> Reply:
    """A server that repeats everything it was told."""
    headers = "; ".join(f"{name}: {value}" for name, value in request.headers.items())
    return Reply(403, f"refused {headers}".encode())


@pytest.mark.parametrize("what", ["index", "store", "help"])
def test_commands_tell_no_secret(what: str, tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 1)
    index = str(tmp_path / "index")
    with scripted_server(refused) as endpoint:
        arguments = {
            "index": ["status", "--index", f"{endpoint}/objects"],
            "store": [
                "ingest",
                "s3://bucket",
                "--endpoint-url",
                endpoint,
                "--index",
                index,
            ],
            "help": ["ingest", "--help"],
        }[what]
        found = subprocess.run(
            [sys.executable, "-m", "pipeline.cli.main", *arguments],
            env={**os.environ, **SECRETS, "XDG_DATA_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
    assert found.returncode == (0 if what == "help" else 1), found.stderr
    assert "canary" not in found.stdout + found.stderr
    assert "Traceback" not in found.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".png"]
    assert not any(b"canary" in path.read_bytes() for path in files)


def test_an_at_sign_in_a_path_is_no_password() -> None:
    endpoint = "http://localhost:9000/@x"
    assert StoreOptions(endpoint_url=endpoint).endpoint_url == endpoint
