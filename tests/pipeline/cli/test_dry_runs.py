"""--dry-run: what would be done is counted, nothing is written, and no model is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import fakes
from support.added_objects import add
from support.folder_digest import digest_folder
from support.s3_server import moto_server
from typer.testing import CliRunner, Result

from pipeline import kept_paces
from pipeline.cli.main import app
from pipeline.jobs.ingest import ingest
from pipeline.settings import Settings
from pipeline.transfer.backup import backup
from pipeline.transfer.export_coco import export_coco
from pipeline.transfer.import_coco import import_coco


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images, of which an index has eight, one changed since and one gone since."""
    folder = tmp_path_factory.mktemp("dry")
    images = folder / "images"
    fakes.write_images(images, 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.jobs.ingest.build_recipe", fakes.recipe)
        assert run("ingest", images, *place(folder)).exit_code == 0
    (images / "000.png").unlink()
    fakes.write_image(images / "001.png", 77)
    fakes.write_image(images / "008.png", 8)
    fakes.write_image(images / "009.png", 9)
    (images / "notes.txt").write_text("notes")
    return folder


@pytest.fixture
def no_paces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paces are kept in a folder of this test's, of jobs of any size."""
    monkeypatch.setenv("OBJSEEK_CACHE_DIR", str(tmp_path / "cache" / "models"))
    monkeypatch.setattr(kept_paces, "LEAST_POINTS", 1)


@pytest.fixture
def world(folder: Path, monkeypatch: pytest.MonkeyPatch, no_paces: None) -> Iterator[Path]:
    """The same, and nothing in it may change."""

    def fail(*args: object, **more: object) -> None:
        raise AssertionError("a dry run loads no models")

    monkeypatch.setattr("pipeline.ingestion.session.open_runner", fail)
    monkeypatch.setattr("pipeline.jobs.reembed.open_runner", fail)
    monkeypatch.setattr("pipeline.index_home.open_index", fail)
    before = digest_folder(folder)
    yield folder
    assert digest_folder(folder) == before


def place(folder: Path) -> tuple[str, ...]:
    return "-i", str(folder / "index"), "--runner", "local"


def index_images(folder: Path, count: int) -> Settings:
    """So many images in `folder`/images, and their index in `folder`/index."""
    settings = fakes.settings(folder / "index")
    fakes.write_images(folder / "images", count)
    ingest([str(folder / "images")], settings, recipe=fakes.recipe(settings))
    return settings


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def foresee(*arguments: str | Path) -> dict[str, Any]:
    result = run(*arguments, "--dry-run", "--json")
    assert result.exit_code == 0, result.stderr
    fields: dict[str, Any] = json.loads(result.stdout)
    assert fields.pop("dry_run") is True
    return fields


def test_an_ingest_counts_what_is_new_and_what_has_changed(world: Path) -> None:
    fields = foresee("ingest", world / "images", *place(world))
    pace = fields.pop("images_per_s")
    assert pace > 0
    assert fields.pop("seconds") == pytest.approx(3 / pace)
    assert fields == {
        "listed": 9, "unchanged": 6, "new": 2, "again": 1, "videos": 0, "removed": None,
        "skipped": {"not an image by its suffix": 1}, "settings_known": True,
    }  # fmt: skip


def test_a_person_reads_counts_and_a_time(world: Path) -> None:
    result = run("ingest", world / "images", *place(world), "--dry-run", "--limit", "2")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split() for line in lines[:5]] == [
        ["listed", "2"], ["unchanged", "1"], ["to", "do", "1"], ["of", "them", "new", "0"],
        ["of", "them", "again", "1"],
    ]  # fmt: skip
    assert lines[-2].startswith("That takes about ")
    assert "images/s of the run of 20" in lines[-2]
    assert lines[-1] == "Nothing was done (--dry-run)."


def test_other_settings_do_all_again(world: Path) -> None:
    more = ("--preset", "fast", "--dry-run")
    result = run("ingest", world / "images", *place(world), *more)
    assert "These settings have not run on this index" in result.stdout
    assert "no earlier run tells; `objseek plan` measures it" in result.stdout
    fields = foresee("ingest", world / "images", *place(world), "--preset", "fast")
    assert (fields["new"], fields["again"], fields["settings_known"]) == (2, 7, False)


