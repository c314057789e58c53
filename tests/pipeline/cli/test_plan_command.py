"""`objseek plan`: its table, its JSON, its files, and calls that are wrong."""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path

import pytest
import typer
from support import fakes
from typer.testing import CliRunner

from pipeline.cli import plan_report, run_plan
from pipeline.cli.commands import plan
from pipeline.planning.measure import measure
from pipeline.planning.pace import Marginal

runner = CliRunner()
app = typer.Typer()
plan.register(app)
app.callback()(lambda: None)


def invoke(*args: object) -> tuple[int, str, str]:
    result = runner.invoke(app, ["plan", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def as_json(*args: object) -> dict[str, dict[str, object]]:
    code, out, err = invoke(*args, "--json")
    assert code == 0, err
    report: dict[str, dict[str, object]] = json.loads(out)
    return report


@pytest.fixture
def _fakes(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr(run_plan, "measure", partial(measure, build=fakes.recipe))
    # The index that is thrown away waits for its disk: it took half a minute beside other work.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


def test_a_table_of_all_parts_and_what_is_slowest() -> None:
    code, out, _ = invoke("--images", 1_000_000, "--gpu", "cpu2", "--workers", 2)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "1,000,000 images, 16.2 million points, on 1 machine like cpu2, 2 workers"
    names = [line.split("  ")[0] for line in lines[2:16]]
    assert names == [
        "listing", "reading", "transfer", "decoding", "segmenting", "embedding",
        "crops, labels, thumbnails", "writing", "machine", "vectors", "vectors in four bits",
        "payload and masks", "thumbnails", "manifest",
    ]  # fmt: skip
    assert lines[16].startswith("in all")
    # 2.09 s of a core an image, of two cores.
    assert "All waits for the cores of the machines: all of them are busy (0.96 images/s)." in lines
    assert "One more worker on each machine would change nothing." in lines
    assert "One more reader on each machine would change nothing." in lines
    assert any(line.startswith("One more machine would make it 6 days") for line in lines)
    assert "Assumed:" in lines
    assert any(line.startswith("- cpu2, segment: bench/RESULTS.md") for line in lines)


def test_the_same_as_json() -> None:
    report = as_json("--images", 1000, "--gpu", "h100", "--objects-per-image", 9,
                     "--megapixels", 2, "--megabytes", 1.5, "--nodes", 4, "--transfer", "internet",
                     "--index", "lance+s3://indexes/photos")  # fmt: skip
    assert report["workload"] == {
        "images": 1000,
        "image_bytes": 1.5e6,
        "megapixels": 2.0,
        "objects": 9.0,
        "from_s3": True,
        "transfer": "internet",
    }
    assert report["layout"] == {
        "runner": "ray",
        "machines": 4,
        "workers": 1,
        "readers": 1,
        "read_concurrency": 8,
        "batch_size": 8,
        "jobs": 4,
    }
    assert report["index"] == {"kind": "lance", "dim": 512}
    assert report["profile"]["name"] == "h100"
    assert report["estimate"]["bottleneck"]["name"] == "workers"  # type: ignore[index]
    assert report["estimate"]["memory_bytes"] is None


@pytest.mark.usefixtures("_fakes")
def test_a_folder_is_sampled_and_this_machine_measured(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 12)
    saved = tmp_path / "box.toml"
    place = ("--runner", "local", "--index", tmp_path / "index")
    report = as_json(tmp_path / "images", *place, "--save-profile", saved)
    work = report["workload"]
    assert (work["images"], work["objects"], work["from_s3"]) == (12, 2.0, False)
    assert not (tmp_path / "index").exists()
    again = as_json(tmp_path / "images", *place, "--gpu", saved)
    assert again["estimate"]["seconds"] == pytest.approx(report["estimate"]["seconds"], rel=1e-6)
    _, out, _ = invoke(tmp_path / "images", *place, "--gpu", saved)
    assert "No price of this machine is known: --usd-per-hour says it." in out
    _, out, _ = invoke(tmp_path / "images", *place, "--gpu", saved, "--usd-per-hour", 7200)
    assert "No price" not in out
    assert "- Images are like 12 that were read of all 12 listed (12 PNG)." in out


@pytest.mark.usefixtures("_fakes")
def test_without_a_source_scenes_are_composed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_plan, "_SCENES", 5)
    report = as_json("--images", 7_000, "--runner", "local")
    assert (report["workload"]["images"], report["workload"]["megapixels"]) == (7_000, 0.3072)
    assert report["profile"]["seconds"]["read"] == 0.063  # type: ignore[index]
    assert "turbopuffer" in report["profile"]["sources"]["read"]  # type: ignore[index]


def test_prices_of_ones_own_take_the_place_of_some(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text("[s3]\ngets_1000 = 2.0\n[instances.cpu2]\nusd_per_hour = 0\n")
    args = ("--images", 1000, "--gpu", "cpu2", "--prices", prices)
    report = as_json(*args)
    # A thousand GETs, and one page.
    assert report["estimate"]["usd"] == pytest.approx(2.0 + 0.005 / 1000)
    _, out, _ = invoke(*args)
    assert f"- Prices: {prices}, and where it has none list prices of AWS" in out


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--gpu", "cpu2"], "expected a source or --images, got neither"),
        (["--images", "9", "--gpu", "l4"], "expected cpu2, h100 or the .toml file of a profile"),
        (["--images", "9", "--gpu", "{w}/none.toml"], "expected a profile, got {w}/none.toml: No"),
        (["--images", "9", "--gpu", "{w}/bad.toml"], "{w}/bad.toml, which is not TOML"),
        (["--images", "9", "--gpu", "{w}/odd.toml"], "the profile {w}/odd.toml: name: Field"),
        (
            ["--images", "9", "--gpu", "cpu2", "--prices", "{w}/odd.toml"],
            "the prices {w}/odd.toml: cores: Extra",
        ),
        (
            ["--images", "9", "--gpu", "cpu2", "--nodes", "2", "--runner", "local"],
            "expected --runner ray, or an index that several may write, for 2 machines",
        ),
        (
            ["--images", "9", "--gpu", "cpu2", "--save-profile", "{w}/new.toml"],
            "expected --save-profile where this machine is measured, got it with cpu2",
        ),
        (["{w}/none"], "expected a folder, a file or a glob, got nothing at '{w}/none'"),
        (["{w}"], "no images under {w}"),
    ],
)
def test_wrong_calls_are_a_sentence(tmp_path: Path, args: list[str], sentence: str) -> None:
    (tmp_path / "bad.toml").write_text("[name\n")
    (tmp_path / "odd.toml").write_text("cores = 2\n")
    code, out, err = invoke(*(arg.replace("{w}", str(tmp_path)) for arg in args))
    assert (code, out) == (2, "")
    assert sentence.replace("{w}", str(tmp_path)) in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "option", ["objects-per-image", "megapixels", "megabytes", "seconds", "usd-per-hour"]
)
def test_figures_are_finite(option: str) -> None:
    code, _, err = invoke("--images", 9, "--gpu", "cpu2", f"--{option}", "inf")
    assert code == 2
    assert f"--{option}" in err
    assert "expected a finite number" in err


