"""Writes objects as tasks of Label Studio with predictions, whose masks are its brush's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt

from pipeline.formats.exported_object import ExportedObject
from pipeline.formats.image_names import name_below
from schemas.images import ImageRef
from schemas.masks import CocoRle

_TAG, _IMAGE = "label", "image"
_CHANNELS = 4
"""Of the picture that a mask is: each of its pixels stands there as often."""
_INSIDE = 255
_WORD_BITS = 8
_LENGTH_BITS = np.array([3, 4, 8, 16])
"""How many bits the length of a run may take, the shortest that do."""
_LONGEST_RUN = 2**16


def write_task(
    uri: str, regions: Sequence[dict[str, Any]], images: str | None = None
) -> dict[str, Any]:
    """A task: an image with the regions of its objects as one prediction, to be corrected.

    Images of buckets are named by uri, which Label Studio signs where the bucket is a storage of
    its project; a file as its local storage serves it, by its path below the folder `images`, or
    below `/`.
    """
    return {
        "data": {_IMAGE: _locate(uri, images), "uri": uri},
        "predictions": [{"model_version": "objseek", "result": list(regions)}],
    }


def write_region(found: ExportedObject) -> dict[str, Any]:
    """An object's mask and label as a region of a prediction.

    Raises ValueError for an invalid mask.
    """
    height, width = found.image.size_hw
    region = {
        "id": found.object_id,
        "type": "brushlabels",
        "from_name": _TAG,
        "to_name": _IMAGE,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "format": "rle",
            "rle": encode_brush(found.rle).tolist(),
            "brushlabels": [found.label],
        },
    }
    return region if found.score is None else {**region, "score": found.score}


def write_config(labels: Iterable[str]) -> str:
    """The labelling interface that tasks need: the image, and a brush with these labels."""
    lines = "".join(f"    <Label value={quoteattr(label)}/>\n" for label in labels)
    return (
        f'<View>\n  <Image name="{_IMAGE}" value="${_IMAGE}" zoom="true"/>\n'
        f'  <BrushLabels name="{_TAG}" toName="{_IMAGE}">\n{lines}  </BrushLabels>\n</View>\n'
    )


def _locate(uri: str, images: str | None) -> str:
    ref = ImageRef.from_uri(uri, "", 0)
    if ref.store != "file":
        return uri
    path = name_below(uri, ref.key, images).encode("utf-8", "surrogateescape").lstrip(b"/")
    return f"/data/local-files/?d={quote(path)}"


def encode_brush(rle: CocoRle) -> npt.NDArray[np.uint8]:
    """A mask as the bytes of Label Studio's brush, a run-length encoding of thi.ng's rle-pack.

    Row by row, each pixel four times, 255 inside. 32 bits with the number of values, 5 with the
    bits of a value less one, 4 times 4 with those of lengths less one; then runs: a bit that says
    that the value repeats, two that say which of the four lengths follows, the length less one,
    and the value. Raises ValueError for an invalid mask.
    """
    height, width = rle.size_hw
    lengths, values = _list_runs(rle)
    size = np.searchsorted(2**_LENGTH_BITS, lengths)
    length_bits = _LENGTH_BITS[size]
    codes = (4 | size) << length_bits | lengths - 1
    codes = codes << _WORD_BITS | values
    head = [height * width * _CHANNELS, _WORD_BITS - 1, *(_LENGTH_BITS - 1)]
    bits = _spread_bits(np.array(head), np.array([32, 5, 4, 4, 4, 4]))
    runs = _spread_bits(codes, 3 + length_bits + _WORD_BITS)
    return np.packbits(np.concatenate([bits, runs]))


def _list_runs(rle: CocoRle) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Lengths of runs, row by row and none too long, and their values."""
    height, width = rle.size_hw
    x0, y0, x1, y1 = rle.bbox_xyxy
    crop = np.pad(rle.decode_columns(x0, x1)[y0:y1], ((0, 0), (1, 1))).view(np.int8)
    changes = np.flatnonzero(np.diff(crop, axis=1))
    row, column = np.divmod(changes, x1 - x0 + 1)
    places = np.concatenate([[0], (row + y0) * width + x0 + column, [height * width]])
    lengths = np.diff(places) * _CHANNELS
    values = np.arange(len(lengths)) % 2 * _INSIDE
    lengths, values = lengths[lengths > 0], values[lengths > 0]
    # Rows may begin as the ones before them end.
    ends = np.append(np.diff(values) != 0, True)
    lengths, values = np.diff(lengths.cumsum()[ends], prepend=0), values[ends]
    pieces = -(-lengths // _LONGEST_RUN)
    split = np.full(pieces.sum(), _LONGEST_RUN)
    split[pieces.cumsum() - 1] = lengths - (pieces - 1) * _LONGEST_RUN
    return split, np.repeat(values, pieces)


def _spread_bits(
    codes: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    """The bits of numbers, the highest first, one after the other: uint8 (sum of sizes,)."""
    ends = sizes.cumsum()
    shifts = np.repeat(ends, sizes) - 1 - np.arange(ends[-1])
    bits: npt.NDArray[np.int64] = np.repeat(codes, sizes) >> shifts & 1
    return bits.astype(np.uint8)
