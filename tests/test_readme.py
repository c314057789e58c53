"""Every command in the README and the guide does what they say, and so does their Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from support.paths import ROOT
from support.s3_server import moto_server
from support.waiting import PATIENCE_S

from pipeline.cli.weights import format_size
from pipeline.demo.bucket import write_bucket
from workers.models import catalog

README = (ROOT / "README.md").read_text()
PAGES = (README, (ROOT / "docs" / "guide.md").read_text())
OFFICIAL_WEIGHTS = re.compile(r"sam_vit_b|ViT-B-32")
IN_SHORT = {
    "objseek ingest ./photos --index ./index",
    'objseek search "a red apple" --index ./index',
    "objseek serve --index ./index",
}
"""Commands of `make test`; all others are of `make test-all`."""
# A coarse grid: what is tested is that the commands are true, not what the models can do.
LIGHT = {"OBJSEEK_SEGMENTER__POINTS_PER_SIDE": "5", "OBJSEEK_RUNNER__NAME": "local"}
NO_NETWORK = {"HTTPS_PROXY": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1", "NO_PROXY": "127.0.0.1"}


def blocks(language: str) -> list[str]:
    pattern = re.compile(rf"^```{language}\n(.+?)^```", re.MULTILINE | re.DOTALL)
    return [block for page in PAGES for block in pattern.findall(page)]


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    return list(dict.fromkeys(line for line in lines if not line.startswith("make ")))


@dataclass(frozen=True)
class Place:
    folder: Path
    env: dict[str, str]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, shell=True, cwd=self.folder, env=self.env,
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A folder and a bucket as the README's reader has them."""
    folder = tmp_path_factory.mktemp("readme")
    write_bucket(folder / "made", scenes=3, seed=4)
    scenes = sorted((folder / "made" / "scenes").iterdir())
    (folder / "photos").mkdir()
    for path in scenes[:2]:
        shutil.copy(path, folder / "photos" / path.name)
    shutil.copy(scenes[0], folder / "photo.jpg")
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    with moto_server() as server:
        client = server.client
        client.create_bucket(Bucket="my-bucket")
        client.upload_file(str(scenes[2]), "my-bucket", "photos/third.jpg")
        client.close()
        env = {
            **os.environ, **LIGHT, **NO_NETWORK,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OBJSEEK_CACHE_DIR": str(folder / "models"),
            "AWS_ENDPOINT_URL_S3": server.endpoint_url,
        }  # fmt: skip
        made = Place(folder, env)
        first = made.run("objseek ingest ./photos --index ./index")
        assert first.returncode == 0, first.stderr
        yield made


@pytest.mark.long
@pytest.mark.parametrize(
    "command",
    [
        text if text in IN_SHORT else pytest.param(text, marks=pytest.mark.long)
        for text in commands()
    ],
)
def test_command(place: Place, command: str) -> None:
    if command.startswith("objseek serve"):
        with subprocess.Popen(
            command.split(), cwd=place.folder, env=place.env, stderr=subprocess.PIPE, text=True
        ) as served:
            assert served.stderr is not None
            line = served.stderr.readline()
            served.terminate()
        assert "Searching ./index at http://127.0.0.1:" in line
        return
    result = place.run(command)
    if command.startswith("objseek reembed"):
        assert (result.returncode, "Traceback" in result.stderr) == (1, False), result.stderr
        assert "ViT-B-32" in result.stderr
        return
    wants_weights = OFFICIAL_WEIGHTS.search(command) or "deploy/objseek.toml" in command
    if wants_weights:
        # There is no network here: it must say in one sentence what to put where.
        assert result.returncode == 1, result.stderr
        assert "sam_vit_b_01ec64.pth" in result.stderr
        assert str(place.folder / "models") in result.stderr.replace("\n", "")
        assert "Traceback" not in result.stderr
    else:
        assert result.returncode == 0, result.stderr
        if command.startswith("objseek failures"):
            assert result.stderr == "0 images\n"  # every image of this place is good
        elif "labels=red apple" in command:
            assert "nothing found" in result.stderr or result.stdout.strip()
        else:
            assert result.stdout.strip()


