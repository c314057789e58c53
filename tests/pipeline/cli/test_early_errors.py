"""What a command line names wrongly is told before models load or Ray starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import fakes
from support.colour_world import build_index
from support.paths import ROOT

from pipeline.index_home import IndexHome
from pipeline.jobs.ingest import ingest
from schemas.pipelines import Pipeline


def failing(*args: str | Path) -> tuple[str, list[str], int]:
    """The last line of a command's stderr, what heavy it imported, and its exit code."""
    code = (
        "import json, sys\nfrom pipeline.cli.main import app\n"
        "try: app(sys.argv[1:])\nexcept SystemExit as end: code = end.code\n"
        "heavy = [name for name in ('torch', 'ray', 'open_clip') if name in sys.modules]\n"
        "print(json.dumps(heavy), code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], cwd=ROOT,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    modules, _, exit_code = done.stdout.splitlines()[-1].rpartition(" ")
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1], json.loads(modules), int(exit_code)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of squares, a folder that is no model, and one that lacks its weights."""
    folder = tmp_path_factory.mktemp("world")
    build_index(folder)
    (folder / "empty").mkdir()
    (folder / "unweighted").mkdir()
    (folder / "unweighted" / "open_clip_config.json").write_text("{}")
    (folder / "broken.png").write_bytes(b"no image")
    return folder


@pytest.mark.parametrize(
    ("args", "sentence", "code"),
    [
        ("search --image {}/none.png", "expected an image to search with, got nothing at", 2),
        ("search --image {}/broken.png", "broken.png", 1),
        ("search --image {}/none.png --point 1,2", "got nothing at '{}/none.png'", 2),
        ("ingest {}/one.png --embedder clip_dmeo", "did you mean 'clip_demo'?", 2),
        (
            "ingest {}/one.png --embedder ViT-B-32/laion",
            "no embedder is called 'ViT-B-32/laion': did you mean",
            2,
        ),
        ("ingest {}/one.png --scorer none-such", "there is no scorer 'none-such'", 1),
        ("ingest {}/one.png --scorer {}/broken.png", "does not say of which model it is", 1),
        ("ingest {}/one.png --embedder local-dir:{}/none", "{}/none/open_clip_config.json", 1),
        ("ingest {}/one.png --embedder local-dir:{}/unweighted", "expected the weights beside", 1),
        ("sync {}/one.png --embedder local-dir:{}/empty", "{}/empty/open_clip_config.json", 1),
        ("watch {}/one.png --embedder x/y", "no embedder is called 'x/y'", 2),
        ("retry --embedder x/y", "no embedder is called 'x/y'", 2),
        ("reembed --embedder x/y", "no embedder is called 'x/y'", 2),
        ("reembed --embedder local-dir:{}/none", "{}/none/open_clip_config.json", 1),
        ("models pull ViT-B-32/laion", "no embedder is called 'ViT-B-32/laion': did you mean", 2),
    ],
)
def test_it_is_told_before_anything_heavy_is_imported(
    world: Path, args: str, sentence: str, code: int
) -> None:
    given = [part.replace("{}", str(world)) for part in args.split()]
    place = [] if given[0] == "models" else ["--index", str(world / "index")]
    told, imported, ended = failing(*given, *place)
    assert sentence.replace("{}", str(world)) in told
    assert (imported, ended) == ([], code)


def test_the_embedder_that_an_index_has_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 2)
    settings = fakes.settings(tmp_path / "index")
    ingest([str(tmp_path / "images")], settings, recipe=fakes.recipe(settings))
    home = IndexHome.current(settings)
    (made_by,) = home.manifest.fingerprints()
    pipeline = home.pipelines.look_up(made_by)
    assert isinstance(pipeline, Pipeline)
    # The stand-ins of this test have run under the name of the demo's embedder.
    config = tmp_path / "objseek.toml"
    config.write_text('[embedder]\nviews = "both"\ncontext_margin = 0.15\n')
    told, imported, code = failing(
        "reembed", "--embedder", "clip_demo", "--index", tmp_path / "index", "--config", config
    )
    assert told.startswith("Error: expected another embedder than that of the generation in use")
    assert f"has the vectors of {pipeline.embedder} already" in told
    assert (imported, code) == ([], 2)


@pytest.mark.long
def test_what_open_clip_has_is_known_without_it() -> None:
    code = (
        "import sys\nfrom workers.models.open_clip_names import list_names\n"
        "names = list_names()\nassert not {'torch', 'open_clip'} & set(sys.modules)\n"
        "import open_clip, safetensors.torch\n"
        "assert names == tuple('/'.join(pair) for pair in open_clip.list_pretrained())\n"
        "print(len(names) > 100, [name for name in sys.modules if name.startswith('_objseek')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "True []\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_result_that_a_full_disk_does_not_take_is_told(world: Path) -> None:
    script = str(Path(sys.executable).parent / "objseek")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [script, "tag", "--json", "--index", str(world / "index")],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    sentence = "Error: the result cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, sentence)
