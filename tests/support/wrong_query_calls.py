"""Wrong calls of the commands that search, measure, move and serve an index."""

from __future__ import annotations

TOO_LONG = "x" * 300
"""A name that no file system takes."""

# As a user types them; {w} is a folder with an index of squares, `index`, and its images.
CALLS: list[tuple[str, str]] = [
    ("segment", "Missing argument 'IMAGE...'."),
    ("segment {w}/notes", "no images under {w}/notes (skipped: 1 as not an image by its suffix)"),
    ("segment {w}/one.png --segmenter nothing", "nothing"),
    ("segment {w}/one.png --boxes {w}/list.json", "{w}/list.json"),
    (
        "search dog --index lance+file://photos",
        "expected lance+file:///folder as index, got 'lance+file://photos'",
    ),
    (
        "search dog --index lance+file:///photos?version=3",
        "expected nothing after the place of an index, got 'lance+file:///photos?version=3'",
    ),
    ("duplicates --index none", "nothing was ingested there"),
    ("duplicates --index {w}/index --json --csv", "expected --json or --csv, got both"),
    ("map --index none", "nothing was ingested there"),
    ("map --index {w}/index --limit 0", "Invalid value for '--limit'"),
    ("tag --add red", "expected ids of objects to tag, or a --filter, got none"),
    (
        "tag apple --add red",
        "expected the id of an indexed object, as a search prints it, got 'apple'",
    ),
    ("tag apple --filter area>1 --add red", "expected ids of objects or a --filter, got both"),
    ("tag apple --index {w}/index", "expected a tag to --add or to --remove, got none"),
    (
        "tag --filter area>1 --add '' --index {w}/index",
        "expected a tag of 1 to 64 characters, got 0",
    ),
    ("tag --filter area --add x --index {w}/index", "expected a filter such as 'area_frac>0.05'"),
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
        "expected an --image to go with --box, --point or --mask",
    ),
    (
        "search red --index {w}/index --point 1,2",
        "expected an --image to go with --box, --point or --mask",
    ),
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
        "expected one of a box, a point and a mask, got a box and a point",
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
    ("export", "Missing argument 'target'."),
    (
        "export {w}/notes --index {w}/index",
        "expected a new or empty folder to write to, {w}/notes is neither",
    ),
    ("export {w}/objects --index none", "expected an index at 'none', nothing was ingested there"),
    (
        "export {w}/objects --format xml --index {w}/index",
        "Invalid value for '--format': Value error, 'xml' is not one of 'parquet',",
    ),
    ("import", "Missing argument 'source'."),
    (
        "import {w}/none --index new",
        "expected a folder or s3://bucket/prefix, got nothing at '{w}/none'",
    ),
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
    (
        "import s3://bucket/masks.json --images {w} --index new",
        "expected a COCO file of this machine, got s3://bucket/masks.json",
    ),
    (
        "export s3://bucket/masks.json --format coco --index {w}/index",
        "expected a file of this machine for coco, got s3://bucket/masks.json",
    ),
    (
        "export {w}/list.json/masks.json --format coco --index {w}/index",
        "the COCO file cannot be written to {w}/list.json/masks.json: no folder to write in",
    ),
    *(
        (
            f"export {TOO_LONG} --format {form} --index {{w}}/index",
            "File name too long",
        )
        for form in ("coco", "csv", "label-studio")
    ),
    (f"search red --sheet {TOO_LONG}.png --index {{w}}/index", "File name too long"),
    (f"segment {{w}}/one.png --coco {TOO_LONG}", "File name too long"),
    (f"import {TOO_LONG} --index new", f"got nothing at '{TOO_LONG}'"),
    (f"import {TOO_LONG}.npy --index new", f"got nothing at {TOO_LONG}.npy"),
    (f"restore {TOO_LONG} --index new", f"got nothing at '{TOO_LONG}'"),
    ("backup", "Missing argument 'target'."),
    (
        "backup {w}/notes --index {w}/index",
        "expected a new or empty folder to write to, {w}/notes is neither",
    ),
    (
        "restore {w}/none --index new",
        "expected a folder or s3://bucket/prefix, got nothing at '{w}/none'",
    ),
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
        "eval demo --figures {w}/none/figures.json",
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
    ("ingst", "No such command 'ingst'. Did you mean 'ingest', 'init'?"),
]
