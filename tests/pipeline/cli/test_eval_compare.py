"""`objseek eval compare` and the reports, as a user types them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from click.testing import Result
from PIL import Image
from support.page_world import DESK, PAGE_MARKS, PHONE, chromium, violations
from support.paths import ROOT
from typer.testing import CliRunner

from pipeline.cli.commands import eval as eval_commands
from pipeline.cli.reports.comparison_report import count_changes, say_changes, say_outcomes
from pipeline.drawing.report.pictures import MOST_PICTURES
from pipeline.evaluation.masks.changes import LEAST_CHANGE
from pipeline.evaluation.masks.found_masks import read_indexed
from pipeline.evaluation.paired import compare_figures
from schemas.coco_reader import load_truth
from schemas.errors import UsageError
from schemas.masks import CocoRle
from schemas.points import Point

app = typer.Typer()
eval_commands.register(app)
IMAGES, SIZE_HW = 6, (80, 120)
HOSTILE = "cat <script>alert(1)</script>"


def run(*args: object) -> Result:
    return CliRunner().invoke(app, ["compare", *(str(arg) for arg in args)])


def square(left: int, width: int = 40) -> dict[str, Any]:
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[20:60, left : left + width] = True
    return {"size": list(SIZE_HW), "counts": CocoRle.from_mask(mask).counts}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with a true square of a cat and one of a dog each; in the runs, worse and better ones.

    In the second the cats are exact and the dogs missing in half of the images.
    """
    folder = tmp_path_factory.mktemp("compared")
    height, width = SIZE_HW
    names = [f"pets/{number}.png" for number in range(IMAGES)]
    (folder / "pets").mkdir()
    for number, name in enumerate(names[:-1]):  # the last one is missing
        Image.new("RGB", (width, height), (20 * number, 90, 200)).save(folder / name)
    (folder / names[1]).write_bytes(b"broken")
    truth, first, second = [], [], []
    for n in range(IMAGES):
        cat, dog = {"image_id": n, "category_id": 1}, {"image_id": n, "category_id": 2}
        truth += [{**cat, "segmentation": square(10)}, {**dog, "segmentation": square(70)}]
        first += [
            {**cat, "segmentation": square(10, 20 + n), "score": 0.6 + n / 100},
            {**dog, "segmentation": square(70, 36), "score": 0.9},
        ]
        second.append({**cat, "segmentation": square(10), "score": 0.8})
        if n % 2:
            second.append({**dog, "segmentation": square(70, 39), "score": 0.7})
    document = {
        "images": [
            {"id": n, "file_name": name, "height": height, "width": width}
            for n, name in enumerate(names)
        ],
        "categories": [{"id": 1, "name": HOSTILE}, {"id": 2, "name": "dog"}],
        "annotations": [{"id": n, **entry} for n, entry in enumerate(truth)],
    }
    (folder / "truth.json").write_text(json.dumps(document))
    (folder / "first.json").write_text(json.dumps(first))
    (folder / "second.json").write_text(json.dumps(second))
    return folder