def test_a_new_index_is_not_made(world: Path) -> None:
    fields = foresee("ingest", world / "images", "-i", world / "other")
    assert (fields["new"], fields["again"], fields["seconds"]) == (9, 0, None)
    assert not (world / "other").exists()


def test_a_sync_counts_what_would_be_removed(world: Path) -> None:
    fields = foresee("sync", world / "images", *place(world), "--max-delete", "0.5")
    assert (fields["new"], fields["again"], fields["removed"]) == (2, 1, 1)


def test_a_sync_that_would_be_refused_is(world: Path) -> None:
    result = run("sync", world / "images", *place(world), "--dry-run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "1 of the 8 images" in result.stderr
    assert "nothing would be changed" in result.stderr


def test_what_names_no_model_is_told(world: Path) -> None:
    result = run("ingest", world / "images", *place(world), "--dry-run", "-e", "clip")
    assert (result.exit_code, "no embedder is called 'clip'" in result.stderr) == (2, True)
    wrong = ("--videos", "--video-propagate", "sam2.1_x", "--dry-run")
    result = run("ingest", world / "images", *place(world), *wrong)
    assert (result.exit_code, "got sam2.1_x" in result.stderr) == (2, True), result.stderr


def test_a_reembedding_counts_images_and_objects(world: Path) -> None:
    fields = foresee("reembed", *place(world), "-e", "ViT-B-32/openai")
    assert fields == {
        "images": 8, "unchanged": 0, "to_embed": 8, "objects": 16, "videos": 0,
        "before": "first", "generation": None, "points_per_s": None, "seconds": None,
    }  # fmt: skip
    result = run("reembed", *place(world), "-e", "ViT-B-32/openai", "--dry-run")
    assert result.stdout.splitlines()[-2:] == [
        "How long that takes is not known: no such run of 1 objects or more has ended on this "
        "machine.",
        "Nothing was done (--dry-run).",
    ]


def test_a_migration_counts_points(world: Path) -> None:
    fields = foresee("migrate", world / "moved", "-i", world / "index")
    assert fields == {
        "images": 8, "points": 24, "size_bytes": None, "points_per_s": None, "seconds": None,
        "source": str(world / "index"), "target": str(world / "moved"),
    }  # fmt: skip
    same = run("migrate", world / "index", "-i", world / "index", "--dry-run")
    assert (same.exit_code, "expected another place" in same.stderr) == (2, True)


def test_transfers_tell_how_long_the_next_one_takes(tmp_path: Path, no_paces: None) -> None:
    index_images(tmp_path, 4)
    index = ("-i", tmp_path / "index")
    for command in ("export", "backup"):
        assert run(command, tmp_path / command, *index).exit_code == 0
    jobs = {
        "import to folder": ("import", tmp_path / "export", "-i"),
        "restore to folder": ("restore", tmp_path / "backup", "-i"),
        "migrate folder to folder": ("migrate", "{}", *index),
    }
    for job, arguments in jobs.items():
        first, second = ([*arguments, tmp_path / f"{arguments[0]}{number}"] for number in (1, 2))
        if arguments[0] == "migrate":
            first, second = (["migrate", call[-1], *index] for call in (first, second))
        before = run(*second, "--dry-run").stdout.splitlines()
        assert "no such run of 1 points or more has ended" in before[-2]
        assert run(*first).exit_code == 0
        rate = json.loads((tmp_path / "cache" / "paces.json").read_text())[job]["points_per_s"]
        after = run(*second, "--dry-run").stdout.splitlines()
        assert after[:2] == ["images  4", "points  12"]
        assert re.fullmatch(
            r"That takes about .+, at the [\d,.]+ points/s of the run of 20..-..-..\.", after[-2]
        )
        if arguments[0] != "import":
            seconds = foresee(*second)["seconds"]
            assert seconds == pytest.approx(12 / rate)
    assert not list(tmp_path.glob("*2"))


def test_an_import_of_images_that_are_there_is_refused(tmp_path: Path) -> None:
    index_images(tmp_path, 2)
    assert run("export", tmp_path / "export", "-i", tmp_path / "index").exit_code == 0
    refused = run("import", tmp_path / "export", "-i", tmp_path / "index", "--dry-run")
    assert (refused.exit_code, "expected images that are not in" in refused.stderr) == (2, True)


def test_an_import_of_masks_counts_them(tmp_path: Path, no_paces: None) -> None:
    settings = index_images(tmp_path, 2)
    export_coco(settings, tmp_path / "masks.json")
    document = json.loads((tmp_path / "masks.json").read_text())
    document["annotations"][0]["segmentation"] = {"size": [1, 1], "counts": "!"}
    (tmp_path / "masks.json").write_text(json.dumps(document))
    call = ("import", tmp_path / "masks.json", "-i", tmp_path / "other")
    lines = run(*call, "--dry-run").stdout.splitlines()
    assert lines[0].startswith("left out: ")
    assert lines[1:4] == ["1 annotation left out as wrong", "images  2", "masks   3"]
    assert "no such run of 1 objects or more" in lines[4]
    assert not (tmp_path / "other").exists()
    import_coco(
        fakes.settings(tmp_path / "third"), tmp_path / "masks.json", None,
        recipe=fakes.recipe(settings),
    )  # fmt: skip
    lines = run(*call, "--dry-run").stdout.splitlines()
    assert lines[4].startswith("That takes about ")
    refused = run(*call, "--dry-run", "--strict")
    assert (refused.exit_code, refused.stdout) == (2, "")


def test_a_restore_reads_the_catalogue_alone(tmp_path: Path) -> None:
    settings = index_images(tmp_path, 3)
    backup(settings, str(tmp_path / "backup"))
    before = digest_folder(tmp_path)
    fields = foresee("restore", tmp_path / "backup", "-i", tmp_path / "restored")
    assert (fields["images"], fields["points"]) == (3, 9)
    files = [path for path in (tmp_path / "backup").rglob("*") if path.is_file()]
    catalogue = tmp_path / "backup" / "objseek.json"
    assert fields["size_bytes"] == sum(path.stat().st_size for path in files if path != catalogue)
    refused = run("restore", tmp_path / "backup", "-i", tmp_path / "index", "--dry-run")
    assert (refused.exit_code, "there are images" in refused.stderr) == (2, True)
    none = run("restore", tmp_path / "images", "-i", tmp_path / "restored", "--dry-run")
    assert (none.exit_code, "is no whole backup" in none.stderr) == (2, True)
    assert digest_folder(tmp_path) == before
    with moto_server() as server:
        bucket = server.make_bucket({"b/objseek.json": catalogue.read_bytes()})
        place = ("-i", tmp_path / "restored", "--endpoint-url", server.endpoint_url)
        assert foresee("restore", f"s3://{bucket}/b", *place)["points"] == 9
        missing = run("restore", f"s3://{bucket}/c", *place, "--dry-run")
        assert (missing.exit_code, "is no whole backup" in missing.stderr) == (2, True)


def test_what_was_done_is_json_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.jobs.ingest.build_recipe", fakes.recipe)
    fakes.write_images(tmp_path / "images", 2)
    for command, done in (("ingest", 2), ("sync", 0)):
        result = run(command, tmp_path / "images", *place(tmp_path), "--json")
        fields = json.loads(result.stdout)
        assert (fields["listed"], fields["done"], fields["removed"]) == (2, done, 0)
        assert fields["index"] == str(tmp_path / "index")
    moved = json.loads(run("migrate", tmp_path / "moved", "-i", tmp_path / "index", "-j").stdout)
    assert (moved["points"], moved["images"]) == (6, 2)


@pytest.mark.parametrize("left", [["001.png"], []])
def test_json_counts_added_objects_that_go_with_their_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: list[str]
) -> None:
    monkeypatch.setattr("pipeline.jobs.ingest.build_recipe", fakes.recipe)
    images = tmp_path / "images"
    fakes.write_images(images, 2)
    assert run("ingest", images, *place(tmp_path)).exit_code == 0
    add(fakes.settings(tmp_path / "index"), images / "000.png")
    for path in images.iterdir():
        if path.name not in left:
            path.unlink()
    result = run("sync", images, *place(tmp_path), "--max-delete", "1", "--json")
    fields = json.loads(result.stdout)
    found = [fields[name] for name in ("listed", "removed", "dropped_added")]
    assert found == [len(left), 2 - len(left), 1]
