"""JSON logs: an event a line, with the image, its stage and the reason, and without secrets."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from support import fakes
from typer.testing import CliRunner

from pipeline.cli.commands.serve import log_address
from pipeline.cli.main import app
from pipeline.cli.run_job import run_with_progress
from pipeline.jobs.ingest import ingest
from pipeline.observing.json_lines import JsonLine, json_log
from pipeline.settings import Settings
from schemas.errors import StoreUnavailableError, UsageError
from schemas.ids import image_id
from schemas.images import ImageRef
from schemas.observe_options import ObserveOptions
from workers.backoff import Backoff

JSON = ObserveOptions(log_format="json")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def json_settings(folder: Path) -> Settings:
    settings = fakes.settings(folder / "index")
    return settings.model_copy(update={"observe": JSON})


def test_each_image_that_ends_badly_is_one_event(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fakes.write_images(tmp_path / "images", 3)
    bad = tmp_path / "images" / "bad.png"
    bad.write_bytes(b"no image")
    poisoned = fakes.write_image(tmp_path / "images" / "poisoned.png", 3, fakes.POISON)
    settings = json_settings(tmp_path)
    ingest([str(tmp_path / "images")], settings, recipe=fakes.recipe(settings, "error"))
    told = lines(capsys)
    events = {line["uri"]: line for line in told if "image" in line}
    assert set(events) == {f"file://{bad}", f"file://{poisoned}"}
    rejected, failed = events[f"file://{bad}"], events[f"file://{poisoned}"]
    assert (rejected["event"], rejected["stage"], rejected["reason"]) == (
        "rejected", "read", "BadImageError",
    )  # fmt: skip
    assert (failed["event"], failed["stage"], failed["reason"]) == (
        "failed", "segment", "RuntimeError",
    )  # fmt: skip
    assert rejected["image"] == str(image_id(ImageRef("file", "", str(bad), "", 0)))
    assert rejected["level"] == "warning"
    assert len({line["run"] for line in told}) == 1
    assert len([line for line in told if line.get("uri") == f"file://{poisoned}"]) == 1


def test_a_run_logs_its_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fakes.write_images(tmp_path / "images", 3)
    settings = json_settings(tmp_path)
    run_with_progress(
        settings,
        lambda progress: ingest(
            [str(tmp_path / "images")], settings, progress, fakes.recipe(settings)
        ),
        segmenting=False,
    )
    *_, last = [line for line in lines(capsys) if line.get("event") == "progress"]
    assert (last["counts"]["listed"], last["counts"]["done"], last["counts"]["objects"]) == (
        3,
        3,
        6,
    )


def test_a_run_that_ends_early_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(progress: object) -> None:
        raise UsageError("expected images at s3://key:secret@bucket, got none")

    with pytest.raises(UsageError):
        run_with_progress(json_settings(tmp_path), fail, segmenting=False)
    (line,) = lines(capsys)
    assert (line["event"], line["reason"]) == ("error", "UsageError")
    assert line["message"] == "expected images at s3://***@bucket, got none"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("watch {w}/none --once --runner local", "UsageError"),
        ("watch {w} --segmenter none", "UnknownModelError"),
        ("serve", "IndexMissingError"),
        ("retry", "IndexMissingError"),
    ],
)
def test_a_command_that_ends_early_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, reason: str
) -> None:
    monkeypatch.setenv("OBJSEEK_OBSERVE__LOG_FORMAT", "json")
    arguments = call.format(w=tmp_path).split()
    result = CliRunner().invoke(app, [*arguments, "--index", str(tmp_path / "index")])
    assert result.exit_code != 0
    events = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    errors = [line for line in events if line.get("event") == "error"]
    assert [line["reason"] for line in errors] == [reason]
    assert result.stderr.splitlines()[-1] == f"Error: {errors[0]['message']}"


def test_a_text_log_leaves_it_to_the_command_to_say_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(progress: object) -> None:
        raise UsageError("expected images, got none")

    with pytest.raises(UsageError):
        run_with_progress(fakes.settings(tmp_path / "index"), fail, segmenting=False)
    assert caplog.records == []


def test_a_service_logs_its_address(capsys: pytest.CaptureFixture[str]) -> None:
    with json_log(JSON):
        log_address("index")("http://127.0.0.1:1")
    (line,) = lines(capsys)
    assert (line["event"], line["url"]) == ("listening", "http://127.0.0.1:1")


def test_what_is_tried_again_is_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter([StoreUnavailableError("https://user:hidden@host is away")])

    def act() -> None:
        for error in answers:
            raise error

    with json_log(JSON):
        Backoff(60.0, first_s=0.0, kind="store").retry(act, "s3://b/k")
    (line,) = lines(capsys)
    assert (line["event"], line["what"], line["reason"]) == (
        "retry", "store", "StoreUnavailableError",
    )  # fmt: skip
    assert "hidden" not in line["message"]


def test_fields_and_tracebacks_hold_no_secrets() -> None:
    try:
        raise ValueError("https://user:hidden@host")
    except ValueError as exc:
        record = logging.LogRecord(
            "pipeline.x", logging.ERROR, __file__, 1, "a\nb", None, (type(exc), exc, None)
        )
    record.fields = {"uri": "s3://user:hidden@b/k", "counts": {"done": 1}}
    text = JsonLine("r1").format(record)
    assert "\n" not in text
    assert "hidden" not in text
    line = json.loads(text)
    assert line["uri"] == "s3://***@b/k"
    assert line["counts"] == {"done": 1}
    assert line["run"] == "r1"


def test_text_is_the_format_unless_json_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    handlers = list(logging.getLogger().handlers)
    with json_log(ObserveOptions()):
        assert logging.getLogger().handlers == handlers
    with json_log(JSON), json_log(JSON):
        assert len(logging.getLogger().handlers) == len(handlers) + 1
    assert logging.getLogger().handlers == handlers
