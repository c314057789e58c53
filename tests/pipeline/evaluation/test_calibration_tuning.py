"""`objseek tune --truth` on a small index of labelled images, and what then is searched by it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import fakes
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.evaluation.calibration_tuning import name_calibration, tune_calibration
from pipeline.index_home import IndexHome
from pipeline.jobs.label import label
from pipeline.runners.model_worker import ModelWorker
from pipeline.runners.recipe import build_recipe
from pipeline.search.searcher import Searcher
from pipeline.service.generation_follower import GenerationFollower
from pipeline.settings import Settings
from schemas.coco import CocoTruth
from schemas.coco_reader import load_truth
from schemas.errors import EmbedderMismatchError, UsageError
from schemas.ids import IMAGE_ORDINAL, ImageRevision, image_id, object_id
from schemas.images import ImageRef
from schemas.masks import CocoRle, ObjectMask
from schemas.options import DecodeOptions, EmbedderOptions, IndexOptions, LabelOptions
from schemas.pipelines import Pipeline
from schemas.records import VECTOR_NAME, EmbeddedImage, ImageRecord, ObjectRecord
from schemas.search import SearchQuery
from workers.indexes.generations import FIRST
from workers.indexes.open import open_index
from workers.labelling.calibration import Curve, SumWeights, calibration_of
from workers.labelling.tuned_calibrations import (
    CALIBRATIONS,
    CalibrationOrigin,
    TunedCalibration,
    read_calibration,
)
from workers.registry import build_text_embedder

NAMES = (
    "apple", "banana", "bear", "bicycle", "bus", "cat", "chair", "clock", "cow", "dog", "fish",
    "key",
)  # fmt: skip
IMAGES, OBJECTS, SIDE = 30, 4, 40
HW = (SIDE, SIDE)


def pipeline(views: str = "cutout") -> Pipeline:
    options = EmbedderOptions(views=views)  # type: ignore[arg-type]
    return Pipeline.of(("sam_demo", "s"), ("clip_demo", "c"), DecodeOptions(), options)


def place(ordinal: int) -> ObjectMask:
    mask = np.zeros(HW, np.bool_)
    x, y = 20 * (ordinal % 2), 20 * (ordinal // 2)
    mask[y + 1 : y + 19, x + 1 : x + 19] = True
    rle = CocoRle.from_mask(mask)
    return ObjectMask(rle, (x + 1, y + 1, x + 19, y + 19), 324, 0.9, 0.95, (x + 9.0, y + 9.0))


def embed(image: int, shown: Sequence[int], texts: np.ndarray, made_by: Pipeline) -> EmbeddedImage:
    """An image whose objects lie about their texts; every fifth nearer to another one's."""
    rng = np.random.default_rng(image)
    ref = ImageRef("s3", "photos", f"{image}.jpg", "v", 1)
    revision = ImageRevision("v", made_by.fingerprint)

    def new_id(ordinal: int) -> object:
        return object_id(image_id(ref), revision, ordinal)

    def near(name: int) -> np.ndarray:
        other = texts[rng.integers(len(texts))] * (1.2 if rng.random() < 0.2 else 0.0)
        vector = texts[name] + other + rng.normal(0, 0.08, texts.shape[1])
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    objects = [
        ObjectRecord(new_id(ordinal), place(ordinal), {VECTOR_NAME: near(name)})  # type: ignore
        for ordinal, name in enumerate(shown)
    ]
    whole = ImageRecord(new_id(IMAGE_ORDINAL), {VECTOR_NAME: near(shown[0])})  # type: ignore
    return EmbeddedImage(ref, HW, revision, "sam_demo", "clip_demo", whole, tuple(objects))


def write_truth(path: Path, shown: dict[int, list[int]], names: Sequence[str]) -> None:
    annotations = []
    for image, objects in shown.items():
        for ordinal, name in enumerate(objects):
            mask = place(ordinal)
            x0, y0, x1, y1 = mask.bbox_xyxy
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image, "category_id": name + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0], "area": mask.area_px, "iscrowd": 0,
                    "segmentation": {"size": list(HW), "counts": mask.rle.counts},
                }
            )  # fmt: skip
    document = {
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "width": SIDE, "height": SIDE} for n in shown
        ],
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate(names)],
        "annotations": annotations,
    }
    path.write_text(json.dumps(document))


