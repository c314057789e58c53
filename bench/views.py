"""What an embedder is fed of an object, by how well texts and objects then find objects.

    python -m bench.views --scenes 200 --seed 2024

The demo's scenes of a seed are segmented once by `sam_demo` and `maskrcnn_demo`; what they find is
kept in `--cache`, as are vectors, so that a run goes on where another ended. Every way to cut
crops that the settings know is then measured with `clip_demo`: labels and keywords of what is there
by the rank of the first right object, objects by the first of the same concept in another style in
another scene (`objseek eval demo` does likewise, in an index). A second table has masks of
segmenters and of the truth, and their boxes instead. Nearness alone ranks: labels and words of an
index, and calibrations, were fitted to the default crops. In brackets are differences, to the
default or to the masks, with where 95% of them lie when texts, or scenes of the objects asked for,
are drawn anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench.kept_scenes import keep_scenes
from bench.view_scores import (
    Bootstrap,
    Gallery,
    Queries,
    Ranks,
    ViewRanks,
    rank_queries,
    reciprocal,
)
from bench.view_sources import DEFAULT, Source, list_sources, vary
from pipeline.evaluation.text_queries import FIRST
from schemas.options import EmbedderOptions
from workers.embedders import clip_demo
from workers.embedders.clip_embedder import ClipEmbedder

_MARGINS = (0.0, 0.1, 0.3)
_COLUMNS = ("texts: first", "first ten", "MRR", "objects: first ten", "MRR", "ms")
_CROPS_OF_BOXES = {"views": "context", "context_margin": 0.0}
"""What texts found most by with boxes in 60 scenes of seed 71, of these and the default."""


def list_variants() -> dict[str, EmbedderOptions]:
    """All that is measured, by what its row is called; the default comes first."""
    settings: dict[str, dict[str, object]] = {
        "cutout (default)": {},
        **{f"cutout, margin {margin:g}": {"context_margin": margin} for margin in _MARGINS},
        "cutout on the mean around it": {"cutout_background": "mean"},
        "cutout on the blurred image": {"cutout_background": "blur"},
        "cutout, squashed": {"to_square": "squash"},
        "context": {"views": "context"},
        **{
            f"context, margin {margin:g}": {"views": "context", "context_margin": margin}
            for margin in _MARGINS
        },
        "context, padded": {"views": "context", "to_square": "pad"},
        "context, squashed": {"views": "context", "to_square": "squash"},
        **{
            f"both, the cutout weighs {weight:g}": {"views": "both", "cutout_weight": weight}
            for weight in (0.5, 0.25, 0.75)
        },
        "both, cutout on the blurred image": {"views": "both", "cutout_background": "blur"},
    }
    return {name: vary(**changes) for name, changes in settings.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What one way to cut crops comes to; `against` is what it is compared with."""

    ranks: ViewRanks
    ms_an_object: float
    against: Row | None


class Table:
    """Ranks the same queries for every row."""

    def __init__(self, embedder: ClipEmbedder, queries: Queries) -> None:
        self._embedder, self._queries = embedder, queries
        self._texts = embedder.embed_texts(queries.texts)
        self._draws = (
            Bootstrap(np.arange(len(queries.texts))),
            Bootstrap(queries.groups),
        )

    def measure(
        self, source: Source, gallery: Gallery, options: EmbedderOptions, against: Row | None
    ) -> Row:
        """Rank all queries among the objects of a source."""
        embedded = source.embed(self._embedder, options)
        ranks = rank_queries(gallery, embedded.vectors, self._texts, self._queries)
        return Row(ranks, 1000 * embedded.cpu_s / max(len(embedded.vectors), 1), against)

    def print_rows(self, title: str, rows: Mapping[str, Row]) -> None:
        """As a table of Markdown."""
        print(f"\n| {title} | {' | '.join(_COLUMNS)} |\n|{' --- |' * (len(_COLUMNS) + 1)}")
        for name, row in rows.items():
            print(f"| {name} | {' | '.join(self._show(row))} |")

    def _show(self, row: Row) -> Iterator[str]:
        texts, objects = row.ranks.texts, row.ranks.objects
        others = None if row.against is None else row.against.ranks
        by_text, by_object = self._draws
        yield f"{np.mean(texts < 1):.3f}"
        yield f"{np.mean(texts < FIRST):.3f}"
        yield _compare(by_text, texts, None if others is None else others.texts)
        yield f"{np.mean(objects < FIRST):.3f}"
        yield _compare(by_object, objects, None if others is None else others.objects)
        yield f"{row.ms_an_object:.1f}"


def _compare(draws: Bootstrap, ranks: Ranks, others: Ranks | None) -> str:
    values = reciprocal(ranks)
    if others is None:
        mean = draws.mean(values)
        return f"{mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f})"
    gain = draws.mean(values - reciprocal(others))
    return f"{values.mean():.3f} ({gain.value:+.3f}: {gain.low:+.3f} to {gain.high:+.3f})"


def measure_crops(table: Table, found: Source, gallery: Gallery) -> dict[str, Row]:
    """Every way to cut, against the default."""
    rows: dict[str, Row] = {}
    for name, options in list_variants().items():
        default = next(iter(rows.values()), None)
        rows[name] = table.measure(found, gallery, options, default)
    return rows


def measure_objects(table: Table, sources: Sequence[Source]) -> dict[str, Row]:
    """Masks as by default; against each the boxes of the same, cut likewise and as suits them."""
    rows = {}
    for source in sources:
        masks = table.measure(source, source.build_gallery(), DEFAULT, None)
        boxes = source.fill_boxes()
        gallery, suited = boxes.build_gallery(), vary(**_CROPS_OF_BOXES)
        rows[f"{source.name}, masks"] = masks
        rows[f"{source.name}, boxes"] = table.measure(boxes, gallery, DEFAULT, masks)
        rows[f"{source.name}, boxes as context of margin 0"] = table.measure(
            boxes, gallery, suited, masks
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--held-out", action="store_true", help="in styles that nothing has seen")
    parser.add_argument("--cache", type=Path, default=Path("build/views"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    scenes = keep_scenes(args.cache, args.scenes, args.seed, held_out=args.held_out)
    queries = Queries.of(scenes.truth)
    table = Table(clip_demo.build(DEFAULT), queries)
    sources = list_sources(scenes)
    gallery = sources[0].build_gallery()
    table.print_rows("crops", measure_crops(table, sources[0], gallery))
    table.print_rows("objects", measure_objects(table, sources))
    print(
        f"\n{args.scenes} scenes of seed {args.seed}; {len(queries.texts)} texts, "
        f"{len(queries.objects)} objects asked for among {len(gallery.shown)} masks"
    )


if __name__ == "__main__":
    main()