@pytest.fixture(scope="module")
def compared(folder: Path) -> tuple[Result, dict[str, Any], str]:
    """What the command says, its figures, and its report."""
    result = run(
        folder / "first.json", folder / "second.json", "--truth", folder / "truth.json",
        "--json", folder / "figures.json", "--report", folder / "report.html",
        "--images", folder,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    figures = json.loads((folder / "figures.json").read_text())
    return result, figures, (folder / "report.html").read_text()


def test_it_tells_differences_from_noise(compared: tuple[Result, dict[str, Any], str]) -> None:
    result, figures, _ = compared
    iou = figures["masks"]["mean_iou"]
    assert iou["second"]["value"] == pytest.approx((6 * 1 + 3 * 39 / 40) / 9)
    assert iou["outcome"] == "better"
    assert iou["difference"]["low"] > 0
    recall = figures["masks"]["ar_1000"]
    assert recall["second"]["value"] == pytest.approx((6 + 3) / 12)  # of exact cats, half the dogs
    difference = recall["second"]["value"] - recall["first"]["value"]
    assert recall["difference"]["value"] == pytest.approx(difference)
    assert figures["class_ap"][HOSTILE]["outcome"] == "better"
    assert figures["class_ap"]["dog"]["second"]["value"] < 0.6
    assert figures["objects"] == {"better": 9, "worse": 3, "only_first": 3, "only_second": 0}
    assert [len(figures["gains"]), len(figures["losses"])] == [9, 3]
    assert figures["gains"][0] == {
        "image": "pets/0.png", "class": HOSTILE, "bbox_xyxy": [10, 20, 50, 60], "iou": [0.5, 1],
    }  # fmt: skip
    assert figures["losses"][0]["iou"] == [0.9, 0]
    assert "▲ better" in result.output
    assert "mean IoU of pairs" in result.output
    assert "found (IoU 0.5) in B alone 0, in A alone 3." in result.output
    assert "12 masks in A, 9 in B, 12 true, in 6 images" in result.output
    assert "drew the images anew 400 of 400 times" in result.output.lower()


def test_its_report_says_and_shows_it(compared: tuple[Result, dict[str, Any], str]) -> None:
    _, _, page = compared
    assert "<script>" not in page
    assert "cat &lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r"https?:|@import|url\(", page)
    assert page.count('<img loading="lazy" src="data:image/webp;base64,') == 12
    titles = re.findall(r"<figcaption>([^<]+)</figcaption>", page)
    for title in (
        "IoU of each object&#39;s best mask",
        "Precision and recall, at IoU 0.5, mean over classes",
        "Precision and recall, at IoU 0.75, any class",
        "Precision and recall, mean of IoU 0.5 to 0.95, any class",
        "Boundary IoU of pairs",
        "Size and recall at IoU 0.75",
    ):
        assert title in titles
    assert page.count("better</span>") > 10
    assert "dog in 0.png, truth dashed. A: IoU 0.90; B: no mask" in page
    assert len(page) < 3_000_000


def test_an_image_that_cannot_be_shown_is_no_end(
    compared: tuple[Result, dict[str, Any], str],
) -> None:
    _, _, page = compared
    reasons = re.findall(r"Drawn without its image: ([^<]+)", page)
    assert len(reasons) == 4  # the cats and the dogs of the broken one and of the last
    assert sum("there is no image at file://" in reason for reason in reasons) == 2


def test_without_images_outlines_are_drawn(folder: Path, tmp_path: Path) -> None:
    result = run(
        folder / "first.json", folder / "second.json", "--truth", folder / "truth.json",
        "--report", tmp_path / "report.html",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    page = (tmp_path / "report.html").read_text()
    assert page.count('<img loading="lazy"') == 12
    assert "Drawn without its image" not in page
    assert "name where images are with --images" in page


def test_the_same_run_differs_in_nothing(folder: Path, tmp_path: Path) -> None:
    same = folder / "first.json"
    result = run(
        same, same, "--truth", folder / "truth.json", "--report", tmp_path / "report.html",
        "--json", tmp_path / "figures.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    outcomes = {figure["outcome"] for figure in figures["masks"].values()}
    assert outcomes == {"same", None}  # of sizes that no object has
    assert figures["gains"] == figures["losses"] == []
    assert "better in 0, worse in 0, and within noise in" in result.output
    assert "Largest" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), r"expected `eval compare A B --truth FILE`.* got 0 of A and B"),
        (("{first}",), r"got 1 of A and B"),
        (("{first}", "{second}"), r"without what is right, two runs differ but none is better"),
        (("{first}", "{second}", "--truth", "{truth}", "--report", "{folder}"),
         r"expected a file for the report, got the folder"),
        (("{first}", "{second}", "--truth", "{truth}", "--images", "{folder}"),
         r"--images goes with `eval compare A B --truth FILE --report FILE`"),
        (("{first}", "{second}", "--truth", "{truth}", "--report", "{folder}/r.html", "--images",
          "{first}"), r"--images: expected a folder or s3://bucket/prefix, got"),
        (("{first}", "{second}", "--truth", "{truth}", "--report", "{folder}/r.html", "--images",
          "ftp://x"), r"expected s3://bucket/prefix, a folder, a file or a glob, got 'ftp://x'"),
        (("{first}", "{second}", "--truth", "{truth}", "--pred", "{first}"), r"expected one of"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(
    folder: Path, args: tuple[str, ...], message: str
) -> None:
    places = {
        "folder": folder, "first": folder / "first.json", "second": folder / "second.json",
        "truth": folder / "truth.json",
    }  # fmt: skip
    result = run(*(arg.format(**places) for arg in args))
    assert result.exit_code == 2
    assert re.search(message, " ".join(result.output.split()))
    assert not (folder / "r.html").exists()


def test_a_report_belongs_to_what_is_measured(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["prompts", "--report", str(tmp_path / "report.html")])
    assert result.exit_code == 2
    assert "--report goes with `eval masks`, `eval compare` and `eval search`" in result.output
    result = CliRunner().invoke(app, ["masks", "A", "--truth", "t.json", "--pred", "p.json"])
    assert result.exit_code == 2
    assert "A and B go with `eval compare`, got 'A'" in result.output


def test_masks_have_a_report_of_their_own(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app,
        [
            "masks", "--truth", str(folder / "truth.json"), "--pred", str(folder / "first.json"),
            "--report", str(tmp_path / "report.html"),
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    page = (tmp_path / "report.html").read_text()
    assert "12 masks of" in page
    assert "100.0% of the true objects have a mask with an IoU of 0.5 or more" in page
    for title in (
        "Precision and recall, mean over classes", "IoU and Boundary IoU of pairs",
        "Size and recall at IoU 0.5", "Score and share right",
    ):  # fmt: skip
        assert f"<figcaption>{title}</figcaption>" in page
    captions = re.findall(r"<caption>([^<]+)</caption>", page)
    assert captions == [
        "Average precision and recall",
        "Pairs of a found and a true mask with an IoU of 0.5 or more",
        "Segments and pixels",
        "By class",
    ]


def test_words_count_what_they_say() -> None:
    ious = np.array([[0.2, 0.8], [0.8, 0.2], [0.5, 0.56], [0.9, 0.91]])
    counts = count_changes(ious)
    assert (counts.better, counts.worse, counts.only_first, counts.only_second) == (2, 1, 1, 1)
    assert say_changes(ious) == (
        "Of 4 true objects, by the IoU of their best masks: better in B by 0.05 or more 2, worse "
        "1; found (IoU 0.5) in B alone 1, in A alone 1."
    )
    assert say_outcomes({}) == "There are too few images to tell a difference from noise."

    def measure(value: float) -> Mapping[str, float | None]:
        return {"one": value, "other": None}

    figures = compare_figures(lambda weights: measure(0.1), lambda weights: measure(0.2), 3)
    assert say_outcomes(figures) == (
        "Of 1 figure B is better in 1, worse in 0, and within noise in 0."
    )


def test_images_that_a_run_does_not_have_are_told(folder: Path, tmp_path: Path) -> None:
    document = json.loads((folder / "truth.json").read_text())
    document["images"] = document["images"][1:]
    document["annotations"] = [each for each in document["annotations"] if each["image_id"]]
    fewer = tmp_path / "fewer.json"
    fewer.write_text(json.dumps(document))
    result = run(folder / "truth.json", fewer, "--truth", folder / "truth.json")
    assert result.exit_code == 0, result.output
    output = " ".join(result.output.replace("\n", " ").split())
    assert f"not in {fewer}, where all is missed: 1" in output
    assert output.count("where all is missed") == 1


def test_an_index_says_where_its_images_are(folder: Path) -> None:
    truth = load_truth(folder / "truth.json")
    payload = {
        "kind": "object", "store": "file", "bucket": "", "key": "/photos/pets/3.png",
        "uri": "file:///photos/pets/3.png", "version": "12-34", "width": 120, "height": 80,
        "bbox": [10, 20, 50, 60], "area": 1600, "rle": square(10), "predicted_iou": 0.75,
        "segmenter_label": "dog",
    }  # fmt: skip
    broken: list[str] = []
    point = Point("p", payload)
    found = read_indexed([point], truth, lambda identity, reason: broken.append(reason))
    assert found.missing == IMAGES - 1
    (mask,) = found.of_image[3]
    assert (mask.category, mask.score) == (2, 0.75)
    wrong = Point("p", {**payload, "width": 121})
    with pytest.raises(UsageError, match=r"the index has file:///photos/pets/3\.png as 121 x 80"):
        read_indexed([wrong], truth, lambda identity, reason: broken.append(reason))
    assert broken == []


def test_what_the_docs_say_is_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "evaluation.md").read_text()
    command, _ = re.findall(r"^objseek eval (compare .*)$", page, re.MULTILINE)
    for source, name in (("first", "before"), ("second", "after"), ("truth", "coco")):
        (tmp_path / f"{name}.json").write_bytes((folder / f"{source}.json").read_bytes())
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "report.html").is_file()
    assert f"up to {MOST_PICTURES} pictures" in page
    assert f"gained or lost {LEAST_CHANGE:g} or more" in page


class TestInABrowser:
    pytestmark = PAGE_MARKS

    def test_a_comparison_is_for_everybody_on_every_screen(
        self, compared: tuple[Result, dict[str, Any], str], folder: Path
    ) -> None:
        with chromium() as browser:
            for viewport, scheme in ((DESK, "light"), (PHONE, "dark")):
                context = browser.new_context(viewport=viewport, color_scheme=scheme)
                page = context.new_page()
                page.goto((folder / "report.html").as_uri())
                assert violations(page) == []
                assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
                context.close()
