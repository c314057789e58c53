"""Named vectors of the coloured squares of `colour_world`: a title of three numbers each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.sparse_world import BLUE, PINK, RED

from pipeline.index_home import IndexHome
from pipeline.settings import Settings

TITLES = {RED: (1.0, 0.0, 0.0), PINK: (0.0, 1.0, 0.0), BLUE: (0.6, 0.8, 0.0)}
"""Green has none."""
DIMS = {"title": 3, "poster": 16}
"""No square has a poster."""


def write_titles(settings: Settings) -> None:
    """Give the squares of an index their titles."""
    home = IndexHome.current(settings)
    with home.points() as index:
        dim = index.dim
    with home.points(create_for=dim, named=DIMS) as index:
        written = []
        for point in index.scan(words=True):
            payload = point.parse_payload()
            title = TITLES.get((payload.uri.rpartition("/")[2], payload.bbox))
            if title is not None:
                named = {"title": np.array(title, np.float32)}
                written.append(replace(point, named_vectors=named))
        assert len(written) == len(TITLES)
        index.restore(written)