def test_prices_are_finite(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text("[s3]\ngets_1000 = inf\n")
    code, _, err = invoke("--images", 9, "--gpu", "cpu2", "--prices", prices)
    assert (code, "s3.gets_1000: Input should be a finite number" in err) == (2, True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.123, "0.12 s"), (2.46, "2.5 s"), (59.4, "59 s"), (61, "1 min 1 s"),
        (3 * 3600 + 125, "3 h 2 min"), (50 * 3600, "2 days 2 h"), (24 * 3600, "1 day 0 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert plan_report.format_duration(seconds) == text


def test_money_sizes_numbers_and_rates() -> None:
    assert [plan_report.format_usd(usd) for usd in (0, 0.001, 1.5, 12345.6)] == [
        "$0.00",
        "< $0.01",
        "$1.50",
        "$12,346",
    ]
    assert [plan_report.format_size(size) for size in (12, 1500, 2.5e9, 3e15)] == [
        "12 B",
        "1.5 kB",
        "2.5 GB",
        "3.0 PB",
    ]
    assert [plan_report.format_number(each) for each in (999.6, 1.5e6, 2e9)] == [
        "1,000",
        "1.5 million",
        "2.0 billion",
    ]
    assert [plan_report.format_rate(rate) for rate in (0.5, 37.4, 1e7)] == [
        "0.50 images/s",
        "37 images/s",
        "at once",
    ]


def test_what_more_would_change() -> None:
    describe = plan_report._describe_marginal
    assert describe(Marginal("reader", 100), 100) == "One more reader would change nothing."
    assert describe(Marginal("worker", 50), 100) == (
        "One more worker would make it 50 s instead of 1 min 40 s."
    )
