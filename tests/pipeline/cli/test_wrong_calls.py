"""A hundred wrong calls: each a sentence on stderr, an exit code, and no traceback."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import Result
from support.colour_world import build_index
from support.commands import objseek
from typer.testing import CliRunner

from pipeline.cli.main import COMMANDS, app

# As a user types them; {w} is a folder with an index of squares, `index`, and its images.
CALLS: list[tuple[str, str]] = [
    ("demo --scenes 0", "Invalid value for '--scenes': Input should be greater than or equal to 1"),
    (
        "demo --workers 0",
        "Invalid value for '--workers': Input should be greater than or equal to 1",
    ),
    (
        "demo --port 70000",
        "Invalid value for '--port': Input should be less than or equal to 65535",
    ),
    (
        "demo --runner dask",
        "Invalid value for '--runner': Value error, 'dask' is not one of 'ray',",
    ),
    ("demo --seed x", "Invalid value for '--seed': Input should be a valid integer, unable to"),
    ('demo ""', "expected a text to search for, got a blank one in ''"),
    (
        "demo --out {w}/notes/notes.txt --scenes 1",
        "expected a folder to write the demo to, got the file {w}/notes/notes.txt",
    ),
    ("segment", "Missing argument 'IMAGE...'."),
    ("segment {w}/notes", "no images under {w}/notes (skipped: 1 as not an image by its suffix)"),
    ("segment {w}/one.png --segmenter nothing", "nothing"),
    ("segment {w}/one.png --boxes {w}/list.json", "{w}/list.json"),
    ("ingest", "Missing argument 'SOURCE...'."),
    ("ingest {w}/notes", "no images under {w}/notes (skipped: 1 as not an image by its suffix)"),
    ("ingest {w}/none", "expected a folder, a file or a glob, got nothing at '{w}/none'"),
    ('ingest ""', "expected s3://bucket/prefix, a folder, a file or a glob, got ''"),
    ("ingest gs://bucket/x", "expected s3://bucket/prefix, a folder, a file or a glob, got"),
    ("ingest s3://", "expected s3://bucket/prefix, got 's3://'"),
    (
        "ingest {w}/one.png --index ftp://host/x",
        "expected a folder, http(s)://host:6333/collection, lance+s3://bucket/prefix or "
        "lance+file:///folder as index, got 'ftp://host/x'",
    ),
    (
        "ingest {w}/one.png --index lance+s3:///photos",
        "expected lance+s3://bucket/prefix as index, got 'lance+s3:///photos'",
    ),
    (
        "search dog --index lance+file://photos",
        "expected lance+file:///folder as index, got 'lance+file://photos'",
    ),
    (
        "search dog --index lance+file:///photos?version=3",
        "expected nothing after the place of an index, got 'lance+file:///photos?version=3'",
    ),
    (
        'ingest {w}/one.png --index ""',
        "setting index.location: string should have at least 1 character, got ''",
    ),
    (
        "ingest {w}/one.png --index {w}/notes",
        "the folder {w}/notes is no index and holds other things (notes.txt),",
    ),
    (
        "ingest {w}/one.png --index {w}/one.png",
        "the index folder {w}/one.png cannot be used: Not a directory",
    ),
    (
        "ingest {w}/one.png --index http://localhost:1",
        "expected http(s)://host:6333/collection as index, got",
    ),
    (
        "ingest {w}/one.png --index http://user:pw@localhost/x",
        "expected http(s)://host:6333/collection as index, got",
    ),
    (
        "ingest {w}/one.png --limit 0",
        "setting limit: input should be greater than or equal to 1, got 0 in the",
    ),
    (
        "ingest {w}/one.png --limit x",
        "Invalid value for '--limit': Input should be a valid integer, unable to",
    ),
    (
        "ingest {w}/one.png --workers 0",
        "setting runner.workers: input should be greater than or equal to 1, got 0",
    ),
    (
        "ingest {w}/one.png --batch-size 0",
        "setting runner.batch_size: input should be greater than or equal to 1,",
    ),
    (
        "ingest {w}/one.png --runner dask",
        "Invalid value for '--runner': Value error, 'dask' is not one of 'ray',",
    ),
    ("ingest {w}/one.png --segmenter sam_vit_x", "no segmenter is called 'sam_vit_x'"),
    ("ingest {w}/one.png --embedder clip", "no embedder is called 'clip'"),
    (
        "ingest {w}/one.png --embedder local-dir:{w}/notes",
        "expected the description of the model at {w}/notes/open_clip_config.json,",
    ),
    (
        "ingest {w}/one.png --device tpu",
        "Invalid value for '--device': Value error, 'tpu' is not one of 'auto',",
    ),
    (
        "ingest {w}/one.png --preset best",
        "Invalid value for '--preset': Value error, 'best' is not one of 'fast',",
    ),
    (
        "ingest {w}/one.png --precision fp16",
        "Invalid value for '--precision': Value error, 'fp16' is not one of",
    ),
    (
        "ingest {w}/one.png --config {w}/none.toml",
        "the settings file {w}/none.toml cannot be read: No such file or directory",
    ),
    (
        "ingest {w}/one.png --config {w}/bad.toml",
        "the settings file {w}/bad.toml is not TOML: Expected ']' at the end of a",
    ),
    (
        "ingest {w}/one.png --config {w}/odd.toml",
        "unknown setting segmenter.points in {w}/odd.toml",
    ),
    (
        "ingest {w}/one.png --stall-timeout 0",
        "setting runner.stall_timeout_s: input should be greater than 0, got 0.0",
    ),
    (
        "ingest {w}/one.png --state ftp://x/y",
        "expected a folder or s3://bucket/prefix as state, got 'ftp://x/y'",
    ),
    (
        "ingest {w}/one.png --segmnter x",
        "No such option: --segmnter (Possible options: --embedder, --segmenter,",
    ),
    ("search", "expected a text, an image, an object or a vector to look for, got none"),
    ('search ""', "expected a text to search for, got a blank one in ''"),
    ('search " ^2" --index {w}/index', "expected a text to search for, got a blank one in ' ^2'"),
    ("search red", "there is no index in the folder objseek-index"),
    ("search red --index none", "there is no index in the folder none"),
    (
        "search red --index {w}/notes",
        "the folder {w}/notes is no index and holds other things (notes.txt),",
    ),
    (
        "search red --index http://127.0.0.1:1/x",
        "the Qdrant server at http://127.0.0.1:1 does not answer: [Errno 111]",
    ),
    ("search red --index {w}/index --limit 0", "limit: Input should be greater than or equal to 1"),
    (
        "search red --index {w}/index --limit 20000",
        "limit: Input should be less than or equal to 10000",
    ),
    ("search red --index {w}/index --min-score nan", "min_score: Input should be a finite number"),
    (
        "search red --index {w}/index --filter colour=red",
        "ected one of kind, store, bucket, key, uri, image_id, version,",
    ),
    (
        "search red --index {w}/index --filter area",
        "expected a filter such as 'area_frac>0.05' (a field, one of = != < <= >",
    ),
    (
        "search red --index {w}/index --filter area=big",
        "the filter field 'area' takes a whole number, got 'big'",
    ),
    (
        "search red --index {w}/index --filter area^=1",
        "the filter field 'area' takes = != < <= > >=, got '^='",
    ),
    (
        "search red --index {w}/index --filter labels<3",
        "the filter field 'labels' takes = != ^=, got '<'",
    ),
    ("search red --index {w}/index --filter labels=", "the filter 'labels=' has no value"),
    (
        "search red --index {w}/index --filter ingested_at>yesterday",
        "the filter field 'ingested_at' takes a time such as 2026-01-31T12:00:00Z,",
    ),
    (
        "search red --index {w}/index --box 1,2,3,4",
        "expected an --image to go with --box or --point",
    ),
    ("search red --index {w}/index --point 1,2", "expected an --image to go with --box or --point"),
    (
        "search --image {w}/none.png --index {w}/index",
        "expected an image to search with, got nothing at '{w}/none.png'",
    ),
    (
        "search --image {w}/bad.png --index {w}/index",
        "expected an image (JPEG, PNG, WEBP, BMP, GIF, TIFF, AVIF, HEIF), got 8",
    ),
    (
        "search --image {w}/one.png --box 1,2,3 --index {w}/index",
        "expected a box as x0,y0,x1,y1 in whole pixels, got '1,2,3'",
    ),
    (
        "search --image {w}/one.png --point 1 --index {w}/index",
        "expected a point as x,y in pixels, got '1'",
    ),
    (
        "search --image {w}/one.png --box 1,2,3,4 --point 1,2 --index {w}/index",
        "expected a box or a point, got both",
    ),
    (
        "search --like apple --index {w}/index",
        "expected the id of an indexed object, as a search prints it, got 'apple'",
    ),
    (
        "search --unlike apple --index {w}/index",
        "expected a text, an image, an object or a vector to look for, got none",
    ),
    (
        "search red --kind thing --index {w}/index",
        "Invalid value for '--kind': Value error, 'thing' is not one of 'auto',",
    ),
    (
        "search red --group-by day --index {w}/index",
        "Invalid value for '--group-by': Value error, 'day' is not one of 'image'.",
    ),
    (
        "search red --group-by image --group-size 0 --index {w}/index",
        "group_size: Input should be greater than or equal to 1",
    ),
    (
        "search red --max-overlap 2 --index {w}/index",
        "Invalid value for '--max-overlap': Input should be less than or equal to 1",
    ),
    (
        "search red --diversity -1 --index {w}/index",
        "Invalid value for '--diversity': Input should be greater than or equal to",
    ),
    (
        "search red --strategy worst --index {w}/index",
        "Invalid value for '--strategy': Value error, 'worst' is not one of",
    ),
    (
        "search red --sheet sheet.gif --index {w}/index",
        "expected a sheet that ends in one of .png, .jpg, .jpeg, .webp, got",
    ),
    (
        "search red --sheet {w}/none/sheet.png --index {w}/index",
        "the sheet cannot be written to {w}/none/sheet.png: no folder to write in",
    ),
    (
        "search red --embedder ViT-B-32/openai --index {w}/index",
        "the index was built with the embedder 'clip_demo', it cannot be searched",
    ),
    ("serve --index none", "there is no index in the folder none"),
    (
        "serve --index {w}/index --port 70000",
        "Invalid value for '--port': Input should be less than or equal to 65535",
    ),
    (
        "serve --index {w}/index --host 0.0.0.0",
        "expected keys to listen on 0.0.0.0, where others can reach it: make one",
    ),
    (
        "serve --index {w}/index --keys {w}/none.json",
        "there is no key in {w}/none.json: make one with `objseek keys create NAME`",
    ),
    (
        "serve --index http://127.0.0.1:1/x --snapshot",
        "expected a folder to copy, got http://127.0.0.1:1/x: a server needs no",
    ),
    ("sync", "Missing argument 'SOURCE...'."),
    (
        "sync {w}/none --index {w}/index",
        "expected a folder, a file or a glob, got nothing at '{w}/none'",
    ),
    (
        "sync {w}/one.png --max-delete 2 --index {w}/index",
        "Invalid value for '--max-delete': Input should be less than or equal to 1",
    ),
    ("watch", "Missing argument 'SOURCE...'."),
    (
        "watch {w}/none --once --index {w}/index",
        "expected a folder, a file or a glob, got nothing at '{w}/none'",
    ),
    (
        "watch {w}/one.png --every 0 --index {w}/index",
        "Invalid value for '--every': Input should be greater than or equal to 1",
    ),
    (
        "watch {w}/one.png --queue nowhere --once --index {w}/index",
        "expected the URL of an SQS queue, such as",
    ),
    ("status --index none", "there is no index in the folder none"),
    (
        "status --depth 0 --index {w}/index",
        "Invalid value for '--depth': Input should be greater than or equal to 1",
    ),
    (
        "status --by month --index {w}/index",
        "Invalid value for '--by': Value error, 'month' is not one of 'prefix',",
    ),
    ("failures --index none", "expected an index at 'none', nothing was ingested there"),
    (
        "failures --state done --index {w}/index",
        "Invalid value for '--state': Value error, 'done' is not one of",
    ),
    ("retry --index none", "expected an index at 'none', nothing was ingested there"),
    (
        "retry --state done --index {w}/index",
        "Invalid value for '--state': Value error, 'done' is not one of",
    ),
    ("optimize --index none", "expected an index at 'none', nothing was ingested there"),
    ("verify --index none", "expected an index at 'none', nothing was ingested there"),
    (
        "verify --max-delete 2 --index {w}/index",
        "Invalid value for '--max-delete': Input should be less than or equal to 1",
    ),
    ("label --index none", "there is no index in the folder none"),
    (
        "label --names {w}/none.txt --index {w}/index",
        "the list of labels {w}/none.txt cannot be read: No such file or directory",
    ),
    (
        "label --top-k 0 --index {w}/index",
        "setting labels.top_k: input should be greater than or equal to 1, got 0",
    ),
    (
        "label --min-score 2 --index {w}/index",
        "setting labels.min_score: input should be less than or equal to 1, got",
    ),
    (
        "reembed --index {w}/index",
        "expected the embedder to change to, got none: name it with --embedder",
    ),
    ("reembed --embedder clip --index {w}/index", "no embedder is called 'clip'"),
    (
        "reembed --embedder ViT-B-32/laion --index {w}/index",
        "no embedder is called 'ViT-B-32/laion'",
    ),
    (
        "reembed --embedder ViT-B-32/openai --index none",
        "expected an index at 'none', nothing was ingested there",
    ),
    ("generations --index none", "expected an index at 'none', there is none"),
    (
        "generations --use other --index {w}/index",
        "expected one of the generations first, got other",
    ),
    (
        "generations --drop first --index {w}/index",
        "expected a generation that is not in use, first is: use another first",
    ),
    ("export", "Missing argument 'target'."),
    (
        "export {w}/notes --index {w}/index",
        "expected a new or empty folder to write to, {w}/notes is neither",
    ),
    ("export {w}/objects --index none", "expected an index at 'none', nothing was ingested there"),
    (
        "export {w}/objects --format csv --index {w}/index",
        "Invalid value for '--format': Value error, 'csv' is not one of 'parquet',",
    ),
    ("import", "Missing argument 'source'."),
    ("import {w}/none --index new", "expected a folder or s3://bucket/prefix, got '{w}/none'"),
    (
        "import {w}/none.json --index new",
        "expected a COCO file at {w}/none.json, it cannot be read: No such file or",
    ),
    (
        "import {w}/no.json --images {w} --index new",
        "expected a COCO file, {w}/no.json is no JSON: Expecting value at line 1,",
    ),
    (
        "import {w}/list.json --images {w} --index new",
        "expected a COCO file, {w}/list.json holds no object",
    ),
    (
        "import {w}/notes --strict --index new",
        "expected --strict with a COCO file or vectors only, got {w}/notes",
    ),
    ("backup", "Missing argument 'target'."),
    (
        "backup {w}/notes --index {w}/index",
        "expected a new or empty folder to write to, {w}/notes is neither",
    ),
    ("restore {w}/none --index new", "expected a folder or s3://bucket/prefix, got '{w}/none'"),
    (
        "restore {w}/notes --index {w}/index",
        "expected nothing at {w}/index to restore to, there are images",
    ),
    (
        "migrate {w}/notes --index {w}/index",
        "the folder {w}/notes is no index and holds other things (notes.txt),",
    ),
    ("migrate {w}/other --index none", "expected an index at 'none', nothing was ingested there"),
    ("tune", "expected either `tune SOURCE` for a scorer or `tune --truth FILE --index INDEX`"),
    (
        "tune {w} --truth {w}/list.json",
        "expected either `tune SOURCE` for a scorer or `tune --truth FILE --index INDEX`",
    ),
    (
        "tune --truth {w}/list.json --images 9",
        "expected no --images beside --truth, which has no use for it",
    ),
    ("tune {w} --index {w}/index", "expected no --index beside SOURCE, which has no use for it"),
    (
        "tune --truth {w}/none.json --index {w}/index",
        "expected a COCO file at {w}/none.json, it cannot be read: No such file or",
    ),
    (
        "search red --index {w}/index --calibration {w}/none.json",
        "there is no calibration '{w}/none.json' ({w}/none.json): `objseek tune` fits one,",
    ),
    ("tune {w} --images 3", "Invalid value for '--images': Input should be greater than or equal"),
    ("tune {w} --max-lost 2", "Invalid value for '--max-lost': Input should be less than or equal"),
    (
        "tune {w} --name a/b",
        "expected a name of letters, digits, dots, dashes and underscores,",
    ),
    (
        "eval",
        "expected one of `eval demo`, `eval prompts`, `eval segmentation`, `eval masks",
    ),
    (
        "eval demo --truth {w}/list.json",
        "expected one of `eval demo`, `eval prompts`, `eval segmentation`, `eval masks",
    ),
    (
        "eval demo --scenes 0",
        "Invalid value for '--scenes': Input should be greater than or equal to 1",
    ),
    (
        "eval --truth {w}/none.json --index {w}/index",
        "expected a COCO file at {w}/none.json, it cannot be read: No such file or",
    ),
    (
        "eval --truth {w}/no.json --index {w}/index",
        "expected a COCO file, {w}/no.json is no JSON: Expecting value at line 1,",
    ),
    (
        "eval demo --json {w}/none/figures.json",
        "the figures cannot be written to {w}/none/figures.json: no folder to",
    ),
    ("keys create", "Missing argument 'name'."),
    ('keys create "" --keys {w}/keys.json', "name: String should have at least 1 character"),
    (
        "keys create me --days 0",
        "Invalid value for '--days': Input should be greater than or equal to 0.001",
    ),
    (
        "keys create me --scope write",
        "Invalid value for '--scope': Value error, 'write' is not one of 'read',",
    ),
    ('search red --not " " --index {w}/index', "expected a text to search for, got a blank one"),
    ("keys revoke none --keys {w}/none.json", "no key has the id 'none', see `objseek keys list`"),
    (
        "keys list --keys {w}/no.json",
        "expected the keys of objseek in {w}/no.json, got another file",
    ),
    (
        "models pull nothing",
        "no model is called 'nothing': there are sam_demo, sam_vit_b, sam_vit_l,",
    ),
    ("models pull", "Missing argument 'name'."),
    ("models push", "No such command 'push'."),
    ("plan", "expected a source or --images, got neither"),
    ("plan {w}/notes", "no images under {w}/notes (skipped: 1 as not an image by its suffix)"),
    ("plan --images 9 --gpu {w}/odd.toml", "the profile {w}/odd.toml: name: Field required"),
    ("ingst", "No such command 'ingst'. Did you mean 'ingest'?"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wrong")
    build_index(folder)
    (folder / "notes").mkdir()
    (folder / "notes" / "notes.txt").write_text("notes")
    (folder / "bad.toml").write_text("[index\n")
    (folder / "odd.toml").write_text("[segmenter]\npoints = 5\n")
    (folder / "list.json").write_text("[]")
    (folder / "no.json").write_text("no")
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def call(line: str, world: Path) -> Result:
    return CliRunner().invoke(app, shlex.split(line.replace("{w}", str(world))))


@pytest.mark.parametrize(("line", "sentence"), CALLS, ids=[line for line, _ in CALLS])
def test_a_wrong_call_is_a_sentence(
    world: Path, line: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(line, world)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.output
    # Typer frames what is wrong with a call, and folds it.
    told = " ".join(result.stderr.replace("│", " ").split())
    assert sentence.replace("{w}", str(world)).replace(" ", "") in told.replace(" ", "")
    assert list(tmp_path.iterdir()) == []


def test_every_command_is_called_wrongly() -> None:
    assert {line.split()[0] for line, _ in CALLS} >= set(COMMANDS)
    assert len(CALLS) >= 100


@pytest.mark.parametrize(
    "line",
    [
        "search --image none.png --index {w}/index",
        "ingest {w}/notes --index new",
        "serve --index none",
        "reembed --index {w}/index",
        "sarch cats",
    ],
)
def test_a_process_of_its_own_says_the_same(world: Path, line: str) -> None:
    done = objseek(*shlex.split(line.replace("{w}", str(world))))
    assert done.returncode in (1, 2)
    assert (done.stdout, "Traceback" in done.stderr) == ("", False)
    assert "rror" in done.stderr
