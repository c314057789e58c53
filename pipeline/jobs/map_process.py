"""Lays vectors out in a plane; run as a program of its own, as it takes all cores for a while.

python -P map_process.py VECTORS.npy POSITIONS.npy
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

_DIMS = 50  # as many principal components keep what neighbours there are
_NEIGHBOURS, _EPOCHS = 15, 200
_FEWEST = 8  # of fewer there is nothing to learn


def main() -> None:
    source, target = sys.argv[1:]
    vectors = np.load(source)
    components = reduce(vectors, _DIMS)
    laid_out = components[:, :2] if len(vectors) < _FEWEST else embed(components)
    np.save(target, normalize(laid_out))


def reduce(vectors: np.ndarray, dims: int) -> np.ndarray:
    """The first principal components, float32 (n, at most dims), of rows float32 (n, any)."""
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    components = centred @ axes[:, ::-1][:, :dims]
    padding = max(0, 2 - components.shape[1])
    return np.pad(components, ((0, 0), (0, padding))).astype(np.float32)


def embed(components: np.ndarray) -> np.ndarray:
    """Where UMAP puts rows, float32 (n, 2); how far it is goes to standard output."""
    import umap

    warnings.simplefilter("ignore")
    model = umap.UMAP(
        n_neighbors=min(_NEIGHBOURS, len(components) - 1),
        n_epochs=_EPOCHS,
        init="pca",
        verbose=True,
        tqdm_kwds={"file": sys.stdout, "bar_format": "{n}/{total}", "mininterval": 0.5},
    )
    laid_out: np.ndarray = model.fit_transform(components)
    return laid_out


def normalize(positions: np.ndarray) -> np.ndarray:
    """Float32 (n, 2) within -1 and 1, in proportion; the middle is where half of all lies."""
    middle = np.median(positions, axis=0) if len(positions) else np.zeros(2)
    centred = positions - middle
    reach = np.abs(centred).max(initial=0.0) or 1.0
    return (centred / reach).astype(np.float32)


if __name__ == "__main__":
    main()
