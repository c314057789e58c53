"""Wrong calls of the commands that change an index or look at what it holds."""

from __future__ import annotations

# As a user types them; {w} is a folder with an index of squares, `index`, and its images.
CALLS: list[tuple[str, str]] = [
    ("demo --scenes 0", "Invalid value for '--scenes': Input should be greater than or equal to 1"),
    (
        "demo --workers 0",
        "Invalid value for '--workers' / '-w': Input should be greater than or equal to 1",
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
        "Invalid value for '--limit' / '-n': Input should be a valid integer, unable to",
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
        "Invalid value for '--device' / '-d': Value error, 'tpu' is not one of 'auto',",
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
    ("sync", "Missing argument 'SOURCE...'."),
    (
        "sync {w}/none --index {w}/index",
        "expected a folder, a file or a glob, got nothing at '{w}/none'",
    ),
    (
        "sync {w}/one.png --max-delete 2 --index {w}/index",
        "Invalid value for '--max-delete': Input should be less than or equal to 1",
    ),
    ("ingest {w}/notes --dry-run", "no images under {w}/notes"),
    ("ingest {w}/one.png --dry-run --segmenter sam_vit_x", "no segmenter is called 'sam_vit_x'"),
    ("reembed --embedder ViT-B-32/openai --dry-run --index none", "nothing was ingested there"),
    ("restore {w}/notes --dry-run --index new", "{w}/notes is no whole backup"),
    (
        "restore {w}/none --dry-run --index new",
        "expected a folder or s3://bucket/prefix, got nothing at '{w}/none'",
    ),
    ("migrate other --dry-run --index none", "nothing was ingested there"),
    ("export {w}/list.json --format coco --index {w}/index", "is there: --force writes over it"),
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
        "failures --only done --index {w}/index",
        "Invalid value for '--only': Value error, 'done' is not one of",
    ),
    ("retry --index none", "expected an index at 'none', nothing was ingested there"),
    (
        "retry --only done --index {w}/index",
        "Invalid value for '--only': Value error, 'done' is not one of",
    ),
    (
        "failures --state a --state b --index {w}/index",
        "expected one place with --state, got a and b",
    ),
    ("doctor --device tpu", "Invalid value for '--device' / '-d': Value error, 'tpu' is not one"),
    ("status -q -v --index {w}/index", "expected either --quiet or --verbose, got both"),
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
    ("init --objects 5 --index http://127.0.0.1:9/photos", "at http://127.0.0.1:9 does not answer"),
    ("plan", "expected a source or --images, got neither"),
    ("plan {w}/notes", "no images under {w}/notes (skipped: 1 as not an image by its suffix)"),
    ("plan --images 9 --gpu {w}/odd.toml", "the profile {w}/odd.toml: name: Field required"),
]
