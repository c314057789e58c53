"""objseek from Python: what its documentation says, and what hits become."""

from __future__ import annotations

import doctest
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.older_index import SOURCE, older_index
from support.paths import ROOT

import objseek
import pipeline.python_api.hits
import pipeline.python_api.index
from objseek import Index, ObjseekError
from schemas.errors import IndexBusyError, UsageError
from schemas.masks import CocoRle

SETTINGS: dict[str, Any] = {
    "segmenter": {"preset": "fast", "prompts": "grid", "precision": "fp32"},
    "embedder": {"precision": "fp32"},
    "runner": {"name": "local"},
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("python")
    with older_index(folder) as place, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("AWS_ENDPOINT_URL_S3", place.endpoint_url or "")
        with objseek.connect("./index", **SETTINGS) as connected:
            yield connected


@pytest.mark.parametrize(
    "module",
    [objseek, pipeline.python_api.index, pipeline.python_api.hits],
    ids=lambda m: m.__name__,
)
def test_its_examples_are_true(module: ModuleType, index: Index) -> None:
    index.close()  # the examples open the folder themselves
    names = {"objseek": objseek} if module is objseek else {"index": index}
    failed, tried = doctest.testmod(module, extraglobs=names)
    index.close()
    assert (failed, tried > 0) == (0, True)


def test_a_hit_shows_its_object(index: Index) -> None:
    best = index.search("a red apple")[0]
    x0, y0, x1, y1 = best.bbox_xyxy
    mask, image = best.mask, best.image()
    assert (mask.dtype, mask.shape, image.dtype) == (np.bool_, image.shape[:2], np.uint8)
    assert mask.sum() == best.area_px == mask[y0:y1, x0:x1].sum()
    assert np.array_equal(best.crop(), image[y0:y1, x0:x1])
    assert best.uri.startswith(SOURCE)
    assert isinstance(best.score, float)


def test_hits_become_tables_and_coco(index: Index) -> None:
    hits = index.search("a red apple", limit=4)
    table = hits.to_arrow()
    assert table["object_id"].to_pylist() == [hit.object_id for hit in hits]
    assert table["bbox_xyxy"].to_pylist() == [list(hit.bbox_xyxy) for hit in hits]
    coco = hits.to_coco()
    names = {image["id"]: image["uri"] for image in coco["images"]}
    for hit, annotation in zip(hits, coco["annotations"], strict=True):
        assert names[annotation["image_id"]] == hit.uri
        size, counts = annotation["segmentation"].values()
        assert np.array_equal(CocoRle(tuple(size), counts).decode(), hit.mask)


def test_hits_become_a_sheet(index: Index, tmp_path: Any) -> None:
    hits = index.search("a red apple", limit=2)
    assert hits.sheet(tmp_path / "hits.png").size[0] > 200
    assert (tmp_path / "hits.png").read_bytes()[:4] == hits._repr_png_()[:4] == b"\x89PNG"
    with pytest.raises(UsageError, match="expected a sheet that ends in"):
        hits.sheet(tmp_path / "hits.txt")


def test_hits_become_what_other_libraries_take_where_they_are(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = index.search("a red apple", limit=3)
    for name, method in (("pandas", hits.to_pandas), ("supervision", hits.to_supervision)):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(UsageError, match=f"expected {name}"):
            method()
    library: Any = ModuleType("supervision")
    library.Detections = lambda **fields: fields
    monkeypatch.setitem(sys.modules, "supervision", library)
    detections: Any = hits.to_supervision()
    assert list(detections) == list(dict.fromkeys(hit.uri for hit in hits))
    for uri, fields in detections.items():
        image_hits = [hit for hit in hits if hit.uri == uri]
        assert fields["xyxy"].tolist() == [list(hit.bbox_xyxy) for hit in image_hits]
        assert fields["mask"].shape == (len(image_hits), *image_hits[0].mask.shape)


def test_objects_are_streamed_under_a_filter(index: Index) -> None:
    large = {item.object_id for item in index.objects("area>2000")}
    assert large == {item.object_id for item in index.objects() if item.area_px > 2000}
    assert 0 < len(large) == index.count("area>2000") < index.count()


def test_what_is_unlike_an_object_ranks_lower(index: Index) -> None:
    first, second = index.search("a red apple", limit=2)
    without = index.search("a red apple", unlike=first, limit=20)
    assert first.object_id not in [hit.object_id for hit in without]
    assert second.object_id in [hit.object_id for hit in index.search("a red apple", limit=20)]


def test_a_box_in_a_file_of_the_index_is_its_object(index: Index, tmp_path: Path) -> None:
    best = index.search("a red apple", limit=1)[0]
    path = tmp_path / "copied.png"
    Image.fromarray(best.image()).save(path)
    x0, y0, x1, y1 = best.bbox_xyxy
    found = index.search(image=path, box=(x0, y0, x1, y1), limit=1)
    (region,) = found.regions
    assert region is not None
    assert (region.choice, region.object_id) == ("indexed", found[0].object_id)
    (exact,) = index.search(image=path, box=(x0, y0, x1, y1), exact_box=True).regions
    assert exact is not None
    assert (exact.choice, exact.bbox) == ("box", best.bbox_xyxy)
    (given,) = index.search(image=path, mask=best.mask).regions
    assert given is not None
    assert (given.choice, given.mask.rle.decode().tolist()) == ("mask", best.mask.tolist())
    whole = index.search(image=path)
    assert [copy.uri for copy in whole.copies if copy.exact] == [best.uri]
    assert whole[0].uri == best.uri
    assert whole.relevance == "strong"
    with pytest.raises(ObjseekError, match="expected a box that is taken exactly, got none"):
        index.search(image=path, exact_box=True)


def test_mistakes_are_one_sentence(index: Index) -> None:
    with pytest.raises(ObjseekError, match="unknown filter field 'colour'"):
        index.search("a red apple", filter="colour=red")
    with pytest.raises(ObjseekError, match="expected an image that the box, point or mask is in"):
        index.search("a red apple", box=(0, 0, 5, 5))
    with pytest.raises(ObjseekError, match=r"unknown setting segmenter\.nam"):
        objseek.connect("./index", segmenter={"nam": "sam_vit_b"})
    with pytest.raises(AttributeError, match="has no attribute 'serch'"):
        objseek.serch  # noqa: B018


def test_a_folder_has_one_owner(index: Index) -> None:
    count = index.count()
    with objseek.connect("./index") as other:
        with pytest.raises(IndexBusyError):
            other.count()
        index.close()
        assert other.count() == count


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = ("numpy", "torch", "ray", "pyarrow", "pydantic", "qdrant_edge")
    code = f"import sys, objseek; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
