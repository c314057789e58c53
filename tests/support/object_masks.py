"""Object masks of drawn shapes."""

import numpy as np

from schemas.masks import CocoRle, ObjectMask


def object_mask(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return ObjectMask(
        CocoRle.from_mask(mask), box, int(mask.sum()), 0.9, 0.95, (float(box[0]), float(box[1]))
    )