class World:
    """A labelled index with its truth; `made_by` is kept as what made its vectors."""

    def __init__(self, folder: Path, images: int = IMAGES, names: Sequence[str] = NAMES) -> None:
        rng = np.random.default_rng(1)
        shown = {n: rng.integers(len(names), size=OBJECTS).tolist() for n in range(images)}
        self.truth = folder / "truth.json"
        write_truth(self.truth, shown, names)
        (folder / "names.txt").write_text("\n".join(NAMES) + "\n")
        self.cache = folder / "cache" / "models"
        self.settings = Settings(
            index=IndexOptions(location=str(folder / "index")),
            labels=LabelOptions(names=str(folder / "names.txt")),
            cache_dir=self.cache,
        )
        texts = build_text_embedder(EmbedderOptions()).embed_texts(names)
        with closing(open_index(self.settings.index, texts.shape[1], create=True)) as index:
            index.replace_images([embed(n, shown[n], texts, pipeline()) for n in shown])

    def know(self, made_by: Pipeline) -> None:
        # Under the fingerprint of the vectors, whatever it is.
        described = made_by.model_dump_json()
        parts = IndexHome.current(self.settings).parts
        parts.write_text(f"made-of-{pipeline().fingerprint}", described)

    def read_truth(self) -> CocoTruth:
        return load_truth(self.truth)

    def tuned(self, named: str) -> Settings:
        options = self.settings.embedder.model_copy(update={"calibration": named})
        return self.settings.model_copy(update={"embedder": options})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("tuning"))
    made.know(pipeline())
    label(made.settings)
    return made


@pytest.fixture(scope="module")
def kept(world: World) -> TunedCalibration:
    """A calibration of the index's vectors, kept as `mine`."""
    demo = calibration_of("clip_demo")
    others = replace(
        demo, sum_weights=SumWeights(9.0, -1.0, 2.0, 1.0), text=Curve(-9.0, (0.6,)),
        label=Curve(-2.0, (1.0,)),
    )  # fmt: skip
    mine = TunedCalibration("mine", CalibrationOrigin("clip_demo", pipeline().embedding), others)
    CALIBRATIONS.write(CALIBRATIONS.path_of("mine", world.cache), mine.to_json())
    return mine


