"""Hits of a search from Python that stand behind better ones which they are near-duplicates of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import fakes
from support.alike_world import image_at, turned
from support.index_cases import KINDS, make_opener

import objseek
from objseek import Hit
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings


class Turned(fakes.MeanEmbedder):
    dim = 8
    name = "clip_x"


def name(hit: Hit) -> str:
    return hit.uri.rpartition("/")[2]


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")
@pytest.mark.parametrize("kind", KINDS)
def test_near_duplicates_stand_behind_the_better_hit(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, removed = make_opener(kind, tmp_path)
    made = opened()
    made.replace_images([image_at(f"{degrees}.jpg", degrees) for degrees in (0, 1, 2, 60, 61)])
    searcher = Searcher(made, Turned(), Settings())
    monkeypatch.setattr(Searcher, "open", lambda settings: searcher)
    query: dict[str, Any] = {"vector": turned(0), "kind": "image"}
    with objseek.connect("./index") as index:
        collapsed = index.search(**query, collapse=True)
        rows = collapsed.to_arrow()
        all_hits = index.search(**query)
    removed()
    stacks = {name(hit): [name(other) for other in hit.alike] for hit in collapsed}
    assert stacks == {"0.jpg": ["1.jpg", "2.jpg"], "60.jpg": ["61.jpg"]}
    behind = collapsed[0].alike[0]
    assert isinstance(behind, Hit)
    assert (behind.score < collapsed[0].score, behind.mask.shape) == (True, (20, 30))
    assert rows["alike"].to_pylist() == [
        [hit.object_id for hit in hits.alike] for hits in collapsed
    ]
    assert [(name(hit), hit.alike) for hit in all_hits] == [
        (f"{degrees}.jpg", ()) for degrees in (0, 1, 2, 60, 61)
    ]
