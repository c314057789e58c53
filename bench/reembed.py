"""Another embedder for the demo's bucket: by `reembed`, and by an ingest of everything anew.

    python -m bench.reembed --scenes 24

The scenes are ingested with the bundled models, then embedded with a model of ViT-B-32's size, with
weights at random, which take as long as learned ones. The peer is what there is without stored
masks: an ingest with that embedder into an empty index, in the same run. Both have to come to the
same objects and vectors; how many images were segmented for it is counted. Vectors of the labels,
which are made once for an embedder on a machine, are made before either.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import open_clip
from rich.console import Console
from safetensors.torch import save_file

from pipeline.demo.bucket import write_bucket
from pipeline.index_home import IndexHome, drop_generation
from pipeline.jobs.ingest import ingest
from pipeline.jobs.reembed import reembed
from pipeline.runners.recipe import build_recipe
from pipeline.settings import Settings
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import EmbedderOptions, IndexOptions, RunnerOptions
from workers.embedders.clip_embedder import silence_loading
from workers.indexes.open import open_index
from workers.segmenters.grid_segmenter import GridSegmenter

_RESULTS = Path(__file__).parent / "results" / "reembed.json"
_MODEL = "ViT-B-32"


def random_clip(folder: Path) -> str:
    """A CLIP of ViT-B-32's shape in `folder`; the embedder's name."""
    folder.mkdir()
    with silence_loading():
        model = open_clip.create_model(_MODEL)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    described = {"model_cfg": open_clip.get_model_config(_MODEL), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    return f"local-dir:{folder}"


@contextmanager
def counted_segmenting() -> Iterator[list[int]]:
    """How many images each call of the segmenter got."""
    calls: list[int] = []
    segment = GridSegmenter.segment

    def counting(self: GridSegmenter, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        calls.append(len(images))
        return segment(self, images)

    with patch.object(GridSegmenter, "segment", counting):
        yield calls


def vectors_of(settings: Settings) -> dict[str, np.ndarray]:
    """Of every point, by its id."""
    with closing(open_index(settings.index, None)) as index:
        return {point.id: point.vector for point in index.scan() if point.vector is not None}


def on_disk_mib(folder: Path) -> float:
    """What a folder takes, without the holes in its files."""
    return sum(path.stat().st_blocks for path in folder.rglob("*")) * 512 / 2**20


def timed(work: Callable[[], object]) -> tuple[float, int]:
    """Seconds, and how many images were segmented."""
    with counted_segmenting() as calls:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started, sum(calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scenes", type=int, default=24)
    args = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bucket(folder / "scenes", args.scenes, seed=11)
        sources = [str(folder / "scenes")]
        usual = Settings(
            index=IndexOptions(location=str(folder / "index")), runner=RunnerOptions(name="local")
        )
        first_s, first = timed(lambda: ingest(sources, usual))
        other = EmbedderOptions(name=random_clip(folder / "clip"))
        changed = usual.model_copy(update={"embedder": other})
        labels_s, _ = timed(build_recipe(changed).labeller)
        reembed_s, segmented = timed(lambda: reembed(changed))
        anew = changed.model_copy(update={"index": IndexOptions(location=str(folder / "anew"))})
        ingest_s, segmented_anew = timed(lambda: ingest(sources, anew))
        ours, theirs = vectors_of(IndexHome.current(changed)), vectors_of(anew)
        if ours.keys() != theirs.keys():
            raise SystemExit("expected the same points, got others")
        off = max(float(np.abs(ours[identity] - theirs[identity]).max()) for identity in ours)
        size = on_disk_mib(folder / "index")
        drop_generation(changed, "first")
        left = on_disk_mib(folder / "index")
    if off > 1e-5:
        raise SystemExit(f"expected the same vectors, got some that are {off:.2g} off")
    console.print(
        f"{args.scenes} scenes, {len(ours):,} points, the first ingest in {first_s:.1f} s "
        f"({first} images segmented); vectors of the labels in {labels_s:.1f} s\n"
        f"embedded again in {reembed_s:.1f} s ({segmented} segmented), ingested anew in "
        f"{ingest_s:.1f} s ({segmented_anew} segmented): {ingest_s / reembed_s:.1f} times as fast; "
        f"the same points, vectors within {off:.1g}\n"
        f"dropping the first generation frees {size - left:.1f} of {size:.1f} MiB"
    )
    figures = {
        "scenes": args.scenes,
        "points": len(ours),
        "labels_s": round(labels_s, 1),
        "reembed_s": round(reembed_s, 1),
        "reembed_segmented": segmented,
        "ingest_s": round(ingest_s, 1),
        "ingest_segmented": segmented_anew,
        "ratio": round(ingest_s / reembed_s, 1),
        "vectors_off": off,
        "freed_mib": round(size - left, 1),
        "cores": len(os.sched_getaffinity(0)),
    }
    _RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