@pytest.mark.long
def test_the_command_tells_what_it_kept_and_how_it_did(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OBJSEEK_CACHE_DIR", str(world.cache))
    location = world.settings.index.location
    command = ["tune", "--truth", str(world.truth), "--index", location]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["calibration"]
    kept = read_calibration("clip_demo-truth", world.cache)
    assert (told["name"], told["sha256"]) == ("clip_demo-truth", kept.sha256)
    assert told["path"] == str(CALIBRATIONS.path_of("clip_demo-truth", world.cache))
    assert (told["embedder"], told["embedding"]) == ("clip_demo", pipeline().embedding)
    assert (told["images"], told["objects"], told["names"]) == (30, 120, 12)
    assert told["calibration"]["text"]["intercept"] == kept.calibration.text.intercept  # type: ignore
    assert kept.calibration.label_scale == calibration_of("clip_demo").label_scale
    assert kept.calibration.text != calibration_of("clip_demo").text
    before, after = told["held_out"]["before"], told["held_out"]["after"]
    assert told["held_out"]["by_cosine"]["label_first"] > 0.6
    assert after["label_first"] > 0.6
    # The bundled curve was fitted to pictures: here nearly all that is near is right.
    assert after["calibration_error"] < before["calibration_error"]
    assert after["present_weak"] <= 0.3
    assert after["keyword_first"] is None
    # There are a few labels beside the right ones, too few to tell when they are.
    assert "labels" in told["unchanged"]
    assert kept.calibration.label == calibration_of("clip_demo").label
    # What was kept is found, by name, and not written over.
    found = CliRunner().invoke(
        app, ["search", "apple", "--index", location, "--calibration", "clip_demo-truth", "--json"]
    )
    assert found.exit_code == 0, found.output
    with Searcher.open(world.tuned("clip_demo-truth")) as searcher:
        hit = searcher.search(SearchQuery(text="apple", limit=1)).hits[0]
    assert json.loads(found.stdout)[0]["probability"] == hit.probability
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2
    assert "a calibration 'clip_demo-truth' is kept already: give another --name" in again.output


def test_a_search_ranks_and_judges_with_it(world: World, kept: TunedCalibration) -> None:
    query = SearchQuery(text="apple", limit=3)
    with Searcher.open(world.settings) as searcher:
        plain = searcher.search(query).hits[0]
        assert searcher.calibration == calibration_of("clip_demo")
    with Searcher.open(world.tuned("mine")) as searcher:
        hit = searcher.search(query).hits[0]
        assert searcher.calibration == kept.calibration
        assert searcher.label_score == kept.calibration.label_score(0.5)
        weights = searcher.sums.choose("apple", with_words=True)
    total = weights.add_up(hit.score, hit.payload.predicted_iou, hit.payload.label_logsumexp)
    assert weights.predicted_iou == 9 / 30
    assert hit.probability == pytest.approx(Curve(-9.0, (0.6,)).probability(30 * total), abs=1e-4)
    assert plain.probability != hit.probability


def test_labels_are_sure_from_where_it_says(world: World, tmp_path: Path) -> None:
    """And it travels to workers that have no such file."""
    demo = calibration_of("clip_demo")
    doubtful = replace(demo, label=Curve(-2.0, (1.0,)))
    unsure = TunedCalibration("unsure", CalibrationOrigin("clip_demo", None), doubtful)
    path = tmp_path / "unsure.json"
    path.write_bytes(unsure.to_json())
    sent = pickle.dumps(build_recipe(world.tuned(str(path))).labeller)
    with Searcher.open(world.tuned(str(path))) as searcher:
        assert searcher.label_score == doubtful.label_score(0.5) > demo.label_score(0.5)
    path.unlink()
    assert pickle.loads(sent)().word_score == doubtful.label_score(0.25) > demo.label_score(0.25)


def test_it_is_refused_where_other_weights_made_the_vectors(
    world: World, kept: TunedCalibration
) -> None:
    world.know(pipeline("both"))
    try:
        with pytest.raises(EmbedderMismatchError, match="fitted to others"):
            Searcher.open(world.tuned("mine"))
    finally:
        world.know(pipeline())
    of_another = world.tuned("mine")
    named = of_another.embedder.model_copy(update={"name": "ViT-B-32/openai"})
    with pytest.raises(EmbedderMismatchError, match=r"of ViT-B-32/openai, got 'mine'"):
        build_recipe(of_another.model_copy(update={"embedder": named}))
    recipe = replace(fakes.recipe(world.settings), calibration=kept)
    with pytest.raises(EmbedderMismatchError, match="fitted to others"):
        ModelWorker(recipe)


def test_a_service_goes_on_without_it_where_other_vectors_come_into_use(
    world: World, kept: TunedCalibration
) -> None:
    follower = GenerationFollower(world.tuned("mine"), None, None)  # type: ignore
    world.know(pipeline("both"))
    try:
        with closing(open_index(world.settings.index, None)) as index:
            searcher = follower._build_searcher(index, FIRST)
            assert searcher.calibration == calibration_of("clip_demo")
    finally:
        world.know(pipeline())


def test_a_name_is_kept_once(world: World, kept: TunedCalibration) -> None:
    with pytest.raises(UsageError, match="'mine' is kept already: give another --name"):
        tune_calibration(world.read_truth(), world.settings, "mine")
    assert name_calibration("ViT-B-32/openai", Path("a b/val 2017.json")) == (
        "ViT-B-32-openai-val-2017"
    )


def test_too_little_truth_is_told_in_a_sentence(world: World, tmp_path: Path) -> None:
    truth = world.read_truth()
    few = truth.model_copy(update={"images": truth.images[:20]})
    with pytest.raises(UsageError, match=r"^expected 30 labelled images .* got 20 images with 12"):
        tune_calibration(few, world.settings, "few")
    others = [image.model_copy(update={"file_name": f"x/{image.id}"}) for image in truth.images]
    with pytest.raises(UsageError, match="no image of the ground truth is in the index"):
        tune_calibration(truth.model_copy(update={"images": others}), world.settings, "none")
    apples = [a for a in truth.annotations if a.category_id == 1]
    with pytest.raises(UsageError, match="10 names or more, to fit a calibration, got 30 images w"):
        tune_calibration(truth.model_copy(update={"annotations": apples}), world.settings, "one")
    assert not {"few", "none", "one"} & set(CALIBRATIONS.list_names(world.cache))


def test_objects_without_labels_are_told_and_labels_count_for_nothing(tmp_path: Path) -> None:
    bare = World(tmp_path, images=2)
    with pytest.raises(UsageError, match="8 of 8 have none: `objseek label` gives them some"):
        tune_calibration(bare.read_truth(), bare.settings, "bare")
    every = TunedCalibration("all", CalibrationOrigin("clip_demo", None), calibration_of("another"))
    CALIBRATIONS.write(CALIBRATIONS.path_of("all", bare.cache), every.to_json())
    with Searcher.open(bare.tuned("all")) as searcher:
        weights = searcher.sums.choose("a pet", with_words=True)
        assert (weights.label_logsumexp, weights.label_words) == (0, 0)
        assert weights.predicted_iou == 0.05
        hits = searcher.search(SearchQuery(text="apple", limit=2)).hits
        assert [(hit.probability, hit.relevance) for hit in hits] == [(None, None)] * 2
