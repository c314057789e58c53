"""`objseek search`, as a user types it."""

from __future__ import annotations

import inspect
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image
from rich.console import Console
from support.colour_world import NAME, ColourEmbedder, ColourSegmenter, build_index
from typer.testing import CliRunner

import pipeline.cli.search_output
import pipeline.cli.tables
import pipeline.search.query_models
from pipeline.cli.commands import failures, search, status
from pipeline.cli.search_examples import parse_box
from pipeline.cli.search_output import print_page
from pipeline.cli.tables import print_rows
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.options import EmbedderOptions, IndexOptions
from schemas.search import Relevance, SearchPage, SearchQuery

runner = CliRunner()
app = typer.Typer()
for command in (search, status, failures):
    command.register(app)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    build_index(folder)
    return folder


@pytest.fixture(autouse=True)
def _colours(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(options: EmbedderOptions) -> ColourEmbedder:
        return ColourEmbedder(options.name)

    for name in ("build_embedder", "build_text_embedder"):
        monkeypatch.setattr(pipeline.search.query_models, name, build)
    segmenter = ColourSegmenter()
    monkeypatch.setattr(pipeline.search.query_models, "build_segmenter", lambda *_: segmenter)


_IDS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _run(folder: Path, *args: str, code: int = 0) -> tuple[str, str]:
    result = runner.invoke(app, ["search", "--index", str(folder / "index"), *args])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def _hits(folder: Path, *args: str) -> list[tuple[str, list[int]]]:
    hits = json.loads(_run(folder, *args, "--json")[0])
    return [(hit["payload"]["uri"].rpartition("/")[2], hit["payload"]["bbox"]) for hit in hits]


RED = ("one.png", [20, 20, 60, 60])
PINK = ("two.png", [10, 10, 40, 50])
BLUE = ("two.png", [60, 20, 100, 70])
GREEN = ("three.png", [30, 30, 90, 70])


def test_a_piped_table_has_whole_ids_and_uris_one_line_a_hit(folder: Path) -> None:
    out, err = _run(folder, "red", "--limit", "2")
    header, first, second = out.splitlines()
    assert (
        " ".join(header.split()) == "rank score relevance box size px area labels image object id"
    )
    hits = json.loads(_run(folder, "red", "--limit", "2", "--json")[0])
    rank, score, relevance, box, width, _, height, area, labels, uri, object_id = first.split()
    assert (relevance, labels) == ("-", "-")
    assert (rank, box, width, height, area) == ("1", "20,20,60,60", "40", "40", "16.7%")
    assert score == f"{hits[0]['score']:.3f}"
    assert uri == (folder / "one.png").as_uri()
    assert object_id == hits[0]["object_id"]
    assert second.endswith(hits[1]["object_id"])
    assert err.startswith("2 hits in ")
    assert NAME in err


def test_a_terminal_gets_whole_ids_and_uris_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def console() -> Console:
        return Console(force_terminal=True, width=60, no_color=True)

    monkeypatch.setattr(pipeline.cli.tables, "out", console)
    uri = "s3://photos/" + "deep/" * 12 + "[bold]a.jpg"
    print_rows(("rank", "image", "object id"), [("1", uri, "id\x1b[2J")], stacked=2)
    printed = "".join(capsys.readouterr().out.split())
    assert uri in printed
    assert "id\\x1b[2J" in printed


@pytest.mark.parametrize("width", [40, 80, 109, 110, 150])
def test_a_terminal_drops_nothing_whatever_its_width(
    folder: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = [line.split() for line in _run(folder, "red", "--limit", "3")[0].splitlines()[1:]]
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system=None, width=width)
    monkeypatch.setattr(pipeline.cli.tables, "out", lambda: console)
    _run(folder, "red", "--limit", "3")
    text = stream.getvalue()
    heading, *printed = text.splitlines()
    assert "…" not in text
    assert heading.strip().endswith("labels") == (width < 110)
    assert [row[-1] for row in piped] == _IDS.findall(text)
    if width < 110:
        assert printed[0] == "    object id" + " " * 29 + "image"
        assert [line.split() for line in printed[1::2]] == [row[:-2] for row in piped]
        assert [line.split() for line in printed[2::2]] == [row[:-3:-1] for row in piped]
        assert len(printed) == 1 + 2 * len(piped)
    else:
        # A uri that is wider than its column is folded.
        joined = "".join(text.split())
        assert all(row[-2].rpartition("/")[2] in joined for row in piped)


def test_unlikely_hits_stand_below_a_line_on_a_terminal_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Searcher.open(Settings(index=IndexOptions(location=str(folder / "index")))) as searcher:
        hits = searcher.search(SearchQuery(text="red", limit=3)).hits
    known = [(0.91, Relevance.STRONG), (0.04, Relevance.WEAK), (0.01, Relevance.WEAK)]
    marked = tuple(
        hit.model_copy(update={"probability": share, "relevance": relevance})
        for hit, (share, relevance) in zip(hits, known, strict=True)
    )
    page = SearchPage(marked, relevance=Relevance.STRONG)
    print_page(page, NAME, 0.1, as_json=False)
    piped = capsys.readouterr()
    assert "unlikely" not in piped.out
    assert len(piped.out.splitlines()) == 4
    assert "strong 91%" in piped.out
    assert piped.err.startswith("3 hits, 1 of them likely, in 100 ms")

    def console() -> Console:
        return Console(force_terminal=True, width=200, no_color=True)

    for module in (pipeline.cli.tables, pipeline.cli.search_output):
        monkeypatch.setattr(module, "out", console)
    print_page(page, NAME, 0.1, as_json=False)
    before, after = capsys.readouterr().out.split("2 unlikely")
    assert "strong 91%" in before
    assert "weak" not in before
    assert "weak 4%" in after
    assert "weak 1%" in after


def test_json_holds_mask_box_and_score(folder: Path) -> None:
    (hit,) = json.loads(_run(folder, "blue", "--limit", "1", "--json")[0])
    assert sorted(hit) == ["object_id", "payload", "score"]
    assert hit["score"] == pytest.approx(1.0, abs=0.01)
    assert hit["payload"]["rle"]["size"] == [80, 120]
    assert hit["payload"]["area"] == 2000


def test_by_image_by_region_and_by_object(folder: Path) -> None:
    two = str(folder / "two.png")
    three = _hits(folder, "--image", str(folder / "three.png"), "--limit", "2")
    assert three == [("three.png", [0, 0, 120, 80]), GREEN]
    assert _hits(folder, "--image", two, "--box", "60,20,100,70", "--limit", "1") == [BLUE]
    (red,) = json.loads(_run(folder, "red", "--limit", "1", "--json")[0])
    assert _hits(folder, "--like", red["object_id"], "--limit", "1") == [PINK]


def test_what_of_an_image_was_searched_with_is_said(folder: Path, tmp_path: Path) -> None:
    two = str(folder / "two.png")
    out, err = _run(folder, "--image", two, "--box", "52,12,110,78", "--limit", "1", "--json")
    (hit,) = json.loads(out)
    assert (hit["payload"]["bbox"], hit["score"]) == (BLUE[1], pytest.approx(1.0, abs=1e-5))
    assert f"searched with the indexed object at 60,20,100,70 (object {hit['object_id']})" in err
    _, err = _run(folder, "--image", two, "--box", "52,12,110,78", "--exact-box")
    assert "searched with" not in err
    mask = Image.new("L", (120, 80))
    mask.paste(255, tuple(BLUE[1]))
    mask.save(tmp_path / "mask.png")
    out, err = _run(folder, "--image", two, "--mask", str(tmp_path / "mask.png"), "--json")
    assert json.loads(out)[0]["payload"]["bbox"] == BLUE[1]
    assert "searched with" not in err
    _, err = _run(folder, "--image", two, "--box", "100,0,120,15")
    assert "no object fits the box: searched with the box as it is" in err
    own = tmp_path / "own.png"
    with Image.open(two) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(own)
    _, err = _run(folder, "--image", str(own), "--box", "15,15,65,75")
    assert "searched with the object found at 20,20,60,70" in err


def test_a_copy_is_said_to_be_one(folder: Path, tmp_path: Path) -> None:
    two = folder / "two.png"
    out, err = _run(folder, "--image", str(two), "--limit", "1", "--json")
    (hit,) = json.loads(out)
    assert hit["relevance"] == "strong"
    says = f"{two.as_uri()}, which is indexed (object {hit['object_id']})"
    assert f"the image is {says}" in err
    small = tmp_path / "small.png"
    with Image.open(two) as image:
        image.resize((60, 40)).save(small)
    _, err = _run(folder, "--image", str(small))
    assert f"the image looks like {says}" in err
    assert "no hit is likely" not in err
    _, err = _run(folder, "--image", str(two), "--point", "30,30")
    assert "which is indexed" not in err
    assert "searched with the object found at 10,10,40,50" in err


def test_options_narrow_the_hits(folder: Path) -> None:
    assert _hits(folder, "pink", "--not", "blue", "--limit", "1") == [RED]
    assert _hits(folder, "red", "--min-score", "0.95") == [RED]
    assert len(_hits(folder, "red", "--kind", "any")) == 7
    assert len(_hits(folder, "red", "--kind", "image")) == 3
    assert len(_hits(folder, "red", "--group-by", "image")) == 3


def test_conditions_may_follow_one_filter_or_several(folder: Path) -> None:
    conditions = ["area_frac<0.2", "area>1500", "uri^=file://"]
    assert _hits(folder, "--filter", *conditions, "red") == [RED]
    repeated = [part for text in conditions for part in ("--filter", text)]
    assert _hits(folder, "red", *repeated) == [RED]
    assert _hits(folder, "red", f"--filter={conditions[0]}", *conditions[1:]) == [RED]
    out, err = _run(folder, "red", "--filter", "area>100000")
    assert out == ""
    assert err.startswith("nothing found")
    assert _hits(folder, "red", "--filter", "area>100000") == []


def test_a_sheet_is_written(folder: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    _, err = _run(folder, "red", "--sheet", str(sheet))
    assert f"sheet: {sheet}" in err
    with Image.open(sheet) as image:
        assert image.size == (2 * 40 + 4 * 280 + 3 * 24, 116 + 280 + 58 + 40)
        assert image.getpixel((40 + 140, 116 + 140)) == (255, 0, 0)
    region = ["--image", str(folder / "two.png"), "--box", "60,20,100,70"]
    _run(folder, *region, "--sheet", str(sheet))
    with Image.open(sheet) as image:
        assert image.getpixel((60, 54)) == (0, 0, 255)
    (red,) = json.loads(_run(folder, "red", "--limit", "1", "--json")[0])
    _run(folder, "--like", red["object_id"], "--sheet", str(sheet))
    with Image.open(sheet) as image:
        assert image.getpixel((80, 54)) == (255, 0, 0)


def test_a_sheet_says_what_it_could_not_show(tmp_path: Path) -> None:
    build_index(tmp_path)
    (tmp_path / "one.png").unlink()
    _, err = _run(tmp_path, "red", "--sheet", str(tmp_path / "sheet.png"))
    assert "tiles without their image: 1; the first: " in err
    assert "one.png" in err


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["red", "--filter", "colour=red"], "unknown filter field 'colour'"),
        (["red", "--filter", "area>1", "colour=red"], "unknown filter field 'colour'"),
        (["red", "--min-score", "nan"], "min_score: Input should be a finite number"),
        (["red", "--box", "1,2,3,4"], "expected an --image to go with --box"),
        ([], "expected a text, an image, an object or a vector to look for"),
        (["red", "--like", "x"], "expected the id of an indexed object"),
        (["red", "--point", "1,2"], "expected an --image to go with --box, --point or --mask"),
        (["--image", "a.png", "--exact-box"], "expected a --box to go with --exact-box"),
        (["--image", "a.png", "--point", "1"], "expected a point as x,y"),
        ([" ^2"], "expected a text to search for, got a blank one"),
        (["red", "--cursor", "x"], "expected a cursor as a search returned it"),
        (["--image", "a.png", "--box", "1,2,3"], "expected a box as x0,y0,x1,y1"),
        (["red", "--limit", "0"], "limit: Input should be greater than or equal to 1"),
        (["red", "--sheet", "sheet.gif"], "expected a sheet that ends in one of"),
        (["--like", "apple"], "expected the id of an indexed object"),
        (["--image", "absent.png"], "expected an image to search with, got nothing at"),
        (["red", "--embedder", "ViT-B-32/openai"], "was built with the embedder 'clip_demo'"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(
    folder: Path, args: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out, err = _run(folder, *args, code=2)
    assert out == ""
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_index_is_one_sentence_and_makes_none(tmp_path: Path) -> None:
    result = runner.invoke(app, ["search", "red", "--index", str(tmp_path / "none")])
    assert result.exit_code == 1
    assert str(tmp_path / "none") in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "none").exists()


def test_help_has_examples() -> None:
    result = runner.invoke(app, ["search", "--help"], terminal_width=100)
    assert result.exit_code == 0
    assert 'objseek search "a red apple" --sheet apples.png' in result.stdout


def test_boxes_are_whole_pixels() -> None:
    assert parse_box("1, 2,30,40") == (1, 2, 30, 40)
    for text in ("1,2,3", "1,2,3,4,5", "a,b,c,d", "1.5,2,3,4", ""):
        with pytest.raises(UsageError, match="expected a box as x0,y0,x1,y1"):
            parse_box(text)


def test_a_search_imports_no_model_before_it_needs_one() -> None:
    script = (
        "import sys, pipeline.cli.commands.search, pipeline.cli.run_search;"
        "print(sorted({'torch', 'open_clip', 'ray', 'boto3'} & set(sys.modules)))"
    )
    root = Path(pipeline.search.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_thing_is_shown_once_by_the_same_measure_as_in_python() -> None:
    # Written twice: importing the schema would slow down --help.
    default = inspect.signature(search.search_command).parameters["max_overlap"].default
    assert default == SearchQuery(text="red").max_overlap


def test_texts_and_objects_count_together(folder: Path) -> None:
    assert _hits(folder, "red^0.1", "blue", "--limit", "1") == [BLUE]
    assert _hits(folder, "red", "blue^0.1", "--limit", "1") == [RED]
    (pink,) = json.loads(_run(folder, "pink", "--limit", "1", "--json")[0])
    (blue,) = json.loads(_run(folder, "blue", "--limit", "1", "--json")[0])
    unlike = _hits(folder, "red", "--unlike", pink["object_id"])
    assert PINK not in unlike
    both = _hits(folder, "--like", pink["object_id"], "--like", blue["object_id"])
    assert sorted(both) == sorted([RED, GREEN])
    either = _hits(folder, "red", "blue", "--strategy", "best_score", "--limit", "2")
    assert sorted(either) == sorted([RED, BLUE])


def test_groups_pages_and_variety(folder: Path) -> None:
    grouped = _hits(folder, "blue", "--group-by", "image", "--group-size", "2", "--limit", "1")
    assert grouped == [BLUE, PINK]
    assert _hits(folder, "red", "--diversity", "0.9", "--limit", "1") == [RED]
    assert _hits(folder, "red", "--dense", "--limit", "1") == [RED]
    _, err = _run(folder, "red", "--limit", "1")
    cursor = err.split("--cursor ")[1].split()[0]
    assert _hits(folder, "red", "--limit", "1", "--cursor", cursor) == [PINK]
    _, end = _run(folder, "red", "--limit", "10")
    assert "--cursor" not in end
