"""objseek from Python: every object in every image and video of a bucket, searchable.

>>> import objseek
>>> index = objseek.connect("./index")
>>> hits = index.search("a red apple", limit=20)
>>> hits[0].mask.dtype, hits[0].mask.shape == hits[0].image().shape[:2]
(dtype('bool'), True)
>>> index.close()

`import objseek` loads nothing else; numpy comes with the first call, models with the first search.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from pathlib import Path

    from pipeline.python_api.hits import Hit, IndexedObject, SearchResult
    from pipeline.python_api.index import Index
    from pipeline.python_api.segmentation import Picture, PointPrompt, SegmentedObject
    from schemas.errors import ObjseekError
    from schemas.masks import BoolMask

__all__ = [
    "Hit",
    "Index",
    "IndexedObject",
    "ObjseekError",
    "SearchResult",
    "SegmentedObject",
    "connect",
    "segment",
]

_HOMES = {
    "Hit": "pipeline.python_api.hits",
    "IndexedObject": "pipeline.python_api.hits",
    "SearchResult": "pipeline.python_api.hits",
    "Index": "pipeline.python_api.index",
    "SegmentedObject": "pipeline.python_api.segmentation",
    "ObjseekError": "schemas.errors",
}


_HERE = os.path.dirname(os.path.abspath(__file__))
_PACKAGES = ("pipeline", "schemas", "workers")


def run_command() -> None:
    """The command `objseek`, whatever folders of these names are where it is called."""
    # Not even one that a variable like PYTHONPATH has put first.
    sys.path.insert(0, _HERE)
    from pipeline.cli.main import main

    main()


def _require_own_packages() -> None:
    """Raise ImportError if a folder of somebody else would be imported in place of a package.

    With `python -c` and `python -m` the working directory comes first, and such folders with it.
    """
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        places = [] if spec is None else [*(spec.submodule_search_locations or ()), spec.origin]
        folders = [place for place in places if place is not None]
        if os.path.join(_HERE, name) not in map(os.path.abspath, folders):
            found = folders[0] if folders else "none"
            raise ImportError(
                f"objseek's package {name!r} is hidden: Python finds {found} first; call Python "
                "with -P, or in another folder, or give that one another name"
            )


# The command has put its own packages first.
if os.path.basename(sys.argv[0]) != "objseek":
    _require_own_packages()


def connect(
    location: str | PathLike[str],
    *,
    config: str | Path | None = None,
    **settings: object,
) -> Index:
    """The index at `location`: a folder, or `http(s)://host:6333/collection`.

    Nothing is opened before it is used, so the index need not be there yet. `settings` are those of
    the command line's settings file, by section: `store={"endpoint_url": "http://minio:9000"}`,
    `embedder={"name": "ViT-B-32/laion2b_s34b_b79k"}`; `config` is such a file. Raises ObjseekError
    that names a setting that is wrong.

    >>> objseek.connect("./index")
    Index('./index')
    """
    from pipeline.python_api.index import Index

    return Index.connect(location, config, settings)


def segment(
    image: Picture,
    *,
    points: Sequence[PointPrompt] = (),
    box: tuple[int, int, int, int] | None = None,
    mask: BoolMask | None = None,
    text: str | Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    min_probability: float | None = None,
    config: str | Path | None = None,
    **settings: object,
) -> list[SegmentedObject]:
    """The masks of an image, a path, a uri or uint8 (height, width, 3) RGB; no index is needed.

    `points` (x, y, and 0 where one is not on the object), `box` (x0, y0, x1, y1) and an earlier
    `mask`, bool (height, width), are one prompt together. Or `text`, one or several, that masks
    should show, with a probability of `min_probability`; or `labels`, of which every pixel's
    segment gets one. Without any of these: everything. `config` and `settings` are as for
    `connect`; the models of the last call are kept. Raises ObjseekError.

    >>> import numpy as np
    >>> image = np.full((64, 96, 3), 40, np.uint8)
    >>> image[16:48, 24:60] = 250, 60, 20
    >>> (found,) = objseek.segment(image, points=[(40, 30)], segmenter={"device": "cpu"})
    >>> found.mask.shape, 1000 < found.area_px < 1300
    ((64, 96), True)
    """
    from pathlib import Path

    from pipeline.python_api.segmentation import Prompts, load_models, segment_picture
    from pipeline.settings import load_settings

    loaded = load_settings(None if config is None else Path(config), settings)
    prompts = Prompts(points, box, mask, text, labels, min_probability)
    return segment_picture(image, prompts, load_models(loaded), loaded)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'objseek' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
