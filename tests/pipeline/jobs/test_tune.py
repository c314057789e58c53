"""Fitting a scorer of points to a source's images: what is asked, reported, kept and used."""

from __future__ import annotations

import inspect
import json
import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save
from support import fakes
from support.colour_prompter import SHA, Asked, painted
from typer.testing import CliRunner

from pipeline.cli.commands.tune import tune_command
from pipeline.cli.main import app
from pipeline.index_home import IndexHome
from pipeline.jobs import tune
from pipeline.jobs.ingest import ingest
from pipeline.jobs.tune import TuneOptions, name_scorer, tune_scorer
from pipeline.progress import Progress
from pipeline.runners.recipe import build_recipe
from pipeline.settings import Settings
from schemas.errors import ModelError, UsageError
from schemas.options import SegmenterOptions
from workers.models.catalog import bundled_path, find
from workers.models.sam_demo_architecture import EMBED_DIM
from workers.models.weights import sha256_of
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.point_scorer import PointScorer
from workers.segmenters.tuned_scorers import ScorerFile, ScorerOrigin


class Notes(Progress):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def paint_folder(folder: Path, images: int) -> Path:
    """Pictures of a red square each, elsewhere black."""
    folder.mkdir()
    for number in range(images):
        left = 4 + number % 40
        square = (left, 8, left + 18, 26, 240 + number % 10)
        Image.fromarray(painted(square)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a segmenter that sees colours."""

    def build(options: SegmenterOptions, cache_dir: Path | None) -> GridSegmenter:
        options = options.model_copy(update={"points_per_side": 16, "device": "cpu"})
        return GridSegmenter(Asked(), weights_sha256=SHA, options=options)

    monkeypatch.setattr(tune, "build_segmenter", build)
    return Settings(cache_dir=tmp_path / "cache")


def test_a_scorer_is_fitted_tried_and_kept(tmp_path: Path, settings: Settings) -> None:
    source = paint_folder(tmp_path / "photos", 12)
    (source / "broken.png").write_bytes(b"no image")
    progress = Notes()
    tuned = tune_scorer(str(source), settings, TuneOptions(images=13), progress)
    assert tuned.name == "sam_demo-photos"
    assert tuned.path == tmp_path / "cache" / "scorers" / "sam_demo-photos.safetensors"
    assert (tuned.fitted_images, tuned.trials.images, tuned.unreadable) == (10, 2, 1)
    assert tuned.points == 2560
    assert tuned.yielding_share == pytest.approx(20 / 256, abs=0.02)
    assert (tuned.trials.grid_prompts, tuned.trials.grid_masks) == (512, 2)
    assert tuned.chosen.lost == 0
    assert tuned.chosen.prompts < 100
    assert tuned.trials.trials[0].prompts > tuned.chosen.prompts
    file = ScorerFile("mine", tuned.path.read_bytes())
    assert (file.sha256, file.read_origin()) == (tuned.sha256, tuned.origin)
    assert (tuned.origin.segmenter, tuned.origin.weights_sha256) == ("sam_demo", SHA)
    assert progress.notes[0] == "listing images"
    assert progress.notes[-1] == "trying it on images held out: 2 of 2 images, 0:00:00 left"
    with pytest.raises(UsageError, match="a scorer 'sam_demo-photos' is kept already"):
        tune_scorer(str(source), settings, TuneOptions())


def test_the_same_images_give_the_same_scorer(tmp_path: Path, settings: Settings) -> None:
    source = str(paint_folder(tmp_path / "photos", 10))
    made = [tune_scorer(source, settings, TuneOptions(name=name, images=6)) for name in ("a", "b")]
    assert made[0].sha256 == made[1].sha256
    assert made[0].trials == made[1].trials
    assert made[0].fitted_images + made[0].trials.images == 6


def test_what_cannot_be_learnt_from_is_refused(tmp_path: Path, settings: Settings) -> None:
    few = str(paint_folder(tmp_path / "few", 4))
    with pytest.raises(UsageError, match=r"expected 5 images or more under .*few.*, got 4"):
        tune_scorer(few, settings, TuneOptions())
    black = tmp_path / "black"
    black.mkdir()
    for number in range(6):
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(black / f"{number}.png")
    with pytest.raises(UsageError, match="the whole grid found no mask in 5 images under"):
        tune_scorer(str(black), settings, TuneOptions())
    broken = paint_folder(tmp_path / "broken", 2)
    for number in range(2, 7):
        (broken / f"{number}.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"expected 5 images or more .* got 2, and 5 that cannot"):
        tune_scorer(str(broken), settings, TuneOptions())
    with pytest.raises(UsageError, match="expected a name of letters"):
        tune_scorer(few, settings, TuneOptions(name="../x"))
    assert not (tmp_path / "cache").exists()


def test_a_scorer_is_named_after_its_source() -> None:
    assert name_scorer("sam_vit_b", "s3://photos/2026/") == "sam_vit_b-2026"
    assert name_scorer("sam_vit_b", "/home/me/My Pictures/*.jpg") == "sam_vit_b-My-Pictures"
    assert name_scorer("sam_vit_b", "/") == "sam_vit_b-source"


def test_the_command_reports_as_text_and_as_json(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OBJSEEK_CACHE_DIR", str(settings.cache_dir))
    source = str(paint_folder(tmp_path / "photos", 10))
    done = CliRunner().invoke(app, ["tune", source, "--name", "text"])
    assert done.exit_code == 0, done.output
    assert "8 images fitted to, at 2,048 points of which" in done.output
    assert "(taken)" in done.output
    assert "note: the images held out show only 2 masks" in done.output
    assert "use it  --segmenter sam_demo --scorer text" in done.output
    done = CliRunner().invoke(app, ["tune", source, "--name", "json", "--json"])
    report = json.loads(done.stdout)["scorer"]
    assert report["images"] == {"fitted": 8, "held_out": 2, "unreadable": 0}
    assert report["grid"]["prompts"] == 512
    assert [trial["least_score"] for trial in report["trials"]][:2] == [None, 0.02]
    assert report["sha256"] == ScorerFile("", Path(report["path"]).read_bytes()).sha256


def demo_scorer(path: Path) -> Path:
    """A scorer of the bundled `sam_demo` in a file."""
    weights = sha256_of(bundled_path(find("sam_demo")))
    metadata = ScorerOrigin("sam_demo", weights).to_metadata()
    path.write_bytes(save(PointScorer(EMBED_DIM).state_dict(), metadata))
    return path


def test_a_scorer_travels_with_the_recipe(tmp_path: Path) -> None:
    """Workers on other machines have no such file."""
    path = demo_scorer(tmp_path / "mine.safetensors")
    options = SegmenterOptions(scorer=str(path), device="cpu")
    recipe = build_recipe(Settings(segmenter=options))
    sent = pickle.dumps(recipe.segmenter)
    sha256 = sha256_of(path)
    path.unlink()
    segmenter = pickle.loads(sent)()
    assert segmenter._adaptive.describe()["scorer_sha256"] == sha256
    with pytest.raises(ModelError, match="there is no scorer"):
        build_recipe(Settings(segmenter=options))


def test_settings_with_another_scorer_are_not_known(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 2)
    path = demo_scorer(tmp_path / "mine.safetensors")
    settings = fakes.settings(tmp_path / "index")
    scored = settings.model_copy(update={"segmenter": SegmenterOptions(scorer=str(path))})
    ingest([str(tmp_path / "images")], scored, recipe=fakes.recipe(settings))
    pipelines = IndexHome.current(settings).pipelines
    assert pipelines.find(scored) is not None
    assert pipelines.find(settings) is None
    path.write_bytes(path.read_bytes() + b" ")  # another file in its place
    assert pipelines.find(scored) is None


def test_what_a_segmenter_has_to_say_is_told_at_the_end(tmp_path: Path) -> None:
    class Noting(fakes.BrightSegmenter):
        notes = ("its scorer is left out",)

    fakes.write_images(tmp_path / "images", 2)
    settings = fakes.settings(tmp_path / "index")
    recipe = replace(fakes.recipe(settings), segmenter=Noting)
    summary = ingest([str(tmp_path / "images")], settings, recipe=recipe)
    assert summary.details.warnings == ["its scorer is left out"]


def test_the_command_has_the_defaults_of_the_job() -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(tune_command).parameters.items()
    }
    own = SimpleNamespace(**{n: defaults[n] for n in ("name", "images", "max_lost")})
    assert TuneOptions(own.name, own.images, own.max_lost) == TuneOptions()
