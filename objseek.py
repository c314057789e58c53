"""objseek from Python: every object in every image of a bucket, searchable.

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
    from os import PathLike
    from pathlib import Path

    from pipeline.python_api.hits import Hit, IndexedObject, SearchResult
    from pipeline.python_api.index import Index
    from schemas.errors import ObjseekError

__all__ = ["Hit", "Index", "IndexedObject", "ObjseekError", "SearchResult", "connect"]

_HOMES = {
    "Hit": "pipeline.python_api.hits",
    "IndexedObject": "pipeline.python_api.hits",
    "SearchResult": "pipeline.python_api.hits",
    "Index": "pipeline.python_api.index",
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


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'objseek' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
