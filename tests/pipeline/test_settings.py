"""Settings: where they come from, what stands above what, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.settings import Settings, load_settings
from schemas.errors import UsageError


def toml(folder: Path, text: str) -> Path:
    path = folder / "objseek.toml"
    path.write_text(text)
    return path


def test_command_line_stands_above_variables_above_toml_above_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = toml(
        tmp_path,
        "limit = 7\n[runner]\nworkers = 2\nbatch_size = 16\ncpus_per_worker = 3\n"
        '[store]\nexclude = ["*.gif"]\n',
    )
    monkeypatch.setenv("OBJSEEK_RUNNER__WORKERS", "4")
    monkeypatch.setenv("OBJSEEK_RUNNER__BATCH_SIZE", "32")
    settings = load_settings(config, {"runner": {"batch_size": 64, "name": None}, "limit": None})
    assert settings.runner.batch_size == 64
    assert settings.runner.workers == 4
    assert settings.runner.cpus_per_worker == 3.0
    assert settings.runner.read_concurrency == 8
    assert settings.runner.name == "ray"
    assert settings.store.exclude == ("*.gif",)
    assert settings.limit == 7


def test_what_is_not_given_is_not_set() -> None:
    settings = load_settings(None, {"embedder": {"name": None, "device": None}})
    assert settings == Settings()
    assert "name" not in settings.embedder.model_fields_set


def test_nested_variables_reach_their_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJSEEK_STORE__ENDPOINT_URL", "http://127.0.0.1:9000")
    monkeypatch.setenv("OBJSEEK_STORE__INCLUDE", '["*.jpg", "*.png"]')
    monkeypatch.setenv("OBJSEEK_LIMIT", "3")
    monkeypatch.setenv("objseek_index__location", "elsewhere")
    settings = load_settings(None, {})
    assert settings.store.endpoint_url == "http://127.0.0.1:9000"
    assert settings.store.include == ("*.jpg", "*.png")
    assert settings.limit == 3
    assert settings.index.location == "elsewhere"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[store]\nendpoint = 'x'\n", "store.endpoint"),
        ("[stores]\nprofile = 'x'\n", "stores"),
        ("limits = 3\n", "limits"),
        ("[runner.deeper]\nname = 'x'\n", "runner.deeper"),
    ],
)
def test_unknown_key_in_toml_is_refused_by_name(tmp_path: Path, text: str, name: str) -> None:
    path = toml(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_settings(path, {})
    assert str(caught.value).startswith(f"unknown setting {name} in {path}")


@pytest.mark.parametrize("name", ["OBJSEEK_STORE__ENDPOINT", "OBJSEEK_WORKERS", "objseek_limits"])
def test_unknown_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(UsageError, match=f"no setting belongs to the variable {name}"):
        load_settings(None, {})


def test_a_near_miss_is_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJSEEK_RUNNER__WORKER", "1")
    with pytest.raises(UsageError, match=r"did you mean OBJSEEK_RUNNER__WORKERS\?"):
        load_settings(None, {})


def test_variables_that_are_no_settings_are_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OBJSEEK_TEST_S3_ENDPOINT", "OBJSEEK_CACHE_DIR", "OBJSEEK_CONFIG"):
        monkeypatch.setenv(name, "x")
    assert load_settings(None, {}) == Settings()


@pytest.mark.parametrize("source", ["toml", "variable", "option"])
def test_wrong_value_is_told_with_its_name_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    config, overrides = None, {}
    if source == "toml":
        config = toml(tmp_path, "[runner]\nworkers = 0\n")
    elif source == "variable":
        monkeypatch.setenv("OBJSEEK_RUNNER__WORKERS", "0")
    else:
        overrides = {"runner": {"workers": 0}}
    with pytest.raises(UsageError, match=r"setting runner.workers: .*, got '?0'? in ") as caught:
        load_settings(config, overrides)
    place = {"toml": str(config), "variable": "OBJSEEK_", "option": "command line"}[source]
    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[embedder]\ncutout_fill = [300, 0, 0]", r"setting embedder.cutout_fill.0: .*got 300"),
        (
            "[runner]\ngpus_per_worker = 1.5",
            "setting runner.gpus_per_worker: expected a part of a GPU, or whole GPUs, got 1.5",
        ),
        (
            "[embedder]\nviews = 'context'\ncutout_background = 'blur'",
            "setting embedder: expected views with a cutout for cutout_background 'blur', "
            "got 'context'",
        ),
        (
            "[embedder]\ncutout_weight = 0.7",
            "setting embedder: expected views 'both' for cutout_weight 0.7, got 'cutout'",
        ),
        ("[embedder]\nviews = 'both'\ncutout_weight = 1", "embedder.cutout_weight: .*less than 1"),
        ("[embedder]\nto_square = 'crop'", "setting embedder.to_square: .*'squash', got 'crop'"),
        ("[decode]\nalpha_background = [0, -1, 0]", r"decode.alpha_background.1: .*got -1"),
        (
            "[segmenter]\nmin_area_frac = 0.5\nmax_area_frac = 0.1",
            "setting segmenter: min_area_frac 0.5 is above max_area_frac 0.1, which no mask",
        ),
        ("[index]\nlocation = ''", "setting index.location: .* at least 1 character"),
    ],
)
def test_values_that_cannot_be_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_settings(toml(tmp_path, text), {})


def test_a_key_is_not_repeated(tmp_path: Path) -> None:
    path = toml(tmp_path, "[index]\napi_key = ['hunter2']\n")
    with pytest.raises(UsageError, match=r"index\.api_key") as caught:
        load_settings(path, {})
    assert "hunter2" not in str(caught.value)


def test_files_that_are_no_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_settings(tmp_path / "none.toml", {})
    with pytest.raises(UsageError, match="is not TOML"):
        load_settings(toml(tmp_path, "limit = = 3"), {})


def test_section_as_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJSEEK_STORE", "s3")
    with pytest.raises(UsageError, match="JSON in OBJSEEK_STORE, got"):
        load_settings(None, {})
    monkeypatch.delenv("OBJSEEK_STORE")
    monkeypatch.setenv("OBJSEEK_STORE__INCLUDE", "*.jpg")
    with pytest.raises(UsageError, match="JSON in OBJSEEK_STORE__INCLUDE, got"):
        load_settings(None, {})