@pytest.mark.long
@pytest.mark.parametrize("code", blocks("python"))
def test_python(place: Place, code: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=place.folder, env=place.env,
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "photos/" in result.stdout


def test_there_is_something_to_test() -> None:
    assert len(commands()) >= 10
    assert set(commands()) > IN_SHORT
    assert len(blocks("python")) == 2


@pytest.mark.parametrize("target", re.findall(r"^make ([\w-]+)$", README, re.MULTILINE))
def test_make_target(target: str) -> None:
    result = subprocess.run(
        ["make", "-n", "-W", "requirements-dev.txt", target], cwd=ROOT,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "--require-hashes" in result.stdout
    assert {"demo": "objseek demo", "test": "pytest", "test-all": "pytest"}[target] in result.stdout


# A figure of the README, and where it was recorded.
FIGURES = [
    ("93% of the objects in fresh demo scenes", "guide", "| 0.93 / 0.80 |"),
    ("80% at 0.75", "guide", "| 0.93 / 0.80 |"),
    ("first in 0.69 of cases and among the first ten in 0.89", "search", "| 0.69 / 0.89 |"),
    ("learnt from in 0.68 and 0.86", "search", "| 0.68 / 0.86 |"),
    ("among the first ten in 0.80", "guide", "first 10 | 0.80 |"),
    ("of 200 scenes in 0.66", "guide", "0.87 and 0.66"),
    ("20 to 30% likely, 34% were right", "search", "20 to 30% likely are right | | 17% | | 34% |"),
    ("so in 44 to 47% of cases", "search", "| of what is not there | 68% | 47% | 48% | 44% |"),
    ("so in 13 to 14%", "search", "of what is there | 24% | 13% | 15% | 14% |"),
    ("7.6 times as fast", "RESULTS", "12.2 (11.6) | 7.6 (7.2)"),
    ("6.8 times as fast", "RESULTS", "| 6.8 (6.1) |"),
    ("answer in 90 ms", "RESULTS", "| 89.5 / 113.6 / 120.4 |"),
    ("at a recall of 1.0", "RESULTS", "| recall of the first ten | 1.0 | 1.0 |"),
    ("301 kills at random moments", "reliability", "201 SIGKILLs of drivers"),
    ("none of 6,000 points", "reliability", "of 6,000 points 0 missing, 0 extra"),
    ("3.0 times as fast", "RESULTS", "3.0 times as fast"),
    ("0.8 GB a worker and 0.7 GB", "RESULTS", "to 755 MiB"),
    ("0.7 GB for 100,000 objects, 1.3 GB for a million", "RESULTS", "| 673.5 | 1278.6 |"),
    ("84 bytes an image", "scale", "84 bytes an image"),
    ("a million objects is 2.3 GB", "RESULTS", "| 1,000,000 objects | 427.6 | 362 | 2,254 |"),
    ("6 hours (0.50 images a second)", "RESULTS", "0.26 and 0.50 images a second"),
    ("81 hours (29 s an image", "RESULTS", "| 2.4 | 275, ours 117 |"),
]


@pytest.mark.parametrize(("claim", "page", "record"), FIGURES)
def test_a_figure_of_the_readme_was_recorded(claim: str, page: str, record: str) -> None:
    folder = ROOT / ("bench" if page == "RESULTS" else "docs")
    assert claim in README
    assert record in (folder / f"{page}.md").read_text()


def test_the_readme_is_short_and_moves() -> None:
    assert len(README.splitlines()) <= 120
    film = ROOT / "docs" / "page.webp"
    assert f"({film.relative_to(ROOT)})" in README
    assert film.stat().st_size < 400_000
    with Image.open(film) as opened:
        assert (opened.format, opened.size) == ("WEBP", (1000, 640))
        assert getattr(opened, "n_frames", 1) > 5
    (code,) = re.findall(r"^```python\n(.+?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(code.splitlines()) <= 10


def test_every_model_of_the_readme_has_its_licence_and_size() -> None:
    rows = [line for line in README.splitlines() if line.startswith("| `")]
    for name in ("sam_vit_b", "sam_vit_l", "sam_vit_h", "ViT-B-32/laion2b_s34b_b79k"):
        entry = catalog.find(name)
        (row,) = (line for line in rows if f"`{name}`" in line)
        assert entry.licence in row
        assert format_size(entry.size_bytes) in row
    (row,) = (line for line in rows if line.startswith("| `sam_demo`"))
    licences = [catalog.find(name).licence for name in ("sam_demo", "clip_demo")]
    assert row.endswith(f"| {licences[0]} / {licences[1]} |")


def test_files_that_the_readme_names_exist() -> None:
    for folder, page in zip((ROOT, ROOT / "docs"), PAGES, strict=True):
        for target in re.findall(r"\]\(([^)#:]+)\)", page):
            assert (folder / target).exists(), target
